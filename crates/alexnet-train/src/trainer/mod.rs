//! The training loop.

mod epoch;
mod event;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use alexnet_data::DataLoaderConfig;
use alexnet_kernels::GpuMath;
use alexnet_model::{Model, Network, ParameterSpec, Precision, Tape};
use candle_core::Tensor;

use crate::checkpoint::{self, State};
use crate::config::TrainConfig;
use crate::data::{self, RunData};
use crate::device_plan::DevicePlan;
use crate::error::{Error, Result};
use crate::evaluate::{Images, evaluate};
use crate::metrics::Metrics;
use crate::observer::Observers;
use crate::pretrained;
use crate::record::RunDir;
use crate::results::EpochRecord;
use crate::schedule::Progress;
use crate::solver::{Rates, Solver};

pub use event::{Event, Outcome};

/// A training run: its configuration, data, network and solver.
#[derive(Debug)]
pub struct Trainer<'a> {
    config: TrainConfig,
    run: RunDir,
    data: RunData,
    model: Model,
    solver: Solver,
    state: State,
    workers: usize,
    /// The time up to which `state.seconds` is counted.
    clock: Instant,
    hook: Option<Hook>,
    observers: Observers<'a>,
}

/// Called with each parameter and its gradient, between backward and the update of this parameter, in the order of backward. It
/// may change the gradient in place: clip it, log it, or exchange it with other processes. An error ends the run; the weights
/// are then between two steps, and the run goes on from its last checkpoint.
pub type GradientHook = dyn FnMut(&ParameterSpec, &Tensor) -> Result<()> + Send;

