use super::*;
use crate::cases::{assert_close, assert_same_bits, uniform, values};
use crate::sgd::{SgdParams, SgdRule};
use candle_core::{DType, Device, Var};
use candle_nn::{ModuleT, Optimizer, VarMap};

fn image() -> Tensor {
    Tensor::from_vec(uniform("nn", 0, 2 * 4 * 9 * 7), (2, 4, 9, 7), &Device::Cpu).unwrap()
}

#[test]
fn a_convolution_is_candles_with_the_same_variables() {
    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    for groups in [1, 2] {
        let vb = vb.pp(groups);
        let params = Conv2dParams::new().with_stride(2).with_padding(1).with_groups(groups);
        let ours = conv2d(4, 6, 3, params, vb.clone()).unwrap();
        let config = candle_nn::Conv2dConfig { stride: 2, padding: 1, groups, ..Default::default() };
        let theirs = candle_nn::conv2d(4, 6, 3, config, vb).unwrap();
        let [ours, theirs] = [ours.forward(&image()).unwrap(), theirs.forward(&image()).unwrap()];
        assert_eq!(ours.dims(), theirs.dims());
        assert_close("y", &values(&ours), &values(&theirs), 1e-5);
    }
    let error = conv2d(4, 6, 3, Conv2dParams::new().with_groups(4), vb).unwrap_err().to_string();
    assert!(error.contains("4 groups of 4 input and 6 output channels"), "{error}");
}

#[test]
fn layers_are_their_operations() {
    let (x, windows, lrn) = (image(), Pool2dParams::new(3, 2), LrnParams::averaged(3, 1.0, 0.5, 0.75));
    let same = |found: Tensor, expected: Tensor| assert_same_bits("y", &values(&found), &values(&expected));
    same(MaxPool2d::new(windows).forward(&x).unwrap(), crate::max_pool2d::max_pool2d(&x, &windows).unwrap());
    same(AvgPool2d::new(windows).forward(&x).unwrap(), crate::avg_pool2d::avg_pool2d(&x, &windows).unwrap());
    same(LocalResponseNorm::new(lrn).forward(&x).unwrap(), crate::lrn::lrn(&x, &lrn).unwrap());
}

#[test]
fn dropout_draws_the_same_masks_again() {
    let x = image();
    let run = |dropout: &Dropout| values(&dropout.forward_t(&x, true).unwrap());
    let dropout = Dropout::new(0.5, 7, 1).unwrap();
    let first = [run(&dropout), run(&dropout)];
    assert_ne!(first[0], first[1]);
    dropout.set_step(1);
    assert_same_bits("the second again", &run(&dropout), &first[1]);
    assert_same_bits("another run", &run(&Dropout::new(0.5, 7, 1).unwrap()), &first[0]);
    assert_ne!(run(&Dropout::new(0.5, 7, 2).unwrap()), first[0]);
    assert_same_bits("in use", &values(&dropout.forward_t(&x, false).unwrap()), &values(&x));
    assert!(Dropout::new(1.0, 0, 0).unwrap_err().to_string().contains("below 1, but is 1"));
    assert!(Dropout::new(f32::NAN, 0, 0).is_err());
}

/// Two steps calculated by hand; in the second the velocity is not zero.
#[test]
fn the_optimizer_keeps_velocities() {
    let (w, still) = (Var::new(&[1f32, -2.0], &Device::Cpu).unwrap(), Var::new(&[5f32], &Device::Cpu).unwrap());
    let params = SgdParams { rule: SgdRule::RateOutside, learning_rate: 0.5, momentum: 0.5, weight_decay: 0.0 };
    let mut sgd = Sgd::new(vec![w.clone(), still.clone()], params).unwrap();
    // The gradient of Σ w² is 2w. From w = 1: v = 2 and w = 0, then v = 1 + 0 and w = −0.5.
    for expected in [[0.0, 0.0], [-0.5, 1.0]] {
        sgd.backward_step(&w.sqr().and_then(|squares| squares.sum_all()).unwrap()).unwrap();
        assert_same_bits("w", &values(&w), &expected);
    }
    assert_same_bits("without a gradient", &values(&still), &[5.0]);
    sgd.set_learning_rate(0.25);
    assert_eq!(sgd.learning_rate(), 0.25);
}
