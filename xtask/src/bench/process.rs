//! The measuring programs, and the description of the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;

use super::Work;

/// This project's program.
pub struct Ours {
    program: PathBuf,
    threads: usize,
}

impl Ours {
    /// Builds the program with additional options for cargo.
    pub fn build(root: &Path, threads: usize, options: &[&str]) -> anyhow::Result<Self> {
        Ok(Self { program: build_example(root, "bench_compute", options)?, threads })
    }

    fn measure(&self, threads: usize, work: &Work, seconds: f64) -> anyhow::Result<Vec<Value>> {
        let Work { work, arch, batch, precision: [precision, _] } = work;
        let mut command = self.command(threads);
        command.env("ALEXNET_PRECISION", precision);
        json_lines(&output(command.args([work, arch]).args([batch.to_string(), seconds.to_string()]))?)
    }

    fn command(&self, threads: usize) -> Command {
        let mut command = Command::new(&self.program);
        command.env("RAYON_NUM_THREADS", threads.to_string());
        command
    }

    pub fn peak(&self, threads: usize) -> anyhow::Result<Value> {
        let lines = json_lines(&output(self.command(threads).arg("peak"))?)?;
        lines.into_iter().next().context("bench_compute peak prints nothing")
    }

    /// Checks that the kernels reach their expected share of the peak, on one thread.
    pub fn check(&self) -> anyhow::Result<String> {
        output(self.command(1).arg("check"))
    }

    pub fn run(&self, work: &Work, seconds: f64) -> anyhow::Result<Vec<Value>> {
        self.measure(self.threads, work, seconds)
    }

    pub fn on_one_thread(&self, work: &Work, seconds: f64) -> anyhow::Result<Option<Value>> {
        Ok(self.measure(1, work, seconds)?.into_iter().next())
    }
}

/// PyTorch's program.
pub struct Torch {
    python: PathBuf,
    script: PathBuf,
    threads: usize,
}

/// Settings of PyTorch.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Setting {
    pub compile: bool,
    pub channels_last: bool,
}

impl Torch {
    pub fn new(root: &Path, python: &Path, threads: usize) -> Self {
        Self { python: python.into(), script: root.join("xtask/bench/twin.py"), threads }
    }

    pub fn run(&self, work: &Work, seconds: f64, setting: Setting) -> anyhow::Result<Value> {
        let Work { work, arch, batch, precision: [_, precision] } = work;
        let mut command = Command::new(&self.python);
        command.arg(&self.script).args([work, arch]).args([batch.to_string(), seconds.to_string()]);
        command.args(["--precision", precision]);
        command.args(["--threads", &self.threads.to_string()]);
        command.args(setting.compile.then_some("--compile"));
        command.args(setting.channels_last.then_some("--channels-last"));
        json_lines(&output(&mut command)?)?.into_iter().next().context("twin.py prints nothing")
    }

    /// The fastest setting and its result.
    pub fn best(&self, work: &Work, seconds: f64) -> anyhow::Result<(Setting, Value)> {
        let mut best: Option<(Setting, Value)> = None;
        for (compile, channels_last) in [(false, false), (false, true), (true, false), (true, true)] {
            let setting = Setting { compile, channels_last };
            let result = self.run(work, seconds, setting)?;
            if best.as_ref().is_none_or(|(_, best)| rate(&result) > rate(best)) {
                best = Some((setting, result));
            }
        }
        best.context("there are four settings")
    }
}

/// Images per second of a result.
pub fn rate(result: &Value) -> f64 {
    result["images_per_second"].as_f64().unwrap_or(f64::NAN)
}

/// The machine, compiler and commit of the measurements.
#[derive(Serialize)]
pub struct Machine {
    pub processor: String,
    pub threads: usize,
    pub rustc: String,
    pub commit: String,
}

impl Machine {
    pub fn here(root: &Path, threads: usize) -> anyhow::Result<Self> {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
            line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim()).to_owned()
        };
        let processor = format!(
            "{}, family {} model {}, {}",
            field("model name"),
            field("cpu family"),
            field("model"),
            field("cache size")
        );
        let git = |arguments: &[&str]| output(Command::new("git").args(arguments).current_dir(root));
        let mut commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|_| "unknown".into()).trim().to_owned();
        if git(&["status", "--porcelain"]).is_ok_and(|changes| !changes.trim().is_empty()) {
            commit.push_str(" with changes");
        }
        let rustc = output(Command::new("rustc").arg("--version"))?.trim().to_owned();
        Ok(Self { processor, threads, rustc, commit })
    }
}

/// Builds an example with additional options for cargo.
pub fn build_example(root: &Path, name: &str, options: &[&str]) -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--example", name]).args(options);
    // Cargo reports the path of the built program in JSON.
    cargo.args(["--message-format", "json-render-diagnostics"]).current_dir(root);
    let program = json_lines(&output(&mut cargo)?)?
        .into_iter()
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.with_context(|| format!("cargo does not report the path of {name}"))
}

pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}:\n{}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub fn json_lines(text: &str) -> anyhow::Result<Vec<Value>> {
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
