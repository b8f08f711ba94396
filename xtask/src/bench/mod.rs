//! `cargo xtask bench cpu`: speed of layers and networks, compared with the machine's peak and with PyTorch. `cargo xtask
//! bench check` fails if a kernel has become slow; `bench data` measures loading and preparing images.
//!
//! Every number is measured in a separate process: `bench_compute` of `alexnet-train`, and `xtask/bench/twin.py` for
//! PyTorch, which does the same work. The two run interleaved, round by round, and each ratio is taken within a round, so
//! that a machine that slows down affects both.

mod data;
mod process;
mod report;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use process::{Ours, Setting, Torch};

#[derive(Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Layers and whole networks on the CPU.
    Cpu(CpuArgs),
    /// Loading and preparing images.
    Data(data::DataArgs),
    /// Check that the kernels reach their expected share of the CPU's peak: ratios, independent of the machine's load.
    Check,
}

/// Options of the comparisons.
#[derive(Args)]
struct Comparison {
    /// Also measure PyTorch, interleaved, at its fastest setting.
    #[arg(long)]
    vs_torch: bool,

    /// A Python with torch 2.11 and torchvision 0.26.
    #[arg(long, default_value = "python3", value_name = "PYTHON")]
    python: PathBuf,

    /// Rounds of the comparison.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,

    /// Minimum seconds of each measurement; at least three repetitions or one epoch.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    seconds: f64,

    /// Threads [default: all cores].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Print one JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

impl Comparison {
    fn threads(&self) -> anyhow::Result<usize> {
        match self.threads {
            Some(0) => bail!("--threads must be at least 1, but is 0"),
            Some(threads) => Ok(threads),
            None => Ok(std::thread::available_parallelism()?.get()),
        }
    }
}

#[derive(Args)]
struct CpuArgs {
    #[command(flatten)]
    comparison: Comparison,

    /// Run only the work whose name contains this: `layers`, `train`, `infer`, `scaling`, or a network's name.
    #[arg(value_name = "FILTER", default_value = "")]
    filter: String,
}

/// The work that is compared. On the CPU, `bf16` is for inference; PyTorch's training in `bf16` is compared with our `f32`.
const WORK: [Work; 12] = [
    Work::new("train", "alexnet-paper", 128),
    Work::new("train", "alexnet", 128),
    Work::new("train", "alexnet-torchvision", 128),
    Work::new("train", "alexnet-paper", 128).with("f32", "bf16"),
    Work::new("train", "alexnet-torchvision", 128).with("f32", "bf16"),
    Work::new("infer", "alexnet-torchvision", 1),
    Work::new("infer", "alexnet-paper", 1),
    Work::new("infer", "alexnet-torchvision", 1).with("bf16", "bf16"),
    Work::new("infer", "alexnet-torchvision", 32),
    Work::new("infer", "alexnet-paper", 32),
    Work::new("infer", "alexnet-torchvision", 32).with("bf16", "bf16"),
    Work::new("infer", "alexnet-paper", 32).with("bf16", "bf16"),
];

/// The kind of work, the network, the batch size, and the precision, ours and PyTorch's.
#[derive(Clone, Copy, Debug, Serialize)]
struct Work {
    work: &'static str,
    arch: &'static str,
    batch: usize,
    precision: [&'static str; 2],
}

impl Work {
    const fn new(work: &'static str, arch: &'static str, batch: usize) -> Self {
        Self { work, arch, batch, precision: ["f32", "f32"] }
    }

    const fn with(self, ours: &'static str, theirs: &'static str) -> Self {
        Self { precision: [ours, theirs], ..self }
    }

