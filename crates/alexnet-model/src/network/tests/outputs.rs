//! Networks with more than one output.

use super::*;

/// The network with all features and an auxiliary classifier.
fn two_headed(loss_weight: f32) -> Specification {
    let mut layers = branched(0.4, DropoutScaling::Inverted).layers().to_vec();
    let aside = [
        Layer::new("small", AvgPool2d(Pool2dParams::new(3, 3))).reads(["joined"]),
        Layer::new("aside", Flatten),
        Layer::new("auxiliary", Linear::new(4, 0.3, 0.1)),
    ];
    let at = layers.iter().position(|layer| layer.name == "pool").unwrap();
    layers[at].inputs = vec!["sum".into()];
    layers.splice(at..at, aside);
    let spec = Specification::new("two-headed", InputSpec::ALEXNET_2012, layers).unwrap();
    spec.with_outputs(&[("auxiliary", loss_weight)]).unwrap()
}

fn images() -> Tensor {
    tensor(&uniform("two-headed", 0, 3 * 3 * 72), &[3, 3, 9, 8])
}

/// All gradients, given the gradient of each output's loss.
fn gradients(network: &Network, tape: &mut Tape, grads: &[&Tensor]) -> Vec<Vec<f32>> {
    let mut all = vec![Vec::new(); network.parameters().len()];
    let take = |index: usize, gradient: Gradient<'_>| {
        all[index] = match gradient {
            Gradient::Values(grad) => values(grad),
            Gradient::Product { x, grad_y } => values(&grad_y.t()?.matmul(x)?),
        };
        Ok(())
    };
    network.backward_factored(tape, grads, take).unwrap();
    all
}

#[test]
fn every_output_adds_its_gradient() {
    let network = Network::new(two_headed(0.3), 5, CPU).unwrap();
    let labels = Tensor::new(&[0u32, 3, 1], &Device::Cpu).unwrap();
    let (mut tape, mut bytes) = (Tape::new(), None);
    // The second pass reuses buffers.
    for step in 0..2 {
        let outputs = network.forward_outputs(&images(), Mode::train(5, step), &mut tape).unwrap();
        let modules = network.forward_outputs_t(&images(), true).unwrap();
        assert_eq!([outputs.len(), modules.len()], [2; 2]);
        let grads = outputs.iter().zip(&modules).map(|(output, module)| {
            assert_close("output", &values(output), &values(module), 1e-6);
            let (losses, grad) = (tensor(&[0.0; 3], &[3]), output.zeros_like().unwrap());
            forward_into(output, &labels, &losses, Some(&grad)).unwrap();
            grad
        });
        let grads: Vec<Tensor> = grads.collect();
        let found = gradients(&network, &mut tape, &grads.iter().collect::<Vec<_>>());
        assert!(tape.bytes() <= network.pass_memory(3, TRAIN));
        assert_eq!(*bytes.get_or_insert(tape.bytes()), tape.bytes(), "no buffer is lost");
        let loss = |module: &Tensor| softmax_cross_entropy(module, &labels).unwrap();
        let sum = (loss(&modules[0]) + (loss(&modules[1]) * 0.3).unwrap()).unwrap();
        let tracked = sum.backward().unwrap();
        for (parameter, grad) in network.parameters().iter().zip(&found).filter(|(p, _)| p.spec.role.is_trained()) {
            assert_close(&parameter.spec.name, grad, &values(tracked.get(&parameter.var).unwrap()), 1e-5);
        }
        // Returned tensors do not change.
        let before: Vec<f32> = outputs.iter().flat_map(values).collect();
        network.forward(&images(), Mode::Test, &mut tape).unwrap();
        assert_same_bits("handed out", &outputs.iter().flat_map(values).collect::<Vec<_>>(), &before);
    }
}

#[test]
fn the_main_output_alone_is_what_it_is_without_others() {
    let network = Network::new(two_headed(0.3), 5, CPU).unwrap();
    let (x, aside) = (images(), ["small", "aside", "auxiliary"]);
    // NaN weights, which would affect every layer that reads them.
    network.parameter("auxiliary.weight").unwrap().var.set(&tensor(&[f32::NAN; 4 * 132], &[4, 132])).unwrap();
    let mut tape = Tape::new();
    let main = network.forward(&x, Mode::Test, &mut tape).unwrap();
    assert_eq!(tape.bytes(), network.pass_memory(3, Mode::Test));
    let all = network.forward_outputs(&x, Mode::Test, &mut Tape::new()).unwrap();
    assert_same_bits("main", &values(&main), &values(&all[0]));
    // Its batch normalization is folded, which rounds differently.
    assert_close("inference", &values(&network.inference().unwrap().forward(&x).unwrap()), &values(&main), 1e-5);
    assert!(values(&all[1]).iter().all(|value| value.is_nan()));
    assert_close("module", &values(&network.forward_t(&x, false).unwrap()), &values(&main), 1e-6);
    for layer in aside {
        network.features(&x, &[layer]).unwrap();
    }
    // Training only the main output computes no gradients for the auxiliary classifier.
    let (_, _, grads) = run(&network, &x, &[0, 1, 2], &mut Tape::new());
    for (parameter, grad) in network.parameters().iter().zip(&grads) {
        let left_out = parameter.spec.name.starts_with("auxiliary") || !parameter.spec.role.is_trained();
        assert_eq!(grad.is_empty(), left_out, "{}", parameter.spec.name);
        assert!(grad.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn a_wrong_number_of_gradients_is_refused_and_the_pass_kept() {
    let network = Network::new(two_headed(0.5), 5, CPU).unwrap();
    let mut tape = Tape::new();
    let outputs = network.forward_outputs(&images(), TRAIN, &mut tape).unwrap();
    let message = network.backward(&mut tape, &outputs[0], |_, _| Ok(())).unwrap_err().to_string();
    assert!(message.contains("per output of forward, 2, but got 1"), "{message}");
    let found = gradients(&network, &mut tape, &outputs.iter().collect::<Vec<_>>());
    assert_eq!(found.iter().filter(|grad| !grad.is_empty()).count(), network.vars().len());
}

#[test]
fn outputs_that_are_none_are_refused() {
    let message = |name: &str, weight: f32| {
        let spec = two_headed(0.5).with_outputs(&[(name, weight)]);
        spec.unwrap_err().to_string()
    };
    assert!(message("nothing", 1.0).contains("there is no such layer"));
    assert!(message("auxiliary", 1.0).contains("listed twice") && message("logits", 1.0).contains("listed twice"));
    assert!(message("hidden", 1.0).contains("one value per class, Vector(4), not Vector(7)"));
    let mut layers = two_headed(0.5).layers().to_vec();
    layers.insert(layers.len() - 1, Layer::new("third", Linear::new(4, 0.1, 0.0)).reads(["both"]));
    let last = layers.len() - 1;
    layers[last].inputs = vec!["both".into()];
    let spec = Specification::new("three", InputSpec::ALEXNET_2012, layers).unwrap();
    for weight in [-0.5, f32::NAN, f32::INFINITY] {
        let message = spec.clone().with_outputs(&[("third", weight)]).unwrap_err().to_string();
        assert!(message.contains("the weight of a loss must be 0 or more"), "{message}");
    }
    assert_eq!(spec.with_outputs(&[("third", 0.0)]).unwrap().outputs().len(), 2);
}
