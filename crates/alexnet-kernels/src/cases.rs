//! The table of test cases of all operations, and PyTorch's results for them.
//!
//! `golden/cases.json` lists the cases, `xtask/golden/kernels.py` computes the results. The tests compare an
//! operation's reference with these results, and every fast path with the reference: the file may hold only samples of
//! the values, the reference has all of them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use serde_json::Value;

pub(crate) use alexnet_testing::{
    Golden, assert_close, assert_gradient, assert_same_bits, cpu_only, only_the_gpu, seed_of, skip, uniform,
};

use crate::backend::CpuIsa;
use crate::cuda::host::Host;
use crate::layout::{MemoryFormat, convert};

/// The folder of golden files in this crate. `CARGO_MANIFEST_DIR` at run time takes precedence: a GPU machine may have
/// the tests without the crate in the folder where they were compiled.
fn folder() -> String {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    format!("{here}/golden")
}

/// One case of the table.
pub(crate) struct Case(Value);

/// The cases of an operation.
pub(crate) fn cases(op: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(format!("{}/cases.json", folder())).unwrap();
    let table: Value = serde_json::from_str(&text).unwrap();
    let cases = table[op].as_array().unwrap_or_else(|| panic!("no cases for {op}"));
    cases.iter().cloned().map(Case).collect()
}

pub(crate) fn golden() -> Golden {
    Golden::open(format!("{}/kernels.safetensors", folder()))
}

/// The results for operations that were added after those of [`golden`] (`ADDED` in the script).
pub(crate) fn more_golden() -> Golden {
    Golden::open(format!("{}/more_kernels.safetensors", folder()))
}

impl Case {
    pub(crate) fn name(&self) -> &str {
        self.0["name"].as_str().unwrap()
    }

    pub(crate) fn get(&self, key: &str) -> &Value {
        &self.0[key]
    }

    pub(crate) fn size(&self, key: &str) -> usize {
        self.0[key].as_u64().unwrap_or_else(|| panic!("{}: {key}", self.name())) as usize
    }

    pub(crate) fn number(&self, key: &str) -> f32 {
        self.0[key].as_f64().unwrap_or_else(|| panic!("{}: {key}", self.name())) as f32
    }

    pub(crate) fn is(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap_or_else(|| panic!("{}: {key}", self.name()))
    }

    pub(crate) fn sizes<const N: usize>(&self, key: &str) -> [usize; N] {
        let list = self.0[key].as_array().unwrap_or_else(|| panic!("{}: {key}", self.name()));
        let sizes: Vec<usize> = list.iter().map(|v| v.as_u64().unwrap() as usize).collect();
        sizes.try_into().unwrap()
    }

    /// The `index`-th input.
    pub(crate) fn input(&self, index: u32, len: usize) -> Vec<f32> {
        uniform(self.name(), index, len)
    }

    /// The `index`-th input times `scale`.
    pub(crate) fn scaled(&self, index: u32, len: usize) -> Vec<f32> {
        let scale = self.number("scale");
        self.input(index, len).into_iter().map(|v| v * scale).collect()
    }

    /// The upstream gradient.
    pub(crate) fn grad_y(&self, len: usize) -> Vec<f32> {
        self.input(9, len)
    }
}

thread_local! {
    /// The device of the calling thread's tensors ([`for_each_backend`]).
    static DEVICE: RefCell<Device> = const { RefCell::new(Device::Cpu) };
    /// Whether activations and their gradients are `bf16` ([`in_bf16`]).
    static HALF: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn device() -> Device {
    DEVICE.with_borrow(Device::clone)
}

/// A tensor on the device under test, in the element type of activations.
pub(crate) fn tensor(values: &[f32], dims: &[usize]) -> Tensor {
    full(values, dims).to_dtype(if HALF.get() { DType::BF16 } else { DType::F32 }).unwrap()
}

/// A tensor on the device under test that is always `f32`: a bias, a parameter's gradient.
pub(crate) fn full(values: &[f32], dims: &[usize]) -> Tensor {
    Tensor::from_slice(values, dims, &device()).unwrap()
}

pub(crate) fn zeros(dims: &[usize]) -> Tensor {
    Tensor::zeros(dims, DType::F32, &device()).unwrap()
}

/// The values in logical order.
pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()).and_then(|t| t.to_vec1()).unwrap()
}

/// Values rounded to `bf16`: to the nearest, ties to even.
pub(crate) fn rounded(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&v| half::bf16::from_f32(v).to_f32()).collect()
}

