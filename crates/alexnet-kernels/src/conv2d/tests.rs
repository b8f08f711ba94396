use super::*;
use crate::cases::*;
use candle_core::Var;

struct Conv {
    case: Case,
    x_dims: [usize; 4],
    weight_dims: [usize; 4],
    y_dims: [usize; 4],
    params: Conv2dParams,
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    grad_y: Vec<f32>,
}

fn convs() -> impl Iterator<Item = Conv> {
    cases("conv2d").into_iter().map(|case| {
        let x_dims @ [n, c, h, w]: [usize; 4] = case.sizes("x");
        let [top, bottom, left, right] = case.sizes("padding");
        let (kernel @ [kh, kw], out) = (case.sizes("kernel"), case.size("out"));
        let padding = Padding { top, bottom, left, right };
        let params = Conv2dParams { stride: case.size("stride"), padding, groups: case.size("groups") };
        let weight_dims = [out, c / params.groups, kh, kw];
        let [oh, ow] = params.output_size([h, w], kernel).unwrap();
        let y_dims = [n, out, oh, ow];
        Conv {
            x: case.input(0, x_dims.iter().product()),
            weight: case.input(1, weight_dims.iter().product()),
            bias: case.is("bias").then(|| case.input(2, out)),
            grad_y: case.grad_y(y_dims.iter().product()),
            case,
            x_dims,
            weight_dims,
            y_dims,
            params,
        }
    })
}

/// Result and gradients, channels first.
struct Answer {
    y: Vec<f32>,
    grad_x: Vec<f32>,
    grad_weight: Vec<f32>,
    grad_bias: Vec<f32>,
}

impl Conv {
    fn reference(&self) -> Answer {
        let sizes = reference::Sizes::from(&self.shape());
        let bias = self.bias.as_deref().unwrap_or(&[]);
        let y = reference::forward(&sizes, &self.params, &self.x, &self.weight, bias);
        let (grad_x, grad_weight, grad_bias) =
            reference::backward(&sizes, &self.params, &self.x, &self.weight, &self.grad_y);
        Answer { y, grad_x, grad_weight, grad_bias }
    }

    /// Through the entry points that the network uses: existing channels-last tensors, filled with NaN.
    fn run(&self, relu: bool) -> Answer {
        let [n, c, h, w] = self.x_dims;
        let [_, out, oh, ow] = self.y_dims;
        let x = tensor(&nhwc(&self.x, self.x_dims), &[n, h, w, c]);
        let weight = tensor(&self.weight, &self.weight_dims);
        let bias = self.bias.as_ref().map(|bias| full(bias, &[out]));
        let nans = |dims: &[usize]| vec![f32::NAN; dims.iter().product()];
        let empty = |dims: &[usize]| full(&nans(dims), dims);
        let y = tensor(&nans(&[n, oh, ow, out]), &[n, oh, ow, out]);
        forward_into(&x, &weight, bias.as_ref(), &self.params, relu, &y).unwrap();
        let grad_y = tensor(&nhwc(&self.grad_y, self.y_dims), &[n, oh, ow, out]);
        let (grad_x, grad_weight, grad_bias) = (tensor(&nans(x.dims()), x.dims()), empty(weight.dims()), empty(&[out]));
        let grads = Conv2dGrads { x: Some(&grad_x), weight: Some(&grad_weight), bias: Some(&grad_bias) };
        backward_into(&x, &weight, &grad_y, &self.params, grads).unwrap();
        Answer {
            y: nchw(&values(&y), self.y_dims),
            grad_x: nchw(&values(&grad_x), self.x_dims),
            grad_weight: values(&grad_weight),
            grad_bias: values(&grad_bias),
        }
    }

    /// Relative error allowed for a fast path. The longest sums, 3025 pixels in `f32`, have a few 1e-6; Winograd's algorithm
    /// has a few 1e-5 in the gradient of a 5×5 kernel.
    fn tolerance(&self) -> f64 {
        if winograd::suits(&self.shape()) { 5e-5 } else { 1e-5 }
    }

    fn shape(&self) -> Conv2dShape {
        let [n, c, h, w] = self.x_dims;
        Conv2dShape::new(&[n, h, w, c], &self.weight_dims, &self.params).unwrap()
    }

    fn name(&self) -> &str {
        self.case.name()
    }
}

#[test]
fn reference_agrees_with_pytorch() {
    if cpu_only() {
        return;
    }
    let golden = golden();
    for conv in convs() {
        let (answer, name) = (conv.reference(), conv.name());
        golden.assert(&format!("conv2d/{name}/y"), &answer.y, 1e-6);
        golden.assert(&format!("conv2d/{name}/grad_x"), &answer.grad_x, 1e-6);
        golden.assert(&format!("conv2d/{name}/grad_weight"), &answer.grad_weight, 1e-6);
        if conv.bias.is_some() {
            golden.assert(&format!("conv2d/{name}/grad_bias"), &answer.grad_bias, 1e-6);
        }
    }
}

