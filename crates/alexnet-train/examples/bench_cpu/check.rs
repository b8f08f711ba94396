//! Whether the products of the network are as near to the processor's peak as they were: a check for every change.
//!
//! A time would say how busy the machine is. A ratio of two times measured in turn on one thread does not: each round
//! measures the peak and then every layer, and the best of all rounds is taken on either side, which a neighbour can
//! disturb only by disturbing all of them. AVX2 is forced, so that a machine with wider vectors is held to the same bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use alexnet_kernels::{CpuIsa, measure_peak};

use crate::{Result, layers};

const ROUNDS: usize = 6;
const BATCH: usize = 8;
/// Multiply-adds per second, as if done directly, over the peak: forward, gradient of the input, of the weights. With
/// Winograd's algorithm that is above one. About six tenths of what was measured on a Zen 3, so that other caches and
/// memories pass; a kernel that loses its vectors, its blocking or its algorithm does not.
const LEAST: [(&str, [f64; 3]); 6] = [
    ("conv1", [0.85, 0.0, 0.85]),
    ("conv2", [1.5, 1.5, 1.2]),
    ("conv3", [0.8, 0.8, 0.6]),
    ("conv4", [0.8, 0.8, 0.6]),
    ("conv5", [0.8, 0.8, 0.6]),
    ("fc6", [0.2, 0.1, 0.12]),
];
const OF: [&str; 3] = ["forward_gflops", "grad_x_gflops", "grad_weight_gflops"];

pub fn run() -> Result<()> {
    let checked = CpuIsa::Avx2.force(|| {
        let (mut peak, mut best) = (0f64, BTreeMap::<(String, usize), f64>::new());
        for _ in 0..ROUNDS {
            peak = peak.max(measure_peak(CpuIsa::Avx2, Duration::from_millis(200)) / 1e9);
            for layer in layers::measure_all("alexnet-paper", BATCH, Duration::ZERO, |times| {
                times.into_iter().fold(f64::INFINITY, f64::min)
            })? {
                let name = layer["layer"].as_str().unwrap_or_default();
                for (i, key) in OF.iter().enumerate() {
                    if let Some(gflops) = layer[key].as_f64() {
                        let best = best.entry((name.to_owned(), i)).or_default();
                        *best = best.max(gflops);
                    }
                }
            }
        }
        let mut slow = Vec::new();
        for (layer, least) in LEAST {
            for (i, least) in least.into_iter().enumerate().filter(|&(_, least)| least > 0.0) {
                let ratio = best.get(&(layer.to_owned(), i)).ok_or_else(|| format!("no {} of {layer}", OF[i]))? / peak;
                println!("{layer} {}: {ratio:.2} of the peak, at least {least}", OF[i].trim_end_matches("_gflops"));
                if ratio < least {
                    slow.push(format!("{layer} {}: {ratio:.2} instead of {least}", OF[i]));
                }
            }
        }
        if slow.is_empty() { Ok(()) } else { Err(slow.join("; ").into()) }
    });
    checked.unwrap_or_else(|| {
        println!("SKIPPED: this processor has no AVX2");
        Ok(())
    })
}
