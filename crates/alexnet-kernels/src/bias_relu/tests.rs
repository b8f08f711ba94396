use super::*;
use crate::cases::*;
use candle_core::Var;

#[test]
fn agrees_with_pytorch_in_every_way() -> Result<()> {
    let golden = golden();
    for case in cases("bias_relu") {
        let name = case.name();
        let dims: Vec<usize> = case.get("x").as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect();
        let (channels, len) = (dims[1], dims.iter().product());
        let (x, bias, grad_y) = (case.input(0, len), case.input(2, channels), case.grad_y(len));
        // Vectors are an image batch of one pixel each.
        let image = [dims[0], channels, *dims.get(2).unwrap_or(&1), *dims.get(3).unwrap_or(&1)];

        let y = reference::forward(&nhwc(&x, image), &bias);
        let (grad_x, grad_bias) = reference::backward(&y, &nhwc(&grad_y, image), channels);
        let (y, grad_x) = (nchw(&y, image), nchw(&grad_x, image));
        golden.assert(&format!("bias_relu/{name}/y"), &y, 1e-6);
        golden.assert(&format!("bias_relu/{name}/grad_x"), &grad_x, 1e-6);
        golden.assert(&format!("bias_relu/{name}/grad_bias"), &grad_bias, 1e-6);

        let (x, bias) = (Var::from_tensor(&tensor(&x, &dims))?, Var::from_tensor(&tensor(&bias, &[channels]))?);
        let ways = if dims.len() == 4 { layouts(&x)? } else { vec![("contiguous", x.as_tensor().clone())] };
        for (layout, view) in ways {
            let rectified = bias_relu(&view, &bias)?;
            assert_same_bits(&format!("{name}, {layout}: y"), &values(&rectified), &y);
            let grads = (rectified * tensor(&grad_y, &dims))?.sum_all()?.backward()?;
            assert_same_bits(&format!("{name}, {layout}: grad_x"), &values(grads.get(&x).unwrap()), &grad_x);
            let grad = values(grads.get(&bias).unwrap());
            assert_close(&format!("{name}, {layout}: grad_bias"), &grad, &grad_bias, 1e-6);
        }
    }
    Ok(())
}

#[test]
fn the_derivative_at_zero_is_zero_and_nans_stay() -> Result<()> {
    let x = Var::from_tensor(&tensor(&[-1., 0., 1., f32::NAN], &[4, 1]))?;
    let y = bias_relu(&x, &zeros(&[1]))?;
    assert!(values(&y)[..3] == [0., 0., 1.] && values(&y)[3].is_nan());
    let grads = y.narrow(0, 0, 3)?.sum_all()?.backward()?;
    assert_eq!(values(grads.get(&x).unwrap())[..3], [0., 0., 1.]);
    Ok(())
}

#[test]
fn many_rows_on_any_number_of_threads() {
    let (x, bias) = (uniform("rows", 0, 5000 * 33), uniform("rows", 1, 33));
    let y = reference::forward(&x, &bias);
    let (grad_x, grad_bias) = reference::backward(&y, &x, 33);
    let run = || {
        let (buffer, grads, sums) = (tensor(&x, &[5000, 33]), tensor(&x, &[5000, 33]), zeros(&[33]));
        forward_in_place(&buffer, &tensor(&bias, &[33])).unwrap();
        backward_in_place(&buffer, &grads, Some(&sums)).unwrap();
        assert_same_bits("y", &values(&buffer), &y);
        assert_same_bits("grad_x", &values(&grads), &grad_x);
        assert_close("grad_bias", &values(&sums), &grad_bias, 1e-5);
        [values(&buffer), values(&grads), values(&sums)].concat()
    };
    assert_thread_independent("bias_relu", run);
    for_each_device(|_| drop(run()));
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let wrong = bias_relu(&zeros(&[2, 3, 4, 4]), &zeros(&[4])).unwrap_err().to_string();
    assert!(wrong.contains("bias must be one value per channel"), "{wrong}");
}
