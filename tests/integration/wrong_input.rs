//! Every wrong input gives one clear sentence with the cause and the rule.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{alexnet, pictures, run, stdout, text};

/// Runs the program, expects `code` and one sentence that contains all `parts`.
fn refused(folder: &Path, arguments: &[&str], code: i32, parts: &[&str]) {
    let output = run(folder, arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    for part in parts {
        assert!(said.contains(part), "{arguments:?}: {part:?} is not in\n{said}");
    }
    for part in ["panicked", "backtrace", "stack"] {
        assert!(!said.contains(part), "{arguments:?}: {said}");
    }
    if code == 1 {
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{arguments:?}: {said}");
        assert!(said.trim_end().ends_with(errors[0]), "{arguments:?}: nothing follows the sentence, but {said}");
    }
}

#[test]
fn folders_that_hold_no_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let train = |data: &str, parts: &[&str]| refused(here, &["train", "--data", data, "--json"], 1, parts);

    train("nowhere", &["no folder nowhere"]);
    fs::write(here.join("file"), "").unwrap();
    train("file", &["file is not a folder"]);
    fs::create_dir(here.join("empty")).unwrap();
    train("empty", &["empty holds no class folders"]);
    fs::create_dir_all(here.join("one/cats")).unwrap();
    fs::write(here.join("one/cats/a.jpg"), "").unwrap();
    train("one", &["single class `cats`", "at least 2"]);
    fs::create_dir_all(here.join("two/cats")).unwrap();
    fs::create_dir_all(here.join("two/dogs")).unwrap();
    fs::write(here.join("two/cats/a.jpg"), "").unwrap();
    fs::write(here.join("two/dogs/notes.txt"), "").unwrap();
    train("two", &["class `dogs` holds no .jpg"]);
    for name in ["cats/b.jpg", "dogs/a.jpg", "dogs/b.jpg"] {
        fs::write(here.join("two").join(name), "not a picture").unwrap();
    }
    train("two", &["two/", "none of the"]);
    assert!(!here.join("runs").exists() || fs::read_dir(here.join("runs")).unwrap().count() == 0, "no run began");
}

#[test]
fn more_bad_images_than_one_per_cent() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    pictures(&here.join("photos"), 20);
    for name in ["train/star/broken.jpg", "train/ring/broken.jpg"] {
        fs::write(here.join("photos").join(name), "not a picture").unwrap();
    }
    let arguments = ["train", "--data", "photos", "--epochs", "1", "--arch", "alexnet-torchvision", "--json"];
    let output = run(here, &arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("2 of 22 images could not be used") && said.contains("broken.jpg"), "{said}");

    fs::remove_file(here.join("photos/train/star/broken.jpg")).unwrap();
    let output = run(here, &[&arguments[..], &["--on-bad-sample", "fail"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("broken.jpg"), "{}", text(&output.stderr));
}

#[test]
fn weights_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    pictures(&here.join("photos"), 10);
    let arguments = ["train", "--data", "photos", "--epochs", "1", "--arch", "alexnet-torchvision", "--output", "run"];
    stdout(here, &arguments);
    let image = fs::read_dir(here.join("photos/val/star")).unwrap().next().unwrap().unwrap().path();
    let image = image.to_str().unwrap();

    refused(here, &["predict", image, "--weights", "nothing"], 1, &["nothing: there is no such file or run"]);
    refused(here, &["predict", image, "--weights", "photos"], 1, &["photos: there is no model.safetensors in it"]);
    refused(here, &["predict", image, "--weights", image], 1, &["not a safetensors file"]);
    let other = ["eval", "--data", "photos", "--weights", "run", "--arch", "caffenet"];
    refused(here, &other, 1, &["run/model.safetensors", "caffenet", "holds weights of alexnet-torchvision"]);
    fs::create_dir_all(here.join("others/cats")).unwrap();
    fs::create_dir_all(here.join("others/dogs")).unwrap();
    fs::copy(image, here.join("others/cats/a.jpg")).unwrap();
    fs::copy(image, here.join("others/dogs/a.jpg")).unwrap();
    refused(
        here,
        &["eval", "--data", "others", "--weights", "run"],
        1,
        &["have 10 classes", "the data has 2 (cats, dogs)"],
    );

    fs::copy(image, here.join("others/cats/b.jpg")).unwrap();
    fs::copy(image, here.join("others/dogs/b.jpg")).unwrap();
    let train = ["train", "--data", "others", "--epochs", "1", "--arch", "alexnet-torchvision", "--output", "two"];
    stdout(here, &train);
    let both = ["predict", image, "--weights", "run", "--weights", "two"];
    refused(here, &both, 1, &["needs the same classes", "two has 2 classes (cats, dogs) and run has 10"]);

    // A truncated file.
    let whole = fs::read(here.join("run/model.safetensors")).unwrap();
    fs::write(here.join("cut.safetensors"), &whole[..whole.len() / 2]).unwrap();
    refused(here, &["info", "--weights", "cut.safetensors"], 1, &["cut.safetensors", "not a safetensors file"]);

    // Weights from which a run cannot start. It leaves no files.
    let tune = |more: &[&str], parts: &[&str]| {
        let train = ["train", "--data", "photos", "--output", "tuned", "--weights"];
        refused(here, &[&train[..], more].concat(), 1, parts);
        assert!(!here.join("tuned").exists());
    };
    tune(&["nothing"], &["nothing: there is no such file or run"]);
    tune(&["cut.safetensors"], &["cut.safetensors", "not a safetensors file"]);
    tune(
        &["run", "--arch", "caffenet"],
        &["run/model.safetensors", "caffenet", "holds weights of alexnet-torchvision"],
    );
    tune(&["run", "--freeze", "8"], &["freeze is 8", "8 layers with weights"]);
    let bare = candle_core::safetensors::load(here.join("run/model.safetensors"), &candle_core::Device::Cpu).unwrap();
    candle_core::safetensors::save(&bare, here.join("bare.safetensors")).unwrap();
    tune(&["run/checkpoint.safetensors"], &["run/checkpoint.safetensors", "use model.safetensors in the same folder"]);
    // Two members, one of them without architecture and class names.
    let both =
        ["--weights", "run", "--weights", "bare.safetensors", "--arch", "alexnet-torchvision", "--data", "photos"];
    assert!(stdout(here, &[&["eval"], &both[..]].concat()).contains("ensemble of 2"));
    let both = ["eval", "--weights", "run", "--weights", "run", "--arch", "caffenet", "--data", "photos"];
    refused(here, &both, 1, &["none of the model files has weights of caffenet"]);
    let three =
        ["--weights", "bare.safetensors", "--weights", "run", "--weights", "two", "--arch", "alexnet-torchvision"];
    refused(here, &[&["predict", image], &three[..]].concat(), 1, &["two has 2 classes", "run has 10"]);
    // An error in the second is reported before the first is evaluated.
    let both = ["eval", "--weights", "run", "--weights", "nothing", "--data", "photos"];
    refused(here, &both, 1, &["nothing: there is no such file or run"]);
    tune(&["bare.safetensors"], &["bare.safetensors", "name the architecture", "--arch"]);

    // Runs that cannot be resumed or started.
    refused(here, &["train", "--resume", "run", "--epochs", "5"], 1, &["run was started with epochs = 1", "with 5"]);
    refused(here, &["train", "--resume", "photos"], 1, &["photos is not a run", "config.toml"]);
    refused(here, &["train", "--data", "photos", "--output", "run"], 1, &["run exists and is not empty"]);
    fs::write(here.join("file"), "").unwrap();
    refused(here, &["train", "--data", "photos", "--output", "file/run"], 1, &["file/run", "Not a directory"]);
}

