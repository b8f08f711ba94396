//! Augmentations that change pixels, compared with torchvision 0.26 on PIL images; `fixtures/make.py` generates the files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alexnet_data::{
    Augment, ColorChange, ColorJitter, DataLoader, DataLoaderConfig, Error, Fill, Location, Mean, MeanImage, Mixing,
    Pipeline, Preprocess, RandomErasing, RandomResizedCrop, ResizeFilter, ResizeRule, Resizer, RgbImage8, Sample,
    Scratch, View, Window, decode,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// No resizing and no normalization: views are the bytes of the image.
const PLAIN: Preprocess = Preprocess {
    resize: ResizeRule::None,
    filter: ResizeFilter::Bilinear,
    source_size: 32,
    crop_size: 24,
    mean: Mean::None,
    ..Preprocess::ALEXNET_2012
};

/// A rule that always selects the whole image.
const WHOLE: RandomResizedCrop = RandomResizedCrop { scale: [1.0, 1.0], ratio: [1.0, 1.0] };

#[test]
fn colors_change_as_in_pillow() {
    let golden = fs::read(fixture("color_jitter.golden")).unwrap();
    let mut pictures = golden.chunks_exact(3 * 1024);
    let original = pictures.next().unwrap();
    let factors = [0.0, 0.6, 1.4];
    let changes = [
        factors.map(ColorChange::Brightness).to_vec(),
        factors.map(ColorChange::Contrast).to_vec(),
        factors.map(ColorChange::Saturation).to_vec(),
        [-0.5, -0.1, 0.0, 0.3].map(ColorChange::Hue).to_vec(),
    ];
    for change in changes.concat() {
        let mut found = original.to_vec();
        change.apply(&mut found);
        let expected = pictures.next().unwrap();
        for (i, (found, expected)) in found.chunks(3).zip(expected.chunks(3)).enumerate() {
            assert_eq!(found, expected, "{change:?} of {:?}", &original[i * 3..i * 3 + 3]);
        }
    }
    assert!(pictures.next().is_none());
}

/// The windows of `make.py`, rendered by the two calls that make up the pipeline's resized crop.
#[test]
fn parts_are_resized_as_in_pillow() {
    let photo = decode(&fs::read(fixture("photo.png")).unwrap(), &Default::default()).unwrap();
    let golden = fs::read(fixture("resized_crop.golden")).unwrap();
    let windows = [(0, 0, 61, 97), (10, 20, 40, 30), (30, 1, 8, 90), (50, 60, 5, 7)];
    for ((y, x, height, width), golden) in windows.into_iter().zip(golden.chunks_exact(24 * 24 * 3)) {
        let mut pixels = Vec::new();
        for row in y..y + height {
            let start = (row * 97 + x) * 3;
            pixels.extend_from_slice(&photo.pixels[start..start + width * 3]);
        }
        let part = RgbImage8 { width: width as u32, height: height as u32, pixels };
        let (whole, mut found) = (Window { x: 0, y: 0, width: 24, height: 24 }, RgbImage8::default());
        Resizer::default().resize(&part, (24, 24), whole, ResizeFilter::Bilinear, &mut found).unwrap();
        let differences = found.pixels.iter().zip(golden).map(|(a, b)| a.abs_diff(*b));
        let (most, sum) = differences.fold((0, 0u32), |(most, sum), d| (most.max(d), sum + u32::from(d)));
        // Off by one level if the order of the two passes differs, as in Pillow when the height shrinks more.
        assert!(most <= 1 && sum < 260, "window at {x}, {y}: {most}, {sum} of 1728");
    }
}

fn view(augment: Augment, preprocess: &Preprocess, index: u32) -> View {
    augment.view(3, 1, index, preprocess)
}

fn render(preprocess: Preprocess, mean: Option<MeanImage>, view: View) -> Vec<f32> {
    let pipeline = Pipeline::new(preprocess, Augment::NONE, mean.map(Arc::new)).unwrap();
    let mut output = vec![f32::NAN; preprocess.view_len()];
    let photo = Location::from(fixture("photo.png"));
    pipeline.load_into(&photo, &[view], &mut Scratch::default(), &mut output).unwrap();
    output
}

