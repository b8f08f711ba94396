//! The GPU path: a matrix of window values for each position, with one row per image, is multiplied by the weights in a
//! batch of products, one per position.

use candle_core::{DType, Result};

use super::OP;
use super::shape::LocalShape;
use crate::cuda::{Address, Argument, Gemm, Matrix, Queue, Real, arguments, common_real, count};
use crate::{add, bias_relu};

/// The operands of the products of one group of channels.
struct Products<'a> {
    shape: &'a LocalShape,
    real: Real,
}

impl Products<'_> {
    /// Number of values of all rows.
    fn len(&self) -> usize {
        self.shape.positions() * self.shape.n * self.shape.params.groups * self.shape.taps()
    }

    /// Calls `f` with scratch memory for the rows.
    fn with_rows(&self, queue: &dyn Queue, mut f: impl FnMut(Address) -> Result<()>) -> Result<()> {
        count(OP, self.len())?;
        let dtype = if self.real == Real::Bf16 { DType::BF16 } else { DType::F32 };
        queue.with_scratch(self.len() * self.real.bytes(), &mut |at| f(Address { at, len: self.len(), dtype }))
    }

    /// The rows in order: each has the groups of an image at a position.
    fn rows(&self, rows: Address, group: usize) -> Matrix {
        let (taps, groups) = (self.shape.taps(), self.shape.params.groups);
        let at = rows.offset(group * taps).at;
        Matrix { at, row: groups * taps, step: self.shape.n * groups * taps, transposed: false }
    }

    fn weight(&self, weight: Address, group: usize) -> Matrix {
        let taps = self.shape.taps();
        let at = weight.offset(group * self.shape.group_out() * taps).at;
        Matrix { at, row: taps, step: self.shape.out_channels * taps, transposed: false }
    }

    fn outputs(&self, y: Address, group: usize) -> Matrix {
        let channels = self.shape.out_channels;
        let at = y.offset(group * self.shape.group_out()).at;
        Matrix { at, row: self.shape.positions() * channels, step: channels, transposed: false }
    }

    fn product(&self, [m, n, k]: [usize; 3], [a, b, c]: [Matrix; 3]) -> Gemm {
        let (real, batch) = (self.real, self.shape.positions());
        Gemm { real, result: real, m, n, k, a, b, c, accumulate: false, batch }
    }

    /// The size arguments of both kernels.
    fn arguments(&self) -> [Argument; 12] {
        let s = self.shape;
        let padding = s.params.padding;
        let sizes = [s.n, s.h, s.w, s.oh, s.ow, s.kh, s.kw, s.params.stride, padding.top, padding.left];
        let [a, b, c, d, e, f, g, h, i, j] = sizes.map(Argument::from);
        [a, b, c, d, e, f, g, h, i, j, s.params.groups.into(), s.group_in().into()]
    }

    fn unfold(&self, queue: &dyn Queue, x: Address, rows: Address) -> Result<()> {
        let count = rows.count(OP)?;
        let arguments = [&arguments![x, rows, count][..], &self.arguments()].concat();
        queue.for_each(self.real, "local_unfold", count, &arguments)
    }
}

pub(super) fn forward(
    queue: &dyn Queue,
    shape: &LocalShape,
    [x, weight, bias]: [Address; 3],
    relu: bool,
    y: Address,
) -> Result<()> {
    let real = common_real(OP, [("x", x), ("weight", weight), ("y", y)])?;
    x.count(OP)?;
    y.count(OP)?;
    if shape.n == 0 {
        return Ok(());
    }
    let (products, sizes) = (Products { shape, real }, [shape.n, shape.group_out(), shape.taps()]);
    products.with_rows(queue, |rows| {
        products.unfold(queue, x, rows)?;
        (0..shape.params.groups).try_for_each(|group| {
            let b = Matrix { transposed: true, ..products.weight(weight, group) };
            queue.gemm(&products.product(sizes, [products.rows(rows, group), b, products.outputs(y, group)]))
        })
    })?;
    bias_relu::add_bias(queue, OP, y, bias, shape.positions() * shape.out_channels, relu)
}

/// Computes the gradients that have a buffer.
pub(super) fn backward(
    queue: &dyn Queue,
    shape: &LocalShape,
    [x, weight, grad_y]: [Address; 3],
    [grad_x, grad_weight, grad_bias]: [Address; 3],
) -> Result<()> {
    let real = common_real(OP, [("x", x), ("weight", weight), ("grad_y", grad_y), ("grad_x", grad_x)])?;
    x.count(OP)?;
    grad_y.count(OP)?;
    if grad_bias.is_some() {
        bias_relu::sum_rows(queue, OP, grad_y, grad_bias)?;
    }
    if shape.n == 0 {
        // Empty sums are 0.
        return if grad_weight.is_some() { add::zero_on(queue, OP, grad_weight) } else { Ok(()) };
    }
    let (products, groups) = (Products { shape, real }, shape.params.groups);
    if grad_x.is_some() {
        products.with_rows(queue, |rows| {
            let sizes = [shape.n, shape.taps(), shape.group_out()];
            (0..groups).try_for_each(|group| {
                let (a, b) = (products.outputs(grad_y, group), products.weight(weight, group));
                queue.gemm(&products.product(sizes, [a, b, products.rows(rows, group)]))
            })?;
            let count = grad_x.count(OP)?;
            let arguments = [&arguments![rows, grad_x, count][..], &products.arguments()].concat();
            queue.for_each(real, "local_fold", count, &arguments)
        })?;
    }
    if grad_weight.is_some() {
        let result = grad_weight.real(OP, "grad_weight")?;
        products.with_rows(queue, |rows| {
            products.unfold(queue, x, rows)?;
            (0..groups).try_for_each(|group| {
                let a = Matrix { transposed: true, ..products.outputs(grad_y, group) };
                let (b, c) = (products.rows(rows, group), products.weight(grad_weight, group));
                let sizes = [shape.group_out(), shape.taps(), shape.n];
                queue.gemm(&Gemm { result, ..products.product(sizes, [a, b, c]) })
            })
        })?;
    }
    Ok(())
}
