//! Predefined configurations and common changes to them.

use std::path::PathBuf;

use alexnet_data::{OnBadSample, RandomResizedCrop};
use alexnet_model::{Decay, Precision, Recipe, Update, build};

use crate::config::{DataConfig, Rule, SolverConfig, SolverException, TrainConfig, WithSchedule};
use crate::error::{Error, Result};
use crate::schedule::Schedule;

impl TrainConfig {
    /// The published recipe for `arch`, for the images in `data`: the reference recipe for torchvision's network, the
    /// 2012 recipe for all others, with an automatic learning rate schedule as in cuda-convnet2 and in late runs of the
    /// 2012 code (#170). For the earlier manual schedule, see [`TrainConfig::manual_2012`].
    pub fn recipe(arch: &str, data: PathBuf) -> Self {
        let recipe = Recipe::of(arch);
        let solver = SolverConfig {
            rule: match recipe.update {
                Update::Alexnet2012 => Rule::Alexnet2012,
                Update::Pytorch => Rule::Pytorch,
            },
            learning_rate: recipe.learning_rate,
            momentum: recipe.momentum,
            weight_decay: recipe.weight_decay,
            bias_learning_rate_factor: recipe.bias_learning_rate_factor,
            bias_weight_decay_factor: recipe.bias_weight_decay_factor,
            freeze: 0,
            exceptions: Vec::new(),
        };
        let dexp = |(target_factor, steps)| Schedule::Dexp { target_factor, steps };
        let (schedule, bias_schedule) = match recipe.decay {
            Decay::Dexp { weight, bias } => (dexp(weight), Some(dexp(bias))),
            Decay::Steps { epochs, factor } => (Schedule::Steps { epochs: epochs.to_vec(), factor }, None),
        };
        Self {
            arch: arch.into(),
            weights: None,
            seed: 0,
            epochs: recipe.epochs,
            batch_size: recipe.batch_size,
            checkpoint_steps: 1000,
            label_smoothing: 0.0,
            precision: Precision::F32,
            tf32: false,
            fast: false,
            data: DataConfig {
                path: data,
                hold_out: 0.1,
                shuffle_buffer: None,
                on_bad_sample: OnBadSample::Skip,
                random_crop: true,
                flip: true,
                color_noise: recipe.color_noise,
                color_noise_epochs: None,
                mixup: None,
                cutmix: None,
                random_resized_crop: recipe.random_resized_crop.then(RandomResizedCrop::default),
                color_jitter: None,
                random_erasing: None,
            },
            solver,
            schedule,
            bias_schedule,
            with_schedule: None,
            network: None,
        }
    }

    /// This recipe with the manual schedule of run #145, which trained the paper's network: 91 epochs; the learning
    /// rate of weights is divided by 10 at epochs 25, 51 and 79, that of biases is constant; from epoch 67 on, the
    /// first layer's weights have a tenth of the rate of the others and there is no color noise; from epoch 72 on, the
    /// first layer is frozen. Existing exceptions take precedence.
    ///
    /// # Errors
    /// An unknown variant.
    ///
    /// # Source
    /// The notes in `layers/layer-params-145.cfg` of the 2012 code. They count from 1 and do not state whether a change
    /// was made before or after the given epoch, so each epoch may be off by one.
    pub fn manual_2012(self) -> Result<Self> {
        let first = weight_layers(&self)?.into_iter().next().unwrap_or_default();
        let slow = SolverException::new(format!("{first}.weight"), 0.1).from_epoch(NOISY_EPOCHS);
        let frozen = SolverException::new(first, 0.0).from_epoch(72);
        Ok(Self {
            epochs: 91,
            schedule: Schedule::Steps { epochs: vec![25, 51, 79], factor: 0.1 },
            bias_schedule: Some(Schedule::Constant),
            with_schedule: Some(WithSchedule {
                color_noise_epochs: Some(NOISY_EPOCHS),
                exceptions: vec![slow, frozen],
            }),
            ..self
        })
    }

    /// This recipe for fine-tuning from the weights in `weights`, a model file or a run directory. The learning rate is
    /// a tenth of that for random weights; the last layer, which learns new classes, has ten times the rate of the
    /// others. Cosine schedule over 30 epochs with batches of 32, for data sets of a few hundred or thousand images.
    ///
    /// # Errors
    /// An unknown variant.
    ///
    /// # Source
    /// The rates: Caffe, `models/finetune_flickr_style`. Similarly, in run #146-2012-2011 of the 2012 code, the new
    /// layer had a rate of 0.01 until epoch 9, except in its first 300 batches, and most others 0.001
    /// (`layer-params-146-2012-2011.cfg`).
    pub fn fine_tuning(mut self, weights: PathBuf) -> Result<Self> {
        let last = weight_layers(&self)?.pop().unwrap_or_default();
        self.weights = Some(weights);
        self.solver.learning_rate /= 10.0;
        self.solver.exceptions.push(SolverException::new(last, 10.0));
        (self.epochs, self.batch_size) = (30, 32);
        self.schedule = Schedule::Cosine { warmup_epochs: 0.5, final_factor: 0.01 };
        (self.bias_schedule, self.with_schedule) = (None, None);
        Ok(self)
    }

