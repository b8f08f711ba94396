#![doc = include_str!("../README.md")]

mod augment;
mod bad_samples;
mod dataset;
mod decode;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hash;
mod hold_out;
mod labels;
mod loader;
mod mean_image;
mod normalize;
mod order;
mod parallel;
mod pipeline;
#[cfg(feature = "prepare")]
pub mod prepare;
mod preprocess;
mod read_ahead;
mod resize;
mod sample;
mod sources;
mod split;
mod square;
mod statistics;

pub use alexnet_input::{ChannelOrder, Mean, PixelRange};
pub use augment::Augment;
pub use augment::color_jitter::{ColorChange, ColorChanges, ColorJitter};
pub use augment::color_noise::{ColorNoise, ColorShift};
pub use augment::crop::Centering;
pub use augment::mixing::Mixing;
pub use augment::random_erasing::{Erased, Fill, RandomErasing};
pub use augment::resized_crop::{RandomResizedCrop, ResizedCrop};
pub use augment::view::{View, Views};
pub use bad_samples::{BadSample, BadSampleBudget, OnBadSample};
pub use dataset::Dataset;
pub use decode::{DecodeLimits, RgbImage8, RgbRef8, decode, decode_into};
pub use error::Error;
pub use labels::Labels;
pub use loader::DataLoader;
pub use loader::batch::{Batch, BatchImages, Bytes};
pub use loader::config::{DataLoaderConfig, Pixels};
pub use mean_image::MeanImage;
pub use normalize::ViewNumbers;
pub use order::{Order, Share};
pub use pipeline::{Pipeline, Scratch};
pub use preprocess::Preprocess;
pub use resize::{ResizeFilter, ResizeRule, Resizer, SideRounding, Window};
pub use sample::{Location, Sample};
#[cfg(feature = "parquet")]
pub use sources::parquet::{ParquetFiles, table::Table};
pub use sources::shapes;
pub use sources::shards::entry::Entry;
pub use sources::shards::manifest::PreparedStatistics;
pub use sources::shards::shard::Shard;
pub use split::Split;
pub use statistics::{CacheOutcome, Statistics};
