//! `train`, `eval`, `predict` and `info`, from a folder of images to a prediction.

use std::fs;

use serde_json::Value;

use crate::program::{json, lines, pictures, run, stdout, text};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn fraction(value: &Value) -> f64 {
    let value = value.as_f64().expect("a number");
    assert!((0.0..=1.0).contains(&value), "{value}");
    value
}

#[test]
fn a_network_is_trained_measured_used_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    pictures(&here.join("photos"), 40);

    let arguments = ["train", "--data", "photos", "--epochs", "2", "--batch-size", "16", "--json", "--threads", "2"];
    let trained = json(here, &arguments);
    assert_eq!(trained.len(), 1, "one line of JSON and nothing else");
    let expected = [
        "arch",
        "checkpoint",
        "epochs",
        "images_per_second",
        "run_dir",
        "seconds",
        "steps",
        "train_loss",
        "val_loss",
        "val_top1",
        "val_top5",
    ];
    let mut found = keys(&trained[0]);
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(
        (&trained[0]["arch"], &trained[0]["epochs"], &trained[0]["steps"]),
        (&"alexnet".into(), &2.into(), &6.into())
    );
    let run_dir = here.join("runs/alexnet-photos");
    assert_eq!(trained[0]["run_dir"], "runs/alexnet-photos");
    assert_eq!(trained[0]["checkpoint"], "runs/alexnet-photos/model.safetensors");

    // The files of a run.
    let metrics = lines(&fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap());
    assert_eq!(metrics.iter().filter(|line| line["kind"] == "epoch").count(), 2);
    for file in ["config.toml", "plot.svg", "checkpoint.safetensors", "model.safetensors", "model-last.safetensors"] {
        assert!(run_dir.join(file).is_file(), "{file}");
    }
    // Its configuration can be run again, with a new output folder.
    let again = json(here, &["train", "--config", "runs/alexnet-photos/config.toml", "--json"]);
    assert_eq!(again[0]["run_dir"], "runs/alexnet-photos-2");
    assert_eq!(again[0]["val_loss"], trained[0]["val_loss"], "the same configuration, the same numbers");

    // The best model has the score that training reported.
    let weights = "runs/alexnet-photos";
    let one = &json(here, &["eval", "--weights", weights, "--data", "photos", "--json"])[0];
    let mut found = keys(one);
    found.sort_unstable();
    assert_eq!(found, ["arch", "images", "images_per_second", "loss", "top1", "top5", "views"]);
    assert_eq!((&one["images"], &one["views"]), (&10.into(), &1.into()));
    assert_eq!(one["top1"], trained[0]["val_top1"]);
    assert!((one["loss"].as_f64().unwrap() / trained[0]["val_loss"].as_f64().unwrap() - 1.0).abs() < 1e-6);
    let ten = &json(here, &["eval", "--weights", weights, "--data", "photos", "--views", "10", "--json"])[0];
    assert_eq!(ten["views"], 10);
    fraction(&ten["top5"]);

    // An ensemble of a model with itself scores the same as the model; another member changes the mean.
    let both = ["eval", "--weights", weights, "--weights", weights, "--data", "photos", "--json"];
    let both = &json(here, &both)[0];
    assert_eq!((&both["top1"], &both["top5"], &both["images"]), (&one["top1"], &one["top5"], &one["images"]));
    assert!((both["loss"].as_f64().unwrap() / one["loss"].as_f64().unwrap() - 1.0).abs() < 1e-5);
    assert_eq!(both["members"].as_array().unwrap().len(), 2);
    assert_eq!((&both["members"][1]["weights"], &both["members"][1]["top1"]), (&weights.into(), &one["top1"]));
    let other = ["train", "--data", "photos", "--arch", "caffenet", "--epochs", "1", "--output", "other"];
    stdout(here, &other);
    let said = stdout(here, &["eval", "--weights", weights, "--weights", "other", "--data", "photos"]);
    let said: Vec<&str> = said.lines().collect();
    let starts = ["runs/alexnet-photos (alexnet) on 10", "other (caffenet) on 10", "ensemble of 2 on 10"];
    assert!(said.len() == 3 && said.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{said:?}");

    // Predictions: a file that is not an image, and a good one.
    fs::write(here.join("bad.jpg"), "not a picture").unwrap();
    let good = "photos/val/ring/";
    let name = fs::read_dir(here.join(good)).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let good = format!("{good}{name}");
    let output = run(here, &["predict", "bad.jpg", &good, "--weights", weights, "--top", "3", "--json"]);
    assert_eq!(output.status.code(), Some(1), "one of them failed");
    let predicted = lines(&text(&output.stdout));
    assert_eq!((&predicted[0]["image"], &predicted[1]["image"]), (&"bad.jpg".into(), &good.as_str().into()));
    assert!(predicted[0]["error"].as_str().unwrap().contains("bad.jpg"), "{}", predicted[0]);
    let guesses = predicted[1]["predictions"].as_array().unwrap();
    assert_eq!(guesses.len(), 3);
    let probabilities: Vec<f64> = guesses.iter().map(|guess| fraction(&guess["probability"])).collect();
    assert!(probabilities.is_sorted_by(|a, b| a >= b) && probabilities.iter().sum::<f64>() <= 1.0 + 1e-6);
    assert!(guesses.iter().all(|guess| guess["class"].is_u64() && guess["label"].is_string()));
    let all = |weights: &[&str]| -> Vec<(u64, f64)> {
        let weights: Vec<&str> = weights.iter().flat_map(|weights| ["--weights", weights]).collect();
        let arguments = [&["predict", &good, "--top", "10", "--json"][..], &weights].concat();
        let guesses = lines(&stdout(here, &arguments))[0]["predictions"].as_array().unwrap().clone();
        let mut all: Vec<_> =
            guesses.iter().map(|g| (g["class"].as_u64().unwrap(), fraction(&g["probability"]))).collect();
        all.sort_by_key(|(class, _)| *class);
        all
    };
    let (a, b) = (all(&[weights]), all(&["other"]));
    for (index, (class, mean)) in all(&[weights, "other"]).into_iter().enumerate() {
        assert_eq!((a[index].0, b[index].0), (class, class));
        assert!((mean - (a[index].1 + b[index].1) / 2.0).abs() < 1e-6, "class {class}: {mean}");
    }
    let narrow = stdout(here, &["predict", &good, "--weights", weights, "--top", "3", "--json", "--precision", "bf16"]);
    let narrow: Vec<f64> =
        lines(&narrow)[0]["predictions"].as_array().unwrap().iter().map(|g| fraction(&g["probability"])).collect();
    assert!(
        probabilities.iter().zip(&narrow).all(|(a, b)| (a - b).abs() < 0.02),
        "{probabilities:?}, in bf16 {narrow:?}"
    );
    assert_ne!(probabilities, narrow, "the weights are rounded");
    let said = stdout(here, &["predict", &good, "--weights", weights]);
    assert!(said.starts_with(&good) && said.lines().count() == 6, "{said}");

    let shown = &json(here, &["info", "--weights", weights, "--json"])[0];
    assert_eq!((&shown["arch"], &shown["classes"][2]), (&"alexnet".into(), &"crescent".into()));
}