    /// Freezes the first `count` layers that have weights; replaces an earlier count. AlexNet has eight: 5 freezes the
    /// convolutions, 7 all but the last layer.
    ///
    /// # Errors
    /// An unknown variant; [`Error::Config`] if no layer would be trained.
    pub fn freeze(mut self, count: usize) -> Result<Self> {
        let layers = weight_layers(&self)?;
        if count >= layers.len() {
            let rule = format!("{} has {} layers with weights, and the last must be trained", self.arch, layers.len());
            return Err(Error::Config { what: "freeze".into(), found: count.to_string(), rule });
        }
        self.solver.freeze = count;
        Ok(self)
    }
}

/// Number of epochs with color noise in run #145.
const NOISY_EPOCHS: u32 = 67;

/// Names of the layers with weights, in order.
fn weight_layers(config: &TrainConfig) -> Result<Vec<String>> {
    // The number of classes does not affect the names.
    let spec = config.network.clone().map_or_else(|| build(&config.arch, 2), Ok)?;
    let trained = spec.parameters().iter().filter(|parameter| parameter.role.is_trained());
    let mut layers: Vec<usize> = trained.map(|parameter| parameter.layer).collect();
    layers.dedup();
    Ok(layers.into_iter().map(|layer| spec.layers()[layer].name.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_2012_schedule_follows_the_notes_of_run_145() {
        if alexnet_testing::cpu_only() {
            return;
        }
        use crate::schedule::{Plateau, Progress};
        use crate::solver::{Rates, Solver};
        use alexnet_model::Network;
        use candle_core::Device;

        let plain = TrainConfig::recipe("alexnet", "data".into());
        let config = plain.clone().manual_2012().unwrap();
        config.validate().unwrap();
        assert_eq!(config.clone().manual_2012().unwrap(), config);
        // Existing settings remain and take precedence.
        assert_eq!((&config.solver, &config.data), (&plain.solver, &plain.data));
        let mut own = plain.clone();
        own.solver.exceptions = vec![SolverException::new("fc8", 2.0)];
        let own = own.manual_2012().unwrap().scheduled_solver().exceptions;
        let names: Vec<&str> = own.iter().map(|exception| exception.of.as_str()).collect();
        assert_eq!(names, ["conv1.weight", "conv1", "fc8"]);
        // A layer that is frozen from the start stays frozen; order and repetition make no difference.
        let frozen = config.clone().freeze(2).unwrap();
        assert_eq!(plain.freeze(2).unwrap().manual_2012().unwrap(), frozen);
        assert_eq!(frozen.clone().manual_2012().unwrap().freeze(2).unwrap(), frozen);
        let network = Network::new(build("alexnet", 2).unwrap(), 0, &[Device::Cpu]).unwrap();
        let mut solver = Solver::new(&frozen.scheduled_solver(), &network).unwrap();
        solver.start_epoch(68);
        assert!(!solver.learns(0) && !solver.learns(2) && solver.learns(4));
        let mut solver = Solver::new(&config.scheduled_solver(), &network).unwrap();
        let bias = config.bias_schedule.clone().unwrap();
        // epsw of conv1 and of all other layers, from the notes.
        let notes = [(0, 0.01, 0.01), (24, 0.01, 0.01), (25, 1e-3, 1e-3), (51, 1e-4, 1e-4), (66, 1e-4, 1e-4)];
        let late = [(67, 1e-5, 1e-4), (71, 1e-5, 1e-4), (72, 0.0, 1e-4), (79, 0.0, 1e-5), (90, 0.0, 1e-5)];
        for (epoch, first, others) in notes.into_iter().chain(late) {
            let progress = Progress { epoch, epochs: config.epochs, step: 0, steps: 1 };
            let factor = |schedule: &Schedule| schedule.factor(progress, &Plateau::default());
            let rates = Rates { weight: factor(&config.schedule), bias: factor(&bias) };
            solver.start_epoch(epoch);
            let rate = |name: &str| {
                let index = network.parameters().iter().position(|p| p.spec.name == name).unwrap();
                solver.learning_rate(index, rates)
            };
            let first_bias = if epoch < 72 { 0.02 } else { 0.0 };
            let names =
                [("conv1.weight", first), ("conv1.bias", first_bias), ("conv2.weight", others), ("fc8.bias", 0.02)];
            for (name, expected) in names {
                let found = rate(name);
                assert!((found - expected).abs() <= 1e-9 * expected, "{name} in epoch {epoch}: {found}");
            }
        }
        assert_eq!((config.epochs, config.scheduled_data().color_noise_epochs), (91, Some(67)));
    }

    #[test]
    fn recipes_change_what_they_say() {
        let config = TrainConfig::recipe("alexnet-torchvision", "data".into());
        let tuned = config.clone().fine_tuning("weights".into()).unwrap().freeze(5).unwrap();
        tuned.validate().unwrap();
        assert_eq!((tuned.weights.clone(), tuned.solver.learning_rate), (Some("weights".into()), 0.001));
        let exceptions: Vec<(&str, f64)> =
            tuned.solver.exceptions.iter().map(|e| (e.of.as_str(), e.learning_rate_factor)).collect();
        assert_eq!((exceptions, tuned.solver.freeze), (vec![("classifier.6", 10.0)], 5));
        assert_eq!(tuned.clone().freeze(5).unwrap(), tuned);
        assert_ne!(tuned.clone().freeze(3).unwrap(), tuned);
        let message = config.freeze(8).unwrap_err().to_string();
        assert!(message.contains("freeze is 8, but alexnet-torchvision has 8 layers with weights"), "{message}");
    }
}
