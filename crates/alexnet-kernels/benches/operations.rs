//! Benchmarks of operations at their sizes in AlexNet, forward and backward: `cargo bench -p alexnet-kernels [FILTER]`.
//!
//! Convolutions and matrix products report multiply-adds per second of the direct algorithm, each counted as two
//! operations; all other operations report the bytes of their inputs and outputs. `RAYON_NUM_THREADS` sets the number
//! of threads.

#![allow(clippy::unwrap_used, missing_docs)] // A failing call stops the benchmark; a benchmark has no public API.

use std::time::Duration;

use alexnet_kernels::activation::Activation;
use alexnet_kernels::batch_norm2d::{BatchNorm2dGrads, BatchNorm2dParams, BatchNorm2dSaved, BatchNorm2dState};
use alexnet_kernels::contrast_norm::ContrastNormParams;
use alexnet_kernels::conv2d::{Conv2dGrads, Conv2dParams, Padding};
use alexnet_kernels::dropout::{DropoutParams, DropoutScaling};
use alexnet_kernels::linear::LinearGrads;
use alexnet_kernels::locally_connected2d::LocallyConnected2dGrads;
use alexnet_kernels::lrn::LrnParams;
use alexnet_kernels::lrn_within_channel::LrnWithinChannelParams;
use alexnet_kernels::sgd::{SgdParams, SgdRule};
use alexnet_kernels::{
    Pool2dParams, activation, avg_pool2d, batch_norm2d, bias_relu, contrast_norm, conv2d, dropout, global_avg_pool2d,
    linear, locally_connected2d, lrn, lrn_within_channel, max_pool2d, sgd, softmax_cross_entropy,
};
use candle_core::{DType, Device, Result, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const BATCH: usize = 32;

fn random(dims: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1., dims, &Device::Cpu).unwrap()
}

/// Measures one function of an operation.
fn measure(c: &mut Criterion, name: &str, throughput: Throughput, mut work: impl FnMut() -> Result<()>) {
    let mut group = c.benchmark_group(name.split('/').next().unwrap());
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.throughput(throughput).bench_function(name.split_once('/').unwrap().1, |b| b.iter(|| work().unwrap()));
    group.finish();
}

fn bytes(tensors: &[&Tensor]) -> Throughput {
    Throughput::Bytes(tensors.iter().map(|t| (t.elem_count() * t.dtype().size_in_bytes()) as u64).sum())
}

fn convolutions(c: &mut Criterion) {
    let conv = |stride, padding, groups| Conv2dParams { stride, padding, groups };
    let first = conv(4, Padding::symmetric(0).with_extra(3), 1);
    for (name, size, in_channels, out_channels, kernel, params) in [
        ("conv1", 224, 3, 96, 11, first),
        ("conv2", 27, 96, 256, 5, conv(1, Padding::symmetric(2), 2)),
        ("conv3", 13, 256, 384, 3, conv(1, Padding::symmetric(1), 1)),
        ("conv4", 13, 384, 384, 3, conv(1, Padding::symmetric(1), 2)),
        ("conv5", 13, 384, 256, 3, conv(1, Padding::symmetric(1), 2)),
    ] {
        let [oh, ow] = params.output_size([size; 2], [kernel; 2]).unwrap();
        let x = random(&[BATCH, size, size, in_channels]);
        let weight = random(&[out_channels, in_channels / params.groups, kernel, kernel]);
        let bias = random(&[out_channels]);
        let (y, grad_y) = (random(&[BATCH, oh, ow, out_channels]), random(&[BATCH, oh, ow, out_channels]));
        let (grad_x, grad_weight) = (x.zeros_like().unwrap(), weight.zeros_like().unwrap());
        let operations = Throughput::Elements((2 * y.elem_count() * weight.elem_count() / out_channels) as u64);
        measure(c, &format!("conv2d/{name} forward"), operations.clone(), || {
            conv2d::forward_into(&x, &weight, Some(&bias), &params, true, &y)
        });
        let of_x = Conv2dGrads { x: Some(&grad_x), ..Default::default() };
        measure(c, &format!("conv2d/{name} grad_x"), operations.clone(), || {
            conv2d::backward_into(&x, &weight, &grad_y, &params, of_x)
        });
        let of_weight = Conv2dGrads { weight: Some(&grad_weight), ..Default::default() };
        measure(c, &format!("conv2d/{name} grad_weight"), operations, || {
            conv2d::backward_into(&x, &weight, &grad_y, &params, of_weight)
        });
    }
}

