use super::*;
use crate::cases::*;
use candle_core::Var;

const PARAMS: DropoutParams =
    DropoutParams { probability: 0.5, scaling: DropoutScaling::AtTest, seed: 7, step: 3, layer: 6, first_value: 0 };

/// Words 0 to 7 of the stream (seed 7, dropout, step 3, layer 6) keep their values where they are below one half. Other
/// backends and checkpoints rely on this mask.
#[test]
fn the_mask_is_fixed() {
    let philox = alexnet_random::Philox4x32::new(7);
    let words = [philox.block([0, 6, 3, 4]), philox.block([1, 6, 3, 4])].concat();
    let expected: Vec<f32> = words.iter().map(|&word| if word < 1 << 31 { 1.0 } else { 0.0 }).collect();
    assert_eq!(values(&dropout(&tensor(&[1.0; 8], &[8]), &PARAMS).unwrap()), expected);
}

#[test]
fn agrees_with_the_reference_on_any_number_of_threads() {
    let x = uniform("dropout", 0, 20_011);
    for probability in [0.0, 0.1, 0.5, 0.999] {
        for scaling in [DropoutScaling::AtTest, DropoutScaling::Inverted] {
            let params = DropoutParams { probability, scaling, ..PARAMS };
            let expected = reference::apply(&x, &params);
            let run = || {
                let y = tensor(&vec![f32::NAN; x.len()], &[x.len()]);
                apply_into(&tensor(&x, &[x.len()]), &params, &y).unwrap();
                assert_same_bits(&format!("{params:?}"), &values(&y), &expected);
                values(&y)
            };
            assert_thread_independent("dropout", run);
            for_each_device(|_| drop(run()));
        }
    }
}

/// A batch that is divided among devices gets the masks of the whole.
#[test]
fn a_part_gets_the_mask_of_the_whole() {
    let x = uniform("part", 0, 9_000);
    let whole = reference::apply(&x, &PARAMS);
    for first in [0, 1, 2, 3, 4, 4_095, 4_096, 8_998] {
        let params = DropoutParams { first_value: first as u64, ..PARAMS };
        assert_same_bits("reference", &reference::apply(&x[first..], &params), &whole[first..]);
        let run = || {
            let (part, y) = (tensor(&x[first..], &[9_000 - first]), zeros(&[9_000 - first]));
            apply_into(&part, &params, &y).unwrap();
            assert_same_bits(&format!("from {first}"), &values(&y), &whole[first..]);
            values(&y)
        };
        assert_thread_independent("part", run);
        for_each_device(|_| drop(run()));
    }
}

#[test]
fn the_gradient_passes_where_the_value_did() -> Result<()> {
    for scaling in [DropoutScaling::AtTest, DropoutScaling::Inverted] {
        let params = DropoutParams { scaling, ..PARAMS };
        let x = Var::from_tensor(&tensor(&uniform("gradient", 0, 500), &[5, 100]))?;
        let y = dropout(&x.t()?, &params)?;
        let grads = (&y * 3.0)?.sum_all()?.backward()?;
        let grad = grads.get(&x).unwrap().t()?;
        let expected = dropout(&Tensor::full(3f32, (100, 5), x.device())?, &params)?;
        assert_same_bits("gradient", &values(&grad), &values(&expected));
    }
    Ok(())
}

#[test]
fn both_scalings_keep_the_expected_sum() -> Result<()> {
    let ones = tensor(&vec![1.0; 100_000], &[100_000]);
    for (scaling, probability) in [(DropoutScaling::AtTest, 0.3), (DropoutScaling::Inverted, 0.3)] {
        let params = DropoutParams { probability, scaling, ..PARAMS };
        let trained = dropout(&ones, &params)?.mean_all()?.to_scalar::<f32>()?;
        // Five standard errors of a mean of 100,000 draws.
        assert!((trained - params.test_factor()).abs() < 5.0 * (0.3f32 * 0.7 / 1e5).sqrt() / 0.7, "{trained}");
    }
    Ok(())
}

#[test]
fn steps_layers_and_seeds_have_masks_of_their_own() {
    let ones = tensor(&[1.0; 256], &[256]);
    let mask = |params: DropoutParams| values(&dropout(&ones, &params).unwrap());
    let base = mask(PARAMS);
    assert_ne!(base, mask(DropoutParams { step: 4, ..PARAMS }));
    assert_ne!(base, mask(DropoutParams { layer: 7, ..PARAMS }));
    assert_ne!(base, mask(DropoutParams { seed: 8, ..PARAMS }));
}

#[test]
fn wrong_probabilities_are_refused() {
    for probability in [-0.1, 1.0, f32::NAN] {
        let wrong = dropout(&zeros(&[4]), &DropoutParams { probability, ..PARAMS }).unwrap_err().to_string();
        assert!(wrong.contains("must be in [0, 1)"), "{wrong}");
    }
}
