//! Everything that decides a run's result, as a file.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use alexnet_data::{Augment, ColorJitter, Mixing, OnBadSample, Order, RandomErasing, RandomResizedCrop};
use alexnet_kernels::sgd::SgdRule;
use alexnet_model::{Precision, Specification};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, io};
use crate::schedule::Schedule;

/// The effective configuration of a run. Two runs with the same configuration, data and, where they start from one, file of
/// weights end with the same weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The variant, or the name of `network`.
    pub arch: String,
    /// What the run starts from, where that is not random: a model file or a run's folder, whose best model is taken. Where
    /// its classes are not those of the images, the last layer starts anew. A mean image in it is used, not the images' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// Decides initial weights, order, augmentation and dropout.
    pub seed: u64,
    /// Passes over the training images.
    pub epochs: u32,
    /// Images per step.
    pub batch_size: usize,
    /// Steps between checkpoints; there is one after every epoch as well. 0 means only those.
    pub checkpoint_steps: u64,
    /// The share of each label that is spread evenly over all classes while training. 0 in 2012.
    #[serde(default)]
    pub label_smoothing: f32,
    /// What the network computes with.
    #[serde(default)]
    pub precision: Precision,
    /// Whether `f32` products on a GPU may be rounded to TF32.
    #[serde(default)]
    pub tf32: bool,
    /// Whether a GPU may add up in another order each time.
    #[serde(default)]
    pub fast: bool,
    /// The images.
    pub data: DataConfig,
    /// The update.
    pub solver: SolverConfig,
    /// The learning rate of weights.
    pub schedule: Schedule,
    /// The learning rate of biases, where it is not that of weights: in 2012 it was lowered once at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias_schedule: Option<Schedule>,
    /// What belongs to the schedules and ends with them: whoever chooses others leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_schedule: Option<WithSchedule>,
    /// The layers, where the network is no variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Specification>,
}

/// Settings that a schedule brings with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithSchedule {
    /// In the place of [`DataConfig::color_noise_epochs`], where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color_noise_epochs: Option<u32>,
    /// Before [`SolverConfig::exceptions`], which outrank them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<SolverException>,
}

/// Which images, and what is done to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A folder of class folders, or of `train` and `val` with class folders in them.
    pub path: PathBuf,
    /// The fraction of each class held out for validation where the folder has no `val`.
    pub hold_out: f64,
    /// Images among which each is drawn, where all of them together would have a slow disk seek; see [`Order::Buffered`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle_buffer: Option<NonZeroU32>,
    /// What becomes of a file that is not an image.
    pub on_bad_sample: OnBadSample,
    /// A random view of each image, or its center.
    pub random_crop: bool,
    /// Half of the images mirrored.
    pub flip: bool,
    /// The paper's color noise: standard deviation in units of the set's own. 0.1 in 2012; 0 is none.
    #[serde(alias = "colour_noise")]
    pub color_noise: f32,
    /// How many epochs have it, where not all have. In 2012 the last quarter had none.
    #[serde(default, alias = "colour_noise_epochs", skip_serializing_if = "Option::is_none")]
    pub color_noise_epochs: Option<u32>,
    /// α of the beta distribution by which neighbors in a batch are blended, with their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f32>,
    /// α of the beta distribution by which rectangles of neighbors in a batch are exchanged, with their labels. Where
    /// there is a `mixup` too, each has half of the batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutmix: Option<f32>,
    /// A part of random size and proportions of each image, instead of a view cut from its square.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_resized_crop: Option<RandomResizedCrop>,
    /// Random brightness, contrast, saturation and hue.
    #[serde(default, alias = "colour_jitter", skip_serializing_if = "Option::is_none")]
    pub color_jitter: Option<ColorJitter>,
    /// Rectangles taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_erasing: Option<RandomErasing>,
}

impl DataConfig {
    /// The order of an epoch.
    pub fn order(&self) -> Order {
        self.shuffle_buffer.map_or(Order::Shuffled, |buffer| Order::Buffered { buffer: buffer.get() })
    }

    /// The augmentation, but for the color noise, which depends on the images.
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

/// The update of the parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SolverConfig {
    /// Where the learning rate stands.
    pub rule: Rule,
    /// Of weights, before the schedule.
    pub learning_rate: f64,
    /// Of all parameters.
    pub momentum: f64,
    /// Of weights.
    pub weight_decay: f64,
    /// The learning rate of biases, in units of that of weights. 2 in 2012 and Caffe.
    pub bias_learning_rate_factor: f64,
    /// The decay of biases, in units of that of weights. 0 in 2012 and Caffe.
    pub bias_weight_decay_factor: f64,
    /// The first layers with weights, so many, that stay as they start, whatever the exceptions say.
    #[serde(default, skip_serializing_if = "is_none_frozen")]
    pub freeze: usize,
    /// Exceptions, of which the last that fits a parameter and has begun counts.
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

/// Other rates for some parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SolverException {
    /// A layer's name, or a parameter's.
    pub of: String,
    /// On top of the factors of weights and biases. 0 leaves the parameter as it is: neither decay nor momentum move it.
    #[serde(default = "one")]
    pub learning_rate_factor: f64,
    /// On top of the factors of weights and biases.
    #[serde(default = "one")]
    pub weight_decay_factor: f64,
    /// Complete epochs from which on it counts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub from_epoch: u32,
}

impl SolverException {
    /// Another learning rate for a layer or a parameter, from the start.
    pub fn new(of: impl Into<String>, learning_rate_factor: f64) -> Self {
        Self { of: of.into(), learning_rate_factor, weight_decay_factor: 1.0, from_epoch: 0 }
    }

    /// The same from an epoch on, counted from 0.
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
    /// The update, with what the schedule brings.
    pub fn scheduled_solver(&self) -> SolverConfig {
        let mut solver = self.solver.clone();
        if let Some(with) = &self.with_schedule {
            solver.exceptions.splice(..0, with.exceptions.iter().cloned());
        }
        solver
    }

    /// The images and what is done to them, with what the schedule brings.
    pub fn scheduled_data(&self) -> DataConfig {
        let epochs = self.with_schedule.as_ref().and_then(|with| with.color_noise_epochs);
        DataConfig { color_noise_epochs: epochs.or(self.data.color_noise_epochs), ..self.data.clone() }
    }

    /// Reads a file that [`TrainConfig::to_toml`] wrote, or one like it.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::ConfigFile`] with the line of what cannot be understood.
    pub fn read(path: &Path) -> Result<Self> {
        read_toml(path)
    }

    /// As a file.
    ///
    /// # Panics
    /// On a configuration that [`TrainConfig::validate`] refuses because TOML cannot hold it.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("what `validate` accepts has a TOML form")
    }

    /// # Errors
    /// [`Error::Config`] for the first value that makes no sense.
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
        // TOML knows signed numbers and UTF-8 only.
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

    /// The first value in which two valid configurations differ: its name, here, there.
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
