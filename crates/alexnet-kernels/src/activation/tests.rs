use super::*;
use crate::cases::*;
use candle_core::Var;

fn named(name: &str) -> Activation {
    match name {
        "relu" => Activation::Relu,
        "tanh" => Activation::Tanh,
        "logistic" => Activation::Sigmoid,
        "softrelu" => Activation::Softplus,
        "abs" => Activation::Abs,
        "square" => Activation::Square,
        "sqrt" => Activation::Sqrt,
        "scaled tanh" => Activation::ScaledTanh { a: 1.7159, b: 2.0 / 3.0 },
        "falling scaled tanh" => Activation::ScaledTanh { a: -0.5, b: 3.0 },
        "bounded relu" => Activation::BoundedRelu { a: 1.5 },
        "linear" => Activation::Linear { a: -0.75, b: 2.5 },
        _ => panic!("{name}"),
    }
}

/// The cases, each with the table that has its results.
fn activations() -> impl Iterator<Item = (&'static str, Case)> {
    let of = |table: &'static str| cases(table).into_iter().map(move |case| (table, case));
    of("activation").chain(of("more_activations"))
}

/// The input of a case: above 0 for the square root.
fn argument(case: &Case, len: usize) -> Vec<f32> {
    let x = case.scaled(0, len);
    if case.name() == "sqrt" { x.iter().map(|x| x.abs() + 0.125).collect() } else { x }
}

/// Turns `grad` into the gradient of x, from the input or the output, whichever the activation keeps.
fn backward_in_either_way(x: &Tensor, y: &Tensor, grad: &Tensor, kind: Activation) -> Result<()> {
    if kind.needs_input() { backward_from_input_in_place(x, grad, kind) } else { backward_in_place(y, grad, kind) }
}

#[test]
fn agrees_with_pytorch_in_every_way() -> Result<()> {
    let (golden, more_golden) = (golden(), more_golden());
    for (table, case) in activations() {
        let (name, dims @ [n, c]) = (case.name(), case.sizes::<2>("x"));
        let (kind, x, grad_y) = (named(name), argument(&case, n * c), case.grad_y(n * c));
        let y: Vec<f32> = x.iter().map(|&x| reference::forward(x, kind)).collect();
        let grad_x: Vec<f32> = x.iter().zip(&grad_y).map(|(&x, g)| reference::derivative(x, kind) * g).collect();
        let golden = if table == "activation" { &golden } else { &more_golden };
        golden.assert(&format!("{table}/{name}/y"), &y, 1e-6);
        golden.assert(&format!("{table}/{name}/grad_x"), &grad_x, 1e-6);

        for_each_backend(|backend| {
            let (inside, grad) = (tensor(&x, &dims), tensor(&grad_y, &dims));
            let beside = tensor(&vec![f32::NAN; n * c], &dims);
            forward_into(&inside, kind, &beside).unwrap();
            assert_close(&format!("{name}, {backend}: y"), &values(&beside), &y, 1e-6);
            backward_in_either_way(&inside, &beside, &grad, kind).unwrap();
            assert_close(&format!("{name}, {backend}: grad_x"), &values(&grad), &grad_x, 5e-6);
            forward_in_place(&inside, kind).unwrap();
            assert_same_bits(&format!("{name}, {backend}: y in place"), &values(&inside), &values(&beside));
        });

        let x = Var::from_tensor(&tensor(&x, &dims))?;
        // Elementwise, so any view of the vectors as images works.
        for (layout, view) in layouts(&x.reshape((n, 5, 10, c / 50))?)? {
            let out = activation(&view, kind)?;
            assert_close(&format!("{name}, {layout}: y"), &values(&out), &y, 1e-6);
            let grads = (out * tensor(&grad_y, &[n, 5, 10, c / 50]))?.sum_all()?.backward()?;
            // Near saturation 1 − y has fewer digits than y.
            assert_close(&format!("{name}, {layout}: grad_x"), &values(grads.get(&x).unwrap()), &grad_x, 5e-6);
        }
    }
    Ok(())
}

#[test]
fn derivatives_agree_with_finite_differences() {
    // 37 values whose distance from the kinks at 0 and 1.5 is larger than the step.
    let x: Vec<f32> = (0..37).map(|i| (i as f32 - 18.0) * 0.1 + 0.05).collect();
    for (_, case) in activations() {
        let (name, kind) = (case.name(), named(case.name()));
        let x: Vec<f32> = if name == "sqrt" { x.iter().map(|x| x.abs() + 0.5).collect() } else { x.clone() };
        let weights = uniform(name, 1, x.len());
        let gradient: Vec<f32> = x.iter().zip(&weights).map(|(&x, w)| reference::derivative(x, kind) * w).collect();
        assert_gradient(name, &x, &gradient, 1e-2, 1e-2, |x| {
            x.iter().zip(&weights).map(|(&x, &w)| f64::from(reference::forward(x, kind)) * f64::from(w)).sum()
        });
    }
}

