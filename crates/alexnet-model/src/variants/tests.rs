use super::*;
use crate::layers::LayerKind;

/// Parameters and multiply-adds of the paper's network, layer by layer.
#[test]
fn alexnet_has_the_papers_counts() {
    let expected = [
        ("conv1", 34_944, 105_415_200),
        ("conv2", 307_456, 223_948_800),
        ("conv3", 885_120, 149_520_384),
        ("conv4", 663_936, 112_140_288),
        ("conv5", 442_624, 74_760_192),
        ("fc6", 37_752_832, 37_748_736),
        ("fc7", 16_781_312, 16_777_216),
        ("fc8", 4_097_000, 4_096_000),
    ];
    for arch in ["alexnet", "alexnet-paper", "alexnet-six-conv", "alexnet-caffe", "caffenet"] {
        let spec = build(arch, 1000).unwrap();
        for (name, parameters, macs) in expected {
            let layer = spec.layers().iter().position(|layer| layer.name == name).unwrap();
            let found = (spec.layer_parameter_count(layer), spec.layer_macs(layer));
            assert_eq!(found, (parameters, macs), "{arch}, {name}");
        }
    }
}

#[test]
fn totals_are_those_of_the_sources() {
    let expected = [
        ("alexnet", 60_965_224, 724_406_816),
        ("alexnet-paper", 60_965_224, 724_406_816),
        ("alexnet-six-conv", 61_555_304, 745_640_480),
        ("alexnet-caffe", 60_965_224, 724_406_816),
        ("caffenet", 60_965_224, 724_406_816),
        ("alexnet-owt", 61_100_840, 714_188_480),
        ("alexnet-torchvision", 61_100_840, 714_188_480),
    ];
    assert_eq!(expected.map(|(name, ..)| name), VARIANTS.map(|variant| variant.name));
    for (arch, parameters, macs) in expected {
        let spec = build(arch, 1000).unwrap();
        assert_eq!((spec.arch(), spec.classes()), (arch, 1000));
        assert_eq!((spec.parameter_count(), spec.macs()), (parameters, macs), "{arch}");
        // Only fc8 depends on the number of classes: 4096 weights and a bias per class.
        assert_eq!(build(arch, 10).unwrap().parameter_count(), parameters - 990 * 4097, "{arch}");
    }
}

/// 55, 27, 13, 6: the map sizes of every AlexNet, however the first layer gets to 55.
#[test]
fn maps_have_the_papers_sizes() {
    for variant in VARIANTS {
        let spec = (variant.build)(1000).unwrap();
        let sizes: Vec<usize> = spec
            .layers()
            .iter()
            .zip(spec.shapes())
            .filter(|(layer, _)| matches!(layer.kind, LayerKind::Conv2d(_) | LayerKind::MaxPool2d(_)))
            .map(|(_, shape)| shape.dims()[1])
            .collect();
        let sixth: &[usize] = if variant.name == "alexnet-six-conv" { &[6] } else { &[] };
        assert_eq!(sizes, [&[55, 27, 27, 13, 13, 13, 13, 6], sixth].concat(), "{}", variant.name);
        assert_eq!(spec.input_spec().size, spec.input_size()[1], "{}", variant.name);
    }
}

#[test]
fn initial_values_are_those_of_the_sources() {
    use crate::init::Init::{Constant, FanInUniform, Normal};
    let inits = |arch: &str, role| {
        let spec = build(arch, 10).unwrap();
        let of_role = spec.parameters().iter().filter(|p| p.role == role).map(|p| p.init).collect::<Vec<_>>();
        <[crate::Init; 8]>::try_from(of_role).unwrap()
    };
    let sixth = build("alexnet-six-conv", 10).unwrap();
    let of_sixth: Vec<_> = sixth.parameters().iter().filter(|p| p.name.starts_with("conv6")).map(|p| p.init).collect();
    assert_eq!(of_sixth, [Normal { std: 0.03 }, Constant(1.0)]);
    let (weight, bias) = (crate::Role::Weight, crate::Role::Bias);
    let normal = |std: [f32; 8]| std.map(|std| Normal { std });
    let constant = |values: [f32; 8]| values.map(Constant);
    let (paper, ones) = ([0.01; 8], [0., 1., 0., 1., 1., 1., 1., 0.]);
    let wide = [0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01];
    let narrow = [0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01];
    assert_eq!((inits("alexnet", weight), inits("alexnet", bias)), (normal(wide), constant(ones)));
    assert_eq!((inits("alexnet-paper", weight), inits("alexnet-paper", bias)), (normal(paper), constant(ones)));
    let tenths = ones.map(|one| one * 0.1);
    assert_eq!((inits("alexnet-caffe", weight), inits("alexnet-caffe", bias)), (normal(narrow), constant(tenths)));
    assert_eq!((inits("caffenet", weight), inits("caffenet", bias)), (normal(narrow), constant(ones)));
    let sevens = [0., 1., 0., 1., 1., 1., 1., -7.];
    assert_eq!((inits("alexnet-owt", weight), inits("alexnet-owt", bias)), (normal(wide), constant(sevens)));
    assert_eq!(inits("alexnet-torchvision", weight), [FanInUniform; 8]);
    assert_eq!(inits("alexnet-torchvision", bias), [FanInUniform; 8]);
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let message = build("alexnet-v2", 10).unwrap_err().to_string();
    assert!(message.contains("\"alexnet-v2\"") && message.contains("alexnet-torchvision"), "{message}");
}
