use super::*;
use crate::cases::*;
use candle_core::Var;

struct Lrn {
    case: Case,
    dims: [usize; 4],
    params: LrnParams,
    x: Vec<f32>,
    grad_y: Vec<f32>,
}

fn lrns() -> impl Iterator<Item = Lrn> {
    cases("lrn").into_iter().map(|case| {
        let dims: [usize; 4] = case.sizes("x");
        let (k, alpha, beta) = (case.number("k"), case.number("alpha"), case.number("beta"));
        let params = LrnParams::averaged(case.size("size"), k, alpha, beta).with_groups(case.size("groups"));
        let len = dims.iter().product();
        Lrn { dims, params, x: case.scaled(0, len), grad_y: case.grad_y(len), case }
    })
}

impl Lrn {
    fn reference(&self) -> (Vec<f32>, Vec<f32>) {
        let [_, c, h, w] = self.dims;
        let y = reference::forward(&self.x, c, h * w, &self.params);
        (y, reference::backward(&self.x, &self.grad_y, c, h * w, &self.params))
    }

    fn run(&self) -> (Vec<f32>, Vec<f32>) {
        let [n, c, h, w] = self.dims;
        let last = |v: &[f32]| tensor(&nhwc(v, self.dims), &[n, h, w, c]);
        let (x, grad_y) = (last(&self.x), last(&self.grad_y));
        let full = || tensor(&vec![f32::NAN; self.x.len()], &[n, h, w, c]);
        let (y, grad_x) = (full(), full());
        forward_into(&x, &self.params, &y).unwrap();
        backward_into(&x, &grad_y, &self.params, &grad_x).unwrap();
        (nchw(&values(&y), self.dims), nchw(&values(&grad_x), self.dims))
    }
}

/// `alexnet-facts`, section 3: six channels, n = 5, β = 0.75, upstream gradient 1 to 6.
#[test]
fn worked_example_in_three_conventions() {
    let (x, g) = ([1., -2., 3., 0.5, -1., 4.], [1., 2., 3., 4., 5., 6.]);
    let conventions = [
        (
            LrnParams::averaged(5, 2.0, 0.1, 0.75),
            [0.538950, -1.076131, 1.603681, 0.243845, -0.499234, 2.110828],
            [0.497500, 1.181499, 1.534603, 1.861782, 2.702386, 2.59184],
        ),
        (
            LrnParams::literal(5, 2.0, 0.1, 0.75),
            [0.399384, -0.794391, 1.166143, 0.148977, -0.317078, 1.491816],
            [0.302477, 1.023783, 0.976310, 0.988764, 2.061069, 0.930488],
        ),
        (
            LrnParams::averaged(5, 1.0, 0.1, 0.75),
            [0.830984, -1.657115, 2.457046, 0.350642, -0.728698, 3.202715],
            [0.719431, 1.932653, 2.258766, 2.567518, 4.196099, 3.271444],
        ),
    ];
    for (params, y, grad_x) in conventions {
        assert_close("reference", &reference::forward(&x, 6, 1, &params), &y, 1e-6);
        assert_close("reference", &reference::backward(&x, &g, 6, 1, &params), &grad_x, 1e-6);
        for_each_backend(|backend| {
            let x = Var::from_tensor(&tensor(&x, &[1, 6, 1, 1])).unwrap();
            let normalized = lrn(&x, &params).unwrap();
            assert_close(&format!("{backend}: y"), &values(&normalized), &y, 1e-6);
            let loss = (normalized * tensor(&g, &[1, 6, 1, 1])).unwrap().sum_all().unwrap();
            let grads = loss.backward().unwrap();
            assert_close(&format!("{backend}: grad_x"), &values(grads.get(&x).unwrap()), &grad_x, 1e-6);
        });
    }
}

#[test]
fn conventions_convert_as_their_formulas_say() {
    // LRN(K, A, β) = K^−β · LRN(1, A/K, β).
    let x = uniform("conversion", 0, 24);
    let two = reference::forward(&x, 24, 1, &LrnParams::averaged(5, 2.0, 0.5, 0.75));
    let one = reference::forward(&x, 24, 1, &LrnParams::averaged(5, 1.0, 0.25, 0.75));
    let scaled: Vec<f32> = one.iter().map(|y| y * 0.5946036).collect();
    assert_close("K = 2 as K = 1", &two, &scaled, 1e-6);
    assert_eq!(LrnParams::averaged(5, 2.0, 1e-4, 0.75).alpha, 1e-4 / 5.0);
    assert_eq!(LrnParams::PAPER.alpha, 1e-4);
}

