//! Batches: the same for any number of workers, complete, in order, with bad samples reported.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod pictures;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alexnet_data::{
    Augment, BadSampleBudget, Batch, BatchImages, ColorNoise, DataLoader, DataLoaderConfig, Error, Mean, Mixing,
    OnBadSample, Order, Pipeline, Pixels, Preprocess, ResizeRule, Sample, Share, Split, View, ViewNumbers, Views,
};

fn samples(folder: &Path) -> Arc<[Sample]> {
    Split::open_folder(folder).unwrap().samples.into()
}

fn pipeline() -> Arc<Pipeline> {
    let preprocess = Preprocess {
        resize: ResizeRule::None,
        source_size: 20,
        crop_size: 16,
        mean: Mean::Channels([100.0; 3]),
        ..Preprocess::ALEXNET_2012
    };
    let augment = Augment { color_noise: Some(ColorNoise::IMAGENET), ..Augment::CROP_AND_FLIP };
    Arc::new(Pipeline::new(preprocess, augment, None).unwrap())
}

fn all(samples: &Arc<[Sample]>, config: DataLoaderConfig) -> Vec<Batch> {
    let loader = DataLoader::new(samples.clone(), pipeline(), config).unwrap();
    assert_eq!(loader.remaining(), loader.map(Result::unwrap).collect::<Vec<_>>().len());
    DataLoader::new(samples.clone(), pipeline(), config).unwrap().map(Result::unwrap).collect()
}

fn floats(batch: &Batch) -> &[f32] {
    batch.images.floats().unwrap()
}

/// The normalization of bytes according to [`alexnet_data::ViewNumbers`], without a mean image.
fn floats_of(batch: &Batch, side: usize) -> Vec<f32> {
    let bytes = batch.images.bytes().unwrap();
    let views = bytes.pixels.chunks_exact(3 * side * side).zip(&bytes.numbers);
    let plane = |pixels: &[u8], numbers: &ViewNumbers, c: usize| -> Vec<f32> {
        let column = |j: usize| if numbers.flip { side - 1 - j } else { j };
        let byte = |i: usize| f32::from(pixels[(i / side * side + column(i % side)) * 3 + c]);
        (0..side * side).map(|i| byte(i) * numbers.scale[c] + numbers.offset[c]).collect()
    };
    views.flat_map(|(pixels, numbers)| (0..3).flat_map(|c| plane(pixels, numbers, c)).collect::<Vec<_>>()).collect()
}

#[test]
fn bytes_and_their_numbers_make_the_floats() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(&pictures::write_set(folder.path(), 3, 9, 20));
    for config in
        [DataLoaderConfig::train(4, 11, 2), DataLoaderConfig { views: Views::Ten, ..DataLoaderConfig::eval(5) }]
    {
        let bytes = DataLoaderConfig { pixels: Pixels::Bytes, ..config };
        let found = all(&samples, bytes);
        for (bytes, floats) in found.iter().zip(&all(&samples, config)) {
            assert!(bytes.images.floats().is_none() && floats.images.bytes().is_none());
            assert_eq!((&bytes.labels, &bytes.indices), (&floats.labels, &floats.indices));
            assert_eq!(floats_of(bytes, 16), floats.images.floats().unwrap());
        }
        assert_eq!(all(&samples, DataLoaderConfig { workers: 5, ..bytes }), found);
        // Returned memory is reused, whatever its contents.
        let mut loader =
            DataLoader::new(samples.clone(), pipeline(), DataLoaderConfig { workers: 1, prefetch: 1, ..bytes })
                .unwrap();
        for expected in &found {
            let batch = loader.next().unwrap().unwrap();
            assert_eq!(&batch, expected);
            let mut images = batch.images;
            if let BatchImages::Bytes(bytes) = &mut images {
                bytes.pixels = bytes.pixels.iter().map(|byte| !byte).chain([1; 999]).collect();
            }
            loader.recycle(images);
        }
    }
    let mixed = Augment { mixing: Mixing { mixup: Some(0.2), cutmix: None }, ..Augment::NONE };
    let mixed = Arc::new(Pipeline::new(*pipeline().preprocess(), mixed, None).unwrap());
    let config = DataLoaderConfig { pixels: Pixels::Bytes, ..DataLoaderConfig::train(4, 0, 0) };
    let message = DataLoader::new(samples.clone(), mixed.clone(), config).err().unwrap().to_string();
    assert!(message.contains("delivered as floats"), "{message}");
    assert!(DataLoader::new(samples, mixed, DataLoaderConfig { views: Views::Center, ..config }).is_ok());
}

