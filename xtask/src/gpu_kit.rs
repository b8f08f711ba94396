//! `cargo xtask gpu-kit`: bundles the files to test and measure this workspace on a machine with a GPU but without Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

/// The programs of a kit.
const PROGRAMS: [&str; 5] =
    ["alexnet", "bench_compute", "alexnet_kernels_tests", "alexnet_model_tests", "alexnet_train_tests"];

/// Maximum size of a kit.
const MOST_BYTES: u64 = 60 << 20;

/// Bundle tests, benchmark, command-line program and PyTorch counterpart for a GPU machine with PyTorch but without Rust.
///
/// Builds with the features cuda and cudnn, so this machine needs a CUDA toolkit. On the GPU machine, run `python3 run.py`,
/// which prints one JSON document with correctness, speed and PyTorch's figures.
#[derive(Args)]
pub struct KitArgs {
    /// Output folder; an existing kit is replaced.
    #[arg(long, default_value = "target/gpu-kit", value_name = "DIR")]
    output: PathBuf,

    /// Target folder of cargo.
    #[arg(long, default_value = "target/cuda", value_name = "DIR")]
    target_dir: PathBuf,
}

pub fn run(root: &Path, args: &KitArgs) -> anyhow::Result<()> {
    let kit = root.join(&args.output);
    if kit.exists() && !kit.join("kit.json").exists() {
        bail!("the output must not exist or must be a kit, but {} is something else", kit.display());
    }
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // One call for all packages: other features of a dependency would rebuild Candle's kernels, which takes minutes.
    command.current_dir(root).args(["build", "--release", "--message-format", "json-render-diagnostics"]);
    for package in ["alexnet-kernels", "alexnet-model", "alexnet-train", "alexnet-cli"] {
        command.args(["-p", package, "--features", &format!("{package}/cudnn")]);
    }
    command.args(["--lib", "--bin", "alexnet", "--example", "bench_compute", "--tests"]);
    command.arg("--target-dir").arg(&args.target_dir).env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    // For every GPU of this generation or later, whatever the default target is.
    command.env("CUDA_COMPUTE_CAP", "80");
    let output = command.stderr(std::process::Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo build failed");
    }
    let lines = String::from_utf8(output.stdout).context("cargo's output is not UTF-8")?;
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs: Vec<(String, PathBuf)> = messages.filter_map(|message| program(&message)).collect();
    let missing = PROGRAMS.iter().find(|name| !programs.iter().any(|(found, _)| found == *name));
    if let Some(missing) = missing {
        bail!("cargo did not build {missing}");
    }

    if kit.exists() {
        fs::remove_dir_all(&kit).with_context(|| format!("cannot replace {}", kit.display()))?;
    }
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(root).output();
    let commit = commit.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let names: Vec<&String> = programs.iter().map(|(name, _)| name).collect();
    let description = serde_json::json!({ "commit": commit, "programs": names });
    // First, so that the remains of an interrupted run are recognized as a kit.
    fs::create_dir_all(&kit).with_context(|| format!("cannot make {}", kit.display()))?;
    fs::write(kit.join("kit.json"), description.to_string()).context("cannot write kit.json")?;
    let copy = |from: &Path, to: &Path| -> anyhow::Result<()> {
        let to = kit.join(to);
        let parent = to.parent().context("a file of the kit is in a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::copy(from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        Ok(())
    };
    for (name, file) in &programs {
        copy(file, &Path::new("programs").join(name))?;
    }
    for file in [
        "crates/alexnet-kernels/golden/cases.json",
        "crates/alexnet-kernels/golden/kernels.safetensors",
        "crates/alexnet-kernels/golden/more_kernels.safetensors",
        "crates/alexnet-model/golden/networks.safetensors",
    ] {
        copy(&root.join(file), Path::new(file.trim_start_matches("crates/")))?;
    }
    copy(&root.join("xtask/bench/gpu_kit.py"), Path::new("run.py"))?;
    copy(&root.join("xtask/bench/twin.py"), Path::new("bench/twin.py"))?;
    copy(&root.join("xtask/golden/networks.py"), Path::new("golden/networks.py"))?;
    // The programs share most of their contents, so one archive compresses them together.
    let mut tar = Command::new("tar");
    tar.current_dir(&kit).env("XZ_OPT", "-6 -T0").args(["cJf", "programs.tar.xz", "programs"]);
    if !tar.status().context("cannot run tar")?.success() {
        bail!("tar failed in {}", kit.display());
    }
    fs::remove_dir_all(kit.join("programs")).context("cannot remove the packed programs")?;
    let bytes = size(&kit)?;
    if bytes > MOST_BYTES {
        bail!("a kit has at most {2} MiB, but {0} has {1}", kit.display(), bytes >> 20, MOST_BYTES >> 20);
    }
    println!("{}: {:.1} MiB, {} programs", kit.display(), bytes as f64 / f64::from(1 << 20), names.len());
    println!("on the GPU machine: python3 run.py --output result.json");
    Ok(())
}

/// Name in the kit and path of the program that a cargo message reports as built, if it belongs in the kit. The unit tests
/// of a library are named `{library}_tests`.
fn program(message: &Value) -> Option<(String, PathBuf)> {
    let name = message["target"]["name"].as_str()?;
    let of = |kind: &str| message["target"]["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == kind));
    let is_test = message["profile"]["test"].as_bool()?;
    let name = if is_test && of("lib") { format!("{name}_tests") } else { name.to_owned() };
    let wanted = PROGRAMS.contains(&name.as_str()) && (is_test == name.ends_with("_tests"));
    wanted.then_some((name, PathBuf::from(message["executable"].as_str()?)))
}

/// Total bytes of all files in a folder.
fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
