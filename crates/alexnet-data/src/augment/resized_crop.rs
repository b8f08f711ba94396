//! Random resized crop: a part of random size and aspect ratio, resized to the network's input size.

use alexnet_random::{Purpose, Stream};
use serde::{Deserialize, Serialize};

use crate::{Error, Window};

/// Number of draws before falling back to the largest central part.
pub(super) const ATTEMPTS: usize = 10;

/// The distribution of the crop.
///
/// # Formula
/// Up to ten times, draw an area, uniform in `scale` times the image's, and an aspect ratio (width over height),
/// log-uniform in `ratio`, until the rectangle fits in the image; then draw its position, uniform. If none of the ten
/// fits, take the central part with the nearest allowed aspect ratio.
///
/// # Conventions
/// The part is cut from the original image, not from the square of the preprocessing, and resized with the
/// preprocessing's filter; pixels outside the part have no influence. The random numbers are this crate's; they are
/// interpreted as in torchvision.
///
/// # Source
/// Szegedy et al. 2015, section 6; torchvision, `transforms.RandomResizedCrop`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomResizedCrop {
    /// Smallest and largest area, relative to the image's.
    pub scale: [f32; 2],
    /// Smallest and largest aspect ratio, width over height.
    pub ratio: [f32; 2],
}

impl Default for RandomResizedCrop {
    /// torchvision's default: 8 to 100 % of the area, aspect ratios from 3:4 to 4:3.
    fn default() -> Self {
        Self { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

impl RandomResizedCrop {
    pub(super) fn validate(&self) -> Result<(), Error> {
        range("scale of the random resized crop", self.scale, 1.0)?;
        range("ratio of the random resized crop", self.ratio, f32::MAX)
    }

    /// The crop window in an image of `width` by `height`, from numbers uniform in `[0, 1)`.
    fn window(&self, width: u32, height: u32, uniform: &mut dyn FnMut() -> f32) -> Window {
        for _ in 0..ATTEMPTS {
            let (across, down) = draw_sides(f64::from(width) * f64::from(height), self.scale, self.ratio, uniform);
            if (1..=u64::from(width)).contains(&across) && (1..=u64::from(height)).contains(&down) {
                let (across, down) = (across as u32, down as u32);
                let y = offset(height - down, uniform);
                return Window { x: offset(width - across, uniform), y, width: across, height: down };
            }
        }
        let proportion = f64::from(width) / f64::from(height);
        let [lowest, highest] = self.ratio.map(f64::from);
        let (mut across, mut down) = (width, height);
        if proportion < lowest {
            down = (f64::from(width) / lowest).round_ties_even().clamp(1.0, f64::from(height)) as u32;
        } else if proportion > highest {
            across = (f64::from(height) * highest).round_ties_even().clamp(1.0, f64::from(width)) as u32;
        }
        Window { x: (width - across) / 2, y: (height - down) / 2, width: across, height: down }
    }
}

/// The crop of one sample in one epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizedCrop {
    rule: RandomResizedCrop,
    seed: u64,
    epoch: u32,
    index: u32,
}

impl ResizedCrop {
    pub(super) fn new(rule: RandomResizedCrop, seed: u64, epoch: u32, index: u32) -> Self {
        Self { rule, seed, epoch, index }
    }

    /// The crop window in an image of this size; neither side may be 0.
    pub fn window(&self, width: u32, height: u32) -> Window {
        let mut stream = Stream::new(self.seed, Purpose::ResizedCrop, self.epoch, self.index);
        self.rule.window(width, height, &mut || stream.uniform())
    }
}

/// Width and height of a rectangle: its share of `area` is uniform, its width over height log-uniform. Computed in 32 bits
/// where torchvision uses 32-bit tensors.
pub(super) fn draw_sides(area: f64, scale: [f32; 2], ratio: [f32; 2], uniform: &mut dyn FnMut() -> f32) -> (u64, u64) {
    let between = |low: f32, high: f32, u: f32| low + (high - low) * u;
    let target = area * f64::from(between(scale[0], scale[1], uniform()));
    let proportion = f64::from(between(ratio[0].ln(), ratio[1].ln(), uniform()).exp());
    let side = |square: f64| square.sqrt().round_ties_even() as u64;
    (side(target * proportion), side(target / proportion))
}

/// Uniform in `0..=margin`. Margins are far below 2^24, the number of distinct draws, so the bias is negligible.
pub(super) fn offset(margin: u32, uniform: &mut dyn FnMut() -> f32) -> u32 {
    ((f64::from(uniform()) * (f64::from(margin) + 1.0)) as u32).min(margin)
}

/// # Errors
/// [`Error::Setting`] unless 0 < low ≤ high ≤ `most`.
pub(super) fn range(what: &'static str, [low, high]: [f32; 2], most: f32) -> Result<(), Error> {
    if low > 0.0 && low <= high && high <= most {
        return Ok(());
    }
    let most = if most == f32::MAX { String::new() } else { format!(" and at most {most}") };
    let rule = format!("both must be above 0{most}, the second not below the first");
    Err(Error::setting(what, format!("{low} to {high}"), rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results of torchvision's `get_params` for given draws; generated by `tests/fixtures/make.py`.
    #[test]
    fn windows_are_those_of_torchvision() {
        let cases: Vec<Vec<f64>> = super::super::golden_cases("resized_crop");
        let mut fallbacks = 0;
        for case in &cases {
            let &[width, height, scale0, scale1, ratio0, ratio1, y, x, down, across, ref draws @ ..] = case.as_slice()
            else {
                panic!("{case:?}")
            };
            let rule = RandomResizedCrop {
                scale: [scale0, scale1].map(|value| value as f32),
                ratio: [ratio0, ratio1].map(|value| value as f32),
            };
            let mut used = 0;
            let found = rule.window(width as u32, height as u32, &mut || {
                used += 1;
                draws[used - 1] as f32
            });
            let [x, y, across, down] = [x, y, across, down].map(|value| value as u32);
            assert_eq!(found, Window { x, y, width: across, height: down }, "{case:?}");
            fallbacks += usize::from(used == 2 * ATTEMPTS);
        }
        assert!(cases.len() > 50 && fallbacks > 3, "{} cases, {fallbacks} fallbacks", cases.len());
    }

    #[test]
    fn parts_are_spread_over_the_image() {
        let (mut area, mut left, count) = (0.0, 0.0, 2000);
        for index in 0..count {
            let window = ResizedCrop::new(RandomResizedCrop::default(), 1, 2, index).window(500, 400);
            assert!(window.x + window.width <= 500 && window.y + window.height <= 400, "{window:?}");
            area += f64::from(window.width * window.height) / 200_000.0 / f64::from(count);
            left += f64::from(window.x) / f64::from(500 - window.width).max(1.0) / f64::from(count);
        }
        // The largest areas fit with few aspect ratios, so the mean is below (0.08 + 1) / 2.
        assert!((0.45..0.54).contains(&area) && (0.47..0.53).contains(&left), "{area} {left}");
    }

    #[test]
    fn the_smallest_images_have_a_part() {
        for (width, height) in [(1, 1), (1, 500), (65_535, 1)] {
            for index in 0..20 {
                let window = ResizedCrop::new(RandomResizedCrop::default(), 0, 0, index).window(width, height);
                assert!(window.width >= 1 && window.height >= 1, "{window:?}");
                assert!(window.x + window.width <= width && window.y + window.height <= height, "{window:?}");
            }
        }
    }
}
