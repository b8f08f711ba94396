//! PPM in the raw format `P6`: a header of four words, followed by uncompressed bytes.

use std::io::{self, Read};

use super::{DecodeLimits, RgbImage8, RgbRef8};
use crate::Error;

/// The file name extension.
pub(crate) const EXTENSION: &str = ".ppm";

/// Upper bound on the header size of files written by this crate, in bytes.
pub(crate) const HEADER: usize = 64;

/// Decodes a file that consists of `start` followed by `rest`; the pixels are read directly into `image`. The inner error is
/// that of reading `rest`.
///
/// # Source
/// netpbm, `ppm(5)`; comments are allowed up to the last word of the header.
pub(crate) fn read_into(
    start: &[u8],
    rest: &mut dyn Read,
    limits: &DecodeLimits,
    image: &mut RgbImage8,
) -> Result<io::Result<()>, Error> {
    let (width, height, at) = header(start, limits)?;
    image.reshape(width, height);
    let read = start.get(at..).unwrap_or_default();
    let read = &read[..read.len().min(image.pixels.len())];
    let (first, others) = image.pixels.split_at_mut(read.len());
    first.copy_from_slice(read);
    match rest.read_exact(others) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Error::Truncated { format: "PPM" }),
        // Other errors concern the disk, not a truncated file.
        read => Ok(read),
    }
}

/// Decodes a file in memory without copying.
pub(crate) fn view<'a>(bytes: &'a [u8], limits: &DecodeLimits) -> Result<RgbRef8<'a>, Error> {
    let (width, height, at) = header(bytes, limits)?;
    // The product does not overflow: the header was checked against the limits.
    let pixels = bytes.get(at..).and_then(|pixels| pixels.get(..width as usize * height as usize * 3));
    Ok(RgbRef8 { width, height, pixels: pixels.ok_or(Error::Truncated { format: "PPM" })? })
}

/// Whether `start` begins with a complete PPM header.
pub(crate) fn has_header(start: &[u8]) -> bool {
    start.starts_with(b"P6") && !matches!(header(start, &DecodeLimits::default()), Err(Error::Truncated { .. }))
}

/// Width, height and the offset of the pixels.
fn header(bytes: &[u8], limits: &DecodeLimits) -> Result<(u32, u32, usize), Error> {
    let (mut header, mut at) = ([0; 3], 2);
    for number in &mut header {
        let (value, end) = read_number(bytes, at)?;
        (*number, at) = (value, end);
    }
    let [width, height, most] = header;
    limits.check(width, height)?;
    if most != 255 || width == 0 || height == 0 {
        let reason = format!("{width}x{height} pixels up to {most}, expected at least 1x1 up to 255");
        return Err(Error::Corrupt { format: "PPM", reason });
    }
    // One byte of whitespace ends the header.
    Ok((width, height, at + 1))
}

/// The decimal number at or after `at`, and the offset of its end.
fn read_number(bytes: &[u8], mut at: usize) -> Result<(u32, usize), Error> {
    loop {
        match bytes.get(at) {
            Some(b'#') => at += bytes[at..].iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len()),
            Some(byte) if byte.is_ascii_whitespace() => at += 1,
            _ => break,
        }
    }
    let digits = bytes.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = bytes.get(at..at + digits).and_then(|digits| std::str::from_utf8(digits).ok());
    match text.and_then(|text| text.parse().ok()) {
        Some(number) if bytes.get(at + digits).is_some_and(u8::is_ascii_whitespace) => Ok((number, at + digits)),
        _ if at + digits >= bytes.len() => Err(Error::Truncated { format: "PPM" }),
        _ => Err(Error::Corrupt { format: "PPM", reason: format!("no number at byte {at} of the header") }),
    }
}

/// Encodes a file that [`read_into`] decodes.
#[cfg(feature = "prepare")]
pub(crate) fn encode(image: &RgbImage8, bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.extend_from_slice(format!("P6\n{} {}\n255\n", image.width, image.height).as_bytes());
    bytes.extend_from_slice(&image.pixels);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<RgbImage8, String> {
        super::super::decode(bytes, &DecodeLimits::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn headers_in_every_form() {
        let image = RgbImage8 { width: 2, height: 1, pixels: b"abcdef".to_vec() };
        let mut bytes = Vec::new();
        encode(&image, &mut bytes);
        for bytes in [&bytes[..], b"P6 2 1 255 abcdef", b"P6\n# a # b\n2\n#\n\t1 255\nabcdef and more"] {
            assert_eq!(decode(bytes).unwrap(), image);
        }
    }

    #[test]
    fn damage_is_found() {
        assert!(decode(b"P6 2 1 255 abcde").unwrap_err().contains("PPM"));
        for cut in 3..11 {
            let error = decode(&b"P6 2 1 255 abcdef"[..cut]).unwrap_err();
            assert!(error.contains("truncated") || error.contains("ends"), "{cut}: {error}");
        }
        assert!(decode(b"P6 2 1 65535 abcdefghijkl").unwrap_err().contains("up to 65535"));
        assert!(decode(b"P6 0 1 255 ").unwrap_err().contains("0x1 pixels"));
        assert!(decode(b"P6 x 1 255 ").unwrap_err().contains("no number at byte 3"));
        assert!(decode(b"P6 99999999999 1 255 ").unwrap_err().contains("no number at byte 3"));
        assert!(decode(b"P6 4000000000 4000000000 255 ").unwrap_err().contains("4000000000x4000000000"));
        assert!(decode(b"P6 # without end").is_err());
    }
}
