//! Fine-tuning: a run that starts from weights that have been trained before.

use std::path::{Path, PathBuf};

use alexnet_model::{Model, Network, ParameterSpec, Specification};
use candle_core::Device;

use crate::error::Result;
use crate::record::RunDir;

/// What a run started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pretrained {
    /// The file.
    pub path: PathBuf,
    /// How many classes its network knows.
    pub classes: usize,
    /// What became of the last layer; all others are as they are in the file.
    pub last_layer: LastLayer,
}

/// What becomes of the last layer of weights that a run starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LastLayer {
    /// It is kept: the classes are the same.
    SameClasses,
    /// It is kept: there are as many classes, and the file does not say which.
    AsManyClasses,
    /// It, by its name, starts anew: the classes are others.
    New(String),
}

/// The model that a run is to start from.
///
/// # Errors
/// [`NoModel`](crate::Error::NoModel); those of [`Model::load`], also where its weights are not those of `arch`.
pub(crate) fn load(weights: &Path, arch: &str, device: &Device) -> Result<(PathBuf, Model)> {
    let path = RunDir::model_file(weights)?;
    let model = Model::load(&path, Some(arch), device)?;
    Ok((path, model))
}

/// Gives `network`, which knows `classes`, the weights of `model`. The last layer's are kept where the classes are the same,
/// or, where the model does not name its own, as many.
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
            alexnet_kernels::add::scale_into(from.var.as_tensor(), 1.0, to.var.as_tensor())?;
        }
    }
    let last_layer = match last {
        Some(layer) => LastLayer::New(network.spec().layers()[layer].name.clone()),
        None if as_many => LastLayer::AsManyClasses,
        None => LastLayer::SameClasses,
    };
    Ok(Pretrained { path, classes: count, last_layer })
}

/// What two networks of one name have that differs, the values of the layer `last` aside.
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

    /// The sum of each parameter's values, which tells which of two networks it is of.
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
