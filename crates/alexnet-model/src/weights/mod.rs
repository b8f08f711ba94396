//! Loads and saves models.

mod file;
mod load;
mod save;
#[cfg(test)]
mod tests;
mod write;

use crate::network::Network;
use crate::specification::MEAN_IMAGE;

pub use load::ModelFile;
pub use write::{write_atomically, write_safetensors};

/// A network with its class names and, if its preprocessing uses one, the mean image of the training set.
#[derive(Debug)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// The class names, in the order of the logits; empty if the file has none.
    pub classes: Vec<String>,
    /// The mean image, `[3, source_size, source_size]`, red, green, blue, in units of the input's pixel range.
    pub mean_image: Option<Vec<f32>>,
}
