use super::*;
use crate::cases::*;
use crate::conv2d::{Conv2dParams, conv2d};
use candle_core::Var;

struct Norm {
    name: String,
    dims: [usize; 4],
    params: BatchNorm2dParams,
    x: Vec<f32>,
    grad_y: Vec<f32>,
    /// Weight, bias, running mean, running variance.
    vectors: [Vec<f32>; 4],
}

/// The results of an operation, all channels first.
struct Results {
    y: Vec<f32>,
    saved: [Vec<f32>; 2],
    running: [Vec<f32>; 2],
    /// Gradients of x, weight and bias.
    grads: [Vec<f32>; 3],
}

fn norms() -> impl Iterator<Item = Norm> {
    cases("batch_norm2d").into_iter().map(|case| {
        let (dims, training): ([usize; 4], _) = (case.sizes("x"), case.is("training"));
        let params = BatchNorm2dParams { training, momentum: case.number("momentum"), eps: case.number("eps") };
        let (len, offset) = (dims.iter().product(), case.number("offset"));
        let x = case.scaled(0, len).into_iter().map(|x| x + offset).collect();
        let mut vectors = [1, 2, 3, 4].map(|i| case.input(i, dims[1]));
        vectors[3].iter_mut().for_each(|v| *v = v.abs() + 0.5);
        Norm { name: case.name().to_owned(), dims, params, x, grad_y: case.grad_y(len), vectors }
    })
}

impl Norm {
    fn pixels(&self) -> usize {
        self.dims[2] * self.dims[3]
    }

    fn reference(&self) -> Results {
        let ([_, channels, ..], [weight, bias, mean, variance]) = (self.dims, &self.vectors);
        let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (mut statistics, mut running) = ([wide(mean), wide(variance)], [mean.clone(), variance.clone()]);
        if self.params.training {
            statistics = reference::statistics(&self.x, channels, self.pixels());
            let count = self.x.len() / channels;
            running = reference::running([mean, variance], &statistics, count, self.params.momentum);
        }
        let inverse = statistics[1].iter().map(|v| (v + f64::from(self.params.eps)).sqrt().recip() as f32);
        Results {
            y: reference::forward(&self.x, self.pixels(), &statistics, [weight, bias], self.params.eps),
            saved: [statistics[0].iter().map(|&m| m as f32).collect(), inverse.collect()],
            running,
            grads: reference::backward(&self.x, &self.grad_y, self.pixels(), &statistics, weight, &self.params),
        }
    }

    fn run(&self) -> Results {
        let [n, c, h, w] = self.dims;
        let last = |v: &[f32]| tensor(&nhwc(v, self.dims), &[n, h, w, c]);
        let empty = || tensor(&vec![f32::NAN; self.x.len()], &[n, h, w, c]);
        let [weight, bias, running_mean, running_variance] = self.vectors.each_ref().map(|v| full(v, &[c]));
        let [mean, inverse_std, grad_weight, grad_bias] = [(); 4].map(|()| full(&vec![f32::NAN; c], &[c]));
        let (x, grad_y, y, grad_x) = (last(&self.x), last(&self.grad_y), empty(), empty());
        let state = BatchNorm2dState {
            weight: &weight,
            bias: &bias,
            running_mean: &running_mean,
            running_variance: &running_variance,
        };
        let saved = BatchNorm2dSaved { mean: &mean, inverse_std: &inverse_std };
        forward_into(&x, &state, &self.params, &y, &saved).unwrap();
        let grads = BatchNorm2dGrads { x: Some(&grad_x), weight: Some(&grad_weight), bias: Some(&grad_bias) };
        backward_into(&x, &weight, &grad_y, &saved, &self.params, grads).unwrap();
        Results {
            y: nchw(&values(&y), self.dims),
            saved: [values(&mean), values(&inverse_std)],
            running: [values(&running_mean), values(&running_variance)],
            grads: [nchw(&values(&grad_x), self.dims), values(&grad_weight), values(&grad_bias)],
        }
    }

