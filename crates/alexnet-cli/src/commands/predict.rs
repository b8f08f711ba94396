//! `alexnet predict`.

use std::path::Path;
use std::process::ExitCode;

use alexnet_data::{Mode as View, Pipeline};
use alexnet_model::{Inference, Model};
use alexnet_train::{model_pipeline, probabilities};
use candle_core::{Device, Tensor};
use serde::Serialize;

use crate::args::PredictArgs;
use crate::output::say;

/// One guess.
#[derive(Serialize)]
struct Prediction {
    /// The class's number, from 0.
    class: usize,
    /// Its name.
    label: String,
    probability: f32,
}

pub fn run(args: &PredictArgs) -> anyhow::Result<ExitCode> {
    let model = args.weights.load(&args.machine)?;
    let pipeline = model_pipeline(&model)?;
    let mut inference = model.network.inference();
    let mut failed = 0;
    for image in &args.images {
        match predict(&model, &pipeline, image, args.top.get(), &mut inference) {
            Ok(predictions) if args.machine.json => {
                let image = image.to_string_lossy();
                say(serde_json::json!({ "image": image, "predictions": predictions }))?;
            }
            Ok(predictions) => {
                say(image.display())?;
                for Prediction { label, probability, .. } in predictions {
                    say(format_args!("  {:5.1} %  {label}", probability * 100.0))?;
                }
            }
            Err(error) => {
                failed += 1;
                if args.machine.json {
                    let image = image.to_string_lossy();
                    say(serde_json::json!({ "image": image, "error": crate::output::sentence(&error) }))?;
                } else {
                    crate::output::error(&error);
                }
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn predict(
    model: &Model,
    pipeline: &Pipeline,
    image: &Path,
    top: usize,
    inference: &mut Inference<'_>,
) -> anyhow::Result<Vec<Prediction>> {
    let spec = model.network.spec();
    let [c, h, w] = spec.input_size();
    let images = Tensor::from_vec(pipeline.load(image, View::Eval)?, (1, c, h, w), &Device::Cpu)?;
    let logits = inference.forward(&images)?;
    let mut ranked: Vec<(usize, f32)> = probabilities(&logits, 1)?.concat().into_iter().enumerate().collect();
    // Of equal ones, the first class first.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let label = |class: usize| model.classes.get(class).cloned().unwrap_or_else(|| format!("class {class}"));
    let guesses = ranked.into_iter().take(top);
    Ok(guesses.map(|(class, probability)| Prediction { class, label: label(class), probability }).collect())
}
