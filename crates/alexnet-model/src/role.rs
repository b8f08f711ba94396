//! How a solver treats a parameter.

/// Selects the solver's rules for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A multiplicative parameter, trained with the rules for weights.
    Weight,
    /// An additive parameter, trained with the rules for biases: in 2012, twice the learning rate and no weight decay.
    Bias,
    /// Not trained: forward writes it in training mode and reads it in test mode. Saved, loaded and moved between
    /// devices like a parameter.
    Buffer,
}

impl Role {
    /// Whether it has a gradient and the solver updates it.
    pub fn is_trained(self) -> bool {
        self != Self::Buffer
    }
}
