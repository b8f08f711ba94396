//! The rows of an image in the form required by the JPEG encoder.
//!
//! `jpeg-encoder` implements them for nine channel orders and chooses among them at run time, so its whole encoder is
//! compiled nine times, and again without AVX2. This is the only implementation needed here.

use jpeg_encoder::{ImageBuffer, JpegColorType, rgb_to_ycbcr};

use crate::RgbImage8;

/// RGB pixels, converted to YCbCr.
pub(super) struct EncoderRows<'a> {
    pixels: &'a [u8],
    width: u16,
    height: u16,
}

impl<'a> EncoderRows<'a> {
    pub(super) fn new(image: &'a RgbImage8) -> Result<Self, String> {
        let side = |side: u32| u16::try_from(side).map_err(|_| format!("at most {} pixels per side fit", u16::MAX));
        let (width, height) = (side(image.width)?, side(image.height)?);
        Ok(Self { pixels: &image.pixels, width, height })
    }
}

impl ImageBuffer for EncoderRows<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let length = 3 * usize::from(self.width);
        let line = &self.pixels[usize::from(y) * length..][..length];
        pulp::Arch::new().dispatch(|| convert(line, buffers));
    }
}

/// Pixels converted at once.
const PIXELS: usize = 16;

/// Appends the luma and chroma of a row. In blocks of fixed length, so that the compiler sees vectors.
#[inline(always)]
fn convert(line: &[u8], [luma, blue, red, _]: &mut [Vec<u8>; 4]) {
    let (blocks, rest) = line.as_chunks::<{ 3 * PIXELS }>();
    for block in blocks {
        let (mut y, mut cb, mut cr) = ([0; PIXELS], [0; PIXELS], [0; PIXELS]);
        for i in 0..PIXELS {
            (y[i], cb[i], cr[i]) = rgb_to_ycbcr(block[3 * i], block[3 * i + 1], block[3 * i + 2]);
        }
        luma.extend_from_slice(&y);
        blue.extend_from_slice(&cb);
        red.extend_from_slice(&cr);
    }
    for &[r, g, b] in rest.as_chunks::<3>().0 {
        let (y, cb, cr) = rgb_to_ycbcr(r, g, b);
        luma.push(y);
        blue.push(cb);
        red.push(cr);
    }
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    use super::*;

    /// Widths that are and are not multiples of the block size.
    #[test]
    fn files_are_those_of_the_encoders_own_rows() {
        for width in [1, 15, 16, 17, 100] {
            let height = 31;
            let mut state = 1u32;
            let mut byte = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            let pixels: Vec<u8> = (0..3 * width * height).map(|_| byte()).collect();
            let image = RgbImage8 { width, height, pixels };
            let encoder = |bytes| {
                let mut encoder = Encoder::new(bytes, 95);
                encoder.set_sampling_factor(SamplingFactor::F_2_2);
                encoder
            };
            let (mut own, mut expected) = (Vec::new(), Vec::new());
            encoder(&mut own).encode_image(EncoderRows::new(&image).unwrap()).unwrap();
            encoder(&mut expected).encode(&image.pixels, width as u16, height as u16, ColorType::Rgb).unwrap();
            assert_eq!(own, expected, "{width}");
        }
        let giant = RgbImage8 { width: 70_000, height: 1, pixels: Vec::new() };
        assert!(EncoderRows::new(&giant).is_err_and(|reason| reason.contains("65535")));
    }
}
