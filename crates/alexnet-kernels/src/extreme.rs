//! Calls operations with random and extreme parameters: each call agrees with the reference or returns an error, and
//! never panics. Runs on each instruction set.

use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::{DType, Device, Result, Tensor};

use crate::activation::Activation;
use crate::cases::{assert_close, cpu_only, for_each_isa, nchw, nhwc, uniform, values, zeros};
use crate::contrast_norm::ContrastNormParams;
use crate::conv2d::{self, Conv2dGrads, Conv2dParams, Conv2dShape, Padding};
use crate::dropout::{DropoutParams, DropoutScaling};
use crate::linear::LinearGrads;
use crate::lrn::LrnParams;
use crate::lrn_within_channel::LrnWithinChannelParams;
use crate::pixels::PixelsParams;
use crate::sgd::{SgdParams, SgdRule};
use crate::{
    Pool2dParams, activation, add, avg_pool2d, bias_relu, channels_first_into, channels_last, channels_last_into,
    concat, contrast_norm, dropout, global_avg_pool2d, linear, lrn, lrn_within_channel, max_pool2d, pixels, sgd,
    softmax_cross_entropy,
};

mod layers;

/// Number of calls of each operation.
const CALLS: usize = 400;

/// Values at which sums and products of sizes overflow, 32 bits are exceeded, or buffers become too large.
const EXTREMES: [usize; 12] = [
    usize::MAX,
    usize::MAX - 1,
    usize::MAX / 2,
    usize::MAX / 2 + 1,
    (1 << 62) + 5,
    1 << 59,
    1 << 33,
    1 << 32,
    (1 << 31) - 1,
    1 << 31,
    1 << 16,
    4097,
];

/// xorshift64*: Vigna, *An experimental exploration of Marsaglia's xorshift generators*, 2016.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    /// Mostly small, sometimes extreme.
    fn number(&mut self, small: usize) -> usize {
        if self.below(4) == 0 { EXTREMES[self.below(EXTREMES.len())] } else { self.below(small) }
    }

    fn float(&mut self) -> f32 {
        [0.0, -0.0, 1.0, 0.5, -1.0, 1e-40, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN][self.below(10)]
    }

    fn tensor(&mut self, dims: &[usize]) -> Tensor {
        let seed = self.below(1000) as u32;
        let values = uniform("extreme", seed, dims.iter().product());
        Tensor::from_vec(values, dims, &Device::Cpu).expect("the number of values matches the dimensions")
    }
}

/// Runs `call` many times. A panic fails the test, and the message has the number of the call.
fn never_panics(op: &str, call: impl Fn(&mut Random) -> Result<()>) {
    if cpu_only() {
        return;
    }
    for_each_isa(|isa| {
        let (mut accepted, mut refused) = (0, 0);
        for i in 0..CALLS {
            let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (i as u64 + 1));
            match catch_unwind(AssertUnwindSafe(|| call(&mut random))) {
                Ok(Ok(())) => accepted += 1,
                Ok(Err(_)) => refused += 1,
                Err(_) => panic!("{op} on {isa}: call {i} panicked"),
            }
        }
        // Both outcomes must occur.
        assert!(accepted > CALLS / 50 && refused > 0, "{op} on {isa}: {accepted} accepted, {refused} refused");
    });
}

