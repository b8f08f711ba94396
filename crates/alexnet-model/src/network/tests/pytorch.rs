//! What PyTorch says, made by `xtask/golden/model.py`.

use super::*;

const SCALE: f32 = 64.0;

fn golden() -> Golden {
    // In this crate, wherever it lies when the tests run.
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Golden::open(format!("{here}/golden/networks.safetensors"))
}

/// The variant without dropout, with the weights of the Python script.
fn twin(arch: &str) -> Network {
    twin_on(arch, &Device::Cpu)
}

fn twin_on(arch: &str, device: &Device) -> Network {
    let spec = build(arch, 10).unwrap();
    let mut layers = spec.layers().to_vec();
    for layer in &mut layers {
        if let LayerKind::Dropout(dropout) = &mut layer.kind {
            dropout.probability = 0.0;
        }
    }
    let last = spec.parameters()[spec.parameters().len() - 2].name.clone();
    let spec = Specification::new(arch, spec.input_spec().clone(), layers).unwrap();
    Network::with(spec, 0, std::slice::from_ref(device), |_, parameter, device| {
        let values = match parameter.role {
            Role::Buffer => unreachable!("no variant has one"),
            Role::Bias => vec![0.5; parameter.elements()],
            Role::Weight => {
                let shrink = if parameter.name == last { f64::from(SCALE) } else { 1.0 };
                let bound = (6.0 / parameter.fan_in as f64).sqrt() / shrink;
                let values = uniform(&format!("{arch}/{}", parameter.name), 0, parameter.elements());
                values.iter().map(|&u| (f64::from(u) * bound) as f32).collect()
            }
        };
        Ok(Tensor::from_vec(values, parameter.shape.as_slice(), device)?)
    })
    .unwrap()
}

fn images(network: &Network, step: u32, n: usize) -> Tensor {
    let [c, h, w] = network.spec().input_size();
    let values = uniform(&format!("{}/images", network.spec().arch()), step, n * c * h * w);
    tensor(&values.iter().map(|v| v * SCALE).collect::<Vec<_>>(), &[n, c, h, w])
}

/// Logits and gradients of the batch that has PyTorch's image `n` times: the mean gradient is that of the image
/// alone, but batches go their own ways through the kernels.
fn assert_parity(golden: &Golden, network: &Network, n: usize) {
    let arch = network.spec().arch();
    // An image on which rounding flips no ReLU and no maximum.
    let index = golden.get(&format!("{arch}/images")).unwrap()[0] as u32;
    let batch = Tensor::cat(&vec![&images(network, index, 1); n], 0).unwrap();
    let (_, logits, grads) = run(network, &batch, &vec![3; n], &mut Tape::new());
    for logits in values(&logits).chunks_exact(10) {
        golden.assert(&format!("{arch}/logits"), logits, 1e-4);
    }
    for (parameter, grad) in network.parameters().iter().zip(&grads) {
        golden.assert(&format!("{arch}/{}", parameter.spec.name), grad, 1e-4);
    }
}

#[test]
fn a_gpu_agrees_on_every_variant() {
    let golden = golden();
    let device = match alexnet_kernels::cuda_device(0) {
        Ok(device) => device,
        Err(error) => return skip("cuda", &error.to_string()),
    };
    for variant in crate::VARIANTS {
        for n in [1, 2] {
            assert_parity(&golden, &twin_on(variant.name, &device), n);
        }
    }
}

#[test]
fn the_gpus_kernels_agree_on_every_variant() {
    if alexnet_testing::cpu_only() {
        return;
    }
    let golden = golden();
    for variant in crate::VARIANTS {
        let network = twin(variant.name);
        if with_host_kernels(false, || assert_parity(&golden, &network, 1)).is_none() {
            return skip("host", "this machine has no C++ compiler");
        }
    }
}

#[test]
fn logits_and_all_gradients_of_every_variant_agree() {
    if alexnet_testing::cpu_only() {
        return;
    }
    let golden = golden();
    for variant in crate::VARIANTS {
        let network = twin(variant.name);
        for n in [1, 2] {
            assert_parity(&golden, &network, n);
        }
        let index = golden.get(&format!("{}/images", variant.name)).unwrap()[0] as u32;
        let x = images(&network, index, 1);
        // The same network as a Candle module.
        let module = network.forward_t(&x, false).unwrap();
        golden.assert(&format!("{}/logits", variant.name), &values(&module), 1e-4);
    }
}

