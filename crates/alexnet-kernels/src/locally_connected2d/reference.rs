//! The specification as plain loops over channels-first images, summed in `f64`.

use crate::conv2d::Conv2dParams;
pub use crate::conv2d::reference::Sizes;

/// Calls `f(x index, weight index, y index)` for every product.
fn for_each(sizes: &Sizes, params: &Conv2dParams, mut f: impl FnMut(usize, usize, usize)) {
    let ([h, w], [kh, kw], [oh, ow]) = (sizes.image, sizes.kernel, sizes.output);
    let (group_in, group_out) = (sizes.in_channels / params.groups, sizes.out_channels / params.groups);
    for n in 0..sizes.n {
        for o in 0..sizes.out_channels {
            for (i, j) in (0..oh).flat_map(|i| (0..ow).map(move |j| (i, j))) {
                for (u, v) in (0..kh).flat_map(|u| (0..kw).map(move |v| (u, v))) {
                    let row = (i * params.stride + u).wrapping_sub(params.padding.top);
                    let column = (j * params.stride + v).wrapping_sub(params.padding.left);
                    for c in (0..group_in).filter(|_| row < h && column < w) {
                        let channel = o / group_out * group_in + c;
                        f(
                            ((n * sizes.in_channels + channel) * h + row) * w + column,
                            ((((i * ow + j) * sizes.out_channels + o) * kh + u) * kw + v) * group_in + c,
                            ((n * sizes.out_channels + o) * oh + i) * ow + j,
                        );
                    }
                }
            }
        }
    }
}

/// The index in the bias for value `i` of y.
fn bias_index(sizes: &Sizes, i: usize) -> usize {
    let positions = sizes.output[0] * sizes.output[1];
    i % positions * sizes.out_channels + i / positions % sizes.out_channels
}

/// y for x `[n, in, h, w]` and weight `[oh, ow, out, kh, kw, in / groups]`; an empty bias means no bias.
pub fn forward(sizes: &Sizes, params: &Conv2dParams, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let mut y = vec![0f64; sizes.n * sizes.out_channels * sizes.output[0] * sizes.output[1]];
    if !bias.is_empty() {
        y.iter_mut().enumerate().for_each(|(i, y)| *y = f64::from(bias[bias_index(sizes, i)]));
    }
    for_each(sizes, params, |i, k, o| y[o] += f64::from(x[i]) * f64::from(weight[k]));
    y.into_iter().map(|y| y as f32).collect()
}

/// The gradients of x, weight and bias.
pub fn backward(sizes: &Sizes, params: &Conv2dParams, x: &[f32], weight: &[f32], grad_y: &[f32]) -> [Vec<f32>; 3] {
    let mut grad_x = vec![0f64; x.len()];
    let mut grad_weight = vec![0f64; weight.len()];
    let mut grad_bias = vec![0f64; sizes.out_channels * sizes.output[0] * sizes.output[1]];
    for_each(sizes, params, |i, k, o| {
        grad_x[i] += f64::from(weight[k]) * f64::from(grad_y[o]);
        grad_weight[k] += f64::from(x[i]) * f64::from(grad_y[o]);
    });
    grad_y.iter().enumerate().for_each(|(i, &g)| grad_bias[bias_index(sizes, i)] += f64::from(g));
    [grad_x, grad_weight, grad_bias].map(|grad| grad.into_iter().map(|g| g as f32).collect())
}