#[test]
fn conv2d_agrees_with_the_reference_or_refuses() {
    never_panics("conv2d", |random| {
        let x_dims @ [n, c, h, w] = [random.below(3), 1 + random.below(4), random.below(7), random.below(7)];
        let groups = [1, 1, 2, random.number(3)][random.below(4)];
        let out = random.below(5);
        let weight_dims = [out, c / groups.max(1), random.below(6), random.below(6)];
        let mut side = || [0, 0, random.below(4), random.number(3)][random.below(4)];
        let padding = Padding { top: side(), bottom: side(), left: side(), right: side() };
        let params = Conv2dParams { stride: random.number(6), padding, groups };
        let (x, weight) = (random.tensor(&x_dims), random.tensor(&weight_dims));
        let y = conv2d::conv2d(&x, &weight, None, &params)?;

        let shape = Conv2dShape::new(&[n, h, w, c], &weight_dims, &params)?;
        let sizes = conv2d::reference::Sizes::from(&shape);
        let (xs, weights) = (values(&x), values(&weight));
        let expected = conv2d::reference::forward(&sizes, &params, &xs, &weights, &[]);
        assert_close("y", &values(&y), &expected, 1e-4);
        let y_dims @ [_, _, oh, ow] = [n, out, shape.oh, shape.ow];
        let grad_y = uniform("extreme", 9, y_dims.iter().product());
        let (grad_x, grad_weight, grad_bias) = (zeros(&[n, h, w, c]), zeros(&weight_dims), zeros(&[out]));
        let grads = Conv2dGrads { x: Some(&grad_x), weight: Some(&grad_weight), bias: Some(&grad_bias) };
        let (last, grad_last) = (nhwc(&xs, x_dims), nhwc(&grad_y, y_dims));
        let (x, grad) = (tensor(&last, &[n, h, w, c])?, tensor(&grad_last, &[n, oh, ow, out])?);
        conv2d::backward_into(&x, &weight, &grad, &params, grads)?;
        let expected = conv2d::reference::backward(&sizes, &params, &xs, &weights, &grad_y);
        assert_close("grad_x", &nchw(&values(&grad_x), x_dims), &expected.0, 1e-4);
        assert_close("grad_weight", &values(&grad_weight), &expected.1, 1e-4);
        assert_close("grad_bias", &values(&grad_bias), &expected.2, 1e-4);
        Ok(())
    });
}

fn tensor(values: &[f32], dims: &[usize]) -> Result<Tensor> {
    Tensor::from_slice(values, dims, &Device::Cpu)
}

#[test]
fn safe_calls_stay_within_their_memory() {
    // Each of these calls used to read out of bounds, because sums and products of sizes wrapped.
    let weight = zeros(&[2, 2, 3, 3]);
    let conv = |padding: Padding, stride: usize| {
        let params = Conv2dParams { stride, padding, groups: 1 };
        let message = |result: Result<()>| result.err().map(|error| error.to_string());
        let forward = message(conv2d::conv2d(&zeros(&[1, 2, 8, 8]), &weight, None, &params).map(drop));
        let (grad_x, y) = (zeros(&[1, 8, 8, 2]), zeros(&[1, 8, 6, 2]));
        let grads = Conv2dGrads { x: Some(&grad_x), ..Default::default() };
        [forward, message(conv2d::backward_into(&zeros(&[1, 8, 8, 2]), &weight, &y, &params, grads))]
    };
    let none = Padding::default();
    for (padding, stride) in [
        (Padding { top: usize::MAX, bottom: 1, ..none }, 1),
        (Padding { bottom: 1 << 62, ..none }, (1 << 61) + 5),
        (Padding { left: usize::MAX, right: usize::MAX, ..none }, 7),
    ] {
        for found in conv(padding, stride) {
            assert!(found.as_ref().is_some_and(|text| text.contains("2^31 pixels")), "{padding:?}: {found:?}");
        }
    }
    let large = Padding::symmetric(1 << 20);
    assert!(conv(large, 1)[0].as_ref().is_some_and(|text| text.contains("fewer than 2^31 values")));
    // There is only one window for any stride beyond the image.
    let x = Random(1).tensor(&[1, 2, 8, 8]);
    let at = |stride| conv2d::conv2d(&x, &weight, None, &Conv2dParams { stride, ..Default::default() });
    assert_eq!(values(&at(1 << 59).unwrap()), values(&at(8).unwrap()));
}

