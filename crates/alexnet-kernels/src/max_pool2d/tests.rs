use super::*;
use crate::cases::*;
use candle_core::Var;

struct Pool {
    case: Case,
    x_dims: [usize; 4],
    y_dims: [usize; 4],
    params: Pool2dParams,
    x: Vec<f32>,
    grad_y: Vec<f32>,
}

fn pools() -> impl Iterator<Item = Pool> {
    cases("max_pool2d").into_iter().map(|case| {
        let x_dims @ [n, c, h, w]: [usize; 4] = case.sizes("x");
        let params = Pool2dParams {
            kernel_size: case.size("kernel"),
            stride: case.size("stride"),
            padding: case.size("padding"),
            ceil: case.is("ceil"),
        };
        let [oh, ow] = params.output_size(OP, [h, w]).unwrap();
        let mut x = case.input(0, x_dims.iter().product());
        if let Some(levels) = case.get("levels").as_f64() {
            x.iter_mut().for_each(|x| *x = (*x * levels as f32).floor() / levels as f32);
        }
        let grad_y = case.grad_y(n * c * oh * ow);
        Pool { case, x_dims, y_dims: [n, c, oh, ow], params, x, grad_y }
    })
}

impl Pool {
    fn reference(&self) -> (Vec<f32>, Vec<f32>) {
        let [_, _, h, w] = self.x_dims;
        let (y, positions) = reference::forward(&self.x, h, w, &self.params);
        let outputs = self.y_dims[2] * self.y_dims[3];
        (y, reference::backward(&self.grad_y, &positions, outputs, h, w))
    }

    fn run(&self) -> (Vec<f32>, Vec<f32>) {
        let ([n, c, h, w], [_, _, oh, ow]) = (self.x_dims, self.y_dims);
        let x = tensor(&nhwc(&self.x, self.x_dims), &[n, h, w, c]);
        let y = tensor(&vec![f32::NAN; n * oh * ow * c], &[n, oh, ow, c]);
        let indices = Tensor::ones(y.shape(), index_dtype(&self.params), y.device()).unwrap();
        forward_into(&x, &self.params, &y, Some(&indices)).unwrap();
        let without = tensor(&vec![0.0; n * oh * ow * c], y.dims());
        forward_into(&x, &self.params, &without, None).unwrap();
        assert_same_bits("without indices", &values(&without), &values(&y));
        let grad_x = tensor(&vec![f32::NAN; n * h * w * c], &[n, h, w, c]);
        let grad_y = tensor(&nhwc(&self.grad_y, self.y_dims), &[n, oh, ow, c]);
        backward_into(&grad_y, &indices, &self.params, &grad_x).unwrap();
        (nchw(&values(&y), self.y_dims), nchw(&values(&grad_x), self.x_dims))
    }
}

#[test]
fn reference_agrees_with_pytorch() {
    if cpu_only() {
        return;
    }
    let golden = golden();
    for pool in pools() {
        let (y, grad_x) = pool.reference();
        golden.assert(&format!("max_pool2d/{}/y", pool.case.name()), &y, 1e-6);
        golden.assert(&format!("max_pool2d/{}/grad_x", pool.case.name()), &grad_x, 1e-6);
    }
}

#[test]
fn every_backend_agrees_with_the_reference() {
    for pool in pools() {
        let (y, grad_x) = pool.reference();
        for_each_backend(|backend| {
            let (name, actual) = (pool.case.name(), pool.run());
            assert_same_bits(&format!("{name}, {backend}: y"), &actual.0, &y);
            assert_close(&format!("{name}, {backend}: grad_x"), &actual.1, &grad_x, 1e-6);
        });
    }
}

