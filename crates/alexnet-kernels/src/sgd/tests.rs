use super::*;
use crate::cases::*;
use candle_core::Var;

/// Three updates at rate 0.01, then three at 0.001, with weight 1 and gradient 0.5: the results differ between the
/// rules.
#[test]
fn worked_example_in_both_rules() -> Result<()> {
    for (rule, expected) in [(SgdRule::RateInVelocity, 0.936033101759539), (SgdRule::RateOutside, 0.965806220747625)] {
        let (mut exact, mut velocity) = (1.0, 0.0);
        let (weight, v, grad) = (Var::from_tensor(&tensor(&[1.0], &[1]))?, zeros(&[1]), tensor(&[0.5], &[1]));
        for (step, learning_rate) in [0.01, 0.01, 0.01, 0.001, 0.001, 0.001].into_iter().enumerate() {
            let params = SgdParams { rule, learning_rate, momentum: 0.9, weight_decay: 0.0005 };
            (exact, velocity) = reference::update(exact, velocity, 0.5, &params);
            update(&weight, &v, &grad, &params)?;
            if step == 2 {
                assert!((exact - 0.971922070119875).abs() < 1e-8, "{rule:?}: {exact}");
            }
        }
        // The parameters are `f32`, so the reference is accurate to their precision.
        assert!((exact - expected).abs() < 1e-8, "{rule:?}: {exact}, expected {expected}");
        assert_close(&format!("{rule:?}"), &values(&weight), &[expected as f32], 1e-7);
    }
    Ok(())
}

#[test]
fn agrees_with_the_reference_on_any_number_of_threads() {
    let [w, v, g] = [0, 1, 2].map(|i| uniform("sgd", i, 20_011));
    for rule in [SgdRule::RateInVelocity, SgdRule::RateOutside] {
        let params = SgdParams { rule, learning_rate: 0.02, momentum: 0.9, weight_decay: 0.01 };
        let expected = (0..w.len()).map(|i| reference::update(w[i].into(), v[i].into(), g[i].into(), &params));
        let (new_w, new_v): (Vec<f32>, Vec<f32>) = expected.map(|(w, v)| (w as f32, v as f32)).unzip();
        let run = || {
            let [weight, velocity, grad] = [&w, &v, &g].map(|values| tensor(values, &[w.len()]));
            update(&weight, &velocity, &grad, &params).unwrap();
            assert_close("weight", &values(&weight), &new_w, 1e-6);
            assert_close("velocity", &values(&velocity), &new_v, 1e-6);
            [values(&weight), values(&velocity)].concat()
        };
        assert_thread_independent("sgd", run);
        for_each_device(|_| drop(run()));
    }
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let (a, b) = (zeros(&[2]), zeros(&[3]));
    let params = SgdParams { rule: SgdRule::RateOutside, learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
    assert!(update(&a, &zeros(&[2]), &b, &params).unwrap_err().to_string().contains("grad must be [2]"));
    assert!(update(&a, &a, &zeros(&[2]), &params).unwrap_err().to_string().contains("shares its storage"));
    let params = SgdParams { learning_rate: f32::NAN, ..params };
    assert!(update(&a, &zeros(&[2]), &zeros(&[2]), &params).unwrap_err().to_string().contains("must be finite"));
}

/// The copy is the rounded new weight, and the weight is the same as without a copy.
#[test]
fn a_copy_is_the_weight_rounded() {
    let [w, v, g] = [0, 1, 2].map(|i| uniform("copy", i, 1003));
    let params = SgdParams { rule: SgdRule::RateInVelocity, learning_rate: 0.02, momentum: 0.9, weight_decay: 0.01 };
    for_each_device(|backend| {
        let make = || [&w, &v, &g].map(|values| full(values, &[1003]));
        let ([one, v_one, g_one], [two, v_two, g_two]) = (make(), make());
        let copy = full(&w, &[1003]).to_dtype(candle_core::DType::BF16).unwrap();
        update(&one, &v_one, &g_one, &params).unwrap();
        update_with_copy(&two, &v_two, &g_two, &params, Some(&copy)).unwrap();
        assert_same_bits(&format!("{backend}: weight"), &values(&two), &values(&one));
        assert_same_bits(&format!("{backend}: velocity"), &values(&v_two), &values(&v_one));
        assert_same_bits(&format!("{backend}: copy"), &values(&copy), &rounded(&values(&one)));
    });
    let t = || zeros(&[3]);
    let wrong = update_with_copy(&t(), &t(), &t(), &params, Some(&t())).unwrap_err().to_string();
    assert!(wrong.contains("on a GPU only"), "{wrong}");
}
