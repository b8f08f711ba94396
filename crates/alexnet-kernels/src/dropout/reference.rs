//! The specification: one stream of random numbers, read from the first value to the last.

use alexnet_random::{Purpose, Stream};

use super::DropoutParams;

/// Computes y from x, or the gradient of x from the gradient of y.
pub fn apply(x: &[f32], params: &DropoutParams) -> Vec<f32> {
    let mut stream = Stream::new(params.seed, Purpose::Dropout, params.step, params.layer);
    for _ in 0..params.first_value {
        stream.uniform();
    }
    x.iter().map(|x| if stream.uniform() < params.keep() { x * params.training_factor() } else { 0.0 }).collect()
}
