//! `alexnet info`.

use std::process::ExitCode;

use alexnet_kernels::{CpuIsa, cuda_devices};
use alexnet_model::{Model, Specification, build};
use alexnet_train::{RunDir, write_network};
use candle_core::Device;
use serde_json::{Value, json};

use crate::args::{InfoArgs, ListFormat};
use crate::output::say;

pub fn run(args: &InfoArgs) -> anyhow::Result<ExitCode> {
    if args.devices {
        return devices(args.json);
    }
    let model = match &args.weights {
        Some(weights) => Some(Model::load(&RunDir::model_file(weights)?, args.arch.as_deref(), &Device::Cpu)?),
        None => None,
    };
    let built;
    let spec = match &model {
        Some(model) => model.network.spec(),
        None => {
            built = build(args.arch.as_deref().unwrap_or("alexnet"), args.classes.map_or(1000, usize::from))?;
            &built
        }
    };
    let classes = model.as_ref().map(|model| model.classes.as_slice()).filter(|classes| !classes.is_empty());
    if args.format == Some(ListFormat::Toml) {
        say(write_network(spec)?.trim_end())?;
    } else if args.json {
        say(json(spec, classes))?;
    } else {
        say(table(spec, classes).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the devices. A machine without a usable GPU is not an error; the reason is printed.
fn devices(as_json: bool) -> anyhow::Result<ExitCode> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let isa = CpuIsa::current();
    let gpus = cuda_devices();
    if as_json {
        let found = gpus.as_deref().unwrap_or_default().iter().map(|gpu| {
            json!({
                "device": format!("cuda:{}", gpu.ordinal),
                "name": gpu.name,
                "compute_capability": format!("{}.{}", gpu.compute_capability.0, gpu.compute_capability.1),
                "memory": gpu.memory,
                "free_memory": gpu.free_memory,
                "multiprocessors": gpu.multiprocessors,
                "unusable": gpu.unusable,
            })
        });
        let cpu = json!({"device": "cpu", "threads": threads, "instructions": isa.to_string()});
        let why = gpus.as_ref().err().map(ToString::to_string);
        say(json!({"cpu": cpu, "cuda": found.collect::<Vec<_>>(), "no_cuda": why}))?;
        return Ok(ExitCode::SUCCESS);
    }
    say(format!("cpu      {threads} threads, {isa}"))?;
    match gpus {
        Ok(gpus) => {
            for gpu in gpus {
                let (major, minor) = gpu.compute_capability;
                let [free, memory] = [gpu.free_memory, gpu.memory].map(|bytes| bytes as f64 / f64::from(1 << 30));
                let device = format!("cuda:{}", gpu.ordinal);
                let why = gpu.unusable.map_or(String::new(), |why| format!("; {why}"));
                say(format!(
                    "{device:8} {}, compute capability {major}.{minor}, {free:.1} of {memory:.1} GiB free{why}",
                    gpu.name
                ))?;
            }
        }
        Err(error) => say(format!("no cuda: {error}"))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn json(spec: &Specification, classes: Option<&[String]>) -> Value {
    let layers: Vec<_> = (0..spec.layers().len())
        .map(|i| {
            json!({
                "name": spec.layers()[i].name,
                "kind": spec.layers()[i].kind.name(),
                "output_shape": spec.shapes()[i].dims(),
                "parameters": spec.layer_parameter_count(i),
                "macs": spec.layer_macs(i),
            })
        })
        .collect();
    let mut result = json!({
        "arch": spec.arch(),
        "parameters": spec.parameter_count(),
        "macs": spec.macs(),
        "layers": layers,
    });
    if let Some(classes) = classes {
        result["classes"] = json!(classes);
    }
    result
}

fn table(spec: &Specification, classes: Option<&[String]>) -> String {
    let mut text = format!("{}, {} classes\n", spec.arch(), spec.classes());
    text.extend(classes.map(|classes| format!("{}\n", classes.join(", "))));
    let mut row = |layer: &str, kind: &str, output: &str, parameters: &str, macs: &str| {
        text.push_str(format!("\n{layer:14} {kind:18} {output:>14} {parameters:>12} {macs:>14}").trim_end());
    };
    row("layer", "kind", "output", "parameters", "multiply-adds");
    let count = |n: usize| if n == 0 { String::new() } else { thousands(n) };
    for (i, layer) in spec.layers().iter().enumerate() {
        let unit = layer.activation.map_or(String::new(), |unit| format!(" + {}", format!("{unit:?}").to_lowercase()));
        let shape: Vec<String> = spec.shapes()[i].dims().iter().map(usize::to_string).collect();
        let (parameters, macs) = (count(spec.layer_parameter_count(i)), count(spec.layer_macs(i)));
        row(&layer.name, &format!("{}{unit}", layer.kind.name()), &shape.join("×"), &parameters, &macs);
    }
    row("total", "", "", &thousands(spec.parameter_count()), &thousands(spec.macs()));
    text
}

/// The number with a comma between groups of three digits.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 60_965_224].map(thousands), ["0", "999", "1,000", "60,965,224"]);
    }
}
