//! The command `alexnet`: train, evaluate and use AlexNet and its variants.
//!
//! The only crate that reads arguments and the environment, prints, and exits. Exit codes: 0 success, 1 failure, 2 wrong usage.

#![allow(unreachable_pub)] // A binary exports nothing.

mod args;
mod commands;
mod output;

use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.command {
        Command::Train(args) => commands::train::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Predict(args) => commands::predict::run(&args),
        Command::Info(args) => commands::info::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) if output::nobody_reads(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
