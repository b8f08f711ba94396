//! Chores of the workspace, called as `cargo xtask <chore>`. Nothing depends on this crate.

#![allow(unreachable_pub)] // A binary has no outside.

mod bench;
mod golden;
mod gpu_kit;
mod hub;
mod prepare_imagenet;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the AlexNet workspace.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check the rules of the house: who may depend on whom, the files of an operation, what a published crate has.
    Tidy,
    /// Measure speed, alone or beside PyTorch.
    Bench(bench::BenchArgs),
    PrepareImagenet(prepare_imagenet::PrepareArgs),
    GpuKit(gpu_kit::KitArgs),
    /// Make the golden files anew: what PyTorch, torchvision, Pillow and OpenCV say.
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
            // The library's errors name their causes themselves.
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

/// The top of the workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("this crate lies one below the top").to_owned()
}