    /// The rounding error of an `f32` mean of 1000 is 3·10⁻⁵ of a standard deviation of 1; the variance keeps its
    /// accuracy.
    fn tolerance(&self) -> f64 {
        if self.name == "mean 1000" { 1e-4 } else { 5e-6 }
    }
}

fn assert_results(what: &str, actual: &Results, expected: &Results, tolerance: f64) {
    assert_close(&format!("{what}: y"), &actual.y, &expected.y, tolerance);
    for (i, name) in ["mean", "inverse_std"].into_iter().enumerate() {
        assert_close(&format!("{what}: {name}"), &actual.saved[i], &expected.saved[i], 2e-6);
        assert_close(&format!("{what}: running {name}"), &actual.running[i], &expected.running[i], 2e-6);
    }
    for (i, name) in ["x", "weight", "bias"].into_iter().enumerate() {
        assert_close(&format!("{what}: grad_{name}"), &actual.grads[i], &expected.grads[i], tolerance);
    }
}

#[test]
fn reference_agrees_with_pytorch_and_finite_differences() {
    if cpu_only() {
        return;
    }
    let golden = more_golden();
    for norm in norms() {
        let (results, [_, channels, ..]) = (norm.reference(), norm.dims);
        let named = |name: &str| format!("batch_norm2d/{}/{name}", norm.name);
        golden.assert(&named("y"), &results.y, 1e-6);
        for (name, grad) in ["grad_x", "grad_weight", "grad_bias"].into_iter().zip(&results.grads) {
            golden.assert(&named(name), grad, 1e-6);
        }
        golden.assert(&named("running_mean"), &results.running[0], 1e-6);
        golden.assert(&named("running_variance"), &results.running[1], 1e-6);
        if norm.name != "odd sizes, normalized" && norm.params.training {
            continue;
        }
        let weighed = |norm: &Norm| -> f64 {
            let y = norm.reference().y;
            y.iter().zip(&norm.grad_y).map(|(&y, &g)| f64::from(y) * f64::from(g)).sum()
        };
        let with = |change: &dyn Fn(&mut Norm)| {
            let mut other = Norm {
                name: norm.name.clone(),
                x: norm.x.clone(),
                grad_y: norm.grad_y.clone(),
                vectors: norm.vectors.clone(),
                ..norm
            };
            change(&mut other);
            weighed(&other)
        };
        assert_gradient(&norm.name, &norm.x, &results.grads[0], 1e-2, 1e-2, |x| with(&|n| n.x = x.to_vec()));
        let [weight, bias, ..] = &norm.vectors;
        assert_eq!(weight.len(), channels);
        assert_gradient("weight", weight, &results.grads[1], 1e-2, 1e-2, |v| with(&|n| n.vectors[0] = v.to_vec()));
        assert_gradient("bias", bias, &results.grads[2], 1e-2, 1e-2, |v| with(&|n| n.vectors[1] = v.to_vec()));
    }
}

#[test]
fn every_backend_agrees_with_the_reference() {
    for norm in norms() {
        let expected = norm.reference();
        for_each_backend(|backend| {
            assert_results(&format!("{}, {backend}", norm.name), &norm.run(), &expected, norm.tolerance());
        });
        let bits = || {
            let Results { y, saved, running, grads } = norm.run();
            [vec![y], saved.to_vec(), running.to_vec(), grads.to_vec()].concat().concat()
        };
        assert_thread_independent(&norm.name, bits);
        let portable = CpuIsa::Portable.force(bits).unwrap();
        for_each_isa(|isa| assert_same_bits(&format!("{}, {isa}", norm.name), &bits(), &portable));
    }
}

