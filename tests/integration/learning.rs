//! Networks learn, which gradient checks alone do not show.

use alexnet_data::shapes::{self, ShapesConfig};
use alexnet_data::{Dataset, Sample};
use alexnet_kernels::softmax_cross_entropy;
use alexnet_model::{Mode, Network, Tape, build};
use alexnet_train::{Rates, RunData, Solver, TrainConfig};
use candle_core::{DType, Device, Tensor};

/// Overfits ten images, one of each class, with the recipe of 2012: dropout in training, none in testing.
#[test]
fn ten_pictures_are_learnt_by_heart() {
    let folder = tempfile::tempdir().unwrap();
    let config = ShapesConfig { seed: 1, train: 10, val: 10, size: 256 };
    shapes::prepare(folder.path(), &config, 2, &|_, _| {}).unwrap();
    let mut config = TrainConfig::recipe("alexnet", folder.path().into());
    // Batches of ten are noisier than batches of 128.
    config.solver.learning_rate = 0.002;
    (config.data.random_crop, config.data.flip, config.data.color_noise) = (false, false, 0.0);
    let spec = build("alexnet", 10).unwrap();
    let data = RunData::open(&config.data, spec.input_spec(), None, 2, &|_, _| {}).unwrap();
    let load = |sample: &Sample| data.pipeline.load(&sample.location.path(), alexnet_data::Views::Center).unwrap();
    let images: Vec<f32> = data.train.iter().flat_map(load).collect();
    let images = Tensor::from_vec(images, (10, 3, 224, 224), &Device::Cpu).unwrap();
    let labels: Vec<u32> = data.train.iter().map(|sample| sample.label).collect();
    let labels = Tensor::from_vec(labels, 10, &Device::Cpu).unwrap();

    let network = Network::new(spec, 0, &[Device::Cpu]).unwrap();
    let solver = Solver::new(&config.solver, &network).unwrap();
    let (mut tape, rates) = (Tape::new(), Rates { weight: 1.0, bias: 1.0 });
    let losses = Tensor::zeros(10, DType::F32, &Device::Cpu).unwrap();
    let mut loss = |mode: Mode, backward: bool| -> f32 {
        let logits = network.forward(&images, mode, &mut tape).unwrap();
        let grad = logits.zeros_like().unwrap();
        softmax_cross_entropy::forward_into(&logits, &labels, &losses, Some(&grad)).unwrap();
        if backward {
            let update = |index, gradient: &Tensor| Ok(solver.update(&network, index, gradient, rates)?);
            network.backward(&mut tape, &grad, update).unwrap();
        }
        losses.mean_all().unwrap().to_scalar().unwrap()
    };
    let before = loss(Mode::Test, false);
    assert!((before - 10f32.ln()).abs() < 0.5, "before training the loss is {before}, expected about ln 10");
    let mut after = before;
    for step in 0..160 {
        loss(Mode::train(3, step), true);
        if step % 10 == 9 {
            after = loss(Mode::Test, false);
            if after < 0.1 {
                break;
            }
        }
    }
    // A mean below 0.1 is a sum below 1, so each label has a probability above exp(−1), 0.36.
    assert!(after < 0.1, "the loss was {before} and is still {after}");
}

/// The data set that `train` generates without `--data` has the documented size.
#[test]
fn the_built_in_set_has_its_sizes() {
    let config = ShapesConfig::default();
    assert_eq!((config.train, config.val, config.size), (2000, 500, 256));
    let folder = tempfile::tempdir().unwrap();
    shapes::prepare(folder.path(), &ShapesConfig { train: 20, val: 10, ..config }, 2, &|_, _| {}).unwrap();
    let set = Dataset::open(folder.path()).unwrap();
    assert_eq!((set.train.classes.len(), set.train.samples.len(), set.val.unwrap().samples.len()), (10, 20, 10));
    let first = image_start(&set.train.samples[0].location.path());
    assert_eq!(first, [0xff, 0xd8, 0xff], "JPEG");
}

fn image_start(path: &std::path::Path) -> [u8; 3] {
    let bytes = std::fs::read(path).unwrap();
    [bytes[0], bytes[1], bytes[2]]
}
