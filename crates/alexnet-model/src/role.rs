//! What a parameter is to a solver.

/// Which of a solver's rules hold for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It is trained by the rules for weights: what inputs are multiplied by.
    Weight,
    /// It is trained by the rules for biases, which in 2012 learn twice as fast and do not decay: what is added.
    Bias,
    /// It is not trained: forward in training writes it, testing reads it. It is saved, loaded and moved with the others.
    Buffer,
}

impl Role {
    /// Whether gradients and a solver change it.
    pub fn is_trained(self) -> bool {
        self != Self::Buffer
    }
}
