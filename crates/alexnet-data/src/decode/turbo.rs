//! JPEG by libjpeg-turbo, which is Pillow's, to the bit.
//!
//! It does what can be done without doubt. What it cannot, or warns of, is left to the decoder that is always there, so that
//! the same files are taken and refused, for the same reasons, with and without it.

#[cfg(feature = "prepare")]
use turbojpeg::{Compressor, Subsamp};
use turbojpeg::{Decompressor, Image, PixelFormat, Result};

use super::RgbImage8;
#[cfg(feature = "prepare")]
use super::RgbRef8;

/// Decodes to `image`, which has the size that the file's header tells.
pub(super) fn decode_into(bytes: &[u8], image: &mut RgbImage8) -> Result<()> {
    let (width, height) = (image.width as usize, image.height as usize);
    let pixels = image.pixels.as_mut_slice();
    let output = Image { pixels, width, pitch: 3 * width, height, format: PixelFormat::RGB };
    Decompressor::new()?.decompress(bytes, output)
}

/// A JPEG with colours at half the size.
#[cfg(feature = "prepare")]
pub(crate) fn encode(image: RgbRef8<'_>, quality: u8) -> Result<Vec<u8>> {
    let (width, height) = (image.width as usize, image.height as usize);
    let image = Image { pixels: image.pixels, width, pitch: 3 * width, height, format: PixelFormat::RGB };
    let mut compressor = Compressor::new()?;
    compressor.set_quality(quality.into())?;
    compressor.set_subsamp(Subsamp::Sub2x2)?;
    compressor.compress_to_vec(image)
}
