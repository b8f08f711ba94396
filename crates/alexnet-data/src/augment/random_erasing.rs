//! A rectangle of the view, taken away.

use alexnet_random::{Purpose, Stream};
use serde::{Deserialize, Serialize};

use super::resized_crop::{ATTEMPTS, draw_sides, offset, range};
use crate::{Error, Window};

/// The distribution of the rectangle.
///
/// # Formula
/// With this probability, up to ten times an area, uniform in `scale` times the view's, and a proportion of height to
/// width, log-uniform in `ratio`, are drawn until a rectangle of both is smaller than the view in both directions; its
/// place is uniform. Its numbers are then replaced, after normalization.
///
/// # Source
/// Zhong et al. 2017, *Random erasing data augmentation*; torchvision, `transforms.RandomErasing`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomErasing {
    /// From 0 to 1.
    pub probability: f32,
    /// Smallest and largest area, as shares of the view's.
    #[serde(default = "default_scale")]
    pub scale: [f32; 2],
    /// Smallest and largest height over width.
    #[serde(default = "default_ratio")]
    pub ratio: [f32; 2],
    /// What comes in its place.
    #[serde(default)]
    pub fill: Fill,
}

/// What an erased rectangle is filled with, in the units of the normalized view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// 0, which is the mean where one is subtracted.
    #[default]
    Zero,
    /// Standard normal noise, for views whose standard deviation is about 1.
    Noise,
}

fn default_scale() -> [f32; 2] {
    [0.02, 0.33]
}

fn default_ratio() -> [f32; 2] {
    [0.3, 3.3]
}

impl RandomErasing {
    /// torchvision's distribution, with this probability (its own is 0.5).
    pub fn new(probability: f32) -> Self {
        Self { probability, scale: default_scale(), ratio: default_ratio(), fill: Fill::Zero }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(Error::setting("probability of random erasing", self.probability, "it must be from 0 to 1"));
        }
        range("scale of random erasing", self.scale, 1.0)?;
        range("ratio of random erasing", self.ratio, f32::MAX)
    }

    pub(super) fn draw(&self, seed: u64, epoch: u32, index: u32, side: u32) -> Option<Erased> {
        let mut stream = Stream::new(seed, Purpose::Erasing, epoch, index);
        if stream.uniform() >= self.probability {
            return None;
        }
        let window = self.window(side, &mut || stream.uniform())?;
        Some(Erased { window, noise: (self.fill == Fill::Noise).then_some((seed, epoch, index)) })
    }

    /// The rectangle in a square view that these numbers, uniform in `[0, 1)`, decide on.
    fn window(&self, side: u32, uniform: &mut dyn FnMut() -> f32) -> Option<Window> {
        let area = f64::from(side) * f64::from(side);
        for _ in 0..ATTEMPTS {
            let (down, across) = draw_sides(area, self.scale, self.ratio, uniform);
            if down < u64::from(side) && across < u64::from(side) {
                let (down, across) = (down as u32, across as u32);
                let y = offset(side - down, uniform);
                return Some(Window { x: offset(side - across, uniform), y, width: across, height: down });
            }
        }
        None
    }
}

/// The rectangle of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Erased {
    window: Window,
    /// Seed, epoch and index of its noise; without, zeros.
    noise: Option<(u64, u32, u32)>,
}

impl Erased {
    /// What is erased, in pixels of the view.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Replaces the rectangle in a view, `[3, side, side]`.
    pub(crate) fn apply(&self, output: &mut [f32], side: usize) {
        let Window { x, y, width, height } = self.window;
        let stream = |(seed, epoch, index)| Stream::new(seed, Purpose::ErasingNoise, epoch, index);
        let mut noise = self.noise.map(stream);
        for plane in output.chunks_exact_mut(side * side) {
            for row in plane.chunks_exact_mut(side).skip(y as usize).take(height as usize) {
                let part = &mut row[x as usize..(x + width) as usize];
                match &mut noise {
                    Some(stream) => part.iter_mut().for_each(|value| *value = stream.normal()),
                    None => part.fill(0.0),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What torchvision's `get_params` gives for the numbers that it is given; made by `tests/fixtures/make.py`.
    #[test]
    fn windows_are_those_of_torchvision() {
        let cases: Vec<Vec<f64>> = super::super::golden_cases("random_erasing");
        let mut nothing = 0;
        for case in &cases {
            let &[side, scale0, scale1, ratio0, ratio1, y, x, down, across, ref draws @ ..] = case.as_slice() else {
                panic!("{case:?}")
            };
            let scale = [scale0, scale1].map(|value| value as f32);
            let ratio = [ratio0, ratio1].map(|value| value as f32);
            let mut draws = draws.iter();
            let rule = RandomErasing { scale, ratio, ..RandomErasing::new(1.0) };
            let found = rule.window(side as u32, &mut || *draws.next().unwrap() as f32);
            let [x, y, width, height] = [x, y, across, down].map(|value| value as u32);
            // Where nothing is erased, torchvision gives the whole picture in its own place.
            let expected = (height < side as u32).then_some(Window { x, y, width, height });
            assert_eq!(found, expected, "{case:?}");
            nothing += usize::from(found.is_none());
        }
        assert!(cases.len() > 50 && nothing > 3, "{} cases, {nothing} without a rectangle", cases.len());
    }

    #[test]
    fn as_often_as_asked_for_and_only_there() {
        let mut count = 0;
        for index in 0..1000 {
            let Some(erased) = RandomErasing::new(0.25).draw(1, 0, index, 20) else { continue };
            let mut view = vec![7.0; 3 * 400];
            erased.apply(&mut view, 20);
            let Window { x, y, width, height } = erased.window();
            for (i, &value) in view.iter().enumerate() {
                let (row, column) = (i as u32 / 20 % 20, i as u32 % 20);
                let inside = (y..y + height).contains(&row) && (x..x + width).contains(&column);
                assert_eq!(value, if inside { 0.0 } else { 7.0 });
            }
            count += 1;
        }
        assert!((200..300).contains(&count), "{count} of 1000");
    }

    #[test]
    fn noise_is_normal_and_repeats() {
        let rule = RandomErasing { fill: Fill::Noise, scale: [0.5, 0.5], ..RandomErasing::new(1.0) };
        let erased = rule.draw(1, 0, 0, 100).unwrap();
        let mut views = [vec![0.0f32; 30_000], vec![0.0; 30_000]];
        views.iter_mut().for_each(|view| erased.apply(view, 100));
        assert_eq!(views[0], views[1]);
        let square: f32 = views[0].iter().map(|value| value * value).sum();
        assert!((14_000.0..16_000.0).contains(&square), "{square}: half of 30,000 values of variance 1");
    }
}
