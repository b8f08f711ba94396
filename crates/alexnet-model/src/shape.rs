//! The shape of what a layer gives.

/// How many values a tensor of these dimensions has; `usize::MAX` where that is no number, which is beyond every limit.
pub(crate) fn elements(dims: &[usize]) -> usize {
    dims.iter().fold(1, |product: usize, &dim| product.saturating_mul(dim))
}

/// The shape of what a layer gives for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Channels, height, width.
    Map([usize; 3]),
    /// Features.
    Vector(usize),
}

impl Shape {
    /// How many values.
    pub fn elements(self) -> usize {
        match self {
            Self::Map(dims) => elements(&dims),
            Self::Vector(features) => features,
        }
    }

    /// As a list: `[channels, height, width]` or `[features]`.
    pub fn dims(self) -> Vec<usize> {
        match self {
            Self::Map(dims) => dims.to_vec(),
            Self::Vector(features) => vec![features],
        }
    }

    /// As a batch of `n` lies in memory inside the network: `[n, height, width, channels]` or `[n, features]`.
    pub(crate) fn batch(self, n: usize) -> Vec<usize> {
        match self {
            Self::Map([c, h, w]) => vec![n, h, w, c],
            Self::Vector(features) => vec![n, features],
        }
    }
}
