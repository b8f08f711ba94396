//! The learning rate schedules with a name on the command line.

use alexnet_train::{Schedule, TrainConfig};
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleKind {
    /// Constant learning rate.
    Constant,
    /// Multiplied by 0.1 after one third and after two thirds of the epochs.
    Steps,
    /// Multiplied by 0.1 after 5 epochs without a better validation error, at most three times: automates the paper's
    /// manual changes.
    Plateau,
    /// Falls to 1/250 in four stages of equal length; that of the biases once, to a tenth (cuda-convnet2).
    Dexp,
    /// Warm-up for half an epoch, then half a cosine down to 1/100.
    Cosine,
    /// The manual changes of run #145 of 2012: multiplied by 0.1 after 25, 51 and 79 epochs; the first layer slower after
    /// 67, when the color noise ends, and frozen after 72.
    #[value(name = "alexnet-2012")]
    Alexnet2012,
}

impl ScheduleKind {
    /// `config` with these schedules of weights and biases, and the same number of epochs.
    ///
    /// # Errors
    /// An unknown network.
    pub(super) fn apply(self, config: TrainConfig) -> alexnet_train::Result<TrainConfig> {
        let epochs = config.epochs;
        let (schedule, bias_schedule) = match self {
            Self::Constant => (Schedule::Constant, None),
            Self::Steps => {
                // Two thirds, rounded up, without an intermediate result that could overflow.
                let thirds = vec![epochs.div_ceil(3), epochs - epochs / 3];
                (Schedule::Steps { epochs: thirds, factor: 0.1 }, None)
            }
            Self::Plateau => (Schedule::Plateau { factor: 0.1, patience: 5, drops: 3 }, None),
            Self::Dexp => {
                let once = Schedule::Dexp { target_factor: 10.0, steps: 2 };
                (Schedule::Dexp { target_factor: 250.0, steps: 4 }, Some(once))
            }
            Self::Cosine => (Schedule::Cosine { warmup_epochs: 0.5, final_factor: 0.01 }, None),
            Self::Alexnet2012 => return Ok(TrainConfig { epochs, ..config.manual_2012()? }),
        };
        Ok(TrainConfig { schedule, bias_schedule, with_schedule: None, ..config })
    }
}