#[test]
fn the_pipeline_shows_the_part_that_the_view_names() {
    let rule = RandomResizedCrop { scale: [0.2, 0.5], ..Default::default() };
    for index in 0..5 {
        let view = view(Augment { resized_crop: Some(rule), ..Augment::NONE }, &PLAIN, index);
        let Window { x, y, width, height } = view.resized_crop.unwrap().window(97, 61);
        let photo = decode(&fs::read(fixture("photo.png")).unwrap(), &Default::default()).unwrap();
        let rows = (y..y + height).flat_map(|row| {
            let start = (row * 97 + x) as usize * 3;
            photo.pixels[start..start + width as usize * 3].to_vec()
        });
        let part = RgbImage8 { width, height, pixels: rows.collect() };
        let (whole, mut expected) = (Window { x: 0, y: 0, width: 24, height: 24 }, RgbImage8::default());
        Resizer::default().resize(&part, (24, 24), whole, ResizeFilter::Bilinear, &mut expected).unwrap();
        let planes = |c: usize| expected.pixels[c..].iter().step_by(3).map(|&byte| f32::from(byte));
        assert_eq!(render(PLAIN, None, view), planes(0).chain(planes(1)).chain(planes(2)).collect::<Vec<_>>());
    }
}

/// Resized crops work for images smaller than the square, and subtract the center of the mean image, because they have no
/// position in the square.
#[test]
fn parts_of_small_images_and_the_mean_image() {
    let small = Preprocess { source_size: 80, crop_size: 24, ..PLAIN };
    let whole = view(Augment { resized_crop: Some(WHOLE), ..Augment::NONE }, &small, 0);
    let plain = render(small, None, whole);
    for mean in [Mean::CenterOfImage, Mean::Image] {
        let preprocess = Preprocess { mean, ..small };
        let values: Vec<f32> = (0..3 * 80 * 80).map(|i| (i % 251) as f32).collect();
        let found = render(preprocess, Some(MeanImage { size: 80, values: values.clone() }), whole);
        for (i, (found, plain)) in found.iter().zip(&plain).enumerate() {
            let (c, y, x) = (i / 576, i / 24 % 24, i % 24);
            assert_eq!(*found, plain - values[(c * 80 + 28 + y) * 80 + 28 + x], "{mean:?} {i}");
        }
    }
}

#[test]
fn jitter_is_the_changes_one_after_the_other() {
    let jitter = ColorJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    let mut orders = std::collections::HashSet::new();
    for index in 0..200 {
        let augment = Augment { color_jitter: Some(jitter), ..Augment::CROP_AND_FLIP };
        let with = view(augment, &PLAIN, index);
        orders.insert(with.color_changes.map(|change| std::mem::discriminant(&change.unwrap())));
        for change in with.color_changes.iter().flatten() {
            let (value, range) = match change {
                ColorChange::Hue(turn) => (*turn, -0.1..=0.1),
                ColorChange::Brightness(f) | ColorChange::Contrast(f) | ColorChange::Saturation(f) => (*f, 0.6..=1.4),
            };
            assert!(range.contains(&value), "{change:?}");
        }
        if index < 5 {
            let unchanged = View { color_changes: [None; 4], ..with };
            let planar = render(PLAIN, None, unchanged);
            let mut pixels: Vec<u8> = (0..1728).map(|i| planar[i % 3 * 576 + i / 3] as u8).collect();
            with.color_changes.iter().flatten().for_each(|change| change.apply(&mut pixels));
            let found = render(PLAIN, None, with);
            assert!((0..1728).all(|i| found[i % 3 * 576 + i / 3] == f32::from(pixels[i])));
        }
    }
    assert_eq!(orders.len(), 24, "orders");
    let none = view(Augment { color_jitter: Some(ColorJitter::default()), ..Augment::NONE }, &PLAIN, 0);
    assert_eq!(none.color_changes, [None; 4]);
}

#[test]
fn one_augmentation_moves_no_other() {
    let all = Augment {
        resized_crop: Some(RandomResizedCrop::default()),
        color_jitter: Some(ColorJitter { hue: 0.5, ..Default::default() }),
        erasing: Some(RandomErasing::new(1.0)),
        ..Augment::CROP_AND_FLIP
    };
    let (full, plain) = (view(all, &PLAIN, 7), view(Augment::CROP_AND_FLIP, &PLAIN, 7));
    assert_eq!((full.x, full.y, full.flip), (plain.x, plain.y, plain.flip));
    let without = view(Augment { resized_crop: None, ..all }, &PLAIN, 7);
    assert_eq!(View { resized_crop: None, ..full }, without);
    let erased = full.erased.unwrap().window();
    let values = render(PLAIN, None, full);
    let at = |x: u32, y: u32| values[(y * 24 + x) as usize];
    assert_eq!(at(erased.x, erased.y), 0.0);
}

