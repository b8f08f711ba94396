//! How a picture is put together: a textured background with clutter, the figure, things in front of it, camera faults.
//!
//! The constants on top set how difficult the set is. They are meant so that no linear classifier gets far, while a
//! convolutional network learns the set within minutes. Whoever changes one changes the pictures, and with them
//! [`GENERATOR`](super::GENERATOR).

use alexnet_random::Stream;

use super::figures::{Figure, Point, disc, rectangle};
use super::paint::{Color, Texture, luma, random_color};
use crate::RgbImage8;

/// Diameter of the figure, as a share of the picture's side.
const SIZE: [f32; 2] = [0.45, 0.80];
/// How far the figure's center lies from the picture's at most, either way, as a share of the side.
const SHIFT: f32 = 0.12;
/// Tangent of the largest turn, either way: 0.36 are 20 degrees.
const TILT: f32 = 0.36;
/// Ratio of the figure's axes, from this to 1.
const SQUASH: f32 = 0.85;
/// Share of the pictures in which the figure is lighter than the background, not darker.
const LIGHTER: f32 = 1.0;
/// Difference in luma, 0–255, that the figure has at least from either background color.
const CONTRAST: f32 = 60.0;
/// Largest difference, per channel, between the two colors of the background's texture, and of the figure's.
const BACKGROUND_VARIATION: f32 = 50.0;
const FIGURE_VARIATION: f32 = 30.0;
/// Small things behind the figure, at most, and their size as a share of the picture's side.
const CLUTTER: u32 = 5;
const CLUTTER_SIZE: [f32; 2] = [0.02, 0.06];
/// Bars in front of the figure, at most, and half their width as a share of the figure's radius.
const BARS: u32 = 2;
const BAR_WIDTH: [f32; 2] = [0.03, 0.08];
/// Largest amplitude of each pixel's own noise, 0–255.
const NOISE: f32 = 20.0;
/// Passes of a 3x3 blur, at most.
const BLURS: u32 = 2;

/// Pixels in the making: colors 0–255, row by row.
struct Canvas {
    size: usize,
    pixels: Vec<Color>,
}

impl Canvas {
    /// Paints what lies inside a signed distance (in pixels), smooth over one pixel at the outline. Only pixels within
    /// `reach` of `center` are looked at.
    fn paint(&mut self, center: Point, reach: f32, distance: impl Fn(Point) -> f32, color: impl Fn(Point) -> Color) {
        let span = |middle: f32| {
            let first = (middle - reach).max(0.0) as usize;
            first..((middle + reach + 1.0).max(0.0) as usize).min(self.size)
        };
        let (columns, rows) = (span(center[0]), span(center[1]));
        for y in rows {
            for x in columns.clone() {
                let point = [x as f32 + 0.5, y as f32 + 0.5];
                let coverage = (0.5 - distance(point)).clamp(0.0, 1.0);
                if coverage > 0.0 {
                    let pixel = &mut self.pixels[y * self.size + x];
                    for (value, new) in pixel.iter_mut().zip(color(point)) {
                        *value += coverage * (new - *value);
                    }
                }
            }
        }
    }

    /// Averages each pixel with its neighbors, weights 1 2 1 in either direction.
    fn blur(&mut self) {
        let size = self.size;
        let last = size.saturating_sub(1);
        for (step, across) in [(1, true), (size, false)] {
            let source = self.pixels.clone();
            for (i, pixel) in self.pixels.iter_mut().enumerate() {
                let at = if across { i % size } else { i / size };
                let before = source[if at == 0 { i } else { i - step }];
                let after = source[if at == last { i } else { i + step }];
                for (c, value) in pixel.iter_mut().enumerate() {
                    *value = 0.5 * *value + 0.25 * (before[c] + after[c]);
                }
            }
        }
    }