    fn name(&self) -> String {
        let Self { work, arch, batch, precision: [ours, theirs] } = self;
        match (*ours, *theirs) {
            ("f32", "f32") => format!("{work} {arch} {batch}"),
            (ours, theirs) => format!("{work} {arch} {batch} {ours} against {theirs}"),
        }
    }
}

/// The network whose layers are shown one by one.
const LAYERS_OF: (&str, usize) = ("alexnet-paper", 128);

/// Batch sizes at which the cost per image is measured.
const BATCHES: [usize; 6] = [1, 4, 16, 64, 128, 256];

/// Everything measured.
#[derive(Serialize)]
struct Results {
    machine: process::Machine,
    /// The CPU's peak: one line of `bench_compute peak` per number of threads.
    peak: Vec<Value>,
    layers: Vec<Value>,
    work: Vec<Compared>,
    /// Training `alexnet-paper`: one line of `bench_compute train` per batch size, and one for a single thread.
    batches: Vec<Value>,
    one_thread: Option<Value>,
}

/// One kind of work, round by round.
#[derive(Serialize)]
struct Compared {
    work: Work,
    ours: Vec<Value>,
    /// The setting in which PyTorch was fastest in the first round.
    setting: Option<Setting>,
    torch: Vec<Value>,
}

pub fn run(root: &Path, args: &BenchArgs) -> anyhow::Result<()> {
    let args = match &args.what {
        What::Cpu(args) => args,
        What::Data(args) => return data::run(root, args),
        What::Check => {
            // With the same options as the tests, so that nothing is built twice.
            print!("{}", Ours::build(root, 1, &["--workspace"])?.check()?);
            return Ok(());
        }
    };
    let comparison = &args.comparison;
    let threads = comparison.threads()?;
    let wanted = |name: &str| name.contains(args.filter.as_str());
    let work = WORK.map(|work| work.name());
    if comparison.rounds == 0 || !work.iter().map(String::as_str).chain(["layers", "scaling"]).any(wanted) {
        bail!(
            "--rounds must be at least 1 and FILTER part of a name, but they are {} and {:?}; names: layers, {}, scaling",
            comparison.rounds,
            args.filter,
            work.join(", ")
        );
    }
    let ours = Ours::build(root, threads, &["--release", "--package", "alexnet-train"])?;
    let torch = comparison.vs_torch.then(|| Torch::new(root, &comparison.python, threads));

    let mut results = Results {
        machine: process::Machine::here(root, threads)?,
        peak: vec![ours.peak(1)?],
        layers: Vec::new(),
        work: Vec::new(),
        batches: Vec::new(),
        one_thread: None,
    };
    if threads > 1 {
        results.peak.push(ours.peak(threads)?);
    }
    if wanted("layers") {
        progress(&format!("layers of {}", LAYERS_OF.0));
        results.layers = ours.run(&Work::new("layers", LAYERS_OF.0, LAYERS_OF.1), comparison.seconds / 4.0)?;
    }
    for work in WORK {
        if wanted(&work.name()) {
            results.work.push(compare(&ours, torch.as_ref(), work, comparison)?);
        }
    }
    if wanted("scaling") {
        for batch in BATCHES {
            let work = Work::new("train", LAYERS_OF.0, batch);
            progress(&work.name());
            results.batches.extend(ours.run(&work, comparison.seconds)?);
        }
        if threads > 1 {
            progress("one thread");
            results.one_thread = ours.on_one_thread(&Work::new("train", LAYERS_OF.0, 128), comparison.seconds)?;
        }
    }
    if comparison.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        print!("{}", report::tables(&results));
    }
    Ok(())
}

fn compare(ours: &Ours, torch: Option<&Torch>, work: Work, comparison: &Comparison) -> anyhow::Result<Compared> {
    let mut compared = Compared { work, ours: Vec::new(), setting: None, torch: Vec::new() };
    for round in 1..=comparison.rounds {
        progress(&format!("{}, round {round} of {}", work.name(), comparison.rounds));
        compared.ours.extend(ours.run(&work, comparison.seconds)?);
        let Some(torch) = torch else { continue };
        let result = match compared.setting {
            Some(setting) => torch.run(&work, comparison.seconds, setting)?,
            None => {
                let (setting, result) = torch.best(&work, comparison.seconds)?;
                compared.setting = Some(setting);
                result
            }
        };
        compared.torch.push(result);
    }
    Ok(compared)
}

fn progress(what: &str) {
    eprintln!("measuring {what}");
}
