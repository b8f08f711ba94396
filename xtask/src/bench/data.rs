//! `cargo xtask bench data`: speed of loading and preparing images, compared with torchvision and Pillow.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::Comparison;
use super::process::{Machine, build_example, json_lines, output, rate};
use super::report::spread;

#[derive(Args)]
pub struct DataArgs {
    /// A folder of class folders with JPEG files, preferably photographs [default: the built-in shapes].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    #[command(flatten)]
    comparison: Comparison,
}

#[derive(Serialize)]
struct Results {
    machine: Machine,
    data: String,
    work: Vec<Compared>,
    /// Loading and resized crops on one thread.
    one_thread: Vec<Value>,
    /// Loading of raw shards and the memory-bandwidth limit, measured interleaved.
    raw: Vec<[Value; 2]>,
}

#[derive(Serialize)]
struct Compared {
    work: &'static str,
    ours: Vec<Value>,
    python: Vec<Value>,
}

/// The programs and their input and output files.
struct Bench<'a> {
    comparison: &'a Comparison,
    program: PathBuf,
    twin: PathBuf,
    data: PathBuf,
    scratch: tempfile::TempDir,
}

pub fn run(root: &Path, args: &DataArgs) -> Result<()> {
    let comparison = &args.comparison;
    let threads = comparison.threads()?;
    if comparison.rounds == 0 {
        bail!("--rounds must be at least 1, but is 0");
    }
    if let Some(data) = args.data.as_ref().filter(|data| !data.is_dir()) {
        bail!("there is no folder {}", data.display());
    }
    let data = match &args.data {
        Some(data) => data.clone(),
        None => {
            let shapes = root.join("data/shapes");
            let config = alexnet_data::shapes::ShapesConfig::default();
            alexnet_data::shapes::prepare(&shapes, &config, threads, &|_, _| {})?;
            shapes
        }
    };
    let mut options = vec!["--release", "--package", "alexnet-data"];
    if cfg!(feature = "turbojpeg") {
        options.extend(["--features", "turbojpeg"]);
    }
    let program = build_example(root, "bench_data", &options)?;
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let bench = Bench { comparison, program, twin: root.join("xtask/bench/twin_data.py"), data, scratch };
    let mut work = Vec::new();
    for name in ["load", "resized", "prepare"] {
        work.push(bench.compare(name, threads)?);
    }
    let one_thread = ["load", "resized"].iter().map(|work| bench.ours(work, 1, 0)).collect::<Result<_>>()?;
    let raw = bench.raw(threads)?;
    let (machine, data) = (Machine::here(root, threads)?, bench.data.display().to_string());
    let results = Results { machine, data, work, one_thread, raw };
    if comparison.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        print!("{}", table(&results));
    }
    Ok(())
}

impl Bench<'_> {
    fn last(&self, work: &str, side: &str, number: usize) -> String {
        match work {
            "load" | "resized" | "memory" => self.comparison.seconds.to_string(),
            _ => self.scratch.path().join(format!("{side}-{number}")).display().to_string(),
        }
    }

    fn ours(&self, work: &str, workers: usize, round: usize) -> Result<Value> {
        self.ours_on(work, &self.data, workers, round)
    }

    fn ours_on(&self, work: &str, data: &Path, workers: usize, round: usize) -> Result<Value> {
        let mut command = Command::new(&self.program);
        command.arg(work).arg(data).arg(workers.to_string()).arg(self.last(work, "ours", round));
        json_lines(&output(&mut command)?)?.into_iter().next().context("bench_data prints nothing")
    }

    /// Converts the images to raw shards and loads these, interleaved with a loop that moves as many bytes.
    fn raw(&self, workers: usize) -> Result<Vec<[Value; 2]>> {
        self.ours("raw", workers, 0)?;
        let shards = self.scratch.path().join("ours-0");
        let mut results = Vec::new();
        for round in 1..=self.comparison.rounds {
            eprintln!("measuring raw, round {round} of {}", self.comparison.rounds);
            results.push(["load", "memory"].map(|work| self.ours_on(work, &shards, workers, round)));
        }
        results.into_iter().map(|[load, memory]| Ok([load?, memory?])).collect()
    }

    fn python(&self, work: &str, workers: usize, round: usize) -> Result<Value> {
        let mut command = Command::new(&self.comparison.python);
        command.arg(&self.twin).arg(work).arg(&self.data).arg(workers.to_string());
        command.arg(self.last(work, &format!("python-{workers}"), round));
        json_lines(&output(&mut command)?)?.into_iter().next().context("twin_data.py prints nothing")
    }

    fn compare(&self, work: &'static str, threads: usize) -> Result<Compared> {
        let mut compared = Compared { work, ours: Vec::new(), python: Vec::new() };
        let mut best: Option<usize> = None;
        for round in 1..=self.comparison.rounds {
            eprintln!("measuring {work}, round {round} of {}", self.comparison.rounds);
            compared.ours.push(self.ours(work, threads, round)?);
            if !self.comparison.vs_torch {
                continue;
            }
            let result = match best {
                Some(workers) => self.python(work, workers, round)?,
                None => {
                    // With 0 workers, PyTorch would load in the training process.
                    let mut tried = Vec::new();
                    for workers in [threads.div_ceil(2), threads, 2 * threads] {
                        tried.push((workers, self.python(work, workers, round)?));
                    }
                    let fastest = tried.into_iter().max_by(|a, b| rate(&a.1).total_cmp(&rate(&b.1)));
                    let (workers, result) = fastest.context("three were tried")?;
                    best = Some(workers);
                    result
                }
            };
            compared.python.push(result);
        }
        Ok(compared)
    }
}

