//! The specification as plain loops over channels-first planes, in `f64`.

use super::LrnWithinChannelParams;

/// The pixels of the window of (i, j) inside a plane of `h` by `w`.
fn window(i: usize, j: usize, h: usize, w: usize, size: usize) -> impl Iterator<Item = usize> {
    let (before, after) = (size / 2, size - 1 - size / 2);
    let range = |at: usize, len: usize| at.saturating_sub(before)..(at + after + 1).min(len);
    let columns = range(j, w);
    range(i, h).flat_map(move |row| columns.clone().map(move |column| row * w + column))
}

fn denominators(x: &[f32], h: usize, w: usize, params: &LrnWithinChannelParams) -> Vec<f64> {
    let square = |at: usize| f64::from(x[at]).powi(2);
    let sums = (0..h * w).map(|at| window(at / w, at % w, h, w, params.size).map(square).sum::<f64>());
    sums.map(|sum| f64::from(params.k) + f64::from(params.alpha) * sum).collect()
}

/// y for planes of `h` by `w`.
pub fn forward(x: &[f32], h: usize, w: usize, params: &LrnWithinChannelParams) -> Vec<f32> {
    let planes = x.chunks_exact(h * w);
    let normalized = planes.flat_map(|x| {
        let d = denominators(x, h, w, params);
        x.iter().zip(d).map(|(&x, d)| (f64::from(x) * d.powf(-f64::from(params.beta))) as f32).collect::<Vec<_>>()
    });
    normalized.collect()
}

/// The gradient of x.
pub fn backward(x: &[f32], grad_y: &[f32], h: usize, w: usize, params: &LrnWithinChannelParams) -> Vec<f32> {
    let (alpha, beta) = (f64::from(params.alpha), f64::from(params.beta));
    let mut out = Vec::with_capacity(x.len());
    for (x, g) in x.chunks_exact(h * w).zip(grad_y.chunks_exact(h * w)) {
        let d = denominators(x, h, w, params);
        let mut grad_x: Vec<f64> = g.iter().zip(&d).map(|(&g, d)| f64::from(g) * d.powf(-beta)).collect();
        for at in 0..h * w {
            let share = -2.0 * alpha * beta * f64::from(g[at]) * f64::from(x[at]) * d[at].powf(-beta - 1.0);
            for other in window(at / w, at % w, h, w, params.size) {
                grad_x[other] += share * f64::from(x[other]);
            }
        }
        out.extend(grad_x.into_iter().map(|g| g as f32));
    }
    out
}
