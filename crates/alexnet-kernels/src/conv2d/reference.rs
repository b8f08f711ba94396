//! Reference implementation: plain loops over channels-first images, summed in `f64`.

use super::{Conv2dParams, Conv2dShape};

/// Sizes of one convolution, for [`forward`] and [`backward`].
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Batch size.
    pub n: usize,
    /// Height and width of an image.
    pub image: [usize; 2],
    /// Channels of an image.
    pub in_channels: usize,
    /// Channels of the result.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Height and width of the result.
    pub output: [usize; 2],
}

impl From<&Conv2dShape> for Sizes {
    fn from(s: &Conv2dShape) -> Self {
        let (image, kernel, output) = ([s.h, s.w], [s.kh, s.kw], [s.oh, s.ow]);
        Self { n: s.n, image, in_channels: s.in_channels, out_channels: s.out_channels, kernel, output }
    }
}

impl Sizes {
    /// Calls `f(x index, weight index, y index)` for every product of the convolution.
    fn for_each(&self, params: &Conv2dParams, mut f: impl FnMut(usize, usize, usize)) {
        let ([h, w], [kh, kw], [oh, ow]) = (self.image, self.kernel, self.output);
        let (group_in, group_out) = (self.in_channels / params.groups, self.out_channels / params.groups);
        for n in 0..self.n {
            for o in 0..self.out_channels {
                for (i, j) in (0..oh).flat_map(|i| (0..ow).map(move |j| (i, j))) {
                    for c in 0..group_in {
                        for (u, v) in (0..kh).flat_map(|u| (0..kw).map(move |v| (u, v))) {
                            let row = (i * params.stride + u).wrapping_sub(params.padding.top);
                            let column = (j * params.stride + v).wrapping_sub(params.padding.left);
                            if row < h && column < w {
                                let channel = o / group_out * group_in + c;
                                f(
                                    ((n * self.in_channels + channel) * h + row) * w + column,
                                    ((o * group_in + c) * kh + u) * kw + v,
                                    ((n * self.out_channels + o) * oh + i) * ow + j,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

/// y for x `[n, in, h, w]` and weight `[out, in / groups, kh, kw]`; an empty `bias` means no bias.
pub fn forward(sizes: &Sizes, params: &Conv2dParams, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let plane = sizes.output[0] * sizes.output[1];
    let mut y = vec![0f64; sizes.n * sizes.out_channels * plane];
    if !bias.is_empty() {
        y.iter_mut().enumerate().for_each(|(i, y)| *y = f64::from(bias[i / plane % sizes.out_channels]));
    }
    sizes.for_each(params, |i, k, o| y[o] += f64::from(x[i]) * f64::from(weight[k]));
    y.into_iter().map(|y| y as f32).collect()
}

/// The gradients of x, weight and bias.
pub fn backward(
    sizes: &Sizes,
    params: &Conv2dParams,
    x: &[f32],
    weight: &[f32],
    grad_y: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (mut grad_x, mut grad_weight) = (vec![0f64; x.len()], vec![0f64; weight.len()]);
    let mut grad_bias = vec![0f64; sizes.out_channels];
    sizes.for_each(params, |i, k, o| {
        grad_x[i] += f64::from(grad_y[o]) * f64::from(weight[k]);
        grad_weight[k] += f64::from(grad_y[o]) * f64::from(x[i]);
    });
    let plane = sizes.output[0] * sizes.output[1];
    for (i, &g) in grad_y.iter().enumerate() {
        grad_bias[i / plane % sizes.out_channels] += f64::from(g);
    }
    let narrow = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
    (narrow(grad_x), narrow(grad_weight), narrow(grad_bias))
}
