//! Tasks of the workspace, called as `cargo xtask <task>`. No crate depends on this one.

#![allow(unreachable_pub)] // A binary exports nothing.

mod bench;
mod golden;
mod gpu_kit;
mod hub;
mod prepare_imagenet;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the AlexNet workspace.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check the project rules: dependencies between crates, the files of an operation, the metadata of published crates.
    Tidy,
    /// Measure speed, alone or in comparison with PyTorch.
    Bench(bench::BenchArgs),
    PrepareImagenet(prepare_imagenet::PrepareArgs),
    GpuKit(gpu_kit::KitArgs),
    /// Regenerate the golden files: results of PyTorch, torchvision, Pillow and OpenCV.
    Golden(golden::GoldenArgs),
}

fn main() -> ExitCode {
    let result = match Args::parse().chore {
        Chore::Tidy => tidy::run(&root()),
        Chore::Bench(args) => bench::run(&root(), &args),
        Chore::PrepareImagenet(args) => prepare_imagenet::run(&root(), &args),
        Chore::GpuKit(args) => gpu_kit::run(&root(), &args),
        Chore::Golden(args) => golden::run(&root(), &args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The library's errors already contain the text of their causes.
            let mut text = String::new();
            for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
                if !text.ends_with(&cause) {
                    text += &format!("{}{cause}", if text.is_empty() { "" } else { ": " });
                }
            }
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

/// The root folder of the workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("this crate is one level below the root").to_owned()
}
