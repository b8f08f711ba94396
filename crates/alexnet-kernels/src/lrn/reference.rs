//! The specification as plain loops over channels-first images, in `f64`.

use super::LrnParams;

/// The channels of `c`'s window, within its group.
fn window(c: usize, channels: usize, params: &LrnParams) -> std::ops::Range<usize> {
    let group = channels / params.groups;
    let first = c / group * group;
    let (before, after) = params.reach();
    c.saturating_sub(before).max(first)..(c + after + 1).min(first + group)
}

/// D of every channel of one pixel.
fn denominators(x: &[f64], params: &LrnParams) -> Vec<f64> {
    let sums = (0..x.len()).map(|c| x[window(c, x.len(), params)].iter().map(|x| x * x).sum::<f64>());
    sums.map(|sum| f64::from(params.k) + f64::from(params.alpha) * sum).collect()
}

/// Calls `f` with the channels of each pixel of an `[n, channels, pixels]` batch and stores its results at that pixel.
fn map_pixels(inputs: &[&[f32]], channels: usize, pixels: usize, f: impl Fn(&[Vec<f64>]) -> Vec<f64>) -> Vec<f32> {
    let mut out = vec![0.0; inputs[0].len()];
    for start in (0..out.len()).step_by(channels * pixels) {
        for pixel in start..start + pixels {
            let at = |c: usize| pixel + c * pixels;
            let gathered: Vec<Vec<f64>> =
                inputs.iter().map(|input| (0..channels).map(|c| f64::from(input[at(c)])).collect()).collect();
            for (c, value) in f(&gathered).into_iter().enumerate() {
                out[at(c)] = value as f32;
            }
        }
    }
    out
}

/// y for x `[n, channels, pixels]`.
pub fn forward(x: &[f32], channels: usize, pixels: usize, params: &LrnParams) -> Vec<f32> {
    let beta = f64::from(params.beta);
    map_pixels(&[x], channels, pixels, |inputs| {
        let x = &inputs[0];
        x.iter().zip(denominators(x, params)).map(|(x, d)| x * d.powf(-beta)).collect()
    })
}

/// The gradient of x.
pub fn backward(x: &[f32], grad_y: &[f32], channels: usize, pixels: usize, params: &LrnParams) -> Vec<f32> {
    let (alpha, beta) = (f64::from(params.alpha), f64::from(params.beta));
    map_pixels(&[x, grad_y], channels, pixels, |inputs| {
        let (x, g) = (&inputs[0], &inputs[1]);
        let d = denominators(x, params);
        let mut grad_x: Vec<f64> = (0..channels).map(|c| g[c] * d[c].powf(-beta)).collect();
        for j in 0..channels {
            let share = -2.0 * alpha * beta * g[j] * x[j] * d[j].powf(-beta - 1.0);
            for i in window(j, channels, params) {
                grad_x[i] += share * x[i];
            }
        }
        grad_x
    })
}
