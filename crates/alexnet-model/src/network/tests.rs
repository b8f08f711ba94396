use alexnet_kernels::activation::Activation::{Relu, Square, Tanh};
use alexnet_kernels::contrast_norm::ContrastNormParams;
use alexnet_kernels::dropout::DropoutScaling;
use alexnet_kernels::lrn::LrnParams;
use alexnet_kernels::lrn_within_channel::LrnWithinChannelParams;
use alexnet_kernels::sgd::{SgdParams, SgdRule, update, update_with_copy};
use alexnet_kernels::softmax_cross_entropy::{forward_into, softmax_cross_entropy};
use alexnet_kernels::{MemoryFormat, Pool2dParams, channels_last, with_host_kernels};
use alexnet_testing::{Golden, assert_close, assert_gradient, assert_same_bits, skip, uniform};
use candle_nn::ModuleT;

use super::*;
use crate::input_spec::InputSpec;
use crate::layer::Layer;
use crate::layers::{
    Add, AvgPool2d, BatchNorm2d, Concat, ContrastNorm, Conv2d, Dropout, Flatten, GlobalAvgPool2d, Input, LayerKind,
    Linear, LocallyConnected2d, Lrn, LrnWithinChannel, MaxPool2d,
};
use crate::role::Role;
use crate::tape::{Mode, Tape};
use crate::variants::build;

const CPU: &[Device] = &[Device::Cpu];
const TRAIN: Mode = Mode::train(1, 0);

fn tensor(values: &[f32], dims: &[usize]) -> Tensor {
    Tensor::from_slice(values, dims, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()).and_then(|t| t.to_vec1()).unwrap()
}

/// Mean loss, logits and all gradients, computed by the network's own backward pass.
fn run(network: &Network, x: &Tensor, labels: &[u32], tape: &mut Tape) -> (f32, Tensor, Vec<Vec<f32>>) {
    let logits = network.forward(x, TRAIN, tape).unwrap();
    let (losses, grad_logits) = (tensor(&vec![0.0; labels.len()], &[labels.len()]), logits.zeros_like().unwrap());
    let losses = losses.to_device(logits.device()).unwrap();
    let labels = Tensor::from_slice(labels, labels.len(), logits.device()).unwrap();
    forward_into(&logits, &labels, &losses, Some(&grad_logits)).unwrap();
    let mut grads = vec![Vec::new(); network.parameters().len()];
    network
        .backward(tape, &grad_logits, |index, grad| {
            assert!(grads[index].is_empty(), "each gradient comes once");
            grads[index] = values(grad);
            Ok(())
        })
        .unwrap();
    (losses.mean_all().unwrap().to_scalar().unwrap(), logits, grads)
}

mod buffers;
mod devices;
mod fold;
mod frozen;
mod outputs;
mod pytorch;

/// A network with all features: branches, a residual sum, concatenations of feature maps and of vectors, activations
/// other than ReLU, a layer with three readers.
fn branched(dropout: f32, scaling: DropoutScaling) -> Specification {
    let conv = |out, kernel, padding| Conv2d::new(out, kernel, 0.3, 0.1).padding(padding);
    let dropout = Dropout { probability: dropout, scaling };
    let layers = vec![
        Layer::new("data", Input { channels: 3, size: [9, 8] }),
        Layer::new("stem", Conv2d { bias: None, ..conv(8, 3, 1) }),
        Layer::new("stem_norm", BatchNorm2d::default()).with(Tanh),
        Layer::new("norm", Lrn(LrnParams::averaged(3, 1.0, 0.5, 0.75).with_groups(2))),
        Layer::new("left", conv(4, 1, 0)).with(Tanh),
        Layer::new("right", conv(6, 3, 1)).reads(["norm"]).with(Tanh),
        Layer::new("pooled", AvgPool2d(Pool2dParams::new(3, 1).with_padding(1))).reads(["norm"]),
        Layer::new("local", LocallyConnected2d(conv(4, 3, 1).groups(2))).reads(["norm"]).with(Square),
        Layer::new("joined", Concat).reads(["left", "right", "pooled", "local"]),
        Layer::new("normed", LrnWithinChannel(LrnWithinChannelParams::averaged(3, 0.5, 0.75))),
        Layer::new("contrast", ContrastNorm(ContrastNormParams::averaged(3, 0.5, 0.75))),
        Layer::new("dropped", dropout),
        Layer::new("residual", conv(22, 3, 1)),
        Layer::new("sum", Add).reads(["residual", "joined"]).with(Tanh),
        Layer::new("pool", MaxPool2d(Pool2dParams::new(3, 2).with_ceil())),
        Layer::new("flat", Flatten),
        Layer::new("hidden", Linear::new(7, 0.1, 0.0)).with(Relu),
        Layer::new("again", Linear::new(5, 0.1, 0.0)).reads(["flat"]).with(Tanh),
        Layer::new("means", GlobalAvgPool2d).reads(["sum"]),
        Layer::new("both", Concat).reads(["hidden", "again", "means"]),
        Layer::new("logits", Linear::new(4, 0.3, 0.0)),
    ];
    Specification::new("branched", InputSpec::ALEXNET_2012, layers).unwrap()
}

