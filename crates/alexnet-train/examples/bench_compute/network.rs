//! Whole networks.

use std::time::Duration;

use alexnet_kernels::softmax_cross_entropy;
use alexnet_model::{Mode, Network, Tape, build};
use alexnet_train::{Rates, Solver, TrainConfig};
use candle_core::{DType, Tensor};

use crate::{Result, Target, median};

const CLASSES: usize = 1000;

fn network(target: &Target, arch: &str) -> Result<Network> {
    let mut network = Network::new(build(arch, CLASSES)?, 0, std::slice::from_ref(&target.device))?;
    network.set_precision(target.precision)?;
    Ok(network)
}

fn images(target: &Target, network: &Network, batch: usize) -> Result<Tensor> {
    let [c, h, w] = network.spec().input_size();
    Ok(Tensor::randn(0f32, 50., (batch, c, h, w), &target.device)?)
}

pub fn train(target: &Target, arch: &str, batch: usize, time: Duration) -> Result<()> {
    let network = network(target, arch)?;
    // Small, so that the weights of random labels stay numbers.
    let config = TrainConfig::recipe(arch, "".into());
    let solver = Solver::new(&config.solver, &network)?;
    let rates = Rates { weight: 1e-6, bias: 1e-6 };
    let images = images(target, &network, batch)?;
    let labels: Vec<u32> = (0..batch).map(|i| (i * 7 % CLASSES) as u32).collect();
    let labels = Tensor::from_vec(labels, batch, &target.device)?;
    let (mut tape, mut step) = (Tape::new(), 0);
    let all = target.seconds(time, || {
        let logits = network.forward(&images, Mode::Train { seed: 0, step }, &mut tape)?;
        let (losses, grad) = (Tensor::zeros(batch, DType::F32, &target.device)?, logits.zeros_like()?);
        softmax_cross_entropy::forward_into(&logits, &labels, &losses, Some(&grad))?;
        network.backward_factored(&mut tape, &grad, |index, gradient| {
            Ok(solver.update(&network, index, gradient, rates)?)
        })?;
        step += 1;
        Ok(())
    })?;
    report(target, "train", arch, batch, all)
}

pub fn infer(target: &Target, arch: &str, batch: usize, time: Duration) -> Result<()> {
    let network = network(target, arch)?;
    let images = images(target, &network, batch)?;
    let mut inference = network.inference();
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

/// The most memory this process has held so far, in MiB, where the system tells.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// Pages this process has touched for the first time, where the system tells.
fn page_faults() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the name, which stands in brackets, the first field is the third; minor faults are the tenth.
    stat.rsplit_once(')')?.1.split_whitespace().nth(7)?.parse().ok()
}
