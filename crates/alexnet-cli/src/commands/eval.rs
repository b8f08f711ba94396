//! `alexnet eval`.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;

use alexnet_data::{DataLoaderConfig, Sample, Views};
use alexnet_model::{Model, Tape};
use alexnet_train::{Ensemble, Evaluation, Images, Metrics, evaluate, evaluation_images, model_pipeline};
use anyhow::bail;
use serde_json::{Value, json};

use crate::args::EvalArgs;
use crate::output::{self, say};

pub fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    let threads = args.machine.threads();
    let ten = args.views == "10";
    // Ten views make ten times the images of a step.
    let batch_size = if ten { args.batch_size.get().div_ceil(10) } else { args.batch_size.get() };
    let views = if ten { Views::Ten } else { Views::Center };
    let config = DataLoaderConfig {
        views,
        workers: threads.min(16),
        prefetch: threads.min(16) + 1,
        ..DataLoaderConfig::eval(batch_size)
    };
    let all = &args.weights.weights;
    let mut together: Option<Ensemble> = None;
    let mut members = Vec::new();
    for (model, path) in args.weights.load(&args.machine)?.zip(all) {
        let model = model?;
        let samples = images(args, &model, members.is_empty())?;
        if all.len() > 1 && together.is_none() {
            together = Some(Ensemble::new(samples.clone()));
        }
        let found = measure(args, &model, &samples, together.as_mut(), config, members.is_empty())?;
        let arch = model.network.spec().arch();
        let mut member = numbers(&found.metrics, found.views);
        member["arch"] = arch.into();
        member["images_per_second"] = found.images_per_second.into();
        if together.is_some() {
            member["weights"] = path.to_string_lossy().into();
        }
        members.push(member);
        if !args.machine.json {
            let who = if together.is_some() { format!("{} ({arch})", path.display()) } else { arch.into() };
            let rate = format!(" ({:.0} images/s)", found.images_per_second);
            say(line(&who, args, &found.metrics) + &rate)?;
        }
    }
    let together = together.map(|ensemble| ensemble.metrics());
    match together {
        None if args.machine.json => members.into_iter().try_for_each(say)?,
        None => {}
        Some(metrics) if args.machine.json => {
            let mut result = numbers(&metrics, views.count());
            result["members"] = members.into();
            say(result)?;
        }
        Some(metrics) => say(line(&format!("these {} together", all.len()), args, &metrics))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The images, which the model has to know the classes of.
fn images(args: &EvalArgs, model: &Model, first: bool) -> anyhow::Result<Arc<[Sample]>> {
    let (images, is_split) = evaluation_images(&args.data, &model.classes)?;
    if !is_split && first {
        eprintln!(
            "{} has no val folder: all its images are measured, those that a run was trained on among them",
            args.data.display()
        );
    }
    let classes = model.network.spec().classes();
    if images.classes.len() != classes {
        bail!("the weights know {classes} classes, but {} holds {}", args.data.display(), images.classes.len());
    }
    Ok(images.samples.into())
}

/// Measures one model, and adds it to the others where there are any.
fn measure(
    args: &EvalArgs,
    model: &Model,
    samples: &Arc<[Sample]>,
    together: Option<&mut Ensemble>,
    config: DataLoaderConfig,
    first: bool,
) -> anyhow::Result<Evaluation> {
    let pipeline = Arc::new(model_pipeline(model)?);
    let bar = output::bar("evaluating");
    let progress = &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        ControlFlow::Continue(())
    };
    let found = match together {
        Some(ensemble) => ensemble.add(&model.network, &pipeline, config, progress)?,
        None => {
            let images = Images { samples, pipeline: &pipeline, config };
            evaluate(&model.network, images, &mut Tape::new(), progress)?
        }
    };
    let found = found.expect("nothing breaks it off");
    bar.finish_and_clear();
    // They are the same for every model.
    for bad in found.bad.iter().filter(|_| first) {
        eprintln!("left out: {}", bad.reason);
    }
    if found.metrics.images == 0 {
        bail!("{}: none of the {} images could be read", args.data.display(), samples.len());
    }
    Ok(found)
}

fn numbers(metrics: &Metrics, views: usize) -> Value {
    json!({
        "images": metrics.images,
        "top1": metrics.top1(),
        "top5": metrics.top5(),
        "loss": metrics.loss(),
        "views": views,
    })
}

fn line(who: &str, args: &EvalArgs, metrics: &Metrics) -> String {
    format!(
        "{who} on {} images of {}, {} each: {:.2} % top-1, {:.2} % top-5, loss {:.4}",
        metrics.images,
        args.data.display(),
        if args.views == "10" { "ten views" } else { "one view" },
        metrics.top1() * 100.0,
        metrics.top5() * 100.0,
        metrics.loss(),
    )
}