#[test]
fn the_number_of_workers_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(&pictures::write_set(folder.path(), 3, 9, 20));
    let config = DataLoaderConfig::train(4, 11, 2);
    let one = all(&samples, DataLoaderConfig { workers: 1, prefetch: 1, ..config });
    assert_eq!(one.iter().map(|batch| batch.labels.len()).collect::<Vec<_>>(), [4, 4, 4, 4, 4, 4, 3]);
    for (workers, prefetch) in [(2, 1), (2, 4), (5, 3), (5, 20), (usize::MAX, usize::MAX)] {
        assert_eq!(all(&samples, DataLoaderConfig { workers, prefetch, ..config }), one, "{workers} {prefetch}");
    }
    let mut indices: Vec<u32> = one.iter().flat_map(|batch| batch.indices.clone()).collect();
    assert!(!indices.is_sorted());
    for batch in &one {
        assert_eq!((floats(batch).len(), batch.views), (batch.labels.len() * 3 * 16 * 16, 1));
        assert!(batch.indices.iter().zip(&batch.labels).all(|(&i, &label)| samples[i as usize].label == label));
    }
    indices.sort_unstable();
    assert_eq!(indices, (0..27).collect::<Vec<_>>());

    assert_ne!(all(&samples, DataLoaderConfig { epoch: 3, ..config }), one);
    assert_ne!(all(&samples, DataLoaderConfig { seed: 12, ..config }), one);
    // A sample's pixels depend on its index, not on its position in the order.
    let sequential = all(&samples, DataLoaderConfig { order: Order::Sequential, ..config });
    let find = |batches: &[Batch], index: u32| -> Vec<f32> {
        let batch = batches.iter().find(|batch| batch.indices.contains(&index)).unwrap();
        let position = batch.indices.iter().position(|&i| i == index).unwrap();
        floats(batch)[position * 768..][..768].to_vec()
    };
    assert!((0..27).all(|index| find(&one, index) == find(&sequential, index)));
}

#[test]
fn a_resumed_epoch_is_the_tail_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(&pictures::write_set(folder.path(), 2, 9, 20));
    let config = DataLoaderConfig::train(4, 1, 5);
    let whole = all(&samples, config);
    for batch in 0..=5 {
        assert_eq!(all(&samples, DataLoaderConfig { start_sample: (4 * batch).min(18), ..config }), whole[batch..]);
    }
    // Resumed in the middle of a batch, with another batch size.
    let flat = |batches: &[Batch]| -> (Vec<u32>, Vec<f32>) {
        let indices = batches.iter().flat_map(|batch| batch.indices.clone());
        (indices.collect(), batches.iter().flat_map(|batch| floats(batch).to_vec()).collect())
    };
    let (indices, images) = flat(&whole);
    let (rest, pixels) = flat(&all(&samples, DataLoaderConfig { start_sample: 7, batch_size: 5, ..config }));
    assert_eq!((rest.as_slice(), pixels.as_slice()), (&indices[7..], &images[7 * 768..]));
    let dropped = all(&samples, DataLoaderConfig { drop_last: true, ..config });
    assert_eq!(dropped, whole[..4]);
}

