//! Output shapes of layers.

/// Number of values of a tensor with these dimensions; saturates at `usize::MAX`, which exceeds every limit.
pub(crate) fn elements(dims: &[usize]) -> usize {
    dims.iter().fold(1, |product: usize, &dim| product.saturating_mul(dim))
}

/// The output shape of a layer for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Channels, height, width.
    Map([usize; 3]),
    /// Features.
    Vector(usize),
}

impl Shape {
    /// Number of values.
    pub fn elements(self) -> usize {
        match self {
            Self::Map(dims) => elements(&dims),
            Self::Vector(features) => features,
        }
    }

    /// The dimensions as a list: `[channels, height, width]` or `[features]`.
    pub fn dims(self) -> Vec<usize> {
        match self {
            Self::Map(dims) => dims.to_vec(),
            Self::Vector(features) => vec![features],
        }
    }

    /// Memory layout of a batch of `n` inside the network: `[n, height, width, channels]` or `[n, features]`.
    pub(crate) fn batch(self, n: usize) -> Vec<usize> {
        match self {
            Self::Map([c, h, w]) => vec![n, h, w, c],
            Self::Vector(features) => vec![n, features],
        }
    }
}
