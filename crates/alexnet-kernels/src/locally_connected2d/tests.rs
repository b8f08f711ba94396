use super::*;
use crate::cases::*;
use crate::conv2d::{Padding, conv2d, reference::Sizes};
use candle_core::Var;

struct Local {
    case: Case,
    sizes: Sizes,
    params: Conv2dParams,
    x: Vec<f32>,
    weight: Vec<f32>,
    /// Empty if the layer has none.
    bias: Vec<f32>,
    grad_y: Vec<f32>,
}

/// y, and the gradients of x, weight and bias; images channels first.
type Results = (Vec<f32>, [Vec<f32>; 3]);

fn locals() -> impl Iterator<Item = Local> {
    cases("locally_connected2d").into_iter().map(|case| {
        let ([n, in_channels, h, w], [kh, kw]) = (case.sizes::<4>("x"), case.sizes::<2>("kernel"));
        let [top, bottom, left, right] = case.sizes("padding");
        let padding = Padding { top, bottom, left, right };
        let params = Conv2dParams { stride: case.size("stride"), padding, groups: case.size("groups") };
        let out_channels = case.size("out");
        let [oh, ow] = params.output_size([h, w], [kh, kw]).unwrap();
        let sizes = Sizes { n, image: [h, w], in_channels, out_channels, kernel: [kh, kw], output: [oh, ow] };
        Local {
            x: case.input(0, n * in_channels * h * w),
            weight: case.input(1, oh * ow * out_channels * kh * kw * in_channels / params.groups),
            bias: if case.is("bias") { case.input(2, oh * ow * out_channels) } else { vec![] },
            grad_y: case.grad_y(n * out_channels * oh * ow),
            sizes,
            params,
            case,
        }
    })
}

impl Local {
    fn x_dims(&self) -> [usize; 4] {
        [self.sizes.n, self.sizes.in_channels, self.sizes.image[0], self.sizes.image[1]]
    }

    fn y_dims(&self) -> [usize; 4] {
        [self.sizes.n, self.sizes.out_channels, self.sizes.output[0], self.sizes.output[1]]
    }

    fn weight_dims(&self) -> Vec<usize> {
        let ([oh, ow], [kh, kw]) = (self.sizes.output, self.sizes.kernel);
        vec![oh, ow, self.sizes.out_channels, kh, kw, self.sizes.in_channels / self.params.groups]
    }

    fn bias_dims(&self) -> [usize; 3] {
        [self.sizes.output[0], self.sizes.output[1], self.sizes.out_channels]
    }

    fn reference(&self) -> Results {
        let y = reference::forward(&self.sizes, &self.params, &self.x, &self.weight, &self.bias);
        (y, reference::backward(&self.sizes, &self.params, &self.x, &self.weight, &self.grad_y))
    }

    fn bias(&self) -> Option<Tensor> {
        (!self.bias.is_empty()).then(|| full(&self.bias, &self.bias_dims()))
    }

    fn run(&self, relu: bool) -> Results {
        let last = |v: &[f32], dims: [usize; 4]| tensor(&nhwc(v, dims), &[dims[0], dims[2], dims[3], dims[1]]);
        let (x, grad_y) = (last(&self.x, self.x_dims()), last(&self.grad_y, self.y_dims()));
        let weight = tensor(&self.weight, &self.weight_dims());
        let empty = |like: &Tensor| tensor(&vec![f32::NAN; like.elem_count()], like.dims());
        let (y, grad_x) = (empty(&grad_y), empty(&x));
        let grad_weight = full(&vec![f32::NAN; self.weight.len()], &self.weight_dims());
        let bias_dims = self.bias_dims();
        let grad_bias = full(&vec![f32::NAN; bias_dims.iter().product()], &bias_dims);
        forward_into(&x, &weight, self.bias().as_ref(), &self.params, relu, &y).unwrap();
        let grads = LocallyConnected2dGrads { x: Some(&grad_x), weight: Some(&grad_weight), bias: Some(&grad_bias) };
        backward_into(&x, &weight, &grad_y, &self.params, grads).unwrap();
        let grad_x = nchw(&values(&grad_x), self.x_dims());
        (nchw(&values(&y), self.y_dims()), [grad_x, values(&grad_weight), values(&grad_bias)])
    }
}

