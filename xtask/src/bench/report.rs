//! The results as Markdown.

use std::fmt::Write;

use serde_json::Value;

use super::process::rate;
use super::{Compared, LAYERS_OF, Results, Work};

pub fn tables(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, results);
    text
}

fn write(text: &mut String, results: &Results) -> std::fmt::Result {
    let machine = &results.machine;
    let peaks: Vec<String> = results
        .peak
        .iter()
        .map(|peak| format!("{:.0} GFLOP/s on {} ({})", number(&peak["gflops"]), peak["threads"], word(&peak["isa"])))
        .collect();
    writeln!(text, "CPU: {}; {} threads; fp32 peak {}.", machine.processor, machine.threads, peaks.join(", "))?;
    let torch = results.work.iter().flat_map(|work| &work.torch).next().map(|torch| word(&torch["torch"]));
    let torch = torch.map_or(String::new(), |version| format!(", PyTorch {version}"));
    writeln!(text, "{}{torch}; commit {}.", machine.rustc, machine.commit)?;
    if !results.work.is_empty() {
        networks(text, &results.work)?;
    }
    if !results.layers.is_empty() {
        let peak = results.peak.last().map_or(f64::NAN, |peak| number(&peak["gflops"]));
        layers(text, &results.layers, peak)?;
    }
    if !results.batches.is_empty() {
        scaling(text, results)?;
    }
    Ok(())
}

fn networks(text: &mut String, work: &[Compared]) -> std::fmt::Result {
    writeln!(text, "\n| work | images/s | PyTorch, fastest setting | ratio | n | memory, MiB | PyTorch's |")?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    for compared in work {
        let Compared { work: Work { work, arch, batch, precision }, ours, torch, setting } = compared;
        let with = match precision {
            ["f32", "f32"] => String::new(),
            ["f32", theirs] => format!(", PyTorch in {theirs}"),
            [ours, theirs] if ours == theirs => format!(", {ours}"),
            [ours, theirs] => format!(", {ours}, PyTorch in {theirs}"),
        };
        let ours_rate = spread(ours.iter().map(rate).collect(), 1);
        let memory = |results: &[Value]| {
            let most = results.iter().map(|result| number(&result["peak_memory_mib"])).fold(f64::NAN, f64::max);
            if most.is_nan() { "–".into() } else { format!("{most:.0}") }
        };
        let torch_rate = setting.map_or("–".into(), |setting| {
            let how = match (setting.compile, setting.channels_last) {
                (false, false) => "eager",
                (false, true) => "eager, channels last",
                (true, false) => "compiled",
                (true, true) => "compiled, channels last",
            };
            format!("{} ({how})", spread(torch.iter().map(rate).collect(), 1))
        });
        let ratios: Vec<f64> = ours.iter().zip(torch).map(|(ours, torch)| rate(ours) / rate(torch)).collect();
        let ratio = if ratios.is_empty() { "–".into() } else { format!("**{}**", spread(ratios, 2)) };
        writeln!(
            text,
            "| {work} `{arch}`, batch {batch}{with} | {ours_rate} | {torch_rate} | {ratio} | {} | {} | {} |",
            ours.len(),
            memory(ours),
            memory(torch)
        )?;
    }
    writeln!(text, "\nMedian (lowest–highest) of n rounds; each ratio is taken within a round.")?;
    if work.iter().any(|compared| compared.work.precision[0] == "bf16") {
        writeln!(
            text,
            "In bf16, this project stores the weights of fully connected layers in bf16, and also multiplies them in bf16 \
             on CPUs that support it with more than eight images; PyTorch computes as much as possible in bf16."
        )?;
    }
    Ok(())
}