#[test]
fn a_person_is_told_the_result_the_place_and_what_to_try() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("photos"), 10);
    let arguments = ["train", "--data", "photos", "--epochs", "1", "--output", "here", "--arch", "alexnet-torchvision"];
    let said = stdout(folder.path(), &arguments);
    for part in ["10 training and 10 validation images of 10 classes", "epoch 1/1", "top-1", "here/model.safetensors"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    // The printed command works without changes.
    let command = said.lines().find_map(|line| line.strip_prefix("try it  alexnet ")).expect("a command to try");
    let predicted = stdout(folder.path(), &command.split(' ').collect::<Vec<_>>());
    assert!(predicted.contains('%'), "{predicted}");
}

#[test]
fn every_network_is_described() {
    let folder = tempfile::tempdir().unwrap();
    for (arch, parameters, macs) in [
        ("alexnet", 60_965_224, 724_406_816),
        ("alexnet-paper", 60_965_224, 724_406_816),
        ("alexnet-six-conv", 61_555_304, 745_640_480),
        ("alexnet-caffe", 60_965_224, 724_406_816),
        ("caffenet", 60_965_224, 724_406_816),
        ("alexnet-owt", 61_100_840, 714_188_480),
        ("alexnet-torchvision", 61_100_840, 714_188_480),
    ] {
        let shown = &json(folder.path(), &["info", "--arch", arch, "--json"])[0];
        assert_eq!((&shown["parameters"], &shown["macs"]), (&parameters.into(), &macs.into()), "{arch}");
        let layers = shown["layers"].as_array().unwrap();
        let sum: u64 = layers.iter().map(|layer| layer["parameters"].as_u64().unwrap()).sum();
        assert_eq!(sum, parameters);
        assert_eq!(keys(&layers[1]).len(), 5, "{}", layers[1]);
        assert_eq!(layers.last().unwrap()["output_shape"], serde_json::json!([1000]));
        let table = stdout(folder.path(), &["info", "--arch", arch, "--classes", "10"]);
        assert!(table.contains("conv") && table.contains("10 classes"), "{table}");
    }
}

#[test]
fn help_teaches() {
    let folder = tempfile::tempdir().unwrap();
    for (command, parts) in [
        ("train", ["--resume", "alexnet-torchvision", "Examples:"]),
        ("eval", ["--views", "as in the paper", "Examples:"]),
        ("predict", ["--top", "--json", "Examples:"]),
        ("info", ["--classes", "caffenet", "Examples:"]),
    ] {
        let help = stdout(folder.path(), &[command, "--help"]);
        for part in parts {
            assert!(help.contains(part), "{part} is not in the help of {command}:\n{help}");
        }
    }
}
