//! For any bytes, decoding an image gives pixels or an error, within the limits.

#![no_main]

use alexnet_data::{DecodeLimits, decode};

// Small limits: the fuzzer should explore code paths, not spend its time on large images.
const LIMITS: DecodeLimits = DecodeLimits { max_side: 2048, max_pixels: 1 << 20 };

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = decode(bytes, &LIMITS) {
        assert_eq!(image.pixels.len(), image.width as usize * image.height as usize * 3);
        assert!(image.width <= LIMITS.max_side && image.height <= LIMITS.max_side);
    }
});