fn assert_results(what: &str, actual: &Results, expected: &Results, tolerances: [f64; 3]) {
    assert_close(&format!("{what}: y"), &actual.0, &expected.0, tolerances[0]);
    for (i, name) in ["x", "weight", "bias"].into_iter().enumerate() {
        let tolerance = tolerances[1 + usize::from(i > 0)];
        assert_close(&format!("{what}: grad_{name}"), &actual.1[i], &expected.1[i], tolerance);
    }
}

#[test]
fn reference_agrees_with_pytorch_and_finite_differences() {
    if cpu_only() {
        return;
    }
    let golden = more_golden();
    for local in locals() {
        let (name, (y, grads)) = (local.case.name(), local.reference());
        golden.assert(&format!("locally_connected2d/{name}/y"), &y, 1e-6);
        for (grad, values) in ["grad_x", "grad_weight", "grad_bias"].into_iter().zip(&grads) {
            if grad != "grad_bias" || !local.bias.is_empty() {
                golden.assert(&format!("locally_connected2d/{name}/{grad}"), values, 1e-6);
            }
        }
        let (sizes, params) = (&local.sizes, &local.params);
        let weighed =
            |y: Vec<f32>| -> f64 { y.iter().zip(&local.grad_y).map(|(&y, &g)| f64::from(y) * f64::from(g)).sum() };
        assert_gradient(name, &local.x, &grads[0], 1e-2, 1e-2, |x| {
            weighed(reference::forward(sizes, params, x, &local.weight, &local.bias))
        });
        assert_gradient(name, &local.weight, &grads[1], 1e-2, 1e-2, |weight| {
            weighed(reference::forward(sizes, params, &local.x, weight, &local.bias))
        });
    }
}

#[test]
fn every_backend_agrees_with_the_reference() {
    for local in locals() {
        let (name, expected) = (local.case.name(), local.reference());
        let rectified: Vec<f32> = expected.0.iter().map(|y| y.max(0.0)).collect();
        for_each_backend(|backend| {
            assert_results(&format!("{name}, {backend}"), &local.run(false), &expected, [1e-5; 3]);
            assert_close(&format!("{name}, {backend}: relu"), &local.run(true).0, &rectified, 1e-5);
        });
        assert_thread_independent(name, || {
            let (y, grads) = local.run(false);
            [vec![y], grads.to_vec()].concat().concat()
        });
    }
}

#[test]
fn bf16_stays_within_its_bounds() {
    for mut local in locals() {
        (local.x, local.grad_y) = (rounded(&local.x), rounded(&local.grad_y));
        local.weight = rounded(&local.weight);
        let (name, expected) = (local.case.name(), local.reference());
        // The gradients of weight and bias stay in `f32`; that of x sums rounded values.
        in_bf16(|backend| {
            assert_results(&format!("{name}, {backend}"), &local.run(false), &expected, [8e-3, 8e-3, 1e-5]);
        });
    }
}

#[test]
fn any_layout_and_autograd_agree_with_the_reference() -> Result<()> {
    if cpu_only() {
        return Ok(());
    }
    for local in locals() {
        let (name, expected) = (local.case.name(), local.reference());
        let x = Var::from_tensor(&tensor(&local.x, &local.x_dims()))?;
        let weight = Var::from_tensor(&tensor(&local.weight, &local.weight_dims()))?;
        let bias = local.bias().map(|bias| Var::from_tensor(&bias)).transpose()?;
        for (layout, view) in layouts(&x)? {
            let y = locally_connected2d(&view, &weight, bias.as_deref(), &local.params)?;
            let grads = (&y * tensor(&local.grad_y, &local.y_dims()))?.sum_all()?.backward()?;
            let grad = |v: &Var| values(grads.get(v).unwrap());
            let grad_bias = bias.as_ref().map_or(expected.1[2].clone(), grad);
            let actual = (values(&y), [grad(&x), grad(&weight), grad_bias]);
            assert_results(&format!("{name}, {layout}"), &actual, &expected, [1e-5; 3]);
        }
    }
    Ok(())
}

#[test]
fn the_same_weight_at_every_position_is_a_convolution() -> Result<()> {
    let params = Conv2dParams { stride: 2, padding: Padding { top: 1, bottom: 0, left: 2, right: 1 }, groups: 2 };
    let x = tensor(&uniform("shared", 0, 2 * 4 * 9 * 7), &[2, 4, 9, 7]);
    let weight = tensor(&uniform("shared", 1, 6 * 2 * 3 * 2), &[6, 2, 3, 2]);
    let expected = conv2d(&x, &weight, None, &params)?;
    let (oh, ow) = (expected.dim(2)?, expected.dim(3)?);
    let last = weight.permute((0, 2, 3, 1))?.reshape(vec![1, 1, 6, 3, 2, 2])?;
    let y = locally_connected2d(&x, &last.broadcast_as(vec![oh, ow, 6, 3, 2, 2])?, None, &params)?;
    assert_close("shared", &values(&y), &values(&expected), 1e-6);
    Ok(())
}

