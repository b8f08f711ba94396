use super::*;
use crate::cases::*;
use candle_core::Var;

struct Norm {
    case: Case,
    dims: [usize; 4],
    params: ContrastNormParams,
    x: Vec<f32>,
    grad_y: Vec<f32>,
}

fn norms() -> impl Iterator<Item = Norm> {
    cases("contrast_norm").into_iter().map(|case| {
        let dims: [usize; 4] = case.sizes("x");
        let params = ContrastNormParams::averaged(case.size("size"), case.number("alpha"), case.number("beta"));
        let len = dims.iter().product();
        Norm { dims, params, x: case.scaled(0, len), grad_y: case.grad_y(len), case }
    })
}

impl Norm {
    fn reference(&self) -> (Vec<f32>, Vec<f32>) {
        let [_, _, h, w] = self.dims;
        let y = reference::forward(&self.x, [h, w], &self.params);
        (y, reference::backward(&self.x, &self.grad_y, [h, w], &self.params))
    }

    fn run(&self) -> (Vec<f32>, Vec<f32>) {
        let [n, c, h, w] = self.dims;
        let last = |v: &[f32]| tensor(&nhwc(v, self.dims), &[n, h, w, c]);
        let (x, grad_y) = (last(&self.x), last(&self.grad_y));
        let empty = || tensor(&vec![f32::NAN; self.x.len()], &[n, h, w, c]);
        let (y, grad_x) = (empty(), empty());
        forward_into(&x, &self.params, &y).unwrap();
        backward_into(&x, &grad_y, &self.params, &grad_x).unwrap();
        (nchw(&values(&y), self.dims), nchw(&values(&grad_x), self.dims))
    }
}

#[test]
fn reference_agrees_with_pytorch_and_finite_differences() {
    if cpu_only() {
        return;
    }
    let golden = more_golden();
    for norm in norms() {
        let ((y, grad_x), name) = (norm.reference(), norm.case.name());
        golden.assert(&format!("contrast_norm/{name}/y"), &y, 1e-6);
        golden.assert(&format!("contrast_norm/{name}/grad_x"), &grad_x, 1e-6);
        if norm.x.len() < 1000 {
            let [_, _, h, w] = norm.dims;
            assert_gradient(name, &norm.x, &grad_x, 1e-2, 1e-2, |x| {
                let y = reference::forward(x, [h, w], &norm.params);
                y.iter().zip(&norm.grad_y).map(|(&y, &g)| f64::from(y) * f64::from(g)).sum()
            });
        }
    }
}

#[test]
fn every_backend_agrees_with_the_reference() {
    for norm in norms() {
        let ((y, grad_x), name) = (norm.reference(), norm.case.name());
        for_each_backend(|backend| {
            let actual = norm.run();
            assert_close(&format!("{name}, {backend}: y"), &actual.0, &y, 2e-6);
            assert_close(&format!("{name}, {backend}: grad_x"), &actual.1, &grad_x, 5e-6);
        });
        assert_thread_independent(name, || {
            let (y, grad_x) = norm.run();
            [y, grad_x].concat()
        });
    }
}

#[test]
fn any_layout_and_autograd_agree_with_the_reference() -> Result<()> {
    if cpu_only() {
        return Ok(());
    }
    for norm in norms() {
        let ((y, grad_x), name) = (norm.reference(), norm.case.name());
        let var = Var::from_tensor(&tensor(&norm.x, &norm.dims))?;
        for (layout, x) in layouts(&var)? {
            let normalized = contrast_norm(&x, &norm.params)?;
            assert_close(&format!("{name}, {layout}: y"), &values(&normalized), &y, 2e-6);
            let grads = (normalized * tensor(&norm.grad_y, &norm.dims))?.sum_all()?.backward()?;
            assert_close(&format!("{name}, {layout}: grad_x"), &values(grads.get(&var).unwrap()), &grad_x, 5e-6);
        }
    }
    Ok(())
}