#[test]
fn every_backend_agrees_with_the_reference() {
    for conv in convs() {
        let (expected, tolerance) = (conv.reference(), conv.tolerance());
        for_each_backend(|backend| {
            let (actual, name) = (conv.run(false), conv.name());
            assert_close(&format!("{name}, {backend}: y"), &actual.y, &expected.y, tolerance);
            assert_close(&format!("{name}, {backend}: grad_x"), &actual.grad_x, &expected.grad_x, tolerance);
            assert_close(
                &format!("{name}, {backend}: grad_weight"),
                &actual.grad_weight,
                &expected.grad_weight,
                tolerance,
            );
            assert_close(&format!("{name}, {backend}: grad_bias"), &actual.grad_bias, &expected.grad_bias, tolerance);

            let rectified: Vec<f32> = expected.y.iter().map(|&y| y.max(0.0)).collect();
            assert_close(&format!("{name}, {backend}: relu"), &conv.run(true).y, &rectified, tolerance);
        });
    }
}

/// Results have eight bits of precision, so an error of at most 2^-9, or twice that where the bias is added to a rounded
/// sum.
#[test]
fn bf16_stays_within_its_bounds() {
    for mut conv in convs() {
        (conv.x, conv.weight, conv.grad_y) = (rounded(&conv.x), rounded(&conv.weight), rounded(&conv.grad_y));
        let expected = conv.reference();
        in_bf16(|backend| {
            let (actual, name) = (conv.run(false), conv.name());
            assert_close(&format!("{name}, {backend}: y"), &actual.y, &expected.y, 8e-3);
            assert_close(&format!("{name}, {backend}: grad_x"), &actual.grad_x, &expected.grad_x, 1e-2);
            assert_close(&format!("{name}, {backend}: grad_weight"), &actual.grad_weight, &expected.grad_weight, 5e-3);
            assert_close(&format!("{name}, {backend}: grad_bias"), &actual.grad_bias, &expected.grad_bias, 1e-5);
        });
    }
}

#[test]
fn both_ways_are_in_the_table() {
    let (winograd, direct): (Vec<_>, Vec<_>) = convs().partition(|conv| winograd::suits(&conv.shape()));
    for kernel in [3, 5] {
        assert!(
            winograd.iter().any(|conv| conv.weight_dims[2] == kernel),
            "no {kernel}×{kernel} kernel by Winograd's algorithm"
        );
    }
    assert!(winograd.iter().any(|conv| conv.params.stride > 1), "no strided kernel by Winograd's algorithm");
    assert!(direct.len() > 6, "only {} direct convolutions", direct.len());
}

#[test]
fn any_layout_and_autograd_agree_with_the_reference() -> Result<()> {
    if cpu_only() {
        return Ok(());
    }
    for conv in convs() {
        let (expected, tolerance, name) = (conv.reference(), conv.tolerance(), conv.name());
        let var = Var::from_tensor(&tensor(&conv.x, &conv.x_dims))?;
        for (layout, x) in layouts(&var)? {
            let weight = Var::from_tensor(&tensor(&conv.weight, &conv.weight_dims))?;
            let bias = conv.bias.as_ref().map(|b| Var::from_tensor(&tensor(b, &[b.len()]))).transpose()?;
            let y = conv2d(&x, &weight, bias.as_deref(), &conv.params)?;
            assert_eq!(crate::MemoryFormat::of(&y), crate::MemoryFormat::of(&x), "{name}, {layout}");
            assert_close(&format!("{name}, {layout}: y"), &values(&y), &expected.y, tolerance);

            let grads = (y * tensor(&conv.grad_y, &conv.y_dims))?.sum_all()?.backward()?;
            let grad = |t: &Tensor| values(grads.get(t).unwrap());
            assert_close(&format!("{name}, {layout}: grad_x"), &grad(&var), &expected.grad_x, tolerance);
            assert_close(&format!("{name}, {layout}: grad_weight"), &grad(&weight), &expected.grad_weight, tolerance);
            if let Some(bias) = &bias {
                assert_close(&format!("{name}, {layout}: grad_bias"), &grad(bias), &expected.grad_bias, tolerance);
            }
        }
    }
    Ok(())
}

#[test]
fn threads_do_not_change_a_bit() {
    if cpu_only() {
        return;
    }
    for conv in convs() {
        assert_thread_independent(conv.name(), || {
            let Answer { y, grad_x, grad_weight, grad_bias } = conv.run(false);
            [y, grad_x, grad_weight, grad_bias].concat()
        });
    }
}