#[test]
fn evaluation_shows_the_center_in_the_listed_order() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(&pictures::write_set(folder.path(), 2, 3, 20));
    let batches = all(&samples, DataLoaderConfig::eval(4));
    let ten = all(&samples, DataLoaderConfig { views: Views::Ten, ..DataLoaderConfig::eval(4) });
    let mut index = 0;
    for (batch, ten) in batches.iter().zip(&ten) {
        assert_eq!((batch.views, ten.views, floats(ten).len()), (1, 10, floats(batch).len() * 10));
        assert_eq!((&batch.labels, &batch.indices), (&ten.labels, &ten.indices));
        for (image, ten) in floats(batch).chunks(768).zip(floats(ten).chunks(7680)) {
            let path = &samples[index].location.path();
            assert_eq!(image, pipeline().load(path, Views::Center).unwrap());
            assert_eq!(ten, pipeline().load(path, Views::Ten).unwrap());
            assert_eq!(&ten[2 * 768..3 * 768], image, "the third view is the center");
            index += 1;
        }
    }
    assert_eq!(index, 6);
    assert_eq!(View::ten(4, alexnet_data::Centering::Down)[2], View::center(4, alexnet_data::Centering::Down));
}

/// A set of 12 samples, of which 1 is empty, 4 is not an image, 5 is truncated and 7 is missing.
fn damaged(folder: &Path) -> Arc<[Sample]> {
    let samples = samples(&pictures::write_set(folder, 2, 6, 20));
    fs::write(samples[1].location.path(), "").unwrap();
    fs::write(samples[4].location.path(), "not an image").unwrap();
    let whole = fs::read(samples[5].location.path()).unwrap();
    fs::write(samples[5].location.path(), &whole[..whole.len() / 2]).unwrap();
    fs::remove_file(samples[7].location.path()).unwrap();
    samples
}

#[test]
fn bad_samples_leave_their_batch_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let samples = damaged(folder.path());
    let config = DataLoaderConfig { workers: 3, ..DataLoaderConfig::eval(2) };
    let batches = all(&samples, config);
    let indices: Vec<&[u32]> = batches.iter().map(|batch| batch.indices.as_slice()).collect();
    assert_eq!(indices, [&[0][..], &[2, 3], &[], &[6], &[8, 9], &[10, 11]]);
    assert!(batches.iter().all(|batch| floats(batch).len() == batch.labels.len() * 768));
    let bad: Vec<_> = batches.iter().flat_map(|batch| &batch.bad).collect();
    assert_eq!(bad.iter().map(|bad| bad.index).collect::<Vec<_>>(), [1, 4, 5, 7]);
    let starts = [
        format!("{}: the file is empty", samples[1].location.path().display()),
        format!(
            "{}: neither JPEG, PNG, WebP nor PPM (P6): the content starts with",
            samples[4].location.path().display()
        ),
        format!("{}: ", samples[5].location.path().display()),
        format!("cannot read {}: ", samples[7].location.path().display()),
    ];
    for (bad, start) in bad.iter().zip(starts) {
        assert_eq!(bad.path, samples[bad.index as usize].location.path());
        assert!(bad.reason.starts_with(&start), "{}", bad.reason);
    }
    // Good samples do not depend on the bad ones.
    assert_eq!(batches[5], all(&samples, DataLoaderConfig { start_sample: 5 * config.batch_size, ..config })[0]);
}

#[test]
fn bad_samples_can_end_the_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let samples = damaged(folder.path());
    let config = DataLoaderConfig { on_bad_sample: OnBadSample::Fail, start_sample: 2, ..DataLoaderConfig::eval(2) };
    let mut loader = DataLoader::new(samples.clone(), pipeline(), config).unwrap();
    assert_eq!(loader.next().unwrap().unwrap().indices, [2, 3]);
    let error = loader.next().unwrap().unwrap_err();
    assert!(error.to_string().starts_with(&format!("{}: neither", samples[4].location.path().display())), "{error}");
    assert!(loader.next().is_none());
}

#[test]
fn one_percent_may_be_bad() {
    let folder = tempfile::tempdir().unwrap();
    let batches = all(&damaged(folder.path()), DataLoaderConfig::eval(12));
    let [batch] = batches.as_slice() else { panic!("one batch") };
    let mut budget = BadSampleBudget::one_percent(400);
    budget.spend(&batch.bad).unwrap();
    budget.spend(&[]).unwrap();
    assert_eq!(budget.count(), 4);
    let error = budget.spend(&batch.bad[..1]).unwrap_err();
    let expected = "5 of 400 images could not be used, at most 4 may fail; the last: ";
    assert_eq!(error.to_string(), format!("{expected}{}", batch.bad[0].reason));
    assert!(BadSampleBudget::one_percent(99).spend(&batch.bad[..1]).is_err());
    assert!(BadSampleBudget::new(99, 1).spend(&batch.bad[..1]).is_ok());
}

