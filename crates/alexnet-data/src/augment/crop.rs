//! Crop positions within the square.

use alexnet_random::Stream;
use serde::{Deserialize, Serialize};

/// Rounding of the center position for odd margins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centering {
    /// `margin / 2`, rounded down (2012, Caffe).
    Down,
    /// `margin / 2`, halves rounded to even (torchvision's `CenterCrop`, through Python's `round`).
    HalfToEven,
}

impl Centering {
    /// The part of `margin` on the left or at the top.
    pub fn offset(self, margin: u32) -> u32 {
        let half = margin / 2;
        match self {
            Centering::HalfToEven if margin % 2 == 1 => half + half % 2,
            _ => half,
        }
    }
}

/// Column and row of a random crop, each uniform in `0..=border`, drawn for every image.
///
/// # Source
/// Krizhevsky et al. 2012, section 4.1, and cuda-convnet2; the 2012 code draws once for 32 consecutive images.
pub(crate) fn random_offset(stream: &mut Stream, border: u32) -> (u32, u32) {
    let choices = border.saturating_add(1);
    (stream.below(choices), stream.below(choices))
}

/// Columns and rows of the four corner crops and the center crop, in the order of [`View::ten`](super::view::View::ten).
pub(crate) fn ten_view_offsets(border: u32, centering: Centering) -> [(u32, u32); 5] {
    let middle = centering.offset(border);
    [(0, 0), (border, 0), (middle, middle), (0, border), (border, border)]
}
