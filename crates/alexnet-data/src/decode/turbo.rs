//! JPEG by libjpeg-turbo, which is Pillow's, to the bit.
//!
//! What it decodes without a warning is taken; everything else is decided by the decoder that is always there.

#[cfg(feature = "prepare")]
use turbojpeg::{Compressor, Subsamp};
use turbojpeg::{Decompressor, Image, PixelFormat, Result};

use super::RgbImage8;
#[cfg(feature = "prepare")]
use super::RgbRef8;

/// Decodes to `image`, whose size is what the other decoder found in the file's header. False where it did not, and the
/// pixels are whatever they are.
pub(super) fn decode_into(bytes: &[u8], image: &mut RgbImage8) -> Result<bool> {
    let (width, height) = (image.width as usize, image.height as usize);
    let mut decompressor = Decompressor::new()?;
    let header = decompressor.read_header(bytes)?;
    if (header.width, header.height) != (width, height) {
        return Ok(false);
    }
    let pixels = image.pixels.as_mut_slice();
    let output = Image { pixels, width, pitch: 3 * width, height, format: PixelFormat::RGB };
    decompressor.decompress(bytes, output).map(|()| true)
}

/// A JPEG with colors at half the size.
#[cfg(feature = "prepare")]
pub(crate) fn encode(image: RgbRef8<'_>, quality: u8) -> Result<Vec<u8>> {
    let (width, height) = (image.width as usize, image.height as usize);
    let image = Image { pixels: image.pixels, width, pitch: 3 * width, height, format: PixelFormat::RGB };
    let mut compressor = Compressor::new()?;
    compressor.set_quality(quality.into())?;
    compressor.set_subsamp(Subsamp::Sub2x2)?;
    compressor.compress_to_vec(image)
}
