//! Resizing, cropping and normalization, compared with the programs whose conventions they follow. `fixtures/make.py`
//! generates the files with torchvision 0.26 and Pillow 13.0 (`Resize`, `CenterCrop`, `ToTensor`, `Normalize`), Pillow
//! (Lanczos), and OpenCV 5.0 (`INTER_AREA` for `photo` and `tall`, `INTER_CUBIC` for `small`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use alexnet_data::{
    Augment, Centering, ChannelOrder, Mean, Pipeline, PixelRange, Preprocess, ResizeFilter, ResizeRule, SideRounding,
    Views,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn load(preprocess: Preprocess, name: &str) -> Vec<f32> {
    let pipeline = Pipeline::new(preprocess, Augment::NONE, None).unwrap();
    pipeline.load(&fixture(&format!("{name}.png")), Views::Center).unwrap()
}

/// The unchanged bytes of the whole 32x32 square.
fn plain(resize: ResizeRule, filter: ResizeFilter) -> Preprocess {
    Preprocess { resize, filter, source_size: 32, crop_size: 32, mean: Mean::None, ..Preprocess::ALEXNET_2012 }
}

/// Largest and mean absolute difference between planar pixels and interleaved golden bytes.
fn difference(planar: &[f32], golden: &str) -> (f32, f32) {
    let bytes = fs::read(fixture(golden)).unwrap();
    assert_eq!(planar.len(), bytes.len());
    let count = bytes.len() / 3;
    let each = (0..bytes.len()).map(|i| (planar[i % 3 * count + i / 3] - f32::from(bytes[i])).abs());
    (each.clone().fold(0.0, f32::max), each.sum::<f32>() / bytes.len() as f32)
}

#[test]
fn torchvision() {
    let preprocess = Preprocess {
        resize: ResizeRule::ShorterSide { size: 32, rounding: SideRounding::Down },
        source_size: 32,
        crop_size: 28,
        ..Preprocess::TORCHVISION
    };
    for name in ["photo", "tall", "small"] {
        let golden = fs::read(fixture(&format!("{name}.torchvision.golden"))).unwrap();
        let golden: Vec<f32> = golden.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        let values = load(preprocess, name);
        assert_eq!(values.len(), golden.len());
        let each = values.iter().zip(&golden).map(|(a, b)| (a - b).abs());
        let (max, mean) = (each.clone().fold(0.0, f32::max), each.sum::<f32>() / golden.len() as f32);
        // One gray level is 1/255/0.224 = 0.0175; the filter weights are integers of different precision.
        assert!(max < 0.0176 && mean < 0.001, "{name}: {max} {mean}");
    }
}

#[test]
fn pillow_lanczos() {
    let resize = ResizeRule::Warp { width: 32, height: 32 };
    for name in ["photo", "tall", "small"] {
        let values = load(plain(resize, ResizeFilter::Lanczos3), name);
        let (max, mean) = difference(&values, &format!("{name}.lanczos.golden"));
        assert!(max <= 1.0 && mean < 0.02, "{name}: {max} {mean}");
    }
}

#[test]
fn opencv_area_and_cubic() {
    let resize = ResizeRule::ShorterSide { size: 32, rounding: SideRounding::Nearest };
    for name in ["photo", "tall", "small"] {
        let values = load(plain(resize, ResizeFilter::AreaOrCubic), name);
        let (max, mean) = difference(&values, &format!("{name}.opencv.golden"));
        assert!(max <= 1.0 && mean < 0.01, "{name}: {max} {mean}");
    }
}

#[test]
fn caffe_channels_and_crop() {
    let resize = ResizeRule::Warp { width: 32, height: 32 };
    let whole = load(plain(resize, ResizeFilter::Lanczos3), "photo");
    let caffe = Preprocess {
        resize,
        source_size: 32,
        crop_size: 27,
        mean: Mean::Channels([122.679, 116.669, 104.007]),
        ..Preprocess::CAFFE
    };
    assert_eq!(
        (caffe.channel_order, caffe.scale, caffe.centering),
        (ChannelOrder::Bgr, PixelRange::Byte, Centering::Down)
    );
    let values = load(caffe, "photo");
    assert_eq!(values.len(), 3 * 27 * 27);
    for (c, mean) in [104.007, 116.669, 122.679].into_iter().enumerate() {
        for y in 0..27 {
            for x in 0..27 {
                // (32 - 27) / 2 = 2, rounded down.
                let expected = whole[(2 - c) * 1024 + (y + 2) * 32 + x + 2] - mean;
                assert!((values[(c * 27 + y) * 27 + x] - expected).abs() < 1e-4, "{c} {y} {x}");
            }
        }
    }
}