#[test]
fn poolings_agree_with_their_references_or_refuse() {
    never_panics("pooling", |random| {
        let x_dims @ [n, c, h, w] = [random.below(3), random.below(4), random.below(9), random.below(9)];
        let (kernel_size, stride) = (random.number(5), random.number(4));
        let params = Pool2dParams { kernel_size, stride, padding: random.number(3), ceil: random.below(2) == 0 };
        let x = random.tensor(&x_dims);
        let [y, mean] = [max_pool2d::max_pool2d(&x, &params)?, avg_pool2d::avg_pool2d(&x, &params)?];
        let (xs, y_dims) = (values(&x), y.dims4()?);
        let (expected, positions) = max_pool2d::reference::forward(&xs, h, w, &params);
        assert_close("y", &values(&y), &expected, 0.0);
        assert_close("mean", &values(&mean), &avg_pool2d::reference::forward(&xs, h, w, &params), 1e-5);

        let (_, _, oh, ow) = y_dims;
        let last = tensor(&nhwc(&xs, x_dims), &[n, h, w, c])?;
        let global = global_avg_pool2d::global_avg_pool2d(&x)?;
        assert_close("global", &values(&global), &global_avg_pool2d::reference::forward(&xs, h * w), 1e-5);
        let indices = Tensor::zeros((n, oh, ow, c), max_pool2d::index_dtype(&params), &Device::Cpu)?;
        max_pool2d::forward_into(&last, &params, &zeros(&[n, oh, ow, c]), Some(&indices))?;
        let grad_y = uniform("extreme", 9, n * c * oh * ow);
        let grad = tensor(&nhwc(&grad_y, [n, c, oh, ow]), &[n, oh, ow, c])?;
        let grad_x = zeros(&[n, h, w, c]);
        max_pool2d::backward_into(&grad, &indices, &params, &grad_x)?;
        let expected = max_pool2d::reference::backward(&grad_y, &positions, oh * ow, h, w);
        assert_close("grad_x", &nchw(&values(&grad_x), x_dims), &expected, 1e-6);
        avg_pool2d::backward_into(&grad, &params, &grad_x)?;
        let expected = avg_pool2d::reference::backward(&grad_y, n * c, h, w, &params);
        assert_close("grad_x of the mean", &nchw(&values(&grad_x), x_dims), &expected, 1e-6);

        // Indices that no forward pass wrote.
        let any: Vec<u32> = (0..n * c * oh * ow).map(|_| random.number(300) as u32).collect();
        let any = Tensor::from_vec(any, (n, oh, ow, c), &Device::Cpu)?.to_dtype(indices.dtype())?;
        let _ = max_pool2d::backward_into(&grad, &any, &params, &grad_x);
        Ok(())
    });
}

#[test]
fn wrong_indices_of_max_pooling_are_refused() {
    let params = Pool2dParams::new(3, 2).with_padding(1);
    let (grad_y, grad_x) = (zeros(&[1, 2, 2, 1]), zeros(&[1, 4, 4, 1]));
    let backward = |indices: [u8; 4]| {
        let indices = Tensor::from_slice(&indices, (1, 2, 2, 1), &Device::Cpu).unwrap();
        max_pool2d::backward_into(&grad_y, &indices, &params, &grad_x).map_err(|error| error.to_string())
    };
    assert_eq!(backward([4, 3, 1, 8]), Ok(()));
    // Positions in the padding and beyond the window.
    for wrong in [[0, 3, 1, 8], [4, 1, 1, 8], [4, 3, 0, 8], [4, 3, 1, 9], [4, 255, 1, 8]] {
        assert!(backward(wrong).is_err_and(|text| text.contains("is not a position of its window")), "{wrong:?}");
    }
}

