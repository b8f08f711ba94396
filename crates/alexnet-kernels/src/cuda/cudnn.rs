//! Convolutions by cuDNN. Descriptors and algorithms are determined once per shape and cached.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::cuda_backend::cudarc::cudnn::{CudnnError, result, sys};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtrMut};
use candle_core::cuda_backend::{DeviceId, WrapErr};
use candle_core::{CudaDevice, Error, Result};

use super::{Convolution, Pass, Real, Sizes};
use crate::GpuMath;

/// Maximum workspace of an algorithm, in bytes.
const WORKSPACE: usize = 1 << 30;

static ENABLED: AtomicBool = AtomicBool::new(true);

/// Whether convolutions use cuDNN.
pub(super) fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

pub(crate) fn enable(enabled: bool) {
    ENABLED.store(enabled, Ordering::Relaxed);
}

/// The key of a cached plan: everything that cuDNN's choice of algorithms depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    pass: Pass,
    bf16: bool,
    sizes: Sizes,
    tf32: bool,
    any_algorithm: bool,
}

/// The cuDNN state of one thread on one GPU; cuDNN handles must not be shared between threads.
struct Library {
    handle: sys::cudnnHandle_t,
    plans: HashMap<Question, Option<Plan>>,
    workspace: Option<CudaSlice<u8>>,
}

