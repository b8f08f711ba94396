//! One file per command, each calling one library function.

pub mod eval;
pub mod info;
pub mod predict;
pub mod train;

use alexnet::{Classifier, Device, GpuMath, Options, Precision, Views};
use anyhow::Context;

use crate::args::{DeviceChoice, MachineArgs, WeightsArgs};

impl MachineArgs {
    /// The device; also sets up the thread pool.
    fn device(&self) -> anyhow::Result<Device> {
        let threads = self.threads();
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("cannot start the threads")?;
        match self.device {
            DeviceChoice::Cpu => {
                if self.tf32 || self.fast {
                    eprintln!("note: --tf32 and --fast are for GPUs; on the CPU they have no effect");
                }
                Ok(Device::Cpu)
            }
            DeviceChoice::Cuda(ordinal) => Ok(alexnet::cuda_device(ordinal)?),
        }
    }

    /// Number of threads for computing and for reading images.
    fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(all, usize::from)
    }
}

impl WeightsArgs {
    /// Opens the classifier of these files on the device of `machine`.
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
