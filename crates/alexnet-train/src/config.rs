//! The configuration file of a run: everything that affects its result.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use alexnet_data::{Augment, ColorJitter, Mixing, OnBadSample, Order, RandomErasing, RandomResizedCrop};
use alexnet_kernels::sgd::SgdRule;
use alexnet_model::{Precision, Specification};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, io};
use crate::schedule::Schedule;

/// The effective configuration of a run. Two runs with the same configuration, data and, if used, initial weights file
/// end with the same weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Name of the variant, or of `network`.
    pub arch: String,
    /// Pretrained weights: a model file or a run directory, whose best model is used. `None` means random
    /// initialization. If its classes differ from those of the data set, the last layer is reinitialized. If the file
    /// has a mean image, it replaces that of the data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// Seed for initial weights, shuffling, augmentation and dropout.
    pub seed: u64,
    /// Number of epochs.
    pub epochs: u32,
    /// Images per step.
    pub batch_size: usize,
    /// Steps between checkpoints, in addition to one after every epoch. 0 means only those after epochs.
    pub checkpoint_steps: u64,
    /// Label smoothing: the share of each label that is spread evenly over all classes in training. 0 in 2012.
    #[serde(default)]
    pub label_smoothing: f32,
    /// Numeric precision of the network.
    #[serde(default)]
    pub precision: Precision,
    /// Whether `f32` products on a GPU may be rounded to TF32.
    #[serde(default)]
    pub tf32: bool,
    /// Whether a GPU may use nondeterministic algorithms, whose order of summation varies.
    #[serde(default)]
    pub fast: bool,
    /// The data set and its augmentation.
    pub data: DataConfig,
    /// The parameter update.
    pub solver: SolverConfig,
    /// The learning rate schedule of weights.
    pub schedule: Schedule,
    /// The learning rate schedule of biases, if it differs from that of weights: in 2012 it was lowered at most once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias_schedule: Option<Schedule>,
    /// Settings that belong to the schedules; omit them when choosing other schedules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_schedule: Option<WithSchedule>,
    /// The specification of a custom network, if it is not a variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Specification>,
}

/// Settings that belong to a schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithSchedule {
    /// Overrides [`DataConfig::color_noise_epochs`], if set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color_noise_epochs: Option<u32>,
    /// Exceptions with lower precedence than [`SolverConfig::exceptions`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<SolverException>,
}

/// The data set and its augmentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A folder with one subfolder per class, or with `train` and `val` folders that contain these.
    pub path: PathBuf,
    /// The fraction of each class held out for validation if the folder has no `val`.
    pub hold_out: f64,
    /// Size of the shuffle buffer, for disks on which a full shuffle would seek too slowly; see [`Order::Buffered`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle_buffer: Option<NonZeroU32>,
    /// How to handle files that are not valid images.
    pub on_bad_sample: OnBadSample,
    /// Random crops; otherwise center crops.
    pub random_crop: bool,
    /// Random horizontal flips with probability 1/2.
    pub flip: bool,
    /// Standard deviation of the paper's color noise, relative to that of the data set. 0.1 in 2012; 0 disables it.
    #[serde(alias = "colour_noise")]
    pub color_noise: f32,
    /// Number of epochs with color noise; `None` means all. In 2012 the last quarter had none.
    #[serde(default, alias = "colour_noise_epochs", skip_serializing_if = "Option::is_none")]
    pub color_noise_epochs: Option<u32>,
    /// Mixup: α of the beta distribution for blending neighbors in a batch and their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f32>,
    /// CutMix: α of the beta distribution for exchanging rectangles between neighbors in a batch, with their labels. If
    /// `mixup` is set as well, each is applied to half of the batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutmix: Option<f32>,
    /// Crops of random size and aspect ratio from each image, instead of crops from its square.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_resized_crop: Option<RandomResizedCrop>,
    /// Random brightness, contrast, saturation and hue.
    #[serde(default, alias = "colour_jitter", skip_serializing_if = "Option::is_none")]
    pub color_jitter: Option<ColorJitter>,
    /// Random erasing of rectangles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_erasing: Option<RandomErasing>,
}

