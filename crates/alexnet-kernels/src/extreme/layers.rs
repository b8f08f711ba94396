//! Batch normalization and locally connected layers.

use super::*;
use crate::batch_norm2d::{self, BatchNorm2dParams, BatchNorm2dState};
use crate::locally_connected2d::{self, LocallyConnected2dGrads};

#[test]
fn batch_norm2d_agrees_with_the_reference_or_refuses() {
    never_panics("batch_norm2d", |random| {
        let dims @ [n, c, h, w] = [random.below(3), random.below(9), random.below(5), random.below(5)];
        let params = BatchNorm2dParams {
            training: random.below(2) == 0,
            momentum: [0.1, 0.1, random.float()][random.below(3)],
            eps: [1e-5, 1e-5, random.float()][random.below(3)],
        };
        let (x, channels) = (random.tensor(&dims), [c, c, c, c + 1][random.below(4)]);
        let vectors: [Tensor; 4] = std::array::from_fn(|_| random.tensor(&[channels]).abs().expect("f32 has abs"));
        let [weight, bias, running_mean, running_variance] = &vectors;
        let state = BatchNorm2dState { weight, bias, running_mean, running_variance };
        let before = [values(running_mean), values(running_variance)];
        let y = batch_norm2d::batch_norm2d(&x, &state, &params)?;
        let (pixels, xs) = (h * w, values(&x));
        let wide = |values: &Vec<f32>| values.iter().map(|&v| f64::from(v)).collect();
        let statistics = match params.training {
            true => batch_norm2d::reference::statistics(&xs, c, pixels),
            false => before.each_ref().map(wide),
        };
        let (own, shift) = (values(weight), values(bias));
        if xs.is_empty() || params.eps > 1.0 {
            return Ok(());
        }
        let expected = batch_norm2d::reference::forward(&xs, pixels, &statistics, [&own, &shift], params.eps);
        assert_close("y", &values(&y), &expected, 1e-4);
        if params.training {
            let running = batch_norm2d::reference::running(
                before.each_ref().map(Vec::as_slice),
                &statistics,
                n * pixels,
                params.momentum,
            );
            assert_close("running mean", &values(running_mean), &running[0], 1e-5);
            assert_close("running variance", &values(running_variance), &running[1], 1e-5);
        }
        Ok(())
    });
}

#[test]
fn local_layers_agree_with_the_reference_or_refuse() {
    never_panics("locally_connected2d", |random| {
        let x_dims @ [n, c, h, w] = [random.below(3), 1 + random.below(4), random.below(7), random.below(7)];
        let groups = [1, 1, 2, random.number(3)][random.below(4)];
        let (out, kernel) = (random.below(5), [random.below(6), random.below(6)]);
        let mut side = || [0, 0, random.below(4), random.number(3)][random.below(4)];
        let padding = Padding { top: side(), bottom: side(), left: side(), right: side() };
        let params = Conv2dParams { stride: random.number(6), padding, groups };
        // The right number of positions if it is small.
        let right = params.output_size([h, w], kernel).ok().filter(|[oh, ow]| oh.saturating_mul(*ow) < 1000);
        let [oh, ow] = right.unwrap_or([random.below(3), random.below(3)]);
        let weight_dims = [oh, ow, out, kernel[0], kernel[1], c / groups.max(1)];
        let (x, weight) = (random.tensor(&x_dims), random.tensor(&weight_dims));
        let y = locally_connected2d::locally_connected2d(&x, &weight, None, &params)?;
        let (xs, weights) = (values(&x), values(&weight));
        let sizes =
            conv2d::reference::Sizes { n, image: [h, w], in_channels: c, out_channels: out, kernel, output: [oh, ow] };
        let expected = locally_connected2d::reference::forward(&sizes, &params, &xs, &weights, &[]);
        assert_close("y", &values(&y), &expected, 1e-4);
        let (grad_x, grad_weight) = (zeros(&[n, h, w, c]), zeros(&weight_dims));
        let grads = LocallyConnected2dGrads { x: Some(&grad_x), weight: Some(&grad_weight), bias: None };
        let y_dims = [n, out, oh, ow];
        let grad_y = uniform("extreme", 9, y_dims.iter().product());
        let (last, grad) =
            (tensor(&nhwc(&xs, x_dims), &[n, h, w, c])?, tensor(&nhwc(&grad_y, y_dims), &[n, oh, ow, out])?);
        locally_connected2d::backward_into(&last, &weight, &grad, &params, grads)?;
        let expected = locally_connected2d::reference::backward(&sizes, &params, &xs, &weights, &grad_y);
        assert_close("grad_x", &nchw(&values(&grad_x), x_dims), &expected[0], 1e-4);
        assert_close("grad_weight", &values(&grad_weight), &expected[1], 1e-4);
        Ok(())
    });
}
