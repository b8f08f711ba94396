//! The published networks, one file each, with source and layers.
//!
//! Names and shapes of a variant's parameters are part of the public API.

mod alexnet;
mod alexnet_caffe;
mod alexnet_owt;
mod alexnet_paper;
mod alexnet_six_conv;
mod alexnet_torchvision;
mod caffenet;
#[cfg(test)]
mod tests;

pub use alexnet::alexnet;
pub use alexnet_caffe::alexnet_caffe;
pub use alexnet_owt::alexnet_owt;
pub use alexnet_paper::alexnet_paper;
pub use alexnet_six_conv::alexnet_six_conv;
pub use alexnet_torchvision::alexnet_torchvision;
pub use caffenet::caffenet;

use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::specification::Specification;

/// A variant: its name, a one-line description, its layers for a number of classes, and the recipe of its source.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Name, as used by `--arch`.
    pub name: &'static str,
    /// One-line description.
    pub about: &'static str,
    /// Builds the specification for a number of classes.
    pub build: fn(usize) -> Result<Specification>,
    /// How its source trains it.
    pub recipe: Recipe,
}

/// All variants.
pub const VARIANTS: [Variant; 7] = [
    Variant {
        name: "alexnet",
        about: "the network behind the paper's tables (2012, config #145)",
        build: alexnet,
        recipe: Recipe::ALEXNET_2012,
    },
    Variant {
        name: "alexnet-paper",
        about: "the text of the paper taken literally",
        build: alexnet_paper,
        recipe: Recipe::ALEXNET_2012,
    },
    Variant {
        name: "alexnet-six-conv",
        about: "alexnet with a sixth convolution, as in two of the paper's seven networks (config #146)",
        build: alexnet_six_conv,
        recipe: Recipe::ALEXNET_2012,
    },
    Variant {
        name: "alexnet-caffe",
        about: "Caffe's bvlc_alexnet",
        build: alexnet_caffe,
        recipe: Recipe::ALEXNET_2012,
    },
    Variant {
        name: "caffenet",
        about: "Caffe's bvlc_reference_caffenet",
        build: caffenet,
        recipe: Recipe::ALEXNET_2012,
    },
    Variant {
        name: "alexnet-owt",
        about: "one tower, with LRN (cuda-convnet2; One weird trick)",
        build: alexnet_owt,
        recipe: Recipe::ALEXNET_2012,
    },
    Variant {
        name: "alexnet-torchvision",
        about: "torchvision's alexnet: one tower, no LRN",
        build: alexnet_torchvision,
        recipe: Recipe::TORCHVISION,
    },
];

impl Recipe {
    /// The recipe of the variant with this name; for other networks, that of 2012.
    pub fn of(arch: &str) -> Self {
        let variant = VARIANTS.iter().find(|variant| variant.name == arch);
        variant.map_or(Self::ALEXNET_2012, |variant| variant.recipe)
    }
}

/// More than needed in practice, and small enough that parameter counts do not overflow.
const MAX_CLASSES: usize = 100_000_000;

/// The variant called `name`, for `classes` classes.
///
/// ```
/// let spec = alexnet_model::build("alexnet", 1000)?;
/// assert_eq!((spec.parameter_count(), spec.macs()), (60_965_224, 724_406_816));
/// # Ok::<(), alexnet_model::Error>(())
/// ```
///
/// # Errors
/// [`Error::UnknownArch`], which lists the known names; [`Error::Classes`].
pub fn build(name: &str, classes: usize) -> Result<Specification> {
    if !(1..=MAX_CLASSES).contains(&classes) {
        return Err(Error::Classes { classes, most: MAX_CLASSES });
    }
    match VARIANTS.iter().find(|variant| variant.name == name) {
        Some(variant) => (variant.build)(classes),
        None => Err(Error::UnknownArch { name: name.into(), known: VARIANTS.map(|v| v.name).to_vec() }),
    }
}
