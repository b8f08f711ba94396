//! A classifier against the plain steps: load, forward, softmax, mean.

#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alexnet::{Classifier, Device, EvaluateOptions, EvaluationEvent, Location, Model, Network, Options, Views};
use alexnet_data::shapes::{self, ShapesConfig};
use alexnet_kernels::activation::Activation::Relu;
use alexnet_model::{
    BatchNorm2d, ChannelOrder, Conv2d, GlobalAvgPool2d, Input, InputSpec, Layer, Linear, Mean, Mode, PixelRange,
    Preparation, Specification, Tape,
};
use alexnet_testing::assert_close;
use alexnet_train::{model_pipeline, probabilities};
use candle_core::Tensor;

const SPEC: InputSpec = InputSpec {
    size: 24,
    source_size: 28,
    preparation: Preparation::Torchvision,
    channel_order: ChannelOrder::Rgb,
    pixel_range: PixelRange::Unit,
    mean: Mean::Channels([0.5; 3]),
    std: [0.25; 3],
};

fn model(seed: u64, classes: usize) -> Model {
    let layers = vec![
        Layer::new("data", Input { channels: 3, size: [24; 2] }),
        Layer::new("conv", Conv2d::new(8, 3, 0.3, 0.0)),
        Layer::new("norm", BatchNorm2d::default()).with(Relu),
        Layer::new("means", GlobalAvgPool2d),
        Layer::new("logits", Linear::new(classes, 2.0, 0.0)),
    ];
    let spec = Specification::new("small", SPEC, layers).unwrap();
    let network = Network::new(spec, seed, &[Device::Cpu]).unwrap();
    Model { network, classes: (0..classes).map(|class| format!("class number {class}")).collect(), mean_image: None }
}

/// A folder with a drawn data set of ten classes and two models, and its validation images.
fn folder() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    shapes::prepare(
        &folder.path().join("shapes"),
        &ShapesConfig { train: 10, val: 20, ..Default::default() },
        2,
        &|_, _| {},
    )
    .unwrap();
    for seed in [1, 2] {
        model(seed, 10).save(&folder.path().join(format!("{seed}.safetensors"))).unwrap();
    }
    let samples = alexnet_data::Dataset::open(&folder.path().join("shapes")).unwrap().val.unwrap().samples;
    (folder, samples.iter().map(|sample| sample.location.path()).collect())
}

/// The mean of the models' probabilities, each the mean over the views.
fn plain(seeds: &[u64], image: &Path, views: Views) -> Vec<f32> {
    let mut mean = vec![0.0; 10];
    for &seed in seeds {
        let model = model(seed, 10);
        let pixels = model_pipeline(&model).unwrap().load(image, views).unwrap();
        let images = Tensor::from_vec(pixels, (views.count(), 3, 24, 24), &Device::Cpu).unwrap();
        let logits = model.network.forward(&images, Mode::Test, &mut Tape::new()).unwrap();
        let own = probabilities(&logits, views.count()).unwrap();
        mean.iter_mut().zip(&own[0]).for_each(|(mean, own)| *mean += own / seeds.len() as f32);
    }
    mean
}

fn locations(images: &[PathBuf]) -> Vec<Location> {
    images.iter().map(|image| Location::from(image.as_path())).collect()
}

#[test]
fn predictions_are_those_of_the_plain_steps() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    let (folder, images) = folder();
    let paths = [1, 2].map(|seed| folder.path().join(format!("{seed}.safetensors")));
    for views in [Views::Center, Views::Ten] {
        let options = Options { views, ..Options::default() };
        for (seeds, classifier) in [
            (&[1][..], Classifier::open_with(&paths[0], &options).unwrap()),
            (&[1, 2], Classifier::open_all(&paths, &options).unwrap()),
            (&[2], Classifier::from_model(model(2, 10), &options).unwrap()),
        ] {
            shared(&classifier);
            let all = classifier.probabilities(&locations(&images));
            assert_eq!(all.len(), 20);
            for (found, image) in all.iter().zip(&images) {
                assert_close("probabilities", found.as_ref().unwrap(), &plain(seeds, image, views), 1e-5);
            }
            let guesses = classifier.classify(&images[3], 3).unwrap();
            let mut sorted = all[3].as_ref().unwrap().clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            assert_eq!(guesses.iter().map(|guess| guess.label.clone()).collect::<Vec<_>>(), {
                guesses.iter().map(|guess| format!("class number {}", guess.class)).collect::<Vec<_>>()
            });
            // One image takes another way through the kernels than a batch.
            let probabilities: Vec<f32> = guesses.iter().map(|guess| guess.probability).collect();
            assert_close("most probable first", &probabilities, &sorted[..3], 1e-5);
        }
    }
}

