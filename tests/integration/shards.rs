//! From ImageNet's archives to a trained network.

use std::fs;

use alexnet_data::Dataset;
use alexnet_data::prepare::miniature::Miniature;
use alexnet_data::prepare::{PrepareOptions, prepare};

use crate::program::{json, lines, run as run_program, text};

#[test]
fn a_network_is_trained_and_measured_on_shards() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    Miniature { train: 30, val: 10 }.write(&here.join("archives"), 2).unwrap();
    prepare(&PrepareOptions::new(here.join("archives"), here.join("set"), 2), &|_| {}).unwrap();

    let arguments = ["train", "--data", "set", "--epochs", "1", "--batch-size", "10", "--json"];
    let trained = json(here, &arguments).remove(0);
    assert_eq!(trained["steps"], 3);
    let run = trained["run_dir"].as_str().unwrap();
    let metrics = lines(&fs::read_to_string(here.join(run).join("metrics.jsonl")).unwrap());
    let wait = metrics.last().unwrap()["data_wait"].as_f64().unwrap();
    assert!((0.0..1.0).contains(&wait), "{wait}");
    // The data set contains the mean image: none was computed and cached in its folder.
    let hidden = |name: &str| name.starts_with('.');
    let names: Vec<_> = fs::read_dir(here.join("set")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| hidden(&name.to_string_lossy())), "{names:?}");

    let measured = json(here, &["eval", "--weights", run, "--data", "set", "--json"]).remove(0);
    assert_eq!(measured["images"], 10);
    assert_eq!(measured["top1"], trained["val_top1"]);

    // An image in a shard, by the path that messages use.
    let set = Dataset::open(&here.join("set")).unwrap();
    let image = set.val.unwrap().samples[3].location.path();
    let image = image.to_str().unwrap();
    assert!(image.contains(".tar/"), "{image}");
    let predicted = json(here, &["predict", image, "--weights", run, "--json"]).remove(0);
    assert_eq!(predicted["predictions"].as_array().unwrap().len(), 5);
    let other = format!("{image}x");
    let refused = run_program(here, &["predict", &other, "--weights", run]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("it has no image `"), "{}", text(&refused.stderr));
}
