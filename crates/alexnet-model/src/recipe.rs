//! How a network's source trains it, as plain numbers.

/// How a network's source trains it from random weights, as plain numbers. A [`Variant`](crate::Variant) has one; this crate
/// only states it, and `alexnet-train` builds its configuration from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Where the learning rate enters the update.
    pub update: Update,
    /// Learning rate of weights before any decay.
    pub learning_rate: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Learning rate of biases, relative to that of weights.
    pub bias_learning_rate_factor: f64,
    /// Weight decay of biases, relative to that of weights.
    pub bias_weight_decay_factor: f64,
    /// How the learning rate falls.
    pub decay: Decay,
    /// Passes over the training images.
    pub epochs: u32,
    /// Images per step.
    pub batch_size: usize,
    /// Standard deviation of the color noise, in units of the data set's own; 0 for none.
    pub color_noise: f32,
    /// Crops of random size and aspect ratio, instead of crops of fixed size at a random position.
    pub random_resized_crop: bool,
}

/// Where the learning rate enters the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// The velocity contains the learning rate (2012, Caffe).
    Alexnet2012,
    /// The learning rate multiplies the velocity (PyTorch).
    Pytorch,
}

/// How a learning rate falls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// In intervals of equal length, by the same ratio each time (cuda-convnet2's `dexp`).
    Dexp {
        /// Ratio of the first rate to the last, and number of intervals, for weights.
        weight: (f64, u32),
        /// The same for biases.
        bias: (f64, u32),
    },
    /// By `factor` after each of these numbers of epochs.
    Steps {
        /// Epochs.
        epochs: &'static [u32],
        /// Factor.
        factor: f64,
    },
}

impl Recipe {
    /// The recipe of 2012, with the decay of cuda-convnet2 and of late runs of the 2012 code (#170), where the rates fall without
    /// manual changes.
    pub const ALEXNET_2012: Self = Self {
        update: Update::Alexnet2012,
        learning_rate: 0.01,
        momentum: 0.9,
        weight_decay: 0.0005,
        bias_learning_rate_factor: 2.0,
        bias_weight_decay_factor: 0.0,
        decay: Decay::Dexp { weight: (250.0, 4), bias: (10.0, 2) },
        epochs: 90,
        batch_size: 128,
        color_noise: 0.1,
        random_resized_crop: false,
    };

    /// torchvision's reference recipe for AlexNet (`references/classification/train.py`).
    pub const TORCHVISION: Self = Self {
        update: Update::Pytorch,
        learning_rate: 0.01,
        momentum: 0.9,
        weight_decay: 0.0001,
        bias_learning_rate_factor: 1.0,
        bias_weight_decay_factor: 1.0,
        decay: Decay::Steps { epochs: &[30, 60], factor: 0.1 },
        epochs: 90,
        // 32 on each of 8 GPUs.
        batch_size: 256,
        color_noise: 0.0,
        random_resized_crop: true,
    };
}
