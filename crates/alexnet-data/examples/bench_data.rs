//! How fast images are loaded and prepared; `cargo xtask bench data` runs it and Python's libraries in turn.
//!
//! ```text
//! bench_data load    DATA WORKERS SECONDS    JPEG files to normalised batches: shorter side to 256, random 224, flip
//! bench_data prepare DATA WORKERS OUTPUT     class folders to shards of 256 pixels
//! ```
//! One line of JSON.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alexnet_data::prepare::{PrepareOptions, prepare};
use alexnet_data::{Augment, DataSet, Loader, LoaderConfig, Pipeline, Preprocess, ResizeFilter};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 128;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (images, seconds) = match arguments[..] {
        ["load", data, workers, seconds] => {
            load(Path::new(data), workers.parse()?, Duration::from_secs_f64(seconds.parse()?))?
        }
        ["prepare", data, workers, output] => {
            // As Pillow's twin: Lanczos.
            let options = PrepareOptions {
                filter: ResizeFilter::Lanczos3,
                ..PrepareOptions::new(data.into(), output.into(), workers.parse()?)
            };
            let start = Instant::now();
            let reports = prepare(&options, &|_| {})?;
            (reports.iter().map(|report| report.written as usize).sum(), start.elapsed().as_secs_f64())
        }
        _ => return Err("arguments: load DATA WORKERS SECONDS, or prepare DATA WORKERS OUTPUT".into()),
    };
    let rate = images as f64 / seconds;
    let result = serde_json::json!({
        "work": arguments[0], "workers": arguments[2], "images": images, "seconds": seconds, "images_per_second": rate,
        "peak_memory_mib": peak_memory(),
    });
    println!("{result}");
    Ok(())
}

/// Whole epochs, until the time is over: the start of the threads belongs to an epoch.
fn load(data: &Path, workers: usize, time: Duration) -> Result<(usize, f64)> {
    let samples = DataSet::open(data)?.train.samples;
    // As long an epoch as that of a large data set, so that its start does not count.
    let repeated: Vec<_> = samples.iter().cycle().take(samples.len().max(1 << 18)).cloned().collect();
    let (all, samples): (Arc<[_]>, Arc<[_]>) = (repeated.into(), samples.into());
    let preprocess = Preprocess { source_size: 256, ..Preprocess::TORCHVISION };
    let pipeline = Arc::new(Pipeline::new(preprocess, Augment::CROP_AND_FLIP, None)?);
    let run = |samples: Arc<[_]>, time: Duration| -> Result<(usize, f64)> {
        let config = LoaderConfig { workers, prefetch: workers + 1, ..LoaderConfig::train(BATCH, 0, 0) };
        let mut loader = Loader::new(samples, pipeline.clone(), config)?;
        let (mut start, mut images, mut warm) = (Instant::now(), 0, 0);
        while let Some(batch) = loader.next() {
            let batch = batch?;
            // The first batches come from memory that has never been written to.
            warm += 1;
            if warm <= 2 * workers {
                start = Instant::now();
            } else {
                images += batch.labels.len();
            }
            std::hint::black_box(&batch.images);
            loader.recycle(batch.images);
            if start.elapsed() >= time {
                break;
            }
        }
        Ok((images, start.elapsed().as_secs_f64()))
    };
    // Once to bring the files into memory.
    run(samples, Duration::MAX)?;
    run(all, time)
}

/// The most memory this process has held so far, in MiB, where the system tells.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
