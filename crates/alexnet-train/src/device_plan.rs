//! The devices of a run.

use candle_core::Device;

/// The devices of a run, in the order of the layers' device numbers. All published variants use one.
///
/// ```
/// use alexnet_train::DevicePlan;
/// use candle_core::Device;
///
/// let plan = DevicePlan::from(&Device::Cpu);
/// assert_eq!(plan.devices().len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct DevicePlan {
    devices: Vec<Device>,
}

impl DevicePlan {
    /// Layers with device number `n` are on `devices[n]`. Images are transferred to the device of the input layer.
    pub fn of_layers(devices: Vec<Device>) -> Self {
        Self { devices }
    }

    /// The devices.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }
}

/// Everything on one device.
impl From<&Device> for DevicePlan {
    fn from(device: &Device) -> Self {
        Self::of_layers(vec![device.clone()])
    }
}
