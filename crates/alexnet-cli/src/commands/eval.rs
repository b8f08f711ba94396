//! `alexnet eval`.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;

use alexnet::{Classifier, EvaluateOptions, Evaluation, EvaluationEvent, Metrics, Report, Sample, Views};
use anyhow::bail;
use serde_json::{Value, json};

use crate::args::EvalArgs;
use crate::output::{self, say};

pub fn run(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    let views = if args.views == "10" { Views::Ten } else { Views::Center };
    let classifier = args.weights.open(&args.machine, views)?;
    let (images, is_split) = classifier.validation_images(&args.data)?;
    if !is_split {
        eprintln!(
            "note: {} has no val folder; all images are evaluated, including training images",
            args.data.display()
        );
    }
    let report = measure(args, &classifier, &images.samples.into())?;
    let all = &args.weights.weights;
    if args.machine.json {
        let mut members: Vec<Value> = Vec::new();
        for ((found, network), path) in report.members.iter().zip(classifier.networks()).zip(all) {
            let mut member = numbers(&found.metrics, found.views);
            member["arch"] = network.spec().arch().into();
            member["images_per_second"] = found.images_per_second.into();
            if all.len() > 1 {
                member["weights"] = path.to_string_lossy().into();
            }
            members.push(member);
        }
        if all.len() == 1 {
            members.into_iter().try_for_each(say)?;
        } else {
            let mut result = numbers(&report.together, views.count());
            result["members"] = members.into();
            say(result)?;
        }
    } else if all.len() > 1 {
        say(line(&format!("ensemble of {}", all.len()), args, &report.together))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Evaluates the classifier, and prints the results of each of its networks.
fn measure(args: &EvalArgs, classifier: &Classifier, samples: &Arc<[Sample]>) -> anyhow::Result<Report> {
    let options = EvaluateOptions { batch_size: args.batch_size, workers: args.machine.threads() };
    let archs: Vec<&str> = classifier.networks().map(|network| network.spec().arch()).collect();
    let bar = output::bar("evaluating");
    let mut told = Ok(());
    let found = classifier.evaluate(samples, options, &mut |event| {
        match event {
            EvaluationEvent::Progress { done, total, .. } => {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            }
            EvaluationEvent::Member { member, evaluation } => {
                bar.suspend(|| told = member_line(args, &archs, member, evaluation));
                if told.is_err() || evaluation.metrics.images == 0 {
                    return ControlFlow::Break(());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    told?;
    match found {
        Some(report) => Ok(report),
        None => bail!("{}: none of the {} images could be read", args.data.display(), samples.len()),
    }
}

fn member_line(args: &EvalArgs, archs: &[&str], member: usize, found: &Evaluation) -> anyhow::Result<()> {
    // The same files fail for all members.
    for bad in found.bad.iter().filter(|_| member == 0) {
        eprintln!("skipped: {}", bad.reason);
    }
    if args.machine.json || found.metrics.images == 0 {
        return Ok(());
    }
    let who = match &args.weights.weights[..] {
        [_] => archs[member].into(),
        all => format!("{} ({})", all[member].display(), archs[member]),
    };
    let rate = format!(" ({:.0} images/s)", found.images_per_second);
    Ok(say(line(&who, args, &found.metrics) + &rate)?)
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