/// Where `bf16` cannot represent a bound, the gradient of a bounded value is still 0.
#[test]
fn the_bounds_of_bf16_are_rounded_as_results_are() {
    for kind in [
        Activation::BoundedRelu { a: 1.7 },
        Activation::BoundedRelu { a: 1.6972656 },
        Activation::ScaledTanh { a: 1.7, b: 9.0 },
    ] {
        in_bf16(|backend| {
            let (x, grad) = (tensor(&[50.0; 3], &[3]), tensor(&[1.0; 3], &[3]));
            forward_in_place(&x, kind).unwrap();
            backward_in_place(&x, &grad, kind).unwrap();
            assert_eq!(values(&grad), [0.0; 3], "{kind:?}, {backend}");
        });
    }
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let (x, grad) = (zeros(&[3]), zeros(&[3]));
    let forward = |kind| activation(&x, kind).unwrap_err().to_string();
    assert!(forward(Activation::ScaledTanh { a: 0.0, b: 1.0 }).contains("not 0"));
    assert!(forward(Activation::BoundedRelu { a: f32::NAN }).contains("a > 0, but a is NaN"));
    assert!(forward(Activation::Linear { a: 1.0, b: f32::INFINITY }).contains("b inf"));
    for kind in [Activation::Abs, Activation::Square] {
        let message = backward_in_place(&x, &grad, kind).unwrap_err().to_string();
        assert!(message.contains("keep the input and call backward_from_input_in_place"), "{message}");
    }
    let message = backward_from_input_in_place(&x, &grad, Activation::Relu).unwrap_err().to_string();
    assert!(message.contains("keep the result and call backward_in_place"), "{message}");
    let message = forward_into(&x, Activation::Relu, &zeros(&[4])).unwrap_err().to_string();
    assert!(message.contains("y must be [3]"), "{message}");
    assert!(forward_into(&x, Activation::Relu, &x).unwrap_err().to_string().contains("shares its storage"));
}

#[test]
fn extremes() -> Result<()> {
    let x = [-200., -0., 0., 200., f32::NAN];
    let expected = [
        (Activation::Relu, [0., 0., 0., 200.]),
        (Activation::Tanh, [-1., 0., 0., 1.]),
        (Activation::Sigmoid, [0., 0.5, 0.5, 1.]),
        (Activation::Softplus, [0., 2f32.ln(), 2f32.ln(), 200.]),
        (Activation::Abs, [200., 0., 0., 200.]),
        (Activation::Square, [4e4, 0., 0., 4e4]),
        (Activation::ScaledTanh { a: 2., b: 0.5 }, [-2., 0., 0., 2.]),
        (Activation::BoundedRelu { a: 6. }, [0., 0., 0., 6.]),
        (Activation::Linear { a: 2., b: 1. }, [-399., 1., 1., 401.]),
    ];
    for (kind, expected) in expected {
        let y = values(&activation(&tensor(&x, &[5]), kind)?);
        assert_close(&format!("{kind:?}"), &y[..4], &expected, 1e-7);
        for_each_backend(|backend| {
            let y = tensor(&x, &[5]);
            forward_in_place(&y, kind).unwrap();
            let y = values(&y);
            assert_close(&format!("{kind:?}, {backend}"), &y[..4], &expected, 1e-7);
            assert!(y[4].is_nan(), "{kind:?}, {backend}: NaN gives {}", y[4]);
        });
    }
    let y = values(&activation(&tensor(&[0., -1., f32::NAN], &[3]), Activation::Sqrt)?);
    assert!(y[0] == 0. && y[1].is_nan() && y[2].is_nan(), "{y:?}");
    // At the kinks, including the kink at the bound.
    for (kind, at) in [
        (Activation::Relu, 0.),
        (Activation::Abs, 0.),
        (Activation::BoundedRelu { a: 1.5 }, 0.),
        (Activation::BoundedRelu { a: 1.5 }, 1.5),
    ] {
        for_each_backend(|backend| {
            let x = Var::from_tensor(&tensor(&[at], &[1])).unwrap();
            let y = activation(&x, kind).unwrap();
            let grad = tensor(&[f32::INFINITY], &[1]);
            backward_in_either_way(&x, &y, &grad, kind).unwrap();
            assert_eq!(values(&grad), [0.], "{kind:?} at {at}, {backend}");
        });
    }
    Ok(())
}

#[test]
fn channels_last_stays_channels_last() -> Result<()> {
    let x = crate::channels_last(&zeros(&[2, 3, 4, 5]))?;
    assert_eq!(crate::MemoryFormat::of(&activation(&x, Activation::Relu)?), crate::MemoryFormat::ChannelsLast);
    Ok(())
}