impl Drop for Library {
    fn drop(&mut self) {
        self.plans.clear();
        // SAFETY: nothing uses the handle anymore.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// Runs a convolution; returns false if cuDNN has no algorithm for it.
pub(super) fn convolve(device: &CudaDevice, convolution: &Convolution) -> Result<bool> {
    thread_local! {
        static LIBRARIES: RefCell<HashMap<DeviceId, Library>> = RefCell::default();
    }
    let stream = device.cuda_stream();
    stream.context().bind_to_thread().w()?;
    LIBRARIES.with_borrow_mut(|libraries| {
        let library = match libraries.entry(device.id()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let handle = result::create_handle().map_err(cudnn)?;
                // SAFETY: the handle has just been made; the stream lives as long as the device.
                unsafe { result::set_stream(handle, stream.cu_stream() as *mut _) }.map_err(cudnn)?;
                entry.insert(Library { handle, plans: HashMap::new(), workspace: None })
            }
        };
        library.run(device, convolution)
    })
}

impl Library {
    fn run(&mut self, device: &CudaDevice, convolution: &Convolution) -> Result<bool> {
        let question = Question {
            pass: convolution.pass,
            bf16: convolution.real == Real::Bf16,
            sizes: convolution.sizes,
            tf32: GpuMath::current().tf32,
            any_algorithm: GpuMath::current().nondeterministic,
        };
        let handle = self.handle;
        if let Entry::Vacant(entry) = self.plans.entry(question) {
            entry.insert(Plan::new(handle, &question).map_err(cudnn)?);
        }
        // A listed algorithm may still be unsupported; then the next is tried, and if none is left, the plan becomes `None`.
        while let Some(Some(plan)) = self.plans.get(&question) {
            match plan.run(handle, &mut self.workspace, device, convolution) {
                Ok(()) => return Ok(true),
                Err(Refusal::Unsupported) => {
                    let next = self.plans.get_mut(&question).and_then(Option::as_mut).is_some_and(Plan::next);
                    if !next {
                        self.plans.insert(question, None);
                    }
                }
                Err(Refusal::Failed(error)) => return Err(error),
            }
        }
        Ok(false)
    }
}

/// Why an algorithm did not run.
enum Refusal {
    Unsupported,
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Plan {
    fn run(
        &self,
        handle: sys::cudnnHandle_t,
        workspace: &mut Option<CudaSlice<u8>>,
        device: &CudaDevice,
        convolution: &Convolution,
    ) -> std::result::Result<(), Refusal> {
        let Some(&(algorithm, bytes, math)) = self.algorithms.first() else { return Err(Refusal::Unsupported) };
        if workspace.as_ref().is_none_or(|space| space.len() < bytes) {
            *workspace = None;
            // SAFETY: cuDNN writes the workspace before it reads it.
            *workspace = Some(unsafe { device.alloc::<u8>(bytes.max(1))? });
        }
        let stream = device.cuda_stream();
        let Some(space) = workspace.as_mut() else { return Err(Refusal::Unsupported) };
        let (space, _hold) = space.device_ptr_mut(&stream);
        let (one, zero) = (1f32, 0f32);
        let [one, zero] = [&one, &zero].map(|value| std::ptr::from_ref(value).cast::<c_void>());
        let [x, w, y] = [convolution.x, convolution.weight, convolution.y].map(|tensor| tensor.at as *mut c_void);
        let space = space as *mut c_void;
        let Plan { x: xd, y: yd, w: wd, conv, .. } = self;
        // SAFETY: the descriptors match the sizes of the tensors, whose locks the caller holds; the workspace has at least
        // as many bytes as the algorithm requires; both scaling factors outlive the call.
        let done = unsafe {
            result::set_convolution_math_type(conv.0, math).map_err(cudnn)?;
            match algorithm {
                Algorithm::Forward(algorithm) => result::convolution_forward(
                    handle, one, xd.0, x, wd.0, w, conv.0, algorithm, space, bytes, zero, yd.0, y,
                ),
                Algorithm::Input(algorithm) => result::convolution_backward_data(
                    handle, one, wd.0, w, yd.0, y, conv.0, algorithm, space, bytes, zero, xd.0, x,
                ),
                Algorithm::Weight(algorithm) => result::convolution_backward_filter(
                    handle, one, xd.0, x, yd.0, y, conv.0, algorithm, space, bytes, zero, wd.0, w,
                ),
            }
        };
        done.map_err(|error| match error.0 {
            sys::cudnnStatus_t::CUDNN_STATUS_NOT_SUPPORTED => Refusal::Unsupported,
            _ => Refusal::Failed(cudnn(error)),
        })
    }

    /// Discards the current algorithm; returns false if there is no other.
    fn next(&mut self) -> bool {
        self.algorithms.remove(0);
        !self.algorithms.is_empty()
    }
}

fn cudnn(error: CudnnError) -> Error {
    Error::Msg(format!("conv2d: cuDNN: {:?}", error.0))
}

macro_rules! descriptor {
    ($name:ident, $type:ty, $create:path, $destroy:path) => {
        struct $name($type);
        impl $name {
            fn new() -> std::result::Result<Self, CudnnError> {
                $create().map(Self)
            }
        }
        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: made in `new` and nowhere else.
                let _ = unsafe { $destroy(self.0) };
            }
        }
    };
}
descriptor!(Tensor, sys::cudnnTensorDescriptor_t, result::create_tensor_descriptor, result::destroy_tensor_descriptor);
descriptor!(Filter, sys::cudnnFilterDescriptor_t, result::create_filter_descriptor, result::destroy_filter_descriptor);
descriptor!(
    Convolved,
    sys::cudnnConvolutionDescriptor_t,
    result::create_convolution_descriptor,
    result::destroy_convolution_descriptor
);

#[derive(Clone, Copy)]
enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    Input(sys::cudnnConvolutionBwdDataAlgo_t),
    Weight(sys::cudnnConvolutionBwdFilterAlgo_t),
}

/// The descriptors and algorithms of one convolution.
struct Plan {
    x: Tensor,
    y: Tensor,
    w: Filter,
    conv: Convolved,
    /// The best first, in cuDNN's order, each with its workspace size and its math type.
    algorithms: Vec<(Algorithm, usize, sys::cudnnMathType_t)>,
}