#[test]
fn branches_sums_and_concatenations_agree_with_candles_autograd() {
    for scaling in [DropoutScaling::AtTest, DropoutScaling::Inverted] {
        let network = Network::new(branched(0.4, scaling), 5, CPU).unwrap();
        let x = tensor(&uniform("branched", 0, 3 * 3 * 72), &[3, 3, 9, 8]);
        let labels = Tensor::new(&[0u32, 3, 1], &Device::Cpu).unwrap();
        let mut tape = Tape::new();
        // The first training pass of the module is step 0 with the network's seed.
        let logits = network.forward(&x, Mode::train(5, 0), &mut tape).unwrap();
        let module = network.forward_t(&x, true).unwrap();
        assert_close("logits", &values(&logits), &values(&module), 1e-6);
        let test = network.forward(&x, Mode::Test, &mut Tape::new()).unwrap();
        assert_close("test", &values(&test), &values(&network.forward_t(&x, false).unwrap()), 1e-6);

        let grads = softmax_cross_entropy(&module, &labels).unwrap().backward().unwrap();
        let (losses, grad_logits) = (tensor(&[0.0; 3], &[3]), logits.zeros_like().unwrap());
        forward_into(&logits, &labels, &losses, Some(&grad_logits)).unwrap();
        let mut seen = 0;
        network
            .backward(&mut tape, &grad_logits, |index, grad| {
                let parameter = &network.parameters()[index];
                let expected = grads.get(&parameter.var).expect("autograd reaches every parameter");
                assert_close(&parameter.spec.name, &values(grad), &values(expected), 1e-5);
                seen += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, network.vars().len());
    }
}

/// Compares training steps in bfloat16, with copies updated by the solver, to steps in `f32`: with eight bits per
/// weight, the losses agree within a few percent.
#[test]
fn training_in_bf16_stays_close() {
    const STEPS: u32 = 30;
    let losses = |device: &Device, precision| {
        let spec = branched(0.4, DropoutScaling::AtTest);
        let mut network = Network::new(spec, 6, std::slice::from_ref(device)).unwrap();
        network.set_precision(precision).unwrap();
        let params = SgdParams { rule: SgdRule::RateOutside, learning_rate: 0.02, momentum: 0.9, weight_decay: 5e-4 };
        let velocities: Vec<Tensor> = network.parameters().iter().map(|p| p.var.zeros_like().unwrap()).collect();
        let (mut tape, mut losses) = (Tape::new(), Vec::new());
        let x = tensor(&uniform("bf16", 0, 6 * 3 * 72), &[6, 3, 9, 8]);
        let labels = Tensor::new(&[0u32, 1, 2, 3, 0, 1], device).unwrap();
        for step in 0..STEPS {
            let logits = network.forward(&x, Mode::train(1, step), &mut tape).unwrap();
            assert_eq!(logits.dtype(), DType::F32);
            let loss = Tensor::zeros(6, DType::F32, device).unwrap();
            let grad = logits.zeros_like().unwrap();
            forward_into(&logits, &labels, &loss, Some(&grad)).unwrap();
            losses.push(values(&loss).iter().sum::<f32>() / 6.0);
            network
                .backward(&mut tape, &grad, |index, grad| {
                    let Parameter { var, copy, .. } = &network.parameters()[index];
                    Ok(update_with_copy(var, &velocities[index], grad, &params, copy.as_ref())?)
                })
                .unwrap();
        }
        for Parameter { var, copy, .. } in network.parameters() {
            if let Some(copy) = copy {
                assert_same_bits("copy", &values(&var.to_dtype(DType::BF16).unwrap()), &values(copy));
            }
        }
        losses
    };
    let compare = |device: &Device| {
        let [full, half] = [Precision::F32, Precision::Bf16].map(|precision| losses(device, precision));
        assert!(full[STEPS as usize - 1] < full[0] * 0.9, "the loss does not fall: {full:?}");
        assert_close("losses", &half, &full, 0.05);
        full
    };
    let on_host = with_host_kernels(false, || compare(&Device::Cpu));
    if on_host.is_none() {
        skip("host", "this machine has no C++ compiler");
    }
    match alexnet_kernels::cuda_device(0) {
        Ok(device) => {
            let on_gpu = compare(&device);
            assert_close("a GPU and the CPU", &on_gpu, &losses(&Device::Cpu, Precision::F32), 1e-3);
        }
        Err(error) => skip("cuda", &error.to_string()),
    }
}

/// The two handles would not synchronize with each other.
#[test]
fn a_gpu_that_was_opened_twice_is_refused() {
    let open = || alexnet_kernels::cuda_device(0);
    match (open(), open()) {
        (Ok(first), Ok(second)) => {
            let network = |devices: &[Device]| Network::new(branched(0.5, DropoutScaling::AtTest), 1, devices);
            let message = network(&[Device::Cpu, first.clone(), second]).unwrap_err().to_string();
            assert!(message.contains("devices 1 and 2 are one GPU"), "{message}");
            network(&[first.clone(), Device::Cpu, first, Device::Cpu]).unwrap();
        }
        (Err(error), _) | (_, Err(error)) => skip("cuda", &error.to_string()),
    }
}

/// Activations would change their type between the devices.
#[test]
fn layers_on_the_processor_and_on_a_gpu_are_refused_in_bf16() {
    let device = match alexnet_kernels::cuda_device(0) {
        Ok(device) => device,
        Err(error) => return skip("cuda", &error.to_string()),
    };
    let mut layers = branched(0.0, DropoutScaling::AtTest).layers().to_vec();
    layers.iter_mut().skip(1).for_each(|layer| layer.device = 1);
    let name = layers[1].name.clone();
    let split = Specification::new("split", InputSpec::ALEXNET_2012, layers).unwrap();
    let mut network = Network::new(split, 1, &[Device::Cpu, device.clone()]).unwrap();
    let message = network.set_precision(Precision::Bf16).unwrap_err().to_string();
    assert!(message.contains(&name) && message.contains("all on the CPU"), "{message}");
    assert_eq!(network.precision(), Precision::F32);
    // A device without layers is ignored.
    let mut network = Network::new(branched(0.0, DropoutScaling::AtTest), 1, &[device, Device::Cpu]).unwrap();
    network.set_precision(Precision::Bf16).unwrap();
    assert!(network.parameters().iter().any(|parameter| parameter.copy.is_some()));
}

#[test]
fn gradients_agree_with_finite_differences() {
    // Use smooth layers, since a step may cross a kink: average instead of maximum, tanh instead of ReLU.
    let mut layers = branched(0.0, DropoutScaling::AtTest).layers().to_vec();
    for layer in &mut layers {
        layer.activation = layer.activation.map(|kind| if kind == Relu { Tanh } else { kind });
        if let LayerKind::MaxPool2d(MaxPool2d(params)) = layer.kind {
            layer.kind = AvgPool2d(params).into();
        }
    }
    let smooth = Specification::new("smooth", InputSpec::ALEXNET_2012, layers).unwrap();
    let network = Network::new(smooth, 6, CPU).unwrap();
    let x = tensor(&uniform("differences", 0, 2 * 3 * 72), &[2, 3, 9, 8]);
    let labels = [2, 0];
    let mut tape = Tape::new();
    let (_, _, grads) = run(&network, &x, &labels, &mut tape);
    for (parameter, grad) in network.parameters().iter().zip(&grads).filter(|(p, _)| p.spec.role.is_trained()) {
        let original = parameter.var.copy().unwrap();
        assert_gradient(&parameter.spec.name, &values(&original), grad, 1e-3, 2e-2, |moved| {
            parameter.var.set(&tensor(moved, original.dims())).unwrap();
            // Nothing is dropped, and batches are normalized by their own statistics.
            let logits = network.forward(&x, TRAIN, &mut Tape::new()).unwrap();
            labels
                .iter()
                .enumerate()
                .map(|(row, &label)| {
                    let row: Vec<f64> = values(&logits.get(row).unwrap()).into_iter().map(f64::from).collect();
                    (row.iter().map(|v| v.exp()).sum::<f64>().ln() - row[label as usize]) / labels.len() as f64
                })
                .sum()
        });
        parameter.var.set(&original).unwrap();
    }
}

#[test]
fn a_used_tape_gives_the_same_results_as_a_new_one() {
    let network = Network::new(branched(0.4, DropoutScaling::AtTest), 7, CPU).unwrap();
    let mut tape = Tape::new();
    for n in [3, 3, 2, 3] {
        let x = tensor(&uniform("tape", n as u32, n * 3 * 72), &[n, 3, 9, 8]);
        let (loss, logits, grads) = run(&network, &x, &vec![1; n], &mut tape);
        let (new_loss, new_logits, new_grads) = run(&network, &x, &vec![1; n], &mut Tape::new());
        assert_eq!(loss, new_loss);
        assert_same_bits("logits", &values(&logits), &values(&new_logits));
        assert_same_bits("gradients", &grads.concat(), &new_grads.concat());
        let test = network.forward(&x, Mode::Test, &mut tape).unwrap();
        let new_test = network.forward(&x, Mode::Test, &mut Tape::new()).unwrap();
        assert_same_bits("test", &values(&test), &values(&new_test));
    }
}

/// The computed memory equals the memory allocated by the tape, for every variant and mode.
#[test]
fn memory_is_what_was_worked_out() {
    if alexnet_testing::cpu_only() {
        return;
    }
    let all = crate::VARIANTS.iter().map(|variant| build(variant.name, 10).unwrap());
    for spec in all.chain([branched(0.4, DropoutScaling::AtTest)]) {
        let [c, h, w] = spec.input_size();
        let name = spec.arch().to_owned();
        let network = Network::new(spec, 7, CPU).unwrap();
        for n in [1, 3] {
            let x = tensor(&vec![0.5; n * c * h * w], &[n, c, h, w]);
            let mut tape = Tape::new();
            network.forward(&x, Mode::Test, &mut tape).unwrap();
            assert_eq!(network.pass_memory(n, Mode::Test), tape.bytes(), "{name}, testing {n}");
            let mut tape = Tape::new();
            run(&network, &x, &vec![1; n], &mut tape);
            assert_eq!(network.pass_memory(n, TRAIN), tape.bytes(), "{name}, training {n}");
        }
    }
}

#[test]
fn a_device_without_memory_says_what_was_wanted() {
    let network = Network::new(branched(0.0, DropoutScaling::AtTest), 7, CPU).unwrap();
    let mut tape = Tape::new();
    network.forward(&tensor(&[0.5; 216], &[1, 3, 9, 8]), TRAIN, &mut tape).unwrap();
    let error = || candle_core::Error::Msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")".into());
    let message = network.explain(error().into(), 1, &tape, TRAIN).to_string();
    let layer = &network.spec().layers()[1].name;
    assert!(message.contains(&format!("layer {layer:?}: no memory for a batch of 1 in f32")), "{message}");
    let other = network.explain(candle_core::Error::Msg("else".into()).into(), 1, &tape, TRAIN).to_string();
    assert!(other.contains("else") && !other.contains("memory"), "{other}");
}