#[test]
fn any_layout_and_autograd_agree_with_the_reference() -> Result<()> {
    if cpu_only() {
        return Ok(());
    }
    for pool in pools() {
        let ((y, grad_x), name) = (pool.reference(), pool.case.name());
        let var = Var::from_tensor(&tensor(&pool.x, &pool.x_dims))?;
        for (layout, x) in layouts(&var)? {
            let pooled = max_pool2d(&x, &pool.params)?;
            assert_eq!(crate::MemoryFormat::of(&pooled), crate::MemoryFormat::of(&x), "{name}, {layout}");
            assert_same_bits(&format!("{name}, {layout}: y"), &values(&pooled), &y);
            let grads = (pooled * tensor(&pool.grad_y, &pool.y_dims))?.sum_all()?.backward()?;
            assert_close(&format!("{name}, {layout}: grad_x"), &values(grads.get(&var).unwrap()), &grad_x, 1e-6);
        }
    }
    Ok(())
}

#[test]
fn threads_do_not_change_a_bit() {
    if cpu_only() {
        return;
    }
    for pool in pools() {
        assert_thread_independent(pool.case.name(), || {
            let (y, grad_x) = pool.run();
            [y, grad_x].concat()
        });
    }
}

#[test]
fn equal_maxima_and_nans_have_one_owner() -> Result<()> {
    let nan = f32::NAN;
    let low = f32::NEG_INFINITY;
    let cases = [
        ([1., 1., 1., 1.], 1., 0),
        ([0., 2., 2., 1.], 2., 1),
        ([-0., 0., 0., 0.], -0., 0),
        ([low, low, low, low], low, 0),
        ([5., nan, 7., nan], nan, 1),
        ([nan, nan, nan, nan], nan, 0),
    ];
    for_each_backend(|backend| {
        // Seventeen channels, so that both whole vectors and a remainder are tested.
        for (window, expected, owner) in cases {
            let x: Vec<f32> = (0..17).flat_map(|_| window).collect();
            let x = Var::from_tensor(&tensor(&x, &[1, 17, 2, 2])).unwrap();
            let y = max_pool2d(&x, &Pool2dParams::new(2, 2)).unwrap();
            assert!(
                values(&y).iter().all(|y| *y == expected || y.is_nan() && expected.is_nan()),
                "{backend}: {window:?}"
            );
            // The gradient of the plain sum: with weights, 0 · NaN would be NaN.
            let grads = y.sum_all().unwrap().backward().unwrap();
            for (i, g) in values(grads.get(&x).unwrap()).iter().enumerate() {
                assert_eq!(*g, if i % 4 == owner { 1. } else { 0. }, "{backend}: {window:?}, value {i}");
            }
        }
    });
    Ok(())
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let x = zeros(&[1, 2, 4, 4]);
    let message = |params: Pool2dParams| max_pool2d(&x, &params).unwrap_err().to_string();
    assert!(message(Pool2dParams::new(5, 1)).contains("5×5 window does not fit an image of 4×4"));
    assert!(message(Pool2dParams::new(3, 0)).contains("must be at least 1"));
    assert!(message(Pool2dParams::new(3, 1).with_padding(2)).contains("at most half the kernel_size 3, but is 2"));
    let nhwc = zeros(&[1, 4, 4, 2]);
    let wrong = forward_into(&nhwc, &Pool2dParams::new(2, 2), &nhwc, None).unwrap_err().to_string();
    assert!(wrong.contains("y must be [1, 2, 2, 2]"), "{wrong}");
    let y = zeros(&[1, 2, 2, 2]);
    let wrong = forward_into(&nhwc, &Pool2dParams::new(2, 2), &y, Some(&zeros(&[1, 2, 2, 2]))).unwrap_err();
    assert!(wrong.to_string().contains("indices must be u8, but is f32"), "{wrong}");
}

/// The maximum is one of the values, so it is exact.
#[test]
fn bf16_stays_within_its_bounds() {
    for mut pool in pools() {
        (pool.x, pool.grad_y) = (rounded(&pool.x), rounded(&pool.grad_y));
        let (y, grad_x) = pool.reference();
        in_bf16(|backend| {
            let (name, actual) = (pool.case.name(), pool.run());
            assert_same_bits(&format!("{name}, {backend}: y"), &actual.0, &y);
            assert_close(&format!("{name}, {backend}: grad_x"), &actual.1, &grad_x, 5e-3);
        });
    }
}
