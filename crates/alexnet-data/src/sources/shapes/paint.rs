//! Colors and textures.

use alexnet_random::Stream;

use super::figures::Point;

/// Red, green, blue, 0–255.
pub(super) type Color = [f32; 3];

/// Cells of the finest noise along a picture's side.
const CELLS: usize = 10;

/// A random color of any hue, from muted to saturated, from dark to bright.
pub(super) fn random_color(stream: &mut Stream) -> Color {
    let hue = stream.uniform_in(0.0, 6.0);
    let saturation = stream.uniform_in(0.1, 1.0);
    let value = stream.uniform_in(0.1, 1.0) * 255.0;
    // The hexagonal (HSV) model: over the hue circle, each channel rises, is constant, falls, and is constant again.
    [5.0, 3.0, 1.0].map(|phase| {
        let k = (phase + hue) % 6.0;
        value * (1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0))
    })
}

/// Brightness, 0–255 (ITU-R BT.601).
pub(super) fn luma([red, green, blue]: Color) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

enum Pattern {
    /// A gradient from one color to the other across the picture.
    Gradient,
    /// Stripes, one unit wide in the scaled coordinates.
    Stripes,
    /// Squares, one unit wide in the scaled coordinates.
    Checker,
    /// Smooth noise on a lattice with this many cells per side.
    Blobs { cells: usize, lattice: Vec<f32> },
}

/// Two colors and their spatial distribution.
pub(super) struct Texture {
    pub(super) colors: [Color; 2],
    pattern: Pattern,
    side: f32,
    /// Direction of gradient, stripes and squares, divided by the width of the repeated element.
    direction: Point,
    phase: f32,
}

impl Texture {
    /// A texture of `color` and one whose channels differ from it by up to `variation`.
    pub(super) fn around(stream: &mut Stream, side: f32, color: Color, variation: f32) -> Self {
        let other = color.map(|value| (value + stream.uniform_in(-variation, variation)).clamp(0.0, 255.0));
        let colors = [color, other];
        let pattern = match stream.below(4) {
            0 => Pattern::Gradient,
            1 => Pattern::Stripes,
            2 => Pattern::Checker,
            _ => {
                let lattice = (0..(CELLS + 2) * (CELLS + 2)).map(|_| stream.uniform()).collect();
                Pattern::Blobs { cells: 3 + stream.below(CELLS as u32 - 2) as usize, lattice }
            }
        };
        let (x, y) = (stream.uniform_in(-1.0, 1.0), stream.uniform_in(-1.0, 1.0));
        // Bounded away from 0 to avoid a division by zero.
        let length = (x * x + y * y).sqrt().max(1e-3);
        let width = match pattern {
            Pattern::Gradient => side,
            _ => stream.uniform_in(0.06, 0.25) * side,
        };
        let direction = [x / length / width, y / length / width];
        Self { colors, pattern, side, direction, phase: stream.uniform() }
    }

    pub(super) fn color(&self, point: Point) -> Color {
        let share = self.share(point);
        let [a, b] = self.colors;
        [0, 1, 2].map(|c| a[c] + share * (b[c] - a[c]))
    }

    /// The second color's share at a point.
    fn share(&self, [x, y]: Point) -> f32 {
        let [dx, dy] = self.direction;
        let (along, across) = (x * dx + y * dy + self.phase, y * dx - x * dy);
        match &self.pattern {
            Pattern::Gradient => ((along - self.phase) * 0.5 + 0.5).clamp(0.0, 1.0),
            Pattern::Stripes => wave(along),
            Pattern::Checker => {
                let (a, b) = (wave(along), wave(across));
                a + b - 2.0 * a * b
            }
            Pattern::Blobs { cells, lattice } => {
                let scale = *cells as f32 / self.side;
                noise(lattice, x * scale, y * scale)
            }
        }
    }
}

/// A square wave of period 2 with softened edges, between 0 and 1.
fn wave(x: f32) -> f32 {
    let triangle = ((x - 2.0 * (x * 0.5).floor()) - 1.0).abs();
    ((triangle - 0.5) * 8.0 + 0.5).clamp(0.0, 1.0)
}

/// Smooth interpolation between lattice points.
fn noise(lattice: &[f32], x: f32, y: f32) -> f32 {
    let (column, row) = ((x as usize).min(CELLS), (y as usize).min(CELLS));
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (tx, ty) = (smooth(x - column as f32), smooth(y - row as f32));
    let at = |dx: usize, dy: usize| lattice[(row + dy) * (CELLS + 2) + column + dx];
    let upper = at(0, 0) + tx * (at(1, 0) - at(0, 0));
    let lower = at(0, 1) + tx * (at(1, 1) - at(0, 1));
    upper + ty * (lower - upper)
}
