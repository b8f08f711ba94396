//! A network's weights, in and out.

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

/// A network with what it takes to use it: the names of its classes and, where its preprocessing has one, the mean image
/// of the set it was trained on.
#[derive(Debug)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// The name of each class, in the order of the logits; empty where the file did not say.
    pub classes: Vec<String>,
    /// `[3, source_size, source_size]`, red, green, blue, in units of the input's pixel range.
    pub mean_image: Option<Vec<f32>>,
}
