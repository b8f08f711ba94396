//! Learning rate schedules.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A factor for the base learning rate, as a function of progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Always 1.
    Constant,
    /// Multiplied by `factor` at the start of each of these epochs, counted from 0.
    Steps {
        /// The epochs.
        epochs: Vec<u32>,
        /// By what.
        factor: f64,
    },
    /// Multiplied by `factor` whenever the validation error has not improved for `patience` epochs, as the paper's
    /// authors did by hand (section 5).
    Plateau {
        /// By what.
        factor: f64,
        /// Number of epochs without improvement.
        patience: u32,
        /// Maximum number of drops.
        drops: u32,
    },
    /// Exponential decay in `steps` equal intervals, from the base rate to the base rate divided by `target_factor`, by
    /// the same ratio each time: `dexp[base;tgtFactor;numSteps]` of the 2012 code and cuda-convnet2.
    Dexp {
        /// Ratio of the base rate to the final rate.
        target_factor: f64,
        /// Number of intervals; at least 2.
        steps: u32,
    },
    /// Linear warm-up from 0 to 1 over `warmup_epochs`, then cosine decay to `final_factor`.
    Cosine {
        /// Length of the warm-up, in epochs.
        warmup_epochs: f64,
        /// Factor at the end of training.
        final_factor: f64,
    },
}

/// Progress of training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The epoch, counted from 0.
    pub epoch: u32,
    /// Number of epochs.
    pub epochs: u32,
    /// The step within the epoch, counted from 0.
    pub step: usize,
    /// Steps per epoch.
    pub steps: usize,
}

/// State of [`Schedule::Plateau`], part of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    best: Option<f64>,
    waited: u32,
    drops: u32,
}

impl Schedule {
    /// # Errors
    /// [`Error::Config`] for a value out of range.
    pub fn validate(&self, name: &str) -> Result<()> {
        let wrong = |what: &str, found: String, rule: &str| {
            Err(Error::Config { what: format!("{name}.{what}"), found, rule: rule.into() })
        };
        let positive = |value: f64| value > 0.0 && value.is_finite();
        match *self {
            Self::Steps { factor, .. } | Self::Plateau { factor, .. } if !positive(factor) => {
                wrong("factor", factor.to_string(), "it must be above 0")
            }
            Self::Plateau { patience: 0, .. } => wrong("patience", "0".into(), "it must be at least 1"),
            Self::Dexp { target_factor, .. } if !positive(target_factor) => {
                wrong("target_factor", target_factor.to_string(), "it must be above 0")
            }
            Self::Dexp { steps, .. } if steps < 2 => wrong("steps", steps.to_string(), "it must be at least 2"),
            Self::Cosine { warmup_epochs, .. } if !(warmup_epochs >= 0.0 && warmup_epochs.is_finite()) => {
                wrong("warmup_epochs", warmup_epochs.to_string(), "it must be 0 or more")
            }
            Self::Cosine { final_factor, .. } if !(0.0..=1.0).contains(&final_factor) => {
                wrong("final_factor", final_factor.to_string(), "it must be from 0 to 1")
            }
            _ => Ok(()),
        }
    }

