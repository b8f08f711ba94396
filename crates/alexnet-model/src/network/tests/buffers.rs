//! Buffers: written by forward, without gradients.

use super::*;
use crate::layers::Center;

fn centered() -> Specification {
    let layers = vec![
        Layer::new("data", Input { channels: 2, size: [2, 2] }),
        Layer::new("flat", Flatten),
        Layer::new("first", Linear::new(3, 0.5, 0.0)).with(Tanh),
        Layer::new("center", Center),
        Layer::new("logits", Linear::new(2, 0.5, 0.0)),
    ];
    Specification::new("centered", InputSpec::ALEXNET_2012, layers).unwrap()
}

fn buffers(network: &Network) -> Vec<f32> {
    let buffers = network.parameters().iter().filter(|parameter| parameter.spec.role == Role::Buffer);
    buffers.flat_map(|parameter| values(&parameter.var)).collect()
}

#[test]
fn buffers_are_written_in_training_and_read_in_testing_but_not_trained() {
    let network = Network::new(centered(), 5, CPU).unwrap();
    let names: Vec<&str> = network.parameters().iter().map(|p| p.spec.name.as_str()).collect();
    assert_eq!(names[2..5], ["center.shift", "center.running_mean", "center.batches"]);
    assert_eq!((network.spec().parameter_count(), network.vars().len()), (8 * 3 + 3 + 3 + 3 * 2 + 2, 5));
    let x = tensor(&uniform("buffers", 0, 4 * 8), &[4, 2, 2, 2]);
    let seen = network.features(&x, &["first"]).unwrap().swap_remove(0);
    assert_eq!(buffers(&network), [0.0; 4], "testing writes nothing");
    let mut tape = Tape::new();
    let before: Vec<_> = network.vars().iter().map(|var| values(var)).collect();
    // `run` fails if a gradient is passed twice; those of buffers stay empty.
    let (_, _, grads) = run(&network, &x, &[0, 1, 0, 1], &mut tape);
    let empty: Vec<usize> = (0..grads.len()).filter(|&index| grads[index].is_empty()).collect();
    assert_eq!(empty, [3, 4]);
    assert_eq!(before, network.vars().iter().map(|var| values(var)).collect::<Vec<_>>());
    let expected: Vec<f32> = (0..3).map(|i| (0..4).map(|n| values(&seen)[3 * n + i]).sum::<f32>() / 40.0).collect();
    assert_close("running mean", &buffers(&network)[..3], &expected, 1e-6);
    assert_eq!(buffers(&network)[3], 1.0);
    // Test mode subtracts it; the Candle module gives the same result.
    let tested = values(&network.features(&x, &["center"]).unwrap()[0]);
    let shifted: Vec<f32> = values(&seen).iter().enumerate().map(|(i, v)| v + 0.5 - expected[i % 3]).collect();
    assert_close("testing", &tested, &shifted, 1e-6);
    let other = Network::new(centered(), 5, CPU).unwrap();
    let module = other.forward_t(&x, true).unwrap();
    assert_close("by autograd", &buffers(&other), &buffers(&network), 1e-6);
    let tracked = softmax_cross_entropy(&module, &Tensor::new(&[0u32, 1, 0, 1], &Device::Cpu).unwrap()).unwrap();
    let tracked = tracked.backward().unwrap();
    for (parameter, grad) in other.parameters().iter().zip(&grads).filter(|(p, _)| p.spec.role.is_trained()) {
        assert_close(&parameter.spec.name, grad, &values(tracked.get(&parameter.var).unwrap()), 1e-5);
    }
}

#[test]
fn buffers_cannot_be_trained() {
    let mut network = Network::new(centered(), 5, CPU).unwrap();
    network.train_only(|_, parameter| parameter.role == Role::Buffer);
    let x = tensor(&uniform("buffers", 0, 4 * 8), &[4, 2, 2, 2]);
    let mut tape = Tape::new();
    let (_, _, grads) = run(&network, &x, &[0, 1, 0, 1], &mut tape);
    assert!(grads.iter().all(Vec::is_empty));
    assert_eq!(network.pass_memory(4, TRAIN), tape.bytes());
}
