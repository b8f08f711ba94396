//! The built command, and small data sets for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use alexnet_data::shapes::{self, ShapesConfig};
use serde_json::Value;

/// `alexnet`, built once, as Cargo builds it for `cargo run`.
pub fn alexnet() -> Command {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        // Cargo provides the path only of a package's own programs, so this one is built into the tests' target folder.
        let test = std::env::current_exe().expect("this test has a path");
        let folder = test.parent().and_then(Path::parent).expect("tests are in {target}/{profile}/deps");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "alexnet-cli", "--target-dir"]);
        cargo.arg(folder.parent().expect("profiles are in the target folder"));
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(status.success(), "the command is built");
        folder.join("alexnet")
    });
    let mut command = Command::new(path);
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
