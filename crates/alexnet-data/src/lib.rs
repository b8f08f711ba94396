#![doc = include_str!("../README.md")]

mod augment;
mod bad_samples;
mod decode;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hash;
mod labels;
mod loader;
mod normalize;
mod order;
mod parallel;
mod pipeline;
#[cfg(feature = "prepare")]
pub mod prepare;
mod preprocess;
mod resize;
mod sources;
mod statistics;

pub use augment::colour_jitter::{ColourChange, ColourChanges, ColourJitter};
pub use augment::colour_noise::{ColourNoise, ColourShift};
pub use augment::crop::Centring;
pub use augment::mixing::Mixing;
pub use augment::random_erasing::{Erased, Fill, RandomErasing};
pub use augment::resized_crop::{RandomResizedCrop, ResizedCrop};
pub use augment::{Augment, View};
pub use bad_samples::{BadSample, BadSampleBudget, OnBadSample};
pub use decode::{DecodeLimits, RgbImage8, RgbRef8, decode, decode_into};
pub use error::Error;
pub use labels::Labels;
pub use loader::{Batch, Bytes, Loader, LoaderConfig, Pixels};
pub use normalize::{ChannelOrder, Mean, MeanAlignment, MeanImage, PixelScale, ViewNumbers};
pub use order::{Batching, EpochOrder, Order, Share};
pub use pipeline::{Mode, Pipeline, Scratch, Square};
pub use preprocess::Preprocess;
pub use resize::{ResizeFilter, ResizeRule, Resizer, SideRounding, Window};
pub use sources::folder::{DataSet, Split};
#[cfg(feature = "parquet")]
pub use sources::parquet::{ParquetFiles, table::Table};
pub use sources::shapes;
pub use sources::shards::manifest::PreparedStatistics;
pub use sources::shards::{Entry, Shard};
pub use sources::{Location, Sample};
pub use statistics::{CacheOutcome, Statistics};
