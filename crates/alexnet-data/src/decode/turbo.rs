//! JPEG by libjpeg-turbo, the library that Pillow uses, bit-identical to Pillow.
//!
//! Its result is used only if it decodes without a warning; otherwise the default decoder is used.

#[cfg(feature = "prepare")]
use turbojpeg::{Compressor, Subsamp};
use turbojpeg::{Decompressor, Image, PixelFormat, Result};

use super::RgbImage8;
#[cfg(feature = "prepare")]
use super::RgbRef8;

/// Decodes into `image`, whose size is the one that the default decoder found in the file's header. Returns false if the
/// sizes differ; the pixels are then unspecified.
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

/// Encodes a JPEG with 4:2:0 chroma subsampling.
#[cfg(feature = "prepare")]
pub(crate) fn encode(image: RgbRef8<'_>, quality: u8) -> Result<Vec<u8>> {
    let (width, height) = (image.width as usize, image.height as usize);
    let image = Image { pixels: image.pixels, width, pitch: 3 * width, height, format: PixelFormat::RGB };
    let mut compressor = Compressor::new()?;
    compressor.set_quality(quality.into())?;
    compressor.set_subsamp(Subsamp::Sub2x2)?;
    compressor.compress_to_vec(image)
}
