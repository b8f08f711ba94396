//! Composition of a picture: a textured background with clutter, the figure, bars in front of it, camera artifacts.
//!
//! The constants below determine the difficulty of the set. They are chosen so that linear classifiers perform poorly, while
//! a convolutional network learns the set within minutes. Changing one changes the pictures, and requires a new
//! [`GENERATOR`](super::GENERATOR).

use alexnet_random::Stream;

use super::figures::{Figure, Point, disc, rectangle};
use super::paint::{Color, Texture, luma, random_color};
use crate::RgbImage8;

/// Range of the figure's diameter, relative to the picture's side.
const SIZE: [f32; 2] = [0.45, 0.80];
/// Largest offset of the figure's center from the picture's along each axis, relative to the side.
const SHIFT: f32 = 0.12;
/// Tangent of the largest rotation in either direction: 0.36 is 20 degrees.
const TILT: f32 = 0.36;
/// Smallest ratio of the figure's axes; the largest is 1.
const SQUASH: f32 = 0.85;
/// Share of the pictures in which the figure is lighter than the background; in the others it is darker.
const LIGHTER: f32 = 1.0;
/// Smallest difference in luma, 0–255, between the figure and each background color.
const CONTRAST: f32 = 60.0;
/// Largest difference per channel between the two colors of the background's texture, and of the figure's.
const BACKGROUND_VARIATION: f32 = 50.0;
const FIGURE_VARIATION: f32 = 30.0;
/// Maximum number of small objects behind the figure, and their size relative to the picture's side.
const CLUTTER: u32 = 5;
const CLUTTER_SIZE: [f32; 2] = [0.02, 0.06];
/// Maximum number of bars in front of the figure, and half their width relative to the figure's radius.
const BARS: u32 = 2;
const BAR_WIDTH: [f32; 2] = [0.03, 0.08];
/// Largest amplitude of the per-pixel noise, 0–255.
const NOISE: f32 = 20.0;
/// Maximum number of passes of a 3x3 blur.
const BLURS: u32 = 2;

/// A picture being drawn: colors 0–255, row by row.
struct Canvas {
    size: usize,
    pixels: Vec<Color>,
}

impl Canvas {
    /// Paints the interior of a shape given by its signed distance (in pixels), antialiased over one pixel at the outline.
    /// Only pixels within `reach` of `center` are considered.
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

    /// Averages each pixel with its neighbors, with weights 1 2 1 along each axis.
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
        // The sum of two random bytes has a triangular distribution, a sufficient approximation of camera noise.
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
    // A second, weak texture, so that the figure is not recognizable by its uniform color.
    let surface = Texture::around(stream, side, color, FIGURE_VARIATION);
    let distance = |point| {
        let [x, y] = turned(point, center, turn);
        // Scaled by the shorter axis, the distance is still a lower bound.
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

/// Cosine and sine of a rotation by an angle with a uniform tangent.
fn random_turn(stream: &mut Stream) -> Point {
    let tangent = stream.uniform_in(-TILT, TILT);
    let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
    [cosine, tangent * cosine]
}

/// `point` in a coordinate system with its origin at `center`, rotated by the given turn.
fn turned([x, y]: Point, [center_x, center_y]: Point, [cosine, sine]: Point) -> Point {
    let (x, y) = (x - center_x, y - center_y);
    [cosine * x + sine * y, cosine * y - sine * x]
}
