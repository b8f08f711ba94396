//! The arguments, and what they mean for a configuration.

mod augment;
mod machine;
mod schedule;
mod trained;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use alexnet_data::OnBadSample;
use alexnet_model::{ModelFile, Precision, VARIANTS};
use alexnet_train::{RunDir, TrainConfig, read_network};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Parser, Subcommand, ValueEnum};

use augment::AugmentArgs;
pub use machine::{DeviceChoice, MachineArgs};
pub use schedule::ScheduleKind;
pub use trained::{EvalArgs, InfoArgs, ListFormat, PredictArgs, WeightsArgs};

/// Train, evaluate and use AlexNet, the network of 2012, on your own photographs.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Train(Box<TrainArgs>),
    Eval(EvalArgs),
    Predict(PredictArgs),
    Info(InfoArgs),
}

fn archs() -> PossibleValuesParser {
    VARIANTS.map(|variant| PossibleValue::new(variant.name).help(variant.about)).into()
}

/// Train a network on a folder of images.
///
/// The folder holds one folder per class, or `train` and `val` with one folder per class in each, or shards, or Parquet
/// files; without validation images, a tenth of each class is held out. Without --data, a small set of rendered shapes is drawn into data/shapes first: try that,
/// it takes a few minutes.
///
/// Everything a run leaves is in its folder below `runs`: the best model (model.safetensors), the last one, the curves
/// (plot.svg), all numbers (metrics.jsonl), the configuration and a checkpoint. Ctrl-C stops a run so that --resume can
/// go on with it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    alexnet train\n  \
    alexnet train --data photographs --epochs 20\n  \
    alexnet train --data photographs --weights runs/alexnet-imagenet --freeze 5\n  \
    alexnet train --data photographs --weights alexnet-owt-7be5be79.pth --arch alexnet-torchvision\n  \
    alexnet train --data photographs --arch-file net.toml\n  \
    alexnet train --config runs/alexnet-shapes/config.toml --seed 1\n  \
    alexnet train --resume runs/alexnet-photographs")]
pub struct TrainArgs {
    /// Folder of images; without it, the built-in shapes.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Folder for the run [default: a new one below runs].
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub output: Option<PathBuf>,

    /// Go on with a run that was stopped, killed or interrupted; it ends as if it never had been.
    #[arg(long, value_name = "RUN", conflicts_with = "config")]
    pub resume: Option<PathBuf>,

    /// Start from a configuration file, such as a run's config.toml; the options below change it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Start from these weights instead of random ones (fine-tuning): a model file, torchvision's .pth, or a run's folder.
    ///
    /// The last layer starts anew where the classes are others. The defaults then are a tenth of the learning rate, ten times
    /// that for the last layer, 30 epochs of batches of 32, and a cosine; with --config, that file says all of it.
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,

    /// Leave the first N layers with weights as they start: of AlexNet's eight, 5 are the convolutions, 7 all but the last.
    #[arg(long, value_name = "N")]
    pub freeze: Option<usize>,

    /// Which network [default: that of --weights, or alexnet].
    #[arg(long, value_parser = archs())]
    pub arch: Option<String>,

    /// A network of your own: its list of layers, such as `alexnet info --format toml` writes.
    #[arg(long, value_name = "FILE", conflicts_with = "arch")]
    pub arch_file: Option<PathBuf>,

    /// Passes over the training images [default: 90; with --weights 30; with --schedule alexnet-2012, but not
    /// with --config, 91; for shapes, 6].
    #[arg(long, value_name = "N")]
    pub epochs: Option<u32>,

    /// Images per step [default: 128, torchvision's 256; with --weights 32; for shapes, 32].
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,

    /// Learning rate of weights before the schedule; in 2012's recipe that of biases is twice as high [default: 0.01; with
    /// --weights, 0.001].
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<f64>,

    /// How the rate falls; --config can say more [default: dexp, torchvision's in steps; with --weights and for shapes, cosine].
    #[arg(long)]
    pub schedule: Option<ScheduleKind>,

    /// How much of the last update goes into the next [default: 0.9].
    #[arg(long, value_name = "M")]
    pub momentum: Option<f64>,

    /// Pull of weights towards zero [default: 0.0005, torchvision's 0.0001].
    #[arg(long, value_name = "DECAY")]
    pub weight_decay: Option<f64>,