impl DataConfig {
    /// The order of the images in an epoch.
    pub fn order(&self) -> Order {
        self.shuffle_buffer.map_or(Order::Shuffled, |buffer| Order::Buffered { buffer: buffer.get() })
    }

    /// The augmentation without color noise, which depends on the images.
    pub fn augment(&self) -> Augment {
        Augment {
            random_crop: self.random_crop,
            resized_crop: self.random_resized_crop,
            flip: self.flip,
            color_noise: None,
            color_jitter: self.color_jitter,
            erasing: self.random_erasing,
            mixing: Mixing { mixup: self.mixup, cutmix: self.cutmix },
        }
    }
}

/// The configuration of SGD with momentum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SolverConfig {
    /// The form of the update rule.
    pub rule: Rule,
    /// Base learning rate of weights, before the schedule.
    pub learning_rate: f64,
    /// Momentum of all parameters.
    pub momentum: f64,
    /// Weight decay of weights.
    pub weight_decay: f64,
    /// The learning rate of biases, relative to that of weights. 2 in 2012 and Caffe.
    pub bias_learning_rate_factor: f64,
    /// The weight decay of biases, relative to that of weights. 0 in 2012 and Caffe.
    pub bias_weight_decay_factor: f64,
    /// Number of layers with weights, counted from the first, that are frozen regardless of the exceptions.
    #[serde(default, skip_serializing_if = "is_none_frozen")]
    pub freeze: usize,
    /// Exceptions. For each parameter, the last exception that matches and has started applies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<SolverException>,
}

/// The two forms of gradient descent with momentum; see [`SgdRule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// v ← m·v − λ·ε·w − ε·g; w ← w + v.
    Alexnet2012,
    /// v ← m·v + g + λ·w; w ← w − ε·v.
    Pytorch,
}

impl From<Rule> for SgdRule {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Alexnet2012 => Self::RateInVelocity,
            Rule::Pytorch => Self::RateOutside,
        }
    }
}

/// Different factors for some parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SolverException {
    /// Name of a layer or parameter.
    pub of: String,
    /// Multiplies the learning rate, in addition to the factors of weights and biases. 0 freezes the parameter: neither
    /// weight decay nor momentum changes it.
    #[serde(default = "one")]
    pub learning_rate_factor: f64,
    /// Multiplies the weight decay, in addition to the factors of weights and biases.
    #[serde(default = "one")]
    pub weight_decay_factor: f64,
    /// First epoch in which it applies, counted from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub from_epoch: u32,
}

impl SolverException {
    /// A different learning rate for a layer or parameter, from the first epoch on.
    pub fn new(of: impl Into<String>, learning_rate_factor: f64) -> Self {
        Self { of: of.into(), learning_rate_factor, weight_decay_factor: 1.0, from_epoch: 0 }
    }