#[test]
fn wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    refused(here, &["train", "--arch", "alexnet-v2"], 2, &["alexnet-v2", "alexnet-paper", "caffenet", "alexnet-owt"]);
    refused(here, &["train", "--epochs", "many"], 2, &["--epochs", "many"]);
    refused(here, &["predict"], 2, &["IMAGE", "--weights"]);
    refused(here, &["fly"], 2, &["fly"]);
    // With or without GPU support, no machine has this many GPUs.
    refused(here, &["train", "--device", "cuda:999"], 1, &["GPU"]);
    refused(here, &["train", "--precision", "bf16"], 1, &["precision", "bf16", "the CPU trains in f32"]);
    refused(here, &["train", "--device", "gpu"], 2, &["cpu, cuda or cuda:N", "gpu"]);
    pictures(&here.join("photos"), 10);
    let train = |option: &str, value: &str, parts: &[&str]| {
        refused(here, &["train", "--data", "photos", option, value], 1, parts);
    };
    train("--epochs", "0", &["epochs is 0", "at least 1"]);
    train("--learning-rate", "nan", &["learning_rate is NaN"]);
    train("--momentum", "1.5", &["momentum is 1.5"]);
    fs::write(here.join("bad.toml"), "arch = 3\n").unwrap();
    refused(here, &["train", "--config", "bad.toml"], 1, &["bad.toml: line 1: invalid type: integer `3`"]);
}

/// A learning rate that makes the loss diverge, and the files that the run keeps.
#[test]
fn a_loss_that_is_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    pictures(&here.join("photos"), 40);
    let arguments = ["train", "--data", "photos", "--epochs", "3", "--batch-size", "10", "--learning-rate", "1e6"];
    let output = run(here, &[&arguments[..], &["--checkpoint-steps", "1", "--output", "run"]].concat());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["the loss became", "in step", "learning rate 1000000", "try a tenth"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    // The last good checkpoint is kept, and its weights are finite.
    let path = here.join("run/checkpoint.safetensors");
    let tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    assert_eq!(tensors.len(), 2 * 16, "weights and velocities");
    for (name, tensor) in tensors {
        let sum = tensor.sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(sum.is_finite(), "{name}");
    }
    assert!(!here.join("run/model.safetensors").exists());
}

/// A separate file system of 200 MB, in its own namespace, that the run fills.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    pictures(&here.join("photos"), 10);
    fs::create_dir(here.join("small")).unwrap();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).current_dir(here);
        command
    };
    let mount = "mount -t tmpfs -o size=200m none small";
    let possible = unshare(mount).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !possible {
        let required =
            std::env::var("ALEXNET_REQUIRE").is_ok_and(|names| names.split(',').any(|name| name == "unshare"));
        assert!(!required, "this machine cannot mount a file system for the test");
        eprintln!("SKIPPED: the test of a full disk needs a separate mount, which this machine does not allow");
        return;
    }
    let program = alexnet().get_program().to_str().unwrap().to_owned();
    let script = format!(
        "{mount} && {program} train --data photos --epochs 1 --output small/run; code=$?; ls small/run; exit $code"
    );
    let output = unshare(&script).output().unwrap();
    let (said, left) = (text(&output.stderr), text(&output.stdout));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device") && said.contains("small/run/"), "{said}");
    assert!(!left.contains(".partial") && !left.contains("model.safetensors"), "nothing half-written is left: {left}");
}