#[test]
fn bf16_stays_within_its_bounds() {
    // `bf16` has three digits, which a mean of 1000 uses up.
    for mut norm in norms().filter(|norm| norm.name != "mean 1000") {
        (norm.x, norm.grad_y) = (rounded(&norm.x), rounded(&norm.grad_y));
        let expected = norm.reference();
        in_bf16(|backend| {
            let actual = norm.run();
            let name = format!("{}, {backend}", norm.name);
            assert_close(&format!("{name}: y"), &actual.y, &expected.y, 5e-3);
            assert_close(&format!("{name}: grad_x"), &actual.grads[0], &expected.grads[0], 5e-3);
            // These stay in `f32`.
            let (y, grad_x) = (expected.y.clone(), expected.grads[0].clone());
            let [_, grad_weight, grad_bias] = actual.grads;
            assert_results(&name, &Results { y, grads: [grad_x, grad_weight, grad_bias], ..actual }, &expected, 2e-6);
        });
    }
}

#[test]
fn any_layout_and_autograd_agree_with_the_reference() -> Result<()> {
    if cpu_only() {
        return Ok(());
    }
    for norm in norms() {
        let (expected, [_, c, ..]) = (norm.reference(), norm.dims);
        let x = Var::from_tensor(&tensor(&norm.x, &norm.dims))?;
        let vector = |i: usize| Var::from_tensor(&full(&norm.vectors[i], &[c]));
        let (weight, bias) = (vector(0)?, vector(1)?);
        for (layout, view) in layouts(&x)? {
            let (running_mean, running_variance) = (vector(2)?, vector(3)?);
            let state = BatchNorm2dState {
                weight: &weight,
                bias: &bias,
                running_mean: &running_mean,
                running_variance: &running_variance,
            };
            let y = batch_norm2d(&view, &state, &norm.params)?;
            let grads = (&y * tensor(&norm.grad_y, &norm.dims))?.sum_all()?.backward()?;
            let grads = [&x, &weight, &bias].map(|v| values(grads.get(v).unwrap()));
            let running = [values(&running_mean), values(&running_variance)];
            let actual = Results { y: values(&y), saved: expected.saved.clone(), running, grads };
            assert_results(&format!("{}, {layout}", norm.name), &actual, &expected, norm.tolerance());
        }
    }
    Ok(())
}

/// The blocks and parts of the fast path, and their remainders, compared with sums in `f64`.
#[test]
fn statistics_are_exact_past_all_blocks() {
    for pixels in [2, 63, 64, 65, 511, 512, 513, 1200] {
        let name = format!("{pixels} pixels");
        let x: Vec<f32> = uniform(&name, 0, 3 * pixels).iter().map(|x| x * 1.75 + 1000.0).collect();
        let params = BatchNorm2dParams::TRAINING;
        let vectors = [vec![1.0; 3], vec![0.0; 3], vec![0.0; 3], vec![1.0; 3]];
        let norm = Norm { name, dims: [1, 3, 1, pixels], params, grad_y: x.clone(), x, vectors };
        let expected = norm.reference();
        for_each_backend(|backend| {
            let (name, actual) = (format!("{}, {backend}", norm.name), norm.run());
            assert_close(&format!("{name}: mean"), &actual.saved[0], &expected.saved[0], 2e-7);
            assert_close(&format!("{name}: inverse_std"), &actual.saved[1], &expected.saved[1], 2e-6);
        });
    }
}

#[test]
fn a_nan_stays_in_its_channel_and_a_constant_one_is_its_bias() {
    let mut x = uniform("nan", 0, 2 * 3 * 4);
    x[3 * 4 + 4 + 1] = f32::NAN; // Channel 1 of the second image.
    x[8..12].fill(7.0);
    x[20..24].fill(7.0); // Channel 2.
    let vectors = [vec![1.0, 1.0, 3.0], vec![0.5; 3], vec![0.0; 3], vec![1.0; 3]];
    let (name, params) = ("nan".to_owned(), BatchNorm2dParams::TRAINING);
    let norm = Norm { name, dims: [2, 3, 2, 2], params, grad_y: x.clone(), x, vectors };
    for_each_backend(|backend| {
        let Results { y, running, .. } = norm.run();
        for (i, y) in y.iter().enumerate() {
            assert_eq!(y.is_nan(), i / 4 % 3 == 1, "{backend}: value {i} is {y}");
            assert!(i / 4 % 3 != 2 || *y == 0.5, "{backend}: a constant channel gives {y}");
        }
        assert_eq!(running[0].iter().map(|m| m.is_nan()).collect::<Vec<_>>(), [false, true, false], "{backend}");
    });
}

