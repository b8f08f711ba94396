//! Benchmarks this machine, the layers of a network, and whole networks. `cargo xtask bench cpu` interleaves it with
//! PyTorch, as does the script of `cargo xtask gpu-kit` on a GPU.
//!
//! ```text
//! bench_compute check                           checks that the layers are close enough to the peak
//! bench_compute peak                            peak GFLOP/s of the CPU
//! bench_compute layers ARCH BATCH SECONDS       each layer, forward and backward
//! bench_compute train  ARCH BATCH SECONDS       steps of training: forward, loss, backward, update
//! bench_compute feed   ARCH BATCH SECONDS       training steps including loading and augmentation of images in memory
//! bench_compute infer  ARCH BATCH SECONDS       forward passes
//! ```
//! Prints one line of JSON per result. `RAYON_NUM_THREADS` sets the number of threads, `ALEXNET_ISA` (`portable`,
//! `avx2`, `avx512`) the instruction set, `ALEXNET_PRECISION` (`f32`, `bf16`, on a GPU also `tf32`) the precision.
//! `ALEXNET_GPU` selects a GPU by number instead of the CPU; `ALEXNET_CUDNN=0` then disables cuDNN.

#![allow(unreachable_pub)] // A program has no public API.

mod check;
mod layers;
mod network;

use std::time::{Duration, Instant};

use alexnet_kernels::{CpuIsa, GpuMath, cuda_device, measure_peak};
use alexnet_model::Precision;
use candle_core::{DType, Device};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Device and precision of the benchmark.
struct Target {
    device: Device,
    precision: Precision,
    math: GpuMath,
}

impl Target {
    fn from_environment() -> Result<Self> {
        let variable = |name| std::env::var(name).ok();
        let device = match variable("ALEXNET_GPU") {
            Some(number) => cuda_device(number.parse()?)?,
            None => Device::Cpu,
        };
        alexnet_kernels::use_cudnn(variable("ALEXNET_CUDNN").as_deref() != Some("0"));
        let mut math = GpuMath::default();
        let precision = match variable("ALEXNET_PRECISION").as_deref() {
            None | Some("f32") => Precision::F32,
            Some("tf32") => {
                math.tf32 = true;
                Precision::F32
            }
            Some("bf16") => Precision::Bf16,
            Some(other) => return Err(format!("ALEXNET_PRECISION is {other}, not f32, tf32 or bf16").into()),
        };
        Ok(Self { device, precision, math })
    }

    /// The type of activations.
    fn dtype(&self) -> DType {
        self.precision.activations(&self.device)
    }

    /// Seconds of each run of `work`, after two warm-up runs, for `time` or three runs, whichever is longer. On a GPU,
    /// about 20 ms of work are queued before each synchronization, and each value is the mean over these runs.
    fn seconds(&self, time: Duration, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
        let mut several = |runs: u32| -> Result<f64> {
            let start = Instant::now();
            for _ in 0..runs {
                work()?;
            }
            self.device.synchronize()?;
            Ok(start.elapsed().as_secs_f64() / f64::from(runs))
        };
        several(1)?;
        let once = several(1)?;
        let runs = if self.device.is_cpu() { 1 } else { (0.02 / once).ceil().clamp(1.0, 1000.0) as u32 };
        let (start, mut all) = (Instant::now(), Vec::new());
        while all.len() < 3 || start.elapsed() < time {
            all.push(several(runs)?);
        }
        Ok(all)
    }
}

fn main() -> Result<()> {
    // Print the error message instead of its debug form.
    with_instruction_set().map_err(|error| error.to_string().into())
}

fn with_instruction_set() -> Result<()> {
    let Ok(wanted) = std::env::var("ALEXNET_ISA") else {
        return measure();
    };
    let isa = CpuIsa::available().into_iter().find(|isa| isa.to_string() == wanted);
    let isa = isa.ok_or_else(|| format!("ALEXNET_ISA is {wanted}, but this CPU has {:?}", CpuIsa::available()))?;
    isa.force(measure).ok_or("it is one of those available")?
}

fn measure() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["peak"] => {
            let isa = CpuIsa::current();
            let flops = measure_peak(isa, Duration::from_secs(1)).expect("the current instruction set runs here");
            let threads = rayon::current_num_threads();
            println!("{}", serde_json::json!({ "isa": isa.to_string(), "threads": threads, "gflops": flops / 1e9 }));
            Ok(())
        }
        ["check"] => check::run(),
        [what, arch, batch, seconds] => {
            let target = Target::from_environment()?;
            let (batch, time) = (batch.parse()?, Duration::from_secs_f64(seconds.parse()?));
            match what {
                "layers" => target.math.scope(|| layers::run(&target, arch, batch, time)),
                "train" => network::train(&target, arch, batch, time),
                "feed" => network::feed(&target, arch, batch, time),
                "infer" => network::infer(&target, arch, batch, time),
                _ => Err(format!("the benchmark must be layers, train, feed or infer, but is {what}").into()),
            }
        }
        _ => Err("arguments: check, peak, or layers|train|feed|infer ARCH BATCH SECONDS".into()),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
