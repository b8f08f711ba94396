use super::*;
use crate::layers::{Add, Concat, Conv2d, Flatten, Input, Linear, MaxPool2d};
use crate::variants::VARIANTS;
use alexnet_kernels::Pool2dParams;
use alexnet_kernels::activation::Activation;
use alexnet_kernels::conv2d::Padding;

fn from_json(text: &str) -> std::result::Result<Specification, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

fn from_toml(text: &str) -> std::result::Result<Specification, String> {
    toml::from_str(text).map_err(|e| e.to_string())
}

fn heads() -> Vec<Layer> {
    let mut conv = Conv2d::new(4, 3, 0.1, 0.0).groups(1).stride(2);
    (conv.padding, conv.bias) = (Padding::symmetric(1).with_extra(1), None);
    vec![
        Layer::new("data", Input { channels: 3, size: [8, 8] }),
        Layer::new("conv", conv).with(Activation::Softplus).on(1),
        Layer::new("twice", Add).reads(["conv", "conv"]),
        Layer::new("flat", Flatten),
        Layer::new("aside", Linear::new(2, 0.1, 0.5).pytorch_init()),
        Layer::new("logits", Linear::new(2, 0.1, -0.1)).reads(["flat"]),
    ]
}

/// All possible contents of a list are restored exactly.
#[test]
fn lists_travel_as_toml_and_json() {
    let heads = Specification::new("heads", InputSpec::TORCHVISION, heads()).unwrap();
    let all = VARIANTS.iter().map(|variant| (variant.build)(10).unwrap());
    for spec in all.chain([heads.with_outputs(&[("aside", 0.3)]).unwrap()]) {
        let (json, toml) = (serde_json::to_string(&spec).unwrap(), toml::to_string(&spec).unwrap());
        assert_eq!(from_json(&json).unwrap(), spec, "{json}");
        assert_eq!(from_toml(&toml).unwrap(), spec, "{toml}");
    }
}

const WRITTEN: &str = r#"
arch = "small"

[input_spec]
size = 8
source_size = 8
preparation = "torchvision"
channel_order = "rgb"
pixel_range = "unit"
mean = { channels = [0.5, 0.5, 0.5] }
std = [0.5, 0.5, 0.5]

[[layers]]
name = "data"
kind = "input"
channels = 3
size = [8, 8]

[[layers]]
name = "conv"
kind = "conv2d"
out_channels = 4
kernel_size = [3, 3]
padding = 1
weight = { normal = { std = 0.01 } }
bias = { constant = 1 }
activation = "relu"

[[layers]]
name = "pool"
kind = "max_pool2d"
kernel_size = 2
stride = 2

[[layers]]
name = "flat"
kind = "flatten"

[[layers]]
name = "fc"
kind = "linear"
out_features = 2
weight = "fan_in_uniform"
"#;

#[test]
fn a_list_may_be_written_by_hand() {
    let layers = vec![
        Layer::new("data", Input { channels: 3, size: [8, 8] }),
        Layer::new("conv", Conv2d::new(4, 3, 0.01, 1.0).padding(1)).with(Activation::Relu),
        Layer::new("pool", MaxPool2d(Pool2dParams::new(2, 2))),
        Layer::new("flat", Flatten),
        Layer::new("fc", Linear { out_features: 2, weight: Init::FanInUniform, bias: None }),
    ];
    let spec = from_toml(WRITTEN).unwrap();
    assert_eq!(spec.layers(), layers);
    assert_eq!((spec.arch(), spec.classes(), spec.parameter_count()), ("small", 2, 4 * 27 + 4 + 2 * 64));
}

#[test]
fn what_a_list_may_not_say_is_named() {
    for (old, new, said) in [
        ("stride = 2", "stide = 2", "unknown field `stide`"),
        ("padding = 1", "padding = 1\ndilation = 2", "unknown field `dilation`"),
        ("padding = 1", "padding = { top = 1 }", "padding is one number, or top, bottom, left and right"),
        ("kind = \"flatten\"", "kind = \"flaten\"", "unknown variant `flaten`"),
        ("activation = \"relu\"", "activation = \"swish\"", "unknown variant `swish`, expected one of `relu`, `tanh`"),
        ("kernel_size = 2", "kernel_size = -2", "-2"),
        ("[[layers]]\nname = \"fc\"", "[[layer]]\nname = \"fc\"", "unknown field `layer`"),
        (
            "source_size = 8",
            "source_size = 7",
            "size must be from 1 to source_size, and source_size at most 16384, but they are 8 and 7",
        ),
        ("size = 8\nsource", "size = 0\nsource", "but they are 0 and 8"),
        ("std = [0.5, 0.5, 0.5]", "std = [0.5, 0.0, 0.5]", "std must be above 0"),
        ("mean = { channels = [0.5, 0.5, 0.5] }", "mean = { channels = [nan, 0.5, 0.5] }", "the mean is [NaN"),
    ] {
        assert!(WRITTEN.contains(old), "{old}");
        let message = from_toml(&WRITTEN.replacen(old, new, 1)).unwrap_err();
        assert!(message.contains(said), "{new}: {message}");
    }
}