fn loader(augment: Augment, config: DataLoaderConfig) -> DataLoader {
    let sample = |name: &str, label| Sample { location: fixture(name).into(), label };
    let samples = vec![sample("photo.png", 2), sample("tall.png", 0), sample("tall.jpg", 1)];
    let pipeline = Pipeline::new(PLAIN, augment, None).unwrap();
    DataLoader::new(samples.into(), Arc::new(pipeline), config).unwrap()
}

#[test]
fn batches_are_mixed_with_their_labels() {
    let plain = loader(Augment::NONE, DataLoaderConfig::train(3, 5, 0)).next().unwrap().unwrap();
    assert_eq!(plain.own_share, None);
    assert_eq!(plain.targets(3, 0.0).unwrap().iter().filter(|&&target| target == 1.0).count(), 3);

    let mixing = Mixing { mixup: Some(1.0), cutmix: None };
    let augment = Augment { mixing, ..Augment::NONE };
    let mixed = loader(augment, DataLoaderConfig::train(3, 5, 0)).next().unwrap().unwrap();
    let own = mixed.own_share.unwrap();
    assert!(own > 0.0 && own < 1.0);
    let length = PLAIN.view_len();
    let plain_floats = plain.images.floats().unwrap();
    for (i, value) in mixed.images.floats().unwrap().iter().enumerate() {
        let neighbor = plain_floats[(i + 2 * length) % (3 * length)];
        assert!((value - plain_floats[i] * own - neighbor * (1.0 - own)).abs() < 1e-3, "{i}");
    }
    let targets = mixed.targets(3, 0.3).unwrap();
    for (row, target) in targets.chunks(3).enumerate() {
        let [label, neighbor] = [row, (row + 2) % 3].map(|row| mixed.labels[row] as usize);
        for (class, target) in target.iter().enumerate() {
            let share = |c: usize, share: f32| if c == class { share } else { 0.0 };
            let expected = 0.1 + 0.7 * (share(label, own) + share(neighbor, 1.0 - own));
            assert!((target - expected).abs() < 1e-6, "{row} {class}");
        }
    }
    // Evaluation does not mix.
    assert_eq!(loader(augment, DataLoaderConfig::eval(3)).next().unwrap().unwrap().own_share, None);
    let error = |classes, smoothing| mixed.targets(classes, smoothing).unwrap_err().to_string();
    assert!(error(2, 0.0).contains("label is 2, but there are 2 classes"), "{}", error(2, 0.0));
    assert!(error(3, 1.0).contains("label smoothing is 1"));
}

#[test]
fn numbers_out_of_range_are_named() {
    let message = |augment: Augment| match Pipeline::new(PLAIN, augment, None) {
        Err(error @ Error::Setting { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let none = Augment::NONE;
    let crop = |scale, ratio| message(Augment { resized_crop: Some(RandomResizedCrop { scale, ratio }), ..none });
    assert!(crop([0.5, 0.2], [1.0, 1.0]).contains("scale of the random resized crop is 0.5 to 0.2"));
    assert!(crop([0.5, 1.2], [1.0, 1.0]).contains("at most 1"));
    assert!(crop([0.5, 1.0], [0.0, 1.0]).contains("ratio of the random resized crop is 0 to 1"));
    let jitter = |jitter| message(Augment { color_jitter: Some(jitter), ..none });
    assert!(jitter(ColorJitter { contrast: -1.0, ..Default::default() }).contains("contrast of the color jitter"));
    assert!(jitter(ColorJitter { hue: 0.6, ..Default::default() }).contains("hue of the color jitter is 0.6"));
    let erasing = RandomErasing { fill: Fill::Noise, ..RandomErasing::new(f32::NAN) };
    assert!(message(Augment { erasing: Some(erasing), ..none }).contains("probability of random erasing is NaN"));
    let mixing = Mixing { mixup: Some(0.0), cutmix: None };
    assert!(message(Augment { mixing, ..none }).contains("alpha of mixup is 0"));
}
