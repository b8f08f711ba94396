//! The specification as plain loops over channels-first planes.

use crate::pool2d::Pool2dParams;

/// The pooled planes of `h` by `w`, and for each value the position of its maximum in the plane.
pub fn forward(x: &[f32], h: usize, w: usize, params: &Pool2dParams) -> (Vec<f32>, Vec<usize>) {
    let [oh, ow] = params.output_size("max_pool2d", [h, w]).unwrap_or([0, 0]);
    let (mut y, mut positions) = (Vec::new(), Vec::new());
    for plane in x.chunks_exact(h * w) {
        for (i, j) in (0..oh).flat_map(|i| (0..ow).map(move |j| (i, j))) {
            let mut best: Option<usize> = None;
            for row in params.window(i, h).0 {
                for column in params.window(j, w).0 {
                    let here = row * w + column;
                    let greater = |b: usize| plane[here] > plane[b] || plane[here].is_nan() && !plane[b].is_nan();
                    if best.is_none_or(greater) {
                        best = Some(here);
                    }
                }
            }
            // No window is empty: each overlaps the image.
            let best = best.unwrap_or_default();
            y.push(plane[best]);
            positions.push(best);
        }
    }
    (y, positions)
}

/// The gradient of x: each value of `grad_y` is added at the position of its maximum.
pub fn backward(grad_y: &[f32], positions: &[usize], outputs: usize, h: usize, w: usize) -> Vec<f32> {
    let planes = grad_y.len() / outputs;
    let mut grad_x = vec![0.0; planes * h * w];
    for (i, (g, position)) in grad_y.iter().zip(positions).enumerate() {
        grad_x[i / outputs * h * w + position] += g;
    }
    grad_x
}
