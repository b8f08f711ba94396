//! The arguments of what is done with a trained network.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::PossibleValuesParser;

use super::{MachineArgs, archs};

/// Measure a trained network on a folder of images.
///
/// Takes the folder's `val`, or all of it where it has no splits. With --views 10, an image's probabilities are averaged
/// over its corners and center and their mirror images, as in the paper. With --weights more than once, each network is
/// measured alone, and then all as one.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    alexnet eval --weights runs/alexnet-shapes --data data/shapes\n  \
    alexnet eval --weights runs/first --weights runs/second --data photographs --views 10\n  \
    alexnet eval --weights torchvision.safetensors --arch alexnet-torchvision --data imagenet --views 10")]
pub struct EvalArgs {
    #[command(flatten)]
    pub weights: WeightsArgs,

    /// Folder of images: one folder per class, or `val` with one folder per class.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,

    /// Views per image: its center, or ten.
    #[arg(long, default_value = "1", value_parser = PossibleValuesParser::new(["1", "10"]))]
    pub views: String,

    /// Images per step.
    #[arg(long, value_name = "N", default_value = "64")]
    pub batch_size: NonZeroUsize,

    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Say what is in a picture.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    alexnet predict cat.jpg --weights runs/alexnet-photographs\n  \
    alexnet predict *.jpg --weights model.safetensors --top 1 --json")]
pub struct PredictArgs {
    /// The pictures.
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,

    #[command(flatten)]
    pub weights: WeightsArgs,

    /// Views per image, whose probabilities are averaged: its center, or ten as in the paper.
    #[arg(long, default_value = "1", value_parser = PossibleValuesParser::new(["1", "10"]))]
    pub views: String,

    /// How many guesses per picture.
    #[arg(long, value_name = "N", default_value = "5")]
    pub top: NonZeroUsize,

    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Show a network's layers, parameters and costs.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    alexnet info --arch alexnet\n  \
    alexnet info --weights runs/alexnet-shapes --json\n  \
    alexnet info --arch alexnet --classes 10 --format toml\n  \
    alexnet info --devices")]
pub struct InfoArgs {
    /// Which network; with --weights, where the file does not say [default: alexnet].
    #[arg(long, value_parser = archs())]
    pub arch: Option<String>,

    /// How many classes [default: 1000].
    #[arg(long, value_name = "N", conflicts_with = "weights")]
    pub classes: Option<NonZeroUsize>,

    /// Show the network of a model file or a run instead.
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,

    /// Show what there is to compute on instead.
    #[arg(long, conflicts_with_all = ["arch", "classes", "weights"])]
    pub devices: bool,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    /// Print the list of layers, to be changed and given to `train --arch-file`.
    #[arg(long, conflicts_with_all = ["devices", "json"])]
    pub format: Option<ListFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    Toml,
}

#[derive(Debug, clap::Args)]
pub struct WeightsArgs {
    /// A model file, or a run's folder, whose best model is taken. Said more than once, the probabilities of all are
    /// averaged: an ensemble.
    #[arg(long, value_name = "FILE", required = true)]
    pub weights: Vec<PathBuf>,

    /// Which network the weights are of, where the file does not say; of several, those that do not.
    #[arg(long, value_parser = archs())]
    pub arch: Option<String>,
}
