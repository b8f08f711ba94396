//! The arguments for devices, precision and threads.

use std::num::NonZeroUsize;
use std::str::FromStr;

use alexnet_model::Precision;
use clap::ValueEnum;

#[derive(Debug, clap::Args)]
pub struct MachineArgs {
    /// Device: cpu, or an NVIDIA GPU as cuda or cuda:N; `alexnet info --devices` lists the devices.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceChoice,

    /// Precision of the computation, f32 or bf16 [default: f32].
    ///
    /// On a GPU, bf16 is mixed precision: activations and a copy of the weights are bf16, with 8 bits of precision; sums,
    /// parameters and the loss are f32. On the CPU, bf16 is for inference only: the weights of the fully connected layers
    /// are bf16, and, with AVX512-BF16 and more than eight images at once, so are the inputs of these layers. A few images
    /// then take less time; with AVX512-BF16, many images do, too.
    #[arg(long, value_name = "TYPE")]
    pub precision: Option<PrecisionChoice>,

    /// Allow TF32 on a GPU: tensor cores compute f32 products from factors rounded to 11 bits.
    #[arg(long)]
    pub tf32: bool,

    /// Allow nondeterministic convolution algorithms on a GPU if they are faster; repeated or resumed runs are then not
    /// bit-identical.
    #[arg(long)]
    pub fast: bool,

    /// Number of threads for computing and for reading images; does not change the results [default: all cores].
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
    /// The CPU.
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
