//! Batch normalizations folded into convolutions.

use super::*;
use crate::layers::BatchNorm2d;

fn normalized() -> Specification {
    let conv = |out| Conv2d::new(out, 3, 0.3, 0.0).padding(1);
    let layers = vec![
        Layer::new("data", Input { channels: 3, size: [6, 6] }),
        Layer::new("conv1", Conv2d { bias: None, ..conv(4) }),
        Layer::new("bn1", BatchNorm2d::default()).with(Relu),
        Layer::new("conv2", conv(4).groups(2)),
        Layer::new("bn2", BatchNorm2d { eps: 1e-3, ..BatchNorm2d::default() }),
        // Not folded: another layer reads its convolution.
        Layer::new("conv3", conv(4)).reads(["bn2"]),
        Layer::new("bn3", BatchNorm2d::default()).with(Relu),
        // Not folded: there is an activation in between.
        Layer::new("conv4", conv(4)).reads(["conv3"]).with(Tanh),
        Layer::new("bn4", BatchNorm2d::default()),
        Layer::new("sum", Add).reads(["bn1", "bn3", "bn4"]),
        Layer::new("means", GlobalAvgPool2d),
        Layer::new("logits", Linear::new(3, 0.5, 0.0)),
    ];
    Specification::new("normalized", InputSpec::ALEXNET_2012, layers).unwrap()
}

#[test]
fn folded_networks_give_the_same_results() {
    let network = Network::new(normalized(), 3, CPU).unwrap();
    let x = |n| tensor(&uniform("fold", n, n as usize * 108), &[n as usize, 3, 6, 6]);
    // Train to get running statistics that differ from the initial ones.
    for _ in 0..5 {
        network.forward(&x(8), TRAIN, &mut Tape::new()).unwrap();
    }
    // Weights and biases that are not those of the start, either.
    for parameter in network.parameters().iter().filter(|parameter| parameter.spec.role.is_trained()) {
        let random = uniform(&parameter.spec.name, 1, parameter.spec.elements());
        parameter.var.set(&tensor(&random, &parameter.spec.shape)).unwrap();
    }
    let inference = network.inference().unwrap();
    let names: Vec<&str> = inference.spec().layers().iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["data", "conv1", "conv2", "conv3", "bn3", "conv4", "bn4", "sum", "means", "logits"]);
    for n in [1, 4] {
        let expected = values(&network.forward(&x(n), Mode::Test, &mut Tape::new()).unwrap());
        assert_close("logits", &values(&inference.forward(&x(n)).unwrap()), &expected, 1e-5);
    }
}

#[test]
fn threads_may_share_one() {
    let network = Network::new(normalized(), 3, CPU).unwrap();
    let inference = network.inference().unwrap();
    let x = |n| tensor(&uniform("shared", n, 108), &[1, 3, 6, 6]);
    let expected: Vec<_> = (0..4).map(|n| values(&inference.forward(&x(n)).unwrap())).collect();
    std::thread::scope(|scope| {
        for (n, expected) in expected.iter().enumerate() {
            let inference = &inference;
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_same_bits("logits", &values(&inference.forward(&x(n as u32)).unwrap()), expected);
                }
            });
        }
    });
}
