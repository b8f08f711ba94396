//! The schedules that have a name on the command line.

use alexnet_train::{Schedule, TrainConfig};
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleKind {
    /// Never.
    Constant,
    /// To a tenth after each third of the epochs.
    Steps,
    /// To a tenth whenever validation has not improved for 5 epochs, three times: the paper's hand, automated.
    Plateau,
    /// In four equal stretches down to 1/250; biases once, to a tenth: cuda-convnet2.
    Dexp,
    /// Half an epoch of warm-up, then half a cosine down to 1/100.
    Cosine,
    /// By the hand of 2012, run #145: to a tenth after 25, 51 and 79 epochs; the first layer slower after 67, when the color
    /// noise ends, and frozen after 72.
    #[value(name = "alexnet-2012")]
    Alexnet2012,
}

impl ScheduleKind {
    /// `config`, in as many epochs, with these schedules of weights and of biases.
    ///
    /// # Errors
    /// An unknown network.
    pub(super) fn apply(self, config: TrainConfig) -> alexnet_train::Result<TrainConfig> {
        let epochs = config.epochs;
        let (schedule, bias_schedule) = match self {
            Self::Constant => (Schedule::Constant, None),
            Self::Steps => {
                // Two thirds, rounded up, without an intermediate that could be too large.
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
