//! Comparison with a naive computation, and the cache file.

use std::fs;

use super::*;
use crate::{Mean, ResizeFilter, ResizeRule};

const SIZE: u32 = 12;

fn preprocess() -> Preprocess {
    Preprocess {
        resize: ResizeRule::None,
        source_size: SIZE,
        crop_size: 10,
        mean: Mean::None,
        ..Preprocess::ALEXNET_2012
    }
}

fn pixel(image: u32, x: u32, y: u32) -> [u8; 3] {
    let red = (image * 37 + x * 11 + y * 7) % 256;
    [red, red / 2 + (x * y) % 90, 255 - red / 3 - image * 5].map(|value| value as u8)
}

/// Seven images that are one pixel wider than the square on each side.
fn write_images(folder: &Path) -> Vec<Sample> {
    let write = |number: u32| {
        let path = folder.join(format!("{number}.png"));
        let pixel = |x: u32, y| image::Rgb(pixel(number, x, y));
        image::RgbImage::from_fn(SIZE + 2, SIZE, pixel).save(&path).unwrap();
        Sample { location: path.into(), label: number % 2 }
    };
    (0..7).map(write).collect()
}

fn compute(samples: &[Sample], workers: usize) -> Statistics {
    Statistics::compute(samples, &preprocess(), workers, &|_, _| {}).unwrap()
}

#[test]
fn sums_agree_with_a_naive_computation() {
    let folder = tempfile::tempdir().unwrap();
    let samples = write_images(folder.path());
    let statistics = compute(&samples, 2);
    assert_eq!((statistics.images, statistics.skipped, statistics.mean_image.size), (7, 0, SIZE));

    let mut all = Vec::new();
    for (i, &value) in statistics.mean_image.values.iter().enumerate() {
        let plane = (SIZE * SIZE) as usize;
        let (c, x, y) = (i / plane, (i % SIZE as usize) as u32 + 1, (i % plane / SIZE as usize) as u32);
        let mean = (0..7).map(|image| f64::from(pixel(image, x, y)[c])).sum::<f64>() / 7.0;
        assert!((f64::from(value) - mean).abs() < 1e-5, "{c} {y} {x}: {value} {mean}");
        if c == 0 {
            all.extend((0..7).map(|image| pixel(image, x, y).map(f64::from)));
        }
    }
    let n = all.len() as f64;
    let mean = [0, 1, 2].map(|c| all.iter().map(|pixel| pixel[c]).sum::<f64>() / n);
    for i in 0..3 {
        assert!((statistics.mean[i] - mean[i]).abs() < 1e-9);
        for j in 0..3 {
            let covariance = all.iter().map(|pixel| (pixel[i] - mean[i]) * (pixel[j] - mean[j])).sum::<f64>() / n;
            assert!((statistics.covariance[i][j] - covariance).abs() < 1e-8, "{i} {j}");
        }
        // The variance along a component is the square of its standard deviation.
        let along = |pixel: &[f64; 3]| (0..3).map(|c| (pixel[c] - mean[c]) * statistics.components[i][c]).sum::<f64>();
        let variance = all.iter().map(|pixel| along(pixel).powi(2)).sum::<f64>() / n;
        assert!((statistics.std_devs[i].powi(2) - variance).abs() < 1e-8, "{i}");
    }
    let noise = statistics.color_noise(0.1);
    assert_eq!((noise.strength, noise.std_devs[0]), (0.1, statistics.std_devs[0] as f32));
    assert!(noise.std_devs.is_sorted_by(|a, b| a >= b));
}

#[test]
fn threads_change_nothing_and_bad_images_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut samples = write_images(folder.path());
    let good = compute(&samples, 1);
    assert_eq!(compute(&samples, 5), good);
    fs::write(folder.path().join("bad.png"), "").unwrap();
    let bad = Sample { location: folder.path().join("bad.png").into(), label: 0 };
    samples.insert(3, bad.clone());
    assert_eq!(compute(&samples, 2), Statistics { skipped: 1, ..good });

    let error = Statistics::compute(&[bad.clone(), bad], &preprocess(), 2, &|_, _| {}).unwrap_err().to_string();
    let reason = format!("{}: the file is empty", folder.path().join("bad.png").display());
    let expected = "none of the 2 images could be used for the training set's statistics; the first: ";
    assert_eq!(error, format!("{expected}{reason}"));
    let error = Statistics::compute(&[], &preprocess(), 2, &|_, _| {}).unwrap_err();
    assert!(matches!(error, Error::NoUsableImage { count: 0, .. }));
}

#[test]
fn results_are_kept_beside_the_images() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let samples = write_images(root);
    let run = |samples: &[Sample], preprocess: &Preprocess| {
        Statistics::load_or_compute(root, samples, preprocess, 2, &|_, _| {}).unwrap()
    };
    let (first, outcome) = run(&samples, &preprocess());
    let CacheOutcome::Written { path } = outcome else { panic!("{outcome:?}") };
    assert!(path.starts_with(root) && path.file_name().unwrap().to_str().unwrap().starts_with('.'));
    let loaded = CacheOutcome::Loaded { path: path.clone() };
    assert_eq!(run(&samples, &preprocess()), (first.clone(), loaded.clone()));
    // Preprocessing after the square does not matter.
    let other = Preprocess { crop_size: 8, std: [2.0; 3], ..preprocess() };
    assert_eq!(run(&samples, &other).1, loaded);

    // Damage of any kind is detected.
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() - 8], b"", &flipped, &[&whole[..], &[0; 8]].concat()] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(run(&samples, &preprocess()), (first.clone(), CacheOutcome::Written { path: path.clone() }));
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    // So is every change that the statistics depend on.
    let is_new = |samples: &[Sample], preprocess: &Preprocess| match run(samples, preprocess).1 {
        CacheOutcome::Written { path: new } => new != path,
        _ => false,
    };
    assert!(is_new(&samples[1..], &preprocess()));
    assert!(is_new(&samples, &Preprocess { source_size: 11, ..preprocess() }));
    assert!(is_new(&samples, &Preprocess { filter: ResizeFilter::Bilinear, ..preprocess() }));
    let path = samples[0].location.path();
    fs::write(&path, [fs::read(&path).unwrap(), vec![0]].concat()).unwrap();
    assert!(is_new(&samples, &preprocess()));
    let left = fs::read_dir(root)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with("tmp"));
    assert_eq!(left.count(), 0);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let samples = write_images(folder.path());
    let root = folder.path().join("0.png");
    let (statistics, outcome) = Statistics::load_or_compute(&root, &samples, &preprocess(), 2, &|_, _| {}).unwrap();
    assert_eq!(statistics, compute(&samples, 1));
    assert!(matches!(&outcome, CacheOutcome::NotWritten { reason, .. } if !reason.is_empty()), "{outcome:?}");
}
