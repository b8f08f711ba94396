//! The specification as plain loops.

/// Matrices of `rows` rows, side by side.
pub fn forward(parts: &[&[f32]], rows: usize) -> Vec<f32> {
    let row = |part: &[f32], row: usize| part[part.len() / rows * row..part.len() / rows * (row + 1)].to_vec();
    (0..rows).flat_map(|i| parts.iter().flat_map(move |part| row(part, i))).collect()
}

/// The `width` columns that start at `first`, of a matrix of `rows` rows.
pub fn backward(grad_y: &[f32], rows: usize, first: usize, width: usize) -> Vec<f32> {
    let wide = grad_y.len() / rows;
    (0..rows).flat_map(|row| grad_y[row * wide + first..][..width].to_vec()).collect()
}
