//! Our weights files, loaded with Candle.

use alexnet_model::{Mode, Model, Network, Tape, build};
use alexnet_testing::{assert_close, uniform};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::{Module, VarBuilder};

fn images(n: usize) -> Tensor {
    let values = uniform("travelling", 0, n * 3 * 224 * 224);
    Tensor::from_vec(values, (n, 3, 224, 224), &Device::Cpu).unwrap()
}

/// torchvision's network, written in plain Candle and loaded from our file, has the same logits.
#[test]
fn candle_reads_our_torchvision_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let network = Network::new(build("alexnet-torchvision", 12).unwrap(), 9, &[Device::Cpu]).unwrap();
    let model = Model { network, classes: (0..12).map(|i| i.to_string()).collect(), mean_image: None };
    model.save(&path).unwrap();

    let vb = VarBuilder::from_tensors(
        candle_core::safetensors::load(&path, &Device::Cpu).unwrap(),
        DType::F32,
        &Device::Cpu,
    );
    let conv = |name: &str, sizes: [usize; 5]| {
        let [input, output, kernel_size, stride, padding] = sizes;
        let config = candle_nn::Conv2dConfig { stride, padding, ..Default::default() };
        candle_nn::conv2d(input, output, kernel_size, config, vb.pp(name)).unwrap()
    };
    let linear = |name: &str, input, output| candle_nn::linear(input, output, vb.pp(name)).unwrap();
    let pool = |x: &Tensor| x.max_pool2d_with_stride(3, 2).unwrap();
    let x = images(2);
    let relu = |x: Tensor| x.relu().unwrap();
    let y = pool(&relu(conv("features.0", [3, 64, 11, 4, 2]).forward(&x).unwrap()));
    let y = pool(&relu(conv("features.3", [64, 192, 5, 1, 2]).forward(&y).unwrap()));
    let y = relu(conv("features.6", [192, 384, 3, 1, 1]).forward(&y).unwrap());
    let y = relu(conv("features.8", [384, 256, 3, 1, 1]).forward(&y).unwrap());
    let y = pool(&relu(conv("features.10", [256, 256, 3, 1, 1]).forward(&y).unwrap()));
    let y = y.flatten_from(1).unwrap();
    let y = relu(linear("classifier.1", 9216, 4096).forward(&y).unwrap());
    let y = relu(linear("classifier.4", 4096, 4096).forward(&y).unwrap());
    let expected = linear("classifier.6", 4096, 12).forward(&y).unwrap();

    let found = model.network.forward(&x, Mode::Test, &mut Tape::new()).unwrap();
    let values = |t: &Tensor| -> Vec<f32> { t.flatten_all().unwrap().to_vec1().unwrap() };
    assert!(expected.var(D::Minus1).unwrap().min_all().unwrap().to_scalar::<f32>().unwrap() > 0.0);
    assert_close("logits", &values(&found), &values(&expected), 1e-4);
}