#[test]
fn threads_share_a_classifier() {
    let (folder, images) = folder();
    let classifier = Classifier::open(folder.path().join("1.safetensors")).unwrap();
    let expected = classifier.classify(&images[0], 10).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| assert_eq!(classifier.classify(&images[0], 10).unwrap(), expected)));
        }
    });
}

#[test]
fn images_in_memory_and_damaged_ones_among_others() {
    let (folder, images) = folder();
    let classifier = Classifier::open_all(
        &[1, 2].map(|seed| folder.path().join(format!("{seed}.safetensors"))),
        &Options::default(),
    );
    let classifier = classifier.unwrap();
    let memory = |bytes: Vec<u8>, name: &str| Location::Memory { name: name.into(), bytes: bytes.into() };
    let whole = fs::read(&images[0]).unwrap();
    let mut all = locations(&images[..2]);
    all.insert(1, memory(whole[..whole.len() / 2].to_vec(), "upload 7"));
    all.push(memory(whole, "upload 8"));
    let found = classifier.classify_all(&all, 2);
    let error = found[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("upload 7"), "{error}");
    assert_eq!(found[0].as_ref().unwrap(), found[3].as_ref().unwrap());
    assert_eq!(found[2].as_ref().unwrap().len(), 2);
    let missing = classifier.classify(folder.path().join("none.jpg"), 1).unwrap_err().to_string();
    assert!(missing.contains("none.jpg"), "{missing}");
}

#[test]
fn features_are_of_one_network() {
    let (folder, images) = folder();
    let paths = [1, 2].map(|seed| folder.path().join(format!("{seed}.safetensors")));
    let one = Classifier::open(&paths[0]).unwrap();
    assert_eq!(one.features(&locations(&images[..3]), "norm").unwrap().dims(), [3, 8, 22, 22]);
    assert!(one.features(&locations(&images[..1]), "fc9").unwrap_err().to_string().contains("\"fc9\""));
    let two = Classifier::open_all(&paths, &Options::default()).unwrap();
    assert!(two.features(&locations(&images[..1]), "norm").unwrap_err().to_string().contains("open one model"));
}

#[test]
fn wrong_models_are_refused() {
    let (folder, _) = folder();
    let other = folder.path().join("other.safetensors");
    model(3, 4).save(&other).unwrap();
    let first = folder.path().join("1.safetensors");
    let message = Classifier::open_all(&[&first, &other], &Options::default()).unwrap_err().to_string();
    assert!(
        message.contains("other.safetensors has 4 classes") && message.contains("1.safetensors has 10"),
        "{message}"
    );
    let none: [&Path; 0] = [];
    assert!(Classifier::open_all(&none, &Options::default()).unwrap_err().to_string().contains("at least one model"));
    let options = Options { arch: Some("caffenet".into()), ..Options::default() };
    let message = Classifier::open_all(&[&first, &first], &options).unwrap_err().to_string();
    assert!(message.contains("none of the model files has weights of caffenet"), "{message}");
    let message = Classifier::open(&other).unwrap().validation_images(&folder.path().join("shapes")).unwrap_err();
    assert!(message.to_string().contains("4 classes"), "{message}");
}

#[test]
fn evaluation_counts_every_member_and_all_together() {
    let (folder, images) = folder();
    let paths = [1, 2].map(|seed| folder.path().join(format!("{seed}.safetensors")));
    let classifier = Classifier::from_model(model(1, 10), &Options::default()).unwrap();
    // The classes of this model are not those of the folder; the samples are.
    assert!(classifier.validation_images(&folder.path().join("shapes")).is_err());
    let samples = alexnet_data::Dataset::open(&folder.path().join("shapes")).unwrap().val.unwrap().samples;
    let samples: Arc<[_]> = samples.into();
    let two = Classifier::open_all(&paths, &Options::default()).unwrap();
    let mut members = Vec::new();
    let report = two.evaluate(&samples, EvaluateOptions::default(), &mut |event| {
        if let EvaluationEvent::Member { member, evaluation } = event {
            members.push((member, evaluation.metrics));
        }
        ControlFlow::Continue(())
    });
    let report = report.unwrap().unwrap();
    assert_eq!(members.len(), 2);
    assert_eq!(report.members.iter().map(|found| found.metrics).collect::<Vec<_>>(), [members[0].1, members[1].1]);
    let right = samples.iter().zip(&images).filter(|(sample, image)| {
        let mean = plain(&[1, 2], image, Views::Center);
        let best = (0..10).max_by(|&a, &b| mean[a].total_cmp(&mean[b])).unwrap();
        best == sample.label as usize
    });
    assert!((report.together.top1() - right.count() as f64 / 20.0).abs() < 1e-9);
    let stopped = two.evaluate(&samples, EvaluateOptions::default(), &mut |_| ControlFlow::Break(())).unwrap();
    assert!(stopped.is_none());
}