    /// Sets the first epoch in which it applies, counted from 0.
    pub fn from_epoch(self, from_epoch: u32) -> Self {
        Self { from_epoch, ..self }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_none_frozen(layers: &usize) -> bool {
    *layers == 0
}

fn one() -> f64 {
    1.0
}

impl TrainConfig {
    /// The solver configuration with the settings of the schedule.
    pub fn scheduled_solver(&self) -> SolverConfig {
        let mut solver = self.solver.clone();
        if let Some(with) = &self.with_schedule {
            solver.exceptions.splice(..0, with.exceptions.iter().cloned());
        }
        solver
    }

    /// The data configuration with the settings of the schedule.
    pub fn scheduled_data(&self) -> DataConfig {
        let epochs = self.with_schedule.as_ref().and_then(|with| with.color_noise_epochs);
        DataConfig { color_noise_epochs: epochs.or(self.data.color_noise_epochs), ..self.data.clone() }
    }

    /// Reads a file in the format of [`TrainConfig::to_toml`].
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::ConfigFile`] with the line of the problem.
    pub fn read(path: &Path) -> Result<Self> {
        read_toml(path)
    }

    /// The configuration as TOML.
    ///
    /// # Panics
    /// For a configuration that TOML cannot represent, which [`TrainConfig::validate`] rejects.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("what `validate` accepts has a TOML form")
    }

    /// # Errors
    /// [`Error::Config`] for the first invalid value.
    pub fn validate(&self) -> Result<()> {
        let wrong =
            |what: &str, found: String, rule: &str| Err(Error::Config { what: what.into(), found, rule: rule.into() });
        let SolverConfig { learning_rate, momentum, weight_decay, .. } = self.solver;
        if self.epochs == 0 || self.batch_size == 0 {
            let (what, found) = if self.epochs == 0 { ("epochs", 0) } else { ("batch_size", 0) };
            return wrong(what, found.to_string(), "it must be at least 1");
        }
        if !(learning_rate > 0.0 && learning_rate.is_finite()) {
            return wrong("solver.learning_rate", learning_rate.to_string(), "it must be above 0");
        }
        if !(0.0..1.0).contains(&momentum) {
            return wrong("solver.momentum", momentum.to_string(), "it must be from 0 to below 1");
        }
        self.validate_network()?;
        // TOML supports only signed 64-bit integers and UTF-8.
        for (what, value) in [("seed", self.seed), ("checkpoint_steps", self.checkpoint_steps)] {
            if i64::try_from(value).is_err() {
                return wrong(what, value.to_string(), "it must be at most 9223372036854775807");
            }
        }
        for (what, path) in [("data.path", Some(&self.data.path)), ("weights", self.weights.as_ref())] {
            if let Some(path) = path.filter(|path| path.to_str().is_none()) {
                return wrong(what, path.display().to_string(), "its name must be UTF-8");
            }
        }
        let exceptions = self.with_schedule.iter().flat_map(|with| &with.exceptions).chain(&self.solver.exceptions);
        let factors = [
            ("solver.weight_decay", weight_decay),
            ("solver.bias_learning_rate_factor", self.solver.bias_learning_rate_factor),
            ("solver.bias_weight_decay_factor", self.solver.bias_weight_decay_factor),
            ("data.color_noise", f64::from(self.data.color_noise)),
        ];
        let factors = factors.into_iter().chain(exceptions.flat_map(|e| {
            let rate = ("solver.exceptions.learning_rate_factor", e.learning_rate_factor);
            [rate, ("solver.exceptions.weight_decay_factor", e.weight_decay_factor)]
        }));
        for (what, value) in factors {
            if !(value >= 0.0 && value.is_finite()) {
                return wrong(what, value.to_string(), "it must be 0 or more");
            }
        }
        if !(self.data.hold_out > 0.0 && self.data.hold_out < 1.0) {
            return wrong("data.hold_out", self.data.hold_out.to_string(), "it must be above 0 and below 1");
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return wrong("label_smoothing", self.label_smoothing.to_string(), "it must be from 0 to below 1");
        }
        self.data.augment().validate()?;
        self.schedule.validate("schedule")?;
        self.bias_schedule.iter().try_for_each(|schedule| schedule.validate("bias_schedule"))
    }

    /// The first value in which two valid configurations differ: its name, the value in `self`, the value in `other`.
    ///
    /// # Panics
    /// As [`TrainConfig::to_toml`].
    pub fn difference(&self, other: &Self) -> Option<(String, String, String)> {
        let table = |config: &Self| toml::Value::try_from(config).expect("what `validate` accepts has a TOML form");
        difference("", &table(self), &table(other))
    }
}

pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(io(path))?;
    toml::from_str(&text).map_err(|error| {
        let line = error
            .span()
            .map_or(String::new(), |span| format!("line {}: ", text[..span.start].matches('\n').count() + 1));
        Error::ConfigFile { path: path.into(), reason: format!("{line}{}", error.message()) }
    })
}

fn difference(name: &str, a: &toml::Value, b: &toml::Value) -> Option<(String, String, String)> {
    let (toml::Value::Table(one), toml::Value::Table(two)) = (a, b) else {
        return (a != b).then(|| (name.into(), a.to_string(), b.to_string()));
    };
    let none = toml::Value::String("nothing".into());
    one.keys().chain(two.keys().filter(|key| !one.contains_key(*key))).find_map(|key| {
        let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        difference(&name, one.get(key).unwrap_or(&none), two.get(key).unwrap_or(&none))
    })
}

#[cfg(test)]
mod tests;