fn table(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "CPU: {}; {} threads. {}; commit {}. Images of {}.\n\n",
        machine.processor, machine.threads, machine.rustc, machine.commit, results.data
    );
    text += "| work | images/s | Python, fastest setting | ratio | n | memory, MiB | Python's |\n|---|---|---|---|---|---|---|\n";
    for Compared { work, ours, python } in &results.work {
        let rates = |results: &[Value]| spread(results.iter().map(rate).collect(), 0);
        let ratios: Vec<f64> = ours.iter().zip(python).map(|(ours, python)| rate(ours) / rate(python)).collect();
        let ratio = if ratios.is_empty() { "–".into() } else { format!("**{}**", spread(ratios, 2)) };
        let memory = |results: &[Value]| {
            let most = results.iter().filter_map(|result| result["peak_memory_mib"].as_f64()).fold(f64::NAN, f64::max);
            if most.is_nan() { "–".into() } else { format!("{most:.0}") }
        };
        let workers = python.first().map_or(String::new(), |result| format!(" ({} workers)", result["workers"]));
        text += &format!(
            "| {work} | {} | {}{workers} | {ratio} | {} | {} | {} |\n",
            rates(ours),
            rates(python),
            ours.len(),
            memory(ours),
            memory(python)
        );
    }
    for one in &results.one_thread {
        let (name, one) = (one["work"].as_str().unwrap_or_default(), rate(one));
        let all = results.work.iter().filter(|work| work.work == name).flat_map(|work| &work.ours);
        let times = spread(all.map(|all| rate(all) / one).collect(), 2);
        text += &format!("\n{name} on one thread: {one:.0} images/s; on {}: {times} times as many.\n", machine.threads);
    }
    if !results.raw.is_empty() {
        let rates = |side: usize| spread(results.raw.iter().map(|pair| rate(&pair[side])).collect(), 0);
        let shares = results.raw.iter().map(|[load, memory]| 100.0 * rate(load) / rate(memory)).collect();
        text += &format!("\nRaw shards: {} images/s; limit of the memory bandwidth {}; ", rates(0), rates(1));
        text += &format!("{} %, n = {}.\n", spread(shares, 0), results.raw.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_shows_what_was_measured() {
        let result = |rate: f64| json!({ "images_per_second": rate, "peak_memory_mib": 10.0, "workers": 2 });
        let results = Results {
            machine: Machine { processor: "P".into(), threads: 2, rustc: "rustc 1".into(), commit: "abc".into() },
            data: "photographs".into(),
            work: vec![
                Compared {
                    work: "load",
                    ours: vec![result(300.0), result(400.0)],
                    python: vec![result(100.0), result(200.0)],
                },
                Compared { work: "prepare", ours: vec![result(50.0)], python: vec![] },
            ],
            one_thread: vec![json!({ "work": "load", "images_per_second": 200.0 })],
            raw: vec![[result(300.0), result(400.0)]],
        };
        let text = table(&results);
        for part in [
            "| load | 350 (300–400) | 150 (100–200) (2 workers) | **2.50 (2.00–3.00)** | 2 | 10 | 10 |",
            "| prepare | 50 | – | – | 1 | 10 | – |",
            "load on one thread: 200 images/s; on 2: 1.75 (1.50–2.00) times as many",
            "Raw shards: 300 images/s; limit of the memory bandwidth 400; 75 %, n = 1.",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
