//! A run that starts from the weights of another run.

use std::fs;
use std::path::Path;

use alexnet_model::{Model, Network};
use alexnet_testing::{assert_close, assert_same_bits};
use candle_core::Device;

use crate::program::{pictures, stdout};
use crate::resume::{assert_same_result, kill, start, wait_for};

fn model(run: &Path) -> Model {
    Model::load(&run.join("model-last.safetensors"), None, &Device::Cpu).unwrap()
}

fn values(network: &Network, name: &str) -> Vec<f32> {
    network.parameter(name).unwrap().var.flatten_all().unwrap().to_vec1().unwrap()
}

/// The mean image is that of the weights, not of the data set; frozen layers stay bit-identical, others learn; the last
/// layer is new, for other classes; and a killed run resumes without the weights file.
#[test]
fn a_run_starts_from_another() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    pictures(&here.join("photos"), 20);
    let first = ["train", "--data", "photos", "--arch", "alexnet-paper", "--epochs", "1", "--batch-size", "20"];
    stdout(here, &[&first[..], &["--output", "first"]].concat());
    for split in ["train", "val"] {
        for class in ["star", "ring", "cross"] {
            let to = here.join("few").join(split).join(class);
            fs::create_dir_all(&to).unwrap();
            for (index, image) in fs::read_dir(here.join("photos").join(split).join("star")).unwrap().enumerate() {
                fs::copy(image.unwrap().path(), to.join(format!("{index}.png"))).unwrap();
            }
        }
    }
    let tune = ["train", "--data", "few", "--weights", "start", "--freeze", "5", "--epochs", "2", "--batch-size", "2"];
    let tune = [&tune[..], &["--checkpoint-steps", "2", "--output"]].concat();
    fs::rename(here.join("first/model.safetensors"), here.join("start")).unwrap();
    let said = stdout(here, &[&tune[..], &["whole"]].concat());
    for part in [
        "pretrained weights: start, 10 classes: fc8 is initialized again",
        "frozen: conv1, conv2, conv3, conv4, conv5\n",
    ] {
        assert!(said.contains(part), "{said}");
    }

    let (first, tuned) = (Model::load(&here.join("start"), None, &Device::Cpu).unwrap(), model(&here.join("whole")));
    assert_eq!(tuned.classes, ["cross", "ring", "star"]);
    assert_same_bits("mean image", &tuned.mean_image.unwrap(), &first.mean_image.unwrap());
    for parameter in first.network.parameters() {
        let name = &parameter.spec.name;
        let (before, after) = (values(&first.network, name), values(&tuned.network, name));
        match name.split_once('.').unwrap().0 {
            "fc8" => assert_eq!((before.len() / 10, before.len() % 10), (after.len() / 3, 0)),
            "fc6" | "fc7" => assert!(before != after, "{name} learns"),
            _ => assert_same_bits(name, &after, &before),
        }
    }

    let checkpoint = here.join("killed/checkpoint.safetensors");
    let mut child = start(here, &[&tune[..], &["killed"]].concat());
    wait_for(&mut child, "a checkpoint", || checkpoint.exists());
    kill(child);
    fs::remove_file(here.join("start")).unwrap();
    stdout(here, &["train", "--resume", "killed", "--weights", "start", "--freeze", "5"]);
    assert_same_result(&here.join("whole"), &here.join("killed"));

    // The same classes: no layer is initialized again. With a tiny learning rate, the last layer stays the same.
    let more = ["train", "--data", "few", "--weights", "whole", "--epochs", "1", "--learning-rate", "1e-12"];
    let said = stdout(here, &[&more[..], &["--output", "again"]].concat());
    assert!(
        said.contains("pretrained weights: whole/model.safetensors, the same classes: all layers are kept"),
        "{said}"
    );
    let best = Model::load(&here.join("whole/model.safetensors"), None, &Device::Cpu).unwrap();
    let weight = |model: &Model| values(&model.network, "fc8.weight");
    assert_close("fc8.weight", &weight(&model(&here.join("again"))), &weight(&best), 1e-6);
}