    fn finish(mut self, stream: &mut Stream) -> RgbImage8 {
        for _ in 0..stream.below(BLURS + 1) {
            self.blur();
        }
        // Two bytes of one random number add up to a triangular distribution, near enough to a camera's.
        let amplitude = stream.uniform() * NOISE / 255.0;
        let mut pixels = Vec::with_capacity(self.pixels.len() * 3);
        for value in self.pixels.iter().flatten() {
            let [a, b, ..] = stream.next_u32().to_le_bytes();
            let noise = (f32::from(a) + f32::from(b) - 255.0) * amplitude;
            // The cast saturates.
            pixels.push((value + noise + 0.5) as u8);
        }
        RgbImage8 { width: self.size as u32, height: self.size as u32, pixels }
    }
}

/// A picture of `figure`, `size` pixels wide and high.
pub(super) fn draw((_, figure): Figure, size: u32, stream: &mut Stream) -> RgbImage8 {
    let side = size as f32;
    let lighter = stream.uniform() < LIGHTER;
    let (background, color) = loop {
        let (background, color) = (random_color(stream), random_color(stream));
        let background = Texture::around(stream, side, background, BACKGROUND_VARIATION);
        let contrast = background.colors.map(|other| luma(color) - luma(other));
        if contrast.iter().all(|&contrast| if lighter { contrast >= CONTRAST } else { contrast <= -CONTRAST }) {
            break (background, color);
        }
    };
    let at = |i: usize| [(i % size as usize) as f32 + 0.5, (i / size as usize) as f32 + 0.5];
    let pixels = (0..size as usize * size as usize).map(|i| background.color(at(i))).collect();
    let mut canvas = Canvas { size: size as usize, pixels };

    for _ in 0..stream.below(CLUTTER + 1) {
        let center = [stream.uniform() * side, stream.uniform() * side];
        let half = [0; 2].map(|_| stream.uniform_in(CLUTTER_SIZE[0], CLUTTER_SIZE[1]) * side);
        let (turn, round, color) = (random_turn(stream), stream.below(2) == 0, random_color(stream));
        let distance = |point| match round {
            true => disc(point, center, half[0]),
            false => rectangle(turned(point, center, turn), half),
        };
        canvas.paint(center, half[0] + half[1] + 1.0, distance, |_| color);
    }

    let radius = stream.uniform_in(SIZE[0], SIZE[1]) * side * 0.5;
    let center = [0; 2].map(|_| (0.5 + stream.uniform_in(-SHIFT, SHIFT)) * side);
    let squash = stream.uniform_in(SQUASH, 1.0);
    let turn = random_turn(stream);
    // A second, weak texture, so that the figure is not told by being plain.
    let surface = Texture::around(stream, side, color, FIGURE_VARIATION);
    let distance = |point| {
        let [x, y] = turned(point, center, turn);
        // Divided by the longer axis' scale, the distance stays a lower bound.
        figure([x / (radius * squash), y / radius]) * radius * squash
    };
    canvas.paint(center, radius * 1.2, distance, |point| surface.color(point));

    for _ in 0..stream.below(BARS + 1) {
        let half_width = stream.uniform_in(BAR_WIDTH[0], BAR_WIDTH[1]) * radius;
        let through = [0, 1].map(|axis| center[axis] + stream.uniform_in(-0.8, 0.8) * radius);
        let (turn, upright, color) = (random_turn(stream), stream.below(2) == 0, random_color(stream));
        let distance = |point| {
            let [x, y] = turned(point, through, turn);
            (if upright { x } else { y }).abs() - half_width
        };
        canvas.paint(through, side * 2.0, distance, |_| color);
    }
    canvas.finish(stream)
}

/// Cosine and sine of a turn by an angle with a uniform tangent.
fn random_turn(stream: &mut Stream) -> Point {
    let tangent = stream.uniform_in(-TILT, TILT);
    let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
    [cosine, tangent * cosine]
}

/// `point` as seen from `center` by somebody turned so.
fn turned([x, y]: Point, [center_x, center_y]: Point, [cosine, sine]: Point) -> Point {
    let (x, y) = (x - center_x, y - center_y);
    [cosine * x + sine * y, cosine * y - sine * x]
}
