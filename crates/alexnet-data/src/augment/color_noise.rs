//! Noise along the principal components of the training set's colors ("fancy PCA").

use alexnet_random::Stream;
use serde::{Deserialize, Serialize};

/// The distribution of the noise.
///
/// # Formula
/// For each image, three numbers z are drawn from the standard normal distribution, and every pixel x, an RGB triple,
/// becomes
///
/// ```text
/// (x - mean + strength · Σ_i std_devs[i] · z_i · components[i]) / (1 + strength)
/// ```
///
/// The division approximately preserves the variance. It is part of the noise: without noise nothing is divided.
///
/// # Conventions
/// The paper multiplies by the eigenvalues of the covariance. The 2012 code, and this crate, multiply by the *standard
/// deviations*, their square roots: for pixels of 0–255 the eigenvalues would shift colors by thousands.
/// A widely copied set (0.2175, 0.0188, 0.0045) holds eigenvalues for pixels of 0–1 and must not be used here.
///
/// # Source
/// Krizhevsky et al. 2012, section 4.1; cuda-convnet2, `convdata.py`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColorNoise {
    /// Standard deviations of the colors along the components, on the scale 0–255, largest first.
    pub std_devs: [f32; 3],
    /// The components: one unit vector (red, green, blue) per standard deviation.
    pub components: [[f32; 3]; 3],
    /// Factor of the standard deviations, 0.1 in 2012.
    pub strength: f32,
}

/// One draw of the noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColorShift {
    /// Added to red, green and blue, on the scale 0–255.
    pub shift: [f32; 3],
    /// The result is divided by this.
    pub divisor: f32,
}

impl ColorNoise {
    /// The color statistics of ImageNet, ILSVRC-2012, from cuda-convnet2's `make-data/input_meta`.
    pub const IMAGENET: Self = Self {
        std_devs: [121.780_06, 37.093_89, 19.720_833],
        components: [
            [-0.563_510, -0.576_184, -0.592_003],
            [-0.712_579, -0.023_542, 0.701_196],
            [0.417_955, -0.816_981, 0.397_311],
        ],
        strength: 0.1,
    };

    /// Draws three numbers from the stream.
    pub fn draw(&self, stream: &mut Stream) -> ColorShift {
        let mut shift = [0.0; 3];
        for (std_dev, component) in self.std_devs.iter().zip(&self.components) {
            let amount = self.strength * std_dev * stream.normal();
            for (shift, direction) in shift.iter_mut().zip(component) {
                *shift += amount * direction;
            }
        }
        ColorShift { shift, divisor: 1.0 + self.strength }
    }
}
