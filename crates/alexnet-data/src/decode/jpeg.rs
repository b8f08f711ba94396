//! JPEG decoding by `zune-jpeg` (with the feature `turbojpeg`, by libjpeg-turbo where possible), called directly rather than
//! through `image`, so that the pixels are written to reused memory.

use std::io::Cursor;

use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::{DecodeLimits, RgbImage8};
use crate::Error;

pub(super) fn decode_into(bytes: &[u8], limits: &DecodeLimits, image: &mut RgbImage8) -> Result<(), Error> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        // The decoder checks each side separately; our stricter limits are checked after the header.
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(corrupt)?;
    let Some(info) = decoder.info() else {
        return Err(Error::Truncated { format: "JPEG" });
    };
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    limits.check(width, height)?;
    if !matches!(info.components, 1 | 3 | 4) {
        let reason = format!("{} color components, expected 1, 3 or 4", info.components);
        return Err(Error::Corrupt { format: "JPEG", reason });
    }
    if !reaches_end(bytes) {
        return Err(Error::Truncated { format: "JPEG" });
    }
    image.reshape(width, height);
    #[cfg(feature = "turbojpeg")]
    if info.components != 4 && matches!(super::turbo::decode_into(bytes, image), Ok(true)) {
        return Ok(());
    }
    // Strict only from here on: stray bytes between header segments are harmless and occur in photographs, while in the
    // image data the lenient decoder silently fills in what it cannot read.
    decoder.set_options(options.set_strict_mode(true));
    decoder.decode_into(&mut image.pixels).map_err(corrupt)
}

fn corrupt(error: DecodeErrors) -> Error {
    match error {
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => Error::Truncated { format: "JPEG" },
        // Some of the decoder's messages end with a line break.
        error => Error::Corrupt { format: "JPEG", reason: format!("{error:?}").trim().trim_matches('"').to_owned() },
    }
}

/// Whether the end-of-image marker is present, the criterion of libjpeg, and therefore Pillow, for a complete file.
///
/// An embedded thumbnail contains this marker too, so header segments are skipped by their length. Inside the
/// entropy-coded data a byte 0xff is always followed by 0x00 or a restart marker (ITU T.81, B.1.1.5).
fn reaches_end(bytes: &[u8]) -> bool {
    if bytes.ends_with(&[0xff, 0xd9]) {
        return true;
    }
    let mut at = 2;
    while let Some(offset) = bytes.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)) {
        at += offset + 1;
        match bytes.get(at) {
            Some(0xd9) => return true,
            // Stuffing, fill bytes, restart markers and other markers without a segment.
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(0xff) => {}
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(&[high, low]) => at += 1 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
            None => return false,
        }
    }
    false
}
