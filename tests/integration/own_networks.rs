//! Networks other than the built-in variants, from a list of layers to a prediction.

use std::fs;

use crate::program::{json, pictures, run, stdout, text};

#[test]
fn a_network_of_ones_own_is_trained_and_used_without_its_list() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    pictures(&here.join("photos"), 20);
    let list = stdout(here, &["info", "--arch", "alexnet-torchvision", "--classes", "10", "--format", "toml"]);
    let small = list.replace("out_features = 4096", "out_features = 8").replace("alexnet-torchvision", "small");
    fs::write(here.join("net.toml"), &small).unwrap();
    let train =
        ["train", "--data", "photos", "--arch-file", "net.toml", "--epochs", "1", "--batch-size", "10", "--json"];
    let trained = &json(here, &train)[0];
    assert_eq!((&trained["arch"], &trained["run_dir"]), (&"small".into(), &"runs/small-photos".into()));

    // The list is in the model and in the configuration.
    fs::remove_file(here.join("net.toml")).unwrap();
    let weights = "runs/small-photos";
    assert_eq!(stdout(here, &["info", "--weights", weights, "--format", "toml"]), small);
    let measured = &json(here, &["eval", "--weights", weights, "--data", "photos", "--json"])[0];
    assert_eq!(measured["top1"], trained["val_top1"]);
    let image = fs::read_dir(here.join("photos/val/star")).unwrap().next().unwrap().unwrap().path();
    assert!(stdout(here, &["predict", image.to_str().unwrap(), "--weights", weights]).contains('%'));
    let again = &json(here, &["train", "--config", "runs/small-photos/config.toml", "--json"])[0];
    assert_eq!(again["val_loss"], trained["val_loss"], "the same configuration, the same numbers");
    let resumed = ["train", "--resume", weights, "--json"];
    assert_eq!(json(here, &resumed)[0]["val_loss"], trained["val_loss"]);

    // Another run can start from its weights, but not with a network of another shape.
    fs::write(here.join("net.toml"), &small).unwrap();
    let tune =
        ["train", "--data", "photos", "--epochs", "1", "--weights", weights, "--arch-file", "net.toml", "--json"];
    assert_eq!(json(here, &tune)[0]["arch"], "small");
    fs::write(here.join("net.toml"), small.replace("out_features = 8", "out_features = 9")).unwrap();
    let refused = run(here, &tune);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("classifier.1.weight has shape [8, 9216], expected"), "{said}");
}

#[test]
fn lists_that_are_no_network_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    pictures(&here.join("photos"), 10);
    let list = stdout(here, &["info", "--arch", "alexnet-torchvision", "--classes", "10", "--format", "toml"]);
    for (old, new, said) in [
        ("stride = 4", "stide = 4", "unknown field `stide`"),
        ("out_channels = 64", "out_channels = 1000000000", "out_channels must be from 1 to 1048576, but is 1000000000"),
        ("out_features = 10\n", "out_features = 11\n", "set `out_features` of its last layer to that"),
        ("\nsize = 224", "\nsize = 192", "the network's input is [3, 224, 224]"),
    ] {
        assert!(list.contains(old), "{old} is not in\n{list}");
        fs::write(here.join("net.toml"), list.replacen(old, new, 1)).unwrap();
        let refused = run(here, &["train", "--data", "photos", "--arch-file", "net.toml", "--output", "run"]);
        let message = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{message}");
        assert!(message.contains(said) && !message.contains("panicked"), "{message}");
        assert!(!here.join("run").exists());
    }
}
