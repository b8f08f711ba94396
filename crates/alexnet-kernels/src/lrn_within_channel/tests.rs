use super::*;
use crate::cases::*;
use candle_core::Var;

fn run(x: &[f32], grad_y: &[f32], dims: [usize; 4], params: &LrnWithinChannelParams) -> (Vec<f32>, Vec<f32>) {
    let [n, c, h, w] = dims;
    let last = |v: &[f32]| tensor(&nhwc(v, dims), &[n, h, w, c]);
    let full = || tensor(&vec![f32::NAN; x.len()], &[n, h, w, c]);
    let (y, grad_x) = (full(), full());
    forward_into(&last(x), params, &y).unwrap();
    backward_into(&last(x), &last(grad_y), params, &grad_x).unwrap();
    (nchw(&values(&y), dims), nchw(&values(&grad_x), dims))
}

#[test]
fn agrees_with_pytorch_in_every_way() -> Result<()> {
    let golden = golden();
    for case in cases("lrn_within_channel") {
        let (name, dims @ [_, _, h, w]) = (case.name(), case.sizes::<4>("x"));
        let averaged = LrnWithinChannelParams::averaged(case.size("size"), case.number("alpha"), case.number("beta"));
        let params = LrnWithinChannelParams { k: case.number("k"), ..averaged };
        let len = dims.iter().product();
        let (x, grad_y) = (case.scaled(0, len), case.grad_y(len));

        let (y, grad_x) = (reference::forward(&x, h, w, &params), reference::backward(&x, &grad_y, h, w, &params));
        // The golden file has a former name of the operation, on which its sums depend.
        golden.assert(&format!("lrn_same_map/{name}/y"), &y, 1e-6);
        golden.assert(&format!("lrn_same_map/{name}/grad_x"), &grad_x, 1e-6);

        for_each_backend(|backend| {
            let actual = run(&x, &grad_y, dims, &params);
            assert_close(&format!("{name}, {backend}: y"), &actual.0, &y, 2e-6);
            assert_close(&format!("{name}, {backend}: grad_x"), &actual.1, &grad_x, 5e-6);
        });
        let (half_x, half_grad) = (rounded(&x), rounded(&grad_y));
        let half_y = reference::forward(&half_x, h, w, &params);
        let half_grad_x = reference::backward(&half_x, &half_grad, h, w, &params);
        in_bf16(|backend| {
            let actual = run(&half_x, &half_grad, dims, &params);
            assert_close(&format!("{name}, {backend}, bf16: y"), &actual.0, &half_y, 5e-3);
            assert_close(&format!("{name}, {backend}, bf16: grad_x"), &actual.1, &half_grad_x, 1e-2);
        });
        assert_thread_independent(name, || {
            let (y, grad_x) = run(&x, &grad_y, dims, &params);
            [y, grad_x].concat()
        });

        let var = Var::from_tensor(&tensor(&x, &dims))?;
        for (layout, x) in layouts(&var)? {
            let normalized = lrn_within_channel(&x, &params)?;
            assert_close(&format!("{name}, {layout}: y"), &values(&normalized), &y, 2e-6);
            let grads = (normalized * tensor(&grad_y, &dims))?.sum_all()?.backward()?;
            assert_close(&format!("{name}, {layout}: grad_x"), &values(grads.get(&var).unwrap()), &grad_x, 5e-6);
        }
    }
    Ok(())
}

#[test]
fn even_windows_agree_with_finite_differences() {
    let (dims @ [_, c, h, w], params) = ([2, 3, 5, 6], LrnWithinChannelParams::averaged(4, 3.0, 0.75));
    let (x, grad_y) = (uniform("even", 0, 2 * c * h * w), uniform("even", 1, 2 * c * h * w));
    let (y, grad_x) = run(&x, &grad_y, dims, &params);
    assert_close("y", &y, &reference::forward(&x, h, w, &params), 2e-6);
    assert_close("grad_x", &grad_x, &reference::backward(&x, &grad_y, h, w, &params), 5e-6);
    assert_gradient("even", &x, &grad_x, 1e-2, 1e-2, |x| {
        let y = reference::forward(x, h, w, &params);
        y.iter().zip(&grad_y).map(|(&y, &g)| f64::from(y) * f64::from(g)).sum()
    });
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let params = LrnWithinChannelParams { size: 0, ..LrnWithinChannelParams::ALEXNET_2012 };
    let message = lrn_within_channel(&zeros(&[1, 2, 3, 3]), &params).unwrap_err().to_string();
    assert!(message.contains("size ≥ 1") && message.contains("size 0"), "{message}");
}
