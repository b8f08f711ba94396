//! Networks with layers on several devices.

use super::*;

/// Every other layer on the second device.
fn split(spec: &Specification) -> Specification {
    let layers = spec.layers().iter().enumerate().map(|(index, layer)| layer.clone().on(index % 2)).collect();
    Specification::new(spec.arch(), spec.input_spec().clone(), layers).unwrap()
}

/// Loss, logits and gradients of three steps, and the size of the tape after each.
fn steps(spec: Specification, devices: &[Device]) -> (Vec<Vec<f32>>, [usize; 3]) {
    let network = Network::new(spec, 5, devices).unwrap();
    let (mut tape, mut seen) = (Tape::new(), Vec::new());
    let bytes = [0, 1, 2].map(|step| {
        let x = tensor(&uniform("devices", step, 2 * 3 * 72), &[2, 3, 9, 8]);
        let (loss, logits, grads) = run(&network, &x, &[0, 3], &mut tape);
        seen.push(vec![loss]);
        seen.push(values(&logits));
        seen.extend(grads);
        tape.bytes()
    });
    (seen, bytes)
}

#[test]
fn two_handles_of_the_cpu_give_the_bits_of_one() {
    let spec = branched(0.4, DropoutScaling::AtTest);
    let (one, bytes) = steps(spec.clone(), CPU);
    let (two, split_bytes) = steps(split(&spec), &[Device::Cpu, Device::Cpu]);
    for (one, two) in one.iter().zip(&two) {
        assert_same_bits("two handles", two, one);
    }
    assert_eq!(split_bytes, bytes);
}

/// Every layer has its input, and the gradient of its input, on the other device. No step takes more memory than the
/// first.
#[test]
fn copies_between_cpu_and_gpu_do_not_pile_up() {
    let device = match alexnet_kernels::cuda_device(0) {
        Ok(device) => device,
        Err(error) => return skip("cuda", &error.to_string()),
    };
    let spec = branched(0.4, DropoutScaling::AtTest);
    let (one, _) = steps(spec.clone(), CPU);
    let (two, bytes) = steps(split(&spec), &[Device::Cpu, device]);
    for (one, two) in one.iter().zip(&two) {
        assert_close("CPU and GPU", two, one, 1e-3);
    }
    assert_eq!(bytes, [bytes[0]; 3]);
}

/// Two parts of a batch, with `first_image` set, use the same dropout mask as the whole batch, and their gradients add
/// up to its gradient.
#[test]
fn parts_of_a_batch_draw_what_the_whole_draws() {
    let dropout = || Dropout { probability: 0.5, scaling: DropoutScaling::Inverted };
    let layers = vec![
        Layer::new("data", Input { channels: 3, size: [5, 5] }),
        Layer::new("conv", Conv2d::new(7, 3, 0.3, 0.1)).with(Tanh),
        Layer::new("dropped map", dropout()),
        Layer::new("flat", Flatten),
        Layer::new("hidden", Linear::new(9, 0.3, 0.0)).with(Tanh),
        Layer::new("dropped vector", dropout()),
        Layer::new("logits", Linear::new(3, 0.3, 0.0)),
    ];
    let spec = Specification::new("dropout", InputSpec::ALEXNET_2012, layers).unwrap();
    let network = Network::new(spec, 5, CPU).unwrap();
    let x = tensor(&uniform("parts", 0, 5 * 75), &[5, 3, 5, 5]);
    let pass = |first_image: usize, images: usize| {
        let mut tape = Tape::new();
        let x = x.narrow(0, first_image, images).unwrap();
        let logits = network.forward(&x, Mode::Train { seed: 1, step: 2, first_image }, &mut tape).unwrap();
        let mut grads = Vec::new();
        let keep = |_, grad: &Tensor| {
            grads.push(values(grad));
            Ok(())
        };
        network.backward(&mut tape, &logits.ones_like().unwrap(), keep).unwrap();
        (values(&logits), grads)
    };
    let ((whole, grads), (mut parts, first), (second_part, second)) = (pass(0, 5), pass(0, 2), pass(2, 3));
    parts.extend(second_part);
    assert_close("logits", &parts, &whole, 1e-6);
    for ((whole, first), second) in grads.iter().zip(first).zip(second) {
        let sum: Vec<f32> = first.iter().zip(second).map(|(a, b)| a + b).collect();
        assert_close("gradient", &sum, whole, 1e-5);
    }
}