fn products(c: &mut Criterion) {
    for (name, n, inputs, outputs) in
        [("fc6", BATCH, 9216, 4096), ("fc8", BATCH, 4096, 1000), ("fc6 of one", 1, 9216, 4096)]
    {
        let (x, weight, bias) = (random(&[n, inputs]), random(&[outputs, inputs]), random(&[outputs]));
        let (y, grad_y) = (random(&[n, outputs]), random(&[n, outputs]));
        let (grad_x, grad_weight) = (x.zeros_like().unwrap(), weight.zeros_like().unwrap());
        let operations = Throughput::Elements((2 * n * inputs * outputs) as u64);
        measure(c, &format!("linear/{name} forward"), operations.clone(), || {
            linear::forward_into(&x, &weight, Some(&bias), true, &y)
        });
        let of_x = LinearGrads { x: Some(&grad_x), ..Default::default() };
        measure(c, &format!("linear/{name} grad_x"), operations.clone(), || {
            linear::backward_into(&x, &weight, &grad_y, of_x)
        });
        let of_weight = LinearGrads { weight: Some(&grad_weight), ..Default::default() };
        measure(c, &format!("linear/{name} grad_weight"), operations, || {
            linear::backward_into(&x, &weight, &grad_y, of_weight)
        });
    }
}

fn maps(c: &mut Criterion) {
    let (x, grad_x) = (random(&[BATCH, 55, 55, 96]), random(&[BATCH, 55, 55, 96]));
    let (y, grad_y) = (random(&[BATCH, 27, 27, 96]), random(&[BATCH, 27, 27, 96]));
    let pool = Pool2dParams::new(3, 2);
    let indices = Tensor::zeros(y.dims(), max_pool2d::index_dtype(&pool), &Device::Cpu).unwrap();
    measure(c, "max_pool2d/pool1 forward", bytes(&[&x, &y, &indices]), || {
        max_pool2d::forward_into(&x, &pool, &y, Some(&indices))
    });
    measure(c, "max_pool2d/pool1 backward", bytes(&[&grad_y, &indices, &grad_x]), || {
        max_pool2d::backward_into(&grad_y, &indices, &pool, &grad_x)
    });

    measure(c, "avg_pool2d/pool1 forward", bytes(&[&x, &y]), || avg_pool2d::forward_into(&x, &pool, &y));
    measure(c, "avg_pool2d/pool1 backward", bytes(&[&grad_y, &grad_x]), || {
        avg_pool2d::backward_into(&grad_y, &pool, &grad_x)
    });

    let params = LrnParams::averaged(5, 2.0, 1e-4, 0.75);
    let z = random(x.dims());
    measure(c, "lrn/rnorm1 forward", bytes(&[&x, &z]), || lrn::forward_into(&x, &params, &z));
    measure(c, "lrn/rnorm1 backward", bytes(&[&x, &z, &grad_x]), || lrn::backward_into(&x, &z, &params, &grad_x));

    let params = LrnWithinChannelParams::averaged(5, 1e-3, 0.75);
    let (x, y, grad_x) = (random(&[BATCH, 27, 27, 256]), random(&[BATCH, 27, 27, 256]), random(&[BATCH, 27, 27, 256]));
    measure(c, "lrn_within_channel/rnorm2 forward", bytes(&[&x, &y]), || {
        lrn_within_channel::forward_into(&x, &params, &y)
    });
    measure(c, "lrn_within_channel/rnorm2 backward", bytes(&[&x, &y, &grad_x]), || {
        lrn_within_channel::backward_into(&x, &y, &params, &grad_x)
    });
}

/// Normalizations of conv1's and conv2's maps, and the means of conv5's.
fn channels(c: &mut Criterion) {
    let (x, y, grad_x) = (random(&[BATCH, 55, 55, 96]), random(&[BATCH, 55, 55, 96]), random(&[BATCH, 55, 55, 96]));
    let [weight, bias, running_mean, running_variance, mean, inverse_std] =
        [(); 6].map(|()| random(&[96]).abs().unwrap());
    let state = BatchNorm2dState {
        weight: &weight,
        bias: &bias,
        running_mean: &running_mean,
        running_variance: &running_variance,
    };
    let saved = BatchNorm2dSaved { mean: &mean, inverse_std: &inverse_std };
    for (name, params) in [("training", BatchNorm2dParams::TRAINING), ("inference", BatchNorm2dParams::INFERENCE)] {
        measure(c, &format!("batch_norm2d/{name} forward"), bytes(&[&x, &y]), || {
            batch_norm2d::forward_into(&x, &state, &params, &y, &saved)
        });
        let grads = BatchNorm2dGrads { x: Some(&grad_x), ..Default::default() };
        measure(c, &format!("batch_norm2d/{name} backward"), bytes(&[&x, &y, &grad_x]), || {
            batch_norm2d::backward_into(&x, &weight, &y, &saved, &params, grads)
        });
    }

    let params = ContrastNormParams::averaged(5, 1e-3, 0.75);
    let (x, y, grad_x) = (random(&[BATCH, 27, 27, 256]), random(&[BATCH, 27, 27, 256]), random(&[BATCH, 27, 27, 256]));
    measure(c, "contrast_norm/cnorm2 forward", bytes(&[&x, &y]), || contrast_norm::forward_into(&x, &params, &y));
    measure(c, "contrast_norm/cnorm2 backward", bytes(&[&x, &y, &grad_x]), || {
        contrast_norm::backward_into(&x, &y, &params, &grad_x)
    });

    let (x, y) = (random(&[BATCH, 13, 13, 256]), random(&[BATCH, 256]));
    let grad_x = random(x.dims());
    measure(c, "global_avg_pool2d/conv5 forward", bytes(&[&x, &y]), || global_avg_pool2d::forward_into(&x, &y));
    measure(c, "global_avg_pool2d/conv5 backward", bytes(&[&y, &grad_x]), || {
        global_avg_pool2d::backward_into(&y, &grad_x)
    });
}

