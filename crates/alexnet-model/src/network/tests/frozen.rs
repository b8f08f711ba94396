//! Networks of which only a part is trained.

use super::*;

/// Whatever part of a network is trained, it gets the gradients it gets when all of it is, and nobody else gets any.
#[test]
fn a_part_is_trained_as_in_the_whole() {
    let mut network = Network::new(branched(0.4, DropoutScaling::AtTest), 5, CPU).unwrap();
    let x = tensor(&uniform("frozen", 0, 3 * 3 * 72), &[3, 3, 9, 8]);
    let (_, logits, all) = run(&network, &x, &[0, 3, 1], &mut Tape::new());
    let count = all.len();
    let parts: [(&str, Vec<usize>); 6] = [
        ("the last", (count - 2..count).collect()),
        ("all but the first", (2..count).collect()),
        ("one branch", vec![2, 3]),
        ("the first", vec![0, 1]),
        ("biases", (0..count).filter(|index| index % 2 == 1).collect()),
        ("nothing", Vec::new()),
    ];
    for (name, part) in parts {
        network.train_only(|index, _| part.contains(&index));
        let mut tape = Tape::new();
        let (_, found, grads) = run(&network, &x, &[0, 3, 1], &mut tape);
        assert_same_bits(name, &values(&found), &values(&logits));
        for (index, (found, expected)) in grads.iter().zip(&all).enumerate() {
            let expected = if part.contains(&index) { expected.as_slice() } else { &[] };
            assert_same_bits(&format!("{name}: {index}"), found, expected);
        }
        assert_eq!(network.pass_memory(3, TRAIN), tape.bytes(), "{name}");
    }
    network.train_only(|_, _| true);
    assert_eq!(run(&network, &x, &[0, 3, 1], &mut Tape::new()).2, all);
}

/// What is spared: with the convolutions frozen, neither their gradients nor what these would need is in memory.
#[test]
fn frozen_convolutions_take_less_memory() {
    let mut network = Network::new(build("alexnet", 10).unwrap(), 1, CPU).unwrap();
    let whole = network.pass_memory(128, TRAIN);
    let layers = network.spec().clone();
    network.train_only(|_, parameter| layers.layers()[parameter.layer].name.starts_with("fc"));
    let part = network.pass_memory(128, TRAIN);
    assert!(part * 4 < whole * 3, "{part} of {whole} bytes");
}
