//! One file per command, each calling one library function.

pub mod eval;
pub mod info;
pub mod predict;
pub mod train;

use std::path::Path;

use alexnet_model::{Model, Precision};
use alexnet_train::RunDir;
use anyhow::{Context, bail};
use candle_core::Device;

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
            DeviceChoice::Cuda(ordinal) => Ok(alexnet_kernels::cuda_device(ordinal)?),
        }
    }

    /// Threads to compute and to load with.
    fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(all, usize::from)
    }
}

impl WeightsArgs {
    /// The models on this machine's device, to compute as asked, each when it is asked for. All know the same classes.
    fn load(&self, machine: &MachineArgs) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Model>>> {
        let device = machine.device()?;
        let precision = machine.precision.map_or(Precision::F32, Precision::from);
        alexnet_kernels::allow_tf32(machine.tf32);
        alexnet_kernels::allow_nondeterministic(machine.fast);
        let mut first: Option<(&Path, Vec<String>, usize)> = None;
        Ok(self.weights.iter().map(move |path| {
            let mut model = Model::load(&RunDir::model_file(path)?, self.arch.as_deref(), &device)?;
            model.network.set_precision(precision)?;
            let count = model.network.spec().classes();
            let (other, classes, others) = first.get_or_insert_with(|| (path, model.classes.clone(), count));
            if (&model.classes, count) != (classes, *others) {
                let (path, other) = (path.display(), other.display());
                bail!(
                    "{path} knows {count} classes{}, but {other} {others}{}: together they have to know the same",
                    names(&model.classes),
                    names(classes)
                );
            }
            Ok(model)
        }))
    }
}

/// A few of the classes' names, in brackets.
fn names(classes: &[String]) -> String {
    match classes {
        [] => " without names".into(),
        all if all.len() <= 3 => format!(" ({})", all.join(", ")),
        more => format!(" ({}, …)", more[..3].join(", ")),
    }
}