/// The layer `local3` of the CIFAR networks.
fn local_layers(c: &mut Criterion) {
    let params = Conv2dParams { padding: Padding::symmetric(1), ..Default::default() };
    let (x, y, grad_x) = (random(&[128, 6, 6, 64]), random(&[128, 6, 6, 32]), random(&[128, 6, 6, 64]));
    let (weight, bias, grad_weight) =
        (random(&[6, 6, 32, 3, 3, 64]), random(&[6, 6, 32]), random(&[6, 6, 32, 3, 3, 64]));
    let operations = Throughput::Elements((2 * 128 * weight.elem_count()) as u64);
    measure(c, "locally_connected2d/local3 forward", operations.clone(), || {
        locally_connected2d::forward_into(&x, &weight, Some(&bias), &params, true, &y)
    });
    let of_x = LocallyConnected2dGrads { x: Some(&grad_x), ..Default::default() };
    measure(c, "locally_connected2d/local3 grad_x", operations.clone(), || {
        locally_connected2d::backward_into(&x, &weight, &y, &params, of_x)
    });
    let of_weight = LocallyConnected2dGrads { weight: Some(&grad_weight), ..Default::default() };
    measure(c, "locally_connected2d/local3 grad_weight", operations, || {
        locally_connected2d::backward_into(&x, &weight, &y, &params, of_weight)
    });
}

fn vectors(c: &mut Criterion) {
    let (x, y, bias) = (random(&[BATCH, 4096]), random(&[BATCH, 4096]), random(&[4096]));
    measure(c, "bias_relu/forward", bytes(&[&x, &x]), || bias_relu::forward_in_place(&x, &bias));
    measure(c, "bias_relu/backward", bytes(&[&x, &y, &y]), || bias_relu::backward_in_place(&x, &y, Some(&bias)));
    for (name, kind) in [("relu", Activation::Relu), ("tanh", Activation::Tanh)] {
        measure(c, &format!("activation/{name} forward"), bytes(&[&x, &x]), || activation::forward_in_place(&x, kind));
        measure(c, &format!("activation/{name} backward"), bytes(&[&x, &y, &y]), || {
            activation::backward_in_place(&x, &y, kind)
        });
    }
    let params =
        DropoutParams { probability: 0.5, scaling: DropoutScaling::AtTest, seed: 0, step: 0, layer: 0, first_value: 0 };
    measure(c, "dropout/forward", bytes(&[&x, &y]), || dropout::apply_into(&x, &params, &y));

    let (logits, losses) = (random(&[BATCH, 1000]), random(&[BATCH]));
    let labels = Tensor::zeros(BATCH, DType::U32, &Device::Cpu).unwrap();
    let grad = logits.zeros_like().unwrap();
    measure(c, "softmax_cross_entropy/forward and gradient", bytes(&[&logits, &grad]), || {
        softmax_cross_entropy::forward_into(&logits, &labels, &losses, Some(&grad))
    });

    let (weight, velocity, grad) = (random(&[4096, 9216]), random(&[4096, 9216]), random(&[4096, 9216]));
    let params = SgdParams { rule: SgdRule::RateInVelocity, learning_rate: 1e-9, momentum: 0.9, weight_decay: 5e-4 };
    measure(c, "sgd/fc6", bytes(&[&weight, &weight, &velocity, &velocity, &grad]), || {
        sgd::update(&weight, &velocity, &grad, &params)
    });
}

criterion_group!(operations, convolutions, products, maps, channels, local_layers, vectors);
criterion_main!(operations);
