//! What to compute with.

use std::num::NonZeroUsize;
use std::str::FromStr;

use alexnet_model::Precision;
use clap::ValueEnum;

#[derive(Debug, clap::Args)]
pub struct MachineArgs {
    /// Where to compute: cpu, or an NVIDIA GPU as cuda or cuda:N; `alexnet info --devices` lists what is there.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceChoice,

    /// What to compute with: f32, or bf16. On a GPU, activations and a copy of the weights then have 8 bits of precision, and
    /// sums, parameters and the loss all of them. On the CPU it is not for training; the weights of the fully connected layers
    /// have 8 bits, and their inputs where the processor multiplies bf16 and gets more than eight images at once, with which a few images take less time, and many where the processor multiplies bf16 [default: f32].
    #[arg(long, value_name = "TYPE")]
    pub precision: Option<PrecisionChoice>,

    /// Let tensor cores compute f32 products on a GPU from factors rounded to 11 bits.
    #[arg(long)]
    pub tf32: bool,

    /// Let convolutions on a GPU add up in another order each time where that is faster: a run that is repeated, or
    /// resumed, is then not the same to the bit.
    #[arg(long)]
    pub fast: bool,

    /// Threads for computing and for reading images; how many changes no result [default: all cores].
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,

    /// Print only JSON on standard output.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionChoice {
    /// Single precision.
    F32,
    /// Mixed precision in bfloat16.
    Bf16,
}

impl From<PrecisionChoice> for Precision {
    fn from(choice: PrecisionChoice) -> Self {
        match choice {
            PrecisionChoice::F32 => Self::F32,
            PrecisionChoice::Bf16 => Self::Bf16,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The processor.
    Cpu,
    /// The NVIDIA GPU with this number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("it must be cpu, cuda or cuda:N with a number N, but is {text:?}");
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", number)) => number.parse().map(Self::Cuda).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}
