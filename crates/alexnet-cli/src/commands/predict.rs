//! `alexnet predict`.

use std::process::ExitCode;

use alexnet::{Location, Views};
use serde_json::json;

use crate::args::PredictArgs;
use crate::output::{self, say};

/// Number of images whose results are printed together.
const CHUNK: usize = 32;

pub fn run(args: &PredictArgs) -> anyhow::Result<ExitCode> {
    let views = if args.views == "10" { Views::Ten } else { Views::Center };
    let classifier = args.weights.open(&args.machine, views)?;
    let mut failed = 0;
    for paths in args.images.chunks(CHUNK) {
        let found: Vec<_> = paths.iter().map(|path| Location::find(path)).collect();
        let locations: Vec<Location> = found.iter().flatten().cloned().collect();
        let mut results = classifier.classify_all(&locations, args.top.get()).into_iter();
        for (path, found) in paths.iter().zip(found) {
            let result = match found {
                Ok(_) => results.next().expect("one result per image that was found"),
                Err(error) => Err(error.into()),
            };
            let image = path.to_string_lossy();
            match result {
                Ok(predictions) if args.machine.json => say(json!({ "image": image, "predictions": predictions }))?,
                Ok(predictions) => {
                    say(path.display())?;
                    for guess in predictions {
                        say(format_args!("  {:5.1} %  {}", guess.probability * 100.0, guess.label))?;
                    }
                }
                Err(error) => {
                    failed += 1;
                    let error = error.into();
                    if args.machine.json {
                        say(json!({ "image": image, "error": output::sentence(&error) }))?;
                    } else {
                        output::error(&error);
                    }
                }
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
