//! One file per command, each calling one library function.

pub mod eval;
pub mod info;
pub mod predict;
pub mod train;

use std::path::Path;

use alexnet_model::{Model, ModelFile, Precision};
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
    /// The models on this machine's device, to compute as asked, each read when it is asked for. What is wrong with any of
    /// them is said at once, so that none is measured in vain.
    fn load(&self, machine: &MachineArgs) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Model>>> {
        let device = machine.device()?;
        let precision = machine.precision.map_or(Precision::F32, Precision::from);
        alexnet_kernels::allow_tf32(machine.tf32);
        alexnet_kernels::allow_nondeterministic(machine.fast);
        let mut of_arch = false;
        let mut classes: Option<(&Path, Vec<String>, usize)> = None;
        for path in &self.weights {
            let file = self.open(path)?;
            let count = file.spec().classes();
            let (named, names, expected) = classes.get_or_insert_with(|| (path, file.classes().to_vec(), count));
            let other_names = !names.is_empty() && !file.classes().is_empty() && file.classes() != names;
            if count != *expected || other_names {
                let (path, named) = (path.display(), named.display());
                bail!(
                    "{path} knows {count} classes{}, but {named} {expected}{}: together they have to know the same",
                    listed(file.classes()),
                    listed(names)
                );
            }
            if names.is_empty() {
                (*named, *names) = (path, file.classes().to_vec());
            }
            of_arch |= self.arch.as_deref().is_none_or(|arch| arch == file.spec().arch());
        }
        if !of_arch {
            bail!("--arch {}: none of these files is of it", self.arch.as_deref().unwrap_or_default());
        }
        Ok(self.weights.iter().map(move |path| {
            let mut model = self.open(path)?.load(&device)?;
            model.network.set_precision(precision)?;
            // Those of a file that names none are what the others call them.
            model.classes = classes.as_ref().map_or(Vec::new(), |(_, names, _)| names.clone());
            Ok(model)
        }))
    }

    /// One of the files. Of several, `--arch` is for those that do not say what they are.
    fn open(&self, path: &Path) -> anyhow::Result<ModelFile> {
        let (path, arch) = (RunDir::model_file(path)?, self.arch.as_deref());
        let open = if self.weights.len() > 1 { ModelFile::open_any } else { ModelFile::open };
        Ok(open(&path, arch)?)
    }
}

/// A few of the classes' names, in brackets.
fn listed(classes: &[String]) -> String {
    match classes {
        [] => " without names".into(),
        all if all.len() <= 3 => format!(" ({})", all.join(", ")),
        more => format!(" ({}, …)", more[..3].join(", ")),
    }
}