#[test]
fn normalizations_agree_with_their_references_or_refuse() {
    never_panics("normalization", |random| {
        let dims @ [n, c, h, w] = [random.below(3), random.below(9), random.below(5), random.below(5)];
        let (size, groups) = (random.number(8), [1, 1, 2, random.number(4)][random.below(4)]);
        let (k, alpha) = (random.float(), [0.1, random.float()][random.below(2)]);
        let beta = [0.75, 0.5, random.float()][random.below(3)];
        let x = random.tensor(&dims);
        let (xs, grad_y) = (values(&x), uniform("extreme", 9, n * c * h * w));
        let [last, grad] = [&xs, &grad_y].map(|values| tensor(&nhwc(values, dims), &[n, h, w, c]));
        let (last, grad, grad_x) = (last?, grad?, zeros(&[n, h, w, c]));
        let tame = k.is_normal() && k <= 1.0 && alpha <= 1.0 && beta.abs() <= 1.0;

        let within = LrnWithinChannelParams { size, k, alpha, beta };
        let y = lrn_within_channel::lrn_within_channel(&x, &within)?;
        lrn_within_channel::backward_into(&last, &grad, &within, &grad_x)?;
        if tame && n * c * h * w > 0 {
            assert_close("y", &values(&y), &lrn_within_channel::reference::forward(&xs, h, w, &within), 1e-5);
            let expected = lrn_within_channel::reference::backward(&xs, &grad_y, h, w, &within);
            assert_close("grad_x", &nchw(&values(&grad_x), dims), &expected, 1e-5);
        }
        let contrast = ContrastNormParams { size, alpha, beta };
        if let Ok(y) = contrast_norm::contrast_norm(&x, &contrast) {
            contrast_norm::backward_into(&last, &grad, &contrast, &grad_x)?;
            if tame && n * c * h * w > 0 {
                assert_close("y", &values(&y), &contrast_norm::reference::forward(&xs, [h, w], &contrast), 1e-5);
                let expected = contrast_norm::reference::backward(&xs, &grad_y, [h, w], &contrast);
                assert_close("grad_x", &nchw(&values(&grad_x), dims), &expected, 1e-5);
            }
        }
        let across = LrnParams { size, k, alpha, beta, groups };
        let y = lrn::lrn(&x, &across)?;
        lrn::backward_into(&last, &grad, &across, &grad_x)?;
        if tame && n * c * h * w > 0 {
            assert_close("y", &values(&y), &lrn::reference::forward(&xs, c, h * w, &across), 1e-5);
            let expected = lrn::reference::backward(&xs, &grad_y, c, h * w, &across);
            assert_close("grad_x", &nchw(&values(&grad_x), dims), &expected, 1e-5);
        }
        Ok(())
    });
}

#[test]
fn linear_agrees_with_the_reference_or_refuses() {
    never_panics("linear", |random| {
        let (n, inputs, outputs) = (random.below(4), random.below(20), random.below(20));
        let width = if random.below(8) == 0 { random.below(20) } else { inputs };
        let (x, weight) = (random.tensor(&[n, width]), random.tensor(&[outputs, inputs]));
        let y = linear::linear(&x, &weight, None)?;
        let (xs, weights) = (values(&x), values(&weight));
        let (grad, grad_x, grad_weight) =
            (random.tensor(&[n, outputs]), zeros(&[n, inputs]), zeros(&[outputs, inputs]));
        let grad_bias = zeros(&[outputs]);
        let grads = LinearGrads { x: Some(&grad_x), weight: Some(&grad_weight), bias: Some(&grad_bias) };
        linear::backward_into(&x, &weight, &grad, grads)?;
        let velocity = zeros(&[outputs, inputs]);
        let params = SgdParams { rule: SgdRule::RateOutside, learning_rate: 1.0, momentum: 0.0, weight_decay: 0.0 };
        if inputs > 0 {
            assert_close("y", &values(&y), &linear::reference::forward(&xs, &weights, &[], inputs), 1e-5);
        }
        if inputs > 0 && outputs > 0 && n > 0 {
            let expected = linear::reference::backward(&xs, &weights, &values(&grad), inputs);
            assert_close("grad_x", &values(&grad_x), &expected.0, 1e-5);
            assert_close("grad_weight", &values(&grad_weight), &expected.1, 1e-5);
            assert_close("grad_bias", &values(&grad_bias), &expected.2, 1e-5);
        } else {
            // Empty sums are 0.
            for grad in [&grad_x, &grad_weight, &grad_bias] {
                assert!(values(grad).iter().all(|&value| value == 0.0));
            }
        }
        linear::update_weight(&x, &grad, &weight, &velocity, &params)
    });
}

