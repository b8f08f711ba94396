//! The specification as plain loops.

use super::NUMBERS;

/// Batch, height, width.
pub type Size = [usize; 3];

/// y for bytes `[n, h, w, 3]`, the parameters of each image, the channels, and a mean image with its height and width.
pub fn normalize(
    x: &[u8],
    [n, h, w]: Size,
    numbers: &[f32],
    channels: [usize; 3],
    mean: Option<(&[f32], [usize; 2])>,
) -> Vec<f32> {
    let mut y = Vec::with_capacity(x.len());
    for image in 0..n {
        let row = &numbers[image * NUMBERS..(image + 1) * NUMBERS];
        let (scale, offset, divisor, [left, top], [flip, flip_mean]) =
            (&row[..3], &row[3..6], row[6], [row[7], row[8]], [row[9], row[10]]);
        for (i, j, c) in (0..h).flat_map(|i| (0..w).flat_map(move |j| (0..3).map(move |c| (i, j, c)))) {
            let column = |flip: f32| if flip != 0.0 { w - 1 - j } else { j };
            let byte = x[((image * h + i) * w + column(flip)) * 3 + channels[c]];
            let mut value = f32::from(byte) * scale[c] + offset[c];
            if let Some((mean, [height, width])) = mean {
                let at = (c * height + top as usize + i) * width + left as usize + column(flip_mean);
                value -= mean[at] / divisor;
            }
            y.push(value);
        }
    }
    y
}
