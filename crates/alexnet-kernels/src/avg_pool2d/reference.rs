//! The specification as plain loops over channels-first planes, summed in `f64`.

use crate::pool2d::Pool2dParams;

/// Calls `f(y index, x index, 1 / pixels of the window)` for every pixel of every window of `planes` planes.
fn for_each(planes: usize, h: usize, w: usize, params: &Pool2dParams, mut f: impl FnMut(usize, usize, f64)) {
    let [oh, ow] = params.output_size("avg_pool2d", [h, w]).unwrap_or([0, 0]);
    for plane in 0..planes {
        for (i, j) in (0..oh).flat_map(|i| (0..ow).map(move |j| (i, j))) {
            let (rows, columns) = (params.window(i, h).0, params.window(j, w).0);
            let share = 1.0 / (rows.len() * columns.len()) as f64;
            for row in rows {
                for column in columns.clone() {
                    f((plane * oh + i) * ow + j, (plane * h + row) * w + column, share);
                }
            }
        }
    }
}

/// The pooled planes of `h` by `w`.
pub fn forward(x: &[f32], h: usize, w: usize, params: &Pool2dParams) -> Vec<f32> {
    let planes = x.len() / (h * w);
    let outputs = params.output_size("avg_pool2d", [h, w]).map_or(0, |[oh, ow]| oh * ow);
    let mut y = vec![0f64; planes * outputs];
    for_each(planes, h, w, params, |o, i, share| y[o] += f64::from(x[i]) * share);
    y.into_iter().map(|y| y as f32).collect()
}

/// The gradient of x.
pub fn backward(grad_y: &[f32], planes: usize, h: usize, w: usize, params: &Pool2dParams) -> Vec<f32> {
    let mut grad_x = vec![0f64; planes * h * w];
    for_each(planes, h, w, params, |o, i, share| grad_x[i] += f64::from(grad_y[o]) * share);
    grad_x.into_iter().map(|g| g as f32).collect()
}
