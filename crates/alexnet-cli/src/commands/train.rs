//! `alexnet train`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alexnet_data::shapes::{self, ShapesConfig};
use alexnet_model::{ModelFile, Precision};
use alexnet_train::{Error, Event, Observers, Outcome, RunDir, TrainConfig, Trainer};
use anyhow::{Context, bail};
use serde::Serialize;

use crate::args::{SHAPES, ScheduleKind, TrainArgs};
use crate::output::{self, TrainView, say};

pub fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    let config = match &args.resume {
        None => args.apply(args.base()?)?,
        Some(run) => resumed_config(args, run)?,
    };
    config.validate()?;
    let device = args.machine.device()?;
    // Checked before any file is written.
    if config.precision == Precision::Bf16 && device.is_cpu() {
        bail!("use --precision f32, or a GPU with --device: the CPU trains in f32, but the precision is bf16");
    }
    let threads = args.machine.threads();
    let view = TrainView::new(args.machine.json, config.epochs);
    if config.data.path == Path::new(SHAPES) {
        draw_shapes(&view, threads)?;
    }
    let run = match &args.resume {
        Some(run) => RunDir::open(run)?,
        None => {
            // Errors in the data or the weights are reported before a folder is created.
            alexnet_data::Dataset::open(&config.data.path)?;
            if let Some(weights) = &config.weights {
                ModelFile::open(&RunDir::model_file(weights)?, Some(&config.arch))?;
            } else if args.freeze.is_some() {
                eprintln!("note: without --weights, --freeze keeps layers at their random initial values");
            }
            if args.schedule == Some(ScheduleKind::Alexnet2012) && config.epochs < 80 {
                eprintln!(
                    "note: --schedule alexnet-2012 is for 91 epochs; a run of {} ends before its last change",
                    config.epochs
                );
            }
            let name = format!("{}-{}", config.arch, data_name(&config.data.path));
            let path = args.output.clone().unwrap_or_else(|| RunDir::free_name(Path::new("runs"), &name));
            RunDir::create(&path, &config)?
        }
    };
    let path = run.path().to_owned();
    view.line(&format!("{} on {}, run {}", config.arch, config.data.path.display(), path.display()));

    if config.fast && !device.is_cpu() {
        view.line("fast: the GPU may use nondeterministic algorithms, so this run is not bit-reproducible");
    }

    let observers = Observers::of_run(&run, &config).with(|event: &Event<'_>| view.show(event));
    let mut trainer = match Trainer::new(config.clone(), run, &device, threads, observers) {
        Ok(trainer) => trainer,
        Err(error) => {
            if args.resume.is_none() {
                // The run did not start. An error in the removal of its folder is less important than this one.
                let _ = RunDir::at(&path).discard();
            }
            return Err(error.into());
        }
    };
    // Before this point there is nothing to save.
    let stop = stop_on_signal()?;
    let outcome = trainer.run(&stop)?;
    if args.machine.json {
        say(serde_json::to_string(&Summary::new(&config, &path, &outcome))?)?;
    } else if let Some(text) = conclusion(&config, &path, &outcome) {
        say(text)?;
    }
    if outcome.stopped {
        view.line(&format!("stopped; to continue: {} train --resume {}", output::program(), path.display()));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration of a run to be resumed. Options may repeat its values, but not change them.
fn resumed_config(args: &TrainArgs, run: &Path) -> anyhow::Result<TrainConfig> {
    let config = TrainConfig::read(&RunDir::open(run)?.config())?;
    match config.difference(&args.apply(config.clone())?) {
        None => Ok(config),
        Some((what, old, new)) => Err(Error::OtherConfig { path: run.to_owned(), what, old, new }.into()),
    }
}

/// Generates the built-in data set if it does not exist yet.
fn draw_shapes(view: &TrainView, threads: usize) -> anyhow::Result<()> {
    let config = ShapesConfig::default();
    if !Path::new(SHAPES).join("shapes.json").exists() {
        view.line(&format!("generating {} images of ten shapes in {SHAPES}", config.train + config.val));
    }
    let bar = output::bar("generating");
    shapes::prepare(Path::new(SHAPES), &config, threads, &|done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// A flag that is set by Ctrl-C or a termination signal. A second signal ends the program immediately.
fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nfinishing the step and saving; press Ctrl-C again to end immediately");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

fn data_name(path: &Path) -> String {
    let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    canonical.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned())
}

/// The closing text, if there is a model.
fn conclusion(config: &TrainConfig, run: &Path, outcome: &Outcome) -> Option<String> {
    let (best, model) = (outcome.best.as_ref()?, outcome.model.as_ref()?);
    let image = example_image(&config.data.path).map_or("IMAGE".into(), |image| image.display().to_string());
    Some(format!(
        "\n{:.1} % top-1, {:.1} % top-5 on the validation images after epoch {}, in {}\n\
         model   {}\n\
         curves  {}\n\
         try it  {} predict {image} --weights {}",
        best.val_top1 * 100.0,
        best.val_top5 * 100.0,
        best.epoch,
        output::duration(outcome.seconds),
        model.display(),
        run.join("plot.svg").display(),
        output::program(),
        run.display()
    ))
}

/// A validation image to try the model on.
fn example_image(data: &Path) -> Option<PathBuf> {
    let set = alexnet_data::Dataset::open(data).ok()?;
    set.val.unwrap_or(set.train).samples.first().map(|sample| sample.location.path())
}

/// The result as JSON: that of the best epoch, whose model is `checkpoint`. Accuracies are from 0 to 1.
#[derive(Serialize)]
struct Summary<'a> {
    arch: &'a str,
    run_dir: String,
    checkpoint: Option<String>,
    epochs: u32,
    steps: u64,
    train_loss: Option<f64>,
    val_loss: Option<f64>,
    val_top1: Option<f64>,
    val_top5: Option<f64>,
    images_per_second: Option<f64>,
    seconds: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stopped: bool,
}

impl<'a> Summary<'a> {
    fn new(config: &'a TrainConfig, run: &Path, outcome: &Outcome) -> Self {
        let best = outcome.best.as_ref();
        let last = outcome.last.as_ref();
        Self {
            arch: &config.arch,
            run_dir: run.display().to_string(),
            checkpoint: outcome.model.as_ref().map(|model| model.display().to_string()),
            epochs: last.map_or(0, |last| last.epoch),
            steps: outcome.steps,
            train_loss: best.map(|best| best.train_loss),
            val_loss: best.map(|best| best.val_loss),
            val_top1: best.map(|best| best.val_top1),
            val_top5: best.map(|best| best.val_top5),
            images_per_second: last.map(|last| last.images_per_second),
            seconds: outcome.seconds,
            stopped: outcome.stopped,
        }
    }
}
