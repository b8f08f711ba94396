//! The statistics that normalize a batch: its own or the running ones.

use candle_core::{Result, Tensor};

use super::{BatchNorm2dParams, BatchNorm2dSaved, BatchNorm2dState, OP, Rows, cpu, cuda, vectors};
use crate::backend::CpuIsa;
use crate::cuda as device;
use crate::tensor::{self, read, write};

/// Writes the statistics that normalize x into `saved` and, in training, updates the running ones.
pub(super) fn statistics_into(
    x: &Tensor,
    state: &BatchNorm2dState<'_>,
    params: &BatchNorm2dParams,
    saved: &BatchNorm2dSaved<'_>,
) -> Result<()> {
    let rows = Rows::new(x.dims(), params)?;
    let BatchNorm2dState { running_mean, running_variance, .. } = *state;
    let BatchNorm2dSaved { mean, inverse_std } = *saved;
    let running = [("running_mean", Some(running_mean)), ("running_variance", Some(running_variance))];
    let written = [("mean", Some(mean)), ("inverse_std", Some(inverse_std))];
    rows.check(&running)?;
    rows.check(&written)?;
    if !params.training {
        tensor::distinct(OP, &running.map(|r| r.1), &written.map(|w| w.1))?;
        if let Some(done) = device::run(OP, running, written, |queue, running, saved| {
            cuda::running_statistics(queue, rows, running, params.eps, saved)
        }) {
            return done;
        }
        return vectors([("running_mean", running_mean), ("running_variance", running_variance)], |[m, v]| {
            write(OP, "mean", mean, |mean| {
                write(OP, "inverse_std", inverse_std, |inverse_std| {
                    mean.copy_from_slice(m);
                    inverse_std.iter_mut().zip(v).for_each(|(s, &v)| *s = cpu::inverse_std(v.into(), params.eps));
                    Ok(())
                })
            })
        });
    }
    let all = [running[0], running[1], written[0], written[1]];
    tensor::distinct(OP, &[Some(x), Some(state.weight), Some(state.bias)], &all.map(|a| a.1))?;
    if let Some(done) = device::run(OP, [("x", Some(x))], all, |queue, [x], outputs| {
        cuda::batch_statistics(queue, rows, params, x, outputs)
    }) {
        return done;
    }
    read(OP, "x", x, |x| {
        write(OP, "running_mean", running_mean, |running_mean| {
            write(OP, "running_variance", running_variance, |running_variance| {
                write(OP, "mean", mean, |mean| {
                    write(OP, "inverse_std", inverse_std, |inverse_std| {
                        let running = [running_mean, running_variance];
                        cpu::batch_statistics(CpuIsa::current(), rows, params, x, running, [mean, inverse_std]);
                        Ok(())
                    })
                })
            })
        })
    })
}