#[test]
fn prepared_weights_give_the_same_results() {
    if alexnet_testing::cpu_only() {
        return;
    }
    let network = Network::new(crate::build("alexnet", 10).unwrap(), 7, CPU).unwrap();
    let inference = network.inference().unwrap();
    // One image and several images use different code paths; each path runs twice.
    for n in [1, 2, 1, 2] {
        let x = tensor(&uniform("prepared", n as u32, n * 3 * 224 * 224), &[n, 3, 224, 224]);
        let expected = network.forward(&x, Mode::Test, &mut Tape::new()).unwrap();
        assert_same_bits("logits", &values(&inference.forward(&x).unwrap()), &values(&expected));
    }
    let wrong = inference.forward(&tensor(&[0.0; 27], &[1, 3, 3, 3])).unwrap_err().to_string();
    assert!(wrong.contains("[n, 3, 224, 224]"), "{wrong}");
}

#[test]
fn results_that_were_handed_out_do_not_change() {
    let network = Network::new(branched(0.0, DropoutScaling::AtTest), 7, CPU).unwrap();
    let mut tape = Tape::new();
    let input = |seed| tensor(&uniform("handed out", seed, 3 * 72), &[1, 3, 9, 8]);
    let logits = network.forward(&input(0), TRAIN, &mut tape).unwrap();
    let before = values(&logits);
    for seed in 1..4 {
        run(&network, &input(seed), &[0], &mut tape);
        network.forward(&input(seed), Mode::Test, &mut tape).unwrap();
    }
    assert_same_bits("logits", &values(&logits), &before);
}

