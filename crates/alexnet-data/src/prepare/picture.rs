//! Conversion of one image: decoding, resizing, encoding.

use super::{PrepareOptions, StoredFormat};
use crate::decode::{decode_into, ppm};
use crate::resize::{Resizer, Window};
use crate::square::Square;
use crate::{Centering, DecodeLimits, Error, ResizeRule, RgbImage8, SideRounding};

/// Reusable working memory; one per thread.
#[derive(Default)]
pub(super) struct Workspace {
    decoded: RgbImage8,
    resized: RgbImage8,
    resizer: Resizer,
}

/// An image in its stored form.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) bytes: Vec<u8>,
    /// `jpg`, `png`, `webp` or `ppm`.
    pub(super) extension: &'static str,
    /// Width and height of the stored image.
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Converts an image file to its stored form, and calls `square` with the central square before encoding.
pub(super) fn make(
    file: Vec<u8>,
    options: &PrepareOptions,
    workspace: &mut Workspace,
    square: impl FnOnce(&Square<'_>),
) -> Result<Picture, Error> {
    let Workspace { decoded, resized, resizer } = workspace;
    let limits = DecodeLimits::default();
    decode_into(&file, &limits, decoded)?;
    let (size, original) = (options.size, (decoded.width, decoded.height));
    let rule = ResizeRule::ShorterSide { size, rounding: SideRounding::Nearest };
    let whole @ (width, height) = rule.output_size(original.0, original.1);
    // A strip of one pixel by thousands would become a huge image.
    limits.check(width, height)?;
    let central = |length: u32| Centering::Down.offset(length - size);
    let window = if options.crop {
        Window { x: central(width), y: central(height), width: size, height: size }
    } else {
        Window { x: 0, y: 0, width, height }
    };
    let image = if whole == original && !options.crop {
        &*decoded
    } else {
        resizer.resize(&*decoded, whole, window, options.filter, resized)?;
        &*resized
    };
    let offset = |length: u32| central(length) as usize;
    square(&Square::new(image, offset(image.width), offset(image.height)));
    let mut bytes = file;
    let quality = match options.format {
        StoredFormat::Jpeg { quality } => quality,
        StoredFormat::Raw => {
            ppm::encode(image, &mut bytes);
            return Ok(Picture { bytes, extension: "ppm", width: image.width, height: image.height });
        }
        StoredFormat::Original => {
            let extension = match bytes.first() {
                Some(0xff) => "jpg",
                Some(0x89) => "png",
                Some(b'P') => "ppm",
                _ => "webp",
            };
            return Ok(Picture { bytes, extension, width: original.0, height: original.1 });
        }
    };
    let (width, height) = (image.width, image.height);
    compress(image, quality, &mut bytes)
        .map_err(|error| Error::setting("image to compress", format!("{width}x{height}"), error))?;
    Ok(Picture { bytes, extension: "jpg", width, height })
}

/// Replaces `bytes` with a JPEG with 4:2:0 chroma subsampling.
#[cfg(not(feature = "turbojpeg"))]
fn compress(image: &RgbImage8, quality: u8, bytes: &mut Vec<u8>) -> Result<(), String> {
    use jpeg_encoder::{Encoder, SamplingFactor};
    bytes.clear();
    let mut encoder = Encoder::new(bytes, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode_image(super::encoder_rows::EncoderRows::new(image)?).map_err(|error| error.to_string())
}

/// Replaces `bytes` with a JPEG with 4:2:0 chroma subsampling.
#[cfg(feature = "turbojpeg")]
fn compress(image: &RgbImage8, quality: u8, bytes: &mut Vec<u8>) -> Result<(), String> {
    *bytes = crate::decode::turbo::encode(image.into(), quality).map_err(|error| error.to_string())?;
    Ok(())
}
