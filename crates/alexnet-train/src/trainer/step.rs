//! One step, in two halves: what is queued, and what is read when it is done.

use alexnet_data::Batch;
use alexnet_kernels::softmax_cross_entropy;
use alexnet_kernels::transfer::{Arriving, Download};
use alexnet_model::{Gradient, Mode, Tape};
use candle_core::{DType, Tensor};

use super::{Event, Trainer, finite};
use crate::error::Result;
use crate::record::StepRecord;

/// Steps between two lines about single steps in `metrics.jsonl`.
const RECORDED_STEPS: u64 = 10;

/// A step that is queued, and on a GPU perhaps not done.
pub(super) struct Queued {
    losses: Arriving,
    logits: Arriving,
    labels: Vec<u32>,
    /// Its number, from 1 on, over all epochs, and that of its batch within the epoch.
    step: u64,
    batch: usize,
    learning_rate: f64,
}

impl Trainer {
    /// Queues forward, loss, backward, and the update of each parameter as soon as its gradient is there.
    pub(super) fn queue(
        &mut self,
        batch: &Batch,
        images: &Tensor,
        tape: &mut Tape,
        download: &mut Download,
    ) -> Result<Queued> {
        let (network, n) = (&self.model.network, batch.labels.len());
        let rates = self.rates();
        let learning_rate = self.config.solver.learning_rate * rates.weight;
        // Where labels are mixed or smoothed, the loss needs a weight for each class.
        let plain = batch.own_share.is_none() && self.config.label_smoothing == 0.0;
        let classes = self.model.classes.len();
        // Before forward is queued, which a copy to a GPU would wait for.
        let device = network.input_device();
        let labels = match plain {
            true => Tensor::from_slice(&batch.labels, n, device)?,
            false => Tensor::from_vec(batch.targets(classes, self.config.label_smoothing)?, (n, classes), device)?,
        };

        let mode = Mode::Train { seed: self.config.seed, step: self.state.step as u32 };
        let logits = network.forward(images, mode, tape)?;
        let labels = labels.to_device(logits.device())?;
        let (losses, grad) = (Tensor::zeros(n, DType::F32, logits.device())?, logits.zeros_like()?);
        softmax_cross_entropy::forward_into(&logits, &labels, &losses, Some(&grad))?;
        let update = |index, gradient: Gradient<'_>| Ok(self.solver.update(network, index, gradient, rates)?);
        network.backward_factored(tape, &grad, update)?;
        let (losses, logits) = (download.start(&losses)?, download.start(&logits)?);
        self.state.step += 1;
        self.state.learning_rate = learning_rate;
        let (step, batch, labels) = (self.state.step, self.state.batch + 1, batch.labels.clone());
        Ok(Queued { losses, logits, labels, step, batch, learning_rate })
    }

    /// Waits for a step, counts what it gave, and tells it.
    pub(super) fn finish(
        &mut self,
        queued: Option<Queued>,
        download: &mut Download,
        on_event: &(dyn Fn(Event<'_>) + Sync),
    ) -> Result<()> {
        let Some(Queued { losses, logits, labels, step, batch, learning_rate }) = queued else { return Ok(()) };
        let losses = download.finish(losses)?;
        let loss = losses.iter().copied().map(f64::from).sum::<f64>() / losses.len() as f64;
        let epoch = self.state.epoch + 1;
        finite("the loss", loss, step, epoch, learning_rate)?;
        let logits = download.finish(logits)?;
        for ((&loss, scores), &label) in losses.iter().zip(logits.chunks(self.model.classes.len())).zip(&labels) {
            self.state.train.add(f64::from(loss), scores, label);
        }
        let seconds = self.state.epoch_seconds + self.clock.elapsed().as_secs_f64();
        let record = StepRecord { epoch, step, learning_rate, loss, data_wait: self.state.wait_seconds / seconds };
        if step.is_multiple_of(RECORDED_STEPS) {
            self.state.metrics_len = self.run.step(&record)?;
        }
        on_event(Event::Step { record, done: [batch, self.steps()], images: labels.len() });
        Ok(())
    }
}
