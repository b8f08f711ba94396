//! The real command, including runs that are killed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn command(input: &Path, output: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["prepare-imagenet", "--images-per-shard", "24", "--input"]).arg(input).arg("--output").arg(output);
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

fn relative(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let strip = |(path, bytes): (PathBuf, Vec<u8>)| (path.strip_prefix(folder).unwrap().to_owned(), bytes);
    files(folder).into_iter().map(strip).collect()
}

#[test]
fn a_killed_preparation_goes_on_and_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [input, whole, killed] = ["archives", "whole", "killed"].map(|name| folder.path().join(name));
    let first = run(command(&input, &whole).arg("--sample"));
    let text = String::from_utf8(first.stdout).unwrap();
    assert!(text.contains("train: read 400 = written 400 + listed 0; 17 shards"), "{text}");
    assert!(text.contains("val: read 100 = written 100 + listed 0; 5 shards"), "{text}");

    let (mut kills, mut pause) = (0, 30);
    loop {
        let mut child = command(&input, &killed).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        // SIGKILL; if it came too late, the run is complete.
        let _ = child.kill();
        if child.wait().unwrap().success() {
            break;
        }
        kills += 1;
        // The first kills come before anything is written, later ones between and within shards.
        pause += 40;
    }
    assert!(kills >= 3, "killed {kills} times");
    assert!(relative(&killed) == relative(&whole), "{:?}", relative(&killed).keys().collect::<Vec<_>>());

    let again = String::from_utf8(run(&mut command(&input, &killed)).stdout).unwrap();
    assert!(again.contains("400 were there already"), "{again}");
}

#[test]
fn wrong_input_ends_with_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("nothing"), folder.path().join("set"));
    let failed = command(&input, &output).output().unwrap();
    let error = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(error.starts_with("error: cannot prepare") && error.contains("there is no folder"), "{error}");
    assert!(!output.exists());
}