    /// The factor for the next step.
    pub fn factor(&self, progress: Progress, plateau: &Plateau) -> f64 {
        let Progress { epoch, epochs, step, steps } = progress;
        let done = f64::from(epoch) + step as f64 / steps.max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Steps { epochs, factor } => factor.powi(epochs.iter().filter(|&&at| at <= epoch).count() as i32),
            Self::Plateau { factor, .. } => factor.powi(plateau.drops as i32),
            Self::Dexp { target_factor, steps } => {
                let stretch = (done / f64::from(epochs.max(1)) * f64::from(*steps)).floor().min(f64::from(steps - 1));
                target_factor.powf(-stretch / f64::from(steps - 1))
            }
            Self::Cosine { warmup_epochs, .. } if done < *warmup_epochs => {
                // The factor of the first step is above 0.
                (done + 1.0 / steps.max(1) as f64) / (warmup_epochs + 1.0 / steps.max(1) as f64)
            }
            Self::Cosine { warmup_epochs, final_factor } => {
                let rest = (f64::from(epochs) - warmup_epochs).max(f64::MIN_POSITIVE);
                let angle = std::f64::consts::PI * ((done - warmup_epochs) / rest).clamp(0.0, 1.0);
                final_factor + (1.0 - final_factor) * 0.5 * (1.0 + angle.cos())
            }
        }
    }

    /// Updates the plateau state with an epoch's validation error.
    pub fn observe(&self, error: f64, state: &mut Plateau) {
        let Self::Plateau { patience, drops, .. } = *self else { return };
        if state.best.is_none_or(|best| error < best) {
            (state.best, state.waited) = (Some(error), 0);
            return;
        }
        state.waited += 1;
        if state.waited >= patience && state.drops < drops {
            (state.waited, state.drops) = (0, state.drops + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u32, step: usize) -> Progress {
        Progress { epoch, epochs: 90, step, steps: 10 }
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12 * b.abs().max(1e-3), "{a}, expected {b}");
    }

    /// base .01, f 250, N 4 gives .01, .0015874, .00025198, .00004 in four equal intervals.
    #[test]
    fn dexp_falls_as_in_2012() {
        let schedule = Schedule::Dexp { target_factor: 250.0, steps: 4 };
        let rate = |epoch, step| 0.01 * schedule.factor(at(epoch, step), &Plateau::default());
        for (epoch, expected) in
            [(0, 0.01), (22, 0.01), (23, 0.0015874), (45, 0.00025198), (68, 0.00004), (89, 0.00004)]
        {
            assert!((rate(epoch, 0) / expected - 1.0).abs() < 1e-4, "epoch {epoch}: {}", rate(epoch, 0));
        }
        // A quarter of 90 epochs ends in the middle of an epoch.
        assert!(rate(22, 4) > rate(22, 5));
        let biases = Schedule::Dexp { target_factor: 10.0, steps: 2 };
        close(0.02 * biases.factor(at(44, 9), &Plateau::default()), 0.02);
        close(0.02 * biases.factor(at(45, 0), &Plateau::default()), 0.002);
    }

    #[test]
    fn steps_fall_at_their_epochs() {
        let schedule = Schedule::Steps { epochs: vec![30, 60], factor: 0.1 };
        let factor = |epoch| schedule.factor(at(epoch, 9), &Plateau::default());
        for (epoch, expected) in [(0, 1.0), (29, 1.0), (30, 0.1), (59, 0.1), (60, 0.01), (89, 0.01)] {
            close(factor(epoch), expected);
        }
    }

    #[test]
    fn cosine_warms_up_and_comes_down() {
        let schedule = Schedule::Cosine { warmup_epochs: 2.0, final_factor: 0.1 };
        let factor = |epoch, step| schedule.factor(at(epoch, step), &Plateau::default());
        close(factor(0, 0), 0.1 / 2.1);
        close(factor(2, 0), 1.0);
        close(factor(46, 0), 0.55);
        assert!(factor(89, 9) > 0.1 && factor(89, 9) < 0.101);
        let all: Vec<f64> = (0..90).flat_map(|epoch| (0..10).map(move |step| factor(epoch, step))).collect();
        assert!(all[..20].is_sorted() && all[20..].is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn plateau_drops_after_its_patience_and_no_more_than_it_may() {
        let schedule = Schedule::Plateau { factor: 0.1, patience: 2, drops: 2 };
        let mut state = Plateau::default();
        let mut factors = Vec::new();
        for error in [0.9, 0.8, 0.8, 0.85, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7] {
            schedule.observe(error, &mut state);
            factors.push(schedule.factor(at(0, 0), &state));
        }
        let expected = [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.01];
        factors.iter().zip(expected).for_each(|(&a, b)| close(a, b));
        // Other schedules do not change the plateau state.
        Schedule::Constant.observe(0.1, &mut state);
        close(schedule.factor(at(0, 0), &state), 0.01);
        assert_eq!(factors.len(), expected.len());
    }

    #[test]
    fn values_out_of_range_are_named() {
        let message = |schedule: Schedule| schedule.validate("schedule").unwrap_err().to_string();
        assert!(message(Schedule::Dexp { target_factor: 250.0, steps: 1 }).contains("schedule.steps is 1"));
        assert!(message(Schedule::Steps { epochs: vec![], factor: 0.0 }).contains("schedule.factor is 0"));
        assert!(message(Schedule::Plateau { factor: f64::NAN, patience: 1, drops: 1 }).contains("NaN"));
        assert!(message(Schedule::Cosine { warmup_epochs: -1.0, final_factor: 0.0 }).contains("-1"));
        assert!(Schedule::Constant.validate("schedule").is_ok());
    }
}