#[test]
fn bf16_stays_within_its_bounds() {
    for mut norm in norms() {
        (norm.x, norm.grad_y) = (rounded(&norm.x), rounded(&norm.grad_y));
        let (y, grad_x) = norm.reference();
        in_bf16(|backend| {
            let (name, actual) = (norm.case.name(), norm.run());
            assert_close(&format!("{name}, {backend}: y"), &actual.0, &y, 5e-3);
            assert_close(&format!("{name}, {backend}: grad_x"), &actual.1, &grad_x, 5e-3);
        });
    }
}

#[test]
fn a_nan_reaches_two_windows_and_windows_of_one_pixel_change_nothing() {
    for_each_backend(|backend| {
        let mut x = vec![1.0; 9];
        x[4] = f32::NAN;
        let params = ContrastNormParams::averaged(3, 1.0, 0.75);
        let y = tensor(&[0.0; 9], &[1, 1, 9, 1]);
        forward_into(&tensor(&x, &[1, 1, 9, 1]), &params, &y).unwrap();
        for (at, y) in values(&y).iter().enumerate() {
            // One pixel further through the mean, and one more through the sum.
            assert_eq!(y.is_nan(), (2..=6).contains(&at), "{backend}: pixel {at} is {y}");
        }
        let x = uniform("one", 0, 24);
        let y = tensor(&[0.0; 24], &[1, 2, 3, 4]);
        forward_into(&tensor(&x, &[1, 2, 3, 4]), &ContrastNormParams::averaged(1, 3.0, 0.75), &y).unwrap();
        assert_same_bits(&format!("{backend}"), &values(&y), &x);
    });
}

/// A window much larger than the image covers exactly the image.
#[test]
fn the_largest_window_is_the_whole_image() {
    let x = uniform("whole", 0, 2 * 12);
    let wide = ContrastNormParams { size: MAX_SIZE, alpha: 1.0, beta: 0.5 };
    let narrow = ContrastNormParams { size: 7, ..wide };
    for_each_backend(|backend| {
        let run = |params: &ContrastNormParams| {
            let (y, grad) = (tensor(&[0.0; 24], &[2, 3, 4, 1]), tensor(&[0.0; 24], &[2, 3, 4, 1]));
            let x = tensor(&x, &[2, 3, 4, 1]);
            forward_into(&x, params, &y).unwrap();
            backward_into(&x, &x.copy().unwrap(), params, &grad).unwrap();
            [values(&y), values(&grad)].concat()
        };
        assert_same_bits(&format!("{backend}"), &run(&wide), &run(&narrow));
    });
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let right = ContrastNormParams::averaged(5, 1e-3, 0.75);
    let message = |params| contrast_norm(&zeros(&[1, 2, 3, 3]), &params).unwrap_err().to_string();
    assert!(message(ContrastNormParams { size: 0, ..right }).contains("1 ≤ size ≤ 65536"));
    assert!(message(ContrastNormParams { size: usize::MAX, ..right }).contains("18446744073709551615"));
    assert!(message(ContrastNormParams { alpha: f32::NAN, ..right }).contains("alpha NaN"));
    assert!(message(ContrastNormParams { alpha: -1.0, ..right }).contains("alpha -1"));
    assert!(message(ContrastNormParams { beta: f32::INFINITY, ..right }).contains("beta inf"));
    assert!(contrast_norm(&zeros(&[2, 3]), &right).unwrap_err().to_string().contains("[n, c, h, w]"));
    let x = zeros(&[1, 3, 3, 2]);
    let shared = forward_into(&x, &right, &x).unwrap_err().to_string();
    assert!(shared.contains("shares its storage"), "{shared}");
    let wrong = backward_into(&x, &zeros(&[1, 3, 3, 1]), &right, &zeros(&[1, 3, 3, 2])).unwrap_err().to_string();
    assert!(wrong.contains("grad_y must be [1, 3, 3, 2]"), "{wrong}");
    // An empty batch is valid.
    assert_eq!(contrast_norm(&zeros(&[0, 2, 3, 3]), &right).unwrap().dims(), [0, 2, 3, 3]);
}