/// On the processor, `bf16` rounds the weights of fully connected layers, to eight bits, and for one image nothing else.
#[test]
fn inference_in_bf16_stays_close_on_every_variant() {
    let golden = golden();
    for variant in crate::VARIANTS {
        let mut network = twin(variant.name);
        let index = golden.get(&format!("{}/images", variant.name)).unwrap()[0] as u32;
        let image = images(&network, index, 1);
        network.set_precision(Precision::Bf16).unwrap();
        // More images than go row by row.
        // (Where the processor multiplies pairs of bf16, their inputs are rounded then, too.)
        let batches = [1, 9].map(|n| Tensor::cat(&vec![&image; n], 0).unwrap());
        let logits =
            |network: &Network| batches.each_ref().map(|x| values(&network.inference().unwrap().forward(x).unwrap()));
        let narrow = logits(&network);
        for logits in narrow.iter().flat_map(|logits| logits.chunks_exact(10)) {
            golden.assert(&format!("{}/logits", variant.name), logits, 2e-2);
        }
        let mut tape = Tape::new();
        let grad = network.forward(&image, TRAIN, &mut tape).unwrap().zeros_like().unwrap();
        let refused = network.backward(&mut tape, &grad, |_, _| Ok(())).unwrap_err().to_string();
        assert!(refused.contains("bf16 is for inference"), "{refused}");

        network.set_precision(Precision::F32).unwrap();
        for Parameter { spec, var, .. } in network.parameters() {
            if spec.role == Role::Weight && spec.shape.len() == 2 {
                let rounded = var.to_dtype(DType::BF16).and_then(|var| var.to_dtype(DType::F32)).unwrap();
                var.set(&rounded).unwrap();
            }
        }
        let rounded = logits(&network);
        assert_same_bits(variant.name, &narrow[0], &rounded[0]);
        assert_close(variant.name, &narrow[1], &rounded[1], 1e-2);
    }
}

/// Ten steps of the 2012 rule, biases at twice the rate and without decay.
#[test]
fn ten_training_steps_of_alexnet_agree() {
    if alexnet_testing::cpu_only() {
        return;
    }
    let golden = golden().get("alexnet/ten steps").unwrap();
    let network = twin("alexnet");
    let zeros = |parameter: &Parameter| parameter.var.zeros_like().unwrap();
    let velocities: Vec<Tensor> = network.parameters().iter().map(zeros).collect();
    let mut tape = Tape::new();
    for (step, &expected) in golden.iter().enumerate() {
        let labels: Vec<u32> = (0..4).map(|i| (3 * step as u32 + i) % 10).collect();
        let x = images(&network, step as u32, 4);
        let logits = network.forward(&x, TRAIN, &mut tape).unwrap();
        let (losses, grad_logits) = (tensor(&[0.0; 4], &[4]), logits.zeros_like().unwrap());
        let labels = Tensor::new(&labels[..], &Device::Cpu).unwrap();
        forward_into(&logits, &labels, &losses, Some(&grad_logits)).unwrap();
        let loss = f64::from(losses.mean_all().unwrap().to_scalar::<f32>().unwrap());
        let error = (loss - expected).abs() / expected;
        println!("step {step}: {loss:.7}, expected {expected:.7}, error {error:.1e}");
        assert!(error < 1e-4, "step {step}: loss {loss}, expected {expected}");
        network
            .backward(&mut tape, &grad_logits, |index, grad| {
                let parameter = &network.parameters()[index];
                let bias = parameter.spec.role == Role::Bias;
                let params = SgdParams {
                    rule: SgdRule::RateInVelocity,
                    learning_rate: if bias { 1e-6 } else { 5e-7 },
                    momentum: 0.9,
                    weight_decay: if bias { 0.0 } else { 0.0005 },
                };
                Ok(update(&parameter.var, &velocities[index], grad, &params)?)
            })
            .unwrap();
    }
}
