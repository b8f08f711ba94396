//! The built command, and small data sets for it.

use std::path::Path;
use std::process::{Command, Output};

use alexnet_data::shapes::{self, ShapesConfig};
use serde_json::Value;

/// `alexnet`, as Cargo built it for these tests.
pub fn alexnet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alexnet"));
    // The environment of the tests must not change the program's output.
    command.env_remove("CARGO").env("RUST_BACKTRACE", "1");
    command
}

/// Runs it in `folder` and waits.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    alexnet().args(arguments).current_dir(folder).output().expect("the program starts")
}

/// Runs it, expects success, and returns its standard output.
pub fn stdout(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout
}

/// As [`stdout`], with every line parsed as JSON.
pub fn json(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    lines(&stdout(folder, arguments))
}

/// Parses every line as JSON.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Ten classes of shapes below `folder`: `train` training images and ten for validation.
pub fn pictures(folder: &Path, train: u32) {
    let config = ShapesConfig { seed: 5, train, val: 10, size: 64 };
    shapes::prepare(folder, &config, 2, &|_, _| {}).expect("the pictures are drawn");
}
