//! Checks that the matrix products of the network still reach the expected fraction of the CPU's peak.
//!
//! Absolute times would depend on the load of the machine. Each round measures the peak, then every layer, on one
//! thread; the check compares the best values over all rounds. Noise never makes a kernel faster, so extra rounds
//! cannot hide a slow kernel, and rounds are repeated until all bounds hold: other processes that use the caches, which
//! the peak does not depend on, only prolong the check. AVX2 is forced, so the same bounds apply to machines with wider
//! vectors; AVX-512, if available, must not be slower than AVX2.

use std::collections::BTreeMap;
use std::time::Duration;

use alexnet_kernels::{CpuIsa, GpuMath, measure_peak};
use alexnet_model::Precision;
use candle_core::Device;

use crate::{Result, Target, layers};

const CPU: Target =
    Target { device: Device::Cpu, precision: Precision::F32, math: GpuMath { tf32: false, nondeterministic: false } };

/// Number of rounds after which a kernel counts as slow. A round takes one second on an idle machine, up to seven if
/// all cores are busy.
const ROUNDS: usize = 90;
const BATCH: usize = 8;
/// Minimum ratio of the multiply-add rate, counted as for direct convolution, to the peak: forward, gradient of the
/// input, gradient of the weights. About 0.6 of the values measured on an idle Zen 3, to allow for other caches and
/// memories. Conv1 and conv2 cannot reach the bounds without Winograd's algorithm, the 3×3 layers nearly can; the tests
/// of the kernels check which algorithm is used.
const LEAST: [(&str, [f64; 3]); 6] = [
    ("conv1", [0.85, 0.0, 0.85]),
    ("conv2", [1.5, 1.5, 1.2]),
    ("conv3", [0.8, 0.8, 0.6]),
    ("conv4", [0.8, 0.8, 0.6]),
    ("conv5", [0.8, 0.8, 0.6]),
    ("fc6", [0.2, 0.1, 0.12]),
];
/// Minimum speed of AVX-512 relative to AVX2: both are equally fast if memory is the bottleneck or if the CPU splits
/// wide vectors into two passes.
const LEAST_WIDER: f64 = 0.85;
const OF: [&str; 3] = ["forward", "grad_x", "grad_weight"];

pub fn run() -> Result<()> {
    CpuIsa::Avx2.force(rounds).unwrap_or_else(|| {
        println!("SKIPPED: this CPU has no {}", CpuIsa::Avx2);
        let required = std::env::var("ALEXNET_REQUIRE").unwrap_or_default();
        if required.split(',').any(|name| name == CpuIsa::Avx2.to_string()) {
            return Err(format!("ALEXNET_REQUIRE names {}", CpuIsa::Avx2).into());
        }
        Ok(())
    })
}

/// The best GFLOP/s of each layer and direction so far.
type Best = BTreeMap<(String, &'static str), f64>;

fn rounds() -> Result<()> {
    let (mut peak, mut best, mut wider, mut report) = (0f64, Best::new(), Best::new(), String::new());
    for round in 1..=ROUNDS {
        let now = measure_peak(CpuIsa::Avx2, Duration::from_millis(200)).ok_or("this CPU has no AVX2")?;
        peak = peak.max(now / 1e9);
        measure(&mut best)?;
        let has_wider = CpuIsa::Avx512.force(|| measure(&mut wider)).transpose()?.is_some();
        let (mut lines, mut slow) = (Vec::new(), false);
        let mut judge = |ratio: f64, what: String, least: f64| {
            let verdict = if ratio < least { ", TOO SLOW" } else { "" };
            slow |= ratio < least;
            lines.push(format!("{what}: {ratio:.2}, at least {least}{verdict}"));
        };
        for (layer, least) in LEAST {
            for (what, least) in OF.into_iter().zip(least).filter(|&(_, least)| least > 0.0) {
                let key = (layer.to_owned(), what);
                let gflops = best.get(&key).ok_or_else(|| format!("no {what} of {layer}"))?;
                judge(gflops / peak, format!("{layer} {what}, over the peak"), least);
                if has_wider {
                    let wider = wider.get(&key).ok_or_else(|| format!("no {what} of {layer}"))?;
                    judge(wider / gflops, format!("{layer} {what}, AVX-512 over AVX2"), LEAST_WIDER);
                }
            }
        }
        report = format!("{}\nafter {round} rounds, peak {peak:.0} GFLOP/s", lines.join("\n"));
        if !slow {
            println!("{report}");
            return Ok(());
        }
    }
    Err(format!("a kernel has become slow:\n{report}").into())
}

fn measure(best: &mut Best) -> Result<()> {
    let fastest = |times: Vec<f64>| times.into_iter().fold(f64::INFINITY, f64::min);
    for layer in layers::measure_all(&CPU, "alexnet-paper", BATCH, Duration::ZERO, fastest)? {
        for what in OF {
            if let (Some(name), Some(gflops)) = (layer["layer"].as_str(), layer[format!("{what}_gflops")].as_f64()) {
                let best = best.entry((name.to_owned(), what)).or_insert(0f64);
                *best = best.max(gflops);
            }
        }
    }
    Ok(())
}
