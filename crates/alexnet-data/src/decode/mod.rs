//! Image decoding: JPEG, PNG, WebP and PPM, recognized by content, to 8-bit RGB.
//!
//! The conventions are those of Pillow's `Image.open(path).convert("RGB")`, which was used for most published weights:
//! gray is replicated, the alpha channel is dropped (not blended), palettes are looked up, CMYK and YCCK are taken as
//! inverted (Adobe) and multiplied by black, color profiles and the EXIF orientation are ignored. Two differences: 16
//! bits are rounded to 8, where Pillow truncates RGB and clips gray; and a JPEG whose data violate the format is an
//! error, where Pillow decodes as much as it can. A truncated file is an error in both. Damage that leaves a valid JPEG,
//! such as bytes missing from the middle, is often detected by neither: a JPEG has no checksum.

mod jpeg;
pub(crate) mod ppm;
#[cfg(feature = "turbojpeg")]
pub(crate) mod turbo;

use std::any::Any;
use std::fmt;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::codecs::{png::PngDecoder, webp::WebPDecoder};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, Limits};

use crate::Error;

/// An 8-bit RGB image, rows from top to bottom, pixels from left to right, channels interleaved (HWC).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RgbImage8 {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `height * width * 3` bytes: red, green, blue, 0–255.
    pub pixels: Vec<u8>,
}

impl RgbImage8 {
    /// Sets the size; pixel contents are unspecified.
    pub(crate) fn reshape(&mut self, width: u32, height: u32) {
        (self.width, self.height) = (width, height);
        self.pixels.resize(width as usize * height as usize * 3, 0);
    }
}

/// A borrowed 8-bit RGB image.
#[derive(Clone, Copy)]
pub struct RgbRef8<'a> {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// See [`RgbImage8::pixels`].
    pub pixels: &'a [u8],
}

impl<'a> From<&'a RgbImage8> for RgbRef8<'a> {
    fn from(image: &'a RgbImage8) -> Self {
        Self { width: image.width, height: image.height, pixels: &image.pixels }
    }
}

/// Prints the size only, not the pixels.
impl fmt::Debug for RgbImage8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RgbImage8 {}x{}", self.width, self.height)
    }
}

impl fmt::Debug for RgbRef8<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RgbRef8 {}x{}", self.width, self.height)
    }
}

/// Size limits for decoding. A larger image is an error, detected in the header before any memory is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Maximum width and height.
    pub max_side: u32,
    /// Maximum of width times height.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    /// 65,535 per side, the maximum of JPEG, and 89,478,485 pixels, above which Pillow warns of a decompression bomb.
    /// ImageNet's largest photographs are below this.
    fn default() -> Self {
        Self { max_side: 65_535, max_pixels: 89_478_485 }
    }
}

impl DecodeLimits {
    pub(crate) fn check(&self, width: u32, height: u32) -> Result<(), Error> {
        let Self { max_side, max_pixels } = *self;
        if width > max_side || height > max_side || u64::from(width) * u64::from(height) > max_pixels {
            return Err(Error::TooLarge { width, height, max_side, max_pixels });
        }
        Ok(())
    }
}

/// Decodes an image from the bytes of its file.
///
/// # Errors
/// [`Error::EmptyFile`], [`Error::UnknownFormat`], [`Error::TooLarge`], [`Error::Truncated`] or [`Error::Corrupt`].
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, Error> {
    let mut image = RgbImage8::default();
    decode_into(bytes, limits, &mut image)?;
    Ok(image)
}

/// Like [`decode`], into an image whose memory is reused. After an error, the image's content is unspecified.
///
/// # Errors
/// As [`decode`].
pub fn decode_into(bytes: &[u8], limits: &DecodeLimits, image: &mut RgbImage8) -> Result<(), Error> {
    let format = match bytes {
        [] => return Err(Error::EmptyFile),
        [0xff, 0xd8, 0xff, ..] => ImageFormat::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => ImageFormat::Png,
        [b'P', b'6', ..] => ImageFormat::Pnm,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ImageFormat::WebP,
        _ => return Err(Error::UnknownFormat { start: bytes[..bytes.len().min(8)].to_vec() }),
    };
    let name = match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::Pnm => "PPM",
        _ => "WebP",
    };
    // The decoders are third-party code that runs on unchecked files, and have panicked on crafted input. Such a file
    // must cost one sample, not the run (the panic's message still goes to the program's panic hook). No inconsistent
    // state is visible afterwards: the decoder is dropped and the image's content is unspecified.
    catch_unwind(AssertUnwindSafe(|| match format {
        ImageFormat::Jpeg => jpeg::decode_into(bytes, limits, image),
        // Reading from `empty` cannot fail.
        ImageFormat::Pnm => ppm::read_into(bytes, &mut std::io::empty(), limits, image).map(|_| ()),
        _ => decode_other(bytes, format, name, limits, image),
    }))
    .unwrap_or_else(|panic| {
        Err(Error::Corrupt { format: name, reason: format!("the decoder panicked: {}", panic_message(&*panic)) })
    })
}

fn decode_other(
    bytes: &[u8],
    format: ImageFormat,
    name: &'static str,
    limits: &DecodeLimits,
    image: &mut RgbImage8,
) -> Result<(), Error> {
    let corrupt = |error: ImageError| match &error {
        ImageError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => Error::Truncated { format: name },
        _ => Error::Corrupt { format: name, reason: error.to_string() },
    };
    let mut memory = Limits::no_limits();
    // Four channels of 16 bits: the most that the largest allowed image needs during decoding.
    memory.max_alloc = Some(limits.max_pixels.saturating_mul(8));
    // Not `ImageReader`, which would also compile the library's JPEG decoder into this crate.
    let file = Cursor::new(bytes);
    let mut decoder: Box<dyn ImageDecoder + '_> = match format {
        ImageFormat::Png => Box::new(PngDecoder::with_limits(file, memory.clone()).map_err(corrupt)?),
        _ => Box::new(WebPDecoder::new(file).map_err(corrupt)?),
    };
    decoder.set_limits(memory).map_err(corrupt)?;
    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    let pixels = DynamicImage::from_decoder(decoder).map_err(corrupt)?.into_rgb8().into_raw();
    *image = RgbImage8 { width, height, pixels };
    Ok(())
}

/// The message of a panic: a `String` or a `&str`, unless the payload has another type.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
