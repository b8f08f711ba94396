//! Networks with frozen layers.

use super::*;
use crate::network::Gradient;

/// If only a part of a network is trained, its gradients are the same as when everything is trained, and no others are
/// computed.
fn assert_parts(device: &Device) {
    let mut network = Network::new(branched(0.4, DropoutScaling::AtTest), 5, std::slice::from_ref(device)).unwrap();
    let x = tensor(&uniform("frozen", 0, 3 * 3 * 72), &[3, 3, 9, 8]).to_device(device).unwrap();
    let (_, logits, all) = run(&network, &x, &[0, 3, 1], &mut Tape::new());
    let of = |wanted: &dyn Fn(&ParameterSpec) -> bool| -> Vec<usize> {
        let parameters = network.parameters().iter().enumerate();
        parameters.filter(|(_, p)| p.spec.role.is_trained() && wanted(&p.spec)).map(|(index, _)| index).collect()
    };
    let layer = |name: &'static str| of(&|spec| spec.name.starts_with(name));
    let parts: [(&str, Vec<usize>); 7] = [
        ("the last", layer("logits.")),
        ("all but the first", of(&|spec| spec.name != "stem.weight")),
        ("one branch", layer("left.")),
        ("the first", layer("stem")),
        ("biases", of(&|spec| spec.role == Role::Bias)),
        ("weights", of(&|spec| spec.role == Role::Weight)),
        ("nothing", Vec::new()),
    ];
    for (name, part) in parts {
        network.train_only(|index, _| part.contains(&index));
        let mut tape = Tape::new();
        // A reused tape does not grow.
        for _ in 0..2 {
            let (_, found, grads) = run(&network, &x, &[0, 3, 1], &mut tape);
            assert_same_bits(name, &values(&found), &values(&logits));
            for (index, (found, expected)) in grads.iter().zip(&all).enumerate() {
                let expected = if part.contains(&index) { expected.as_slice() } else { &[] };
                assert_same_bits(&format!("{name}: {index}"), found, expected);
            }
            assert_eq!(network.pass_memory(3, TRAIN), tape.bytes(), "{name}");
        }
        // As products: one for the weight of each trained fully connected layer.
        let logits = network.forward(&x, TRAIN, &mut tape).unwrap();
        let mut seen = Vec::new();
        let take = |index: usize, gradient: Gradient<'_>| {
            if let Gradient::Product { x, grad_y } = gradient {
                let shape = &network.parameters()[index].spec.shape;
                assert_eq!([grad_y.dims()[1], x.dims()[1]], shape[..], "{name}");
            }
            seen.push(index);
            Ok(())
        };
        network.backward_factored(&mut tape, &[&logits.ones_like().unwrap()], take).unwrap();
        seen.sort_unstable();
        assert_eq!(seen, part, "{name}");
    }
    network.train_only(|_, _| true);
    assert_eq!(run(&network, &x, &[0, 3, 1], &mut Tape::new()).2, all);
}

#[test]
fn a_part_is_trained_as_in_the_whole() {
    assert_parts(&Device::Cpu);
    if with_host_kernels(false, || assert_parts(&Device::Cpu)).is_none() {
        skip("host", "this machine has no C++ compiler");
    }
}

#[test]
fn a_part_is_trained_on_a_gpu_as_in_the_whole() {
    match alexnet_kernels::cuda_device(0) {
        Ok(device) => assert_parts(&device),
        Err(error) => skip("cuda", &error.to_string()),
    }
}

/// With frozen convolutions, neither their gradients nor the tensors needed for these are in memory.
#[test]
fn frozen_convolutions_take_less_memory() {
    let mut network = Network::new(build("alexnet", 10).unwrap(), 1, CPU).unwrap();
    let whole = network.pass_memory(128, TRAIN);
    let layers = network.spec().clone();
    network.train_only(|_, parameter| layers.layers()[parameter.layer].name.starts_with("fc"));
    let part = network.pass_memory(128, TRAIN);
    assert!(part * 4 < whole * 3, "{part} of {whole} bytes");
}