fn layers(text: &mut String, layers: &[Value], peak: f64) -> std::fmt::Result {
    writeln!(
        text,
        "\nLayers of `{}`, batch {}: ms, and GFLOP/s (% of peak) for convolutions and fully connected layers.",
        LAYERS_OF.0, LAYERS_OF.1
    )?;
    writeln!(text, "\n| layer | forward | gradient of the input | gradient of the weights |\n|---|---|---|---|")?;
    for layer in layers {
        let cell = |what: &str| {
            let ms = &layer[format!("{what}_ms")];
            let gflops = number(&layer[format!("{what}_gflops")]);
            match (ms.as_f64(), gflops.is_nan()) {
                (None, _) => "–".into(),
                (Some(ms), true) => format!("{ms:.1}"),
                (Some(ms), false) => format!("{ms:.1}, {gflops:.0} ({:.0} %)", 100.0 * gflops / peak),
            }
        };
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            word(&layer["layer"]),
            cell("forward"),
            cell("grad_x"),
            cell("grad_weight")
        )?;
    }
    Ok(())
}

fn scaling(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(text, "\nTraining `{}` at different batch sizes:", LAYERS_OF.0)?;
    writeln!(text, "\n| batch | ms per image | images/s |\n|---|---|---|")?;
    for line in &results.batches {
        writeln!(text, "| {} | {:.1} | {:.1} |", line["batch"], 1e3 / rate(line), rate(line))?;
    }
    let same_batch = |line: &&Value| results.one_thread.as_ref().is_some_and(|one| one["batch"] == line["batch"]);
    if let (Some(one), Some(all)) = (&results.one_thread, results.batches.iter().find(same_batch)) {
        let (one_rate, all_rate) = (rate(one), rate(all));
        writeln!(
            text,
            "\nAt batch {}: {one_rate:.1} images/s on one thread, {all_rate:.1} on {}: {:.2} times as many.",
            one["batch"],
            results.machine.threads,
            all_rate / one_rate
        )?;
    }
    Ok(())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// `median (lowest–highest)`.
pub fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return "–".into() };
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
    if values.len() == 1 {
        format!("{median:.digits$}")
    } else {
        format!("{median:.digits$} ({first:.digits$}–{last:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::process::{Machine, Setting};
    use serde_json::json;

    #[test]
    fn medians_come_with_their_spread() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0], 1), "2.0 (1.0–3.0)");
        assert_eq!(spread(vec![1.0, 2.0], 2), "1.50 (1.00–2.00)");
        assert_eq!(spread(vec![4.0], 0), "4");
        assert_eq!(spread(vec![], 0), "–");
    }

    #[test]
    fn ratios_are_those_of_rounds() {
        let result = |rate: f64| json!({ "images_per_second": rate, "peak_memory_mib": 100.0, "torch": "2.11.0" });
        let results = Results {
            machine: Machine { processor: "P".into(), threads: 2, rustc: "rustc 1".into(), commit: "abc".into() },
            peak: vec![json!({ "gflops": 100.0, "threads": 2, "isa": "avx2" })],
            layers: vec![json!({ "layer": "conv1", "forward_ms": 2.0, "forward_gflops": 50.0, "grad_x_ms": null })],
            work: vec![Compared {
                work: Work::new("train", "alexnet", 128).with("f32", "bf16"),
                ours: vec![result(30.0), result(20.0), result(40.0)],
                setting: Some(Setting { compile: true, channels_last: true }),
                torch: vec![result(10.0), result(10.0), result(10.0)],
            }],
            batches: vec![json!({ "batch": 128, "images_per_second": 38.0 })],
            one_thread: Some(json!({ "batch": 128, "images_per_second": 20.0 })),
        };
        let text = tables(&results);
        for part in [
            "| train `alexnet`, batch 128, PyTorch in bf16 | 30.0 (20.0–40.0) | 10.0 (10.0–10.0) (compiled, channels last) \
             | **3.00 (2.00–4.00)** | 3 | 100 | 100 |",
            "| conv1 | 2.0, 50 (50 %) | – | – |",
            "1.90 times as many",
            "PyTorch 2.11.0; commit abc",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
