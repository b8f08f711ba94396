use super::*;
use crate::cases::*;
use crate::gemm::dot;
use crate::gemm::tile::Tiles;
use crate::simd::Load;
use candle_core::Var;

use crate::sgd::{self, SgdParams, SgdRule};

struct Product {
    case: Case,
    n: usize,
    in_features: usize,
    out_features: usize,
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    grad_y: Vec<f32>,
}

fn products() -> impl Iterator<Item = Product> {
    cases("linear").into_iter().map(|case| {
        let (n, in_features, out_features) = (case.size("n"), case.size("in"), case.size("out"));
        Product {
            n,
            in_features,
            out_features,
            x: case.input(0, n * in_features),
            weight: case.input(1, out_features * in_features),
            bias: if case.is("bias") { case.input(2, out_features) } else { Vec::new() },
            grad_y: case.grad_y(n * out_features),
            case,
        }
    })
}

type Answer = (Vec<f32>, (Vec<f32>, Vec<f32>, Vec<f32>));

impl Product {
    fn reference(&self) -> Answer {
        let y = reference::forward(&self.x, &self.weight, &self.bias, self.in_features);
        (y, reference::backward(&self.x, &self.weight, &self.grad_y, self.in_features))
    }

    fn run(&self, relu: bool) -> Answer {
        let nans = |dims: &[usize]| vec![f32::NAN; dims.iter().product()];
        let empty = |dims: &[usize]| full(&nans(dims), dims);
        let x = tensor(&self.x, &[self.n, self.in_features]);
        let weight = tensor(&self.weight, &[self.out_features, self.in_features]);
        let bias = (!self.bias.is_empty()).then(|| full(&self.bias, &[self.out_features]));
        let y = tensor(&nans(&[self.n, self.out_features]), &[self.n, self.out_features]);
        forward_into(&x, &weight, bias.as_ref(), relu, &y).unwrap();
        let grad_y = tensor(&self.grad_y, y.dims());
        let (grad_x, grad_weight, grad_bias) =
            (tensor(&nans(x.dims()), x.dims()), empty(weight.dims()), empty(&[self.out_features]));
        let grads = LinearGrads { x: Some(&grad_x), weight: Some(&grad_weight), bias: Some(&grad_bias) };
        backward_into(&x, &weight, &grad_y, grads).unwrap();
        (values(&y), (values(&grad_x), values(&grad_weight), values(&grad_bias)))
    }
}

#[test]
fn reference_agrees_with_pytorch() {
    if cpu_only() {
        return;
    }
    let golden = golden();
    for product in products() {
        let (name, (y, (grad_x, grad_weight, grad_bias))) = (product.case.name(), product.reference());
        golden.assert(&format!("linear/{name}/y"), &y, 1e-6);
        golden.assert(&format!("linear/{name}/grad_x"), &grad_x, 1e-6);
        golden.assert(&format!("linear/{name}/grad_weight"), &grad_weight, 1e-6);
        if !product.bias.is_empty() {
            golden.assert(&format!("linear/{name}/grad_bias"), &grad_bias, 1e-6);
        }
    }
}

#[test]
fn every_backend_agrees_with_the_reference() {
    for product in products() {
        let (y, (grad_x, grad_weight, grad_bias)) = product.reference();
        for_each_backend(|backend| {
            let (name, actual) = (product.case.name(), product.run(false));
            assert_close(&format!("{name}, {backend}: y"), &actual.0, &y, 1e-5);
            assert_close(&format!("{name}, {backend}: grad_x"), &actual.1.0, &grad_x, 1e-5);
            assert_close(&format!("{name}, {backend}: grad_weight"), &actual.1.1, &grad_weight, 1e-5);
            assert_close(&format!("{name}, {backend}: grad_bias"), &actual.1.2, &grad_bias, 1e-5);
            let rectified: Vec<f32> = y.iter().map(|&y| y.max(0.0)).collect();
            assert_close(&format!("{name}, {backend}: relu"), &product.run(true).0, &rectified, 1e-5);
        });
    }
}

