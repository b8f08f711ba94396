//! `cargo xtask golden`: runs the scripts whose results the tests compare with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The docstring of each script lists its requirements and outputs. A second run on the same machine gives the same bytes.
const SCRIPTS: [&str; 4] = [
    "xtask/golden/kernels.py",
    "xtask/golden/model.py",
    "xtask/golden/pth.py",
    "crates/alexnet-data/tests/fixtures/make.py",
];

#[derive(clap::Args)]
pub struct GoldenArgs {
    /// A Python with torch 2.11, torchvision 0.26, safetensors and, for the images, pillow and opencv.
    #[arg(long, default_value = "python3", value_name = "PYTHON")]
    python: PathBuf,

    /// Run only the scripts whose path contains this.
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

pub fn run(root: &Path, args: &GoldenArgs) -> anyhow::Result<()> {
    let filter = args.filter.as_deref().unwrap_or("");
    let chosen: Vec<&str> = SCRIPTS.into_iter().filter(|script| script.contains(filter)).collect();
    if chosen.is_empty() {
        bail!("no script's path contains {filter:?}; the scripts are {}", SCRIPTS.join(", "));
    }
    for script in chosen {
        println!("{script}");
        let script = root.join(script);
        // The scripts write to their own folder.
        let folder = script.parent().unwrap_or(root);
        let status = Command::new(&args.python).arg(&script).current_dir(folder).status();
        let status = status.with_context(|| format!("cannot run {}", args.python.display()))?;
        if !status.success() {
            bail!("{} ended with {status}", script.display());
        }
    }
    Ok(())
}