#[test]
fn reference_agrees_with_pytorch_and_finite_differences() {
    if cpu_only() {
        return;
    }
    let golden = golden();
    for lrn in lrns() {
        let (y, grad_x) = lrn.reference();
        golden.assert(&format!("lrn/{}/y", lrn.case.name()), &y, 1e-6);
        golden.assert(&format!("lrn/{}/grad_x", lrn.case.name()), &grad_x, 1e-6);
        if lrn.x.len() < 1000 {
            let [_, c, h, w] = lrn.dims;
            assert_gradient(lrn.case.name(), &lrn.x, &grad_x, 1e-2, 1e-2, |x| {
                let y = reference::forward(x, c, h * w, &lrn.params);
                y.iter().zip(&lrn.grad_y).map(|(&y, &g)| f64::from(y) * f64::from(g)).sum()
            });
        }
    }
}

#[test]
fn every_backend_agrees_with_the_reference() {
    for lrn in lrns() {
        let (y, grad_x) = lrn.reference();
        for_each_backend(|backend| {
            let (name, actual) = (lrn.case.name(), lrn.run());
            assert_close(&format!("{name}, {backend}: y"), &actual.0, &y, 2e-6);
            assert_close(&format!("{name}, {backend}: grad_x"), &actual.1, &grad_x, 5e-6);
        });
        assert_thread_independent(lrn.case.name(), || {
            let (y, grad_x) = lrn.run();
            [y, grad_x].concat()
        });
    }
}

#[test]
fn any_layout_and_autograd_agree_with_the_reference() -> Result<()> {
    if cpu_only() {
        return Ok(());
    }
    for case in lrns() {
        let ((y, grad_x), name) = (case.reference(), case.case.name());
        let var = Var::from_tensor(&tensor(&case.x, &case.dims))?;
        for (layout, x) in layouts(&var)? {
            let normalized = lrn(&x, &case.params)?;
            assert_close(&format!("{name}, {layout}: y"), &values(&normalized), &y, 2e-6);
            let grads = (normalized * tensor(&case.grad_y, &case.dims))?.sum_all()?.backward()?;
            assert_close(&format!("{name}, {layout}: grad_x"), &values(grads.get(&var).unwrap()), &grad_x, 5e-6);
        }
    }
    Ok(())
}

#[test]
fn zeros_stay_zero_and_a_nan_reaches_its_neighbors_only() {
    for_each_backend(|_| {
        let y = values(&lrn(&zeros(&[1, 40, 1, 1]), &LrnParams::CAFFE).unwrap());
        assert_eq!(y, vec![0.0; 40]);
        let mut x = vec![1.0; 40];
        x[19] = f32::NAN;
        let y = values(&lrn(&tensor(&x, &[1, 40, 1, 1]), &LrnParams::CAFFE.with_groups(2)).unwrap());
        for (c, y) in y.iter().enumerate() {
            // Channel 19 is the last of its group, so the windows of 20 and 21 do not contain it.
            assert_eq!(y.is_nan(), (17..=19).contains(&c), "channel {c}");
        }
    });
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let message = |params: LrnParams| lrn(&zeros(&[1, 6, 2, 2]), &params).unwrap_err().to_string();
    assert!(message(LrnParams::CAFFE.with_groups(4)).contains("4 groups do not divide 6 channels"));
    assert!(message(LrnParams { k: 0.0, ..LrnParams::CAFFE }).contains("k > 0"));
    assert!(message(LrnParams { alpha: f32::NAN, ..LrnParams::CAFFE }).contains("alpha NaN"));
    assert!(message(LrnParams { size: 0, ..LrnParams::CAFFE }).contains("size 0"));
}

#[test]
fn bf16_stays_within_its_bounds() {
    for mut lrn in lrns() {
        (lrn.x, lrn.grad_y) = (rounded(&lrn.x), rounded(&lrn.grad_y));
        let (y, grad_x) = lrn.reference();
        in_bf16(|backend| {
            let (name, actual) = (lrn.case.name(), lrn.run());
            assert_close(&format!("{name}, {backend}: y"), &actual.0, &y, 5e-3);
            assert_close(&format!("{name}, {backend}: grad_x"), &actual.1, &grad_x, 5e-3);
        });
    }
}
