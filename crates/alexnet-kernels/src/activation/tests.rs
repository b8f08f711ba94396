use super::*;
use crate::cases::*;
use candle_core::Var;

fn named(name: &str) -> Activation {
    match name {
        "relu" => Activation::Relu,
        "tanh" => Activation::Tanh,
        "logistic" => Activation::Logistic,
        "softrelu" => Activation::SoftRelu,
        _ => panic!("{name}"),
    }
}

#[test]
fn agrees_with_pytorch_in_every_way() -> Result<()> {
    let golden = golden();
    for case in cases("activation") {
        let (name, dims @ [n, c]) = (case.name(), case.sizes::<2>("x"));
        let (unit, x, grad_y) = (named(name), case.scaled(0, n * c), case.grad_y(n * c));
        let y: Vec<f32> = x.iter().map(|&x| reference::forward(x, unit)).collect();
        let grad_x: Vec<f32> = x.iter().zip(&grad_y).map(|(&x, g)| reference::derivative(x, unit) * g).collect();
        golden.assert(&format!("activation/{name}/y"), &y, 1e-6);
        golden.assert(&format!("activation/{name}/grad_x"), &grad_x, 1e-6);

        for_each_backend(|backend| {
            let (inside, grad) = (tensor(&x, &dims), tensor(&grad_y, &dims));
            forward_in_place(&inside, unit).unwrap();
            assert_close(&format!("{name}, {backend}: y"), &values(&inside), &y, 1e-6);
            backward_in_place(&inside, &grad, unit).unwrap();
            assert_close(&format!("{name}, {backend}: grad_x"), &values(&grad), &grad_x, 5e-6);
        });

        let x = Var::from_tensor(&tensor(&x, &dims))?;
        // Elementwise, so any view of the vectors as images will do.
        for (layout, view) in layouts(&x.reshape((n, 5, 10, c / 50))?)? {
            let out = activation(&view, unit)?;
            assert_close(&format!("{name}, {layout}: y"), &values(&out), &y, 1e-6);
            let grads = (out * tensor(&grad_y, &[n, 5, 10, c / 50]))?.sum_all()?.backward()?;
            // Near saturation 1 − y has fewer digits than y.
            assert_close(&format!("{name}, {layout}: grad_x"), &values(grads.get(&x).unwrap()), &grad_x, 5e-6);
        }
    }
    Ok(())
}

#[test]
fn extremes() -> Result<()> {
    let x = tensor(&[-200., -0., 0., 200., f32::NAN], &[5]);
    let expected = [
        (Activation::Relu, [0., 0., 0., 200.]),
        (Activation::Tanh, [-1., 0., 0., 1.]),
        (Activation::Logistic, [0., 0.5, 0.5, 1.]),
        (Activation::SoftRelu, [0., 2f32.ln(), 2f32.ln(), 200.]),
    ];
    for (unit, expected) in expected {
        let y = values(&activation(&x, unit)?);
        assert_close(&format!("{unit:?}"), &y[..4], &expected, 1e-7);
        assert!(y[4].is_nan(), "{unit:?} of NaN is {}", y[4]);
    }
    let x = Var::from_tensor(&tensor(&[0.], &[1]))?;
    let grads = activation(&x, Activation::Relu)?.backward()?;
    assert_eq!(values(grads.get(&x).unwrap()), [0.]);
    Ok(())
}

#[test]
fn channels_last_stays_channels_last() -> Result<()> {
    let x = crate::channels_last(&zeros(&[2, 3, 4, 5]))?;
    assert_eq!(crate::MemoryFormat::of(&activation(&x, Activation::Relu)?), crate::MemoryFormat::ChannelsLast);
    Ok(())
}