#[test]
fn a_folded_convolution_gives_what_both_give() -> Result<()> {
    let (weight, x) = (uniform("fold", 0, 6 * 2 * 9), uniform("fold", 1, 2 * 4 * 8 * 7));
    let (weight, x) = (tensor(&weight, &[6, 2, 3, 3]), tensor(&x, &[2, 4, 8, 7]));
    let vector = |i: u32| tensor(&uniform("fold", i, 6), &[6]);
    let (gamma, beta, mean, variance) = (vector(2), vector(3), vector(4), (vector(5).abs()? + 0.1)?);
    let state = BatchNorm2dState { weight: &gamma, bias: &beta, running_mean: &mean, running_variance: &variance };
    let params = Conv2dParams { groups: 2, ..Default::default() };
    for bias in [None, Some(vector(6))] {
        let both = batch_norm2d(&conv2d(&x, &weight, bias.as_ref(), &params)?, &state, &BatchNorm2dParams::INFERENCE)?;
        let (folded, folded_bias) = fold_into_convolution(&weight, bias.as_ref(), &state, 1e-5)?;
        let one = conv2d(&x, &folded, Some(&folded_bias), &params)?;
        assert_close("folded", &values(&one), &values(&both), 2e-6);
    }
    let message = |weight: &Tensor, eps| fold_into_convolution(weight, None, &state, eps).unwrap_err().to_string();
    assert!(message(&zeros(&[5, 2, 3, 3]), 1e-5).contains("weight must be [5], but its shape is [6]"));
    assert!(message(&weight, 0.0).contains("eps > 0 is needed, but eps is 0"));
    Ok(())
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let message = |dims: &[usize], channels: usize, params: BatchNorm2dParams| {
        let [weight, bias, mean, variance] = [(); 4].map(|()| zeros(&[channels]));
        let state = BatchNorm2dState { weight: &weight, bias: &bias, running_mean: &mean, running_variance: &variance };
        batch_norm2d(&zeros(dims), &state, &params).unwrap_err().to_string()
    };
    let (training, inference) = (BatchNorm2dParams::TRAINING, BatchNorm2dParams::INFERENCE);
    assert!(message(&[1, 3, 1, 1], 3, training).contains("at least 2 pixels, but x of shape [1, 1, 1, 3] has 1"));
    assert!(message(&[0, 3, 2, 2], 3, training).contains("has 0"));
    assert!(message(&[1, 3, 2, 2], 4, training).contains("running_mean must be [3], but its shape is [4]"));
    assert!(message(&[1, 3, 2, 2], 4, inference).contains("running_mean must be [3]"));
    assert!(message(&[1, 0, 2, 2], 0, inference).contains("at least one channel"));
    assert!(message(&[3, 2], 2, inference).contains("[n, c, h, w]"));
    let wrong = BatchNorm2dParams { momentum: f32::NAN, ..training };
    assert!(message(&[1, 3, 2, 2], 3, wrong).contains("0 ≤ momentum ≤ 1"));
    assert!(message(&[1, 3, 2, 2], 3, BatchNorm2dParams { eps: 0.0, ..training }).contains("eps 0"));
    // Training writes the running statistics in place, so no two tensors may be the same; inference reads them.
    let (x, y, a, b) = (zeros(&[2, 2, 2, 3]), zeros(&[2, 2, 2, 3]), zeros(&[3]), zeros(&[3]));
    let state = BatchNorm2dState { weight: &a, bias: &a, running_mean: &a, running_variance: &a };
    let saved = BatchNorm2dSaved { mean: &b, inverse_std: &b };
    for params in [training, inference] {
        let shared = forward_into(&x, &state, &params, &y, &saved).unwrap_err().to_string();
        assert!(shared.contains("shares its storage"), "{shared}");
    }
}
