//! `alexnet predict`.

use std::path::Path;
use std::process::ExitCode;

use alexnet_data::{Pipeline, Views};
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
    let models = args.weights.load(&args.machine)?.collect::<anyhow::Result<Vec<Model>>>()?;
    let member = |model| Ok(Member { model, pipeline: model_pipeline(model)?, inference: model.network.inference() });
    let mut members = models.iter().map(member).collect::<anyhow::Result<Vec<_>>>()?;
    let mut failed = 0;
    for image in &args.images {
        match predict(&mut members, image, args.top.get()) {
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

/// What one of the networks takes to answer.
struct Member<'a> {
    model: &'a Model,
    pipeline: Pipeline,
    inference: Inference<'a>,
}

/// The likeliest classes, by the mean of the members' probabilities.
fn predict(members: &mut [Member<'_>], image: &Path, top: usize) -> anyhow::Result<Vec<Prediction>> {
    let count = members.len() as f32;
    let mut mean: Vec<f32> = Vec::new();
    for Member { model, pipeline, inference } in &mut *members {
        let [c, h, w] = model.network.spec().input_size();
        let images = Tensor::from_vec(pipeline.load(image, Views::Center)?, (1, c, h, w), &Device::Cpu)?;
        let own = probabilities(&inference.forward(&images)?, 1)?.concat();
        mean.resize(own.len(), 0.0);
        mean.iter_mut().zip(own).for_each(|(mean, own)| *mean += own / count);
    }
    let mut ranked: Vec<(usize, f32)> = mean.into_iter().enumerate().collect();
    // Of equal ones, the first class first.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    // All members have the same names.
    let names: &[String] = members.first().map_or(&[], |first| &first.model.classes);
    let label = |class: usize| names.get(class).cloned().unwrap_or_else(|| format!("class {class}"));
    let guesses = ranked.into_iter().take(top);
    Ok(guesses.map(|(class, probability)| Prediction { class, label: label(class), probability }).collect())
}
