//! Measures how fast images are loaded and prepared; `cargo xtask bench data` runs it interleaved with Python's libraries.
//!
//! ```text
//! bench_data load    DATA WORKERS SECONDS    images to normalized batches: resize to 256, random crop of 224, flip
//! bench_data resized DATA WORKERS SECONDS    the same with torchvision's RandomResizedCrop to 224
//! bench_data prepare DATA WORKERS OUTPUT     class folders to shards of 256 pixels
//! bench_data raw     DATA WORKERS OUTPUT     class folders to raw shards of center crops
//! bench_data memory  NONE WORKERS SECONDS    bytes in memory to floats in memory, counted in "images" of the same size
//! ```
//! Prints one line of JSON.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alexnet_data::prepare::{PrepareOptions, StoredFormat, prepare};
use alexnet_data::{
    Augment, DataLoader, DataLoaderConfig, Dataset, Pipeline, Preprocess, RandomResizedCrop, ResizeFilter,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 128;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (images, seconds) = match arguments[..] {
        [work @ ("load" | "resized"), data, workers, seconds] => {
            let resized_crop = (work == "resized").then(RandomResizedCrop::default);
            let augment = Augment { resized_crop, ..Augment::CROP_AND_FLIP };
            load(Path::new(data), augment, workers.parse()?, Duration::from_secs_f64(seconds.parse()?))?
        }
        ["memory", _, workers, seconds] => memory(workers.parse()?, Duration::from_secs_f64(seconds.parse()?)),
        [work @ ("prepare" | "raw"), data, workers, output] => {
            let raw = work == "raw";
            let options = PrepareOptions {
                // Lanczos, as in the Pillow counterpart.
                filter: ResizeFilter::Lanczos3,
                crop: raw,
                format: if raw { StoredFormat::Raw } else { StoredFormat::Jpeg { quality: 95 } },
                ..PrepareOptions::new(data.into(), output.into(), workers.parse()?)
            };
            let start = Instant::now();
            let reports = prepare(&options, &|_| {})?;
            (reports.iter().map(|report| report.written as usize).sum(), start.elapsed().as_secs_f64())
        }
        _ => {
            return Err(
                "arguments: load, resized or memory, DATA WORKERS SECONDS; or prepare or raw, DATA WORKERS OUTPUT"
                    .into(),
            );
        }
    };
    let rate = images as f64 / seconds;
    let result = serde_json::json!({
        "work": arguments[0], "workers": arguments[2], "images": images, "seconds": seconds, "images_per_second": rate,
        "peak_memory_mib": peak_memory(),
    });
    println!("{result}");
    Ok(())
}

/// Runs one epoch to bring the files into the page cache, then measures part of a long one.
fn load(data: &Path, augment: Augment, workers: usize, time: Duration) -> Result<(usize, f64)> {
    let samples = Dataset::open(data)?.train.samples;
    // As long as an epoch of a large data set, so that the startup time is negligible.
    let repeated: Vec<_> = samples.iter().cycle().take(samples.len().max(1 << 18)).cloned().collect();
    let (all, samples): (Arc<[_]>, Arc<[_]>) = (repeated.into(), samples.into());
    let preprocess = Preprocess { source_size: 256, ..Preprocess::TORCHVISION };
    let pipeline = Arc::new(Pipeline::new(preprocess, augment, None)?);
    let run = |samples: Arc<[_]>, time: Duration| -> Result<(usize, f64)> {
        let config = DataLoaderConfig { workers, prefetch: workers + 1, ..DataLoaderConfig::train(BATCH, 0, 0) };
        let mut loader = DataLoader::new(samples, pipeline.clone(), config)?;
        let (mut start, mut images, mut warm) = (Instant::now(), 0, 0);
        while let Some(batch) = loader.next() {
            let batch = batch?;
            // The first batches use memory that has never been written to; they are not measured.
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
    // Once to bring the files into the page cache.
    run(samples, Duration::MAX)?;
    run(all, time)
}

/// The upper bound set by memory bandwidth: reads the bytes of a raw 256-pixel image and writes the floats of a 224-pixel
/// view, from and to arrays larger than any cache.
fn memory(workers: usize, time: Duration) -> (usize, f64) {
    const SQUARE: usize = 3 * 256 * 256;
    const VIEW: usize = 3 * 224 * 224;
    const IMAGES: usize = 256;
    let start = Instant::now();
    let work = || {
        let (bytes, mut floats) = (vec![1u8; IMAGES * SQUARE], vec![0f32; IMAGES * VIEW]);
        let (start, mut images) = (Instant::now(), 0);
        while start.elapsed() < time {
            for (bytes, floats) in bytes.chunks_exact(SQUARE).zip(floats.chunks_exact_mut(VIEW)) {
                let (read, rest) = bytes.split_at(VIEW);
                floats.iter_mut().zip(read).for_each(|(float, &byte)| *float = f32::from(byte));
                std::hint::black_box(rest.iter().fold(0u8, |sum, &byte| sum ^ byte));
            }
            std::hint::black_box(&floats);
            images += IMAGES;
        }
        images as f64 / start.elapsed().as_secs_f64()
    };
    let rate: f64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN)).sum()
    });
    let seconds = start.elapsed().as_secs_f64();
    ((rate * seconds) as usize, seconds)
}

/// Peak memory of this process in MiB, if the system reports it.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