/// Values beyond the limits are rejected with a message, without allocating the memory they imply.
#[test]
fn hostile_numbers_are_refused() {
    let most = usize::MAX.to_string();
    let i64_most = i64::MAX.to_string();
    for (old, new, said) in [
        ("channels = 3", "channels = 1000000000".to_owned(), "channels must be from 1 to 1048576, but is 1000000000"),
        ("channels = 3", "channels = 0".into(), "channels must be from 1"),
        ("size = [8, 8]", "size = [1000000, 1000000]".into(), "at most 2147483648 values for an image"),
        ("out_channels = 4", format!("out_channels = {i64_most}"), "out_channels must be from 1 to"),
        ("out_channels = 4", "out_channels = 0".into(), "out_channels must be from 1 to"),
        ("padding = 1", format!("padding = {i64_most}"), "padding must be from 0 to"),
        ("padding = 1", "padding = 1000000".into(), "at most 2147483648 values for an image"),
        ("kernel_size = [3, 3]", format!("kernel_size = [{i64_most}, 3]"), "kernel_size must be from 1 to"),
        ("kernel_size = [3, 3]", "kernel_size = [0, 3]".into(), "kernel_size must be from 1 to"),
        ("stride = 2", "stride = 0".into(), "stride must be from 1 to"),
        ("kernel_size = 2", format!("kernel_size = {i64_most}"), "kernel_size must be from 1 to"),
        ("stride = 2", format!("stride = 2\npadding = {i64_most}"), "padding must be at most half"),
        ("out_features = 2", "out_features = 0".into(), "out_features must be at least 1"),
        ("out_features = 2", format!("out_features = {i64_most}"), "at most 2147483648 values for an image"),
        // 64 inputs each: 512 GB of weights.
        (
            "out_features = 2",
            "out_features = 2000000000".into(),
            "at most 68719476736 parameters, but up to here it has",
        ),
        ("kind = \"flatten\"", "kind = \"flatten\"\ndevice = 1000000000".into(), "device is at most 255"),
        (
            "kind = \"max_pool2d\"",
            "kind = \"dropout\"\nprobability = 1.0\nscaling = \"at_test\"".into(),
            "unknown field",
        ),
        ("name = \"pool\"", "name = \"pool\"\ninputs = [\"fc\"]".into(), "its input \"fc\" is not an earlier layer"),
        (
            "name = \"pool\"",
            "name = \"pool\"\ninputs = [\"pool\"]".into(),
            "its input \"pool\" is not an earlier layer",
        ),
        ("name = \"fc\"", "name = \"velocity.a\"".into(), "a parameter is velocity.a.weight"),
    ] {
        assert!(WRITTEN.contains(old), "{old}");
        let message = from_toml(&WRITTEN.replacen(old, &new, 1)).unwrap_err();
        assert!(message.contains(said), "{new}: {message}");
    }
    // Larger than TOML can represent.
    let json = serde_json::to_string(&from_toml(WRITTEN).unwrap()).unwrap();
    for (old, said) in [("\"stride\":2", "stride must be"), ("\"out_channels\":4", "out_channels must be")] {
        let key = old.split(':').next().unwrap();
        let message = from_json(&json.replacen(old, &format!("{key}:{most}"), 1)).unwrap_err();
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn hostile_lists_are_refused() {
    // Ten times the maximum number of layers: parsing stops at the first one beyond the limit.
    let layer = r#"{"name":"a","kind":"flatten"},"#;
    let json = serde_json::to_string(&from_toml(WRITTEN).unwrap()).unwrap();
    let many = json.replacen("\"layers\":[", &format!("\"layers\":[{}", layer.repeat(100_000)), 1);
    assert!(from_json(&many).unwrap_err().contains("at most 10000 layers"));
    let many = vec![Layer::new("data", Input { channels: 1, size: [1, 1] }); 10_001];
    let message = Specification::new("many", InputSpec::TORCHVISION, many).unwrap_err().to_string();
    assert!(message.contains("at most 10000 layers"), "{message}");
    // Each layer reads the previous one twice, so the number of channels doubles with each layer.
    let mut layers = vec![Layer::new("l0", Input { channels: 1 << 20, size: [1, 1] })];
    for i in 1..64 {
        let before = format!("l{}", i - 1);
        layers.push(Layer::new(format!("l{i}"), Concat).reads([&before, &before]));
    }
    let message = Specification::new("doubling", InputSpec::TORCHVISION, layers).unwrap_err().to_string();
    assert!(message.contains("layer \"l12\": a layer outputs at most 2147483648 values"), "{message}");
    // Nested deeper than the parsers allow.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(from_json(&json.replacen("\"bias\":", &format!("\"bias\":{deep},\"x\":"), 1)).is_err());
    // The maximum number of layers is accepted, without a delay.
    let mut layers = vec![Layer::new("data", Input { channels: 1, size: [1, 1] }), Layer::new("flat", Flatten)];
    layers.extend((2..10_000).map(|i| Layer::new(format!("fc{i}"), Linear::new(1, 0.1, 0.0))));
    let spec = Specification::new("deep", InputSpec::TORCHVISION, layers).unwrap();
    assert_eq!((spec.parameter_count(), spec.macs()), (2 * 9_998, 9_998));
}