    /// Draw each image from among the next N, instead of from all: shards then are read in runs, for disks that seek slowly.
    #[arg(long, value_name = "N")]
    pub shuffle_buffer: Option<NonZeroU32>,

    /// What to do about a file that is not an image: leave it out and list it (more than 1 % fail), or fail at once.
    #[arg(long, value_name = "WHAT")]
    pub on_bad_sample: Option<OnBad>,

    /// Steps between checkpoints, besides one after each epoch [default: 1000].
    #[arg(long, value_name = "N")]
    pub checkpoint_steps: Option<u64>,

    /// Decides initial weights, order, crops, noise and dropout [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,

    #[command(flatten)]
    pub machine: MachineArgs,

    #[command(flatten)]
    pub augment: AugmentArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnBad {
    /// Leave it out and list it; more than 1 % fail.
    Skip,
    /// Fail at once.
    Fail,
}

/// The name of the built-in data set's folder.
pub const SHAPES: &str = "data/shapes";

impl TrainArgs {
    /// The configuration that a new run starts from, before the options change it: that of the file, or the recipe of the
    /// literature, or, for the built-in shapes, one that ends within minutes.
    pub fn base(&self) -> alexnet_train::Result<TrainConfig> {
        if let Some(file) = &self.config {
            return TrainConfig::read(file);
        }
        let network = self.arch_file.as_deref().map(read_network).transpose()?;
        let arch = match (&network, &self.arch, &self.weights) {
            (Some(network), ..) => network.arch().into(),
            (None, Some(arch), _) => arch.clone(),
            (None, None, Some(weights)) => weights_arch(weights)?,
            (None, None, None) => "alexnet".into(),
        };
        let data = self.data.clone().unwrap_or_else(|| SHAPES.into());
        let mut config = TrainConfig { network, ..TrainConfig::recipe(&arch, data) };
        if let Some(weights) = &self.weights {
            config = config.fine_tuning(weights.clone())?;
        } else if self.data.is_none() {
            (config.epochs, config.batch_size) = (6, 32);
            config = ScheduleKind::Cosine.apply(config)?;
        }
        if self.schedule == Some(ScheduleKind::Alexnet2012) {
            config.epochs = config.clone().manual_2012()?.epochs;
        }
        Ok(config)
    }