/// Runs `f` with [`tensor`]s in `bf16` on every device.
pub(crate) fn in_bf16(f: impl Fn(Backend)) {
    HALF.set(true);
    for_each_device(f);
    HALF.set(false);
}

/// An `[n, c, h, w]` batch as channels-last values.
pub(crate) fn nhwc(x: &[f32], [n, c, h, w]: [usize; 4]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    convert(x, &mut y, n, h * w, c, MemoryFormat::ChannelsLast);
    y
}

/// Channels-last values of an `[n, c, h, w]` batch in channels-first order.
pub(crate) fn nchw(x: &[f32], [n, c, h, w]: [usize; 4]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    convert(x, &mut y, n, h * w, c, MemoryFormat::ChannelsFirst);
    y
}

/// The same image batch in each kind of memory layout: contiguous, channels-last, and a view into a larger tensor (with
/// an offset and gaps).
pub(crate) fn layouts(x: &Tensor) -> CandleResult<Vec<(&'static str, Tensor)>> {
    let wide = Tensor::cat(&[x, x, x], 3)?;
    let inside = Tensor::cat(&[&wide, &wide], 0)?;
    let (n, w) = (x.dim(0)?, x.dim(3)?);
    let view = inside.narrow(0, n, n)?.narrow(3, w, w)?;
    Ok(vec![("contiguous", x.clone()), ("channels last", crate::channels_last(x)?), ("a view", view)])
}

/// The implementation under test.
#[derive(Clone, Copy)]
pub(crate) enum Backend {
    /// The CPU implementation.
    Cpu(CpuIsa),
    /// The GPU kernels, run on the CPU.
    Host(Host),
    /// A GPU, with or without its convolution library.
    Cuda(bool),
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(isa) => isa.fmt(f),
            Self::Host(Host { reversed, library }) => match (reversed, library) {
                (false, false) => f.write_str("host"),
                (true, _) => f.write_str("host, reversed"),
                (_, true) => f.write_str("host with a library"),
            },
            Self::Cuda(library) => write!(f, "cuda{}", if *library { "" } else { " without cuDNN" }),
        }
    }
}

/// Runs `f` with every instruction set and device of this machine, and prints which ones it lacks.
pub(crate) fn for_each_backend(f: impl Fn(Backend)) {
    if !only_the_gpu() {
        for_each_isa(|isa| f(Backend::Cpu(isa)));
    }
    for_each_device(f);
}

/// As [`for_each_backend`], with the CPU implementation only.
pub(crate) fn for_each_isa(f: impl Fn(CpuIsa)) {
    for isa in [CpuIsa::Portable, CpuIsa::Avx2, CpuIsa::Avx512] {
        if isa.force(|| f(isa)).is_none() {
            skip(&isa.to_string(), &format!("this CPU has no {isa}"));
        }
    }
}

/// As [`for_each_backend`], with the GPU kernels only.
pub(crate) fn for_each_device(f: impl Fn(Backend)) {
    let hosts = [(false, false), (true, false), (false, true)];
    for (reversed, library) in hosts.into_iter().filter(|_| !only_the_gpu()) {
        let host = Host { reversed, library };
        if host.force(|| f(Backend::Host(host))).is_none() {
            skip("host", "this machine has no C++ compiler");
        }
    }
    // All tests share one device, as in a program, and run one at a time, because cuDNN is switched for the whole
    // process.
    static GPU: OnceLock<Result<Device, String>> = OnceLock::new();
    static SWITCH: Mutex<()> = Mutex::new(());
    match GPU.get_or_init(|| crate::cuda_device(0).map_err(|error| error.to_string())) {
        Ok(device) => {
            let _switch = SWITCH.lock().unwrap_or_else(PoisonError::into_inner);
            DEVICE.set(device.clone());
            // With cuDNN, if the build has it, and without.
            for library in [true, false] {
                crate::use_cudnn(library);
                f(Backend::Cuda(library));
            }
            crate::use_cudnn(true);
            DEVICE.set(Device::Cpu);
        }
        Err(error) => skip("cuda", error),
    }
}

/// Runs `f` on a separate thread pool.
pub(crate) fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

/// Fails unless `f` gives the same bits on one, two and five threads.
pub(crate) fn assert_thread_independent(what: &str, f: impl Fn() -> Vec<f32> + Sync) {
    let one = with_threads(1, &f);
    for threads in [2, 5] {
        assert_same_bits(&format!("{what}, {threads} threads"), &with_threads(threads, &f), &one);
    }
}
