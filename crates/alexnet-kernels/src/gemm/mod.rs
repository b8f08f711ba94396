//! Matrix products: [`tile`] contains the innermost loops, [`packed`] the general product, [`streamed`] the product with a
//! large transposed second matrix, [`in_place`] the product with a large second matrix that is not transposed, [`dot`] the
//! product for few rows, [`rows`] the product whose result is consumed immediately.

pub(crate) mod dot;
pub(crate) mod in_place;
mod multiply;
pub(crate) mod packed;
pub(crate) mod rows;
pub(crate) mod streamed;
pub(crate) mod tile;

/// A matrix in memory: element (i, j) is `values[i·rows + j·columns]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    /// Step from one row to the next.
    pub(crate) rows: usize,
    /// Step from one column to the next.
    pub(crate) columns: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `width` adjacent values.
    pub(crate) fn row_major(values: &'a [f32], width: usize) -> Self {
        Self { values, rows: width, columns: 1 }
    }

    pub(crate) fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, ..self }
    }
}
