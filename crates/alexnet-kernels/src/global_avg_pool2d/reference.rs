//! The specification as plain loops over channels-first planes, summed in `f64`.

/// The mean of each plane of `pixels` values.
pub fn forward(x: &[f32], pixels: usize) -> Vec<f32> {
    let mean = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>() / pixels as f64;
    x.chunks_exact(pixels).map(|x| mean(x) as f32).collect()
}

/// The gradient of x.
pub fn backward(grad_y: &[f32], pixels: usize) -> Vec<f32> {
    grad_y.iter().flat_map(|&g| std::iter::repeat_n((f64::from(g) / pixels as f64) as f32, pixels)).collect()
}