#[test]
fn inputs_may_lie_in_any_way() {
    let network = Network::new(branched(0.0, DropoutScaling::AtTest), 8, CPU).unwrap();
    let x = tensor(&uniform("input", 0, 2 * 3 * 72), &[2, 3, 9, 8]);
    let last = channels_last(&x).unwrap();
    assert_eq!(MemoryFormat::of(&last), MemoryFormat::ChannelsLast);
    let expected = values(&network.forward(&x, Mode::Test, &mut Tape::new()).unwrap());
    assert_same_bits("own", &values(&network.forward(&last, Mode::Test, &mut Tape::new()).unwrap()), &expected);
    assert_close("module", &values(&network.forward_t(&last, false).unwrap()), &expected, 1e-6);
    let wrong = network.forward(&x.t().unwrap(), Mode::Test, &mut Tape::new()).unwrap_err().to_string();
    assert!(wrong.contains("[n, 3, 9, 8]") && wrong.contains("[2, 3, 8, 9]"), "{wrong}");
}

#[test]
fn features_are_the_layers_results() {
    let network = Network::new(branched(0.0, DropoutScaling::AtTest), 9, CPU).unwrap();
    let x = tensor(&uniform("features", 0, 2 * 3 * 72), &[2, 3, 9, 8]);
    let features = network.features(&x, &["logits", "stem", "hidden", "data"]).unwrap();
    let dims: Vec<_> = features.iter().map(|f| f.dims().to_vec()).collect();
    assert_eq!(dims, [vec![2, 4], vec![2, 8, 9, 8], vec![2, 7], vec![2, 3, 9, 8]]);
    assert_same_bits("data", &values(&features[3]), &values(&x));
    let logits = network.forward(&x, Mode::Test, &mut Tape::new()).unwrap();
    assert_same_bits("logits", &values(&features[0]), &values(&logits));
    assert!(network.features(&x, &["fc9"]).unwrap_err().to_string().contains("\"fc9\""));
}

