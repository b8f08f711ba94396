//! Small generated images.

use std::fs;
use std::path::{Path, PathBuf};

/// Writes a PNG of the given pixels; creates its folder if it is missing.
pub(crate) fn write_png(path: &Path, width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_fn(width, height, |x, y| image::Rgb(pixel(x, y))).save(path).unwrap();
}

/// Writes `classes` folders of `per_class` distinct images of `size` pixels, and returns the path of `folder`.
#[allow(dead_code)]
pub(crate) fn write_set(folder: &Path, classes: u32, per_class: u32, size: u32) -> PathBuf {
    for class in 0..classes {
        for i in 0..per_class {
            let path = folder.join(format!("class{class}/{i:03}.png"));
            let number = class * per_class + i;
            write_png(&path, size, size, |x, y| {
                [number, x * 9 + y * 5, x * y + number * 31].map(|value| (value % 256) as u8)
            });
        }
    }
    folder.to_owned()
}
