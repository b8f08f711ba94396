use super::*;
use crate::cases::*;
use candle_core::Var;

#[test]
fn agrees_with_pytorch_in_every_way() -> Result<()> {
    let golden = golden();
    for case in cases("avg_pool2d") {
        let x_dims @ [n, c, h, w]: [usize; 4] = case.sizes("x");
        let (kernel_size, stride, padding) = (case.size("kernel"), case.size("stride"), case.size("padding"));
        let params = Pool2dParams { kernel_size, stride, padding, ceil: case.is("ceil") };
        let [oh, ow] = params.output_size(OP, [h, w]).unwrap();
        let y_dims = [n, c, oh, ow];
        let (x, grad_y) = (case.input(0, n * c * h * w), case.grad_y(n * c * oh * ow));

        let (y, grad_x) = (reference::forward(&x, h, w, &params), reference::backward(&grad_y, n * c, h, w, &params));
        golden.assert(&format!("avg_pool2d/{}/y", case.name()), &y, 1e-6);
        golden.assert(&format!("avg_pool2d/{}/grad_x", case.name()), &grad_x, 1e-6);

        let run = || {
            let pooled = tensor(&vec![f32::NAN; y.len()], &[n, oh, ow, c]);
            forward_into(&tensor(&nhwc(&x, x_dims), &[n, h, w, c]), &params, &pooled).unwrap();
            let pooled = nchw(&values(&pooled), y_dims);
            assert_close(case.name(), &pooled, &y, 1e-6);
            let grad = tensor(&vec![f32::NAN; x.len()], &[n, h, w, c]);
            backward_into(&tensor(&nhwc(&grad_y, y_dims), &[n, oh, ow, c]), &params, &grad).unwrap();
            let grad = nchw(&values(&grad), x_dims);
            assert_close(case.name(), &grad, &grad_x, 1e-6);
            [pooled, grad].concat()
        };
        assert_thread_independent(case.name(), run);
        for_each_device(|_| drop(run()));

        let var = Var::from_tensor(&tensor(&x, &x_dims))?;
        for (layout, x) in layouts(&var)? {
            let pooled = avg_pool2d(&x, &params)?;
            assert_close(&format!("{}, {layout}: y", case.name()), &values(&pooled), &y, 1e-6);
            let grads = (pooled * tensor(&grad_y, &y_dims))?.sum_all()?.backward()?;
            let grad = values(grads.get(&var).unwrap());
            assert_close(&format!("{}, {layout}: grad_x", case.name()), &grad, &grad_x, 1e-6);
        }
    }
    Ok(())
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let x = zeros(&[1, 2, 4, 4]);
    let wrong = avg_pool2d(&x, &Pool2dParams::new(5, 1)).unwrap_err().to_string();
    assert!(wrong.contains("avg_pool2d: a 5×5 window does not fit an image of 4×4"), "{wrong}");
    let wrong = backward_into(&x, &Pool2dParams::new(2, 2), &x).unwrap_err().to_string();
    assert!(wrong.contains("grad_y must be [1, 1, 2, 4]"), "{wrong}");
}