/// The update without a gradient in memory gives the same bits as with it.
#[test]
fn an_update_in_one_pass_is_the_gradient_and_the_update() {
    // In addition to the table's sizes: more than one block in every dimension, with remainders.
    let more = [(1, 700, 300), (300, 601, 101), (17, 256, 48), (0, 5, 3)];
    let of_table = products().map(|product| (product.n, product.in_features, product.out_features));
    for (n, width, height) in of_table.chain(more) {
        let dims = [height, width];
        let x = tensor(&uniform("update", 0, n * width), &[n, width]);
        let grad_y = tensor(&uniform("update", 1, n * height), &[n, height]);
        let start = || [2, 3].map(|index| tensor(&uniform("update", index, height * width), &dims));
        for rule in [SgdRule::RateInVelocity, SgdRule::RateOutside] {
            let params = SgdParams { rule, learning_rate: 0.02, momentum: 0.9, weight_decay: 0.01 };
            let in_one_pass = || {
                let [weight, velocity] = start();
                update_weight(&x, &grad_y, &weight, &velocity, &params).unwrap();
                [values(&weight), values(&velocity)].concat()
            };
            for_each_isa(|isa| {
                let [weight, velocity] = start();
                let grad = tensor(&vec![f32::NAN; height * width], &dims);
                let wanted = LinearGrads { weight: Some(&grad), ..LinearGrads::default() };
                backward_into(&x, &weight, &grad_y, wanted).unwrap();
                sgd::update(&weight, &velocity, &grad, &params).unwrap();
                let expected = [values(&weight), values(&velocity)].concat();
                assert!(in_one_pass() == expected, "{n} {width} {height}, {isa}, {rule:?}");
            });
            assert_thread_independent("update", in_one_pass);
        }
    }
    let (x, grad_y, weight) = (zeros(&[1, 2]), zeros(&[1, 3]), zeros(&[3, 2]));
    let params = SgdParams { rule: SgdRule::RateOutside, learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
    let message =
        |velocity: &Tensor, params| update_weight(&x, &grad_y, &weight, velocity, params).unwrap_err().to_string();
    assert!(message(&zeros(&[2, 3]), &params).contains("velocity must be [3, 2]"));
    assert!(message(&weight, &params).contains("shares its storage"));
    assert!(message(&zeros(&[3, 2]), &SgdParams { momentum: f32::NAN, ..params }).contains("must be finite"));
}

#[test]
fn views_and_autograd_agree_with_the_reference() -> Result<()> {
    for product in products() {
        let (name, (y, (grad_x, grad_weight, grad_bias))) = (product.case.name(), product.reference());
        let x = Var::from_tensor(&tensor(&product.x, &[product.n, product.in_features]))?;
        let weight = Var::from_tensor(&tensor(&product.weight, &[product.out_features, product.in_features]))?;
        let bias =
            (!product.bias.is_empty()).then(|| Var::from_tensor(&tensor(&product.bias, &[product.out_features])));
        let bias = bias.transpose()?;
        // Not contiguous, and not at the start of its storage.
        let view = Tensor::cat(&[x.as_tensor(), &x, &x], 1)?.narrow(1, product.in_features, product.in_features)?;
        let sums = linear(&view, &weight.t()?.contiguous()?.t()?, bias.as_deref())?;
        assert_close(&format!("{name}: y"), &values(&sums), &y, 1e-5);
        let loss = (sums * tensor(&product.grad_y, &[product.n, product.out_features]))?.sum_all()?;
        let grads = loss.backward()?;
        let grad = |v: &Var| values(grads.get(v).unwrap());
        assert_close(&format!("{name}: grad_x"), &grad(&x), &grad_x, 1e-5);
        assert_close(&format!("{name}: grad_weight"), &grad(&weight), &grad_weight, 1e-5);
        if let Some(bias) = &bias {
            assert_close(&format!("{name}: grad_bias"), &grad(bias), &grad_bias, 1e-5);
        }
    }
    Ok(())
}

#[test]
fn threads_do_not_change_a_bit() {
    if cpu_only() {
        return;
    }
    for product in products() {
        assert_thread_independent(product.case.name(), || {
            let (y, (grad_x, grad_weight, grad_bias)) = product.run(false);
            [y, grad_x, grad_weight, grad_bias].concat()
        });
    }
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let message = |x: &[usize], weight: &[usize], bias: Option<&[usize]>| {
        linear(&zeros(x), &zeros(weight), bias.map(zeros).as_ref()).unwrap_err().to_string()
    };
    assert!(message(&[2, 3], &[5, 4], None).contains("x must be [n, 4] for a weight of shape [5, 4]"));
    assert!(message(&[2, 4], &[5, 4], Some(&[4])).contains("bias must be [5]"));
    assert!(message(&[2, 4], &[5, 4, 1], None).contains("[out_features, in_features]"));
}

#[test]
fn bf16_stays_within_its_bounds() {
    for mut product in products() {
        product.x = rounded(&product.x);
        (product.weight, product.grad_y) = (rounded(&product.weight), rounded(&product.grad_y));
        let (y, (grad_x, grad_weight, grad_bias)) = product.reference();
        in_bf16(|backend| {
            let (name, (actual, grads)) = (product.case.name(), product.run(false));
            assert_close(&format!("{name}, {backend}: y"), &actual, &y, 8e-3);
            assert_close(&format!("{name}, {backend}: grad_x"), &grads.0, &grad_x, 5e-3);
            // These stay in `f32`.
            assert_close(&format!("{name}, {backend}: grad_weight"), &grads.1, &grad_weight, 1e-5);
            assert_close(&format!("{name}, {backend}: grad_bias"), &grads.2, &grad_bias, 1e-5);
        });
    }
}

/// Both algorithms, with more than one block and remainders: with the largest number of rows of the first, and with one
/// more.
#[test]
fn the_gradient_of_the_input_is_the_same_by_either_way() {
    use crate::gemm::in_place::MAX_ROWS;
    for (n, width, height) in [(1, 33, 50), (12, 700, 301), (MAX_ROWS, 3010, 97), (MAX_ROWS + 1, 601, 97)] {
        let name = format!("{n} {width} {height}");
        let (x, weight) = (vec![0.0; n * width], uniform(&name, 0, height * width));
        let grad_y = uniform(&name, 1, n * height);
        let (expected, _, _) = reference::backward(&x, &weight, &grad_y, width);
        let (x, weight) = (tensor(&x, &[n, width]), tensor(&weight, &[height, width]));
        let grad_y = tensor(&grad_y, &[n, height]);
        let run = || {
            let grad = tensor(&vec![f32::NAN; n * width], &[n, width]);
            let wanted = LinearGrads { x: Some(&grad), ..LinearGrads::default() };
            backward_into(&x, &weight, &grad_y, wanted).unwrap();
            values(&grad)
        };
        for_each_isa(|isa| assert_close(&format!("{name}, {isa}"), &run(), &expected, 1e-5));
        assert_thread_independent(&name, run);
    }
}

/// On the CPU only the weight may be `bf16`. The result has the same bits as with the rounded weight in `f32`, or,
/// where the CPU multiplies pairs of `bf16` and there are enough rows, is close to the `f32` result of both factors
/// rounded.
#[test]
fn a_narrow_weight_is_the_rounded_one() {
    // In addition to the table's sizes: numbers of rows with a separate code path, and remainders of vectors and
    // blocks.
    let more = [(1, 700, 70), (1, 3, 9), (4, 33, 66), (7, 1030, 13), (9, 1030, 100), (40, 515, 49)];
    let of_table = products().map(|product| (product.n, product.in_features, product.out_features));
    for (n, width, height) in of_table.chain(more) {
        let name = format!("{n} {width} {height}");
        let (x, bias) = (uniform(&name, 0, n * width), uniform(&name, 1, height));
        let weight = rounded(&uniform(&name, 2, height * width));
        let run_of = |x: &[f32], dtype: DType| {
            let (x, bias) = (tensor(x, &[n, width]), tensor(&bias, &[height]));
            let weight = tensor(&weight, &[height, width]).to_dtype(dtype).unwrap();
            let y = tensor(&vec![f32::NAN; n * height], &[n, height]);
            forward_into(&x, &weight, Some(&bias), true, &y).unwrap();
            values(&y)
        };
        let run = |dtype| run_of(&x, dtype);
        for_each_isa(|isa| {
            let (name, narrow) = (format!("{name}, {isa}"), run(DType::BF16));
            if Tiles::pairs(isa).is_some() && n > dot::MAX_ROWS && width % 2 == 0 {
                assert_close(&name, &narrow, &run_of(&rounded(&x), DType::F32), 1e-5);
                assert_ne!(narrow, run(DType::F32), "{name}: the other factor is rounded, too");
            } else {
                assert_same_bits(&name, &narrow, &run(DType::F32));
            }
            if isa == CpuIsa::Avx512 && Tiles::pairs(isa).is_none() {
                skip("avx512bf16", "this CPU has AVX-512 without BF16");
            }
        });
        assert_thread_independent(&name, || run(DType::BF16));
    }
    // A weight that is not aligned for pairs is converted to `f32`.
    let x = tensor(&uniform("odd", 0, 9 * 64), &[9, 64]);
    let long = tensor(&uniform("odd", 1, 64 * 10 + 1), &[64 * 10 + 1]).to_dtype(DType::BF16).unwrap();
    let weight = long.narrow(0, 1, 64 * 10).unwrap().reshape((10, 64)).unwrap();
    let run = |weight: &Tensor| {
        let y = tensor(&[f32::NAN; 90], &[9, 10]);
        forward_into(&x, weight, None, false, &y).unwrap();
        values(&y)
    };
    for_each_isa(|isa| {
        let expected = run(&weight.to_dtype(DType::F32).unwrap());
        assert_same_bits(&format!("off by one, {isa}"), &run(&weight), &expected);
    });
    // NaN and infinity of an image stay in its row.
    let mut x = uniform("not finite", 0, 9 * 64);
    (x[3 * 64 + 5], x[7 * 64]) = (f32::NAN, f32::INFINITY);
    let (x, weight) = (tensor(&x, &[9, 64]), weight.copy().unwrap());
    for_each_isa(|isa| {
        let y = tensor(&[0.0; 90], &[9, 10]);
        forward_into(&x, &weight, None, false, &y).unwrap();
        for (image, row) in values(&y).chunks_exact(10).enumerate() {
            let fits = |y: &f32| match image {
                3 => y.is_nan(),
                7 => y.is_infinite(),
                _ => y.is_finite(),
            };
            assert!(row.iter().all(fits), "{isa}, image {image}: {row:?}");
        }
    });
    let ones: Vec<bf16> = std::iter::repeat_n(bf16::ONE, 8).collect();
    let pairs = |values: &[bf16]| <bf16 as Load>::as_pairs(values).map(<[f32]>::len);
    let found = [&ones[..], &ones[1..7], &ones[..7], &[]].map(pairs);
    assert_eq!(found, [Some(4), None, None, Some(0)]);
    let (x, weight, grad) = (zeros(&[1, 2]), zeros(&[3, 2]).to_dtype(DType::BF16).unwrap(), zeros(&[1, 2]));
    let wanted = LinearGrads { x: Some(&grad), ..LinearGrads::default() };
    let message = backward_into(&x, &weight, &zeros(&[1, 3]), wanted).unwrap_err().to_string();
    assert!(message.contains("weight must be f32") && message.contains("bf16"), "{message}");
}