struct Hook(Box<GradientHook>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

impl<'a> Trainer<'a> {
    /// Prepares the run in `run`: resumes from its checkpoint if there is one, otherwise starts from the beginning.
    /// `devices` is a `&Device` or a [`DevicePlan`]. `workers` threads load images; their number does not affect the
    /// result.
    ///
    /// # Errors
    /// Invalid configuration, data or checkpoint; the message names it.
    pub fn new(
        config: TrainConfig,
        run: RunDir,
        devices: impl Into<DevicePlan>,
        workers: usize,
        observers: Observers<'a>,
    ) -> Result<Self> {
        let plan = devices.into();
        let Some(device) = plan.devices().first() else {
            let rule = "a run needs at least one".into();
            return Err(Error::Config { what: "the number of devices".into(), found: "0".into(), rule });
        };
        config.validate()?;
        if config.precision == Precision::Bf16 && device.is_cpu() {
            let rule = "the CPU trains in f32; choose f32, or a GPU".into();
            return Err(Error::Config { what: "precision".into(), found: "bf16".into(), rule });
        }
        // It does not depend on the classes, so an unknown name is reported before the data is opened.
        let input = config.input_spec()?;
        let resumed = run.checkpoint().exists();
        // A resumed run does not need its initial weights file.
        let start = match &config.weights {
            Some(weights) if !resumed => Some(pretrained::load(weights, &config.arch, device)?),
            _ => None,
        };
        let mean_image = match &start {
            // Pretrained weights keep the mean image they were trained with.
            Some((_, model)) => model.mean_image.clone(),
            None if resumed && config.weights.is_some() => checkpoint::mean_image(&run.checkpoint(), &input)?,
            None => None,
        };
        let mean_image = mean_image.map(|values| data::mean_image(values, &input));
        let data = RunData::open(&config.scheduled_data(), &input, mean_image, workers, &|done, total| {
            // Errors of observers are ignored here.
            let _ = observers.tell(&Event::Statistics { done, total });
        })?;
        let spec = config.specification(data.classes.len())?;
        let mut network = Network::new(spec, config.seed, plan.devices())?;
        let pretrained =
            start.map(|(path, model)| pretrained::copy(path, &model, &network, &data.classes)).transpose()?;
        network.set_precision(config.precision)?;
        network.set_gpu_math(GpuMath { tf32: config.tf32, nondeterministic: config.fast });
        let solver = Solver::new(&config.scheduled_solver(), &network)?;
        let images = [data.train.len(), data.val.len()];
        let mut state = State { images, classes: data.classes.clone(), ..State::default() };
        if resumed {
            let saved = checkpoint::load(&run.checkpoint(), &network, &solver, &config)?;
            if (saved.images, &saved.classes) != (state.images, &state.classes) {
                let ([train, val], [now_train, now_val]) = (saved.images, state.images);
                let reason = format!(
                    "the run was started on {train} training and {val} validation images of {} classes, but {} now \
                     has {now_train} and {now_val} of {}",
                    saved.classes.len(),
                    config.data.path.display(),
                    state.classes.len()
                );
                return Err(Error::Checkpoint { path: run.checkpoint(), reason });
            }
            state = saved;
        }
        let mean_image = data.mean_image.as_ref().map(|mean| mean.values.clone());
        let model = Model { network, classes: data.classes.clone(), mean_image };
        let mut trainer =
            Self { config, run, data, model, solver, state, workers, clock: Instant::now(), hook: None, observers };
        trainer.start_epoch();
        trainer.observers.tell(&Event::Started {
            data: &trainer.data,
            state: &trainer.state,
            steps: trainer.steps(),
            pretrained: pretrained.as_ref(),
            frozen: &trainer.solver.frozen(),
        })?;
        Ok(trainer)
    }

    /// Configures solver and network for the current epoch: which parameters are trained.
    fn start_epoch(&mut self) {
        self.solver.start_epoch(self.state.epoch);
        self.model.network.train_only(|index, _| self.solver.learns(index));
    }

    /// Sets the gradient hook. With a hook, the gradients of fully connected layers' weights are written to memory;
    /// without one, they are applied as they are computed.
    pub fn set_gradient_hook(&mut self, hook: Box<GradientHook>) {
        self.hook = Some(Hook(hook));
    }

    /// Trains to the end, or until `stop` is set: then the current step is completed and a checkpoint written.
    ///
    /// # Errors
    /// [`Error::Diverged`]; unreadable images, if the configuration forbids them or there are too many; a full disk.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<Outcome> {
        let mut tape = Tape::new();
        self.clock = Instant::now();
        while self.state.epoch < self.config.epochs {
            let done = self.epoch(&mut tape, stop)?;
            self.state.epoch_seconds += self.add_time();
            if !done || !self.end_epoch(&mut tape, stop)? {
                // Validation time is not training time.
                self.add_time();
                self.checkpoint()?;
                return Ok(self.outcome(true));
            }
        }
        self.model.save(&self.run.last_model())?;
        Ok(self.outcome(false))
    }

    /// Validates, records the epoch and saves. Returns false if stopped: the epoch is then completed when the run is
    /// resumed.
    fn end_epoch(&mut self, tape: &mut Tape, stop: &AtomicBool) -> Result<bool> {
        let train = self.state.train;
        if train.images == 0 {
            let (path, images) = (self.config.data.path.clone(), self.data.train.len());
            return Err(Error::NoImages { path, images, split: "training" });
        }
        let Some(val) = self.validate(tape, stop)? else { return Ok(false) };
        self.require_finite("the validation loss", val.loss())?;
        self.add_time();
        let record = EpochRecord {
            epoch: self.state.epoch + 1,
            step: self.state.step,
            learning_rate: self.state.learning_rate,
            train_loss: train.loss(),
            train_top1: train.top1(),
            val_loss: val.loss(),
            val_top1: val.top1(),
            val_top5: val.top5(),
            images_per_second: train.images as f64 / self.state.epoch_seconds,
            seconds: self.state.seconds,
            data_wait: self.state.wait_seconds / self.state.epoch_seconds,
        };
        let error = 1.0 - val.top1();
        self.config.schedule.observe(error, &mut self.state.plateau);
        self.config.bias_schedule.iter().for_each(|s| s.observe(error, &mut self.state.bias_plateau));
        self.state.epochs.push(record.clone());
        (self.state.epoch, self.state.batch, self.state.bad) = (self.state.epoch + 1, 0, 0);
        (self.state.train, self.state.epoch_seconds, self.state.wait_seconds) = (Metrics::default(), 0.0, 0.0);
        let best = self.state.best().is_some_and(|best| best.epoch == record.epoch);
        if best {
            self.model.save(&self.run.model())?;
        }
        self.observers.tell(&Event::Epoch { record: &record, best, epochs: &self.state.epochs })?;
        self.checkpoint()?;
        Ok(true)
    }

    /// Returns `None` if stopped.
    fn validate(&self, tape: &mut Tape, stop: &AtomicBool) -> Result<Option<Metrics>> {
        let config = data::loader(&self.config.data, self.config.batch_size, self.workers, alexnet_data::Views::Center);
        let mut failed = None;
        let progress = &mut |done, total| {
            if let Err(error) = self.observers.tell(&Event::Validating { done, total }) {
                failed = Some(error);
            }
            if failed.is_some() || stop.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let images = Images { samples: &self.data.val, pipeline: &self.data.pipeline, config };
        let found = evaluate(&self.model.network, images, tape, progress)?;
        if let Some(error) = failed {
            return Err(error);
        }
        let Some(found) = found else { return Ok(None) };
        if !found.bad.is_empty() {
            self.observers.tell(&Event::BadSamples(&found.bad))?;
        }
        if found.metrics.images == 0 {
            let (path, images) = (self.config.data.path.clone(), self.data.val.len());
            return Err(Error::NoImages { path, images, split: "validation" });
        }
        Ok(Some(found.metrics))
    }

    /// The schedules' factors for the next step.
    fn rates(&self) -> Rates {
        let (epoch, epochs) = (self.state.epoch, self.config.epochs);
        let progress = Progress { epoch, epochs, step: self.state.batch, steps: self.steps() };
        let weight = self.config.schedule.factor(progress, &self.state.plateau);
        let bias = match &self.config.bias_schedule {
            Some(schedule) => schedule.factor(progress, &self.state.bias_plateau),
            None => weight,
        };
        Rates { weight, bias }
    }

    /// Steps per epoch.
    fn steps(&self) -> usize {
        self.data.train.len().div_ceil(self.config.batch_size)
    }

    fn loader(&self) -> DataLoaderConfig {
        DataLoaderConfig {
            order: self.config.data.order(),
            seed: self.config.seed,
            epoch: self.state.epoch,
            // The last batch may be smaller.
            start_sample: (self.state.batch * self.config.batch_size).min(self.data.train.len()),
            ..data::loader(&self.config.data, self.config.batch_size, self.workers, alexnet_data::Views::Random)
        }
    }

    /// Writes the checkpoint, unless a weight is not finite.
    fn checkpoint(&mut self) -> Result<()> {
        let seconds = self.add_time();
        // In the middle of an epoch this is training time; after an epoch it is negligible.
        self.state.epoch_seconds += if self.state.batch > 0 { seconds } else { 0.0 };
        self.observers.tell(&Event::Checkpoint)?;
        for parameter in self.model.network.parameters() {
            let sum = f64::from(parameter.var.sum_all()?.to_scalar::<f32>()?);
            self.require_finite(&parameter.spec.name, sum)?;
        }
        let path = self.run.checkpoint();
        checkpoint::save(&path, &self.model, &self.solver, &self.state, &self.config)?;
        // Saving takes longer than many steps on a GPU, and is not training time.
        self.add_time();
        Ok(())
    }

    /// Adds the time since the last call to `state.seconds`, and returns it.
    fn add_time(&mut self) -> f64 {
        let now = Instant::now();
        let seconds = (now - std::mem::replace(&mut self.clock, now)).as_secs_f64();
        self.state.seconds += seconds;
        seconds
    }

    fn require_finite(&self, what: &str, value: f64) -> Result<()> {
        let State { step, epoch, learning_rate, .. } = self.state;
        finite(what, value, step, epoch + 1, learning_rate)
    }

    fn outcome(&self, stopped: bool) -> Outcome {
        let best = self.state.best().cloned();
        Outcome {
            model: best.as_ref().map(|_| self.run.model()),
            best,
            last: self.state.epochs.last().cloned(),
            steps: self.state.step,
            seconds: self.state.seconds,
            stopped,
        }
    }
}

/// Returns an error if `value` is not finite, which means that training diverged.
fn finite(what: &str, value: f64, step: u64, epoch: u32, learning_rate: f64) -> Result<()> {
    if value.is_finite() {
        return Ok(());
    }
    Err(Error::Diverged { step, epoch, learning_rate, what: what.into(), value })
}
