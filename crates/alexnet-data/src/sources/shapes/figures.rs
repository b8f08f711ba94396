//! The ten figures, as signed distances.
//!
//! A figure is a function of a point in local coordinates: x to the right, y downwards, the figure within about one unit
//! of the origin. The value is the distance to the outline, negative inside; it is exact near the outline and a lower
//! bound further away. Only `+ - * /`, comparisons and square roots are used, which IEEE 754 defines to the last bit, so
//! the pictures are the same on every machine; trigonometric functions would depend on the system's math library.

pub(super) type Point = [f32; 2];

/// A figure: its class name and its signed distance function.
pub(super) type Figure = (&'static str, fn(Point) -> f32);

/// Sorted by name, so that the order of the class folders is that of the labels. No figure can be turned or mirrored into
/// another.
pub(super) const FIGURES: [Figure; 10] = [
    ("arrow", arrow),
    ("circle", circle),
    ("crescent", crescent),
    ("cross", cross),
    ("heart", heart),
    ("hourglass", hourglass),
    ("ring", ring),
    ("square", square),
    ("star", star),
    ("triangle", triangle),
];

fn arrow(p: Point) -> f32 {
    polygon(p, &[[0.0, -1.0], [0.8, -0.1], [0.3, -0.1], [0.3, 0.95], [-0.3, 0.95], [-0.3, -0.1], [-0.8, -0.1]])
}

fn circle(p: Point) -> f32 {
    disc(p, [0.0, 0.0], 0.88)
}

fn crescent(p: Point) -> f32 {
    disc(p, [0.1, 0.0], 0.95).max(-disc(p, [0.55, 0.0], 0.75))
}

fn cross([x, y]: Point) -> f32 {
    rectangle([x, y], [0.95, 0.3]).min(rectangle([x, y], [0.3, 0.95]))
}

fn heart(p: Point) -> f32 {
    let lobes = disc(p, [-0.43, -0.35], 0.5).min(disc(p, [0.43, -0.35], 0.5));
    // The sides are tangent to the lobes' circles.
    lobes.min(polygon(p, &[[0.0, -0.5], [0.812, -0.026], [0.0, 0.95], [-0.812, -0.026]]))
}

fn hourglass(p: Point) -> f32 {
    polygon(p, &[[-0.7, -0.92], [0.7, -0.92], [0.12, 0.0], [0.7, 0.92], [-0.7, 0.92], [-0.12, 0.0]])
}

fn ring(p: Point) -> f32 {
    disc(p, [0.0, 0.0], 0.7).abs() - 0.19
}

fn square(p: Point) -> f32 {
    rectangle(p, [0.78, 0.78])
}

fn star(p: Point) -> f32 {
    // Five outer vertices on the unit circle, five inner vertices at radius 0.42 between them.
    polygon(
        p,
        &[
            [0.0, -1.0],
            [0.2469, -0.3398],
            [0.9511, -0.3090],
            [0.3994, 0.1298],
            [0.5878, 0.8090],
            [0.0, 0.42],
            [-0.5878, 0.8090],
            [-0.3994, 0.1298],
            [-0.9511, -0.3090],
            [-0.2469, -0.3398],
        ],
    )
}

fn triangle(p: Point) -> f32 {
    polygon(p, &[[0.0, -0.95], [0.95, 0.7], [-0.95, 0.7]])
}

pub(super) fn disc([x, y]: Point, [center_x, center_y]: Point, radius: f32) -> f32 {
    length([x - center_x, y - center_y]) - radius
}

/// A rectangle around the origin, given by half its width and height.
pub(super) fn rectangle([x, y]: Point, [half_width, half_height]: Point) -> f32 {
    let (dx, dy) = (x.abs() - half_width, y.abs() - half_height);
    length([dx.max(0.0), dy.max(0.0)]) + dx.max(dy).min(0.0)
}

/// A simple polygon. A point is inside if a ray from it crosses the outline an odd number of times.
fn polygon([x, y]: Point, vertices: &[Point]) -> f32 {
    let mut nearest = f32::INFINITY;
    let mut inside = false;
    let next = vertices.iter().cycle().skip(1);
    for (&[ax, ay], &[bx, by]) in vertices.iter().zip(next) {
        let (edge_x, edge_y) = (bx - ax, by - ay);
        let (to_x, to_y) = (x - ax, y - ay);
        let along = ((to_x * edge_x + to_y * edge_y) / (edge_x * edge_x + edge_y * edge_y)).clamp(0.0, 1.0);
        let (dx, dy) = (to_x - edge_x * along, to_y - edge_y * along);
        nearest = nearest.min(dx * dx + dy * dy);
        // The edge spans the point's y coordinate, and crosses it to the right of the point.
        if (ay > y) != (by > y) && (to_x * edge_y < to_y * edge_x) == (edge_y > 0.0) {
            inside = !inside;
        }
    }
    if inside { -nearest.sqrt() } else { nearest.sqrt() }
}

fn length([x, y]: Point) -> f32 {
    (x * x + y * y).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_of_known_points() {
        let close = |value: f32, expected: f32| assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        close(square([0.0, 0.0]), -0.78);
        close(square([1.78, 0.0]), 1.0);
        close(square([0.78 + 3.0, 0.78 + 4.0]), 5.0);
        close(circle([3.0, 4.0]), 5.0 - 0.88);
        close(ring([0.0, 0.7]), -0.19);
        close(ring([0.0, 0.0]), 0.51);
        // Below the triangle's base, at its apex, beyond a corner of its base.
        close(triangle([0.2, 1.7]), 1.0);
        close(triangle([0.0, -0.95]), 0.0);
        close(triangle([3.95, 4.7]), 5.0);
    }

    #[test]
    fn polygons_agree_with_formulas() {
        let corners = [[0.78, 0.78], [-0.78, 0.78], [-0.78, -0.78], [0.78, -0.78]];
        for i in 0..41 {
            for j in 0..41 {
                let p = [i as f32 * 0.05 - 1.0, j as f32 * 0.05 - 1.0];
                assert!((polygon(p, &corners) - square(p)).abs() < 1e-6, "{p:?}");
            }
        }
    }

    #[test]
    fn figures_fill_their_unit_without_leaving_it() {
        for (name, figure) in FIGURES {
            let (mut inside, mut furthest) = (0, 0.0_f32);
            for i in 0..301 {
                for j in 0..301 {
                    let p = [i as f32 * 0.01 - 1.5, j as f32 * 0.01 - 1.5];
                    if figure(p) < 0.0 {
                        inside += 1;
                        furthest = furthest.max(length(p));
                    }
                }
            }
            assert!((0.75..1.2).contains(&furthest), "{name} reaches {furthest}");
            assert!((8_000..26_000).contains(&inside), "{name} covers {inside} of 90,601 points");
        }
        assert!(FIGURES.is_sorted_by_key(|(name, _)| name));
    }
}
