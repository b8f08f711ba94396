use super::*;
use crate::cases::*;
use crate::{Pool2dParams, avg_pool2d};
use candle_core::Var;

#[test]
fn agrees_with_pytorch_in_every_way() -> Result<()> {
    let golden = more_golden();
    for case in cases(OP) {
        let (name, dims @ [n, c, h, w]) = (case.name(), case.sizes::<4>("x"));
        let (x, grad_y) = (case.input(0, n * c * h * w), case.grad_y(n * c));
        let (y, grad_x) = (reference::forward(&x, h * w), reference::backward(&grad_y, h * w));
        golden.assert(&format!("{OP}/{name}/y"), &y, 1e-6);
        golden.assert(&format!("{OP}/{name}/grad_x"), &grad_x, 1e-6);
        assert_gradient(name, &x, &grad_x, 1e-2, 1e-2, |x| {
            let y = reference::forward(x, h * w);
            y.iter().zip(&grad_y).map(|(&y, &g)| f64::from(y) * f64::from(g)).sum()
        });

        let run = || {
            let mean = tensor(&vec![f32::NAN; n * c], &[n, c]);
            forward_into(&tensor(&nhwc(&x, dims), &[n, h, w, c]), &mean).unwrap();
            let grad = tensor(&vec![f32::NAN; x.len()], &[n, h, w, c]);
            backward_into(&tensor(&grad_y, &[n, c]), &grad).unwrap();
            (values(&mean), nchw(&values(&grad), dims))
        };
        for_each_backend(|backend| {
            let (mean, grad) = run();
            assert_close(&format!("{name}, {backend}: y"), &mean, &y, 2e-6);
            assert_close(&format!("{name}, {backend}: grad_x"), &grad, &grad_x, 1e-6);
        });
        assert_thread_independent(name, || {
            let (mean, grad) = run();
            [mean, grad].concat()
        });
        let (narrow_y, narrow_grad) =
            (reference::forward(&rounded(&x), h * w), reference::backward(&rounded(&grad_y), h * w));
        in_bf16(|backend| {
            let (mean, grad) = run();
            assert_close(&format!("{name}, {backend}: y"), &mean, &narrow_y, 4e-3);
            assert_close(&format!("{name}, {backend}: grad_x"), &grad, &narrow_grad, 4e-3);
        });

        let var = Var::from_tensor(&tensor(&x, &dims))?;
        for (layout, x) in layouts(&var)? {
            let mean = global_avg_pool2d(&x)?;
            assert_close(&format!("{name}, {layout}: y"), &values(&mean), &y, 1e-6);
            let grads = (mean * tensor(&grad_y, &[n, c]))?.sum_all()?.backward()?;
            assert_close(&format!("{name}, {layout}: grad_x"), &values(grads.get(&var).unwrap()), &grad_x, 1e-6);
        }
    }
    Ok(())
}

#[test]
fn a_window_as_large_as_the_image_gives_the_same() -> Result<()> {
    let x = tensor(&uniform("window", 0, 2 * 5 * 36), &[2, 5, 6, 6]);
    let pooled = avg_pool2d::avg_pool2d(&x, &Pool2dParams::new(6, 1))?;
    assert_close("window", &values(&global_avg_pool2d(&x)?), &values(&pooled), 1e-6);
    Ok(())
}

#[test]
fn a_nan_stays_in_its_channel() {
    let mut x = vec![1.0; 12];
    x[7] = f32::NAN; // Pixel 2, channel 1.
    for_each_backend(|backend| {
        let y = tensor(&[0.0; 3], &[1, 3]);
        forward_into(&tensor(&x, &[1, 2, 2, 3]), &y).unwrap();
        let y = values(&y);
        assert!(y[0] == 1.0 && y[1].is_nan() && y[2] == 1.0, "{backend}: {y:?}");
    });
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let message = |dims: &[usize]| global_avg_pool2d(&zeros(dims)).unwrap_err().to_string();
    assert!(message(&[1, 2, 0, 3]).contains("at least one pixel"));
    assert!(message(&[1, 0, 2, 3]).contains("at least one pixel and one channel"));
    assert!(message(&[1, 2]).contains("[n, c, h, w]"));
    let wrong = forward_into(&zeros(&[2, 3, 4, 5]), &zeros(&[2, 4])).unwrap_err().to_string();
    assert!(wrong.contains("y must be [2, 5], but its shape is [2, 4]"), "{wrong}");
    assert_eq!(global_avg_pool2d(&zeros(&[0, 5, 3, 4])).unwrap().dims(), [0, 5]);
}
