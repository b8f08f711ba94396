//! Benchmarks of single layers, with the functions that the network calls.

use std::time::Duration;

use alexnet_kernels::conv2d::Conv2dGrads;
use alexnet_kernels::linear::LinearGrads;
use alexnet_kernels::{avg_pool2d, conv2d, linear, lrn, lrn_within_channel, max_pool2d};
use alexnet_model::{AvgPool2d, Conv2d, LayerKind, Lrn, LrnWithinChannel, MaxPool2d, Shape, build};
use candle_core::{DType, Tensor};
use serde_json::Value;

use crate::{Result, Target, median};

pub fn run(target: &Target, arch: &str, batch: usize, time: Duration) -> Result<()> {
    for layer in measure_all(target, arch, batch, time, median)? {
        println!("{layer}");
    }
    Ok(())
}

/// One JSON object per layer; `statistic` reduces several times to one.
pub fn measure_all(
    target: &Target,
    arch: &str,
    batch: usize,
    time: Duration,
    statistic: fn(Vec<f64>) -> f64,
) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let spec = build(arch, 1000)?;
    for (index, layer) in spec.layers().iter().enumerate().skip(1) {
        let input = spec.inputs(index)[0];
        let (x, y) = (random(target, spec.shapes()[input], batch)?, random(target, spec.shapes()[index], batch)?);
        let first = matches!(spec.layers()[input].kind, LayerKind::Input(_));
        let Some([forward, grad_x, grad_weight]) = measure(target, &layer.kind, &x, &y, first, time, statistic)? else {
            continue;
        };
        let (macs, ms) = (spec.layer_macs(index), |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e3));
        // All three directions have the same number of multiply-adds.
        let gflops = |seconds: Option<f64>| seconds.map(|s| 2.0 * (macs * batch) as f64 / s / 1e9).filter(|_| macs > 0);
        all.push(serde_json::json!({
            "arch": arch, "batch": batch, "layer": layer.name, "kind": layer.kind.name(), "macs": macs,
            "forward_ms": ms(forward), "grad_x_ms": ms(grad_x), "grad_weight_ms": ms(grad_weight),
            "forward_gflops": gflops(forward), "grad_x_gflops": gflops(grad_x), "grad_weight_gflops": gflops(grad_weight),
        }));
    }
    Ok(all)
}

/// A random batch in the network's memory layout: channels last.
fn random(target: &Target, shape: Shape, n: usize) -> Result<Tensor> {
    let values = match shape {
        Shape::Map([c, h, w]) => Tensor::randn(0f32, 1., (n, h, w, c), &target.device)?,
        Shape::Vector(features) => Tensor::randn(0f32, 1., (n, features), &target.device)?,
    };
    Ok(values.to_dtype(target.dtype())?)
}

/// Seconds for forward, the gradient of the input and the gradient of the weight.
fn measure(
    target: &Target,
    kind: &LayerKind,
    x: &Tensor,
    y: &Tensor,
    first: bool,
    time: Duration,
    statistic: fn(Vec<f64>) -> f64,
) -> Result<Option<[Option<f64>; 3]>> {
    let time_of = |work: &mut dyn FnMut() -> candle_core::Result<()>| -> Result<Option<f64>> {
        Ok(Some(statistic(target.seconds(time / 3, || Ok(work()?))?)))
    };
    let (grad_y, grad_x) = (y.copy()?, x.zeros_like()?);
    Ok(Some(match kind {
        LayerKind::Conv2d(conv) => {
            let weight = conv_weight(target, conv, x.dims()[3])?;
            let params = conv.params();
            let bias = Tensor::zeros(conv.out_channels, DType::F32, &target.device)?;
            // Gradients of parameters are always f32.
            let grad_weight = Tensor::zeros(weight.shape(), DType::F32, &target.device)?;
            let grad_bias = bias.zeros_like()?;
            let forward = time_of(&mut || conv2d::forward_into(x, &weight, Some(&bias), &params, true, y))?;
            let back = |grads| time_of(&mut || conv2d::backward_into(x, &weight, &grad_y, &params, grads));
            let of_weight = Conv2dGrads { weight: Some(&grad_weight), bias: Some(&grad_bias), ..Default::default() };
            // The gradient of the images is never needed.
            let of_x = Conv2dGrads { x: Some(&grad_x), ..Default::default() };
            [forward, if first { None } else { back(of_x)? }, back(of_weight)?]
        }
        LayerKind::Linear(layer) => {
            let weight = Tensor::randn(0f32, 0.01, (layer.out_features, x.dims()[1]), &target.device)?;
            let weight = weight.to_dtype(target.dtype())?;
            let bias = Tensor::zeros(layer.out_features, DType::F32, &target.device)?;
            // Gradients of parameters are always f32.
            let grad_weight = Tensor::zeros(weight.shape(), DType::F32, &target.device)?;
            let grad_bias = bias.zeros_like()?;
            let forward = time_of(&mut || linear::forward_into(x, &weight, Some(&bias), true, y))?;
            let back = |grads| time_of(&mut || linear::backward_into(x, &weight, &grad_y, grads));
            let of_weight = LinearGrads { weight: Some(&grad_weight), bias: Some(&grad_bias), ..Default::default() };
            [forward, back(LinearGrads { x: Some(&grad_x), ..Default::default() })?, back(of_weight)?]
        }
        LayerKind::MaxPool2d(MaxPool2d(params)) => {
            let indices = Tensor::zeros(y.dims(), max_pool2d::index_dtype(params), &target.device)?;
            let forward = time_of(&mut || max_pool2d::forward_into(x, params, y, Some(&indices)))?;
            [forward, time_of(&mut || max_pool2d::backward_into(&grad_y, &indices, params, &grad_x))?, None]
        }
        LayerKind::AvgPool2d(AvgPool2d(params)) => {
            let forward = time_of(&mut || avg_pool2d::forward_into(x, params, y))?;
            [forward, time_of(&mut || avg_pool2d::backward_into(&grad_y, params, &grad_x))?, None]
        }
        LayerKind::Lrn(Lrn(params)) => {
            let forward = time_of(&mut || lrn::forward_into(x, params, y))?;
            [forward, time_of(&mut || lrn::backward_into(x, &grad_y, params, &grad_x))?, None]
        }
        LayerKind::LrnWithinChannel(LrnWithinChannel(params)) => {
            let forward = time_of(&mut || lrn_within_channel::forward_into(x, params, y))?;
            [forward, time_of(&mut || lrn_within_channel::backward_into(x, &grad_y, params, &grad_x))?, None]
        }
        _ => return Ok(None),
    }))
}

fn conv_weight(target: &Target, conv: &Conv2d, in_channels: usize) -> Result<Tensor> {
    let [kh, kw] = conv.kernel_size;
    let dims = (conv.out_channels, in_channels / conv.groups, kh, kw);
    Ok(Tensor::randn(0f32, 0.05, dims, &target.device)?.to_dtype(target.dtype())?)
}
