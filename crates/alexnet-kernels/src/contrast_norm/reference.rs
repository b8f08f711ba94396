//! The specification as plain loops over channels-first planes, in `f64`.

use super::ContrastNormParams;

/// The pixels of the window of pixel `at` inside a plane of `h` by `w`.
fn window(at: usize, [h, w]: [usize; 2], size: usize) -> impl Iterator<Item = usize> {
    let (before, after) = (size / 2, size - 1 - size / 2);
    let range = |at: usize, len: usize| at.saturating_sub(before)..(at + after + 1).min(len);
    let columns = range(at % w, w);
    range(at / w, h).flat_map(move |row| columns.clone().map(move |column| row * w + column))
}

/// x − m and D of one plane.
fn deviations(x: &[f32], image: [usize; 2], params: &ContrastNormParams) -> (Vec<f64>, Vec<f64>) {
    let mean = |at: usize| {
        let sum: f64 = window(at, image, params.size).map(|p| f64::from(x[p])).sum();
        sum / window(at, image, params.size).count() as f64
    };
    let deviations: Vec<f64> = (0..x.len()).map(|at| f64::from(x[at]) - mean(at)).collect();
    let squares = |at: usize| window(at, image, params.size).map(|p| deviations[p].powi(2)).sum::<f64>();
    let d = (0..x.len()).map(|at| 1.0 + f64::from(params.alpha) * squares(at)).collect();
    (deviations, d)
}

/// y for planes of `h` by `w`.
pub fn forward(x: &[f32], [h, w]: [usize; 2], params: &ContrastNormParams) -> Vec<f32> {
    let mut y = Vec::with_capacity(x.len());
    for x in x.chunks_exact(h * w) {
        let (_, d) = deviations(x, [h, w], params);
        y.extend(x.iter().zip(d).map(|(&x, d)| (f64::from(x) * d.powf(-f64::from(params.beta))) as f32));
    }
    y
}

/// The gradient of x.
pub fn backward(x: &[f32], grad_y: &[f32], [h, w]: [usize; 2], params: &ContrastNormParams) -> Vec<f32> {
    let (alpha, beta) = (f64::from(params.alpha), f64::from(params.beta));
    let mut result = Vec::with_capacity(x.len());
    for (x, g) in x.chunks_exact(h * w).zip(grad_y.chunks_exact(h * w)) {
        let (deviations, d) = deviations(x, [h, w], params);
        let scaled: Vec<f64> = g.iter().zip(&d).map(|(&g, d)| f64::from(g) * d.powf(-beta)).collect();
        let mut sums = vec![0f64; x.len()];
        for (q, (scaled, (&x, d))) in scaled.iter().zip(x.iter().zip(&d)).enumerate() {
            window(q, [h, w], params.size).for_each(|p| sums[p] += scaled * f64::from(x) / d);
        }
        let t: Vec<f64> = sums.iter().zip(deviations).map(|(sum, dev)| -2.0 * alpha * beta * dev * sum).collect();
        let mut grad_x: Vec<f64> = scaled.iter().zip(&t).map(|(scaled, t)| scaled + t).collect();
        for (q, t) in t.iter().enumerate() {
            let area = window(q, [h, w], params.size).count() as f64;
            window(q, [h, w], params.size).for_each(|p| grad_x[p] -= t / area);
        }
        result.extend(grad_x.into_iter().map(|g| g as f32));
    }
    result
}
