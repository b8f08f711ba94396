//! Decoding compared with Pillow, and damaged files. `fixtures/make.py` generates the fixtures.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::panic::catch_unwind;
use std::time::Instant;

use alexnet_data::{DecodeLimits, Error, RgbImage8, decode};

fn fixture(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn decode_default(bytes: &[u8]) -> Result<RgbImage8, Error> {
    decode(bytes, &DecodeLimits::default())
}

/// Largest and mean difference from the expected pixels.
fn difference(name: &str) -> (u8, f64) {
    let image = decode_default(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let expected = fixture(&format!("{name}.rgb"));
    assert_eq!((image.width, image.height, image.pixels.len()), (40, 28, expected.len()), "{name}");
    let differences = image.pixels.iter().zip(&expected).map(|(&a, &b)| a.abs_diff(b));
    (differences.clone().max().unwrap(), differences.map(f64::from).sum::<f64>() / expected.len() as f64)
}

#[test]
fn jpegs_are_what_libjpeg_makes_of_them() {
    // libjpeg-turbo, which Pillow also uses, is exact; images with four channels are decoded by zune-jpeg.
    let exact = cfg!(feature = "turbojpeg");
    // The inverse transform and the color conversion round differently. With chroma subsampling (Pillow's default), the
    // upsampling also differs, which is visible at the hard edges of this image.
    for name in ["full_chroma.jpg", "gray.jpg", "rgb_stored.jpg", "cmyk.jpg", "ycck.jpg"] {
        let (max, mean) = difference(name);
        assert!(max <= 2 && mean <= 0.03, "{name}: {max} {mean}");
        assert!(max == 0 || !exact || name.contains('k'), "{name}: {max} {mean}");
    }
    for name in ["baseline.jpg", "progressive.jpg", "restart.jpg", "oriented.jpg"] {
        let (max, mean) = difference(name);
        assert!(max <= if exact { 0 } else { 8 } && mean <= 0.5, "{name}: {max} {mean}");
    }
}

#[test]
fn png_and_webp_are_exact() {
    let files = [
        "rgb.png",
        "gray.png",
        "gray_alpha.png",
        "alpha.png",
        "palette.png",
        "bilevel.png",
        "rgb16.png",
        "gray16.png",
        "lossless.webp",
        "alpha.webp",
    ];
    for name in files {
        assert_eq!(difference(name), (0, 0.0), "{name}");
    }
    let (max, mean) = difference("lossy.webp");
    assert!(max <= 2 && mean <= 0.1, "lossy.webp: {max} {mean}");
}

/// Found by fuzzing: zune-jpeg 0.5.15 unwraps a `None` in an inverse transform. One sample is lost, not the run.
#[test]
fn a_panic_of_the_decoder_is_an_error() {
    let error = decode_default(&fixture("decoder_panics.jpg")).unwrap_err();
    assert!(matches!(error, Error::Corrupt { format: "JPEG", .. }), "{error}");
}

#[test]
fn truncated_files_are_errors() {
    for name in ["baseline.jpg", "progressive.jpg", "gray.jpg", "cmyk.jpg", "restart.jpg", "rgb.png", "lossy.webp"] {
        let bytes = fixture(name);
        // Lengths from the magic number to the last byte, in steps of 7; JPEG's last two bytes are the end marker.
        for length in (12..bytes.len() - 1).step_by(7).chain([bytes.len() - 2, bytes.len() - 1]) {
            // The last chunk of a PNG and the last bytes of a WebP contain no pixels.
            if !name.ends_with("jpg") && length > bytes.len() - 16 {
                continue;
            }
            let Err(error) = decode_default(&bytes[..length]) else { panic!("{name} is whole after {length} bytes") };
            assert!(matches!(error, Error::Truncated { .. } | Error::Corrupt { .. }), "{name} {length}: {error}");
        }
    }
    let message = decode_default(&fixture("baseline.jpg")[..1200]).unwrap_err().to_string();
    assert_eq!(message, "truncated JPEG: the data end before the image does");
}

#[test]
fn damage_in_the_image_data_is_an_error() {
    for name in ["tall.jpg", "tall_progressive.jpg"] {
        let mut bytes = fixture(name);
        decode_default(&bytes).unwrap();
        let end = bytes.len();
        // All ones, which is not a Huffman code (ITU T.81, C.2).
        bytes[end - 400..end - 300].copy_from_slice(&[0xff, 0x00].repeat(50));
        let error = decode_default(&bytes).unwrap_err();
        assert!(matches!(error, Error::Corrupt { format: "JPEG", .. }), "{name}: {error}");
    }
}

#[test]
fn what_follows_a_complete_jpeg_is_ignored() {
    let mut bytes = fixture("baseline.jpg");
    let whole = decode_default(&bytes).unwrap();
    bytes.extend(b"trailing bytes");
    assert_eq!(decode_default(&bytes).unwrap(), whole);
    // The end marker of a thumbnail in a header segment does not count.
    let thumbnail = [&b"\xff\xe1\x00\x10Exif\0\0"[..], b"\xff\xd8\xff\xd9\0\0\0\0"].concat();
    let mut with_thumbnail = bytes.clone();
    with_thumbnail.splice(2..2, thumbnail);
    assert_eq!(decode_default(&with_thumbnail).unwrap(), whole);
    let cut = with_thumbnail.len() - 40;
    assert!(matches!(decode_default(&with_thumbnail[..cut]), Err(Error::Truncated { .. })));
}

#[test]
fn damaged_metadata_does_not_matter() {
    let bytes = fixture("baseline.jpg");
    let whole = decode_default(&bytes).unwrap();
    let exif = [&b"\xff\xe1\x00\x20Exif\0\0"[..], &[0xa5; 24]].concat();
    let icc = [&b"\xff\xe2\x00\x20ICC_PROFILE\0\x07\x03"[..], &[0x5a; 16]].concat();
    // Inserted after the JFIF segment, which ends at byte 20.
    for segment in [exif, icc, vec![0; 9]] {
        let mut damaged = bytes.clone();
        damaged.splice(20..20, segment);
        let found = decode_default(&damaged).unwrap();
        // libjpeg-turbo warns of stray bytes, so the image is decoded by zune-jpeg.
        let allowed = if cfg!(feature = "turbojpeg") { 8 } else { 0 };
        assert_eq!((found.width, found.height), (whole.width, whole.height));
        assert!(found.pixels.iter().zip(&whole.pixels).all(|(a, b)| a.abs_diff(*b) <= allowed));
    }
}

#[test]
fn huge_headers_fail_at_once() {
    let start = Instant::now();
    let error = decode_default(&fixture("huge.png")).unwrap_err();
    let expected = "100000x100000 pixels, at most 65535 per side and 89478485 in all are allowed";
    assert_eq!(error.to_string(), expected);

    let mut bytes = fixture("baseline.jpg");
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 9].fill(0xff);
    let error = decode_default(&bytes).unwrap_err();
    assert!(matches!(error, Error::TooLarge { width: 65_535, height: 65_535, .. }), "{error}");

    let small = DecodeLimits { max_side: 39, max_pixels: 10_000 };
    assert!(matches!(decode(&fixture("lossless.webp"), &small), Err(Error::TooLarge { width: 40, height: 28, .. })));
    let few = DecodeLimits { max_side: 100, max_pixels: 40 * 28 - 1 };
    assert!(matches!(decode(&fixture("gray.jpg"), &few), Err(Error::TooLarge { .. })));
    // Zeroing the 12 GB of either image would take seconds.
    assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
}

#[test]
fn other_content_is_named() {
    assert_eq!(decode_default(b"").unwrap_err().to_string(), "the file is empty");
    let message = decode_default(b"GIF89a").unwrap_err().to_string();
    assert_eq!(message, "neither JPEG, PNG, WebP nor PPM (P6): the content starts with [47, 49, 46, 38, 39, 61]");
    assert!(matches!(decode_default(&[0xff, 0xd8]), Err(Error::UnknownFormat { .. })));
    assert!(matches!(decode_default(&[0xff, 0xd8, 0xff]), Err(Error::Truncated { .. } | Error::Corrupt { .. })));
}

/// Randomly changed bytes must never cause a panic. The changes come from a generator with a fixed seed.
#[test]
fn damaged_files_never_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut errors = 0;
    let files = ["baseline.jpg", "progressive.jpg", "ycck.jpg", "restart.jpg", "palette.png", "lossy.webp"];
    for name in files {
        let original = fixture(name);
        for _ in 0..400 {
            let mut bytes = original.clone();
            for _ in 0..1 + random(6) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            let result = catch_unwind(|| decode(&bytes, &DecodeLimits { max_side: 2000, max_pixels: 1_000_000 }));
            errors += usize::from(result.unwrap_or_else(|_| panic!("{name} panicked")).is_err());
        }
    }
    assert!((600..2400).contains(&errors), "{errors} of 2400 were noticed");
}
