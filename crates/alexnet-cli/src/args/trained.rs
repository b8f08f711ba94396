//! The arguments of the commands that use a trained network.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::PossibleValuesParser;

use super::{MachineArgs, archs};

/// Evaluate a trained network on a folder of images.
///
/// Evaluates on the folder's `val`, or on all images if it has no splits. With --views 10, the probabilities of an image
/// are averaged over its corners and center and their mirror images, as in the paper. With several --weights, each network
/// is evaluated alone, and then all of them as an ensemble.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    alexnet eval --weights runs/alexnet-shapes --data data/shapes\n  \
    alexnet eval --weights runs/first --weights runs/second --data photographs --views 10\n  \
    alexnet eval --weights torchvision.safetensors --arch alexnet-torchvision --data imagenet --views 10")]
pub struct EvalArgs {
    #[command(flatten)]
    pub weights: WeightsArgs,

    /// Data set: a folder with one folder per class, or with `val` and one folder per class in it, or with shards or Parquet
    /// files.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,

    /// Views per image: 1 is the center crop, 10 as in the paper.
    #[arg(long, default_value = "1", value_parser = PossibleValuesParser::new(["1", "10"]))]
    pub views: String,

    /// Batch size: views per step.
    #[arg(long, value_name = "N", default_value = "64")]
    pub batch_size: NonZeroUsize,

    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Classify images.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    alexnet predict cat.jpg --weights runs/alexnet-photographs\n  \
    alexnet predict *.jpg --weights model.safetensors --top 1 --json")]
pub struct PredictArgs {
    /// The images to classify.
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,

    #[command(flatten)]
    pub weights: WeightsArgs,

    /// Views per image, whose probabilities are averaged: 1 is the center crop, 10 as in the paper.
    #[arg(long, default_value = "1", value_parser = PossibleValuesParser::new(["1", "10"]))]
    pub views: String,

    /// Number of predictions per image.
    #[arg(long, value_name = "N", default_value = "5")]
    pub top: NonZeroUsize,

    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Show the layers, parameters and multiply-adds of a network.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    alexnet info --arch alexnet\n  \
    alexnet info --weights runs/alexnet-shapes --json\n  \
    alexnet info --arch alexnet --classes 10 --format toml\n  \
    alexnet info --devices")]
pub struct InfoArgs {
    /// Network architecture; with --weights, for a file that does not state it [default: alexnet].
    #[arg(long, value_parser = archs())]
    pub arch: Option<String>,

    /// Number of classes [default: 1000].
    #[arg(long, value_name = "N", conflicts_with = "weights")]
    pub classes: Option<NonZeroUsize>,

    /// Show the network of a model file, or of a run's folder, instead.
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,

    /// List the devices instead: the CPU and the NVIDIA GPUs.
    #[arg(long, conflicts_with_all = ["arch", "classes", "weights"])]
    pub devices: bool,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    /// Print the list of layers in this format, as input for `train --arch-file`.
    #[arg(long, conflicts_with_all = ["devices", "json"])]
    pub format: Option<ListFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    Toml,
}

#[derive(Debug, clap::Args)]
pub struct WeightsArgs {
    /// Model file, or the folder of a run, whose best model is used; repeat the option for an ensemble, which averages the
    /// probabilities.
    #[arg(long, value_name = "FILE", required = true)]
    pub weights: Vec<PathBuf>,

    /// Network architecture of the weights, for files that do not state it.
    #[arg(long, value_parser = archs())]
    pub arch: Option<String>,
}
