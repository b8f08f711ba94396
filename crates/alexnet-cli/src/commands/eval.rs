//! `alexnet eval`.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;

use alexnet_data::{LoaderConfig, Mode};
use alexnet_model::Tape;
use alexnet_train::{evaluate, evaluation_images, model_pipeline};
use anyhow::bail;

use crate::args::EvalArgs;
use crate::output::{self, say};

pub fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    let threads = args.machine.threads();
    let model = args.weights.load(&args.machine)?;
    let (images, is_split) = evaluation_images(&args.data, &model.classes)?;
    if !is_split {
        eprintln!(
            "{} has no val folder: all its images are measured, those that a run was trained on among them",
            args.data.display()
        );
    }
    let classes = model.network.spec().classes();
    if images.classes.len() != classes {
        bail!("the weights know {classes} classes, but {} holds {}", args.data.display(), images.classes.len());
    }
    let pipeline = Arc::new(model_pipeline(&model)?);
    let ten = args.views == "10";
    // Ten views make ten times the images of a step.
    let batch_size = if ten { args.batch_size.get().div_ceil(10) } else { args.batch_size.get() };
    let mode = if ten { Mode::TenViews } else { Mode::Eval };
    let config = LoaderConfig {
        mode,
        workers: threads.min(16),
        prefetch: threads.min(16) + 1,
        ..LoaderConfig::eval(batch_size)
    };

    let bar = output::bar("evaluating");
    let samples = images.samples.into();
    let found = evaluate(&model.network, &samples, &pipeline, config, &mut Tape::new(), &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        ControlFlow::Continue(())
    })?;
    let found = found.expect("nothing breaks it off");
    bar.finish_and_clear();
    for bad in &found.bad {
        eprintln!("left out: {}", bad.reason);
    }
    if found.metrics.images == 0 {
        bail!("{}: none of the {} images could be read", args.data.display(), samples.len());
    }
    let arch = model.network.spec().arch();
    if args.machine.json {
        let result = serde_json::json!({
            "arch": arch,
            "images": found.metrics.images,
            "top1": found.metrics.top1(),
            "top5": found.metrics.top5(),
            "loss": found.metrics.loss(),
            "views": found.views,
            "images_per_second": found.images_per_second,
        });
        say(result)?;
    } else {
        say(format_args!(
            "{arch} on {} images of {}, {} each: {:.2} % top-1, {:.2} % top-5, loss {:.4} ({:.0} images/s)",
            found.metrics.images,
            args.data.display(),
            if ten { "ten views" } else { "one view" },
            found.metrics.top1() * 100.0,
            found.metrics.top5() * 100.0,
            found.metrics.loss(),
            found.images_per_second
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