impl Plan {
    /// The algorithms from cuDNN's list that fit the workspace, are deterministic (unless any algorithm is allowed), and do
    /// not round factors unless that is allowed; `None` if there are none.
    fn new(handle: sys::cudnnHandle_t, question: &Question) -> std::result::Result<Option<Self>, CudnnError> {
        use sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        use sys::cudnnDataType_t::{CUDNN_DATA_BFLOAT16, CUDNN_DATA_FLOAT};
        use sys::cudnnMathType_t::{CUDNN_DEFAULT_MATH, CUDNN_FMA_MATH, CUDNN_TENSOR_OP_MATH};
        use sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
        let Question { pass, bf16, sizes: s, tf32, any_algorithm } = *question;
        let dtype = if bf16 { CUDNN_DATA_BFLOAT16 } else { CUDNN_DATA_FLOAT };
        let math = match (bf16, tf32) {
            (true, _) => CUDNN_TENSOR_OP_MATH,
            (false, true) => CUDNN_DEFAULT_MATH,
            (false, false) => CUDNN_FMA_MATH,
        };
        let (x, y, w, conv) = (Tensor::new()?, Tensor::new()?, Filter::new()?, Convolved::new()?);
        let int = |values: [usize; 4]| values.map(|value| value as i32);
        let [pad_h, pad_w] = s.padding.map(|zeros| zeros as i32);
        let stride = s.stride.min(i32::MAX as usize) as i32;
        // SAFETY: the descriptors have just been made.
        unsafe {
            let format = CUDNN_TENSOR_NHWC;
            result::set_tensor4d_descriptor(x.0, format, dtype, int([s.n, s.in_channels, s.h, s.w]))?;
            result::set_tensor4d_descriptor(y.0, format, dtype, int([s.n, s.out_channels, s.oh, s.ow]))?;
            let weight = int([s.out_channels, s.in_channels / s.groups, s.kh, s.kw]);
            result::set_filter4d_descriptor(w.0, dtype, format, weight)?;
            let (mode, compute) = (CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT);
            result::set_convolution2d_descriptor(conv.0, pad_h, pad_w, stride, stride, 1, 1, mode, compute)?;
            result::set_convolution_group_count(conv.0, s.groups as i32)?;
            result::set_convolution_math_type(conv.0, math)?;
        }
        macro_rules! choose {
            ($answer:ty, $ask:path, $found:path, $($descriptor:expr),*) => {{
                let mut answers = [const { MaybeUninit::<$answer>::zeroed() }; 16];
                let mut count = 0;
                // SAFETY: cuDNN writes at most as many answers as there is room for, and their number.
                let asked = unsafe {
                    let (most, room) = (answers.len() as i32, answers.as_mut_ptr().cast());
                    $ask(handle, $($descriptor),*, most, &mut count, room)
                };
                let count = match asked {
                    Ok(()) => count as usize,
                    Err(CudnnError(sys::cudnnStatus_t::CUDNN_STATUS_NOT_SUPPORTED)) => 0,
                    Err(error) => return Err(error),
                };
                let usable = answers[..count].iter().filter_map(|answer| {
                    // SAFETY: one of the first `count`, which cuDNN has written.
                    let answer = unsafe { answer.assume_init_ref() };
                    let same_bits = answer.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC;
                    let exact = bf16 || tf32 || [CUDNN_FMA_MATH, CUDNN_DEFAULT_MATH].contains(&answer.mathType);
                    let fits = answer.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS && answer.memory <= WORKSPACE;
                    let taken = fits && exact && (same_bits || any_algorithm);
                    // In f32 without TF32, keep the math type that rules TF32 out.
                    let found = if bf16 || tf32 { answer.mathType } else { math };
                    taken.then(|| ($found(answer.algo), answer.memory, found))
                });
                usable.collect::<Vec<_>>()
            }};
        }
        let algorithms = match pass {
            Pass::Forward => {
                choose!(
                    sys::cudnnConvolutionFwdAlgoPerf_t,
                    result::get_convolution_forward_algorithm,
                    Algorithm::Forward,
                    x.0,
                    w.0,
                    conv.0,
                    y.0
                )
            }
            Pass::Input => {
                choose!(
                    sys::cudnnConvolutionBwdDataAlgoPerf_t,
                    result::get_convolution_backward_data_algorithm,
                    Algorithm::Input,
                    w.0,
                    y.0,
                    conv.0,
                    x.0
                )
            }
            Pass::Weight => {
                choose!(
                    sys::cudnnConvolutionBwdFilterAlgoPerf_t,
                    result::get_convolution_backward_filter_algorithm,
                    Algorithm::Weight,
                    x.0,
                    y.0,
                    conv.0,
                    w.0
                )
            }
        };
        Ok((!algorithms.is_empty()).then_some(Self { x, y, w, conv, algorithms }))
    }
}
