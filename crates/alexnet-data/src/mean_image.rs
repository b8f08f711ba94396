//! The mean of a training set, pixel by pixel.

/// The per-pixel mean of a training set's squares.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanImage {
    /// Side in pixels: the `source_size` of the preprocessing used to compute it.
    pub size: u32,
    /// `[3, size, size]`: planes of red, green and blue, 0–255.
    pub values: Vec<f32>,
}
