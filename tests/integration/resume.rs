//! A run that is killed at any moment and resumed is bit-identical to an uninterrupted run.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::program::{alexnet, lines, pictures, run, stdout, text};

/// Two epochs of six steps, a checkpoint after every second step. The network is `alexnet` with a quarter of the hidden units:
/// its checkpoints take a quarter of the time to write, and still long enough to be killed in between.
const TRAIN: [&str; 14] = [
    "train",
    "--data",
    "photos",
    "--arch-file",
    "net.toml",
    "--epochs",
    "2",
    "--batch-size",
    "8",
    "--checkpoint-steps",
    "2",
    "--seed",
    "7",
    "--output",
];

fn network(folder: &Path) {
    let list = stdout(folder, &["info", "--arch", "alexnet", "--classes", "10", "--format", "toml"]);
    assert_eq!(list.matches("out_features = 4096").count(), 2);
    fs::write(folder.join("net.toml"), list.replace("out_features = 4096", "out_features = 1024")).unwrap();
}

pub fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = alexnet();
    command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

/// Waits until `condition` holds; the child must not exit before.
pub fn wait_for(child: &mut Child, what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before {what}");
        assert!(start.elapsed() < Duration::from_secs(240), "no {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn kill(mut child: Child) {
    child.kill().expect("SIGKILL is sent");
    assert!(!child.wait().unwrap().success(), "the process exited before it was killed");
}

/// Asserts that two finished runs are bit-identical, except for times.
pub fn assert_same_result(a: &Path, b: &Path) {
    for file in ["model-last.safetensors", "model.safetensors"] {
        assert!(fs::read(a.join(file)).unwrap() == fs::read(b.join(file)).unwrap(), "{file} differs");
    }
    let numbers = |run: &Path| {
        let mut lines = lines(&fs::read_to_string(run.join("metrics.jsonl")).unwrap());
        for line in &mut lines {
            // Times differ.
            line.as_object_mut()
                .unwrap()
                .retain(|key, _| !["seconds", "images_per_second", "data_wait"].contains(&key.as_str()));
        }
        lines
    };
    assert_eq!(numbers(a), numbers(b));
}

#[test]
fn killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    network(here);
    pictures(&here.join("photos"), 48);
    stdout(here, &[&TRAIN[..], &["whole"]].concat());

    let run_dir = here.join("killed");
    let (checkpoint, partial) =
        (run_dir.join("checkpoint.safetensors"), run_dir.join("checkpoint.safetensors.partial"));
    let written = || fs::metadata(&checkpoint).and_then(|file| file.modified()).ok();
    // When only the configuration exists.
    let mut child = start(here, &[&TRAIN[..], &["killed"]].concat());
    wait_for(&mut child, "a run directory", || run_dir.join("config.toml").exists());
    kill(child);
    assert!(!checkpoint.exists());
    // While the first checkpoint is written.
    let resume = ["train", "--resume", "killed"];
    let mut child = start(here, &resume);
    wait_for(&mut child, "the start of a checkpoint", || partial.exists());
    kill(child);
    // Shortly after a checkpoint, during the next steps.
    for _ in 0..2 {
        let mut child = start(here, &resume);
        let before = written();
        wait_for(&mut child, "another checkpoint", || written() != before);
        std::thread::sleep(Duration::from_millis(300));
        kill(child);
    }
    // While a checkpoint is written that replaces another.
    let mut child = start(here, &resume);
    let before = written();
    wait_for(&mut child, "another checkpoint", || written() != before && partial.exists());
    kill(child);
    stdout(here, &resume);
    assert_same_result(&here.join("whole"), &run_dir);
    let mut left: Vec<_> = fs::read_dir(&run_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    let expected = ["checkpoint.safetensors", "config.toml", "metrics.jsonl", "model-last.safetensors"];
    assert_eq!(left, [&expected[..], &["model.safetensors", "plot.svg"]].concat(), "nothing else is left behind");
    // Resuming again changes nothing.
    stdout(here, &resume);
    assert_same_result(&here.join("whole"), &run_dir);
}

/// Killed between an epoch's last step, which has a smaller batch, and its validation.
#[test]
fn killed_at_the_end_of_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    network(here);
    pictures(&here.join("photos"), 20);
    let train: Vec<&str> = TRAIN.map(|word| if word == "2" { "1" } else { word }).to_vec();
    let steps = ["--checkpoint-steps", "3", "--output"];
    let train = [&train[..train.len() - 5], &["--seed", "7"], &steps].concat();
    stdout(here, &[&train[..], &["whole"]].concat());

    let mut child = start(here, &[&train[..], &["killed"]].concat());
    let run_dir = here.join("killed");
    wait_for(&mut child, "the last step's checkpoint", || run_dir.join("checkpoint.safetensors").exists());
    kill(child);
    assert!(!run_dir.join("model-last.safetensors").exists());
    stdout(here, &["train", "--resume", "killed"]);
    assert_same_result(&here.join("whole"), &run_dir);
}

/// Ctrl-C: the step is finished, everything is saved, and the resume command printed. The resumed run may use another number
/// of threads.
#[test]
#[cfg(unix)]
fn stopped_by_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    network(here);
    pictures(&here.join("photos"), 48);
    stdout(here, &[&TRAIN[..], &["whole", "--threads", "2"]].concat());

    let mut command = alexnet();
    command.args(&TRAIN[..]).arg("stopped").current_dir(here).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let checkpoint = here.join("stopped/checkpoint.safetensors");
    wait_for(&mut child, "a checkpoint", || checkpoint.exists());
    let interrupt = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    let command = said.lines().find_map(|line| line.split_once("to continue: alexnet ")).expect("the resume command").1;
    assert_eq!(command, "train --resume stopped");
    let output = run(here, &[&command.split(' ').collect::<Vec<_>>()[..], &["--threads", "1", "--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_same_result(&here.join("whole"), &here.join("stopped"));
}