#[test]
fn backward_needs_a_forward_in_training() {
    let network = Network::new(branched(0.0, DropoutScaling::AtTest), 9, CPU).unwrap();
    let (x, grad) = (tensor(&[0.0; 216], &[1, 3, 9, 8]), tensor(&[0.0; 4], &[1, 4]));
    let mut tape = Tape::new();
    let backward = |tape: &mut Tape| network.backward(tape, &grad, |_, _| Ok(()));
    assert!(matches!(backward(&mut tape), Err(Error::NothingToBackpropagate)));
    network.forward(&x, Mode::Test, &mut tape).unwrap();
    assert!(matches!(backward(&mut tape), Err(Error::NothingToBackpropagate)));
    network.forward(&x, TRAIN, &mut tape).unwrap();
    backward(&mut tape).unwrap();
    assert!(matches!(backward(&mut tape), Err(Error::NothingToBackpropagate)));
}

#[test]
fn wrong_lists_of_layers_say_what_is_wrong() {
    let message = |layers: Vec<Layer>| {
        let mut all = vec![Layer::new("data", Input { channels: 4, size: [6, 6] })];
        all.extend(layers);
        Specification::new("wrong", InputSpec::ALEXNET_2012, all).unwrap_err().to_string()
    };
    let conv = |groups| Conv2d::new(6, 3, 0.1, 0.0).groups(groups);
    assert!(message(vec![Layer::new("data", conv(1))]).contains("another layer has the same name"));
    assert!(message(vec![Layer::new("a", conv(1)).reads(["b"])]).contains("\"b\" is not an earlier layer"));
    assert!(message(vec![Layer::new("a", conv(4))]).contains("4 groups do not divide 4 and 6 channels"));
    assert!(message(vec![Layer::new("a", conv(1)).reads(["data", "data"])]).contains("reads one layer, not 2"));
    let linear = || Linear::new(3, 0.1, 0.0);
    assert!(message(vec![Layer::new("a", linear())]).contains("flatten it first"));
    assert!(message(vec![Layer::new("a", conv(1))]).contains("ends in a vector"));
    let sum = Layer::new("sum", Add).reads(["data", "a"]);
    assert!(message(vec![Layer::new("a", conv(1)), sum]).contains("one shape"));
    let input = Input { channels: 1, size: [1, 1] };
    assert!(message(vec![Layer::new("b", input)]).contains("one input, its first layer"));
    let pool = MaxPool2d(Pool2dParams::new(7, 2));
    assert!(message(vec![Layer::new("a", pool)]).contains("7×7 window does not fit"));

    let mut layers = branched(0.0, DropoutScaling::AtTest).layers().to_vec();
    layers[3].device = 1;
    let spec = Specification::new("devices", InputSpec::ALEXNET_2012, layers).unwrap();
    assert!(Network::new(spec.clone(), 0, CPU).unwrap_err().to_string().contains("device 1, but 1 were given"));
    assert!(Network::new(spec, 0, &[Device::Cpu, Device::Cpu]).is_ok());
}
