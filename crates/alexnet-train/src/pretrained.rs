//! Fine-tuning: a run that starts from weights that have been trained before.

use std::path::{Path, PathBuf};

use alexnet_model::{Model, Network, build};
use candle_core::Device;

use crate::config::{SolverException, TrainConfig};
use crate::error::{Error, Result};
use crate::record::RunDir;
use crate::schedule::Schedule;

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

impl TrainConfig {
    /// This recipe, starting from the weights in `weights`, a model file or a run's folder: the learning rate is a tenth of
    /// what it is from random weights, but for the last layer, which is to learn other classes, ten times as fast as the
    /// others. Falling with a cosine over 30 epochs of batches of 32, for a few hundred or thousand images, which is what
    /// fine-tuning is for.
    ///
    /// # Errors
    /// An unknown variant.
    ///
    /// # Source
    /// The rates: run #146-2012-2011 of the 2012 code (`layer-params-146-2012-2011.cfg`), whose new layer had 0.01 for nine
    /// epochs and the others 0.001; and Caffe, `models/finetune_flickr_style`.
    pub fn fine_tuning(mut self, weights: PathBuf) -> Result<Self> {
        let last = weight_layers(&self.arch)?.pop().unwrap_or_default();
        self.weights = Some(weights);
        self.solver.learning_rate /= 10.0;
        self.solver.exceptions.push(SolverException { of: last, learning_rate_factor: 10.0, weight_decay_factor: 1.0 });
        (self.epochs, self.batch_size) = (30, 32);
        self.schedule = Schedule::Cosine { warmup_epochs: 0.5, final_factor: 0.01 };
        self.bias_schedule = None;
        Ok(self)
    }

    /// This configuration with the first `count` of the layers that have weights left as they start, and no other whole
    /// layer: of AlexNet's eight, 5 are its convolutions, and 7 all but the last.
    ///
    /// # Errors
    /// An unknown variant; [`Error::Config`] where no layer would be left to learn.
    pub fn freeze(mut self, count: usize) -> Result<Self> {
        let layers = weight_layers(&self.arch)?;
        if count >= layers.len() {
            let rule = format!("{} has {} layers with weights, and the last has to learn", self.arch, layers.len());
            return Err(Error::Config { what: "freeze".into(), found: count.to_string(), rule });
        }
        // In the place of those that are there, so that saying it again changes nothing.
        self.solver.exceptions.retain(|old| old.learning_rate_factor != 0.0 || !layers.contains(&old.of));
        self.solver.exceptions.extend(layers.into_iter().take(count).map(|of| SolverException {
            of,
            learning_rate_factor: 0.0,
            weight_decay_factor: 1.0,
        }));
        Ok(self)
    }
}

/// The layers that have weights, in their order.
fn weight_layers(arch: &str) -> Result<Vec<String>> {
    // How many classes there are changes no name.
    let spec = build(arch, 2)?;
    let mut layers: Vec<usize> = spec.parameters().iter().map(|parameter| parameter.layer).collect();
    layers.dedup();
    Ok(layers.into_iter().map(|layer| spec.layers()[layer].name.clone()).collect())
}

/// The model that a run is to start from.
///
/// # Errors
/// [`Error::NoModel`]; those of [`Model::load`], also where its weights are not those of `arch`.
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

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn recipes_change_what_they_say() {
        let config = TrainConfig::recipe("alexnet-torchvision", "data".into());
        let tuned = config.clone().fine_tuning("weights".into()).unwrap().freeze(5).unwrap();
        tuned.validate().unwrap();
        assert_eq!((tuned.weights.clone(), tuned.solver.learning_rate), (Some("weights".into()), 0.001));
        let exceptions: Vec<(&str, f64)> =
            tuned.solver.exceptions.iter().map(|e| (e.of.as_str(), e.learning_rate_factor)).collect();
        let frozen = ["features.0", "features.3", "features.6", "features.8", "features.10"].map(|of| (of, 0.0));
        assert_eq!(exceptions, [&[("classifier.6", 10.0)], &frozen[..]].concat());
        assert_eq!(tuned.clone().freeze(5).unwrap(), tuned);
        assert_ne!(tuned.clone().freeze(3).unwrap(), tuned);
        let message = config.freeze(8).unwrap_err().to_string();
        assert!(message.contains("freeze is 8, but alexnet-torchvision has 8 layers with weights"), "{message}");
    }
}
