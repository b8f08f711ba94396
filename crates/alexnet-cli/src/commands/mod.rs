//! One file per command, each calling one library function.

pub mod eval;
pub mod info;
pub mod predict;
pub mod train;

use alexnet::{Classifier, Device, GpuMath, Options, Precision, Views};
use anyhow::Context;

use crate::args::{DeviceChoice, MachineArgs, WeightsArgs};

impl MachineArgs {
    /// The device, with the threads set up.
    fn device(&self) -> anyhow::Result<Device> {
        let threads = self.threads();
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("cannot start the threads")?;
        match self.device {
            DeviceChoice::Cpu => {
                if self.tf32 || self.fast {
                    eprintln!("note: --tf32 and --fast are for GPUs; on the CPU they change nothing");
                }
                Ok(Device::Cpu)
            }
            DeviceChoice::Cuda(ordinal) => Ok(alexnet::cuda_device(ordinal)?),
        }
    }

    /// Threads to compute and to load with.
    fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(all, usize::from)
    }
}

impl WeightsArgs {
    /// The classifier of these files, on this machine's device.
    fn open(&self, machine: &MachineArgs, views: Views) -> anyhow::Result<Classifier> {
        let options = Options {
            device: machine.device()?,
            precision: machine.precision.map_or(Precision::F32, Precision::from),
            gpu_math: GpuMath { tf32: machine.tf32, nondeterministic: machine.fast },
            views,
            arch: self.arch.clone(),
        };
        Ok(Classifier::open_all(&self.weights, &options)?)
    }
}
