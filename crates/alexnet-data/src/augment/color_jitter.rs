//! Random brightness, contrast, saturation and hue.

use alexnet_random::Stream;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The distributions of the four changes, which are applied in a random order.
///
/// # Formula
/// With f uniform in `[max(0, 1 - a), 1 + a]` for `brightness`, `contrast` or `saturation` a, each pixel x becomes
/// `m + f · (x - m)`, clamped to a byte; m is 0 for brightness, the rounded mean of the image's gray values for contrast,
/// the pixel's own gray value for saturation. The hue is shifted by h turns, uniform in `[-hue, hue]`.
///
/// # Conventions
/// Values are rounded to bytes after each change as in Pillow, including hue (an angle of 255 steps). The results equal
/// those of torchvision on PIL images, which differ from its results on tensors by one or two levels.
///
/// # Source
/// torchvision, `transforms.ColorJitter`, on PIL images; Pillow, `ImageEnhance` and `Convert.c`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColorJitter {
    /// 0 leaves the brightness unchanged.
    #[serde(default)]
    pub brightness: f32,
    /// 0 leaves the contrast unchanged.
    #[serde(default)]
    pub contrast: f32,
    /// 0 leaves the saturation unchanged.
    #[serde(default)]
    pub saturation: f32,
    /// At most 0.5; 0 leaves the hue unchanged.
    #[serde(default)]
    pub hue: f32,
}

/// One color change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ColorChange {
    /// Scales the brightness by this factor, 0 or more.
    Brightness(f32),
    /// Scales the contrast by this factor, 0 or more.
    Contrast(f32),
    /// Scales the saturation by this factor, 0 or more.
    Saturation(f32),
    /// Shifts the hue by this many turns, from -0.5 to 0.5.
    Hue(f32),
}

/// The changes of one sample, in the order of application.
pub type ColorChanges = [Option<ColorChange>; 4];

impl ColorJitter {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let Self { brightness, contrast, saturation, hue } = *self;
        let factors = [
            ("brightness of the color jitter", brightness),
            ("contrast of the color jitter", contrast),
            ("saturation of the color jitter", saturation),
        ];
        for (what, value) in factors {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::setting(what, value, "it must be 0 or more"));
            }
        }
        if !(0.0..=0.5).contains(&hue) {
            return Err(Error::setting("hue of the color jitter", hue, "it must be from 0 to 0.5"));
        }
        Ok(())
    }

    pub(super) fn draw(&self, stream: &mut Stream) -> ColorChanges {
        let mut factor = |amount: f32| stream.uniform_in((1.0 - amount).max(0.0), 1.0 + amount);
        let factors = [self.brightness, self.contrast, self.saturation].map(&mut factor);
        let turn = stream.uniform_in(-self.hue, self.hue);
        let mut changes = [
            (self.brightness > 0.0).then_some(ColorChange::Brightness(factors[0])),
            (self.contrast > 0.0).then_some(ColorChange::Contrast(factors[1])),
            (self.saturation > 0.0).then_some(ColorChange::Saturation(factors[2])),
            (self.hue > 0.0).then_some(ColorChange::Hue(turn)),
        ];
        for last in (1..4u32).rev() {
            changes.swap(last as usize, stream.below(last + 1) as usize);
        }
        changes
    }
}

impl ColorChange {
    /// Changes interleaved RGB pixels.
    pub fn apply(self, pixels: &mut [u8]) {
        let (pixels, _) = pixels.as_chunks_mut::<3>();
        match self {
            Self::Brightness(factor) => look_up(pixels, |value| blend(0, value, factor)),
            Self::Contrast(factor) => {
                let sum: u64 = pixels.iter().map(|&pixel| u64::from(gray(pixel))).sum();
                let mean = (sum as f64 / pixels.len().max(1) as f64 + 0.5) as u8;
                look_up(pixels, |value| blend(mean, value, factor));
            }
            Self::Saturation(factor) => {
                for pixel in pixels {
                    let gray = gray(*pixel);
                    *pixel = pixel.map(|value| blend(gray, value, factor));
                }
            }
            Self::Hue(turn) => {
                let shift = (turn * 255.0) as i32 as u8;
                for pixel in pixels {
                    let [hue, saturation, value] = to_hsv(*pixel);
                    *pixel = from_hsv([hue.wrapping_add(shift), saturation, value]);
                }
            }
        }
    }
}

/// Maps each byte through a lookup table.
fn look_up(pixels: &mut [[u8; 3]], change: impl Fn(u8) -> u8) {
    let table: [u8; 256] = std::array::from_fn(|value| change(value as u8));
    pixels.as_flattened_mut().iter_mut().for_each(|value| *value = table[*value as usize]);
}

/// `from` at factor 0, `to` at 1, extrapolated above 1; truncated and saturated, not rounded.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
}

/// ITU-R 601 luma with 16 fractional bits, rounded, as Pillow's `convert("L")`.
fn gray([red, green, blue]: [u8; 3]) -> u8 {
    ((u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000) >> 16) as u8
}

/// Hue, saturation and value as bytes; a turn is 255 steps.
fn to_hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let (largest, smallest) = (red.max(green).max(blue), red.min(green).min(blue));
    if largest == smallest {
        return [0, 0, largest];
    }
    let spread = f32::from(largest - smallest);
    let distance = |value: u8| f32::from(largest - value) / spread;
    let (r, g, b) = (distance(red), distance(green), distance(blue));
    let sector = if red == largest {
        b - g
    } else if green == largest {
        (2.0 + f64::from(r) - f64::from(b)) as f32
    } else {
        (4.0 + f64::from(g) - f64::from(r)) as f32
    };
    let turn = (f64::from(sector) / 6.0 + 1.0).rem_euclid(1.0) as f32;
    [(f64::from(turn) * 255.0) as u8, (f64::from(spread / f32::from(largest)) * 255.0) as u8, largest]
}

fn from_hsv([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let sector = sixths.floor();
    let fraction = f64::from((sixths - sector) as f32);
    let (saturation, full) = (f64::from(f32::from(saturation) / 255.0), f64::from(value));
    let level = |share: f64| (full * (1.0 - share)).round() as u8;
    let (low, falling, rising) =
        (level(saturation), level(saturation * fraction), level(saturation * (1.0 - fraction)));
    match sector as u8 % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}