#[test]
fn elementwise_operations_never_panic() {
    never_panics("elementwise", |random| {
        let dims = [random.below(3), random.below(9), random.below(4), random.below(4)];
        let (x, y) = (random.tensor(&dims), zeros(&dims));
        let params = DropoutParams {
            probability: [0.5, random.float()][random.below(2)],
            scaling: DropoutScaling::Inverted,
            seed: u64::MAX,
            step: u32::MAX,
            layer: u32::MAX,
            first_value: [0, u64::MAX - 5][random.below(2)],
        };
        for kind in [Activation::Relu, Activation::Tanh, Activation::Sigmoid, Activation::Softplus] {
            let y = activation::activation(&x, kind)?;
            activation::backward_in_place(&y, &x.force_contiguous()?, kind)?;
        }
        add::scale_into(&x, random.float(), &y)?;
        add::accumulate_into(&x, &y)?;
        let channels = if random.below(2) == 0 { dims[3] } else { random.below(5) };
        let bias = zeros(&[channels]);
        bias_relu::forward_in_place(&y, &bias).and_then(|()| bias_relu::backward_in_place(&x, &y, Some(&bias)))?;
        let nhwc = zeros(&[dims[0], dims[2], dims[3], dims[1]]);
        channels_last_into(&x, &nhwc)?;
        channels_first_into(&nhwc, &y)?;
        assert_eq!(values(&x), values(&y));
        channels_last(&x)?;
        let rate = random.float();
        let solver = SgdParams { rule: SgdRule::RateInVelocity, learning_rate: rate, momentum: 0.9, weight_decay: 0.1 };
        sgd::update(&y, &x.force_contiguous()?, &x, &solver)?;
        dropout::apply_into(&x, &params, &y)?;
        dropout::dropout(&x, &params).map(drop)
    });
}

#[test]
fn concat_never_panics() {
    never_panics("concat", |random| {
        let (rows, widths) = (random.below(4), [random.below(5), random.below(5)]);
        let [a, b] = widths.map(|width| random.tensor(&[rows, width]));
        let y = zeros(&[rows, widths[0] + widths[1] + random.below(8) / 7]);
        concat::forward_into(&[&a, &b], &y)?;
        let (part, first) = (zeros(&[rows, widths[1]]), random.number(6));
        concat::backward_into(&y, first, &part)?;
        let expected: Vec<Vec<f32>> =
            y.to_vec2::<f32>()?.into_iter().map(|row| row[first..][..widths[1]].into()).collect();
        assert_eq!(part.to_vec2::<f32>()?, expected);
        Ok(())
    });
}

#[test]
fn losses_and_pixels_never_panic() {
    never_panics("loss", |random| {
        let (n, classes) = (random.below(4), random.below(6));
        let logits = random.tensor(&[n, classes]);
        let labels: Vec<u32> = (0..n).map(|_| random.number(6) as u32).collect();
        softmax_cross_entropy::softmax_cross_entropy(&logits, &Tensor::from_vec(labels, n, &Device::Cpu)?)?;
        let weights = random.tensor(&[n, classes]);
        softmax_cross_entropy::softmax_cross_entropy(&logits, &weights).map(drop)
    });
    never_panics("pixels", |random| {
        let [n, h, w] = [random.below(3), random.below(4), random.below(4)];
        let x = Tensor::zeros((n, h, w, 3), DType::U8, &Device::Cpu)?;
        let mean = zeros(&[3, random.below(6), random.below(6)]);
        let numbers: Vec<f32> = (0..n * pixels::NUMBERS)
            .map(|_| if random.below(3) > 0 { random.below(2) as f32 } else { random.float() })
            .collect();
        let numbers = Tensor::from_vec(numbers, (n, pixels::NUMBERS), &Device::Cpu)?;
        let mean = (random.below(4) > 0).then_some(&mean);
        let channels = [random.below(3), random.number(3), random.below(3)];
        pixels::normalize_into(&x, &numbers, &PixelsParams { channels, mean }, &zeros(&[n, h, w, 3]))
    });
}