#[test]
fn a_prepared_weight_gives_the_same_results() {
    for conv in convs() {
        let [n, c, h, w] = conv.x_dims;
        let [_, out, oh, ow] = conv.y_dims;
        let same = |backend: Backend| {
            let x = tensor(&nhwc(&conv.x, conv.x_dims), &[n, h, w, c]);
            let weight = tensor(&conv.weight, &conv.weight_dims);
            let bias = conv.bias.as_ref().map(|bias| full(bias, &[out]));
            let empty = || tensor(&vec![f32::NAN; n * oh * ow * out], &[n, oh, ow, out]);
            let (expected, y) = (empty(), empty());
            forward_into(&x, &weight, bias.as_ref(), &conv.params, true, &expected).unwrap();
            let prepared = PreparedWeight::new(&weight, &conv.params);
            for pass in ["first", "second"] {
                prepared.forward_into(&x, bias.as_ref(), true, &y).unwrap();
                assert_same_bits(&format!("{}, {backend}, {pass}", conv.name()), &values(&y), &values(&expected));
            }
        };
        for_each_backend(same);
        in_bf16(same);
    }
}

#[test]
fn a_nan_reaches_exactly_the_windows_that_see_it() {
    let mut x = vec![1.0; 2 * 9 * 9];
    x[9 * 4 + 4] = f32::NAN;
    for_each_backend(|backend| {
        let weight = tensor(&[1.0; 18], &[2, 1, 3, 3]);
        let params = Conv2dParams { groups: 2, ..Default::default() };
        let y = values(&conv2d(&tensor(&x, &[1, 2, 9, 9]), &weight, None, &params).unwrap());
        for (i, y) in y.iter().enumerate() {
            let (channel, row, column) = (i / 49, i / 7 % 7, i % 7);
            let seen = channel == 0 && (2..=4).contains(&row) && (2..=4).contains(&column);
            assert_eq!(y.is_nan(), seen, "{backend}: channel {channel}, row {row}, column {column}");
        }
    });
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let (x, weight) = (zeros(&[1, 4, 5, 5]), zeros(&[6, 2, 3, 3]));
    let message = |x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Conv2dParams| {
        conv2d(x, weight, bias, &params).unwrap_err().to_string()
    };
    let groups = |groups| Conv2dParams { groups, ..Default::default() };
    assert!(message(&x, &weight, None, groups(1)).contains("[out_channels, 4, kh, kw]"));
    assert!(message(&x, &weight, None, groups(3)).contains("3 groups do not divide 4 input and 6 output channels"));
    assert!(message(&x, &weight, None, groups(0)).contains("0 groups"));
    let stride = Conv2dParams { stride: 0, ..groups(2) };
    assert!(message(&x, &weight, None, stride).contains("stride must be at least 1"));
    let large = zeros(&[6, 2, 7, 3]);
    assert!(message(&x, &large, None, groups(2)).contains("7×3 kernel does not fit an image of 5×5"));
    let bias = zeros(&[5]);
    assert!(message(&x, &weight, Some(&bias), groups(2)).contains("bias must be [6]"));
    let double = x.to_dtype(candle_core::DType::F64).unwrap();
    assert!(message(&double, &weight, None, groups(2)).contains("must be f32, but is f64"));
    assert!(message(&zeros(&[4, 5, 5]), &weight, None, groups(2)).contains("[n, c, h, w]"));

    let x = zeros(&[1, 5, 5, 2]);
    let weight = zeros(&[2, 2, 1, 1]);
    let same = forward_into(&x, &weight, None, &groups(1), false, &x).unwrap_err().to_string();
    assert!(same.contains("shares its storage"), "{same}");
    let view = zeros(&[1, 5, 5, 3]).narrow(3, 0, 2).unwrap();
    let view = forward_into(&x, &weight, None, &groups(1), false, &view).unwrap_err().to_string();
    assert!(view.contains("must be contiguous"), "{view}");
}

#[test]
fn an_empty_batch_has_an_empty_result_and_no_gradient() {
    for_each_backend(|backend| {
        // Empty views of non-empty tensors: a GPU cannot allocate empty tensors.
        let none_of = |dims: &[usize]| zeros(dims).narrow(0, 0, 0).unwrap();
        let (x, y, params) = (none_of(&[1, 5, 5, 2]), none_of(&[1, 3, 3, 3]), Conv2dParams::default());
        let (weight, bias) = (zeros(&[3, 2, 3, 3]), zeros(&[3]));
        let (grad_weight, grad_bias) = (full(&[f32::NAN; 54], &[3, 2, 3, 3]), full(&[f32::NAN; 3], &[3]));
        forward_into(&x, &weight, Some(&bias), &params, true, &y).unwrap();
        let grads = Conv2dGrads { weight: Some(&grad_weight), bias: Some(&grad_bias), ..Default::default() };
        backward_into(&x, &weight, &y, &params, grads).unwrap();
        assert_eq!(values(&grad_weight), vec![0.0; 54], "{backend}");
        assert_eq!(values(&grad_bias), vec![0.0; 3], "{backend}");
    });
}