#[test]
fn memory_of_a_batch_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(&pictures::write_set(folder.path(), 2, 8, 20));
    let config = DataLoaderConfig { workers: 1, prefetch: 1, ..DataLoaderConfig::train(4, 0, 0) };
    let expected = all(&samples, config);
    let mut loader = DataLoader::new(samples, pipeline(), config).unwrap();
    let first = loader.next().unwrap().unwrap();
    let address_of = |batch: &Batch| floats(batch).as_ptr();
    let address = address_of(&first);
    loader.recycle(first.images);
    let second = loader.next().unwrap().unwrap();
    let third = loader.next().unwrap().unwrap();
    assert_ne!(address_of(&second), address, "started before the memory was returned");
    assert_eq!(address_of(&third), address);
    assert_eq!((&second, &third), (&expected[1], &expected[2]));
    // Memory of any length is accepted.
    loader.recycle(BatchImages::Floats(vec![f32::NAN; 5]));
    assert_eq!(loader.next().unwrap().unwrap(), expected[3]);
    assert!(loader.next().is_none());
}

#[test]
fn an_unfinished_loader_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/large.png");
    pictures::write_png(&path, 1500, 1000, |x, y| [(x * y % 251) as u8, (x % 255) as u8, (y % 255) as u8]);
    let samples: Arc<[Sample]> = vec![Sample { location: path.into(), label: 0 }; 10_000].into();
    let config = DataLoaderConfig { workers: 3, ..DataLoaderConfig::train(1000, 0, 0) };
    let loader = DataLoader::new(samples, pipeline(), config).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    drop(loader);
    // A single batch would take many times as long.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

/// Two processes together receive the same samples as one process, with the same pixels.
#[test]
fn ranks_divide_the_batches_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(&pictures::write_set(folder.path(), 2, 9, 20));
    let one = all(&samples, DataLoaderConfig::train(6, 4, 1));
    let config = DataLoaderConfig::train(3, 4, 1);
    let two = [0, 1].map(|rank| all(&samples, DataLoaderConfig { share: Share { rank, ranks: 2 }, ..config }));
    assert_eq!([one.len(), two[0].len(), two[1].len()], [3; 3]);
    for (number, batch) in one.iter().enumerate() {
        for (place, (&index, pixels)) in batch.indices.iter().zip(floats(batch).chunks(768)).enumerate() {
            let part = &two[place % 2][number];
            assert_eq!((part.indices[place / 2], &floats(part)[place / 2 * 768..][..768]), (index, pixels));
        }
    }
}

#[test]
fn settings_are_checked() {
    let samples: Arc<[Sample]> = vec![Sample { location: std::path::Path::new("nowhere").into(), label: 0 }; 10].into();
    let base = DataLoaderConfig::eval(4);
    let message = |config| match DataLoader::new(samples.clone(), pipeline(), config) {
        Err(error @ Error::Setting { .. }) => error.to_string(),
        _ => panic!("accepted"),
    };
    assert_eq!(message(DataLoaderConfig { workers: 0, ..base }), "workers is 0, but it must be at least 1");
    assert_eq!(message(DataLoaderConfig { batch_size: 0, ..base }), "batch_size is 0, but it must be at least 1");
    assert_eq!(message(DataLoaderConfig { prefetch: 0, ..base }), "prefetch is 0, but it must be at least 1");
    assert_eq!(message(DataLoaderConfig { start_sample: 11, ..base }), "start_sample is 11, but there are 10 samples");
    let share = Share { rank: 2, ranks: 2 };
    assert_eq!(message(DataLoaderConfig { share, ..base }), "rank is 2, but there are 2 ranks");
    assert_eq!(all(&Vec::new().into(), base), []);
}
