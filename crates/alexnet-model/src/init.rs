//! Initial values of parameters.

use alexnet_random::{Purpose, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How a parameter is initialized.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Init {
    /// N(0, `std`²).
    Normal {
        /// σ.
        std: f32,
    },
    /// The same value everywhere.
    Constant(f32),
    /// Uniform in ±1/√fan_in, the default of PyTorch's convolutions and linear layers, for weights and biases.
    FanInUniform,
}

/// Number of values drawn from one stream.
const CHUNK: usize = 4096;

impl Init {
    /// `len` values of the network's `index`-th parameter. Values `4096·i` to `4096·i + 4095` come from the stream
    /// (seed, initial weights, i, index), so the values do not depend on the number of threads.
    pub fn values(self, len: usize, fan_in: usize, seed: u64, index: u32) -> Vec<f32> {
        let mut values = vec![0.0; len];
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(i, values)| {
            let mut stream = Stream::new(seed, Purpose::InitialWeights, i as u32, index);
            match self {
                Self::Normal { std } => values.iter_mut().for_each(|v| *v = std * stream.normal()),
                Self::Constant(constant) => values.fill(constant),
                Self::FanInUniform => {
                    let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
                    values.iter_mut().for_each(|v| *v = stream.uniform_in(-bound, bound));
                }
            }
        });
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_distribution_and_depend_on_seed_and_parameter() {
        let normal = Init::Normal { std: 0.01 }.values(100_000, 0, 1, 2);
        let variance = normal.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 1e5;
        assert!((variance.sqrt() - 0.01).abs() < 2e-4, "{variance}");
        assert_eq!(normal[..5000], Init::Normal { std: 0.01 }.values(5000, 0, 1, 2));
        assert_ne!(normal[..5000], Init::Normal { std: 0.01 }.values(5000, 0, 2, 2));
        assert_ne!(normal[..5000], Init::Normal { std: 0.01 }.values(5000, 0, 1, 3));
        assert_ne!(normal[..CHUNK], normal[CHUNK..2 * CHUNK]);

        let uniform = Init::FanInUniform.values(10_000, 25, 1, 0);
        let largest = uniform.iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(largest <= 0.2 && largest > 0.199, "{largest}");
        assert_eq!(Init::Constant(1.0).values(3, 0, 0, 0), [1.0; 3]);
    }
}
