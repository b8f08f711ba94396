//! With the feature `cuda`: compiles the kernels to PTX, so that their errors show on machines without a GPU too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The oldest GPU generation our kernels are built for by default. The driver compiles the PTX for newer ones.
const COMPUTE_CAPABILITY: u32 = 80;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_some()
        && let Err(message) = compile()
    {
        println!("cargo::error={}", message.replace('\n', " "));
    }
}

fn compile() -> Result<(), String> {
    println!("cargo::rerun-if-changed=src");
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR", "CUDA_COMPUTE_CAP", "PATH"]
    {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let nvcc = find_nvcc()?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let asked = match env::var("CUDA_COMPUTE_CAP") {
        Ok(text) => number(&text).ok_or(format!("CUDA_COMPUTE_CAP must be like 80 or 9.0, but is {text:?}"))?,
        Err(_) => COMPUTE_CAPABILITY,
    };
    let capability = asked.min(COMPUTE_CAPABILITY);
    // The capability Candle builds its own kernels for, unless it queries the GPU of this machine.
    println!("cargo::rustc-env=ALEXNET_COMPUTE_CAPABILITY={asked}");
    // PTX runs on its generation and all later ones, so the PTX of the oldest generation runs on all.
    let arch = format!("-arch=compute_{capability}");
    for (name, option) in [("f32", None), ("bf16", Some("-DREAL_BF16"))] {
        let mut command = Command::new(&nvcc);
        command.args(["-ptx", "-std=c++17", "-O3", &arch]).args(option);
        command.arg("src/cuda/kernels.cu").arg("-o").arg(out.join(format!("kernels_{name}.ptx")));
        let ran = command.output().map_err(|error| format!("cannot run {}: {error}", nvcc.display()))?;
        if !ran.status.success() {
            let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            return Err(format!("{} failed on src/cuda/kernels.cu: {stdout}{stderr}", nvcc.display()));
        }
    }
    Ok(())
}

/// The capability in any of the forms that Candle accepts: `80`, `8.0`, `sm_80`, `90a`.
fn number(text: &str) -> Option<u32> {
    let digits = text.trim().trim_start_matches("sm_").trim_end_matches(|c: char| c.is_ascii_alphabetic());
    digits.replace('.', "").parse().ok()
}

/// The path of the CUDA compiler; the error lists all places searched.
fn find_nvcc() -> Result<PathBuf, String> {
    let program = format!("nvcc{}", env::consts::EXE_SUFFIX);
    let variable = |name: &str| env::var_os(name).map(|value| (format!("{name}={}", value.display()), value));
    let mut places: Vec<(String, PathBuf)> = Vec::new();
    if let Some((origin, file)) = variable("NVCC") {
        let found = PathBuf::from(file);
        return if found.is_file() { Ok(found) } else { Err(format!("NVCC must be a file, but {origin} is not")) };
    }
    // The search order of Candle's own build.
    let path = env::var_os("PATH").unwrap_or_default();
    places.extend(env::split_paths(&path).map(|folder| ("PATH".to_owned(), folder.join(&program))));
    for name in ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR"] {
        places.extend(variable(name).map(|(origin, root)| (origin, Path::new(&root).join("bin").join(&program))));
    }
    for root in ["/usr/local/cuda", "/opt/cuda"] {
        places.push((root.to_owned(), Path::new(root).join("bin").join(&program)));
    }
    if let Some((_, found)) = places.iter().find(|(_, file)| fs::metadata(file).is_ok_and(|found| found.is_file())) {
        return Ok(found.clone());
    }
    let mut origins: Vec<&str> = places.iter().map(|(origin, _)| origin.as_str()).collect();
    origins.dedup();
    Err(format!(
        "install a CUDA toolkit, 12.0 or later, and put its bin folder on PATH, where Candle's build searches too: the \
         feature `cuda` requires NVIDIA's compiler nvcc, which is in none of: {}",
        origins.join(", ")
    ))
}
