//! The loop.

mod epoch;
mod event;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use alexnet_data::DataLoaderConfig;
use alexnet_kernels::{allow_nondeterministic, allow_tf32};
use alexnet_model::{Model, Network, Precision, Tape};
use candle_core::Device;

use crate::checkpoint::{self, State};
use crate::config::TrainConfig;
use crate::data::{self, RunData};
use crate::error::{Error, Result};
use crate::evaluate::{Images, evaluate};
use crate::metrics::Metrics;
use crate::plot;
use crate::pretrained;
use crate::record::{EpochRecord, RunDir};
use crate::schedule::Progress;
use crate::solver::{Rates, Solver};

pub use event::{Event, Outcome};

/// A run: its configuration, data, network and solver.
#[derive(Debug)]
pub struct Trainer {
    config: TrainConfig,
    run: RunDir,
    data: RunData,
    model: Model,
    solver: Solver,
    state: State,
    workers: usize,
    /// Until when `state.seconds` counts.
    clock: Instant,
}

impl Trainer {
    /// Prepares the run in `run`: from its checkpoint where there is one, else from the start. `workers` threads load
    /// images; how many changes nothing of the result.
    ///
    /// # Errors
    /// A configuration, data or checkpoint that makes no sense, each named.
    pub fn new(
        config: TrainConfig,
        run: RunDir,
        device: &Device,
        workers: usize,
        on_event: &(dyn Fn(Event<'_>) + Sync),
    ) -> Result<Self> {
        config.validate()?;
        if config.precision == Precision::Bf16 && device.is_cpu() {
            let rule = "the CPU trains in f32; choose that, or a GPU".into();
            return Err(Error::Config { what: "precision".into(), found: "bf16".into(), rule });
        }
        // It does not depend on the classes, so an unknown name is found before the data is.
        let input = config.input_spec()?;
        let resumed = run.checkpoint().exists();
        // A run that goes on does so without the file that it started from.
        let start = match &config.weights {
            Some(weights) if !resumed => Some(pretrained::load(weights, &config.arch, device)?),
            _ => None,
        };
        let mean_image = match &start {
            // Weights go on with the one that they were trained with.
            Some((_, model)) => model.mean_image.clone(),
            None if resumed && config.weights.is_some() => checkpoint::mean_image(&run.checkpoint(), &input)?,
            None => None,
        };
        let mean_image = mean_image.map(|values| data::mean_image(values, &input));
        let data = RunData::open(&config.scheduled_data(), &input, mean_image, workers, &|done, total| {
            on_event(Event::Statistics { done, total });
        })?;
        let spec = config.specification(data.classes.len())?;
        allow_tf32(config.tf32);
        allow_nondeterministic(config.fast);
        let mut network = Network::new(spec, config.seed, std::slice::from_ref(device))?;
        let pretrained =
            start.map(|(path, model)| pretrained::copy(path, &model, &network, &data.classes)).transpose()?;
        network.set_precision(config.precision)?;
        let solver = Solver::new(&config.scheduled_solver(), &network)?;
        let images = [data.train.len(), data.val.len()];
        let mut state = State { images, classes: data.classes.clone(), ..State::default() };
        if resumed {
            let saved = checkpoint::load(&run.checkpoint(), &network, &solver, &config)?;
            if (saved.images, &saved.classes) != (state.images, &state.classes) {
                let ([train, val], [now_train, now_val]) = (saved.images, state.images);
                let reason = format!(
                    "the run was started on {train} training and {val} validation images of {} classes, but {} now \
                     holds {now_train} and {now_val} of {}",
                    saved.classes.len(),
                    config.data.path.display(),
                    state.classes.len()
                );
                return Err(Error::Checkpoint { path: run.checkpoint(), reason });
            }
            state = saved;
        }
        run.rewind(state.metrics_len)?;
        let mean_image = data.mean_image.as_ref().map(|mean| mean.values.clone());
        let model = Model { network, classes: data.classes.clone(), mean_image };
        let mut trainer = Self { config, run, data, model, solver, state, workers, clock: Instant::now() };
        trainer.start_epoch();
        on_event(Event::Started {
            data: &trainer.data,
            state: &trainer.state,
            steps: trainer.steps(),
            pretrained: pretrained.as_ref(),
            frozen: &trainer.solver.frozen(),
        });
        Ok(trainer)
    }

    /// Lets learn what is to learn in the epoch under way.
    fn start_epoch(&mut self) {
        self.solver.start_epoch(self.state.epoch);
        self.model.network.train_only(|index, _| self.solver.learns(index));
    }

    /// Trains to the end, or until `stop` is set: then the step under way is finished and a checkpoint written.
    ///
    /// # Errors
    /// [`Error::Diverged`]; images that cannot be read, where the configuration forbids it or there are too many; a disk
    /// that is full.
    pub fn run(&mut self, stop: &AtomicBool, on_event: &(dyn Fn(Event<'_>) + Sync)) -> Result<Outcome> {
        let mut tape = Tape::new();
        self.clock = Instant::now();
        while self.state.epoch < self.config.epochs {
            let done = self.epoch(&mut tape, stop, on_event)?;
            self.state.epoch_seconds += self.add_time();
            if !done || !self.end_epoch(&mut tape, stop, on_event)? {
                // What validating took is not training.
                self.add_time();
                self.checkpoint()?;
                return Ok(self.outcome(true));
            }
        }
        self.model.save(&self.run.last_model())?;
        Ok(self.outcome(false))
    }

    /// Measures on the validation images, records, and saves. False where it was asked to stop: the epoch then ends when
    /// the run goes on.
    fn end_epoch(&mut self, tape: &mut Tape, stop: &AtomicBool, on_event: &(dyn Fn(Event<'_>) + Sync)) -> Result<bool> {
        let train = self.state.train;
        if train.images == 0 {
            let (path, images) = (self.config.data.path.clone(), self.data.train.len());
            return Err(Error::NoImages { path, images, split: "training" });
        }
        let Some(val) = self.validate(tape, stop, on_event)? else { return Ok(false) };
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
        self.state.metrics_len = self.run.epoch(&record)?;
        self.state.epochs.push(record.clone());
        (self.state.epoch, self.state.batch, self.state.bad) = (self.state.epoch + 1, 0, 0);
        (self.state.train, self.state.epoch_seconds, self.state.wait_seconds) = (Metrics::default(), 0.0, 0.0);
        let best = self.state.best().is_some_and(|best| best.epoch == record.epoch);
        if best {
            self.model.save(&self.run.model())?;
        }
        let title = format!("{} on {}", self.config.arch, data::name(&self.config.data.path).display());
        plot::write(&self.run.plot(), &title, &self.state.epochs)?;
        self.checkpoint()?;
        on_event(Event::Epoch { record: &record, best });
        Ok(true)
    }

    /// Nothing where it was asked to stop.
    fn validate(
        &self,
        tape: &mut Tape,
        stop: &AtomicBool,
        on_event: &(dyn Fn(Event<'_>) + Sync),
    ) -> Result<Option<Metrics>> {
        let config = data::loader(&self.config.data, self.config.batch_size, self.workers, alexnet_data::Views::Center);
        let progress = &mut |done, total| {
            on_event(Event::Validating { done, total });
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let images = Images { samples: &self.data.val, pipeline: &self.data.pipeline, config };
        let found = evaluate(&self.model.network, images, tape, progress)?;
        let Some(found) = found else { return Ok(None) };
        if !found.bad.is_empty() {
            self.run.add_bad(&found.bad)?;
            on_event(Event::BadSamples(&found.bad));
        }
        if found.metrics.images == 0 {
            let (path, images) = (self.config.data.path.clone(), self.data.val.len());
            return Err(Error::NoImages { path, images, split: "validation" });
        }
        Ok(Some(found.metrics))
    }

    /// What the schedules say for the next step.
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

    /// Steps of an epoch.
    fn steps(&self) -> usize {
        self.data.train.len().div_ceil(self.config.batch_size)
    }

    fn loader(&self) -> DataLoaderConfig {
        DataLoaderConfig {
            order: self.config.data.order(),
            seed: self.config.seed,
            epoch: self.state.epoch,
            // The last batch may have been smaller.
            start_sample: (self.state.batch * self.config.batch_size).min(self.data.train.len()),
            ..data::loader(&self.config.data, self.config.batch_size, self.workers, alexnet_data::Views::Random)
        }
    }

    /// Replaces the checkpoint, unless the weights are such that going on from them makes no sense.
    fn checkpoint(&mut self) -> Result<()> {
        let seconds = self.add_time();
        // In the middle of an epoch it is training that took it; after one, next to nothing is left.
        self.state.epoch_seconds += if self.state.batch > 0 { seconds } else { 0.0 };
        self.run.flush()?;
        for parameter in self.model.network.parameters() {
            let sum = f64::from(parameter.var.sum_all()?.to_scalar::<f32>()?);
            self.require_finite(&parameter.spec.name, sum)?;
        }
        let path = self.run.checkpoint();
        checkpoint::save(&path, &self.model, &self.solver, &self.state, &self.config)?;
        // Saving takes longer than many steps of a GPU, and is not training.
        self.add_time();
        Ok(())
    }

    /// Counts the time since it was last counted.
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

/// Fails where `value` shows that the weights of this step are beyond use.
fn finite(what: &str, value: f64, step: u64, epoch: u32, learning_rate: f64) -> Result<()> {
    if value.is_finite() {
        return Ok(());
    }
    Err(Error::Diverged { step, epoch, learning_rate, what: what.into(), value })
}