    /// `config` with what these options say.
    pub fn apply(&self, mut config: TrainConfig) -> alexnet_train::Result<TrainConfig> {
        fn set<T: Clone>(value: &mut T, option: &Option<T>) {
            if let Some(option) = option {
                *value = option.clone();
            }
        }
        set(&mut config.data.path, &self.data);
        if let Some(arch) = &self.arch {
            (config.arch, config.network) = (arch.clone(), None);
        } else if let Some(file) = &self.arch_file {
            let network = read_network(file)?;
            (config.arch, config.network) = (network.arch().into(), Some(network));
        }
        config.weights = self.weights.clone().or(config.weights);
        set(&mut config.epochs, &self.epochs);
        set(&mut config.batch_size, &self.batch_size);
        set(&mut config.solver.learning_rate, &self.learning_rate);
        set(&mut config.solver.momentum, &self.momentum);
        set(&mut config.solver.weight_decay, &self.weight_decay);
        set(&mut config.checkpoint_steps, &self.checkpoint_steps);
        set(&mut config.seed, &self.seed);
        config.data.shuffle_buffer = self.shuffle_buffer.or(config.data.shuffle_buffer);
        if let Some(on_bad) = self.on_bad_sample {
            config.data.on_bad_sample = match on_bad {
                OnBad::Skip => OnBadSample::Skip,
                OnBad::Fail => OnBadSample::Fail,
            };
        }
        if let Some(kind) = self.schedule {
            config = kind.apply(config)?;
        }
        set(&mut config.precision, &self.machine.precision.map(Precision::from));
        config.tf32 |= self.machine.tf32;
        config.fast |= self.machine.fast;
        self.augment.apply(&mut config);
        match self.freeze {
            Some(layers) => config.freeze(layers),
            None => Ok(config),
        }
    }
}

/// The network that the weights are of, which has to be said where the file does not.
fn weights_arch(weights: &Path) -> alexnet_train::Result<String> {
    let path = RunDir::model_file(weights)?;
    let unknown = || {
        let reason = "the file does not say which architecture its weights are of; name it with --arch".into();
        alexnet_model::Error::File { path: path.clone(), reason }.into()
    };
    ModelFile::arch(&path)?.ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alexnet_train::Schedule;
    use clap::CommandFactory;

    fn train(line: &str) -> TrainArgs {
        let Command::Train(args) = Args::parse_from(line.split(' ')).command else { panic!("{line}") };
        *args
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn without_data_the_shapes_are_trained_on() {
        let config = train("alexnet train").base().unwrap();
        assert_eq!((config.arch.as_str(), config.data.path), ("alexnet", SHAPES.into()));
        let train_help = Args::command().find_subcommand("train").unwrap().clone().render_long_help().to_string();
        for said in [format!("for shapes, {}]", config.epochs), format!("for shapes, {}]", config.batch_size)] {
            assert!(train_help.contains(&said), "{said}");
        }
        let config = train("alexnet train --data photos --arch caffenet").base().unwrap();
        assert_eq!(config, TrainConfig::recipe("caffenet", "photos".into()));
    }

    #[test]
    fn options_change_the_configuration() {
        let args = train(
            "alexnet train --data photos --epochs 9 --batch-size 7 --learning-rate 0.5 --schedule steps --seed 3 \
             --momentum 0.1 --weight-decay 0 --color-noise 0 --checkpoint-steps 4 --on-bad-sample fail \
             --shuffle-buffer 50",
        );
        let config = args.apply(args.base().unwrap()).unwrap();
        let mut expected = TrainConfig::recipe("alexnet", "photos".into());
        (expected.epochs, expected.batch_size, expected.seed, expected.checkpoint_steps) = (9, 7, 3, 4);
        expected.solver.learning_rate = 0.5;
        (expected.solver.momentum, expected.solver.weight_decay, expected.data.color_noise) = (0.1, 0.0, 0.0);
        expected.data.on_bad_sample = OnBadSample::Fail;
        expected.data.shuffle_buffer = NonZeroU32::new(50);
        (expected.schedule, expected.bias_schedule) = (Schedule::Steps { epochs: vec![3, 6], factor: 0.1 }, None);
        assert_eq!(config, expected);
        config.validate().unwrap();
    }

    /// The hand of 2012 has epochs of its own in a new run, and may be said again where a run goes on.
    #[test]
    fn the_2012_schedule_may_be_repeated() {
        for (line, epochs) in [("", 91), (" --epochs 30", 30), (" --freeze 5", 91), (" --arch alexnet-torchvision", 91)]
        {
            let line = format!("alexnet train --data photos --schedule alexnet-2012{line}");
            let args = train(&line);
            let config = args.apply(args.base().unwrap()).unwrap();
            config.validate().unwrap();
            assert_eq!(config.epochs, epochs, "{line}");
            for again in ["alexnet train --schedule alexnet-2012", &line] {
                assert_eq!(train(again).apply(config.clone()).unwrap(), config, "{line}, then {again}");
            }
        }
    }

    #[test]
    fn every_schedule_is_valid() {
        for kind in ScheduleKind::value_variants() {
            let name = kind.to_possible_value().unwrap();
            let args = train(&format!("alexnet train --schedule {}", name.get_name()));
            for epochs in [1, 90, u32::MAX] {
                let recipe = TrainConfig { epochs, ..TrainConfig::recipe("alexnet", "data".into()) };
                let config = args.apply(recipe.clone()).unwrap();
                config.validate().unwrap();
                assert_eq!(config.epochs, epochs);
                // No other schedule keeps what the hand of 2012 did.
                let again = args.apply(recipe.manual_2012().unwrap()).unwrap();
                assert_eq!((&again.solver, &again.with_schedule), (&config.solver, &config.with_schedule));
            }
        }
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in [
            "alexnet",
            "alexnet train --arch alexnet-v2",
            "alexnet train --resume a --config b",
            "alexnet train --arch alexnet --arch-file net.toml",
            "alexnet info --format toml --json",
            "alexnet train --threads 0",
            "alexnet train --epochs -1",
            "alexnet train --shuffle-buffer 0",
            "alexnet eval --weights a --data b --views 2",
            "alexnet predict --weights a",
            "alexnet predict a.jpg",
            "alexnet info --classes 0",
        ] {
            assert_eq!(Args::try_parse_from(line.split(' ')).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
