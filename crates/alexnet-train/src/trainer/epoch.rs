//! One epoch. Each step has two halves: work is queued, and results are read when it is complete.
//!
//! On a GPU, the next step is queued before the results of the last one are read, so the GPU does not wait. On the CPU,
//! a step is complete when the queuing function returns.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use alexnet_data::{BadSampleBudget, Batch};
use alexnet_kernels::softmax_cross_entropy;
use alexnet_kernels::transfer::{Arriving, Download};
use alexnet_model::{Mode, Tape};
use candle_core::{DType, Tensor};

use super::{Event, Hook, Trainer, finite};
use crate::error::Result;
use crate::feed::Feed;
use crate::results::StepRecord;

/// A queued step, which on a GPU may not be complete.
struct Queued {
    losses: Arriving,
    logits: Arriving,
    labels: Vec<u32>,
    /// Number of the step over all epochs, and of the batch within the epoch, both counted from 1.
    step: u64,
    batch: usize,
    learning_rate: f64,
}

/// State shared by the steps of an epoch.
struct Steps<'a> {
    tape: &'a mut Tape,
    download: Download,
    /// The last step, if its results have not been read.
    before: Option<Queued>,
}

impl Trainer<'_> {
    /// Trains the rest of the current epoch. Returns false if stopped.
    pub(super) fn epoch(&mut self, tape: &mut Tape, stop: &AtomicBool) -> Result<bool> {
        self.start_epoch();
        let mut steps = Steps { tape, download: Download::default(), before: None };
        let ended = self.batches(&mut steps, stop);
        // Report the last step first, also after an error.
        self.finish(&mut steps)?;
        ended
    }

    fn batches(&mut self, steps: &mut Steps<'_>, stop: &AtomicBool) -> Result<bool> {
        let mut budget = BadSampleBudget::one_percent(self.data.train.len()).resumed(self.state.bad);
        let (samples, pipeline) = (self.data.train.clone(), self.data.training_pipeline(self.state.epoch).clone());
        let mut feed = Feed::new(&self.model.network, samples, &pipeline, self.loader())?;
        let at_once = self.model.network.input_device().is_cpu();
        loop {
            let waits = !feed.is_ready();
            if waits {
                // The GPU may still be busy; that time does not count as waiting for data.
                self.finish(steps)?;
            }
            let asked = Instant::now();
            let next = feed.next(&self.model.network)?;
            if waits {
                self.state.wait_seconds += asked.elapsed().as_secs_f64();
            }
            let Some((batch, images)) = next else { return Ok(true) };
            self.state.bad += batch.bad.len();
            if !batch.bad.is_empty() {
                self.observers.tell(&Event::BadSamples(&batch.bad))?;
                budget.spend(&batch.bad)?;
            }
            let step = match images {
                None => None,
                Some(images) => Some(self.queue(&batch, &images, steps)?),
            };
            feed.look_ahead();
            self.state.batch += 1;
            let interval = self.config.checkpoint_steps;
            let due = step.is_some() && interval > 0 && self.state.step.is_multiple_of(interval);
            self.finish(steps)?;
            steps.before = step;
            if at_once || due {
                self.finish(steps)?;
            }
            if due {
                self.checkpoint()?;
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
        }
    }

    /// Queues forward, loss, backward, and the update of each parameter as soon as its gradient is complete.
    fn queue(&mut self, batch: &Batch, images: &Tensor, steps: &mut Steps<'_>) -> Result<Queued> {
        let (network, n) = (&self.model.network, batch.labels.len());
        let rates = self.rates();
        let learning_rate = self.config.solver.learning_rate * rates.weight;
        // With mixed or smoothed labels, the loss needs a weight for each class.
        let plain = batch.own_share.is_none() && self.config.label_smoothing == 0.0;
        let classes = self.model.classes.len();
        // Upload before forward is queued. Uploads of up to 64 KB, such as labels, do not wait for the GPU; class
        // weights are larger and wait for the previous step.
        let device = network.input_device();
        let labels = match plain {
            true => Tensor::from_slice(&batch.labels, n, device)?,
            false => Tensor::from_vec(batch.targets(classes, self.config.label_smoothing)?, (n, classes), device)?,
        };

        let mode = Mode::train(self.config.seed, self.state.step as u32);
        let outputs = network.forward_outputs(images, mode, steps.tape)?;
        let loss = |logits: &Tensor| -> Result<(Tensor, Tensor)> {
            let labels = labels.to_device(logits.device())?;
            let (losses, grad) = (Tensor::zeros(n, DType::F32, logits.device())?, logits.zeros_like()?);
            softmax_cross_entropy::forward_into(logits, &labels, &losses, Some(&grad))?;
            Ok((losses, grad))
        };
        let (losses, grads): (Vec<_>, Vec<_>) =
            outputs.iter().map(loss).collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let (grads, solver) = (grads.iter().collect::<Vec<_>>(), &mut self.solver);
        match &mut self.hook {
            None => network.backward_factored(steps.tape, &grads, |index, gradient| {
                Ok(solver.update(network, index, gradient, rates)?)
            })?,
            Some(Hook(hook)) => {
                // Keep the error of the hook separate from errors of the network.
                let mut failed = None;
                network.backward_outputs(steps.tape, &grads, |index, gradient| {
                    if failed.is_none() {
                        failed = hook(&network.parameters()[index].spec, gradient).err();
                    }
                    match failed {
                        None => Ok(solver.update(network, index, gradient, rates)?),
                        Some(_) => Ok(()),
                    }
                })?;
                if let Some(error) = failed {
                    return Err(error);
                }
            }
        }
        // The reported loss is that of the main output.
        let (losses, logits) = (steps.download.start(&losses[0])?, steps.download.start(&outputs[0])?);
        self.state.step += 1;
        self.state.learning_rate = learning_rate;
        let (step, batch, labels) = (self.state.step, self.state.batch + 1, batch.labels.clone());
        Ok(Queued { losses, logits, labels, step, batch, learning_rate })
    }

    /// Waits for the last step unless its results have been read, adds its results to the metrics, and reports it.
    fn finish(&mut self, steps: &mut Steps<'_>) -> Result<()> {
        let Some(Queued { losses, logits, labels, step, batch, learning_rate }) = steps.before.take() else {
            return Ok(());
        };
        let losses = steps.download.finish(losses)?;
        let loss = losses.iter().copied().map(f64::from).sum::<f64>() / losses.len() as f64;
        let epoch = self.state.epoch + 1;
        finite("the loss", loss, step, epoch, learning_rate)?;
        let logits = steps.download.finish(logits)?;
        for ((&loss, scores), &label) in losses.iter().zip(logits.chunks(self.model.classes.len())).zip(&labels) {
            self.state.train.add(f64::from(loss), scores, label);
        }
        let seconds = self.state.epoch_seconds + self.clock.elapsed().as_secs_f64();
        let record = StepRecord { epoch, step, learning_rate, loss, data_wait: self.state.wait_seconds / seconds };
        self.observers.tell(&Event::Step { record: &record, done: [batch, self.steps()], images: labels.len() })
    }
}
