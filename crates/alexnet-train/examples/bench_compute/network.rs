//! Benchmarks of whole networks.

use std::time::{Duration, Instant};

use alexnet_data::DataLoaderConfig;
use alexnet_data::prepare::{PrepareOptions, StoredFormat, prepare};
use alexnet_data::shapes::{self, ShapesConfig};
use alexnet_kernels::softmax_cross_entropy;
use alexnet_kernels::transfer::Download;
use alexnet_model::{Mode, Network, Tape, build};
use alexnet_train::{Feed, Rates, RunData, Solver, TrainConfig};
use candle_core::{DType, Tensor};

use crate::{Result, Target, median};

const CLASSES: usize = 1000;

fn network(target: &Target, arch: &str) -> Result<Network> {
    let mut network = Network::new(build(arch, CLASSES)?, 0, std::slice::from_ref(&target.device))?;
    network.set_precision(target.precision)?;
    network.set_gpu_math(target.math);
    Ok(network)
}

fn images(target: &Target, network: &Network, batch: usize) -> Result<Tensor> {
    let [c, h, w] = network.spec().input_size();
    Ok(Tensor::randn(0f32, 50., (batch, c, h, w), &target.device)?)
}

/// A network in training.
struct Training {
    network: Network,
    solver: Solver,
    tape: Tape,
    step: u32,
}

impl Training {
    fn new(target: &Target, arch: &str) -> Result<Self> {
        let network = network(target, arch)?;
        let solver = Solver::new(&TrainConfig::recipe(arch, "".into()).solver, &network)?;
        Ok(Self { network, solver, tape: Tape::new(), step: 0 })
    }

    /// Runs one step; returns the losses and the logits.
    fn step(&mut self, images: &Tensor, labels: &Tensor) -> Result<[Tensor; 2]> {
        // Small rates, so that the weights stay finite with random labels.
        let rates = Rates { weight: 1e-6, bias: 1e-6 };
        let Self { network, solver, tape, step } = self;
        let logits = network.forward(images, Mode::train(0, *step), tape)?;
        let (losses, grad) = (Tensor::zeros(labels.dims1()?, DType::F32, labels.device())?, logits.zeros_like()?);
        softmax_cross_entropy::forward_into(&logits, labels, &losses, Some(&grad))?;
        network
            .backward_factored(tape, &[&grad], |index, gradient| Ok(solver.update(network, index, gradient, rates)?))?;
        *step += 1;
        Ok([losses, logits])
    }
}

pub fn train(target: &Target, arch: &str, batch: usize, time: Duration) -> Result<()> {
    let mut training = Training::new(target, arch)?;
    let images = images(target, &training.network, batch)?;
    let labels: Vec<u32> = (0..batch).map(|i| (i * 7 % CLASSES) as u32).collect();
    let labels = Tensor::from_vec(labels, batch, &target.device)?;
    let all = target.seconds(time, || training.step(&images, &labels).map(drop))?;
    report(target, "train", arch, batch, all)
}

/// Training steps including data loading: a thousand images of 256 pixels in raw shards, which the system keeps in
/// memory, cropped, flipped and otherwise augmented by the recipe as in a run.
pub fn feed(target: &Target, arch: &str, batch: usize, time: Duration) -> Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let folder = tempfile::tempdir()?;
    let [drawn, prepared] = ["drawn", "prepared"].map(|name| folder.path().join(name));
    let shapes = ShapesConfig { train: 1000, val: 10, ..Default::default() };
    shapes::prepare(&drawn, &shapes, workers, &|_, _| {})?;
    let options = PrepareOptions::new(drawn, prepared.clone(), workers);
    prepare(&PrepareOptions { crop: true, format: StoredFormat::Raw, ..options }, &|_| {})?;

    let mut training = Training::new(target, arch)?;
    let config = TrainConfig::recipe(arch, prepared);
    let data = RunData::open(&config.data, training.network.spec().input_spec(), None, workers, &|_, _| {})?;
    // An epoch as long as that of a large data set, so that startup time is negligible.
    let samples: Vec<_> = data.train.iter().cycle().take(data.train.len().max(1 << 20)).cloned().collect();
    let loader = DataLoaderConfig { workers, prefetch: workers + 1, ..DataLoaderConfig::train(batch, 0, 0) };
    let mut feed = Feed::new(&training.network, samples.into(), &data.pipeline, loader)?;
    let (mut download, mut before) = (Download::default(), None);
    let (mut start, mut all) = (Instant::now(), Vec::new());
    let begun = start;
    // The first half of the steps is warm-up.
    while all.len() < 6 || begun.elapsed() < time * 2 {
        let Some((batch, Some(images))) = feed.next(&training.network)? else { break };
        let labels = Tensor::from_slice(&batch.labels, batch.labels.len(), &target.device)?;
        let [losses, logits] = training.step(&images, &labels)?;
        let queued = [download.start(&losses)?, download.start(&logits)?];
        feed.look_ahead();
        for arriving in before.replace(queued).into_iter().flatten() {
            download.finish(arriving)?;
        }
        all.push(start.elapsed().as_secs_f64());
        start = Instant::now();
    }
    // Single times overlap between steps, so report the mean over all measured steps.
    let measured = &all[all.len() / 2..];
    let mean = measured.iter().sum::<f64>() / measured.len() as f64;
    report(target, "feed", arch, batch, vec![mean; measured.len()])
}

pub fn infer(target: &Target, arch: &str, batch: usize, time: Duration) -> Result<()> {
    let network = network(target, arch)?;
    let images = images(target, &network, batch)?;
    let inference = network.inference()?;
    let all = target.seconds(time, || {
        inference.forward(&images)?;
        Ok(())
    })?;
    report(target, "infer", arch, batch, all)
}

fn report(target: &Target, work: &str, arch: &str, batch: usize, all: Vec<f64>) -> Result<()> {
    let n = all.len();
    let seconds = median(all);
    let result = serde_json::json!({
        "precision": target.precision, "work": work, "arch": arch, "batch": batch, "n": n, "seconds": seconds,
        "images_per_second": batch as f64 / seconds, "peak_memory_mib": peak_memory(), "page_faults": page_faults(),
    });
    println!("{result}");
    Ok(())
}

/// Peak memory of this process in MiB, if the system reports it.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// Number of minor page faults of this process, if the system reports it.
fn page_faults() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The first field after the name in parentheses is field 3; minor faults are field 10.
    stat.rsplit_once(')')?.1.split_whitespace().nth(7)?.parse().ok()
}
