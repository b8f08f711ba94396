//! Fine-tuning: runs that start from pretrained weights.

use std::path::{Path, PathBuf};

use alexnet_model::{Model, Network, ParameterSpec, Specification};
use candle_core::Device;

use crate::error::Result;
use crate::record::RunDir;

/// The pretrained weights of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pretrained {
    /// The file.
    pub path: PathBuf,
    /// Number of classes of its network.
    pub classes: usize,
    /// How the last layer was initialized; all other layers are copied from the file.
    pub last_layer: LastLayer,
}

/// How the last layer of pretrained weights is used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LastLayer {
    /// Kept: the classes are the same.
    SameClasses,
    /// Kept: the number of classes is the same, and the file has no class names.
    AsManyClasses,
    /// Reinitialized, because the classes differ; the value is the layer's name.
    New(String),
}

/// Loads the pretrained model of a run.
///
/// # Errors
/// [`NoModel`](crate::Error::NoModel); errors of [`Model::load`], also if the weights are not for `arch`.
pub(crate) fn load(weights: &Path, arch: &str, device: &Device) -> Result<(PathBuf, Model)> {
    let path = RunDir::model_file(weights)?;
    let model = Model::load(&path, Some(arch), device)?;
    Ok((path, model))
}

/// Copies the weights of `model` to `network`, whose classes are `classes`. The last layer is copied if the classes are
/// the same, or, if the model has no class names, if their number is the same.
pub(crate) fn copy(path: PathBuf, model: &Model, network: &Network, classes: &[String]) -> Result<Pretrained> {
    let count = model.network.spec().classes();
    let as_many = count == classes.len() && model.classes.is_empty();
    let kept = as_many || model.classes == classes;
    let last = network.parameters().last().map(|parameter| parameter.spec.layer).filter(|_| !kept);
    let problems = differences(model.network.spec(), network.spec(), last);
    if !problems.is_empty() {
        let arch = network.spec().arch().into();
        return Err(alexnet_model::Error::Weights { path, arch, problems }.into());
    }
    for (from, to) in model.network.parameters().iter().zip(network.parameters()) {
        if Some(to.spec.layer) != last {
            let from = from.var.to_device(to.var.device())?;
            alexnet_kernels::add::scale_into(&from, 1.0, to.var.as_tensor())?;
        }
    }
    let last_layer = match last {
        Some(layer) => LastLayer::New(network.spec().layers()[layer].name.clone()),
        None if as_many => LastLayer::AsManyClasses,
        None => LastLayer::SameClasses,
    };
    Ok(Pretrained { path, classes: count, last_layer })
}

/// Differences between the parameters of two networks, except for the shapes in layer `last`.
fn differences(from: &Specification, to: &Specification, last: Option<usize>) -> Vec<String> {
    let (ours, theirs) = (to.parameters(), from.parameters());
    let counts = (ours.len() != theirs.len()).then(|| format!("{} tensors, expected {}", theirs.len(), ours.len()));
    let differ = |(theirs, ours): (&ParameterSpec, &ParameterSpec)| {
        let same = theirs.name == ours.name && (theirs.shape == ours.shape || Some(ours.layer) == last);
        let (found, expected) = (&theirs.shape, &ours.shape);
        (!same).then(|| format!("{} has shape {found:?}, expected {} of shape {expected:?}", theirs.name, ours.name))
    };
    counts.into_iter().chain(theirs.iter().zip(ours).filter_map(differ)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alexnet_model::build;

    fn model(classes: &[&str], seed: u64) -> Model {
        let network = Network::new(build("alexnet", classes.len()).unwrap(), seed, &[Device::Cpu]).unwrap();
        Model { network, classes: classes.iter().map(ToString::to_string).collect(), mean_image: None }
    }

    /// The sum of each parameter's values, which identifies the network it comes from.
    fn sums(network: &Network) -> Vec<f32> {
        network.parameters().iter().map(|p| p.var.sum_all().unwrap().to_scalar().unwrap()).collect()
    }

    #[test]
    fn the_last_layer_is_kept_where_the_classes_are_the_same() {
        if alexnet_testing::cpu_only() {
            return;
        }
        let mut trained = model(&["cat", "dog"], 1);
        let copied = |trained: &Model, classes: &[&str]| {
            let new = model(classes, 2);
            let before = sums(&new.network);
            let told = copy("weights".into(), trained, &new.network, &new.classes).unwrap();
            let (after, of) = (sums(&new.network), sums(&trained.network));
            let (last, others) = after.split_at(14);
            assert_eq!(last, &of[..14], "all layers but the last");
            (told.last_layer, others == &of[14..], others == &before[14..])
        };
        assert_eq!(copied(&trained, &["cat", "dog"]), (LastLayer::SameClasses, true, false));
        for others in [&["cat", "cow"][..], &["dog", "cat"], &["cat", "dog", "cow"]] {
            assert_eq!(copied(&trained, others), (LastLayer::New("fc8".into()), false, true), "{others:?}");
        }
        trained.classes.clear();
        assert_eq!(copied(&trained, &["one", "two"]), (LastLayer::AsManyClasses, true, false));
    }
}
