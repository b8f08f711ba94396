//! Measures this machine, a network's layers and the whole of it; `cargo xtask bench cpu` runs it and PyTorch in turn.
//!
//! ```text
//! bench_cpu check                           are the layers as near to the peak as they should be?
//! bench_cpu peak                            what the processor can do
//! bench_cpu layers ARCH BATCH SECONDS       each layer, forward and backward
//! bench_cpu train  ARCH BATCH SECONDS       steps of training: forward, loss, backward, update
//! bench_cpu infer  ARCH BATCH SECONDS       forward passes
//! ```
//! One line of JSON for each result. `RAYON_NUM_THREADS` sets the threads, `ALEXNET_ISA` (`portable`, `avx2`, `avx512`) the
//! instruction set.

#![allow(unreachable_pub)] // A program has no outside.

mod check;
mod layers;
mod network;

use std::time::{Duration, Instant};

use alexnet_kernels::{CpuIsa, measure_peak};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let Ok(wanted) = std::env::var("ALEXNET_ISA") else {
        return measure();
    };
    let isa = CpuIsa::available().into_iter().find(|isa| isa.to_string() == wanted);
    let isa = isa.ok_or_else(|| format!("ALEXNET_ISA is {wanted}, this processor has {:?}", CpuIsa::available()))?;
    isa.force(measure).ok_or("it is one of those available")?
}

fn measure() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["peak"] => {
            let isa = CpuIsa::current();
            let flops = measure_peak(isa, Duration::from_secs(1));
            let threads = rayon::current_num_threads();
            println!("{}", serde_json::json!({ "isa": isa.to_string(), "threads": threads, "gflops": flops / 1e9 }));
            Ok(())
        }
        ["check"] => check::run(),
        [what, arch, batch, seconds] => {
            let (batch, time) = (batch.parse()?, Duration::from_secs_f64(seconds.parse()?));
            match what {
                "layers" => layers::run(arch, batch, time),
                "train" => network::train(arch, batch, time),
                "infer" => network::infer(arch, batch, time),
                _ => Err(format!("{what} is none of peak, layers, train, infer").into()),
            }
        }
        _ => Err("arguments: check, peak, or layers|train|infer ARCH BATCH SECONDS".into()),
    }
}

/// Seconds of each run of `work`, after two to warm up, for `time` or three runs, whichever is longer.
fn seconds(time: Duration, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    for _ in 0..2 {
        work()?;
    }
    let (start, mut all) = (Instant::now(), Vec::new());
    while all.len() < 3 || start.elapsed() < time {
        let start = Instant::now();
        work()?;
        all.push(start.elapsed().as_secs_f64());
    }
    Ok(all)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
