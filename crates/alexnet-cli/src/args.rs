//! The command-line arguments, and their effect on a configuration.

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

/// Train, evaluate and use AlexNet (2012) and its variants on your own images.
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
/// The folder contains one folder per class, or `train` and `val` with one folder per class in each, or shards, or Parquet
/// files. Without validation images, a tenth of each class is held out. Without --data, a small data set of rendered shapes
/// is generated in data/shapes first; training on it takes a few minutes.
///
/// All files of a run are written to its folder, by default below `runs`: the best model (model.safetensors), the last
/// model (model-last.safetensors), the curves (plot.svg), all metrics (metrics.jsonl), the configuration (config.toml) and
/// a checkpoint. Ctrl-C stops a run; --resume continues it.
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
    /// Data set: a folder of images, shards or Parquet files [default: the built-in shapes].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Folder for the files of the run [default: a new folder below runs].
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub output: Option<PathBuf>,

    /// Continue a run that was stopped, killed or interrupted; the result is the same as without the interruption.
    #[arg(long, value_name = "RUN", conflicts_with = "config")]
    pub resume: Option<PathBuf>,

    /// Configuration file to start from, such as a run's config.toml; other options override its values.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Pretrained weights to start from (fine-tuning): a model file, torchvision's .pth, or the folder of a run.
    ///
    /// If the classes differ, the last layer is initialized again. The defaults change: a tenth of the learning rate, ten
    /// times that for the last layer, 30 epochs, batch size 32, and a cosine schedule. With --config, the values of that
    /// file are used instead.
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,

    /// Freeze the first N layers that have weights: of AlexNet's eight, 5 are the convolutions, 7 all except the last.
    #[arg(long, value_name = "N")]
    pub freeze: Option<usize>,

    /// Network architecture [default: that of --weights, or alexnet].
    #[arg(long, value_parser = archs())]
    pub arch: Option<String>,

    /// Network architecture from a file: a list of layers, as printed by `alexnet info --format toml`.
    #[arg(long, value_name = "FILE", conflicts_with = "arch")]
    pub arch_file: Option<PathBuf>,

    /// Number of passes over the training images [default: 90; 30 with --weights; 91 with --schedule alexnet-2012, unless
    /// --config is given; 6 for shapes].
    #[arg(long, value_name = "N")]
    pub epochs: Option<u32>,

    /// Batch size: images per training step [default: 128; 256 for alexnet-torchvision; 32 with --weights; 32 for shapes].
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,

    /// Learning rate of the weights, before the schedule; in the 2012 recipe, the rate of the biases is twice as high
    /// [default: 0.01; 0.001 with --weights].
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<f64>,

    /// Learning rate schedule; a --config file can set its parameters [default: dexp; steps for alexnet-torchvision; cosine
    /// with --weights and for shapes].
    #[arg(long)]
    pub schedule: Option<ScheduleKind>,

    /// Momentum [default: 0.9].
    #[arg(long, value_name = "M")]
    pub momentum: Option<f64>,

    /// Weight decay [default: 0.0005; 0.0001 for alexnet-torchvision].
    #[arg(long, value_name = "DECAY")]
    pub weight_decay: Option<f64>,

    /// Shuffle with a buffer of N images instead of the whole data set: shards are then read in runs, for disks with slow
    /// seeks [default: the whole data set].
    #[arg(long, value_name = "N")]
    pub shuffle_buffer: Option<NonZeroU32>,

    /// What to do with a file that is not an image [default: skip].
    #[arg(long, value_name = "ACTION")]
    pub on_bad_sample: Option<OnBad>,

    /// Steps between checkpoints, in addition to the checkpoint after each epoch [default: 1000].
    #[arg(long, value_name = "N")]
    pub checkpoint_steps: Option<u64>,

    /// Random seed of initial weights, order, crops, noise and dropout [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,

    #[command(flatten)]
    pub machine: MachineArgs,

    #[command(flatten)]
    pub augment: AugmentArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnBad {
    /// Skip the file and list it; more than 1 % are an error.
    Skip,
    /// Fail at the first such file.
    Fail,
}

/// The folder of the built-in data set.
pub const SHAPES: &str = "data/shapes";

impl TrainArgs {
    /// The configuration of a new run, before the options are applied: that of the file, or the recipe of the literature,
    /// or, for the built-in shapes, a recipe that ends within minutes.
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

    /// `config` with these options applied.
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

/// The architecture of the weights, which is an error if the file does not state it.
fn weights_arch(weights: &Path) -> alexnet_train::Result<String> {
    let path = RunDir::model_file(weights)?;
    let unknown = || {
        let reason = "name the architecture with --arch: the file does not state it".into();
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
        for said in [format!("{} for shapes]", config.epochs), format!("{} for shapes]", config.batch_size)] {
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

    /// `alexnet-2012` sets the epochs of a new run, and may be repeated when a run is resumed.
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
                // Other schedules remove the settings of `alexnet-2012`.
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
