//! Whether and how the images of a batch are mixed.

use alexnet_random::{Purpose, Stream};
use serde::{Deserialize, Serialize};

use super::{cutmix, mixup};
use crate::{Error, Window};

/// Mixing of each image with its neighbor in the batch; its label is mixed in the same proportion.
///
/// # Formula
/// For each batch a share λ is drawn from the beta distribution with both parameters α. [`mixup`](Self::mixup) blends,
/// `λ·x + (1 - λ)·neighbor`; [`cutmix`](Self::cutmix) replaces a rectangle of about `1 - λ` of the picture. Where both
/// have an α, each has half of the batches. The neighbor is the image before in the batch, that of the first the last.
///
/// # Source
/// Zhang et al. 2018, *mixup*; Yun et al. 2019, *CutMix*; torchvision, `transforms.v2.MixUp` and `CutMix`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixing {
    /// α of the blend, 0.2 in the paper for ImageNet; `None`: no blends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f32>,
    /// α of the rectangles, 1 in the paper; `None`: no rectangles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutmix: Option<f32>,
}

/// How one batch is mixed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mix {
    Blend { lambda: f32 },
    Cut { window: Window, lambda: f32 },
}

impl Mixing {
    pub(super) fn validate(&self) -> Result<(), Error> {
        for (what, alpha) in [("alpha of mixup", self.mixup), ("alpha of cutmix", self.cutmix)] {
            if let Some(alpha) = alpha.filter(|alpha| !(alpha.is_finite() && *alpha > 0.0)) {
                return Err(Error::setting(what, alpha, "it must be above 0"));
            }
        }
        Ok(())
    }

    /// How the batch whose first sample is at `position` of the epoch's order is mixed.
    pub(crate) fn draw(&self, seed: u64, epoch: u32, position: u32, side: u32) -> Option<Mix> {
        let mut stream = Stream::new(seed, Purpose::Mixing, epoch, position);
        let second = stream.below(2) == 1;
        let (blend, alpha) = match (self.mixup, self.cutmix) {
            (Some(mixup), Some(cutmix)) => {
                if second {
                    (false, cutmix)
                } else {
                    (true, mixup)
                }
            }
            (Some(mixup), None) => (true, mixup),
            (None, Some(cutmix)) => (false, cutmix),
            (None, None) => return None,
        };
        let lambda = stream.symmetric_beta(f64::from(alpha));
        if blend {
            return Some(Mix::Blend { lambda: lambda as f32 });
        }
        let (x, y) = (stream.below(side), stream.below(side));
        Some(Mix::cut(cutmix::window(side, x, y, lambda), side))
    }
}

impl Mix {
    fn cut(window: Window, side: u32) -> Self {
        let area = f64::from(window.width) * f64::from(window.height);
        Self::Cut { window, lambda: (1.0 - area / (f64::from(side) * f64::from(side))) as f32 }
    }

    /// The share of each image that is its own.
    pub(crate) fn lambda(self) -> f32 {
        match self {
            Self::Blend { lambda } | Self::Cut { lambda, .. } => lambda,
        }
    }

    /// Mixes images of planes of `side` by `side` numbers.
    pub(crate) fn apply(self, images: &mut [f32], length: usize, side: usize) {
        match self {
            Self::Blend { lambda } => mixup::apply(images, length, lambda),
            Self::Cut { window, .. } => cutmix::apply(images, length, side, window),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 8;
    const LENGTH: usize = 3 * SIDE * SIDE;

    /// Inputs and outputs of torchvision's `MixUp` and `CutMix`, whose draws were given; made by
    /// `tests/fixtures/make.py`.
    #[test]
    fn batches_are_those_of_torchvision() {
        let input: Vec<f32> = (0..4 * LENGTH).map(|i| (i * 37 % 101) as f32 / 100.0).collect();
        let check = |mix: Mix, golden: &[f64]| {
            let mut images = input.clone();
            mix.apply(&mut images, LENGTH, SIDE);
            for (i, (found, expected)) in images.iter().zip(golden).enumerate() {
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{mix:?}: {i}: {found}, expected {expected}");
            }
            // One-hot labels 2, 0, 1, 1 of three classes follow, mixed.
            let labels = [2, 0, 1, 1usize];
            for (i, &expected) in golden[4 * LENGTH..].iter().enumerate() {
                let (row, class) = (i / 3, i % 3);
                let own = if labels[row] == class { mix.lambda() } else { 0.0 };
                let other = if labels[(row + 3) % 4] == class { 1.0 - mix.lambda() } else { 0.0 };
                assert!((f64::from(own + other) - expected).abs() < 1e-6, "{mix:?}: label {i}");
            }
            assert_eq!(golden.len(), 4 * LENGTH + 12);
        };
        let blends = super::super::golden_cases("mixup");
        for case in &blends {
            check(Mix::Blend { lambda: case[0] as f32 }, &case[1..]);
        }
        let cuts = super::super::golden_cases("cutmix");
        for case in &cuts {
            let window = cutmix::window(SIDE as u32, case[1] as u32, case[2] as u32, case[0]);
            check(Mix::cut(window, SIDE as u32), &case[3..]);
        }
        assert!(blends.len() >= 2 && cuts.len() >= 6);
    }

    #[test]
    fn both_have_their_turn() {
        let draw =
            |mixing: Mixing, position| mixing.draw(1, 2, position, 224).map(|mix| matches!(mix, Mix::Blend { .. }));
        let both = Mixing { mixup: Some(0.2), cutmix: Some(1.0) };
        let blends = (0..1000).filter(|&position| draw(both, position).unwrap()).count();
        assert!((440..560).contains(&blends), "{blends} of 1000");
        assert!((0..10).all(|position| draw(Mixing { cutmix: None, ..both }, position) == Some(true)));
        assert!((0..10).all(|position| draw(Mixing { mixup: None, ..both }, position) == Some(false)));
        assert_eq!(draw(Mixing::default(), 0), None);
    }

    #[test]
    fn one_image_stays_as_it_is_and_none_is_fine() {
        let mut one = vec![1.5; LENGTH];
        Mix::Blend { lambda: 0.25 }.apply(&mut one, LENGTH, SIDE);
        assert_eq!(one, vec![1.5; LENGTH]);
        Mix::Blend { lambda: 0.25 }.apply(&mut [], LENGTH, SIDE);
    }
}