#[test]
fn a_nan_stays_in_the_windows_that_see_it() {
    for_each_backend(|backend| {
        let mut x = vec![1.0; 5];
        x[0] = f32::NAN;
        let params =
            Conv2dParams { padding: Padding { left: 1, right: 1, ..Padding::default() }, ..Default::default() };
        let (weight, y) = (tensor(&[1.0; 15], &[1, 5, 1, 1, 3, 1]), tensor(&[0.0; 5], &[1, 1, 5, 1]));
        forward_into(&tensor(&x, &[1, 1, 5, 1]), &weight, None, &params, false, &y).unwrap();
        let nan: Vec<bool> = values(&y).iter().map(|y| y.is_nan()).collect();
        assert_eq!(nan, [true, true, false, false, false], "{backend}");
    });
}

#[test]
fn no_images_have_no_gradients() {
    // Candle has no empty tensors on a GPU: CUDA refuses to allocate zero bytes.
    if cpu_only() {
        return;
    }
    for_each_backend(|backend| {
        let (x, grad_y) = (tensor(&[], &[0, 3, 3, 2]), tensor(&[], &[0, 2, 2, 4]));
        let weight = tensor(&[1.0; 128], &[2, 2, 4, 2, 2, 2]);
        let (grad_weight, grad_bias) = (full(&[f32::NAN; 128], &[2, 2, 4, 2, 2, 2]), full(&[f32::NAN; 16], &[2, 2, 4]));
        forward_into(&x, &weight, None, &Conv2dParams::default(), false, &grad_y).unwrap();
        let grads = LocallyConnected2dGrads { x: None, weight: Some(&grad_weight), bias: Some(&grad_bias) };
        backward_into(&x, &weight, &grad_y.copy().unwrap(), &Conv2dParams::default(), grads).unwrap();
        assert!(values(&grad_weight).iter().chain(&values(&grad_bias)).all(|&g| g == 0.0), "{backend}");
    });
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let message = |x: &[usize], weight: &[usize], params: Conv2dParams| {
        locally_connected2d(&zeros(x), &zeros(weight), None, &params).unwrap_err().to_string()
    };
    let (x, params) = ([1, 2, 4, 4], Conv2dParams::default());
    let right = [2, 2, 5, 3, 3, 2];
    assert!(locally_connected2d(&zeros(&x), &zeros(&right), None, &params).is_ok());
    let wrong = message(&x, &[2, 3, 5, 3, 3, 2], params);
    assert!(wrong.contains("weight must be [2, 2, out_channels, 3, 3, 2]") && wrong.contains("[2, 3, 5, 3, 3, 2]"));
    assert!(message(&x, &[2, 2, 5, 3, 3, 1], params).contains("[2, 2, out_channels, 3, 3, 2]"));
    assert!(message(&x, &[5, 3, 3, 2], params).contains("[oh, ow, out_channels, kh, kw"));
    assert!(message(&x, &[1, 1, 5, 5, 5, 2], params).contains("5×5 kernel does not fit an image of 4×4"));
    assert!(message(&x, &right, Conv2dParams { stride: 0, ..params }).contains("at least 1, but is 0"));
    assert!(message(&x, &right, Conv2dParams { groups: 2, ..params }).contains("2 groups do not divide"));
    let padding = Padding { top: usize::MAX, ..Padding::default() };
    assert!(message(&x, &right, Conv2dParams { padding, ..params }).contains("above 2^31"));
    let bias = locally_connected2d(&zeros(&x), &zeros(&right), Some(&zeros(&[5])), &params).unwrap_err().to_string();
    assert!(bias.contains("bias must be [2, 2, 5]"), "{bias}");
    // The values of the windows exceed the address space. Only the shape is tested, so no memory is allocated.
    let most = 1 << 31;
    let shape = LocalShape::new(&[most, 1, 1, most], &[1, 1, 1, 1, 1, most], &params).unwrap_err().to_string();
    assert!(shape.contains("exceed the address space"), "{shape}");
}
