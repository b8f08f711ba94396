//! Parquet files in the layouts of pyarrow and the `datasets` library; `fixtures/make.py` generates them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alexnet_data::prepare::{BAD_IMAGES, PrepareOptions, prepare};
use alexnet_data::{
    Augment, DataLoader, DataLoaderConfig, Dataset, DecodeLimits, Error, Location, Mean, Pipeline, Preprocess,
    ResizeRule, RgbImage8, Split, decode,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The files that `make.py` stored in the rows, cyclically; row 7 has no image.
const FILES: [&str; 4] = ["baseline.jpg", "restart.jpg", "gray.jpg", "progressive.jpg"];

/// Values with their row numbers.
type Rows<T> = Vec<(u32, T)>;

/// The loader's output for the samples (images of 40x28, center-cropped to 24x24), and the bad samples.
fn load(split: Split, workers: usize) -> (Rows<Vec<f32>>, Rows<String>) {
    let preprocess =
        Preprocess { resize: ResizeRule::None, source_size: 24, crop_size: 24, mean: Mean::None, ..Preprocess::CAFFE };
    let pipeline = Arc::new(Pipeline::new(preprocess, Augment::NONE, None).unwrap());
    let config = DataLoaderConfig { workers, ..DataLoaderConfig::train(5, 3, 1) };
    let (mut images, mut bad) = (Vec::new(), Vec::new());
    for batch in DataLoader::new(split.samples.into(), pipeline, config).unwrap() {
        let batch = batch.unwrap();
        let views = batch.images.floats().unwrap().chunks(preprocess.view_len()).map(<[f32]>::to_vec);
        images.extend(batch.indices.into_iter().zip(views));
        bad.extend(batch.bad.into_iter().map(|bad| (bad.index, bad.reason)));
    }
    (images, bad)
}

/// The same center crop, computed from the decoded file.
fn expected(image: &RgbImage8) -> Vec<f32> {
    let at = |c: usize, y: usize, x: usize| image.pixels[((2 + y) * 40 + 8 + x) * 3 + 2 - c];
    let all = (0..3).flat_map(|c| (0..24).flat_map(move |y| (0..24).map(move |x| (c, y, x))));
    all.map(|(c, y, x)| f32::from(at(c, y, x))).collect()
}

#[test]
fn every_row_is_its_image_in_any_order() {
    for (name, classes) in [("plain.parquet", ["cat", "dog, Canis", "owl"]), ("snappy.parquet", ["0", "1", "2"])] {
        let set = Dataset::open(&fixture(name)).unwrap();
        assert_eq!((set.train.classes.as_slice(), set.val.is_none()), (classes.map(String::from).as_slice(), true));
        let labels: Vec<_> = set.train.samples.iter().map(|sample| sample.label).collect();
        assert_eq!(labels, (0..12).map(|row| row % 3).collect::<Vec<_>>());
        let files = FILES.map(|file| decode(&fs::read(fixture(file)).unwrap(), &DecodeLimits::default()).unwrap());
        for workers in [1, 3] {
            let (images, bad) = load(set.train.clone(), workers);
            assert_eq!(images.len(), 11);
            for (row, image) in &images {
                assert!(*image == expected(&files[*row as usize % 4]), "{name}, row {row}");
            }
            let path = fixture(name).join(format!("{}-7", name.trim_end_matches(".parquet")));
            assert_eq!(bad, [(7, format!("{}: the file is empty", path.display()))]);
        }
    }
}

fn hub(folder: &Path) -> PathBuf {
    let root = folder.join("set");
    fs::create_dir_all(root.join("data")).unwrap();
    fs::write(root.join("README.md"), "about it").unwrap();
    fs::copy(fixture("plain.parquet"), root.join("data/train-00000-of-00002.parquet")).unwrap();
    fs::copy(fixture("plain.parquet"), root.join("data/train-00001-of-00002.parquet")).unwrap();
    fs::copy(fixture("plain.parquet"), root.join("data/validation-00000-of-00001.parquet")).unwrap();
    // Must be ignored: its labels are secret.
    fs::copy(fixture("secret.parquet"), root.join("data/test-00000-of-00001.parquet")).unwrap();
    root
}

#[test]
fn a_folder_of_the_hub_is_a_data_set_and_becomes_shards() {
    let folder = tempfile::tempdir().unwrap();
    let root = hub(folder.path());
    let set = Dataset::open(&root).unwrap();
    assert_eq!((set.train.samples.len(), set.val.as_ref().unwrap().samples.len()), (24, 12));
    assert_eq!(set.labels.display(1), Some("dog, Canis"));

    let mut outputs = Vec::new();
    for workers in [1, 3] {
        let output = folder.path().join(format!("shards-{workers}"));
        let options = PrepareOptions {
            size: 24,
            images_per_shard: 10,
            ..PrepareOptions::new(root.clone(), output.clone(), workers)
        };
        let reports = prepare(&options, &|_| {}).unwrap();
        assert_eq!(
            reports.iter().map(|r| (r.read, r.written, r.bad.len())).collect::<Vec<_>>(),
            [(24, 22, 2), (12, 11, 1)]
        );
        let listed = fs::read_to_string(output.join(BAD_IMAGES)).unwrap();
        assert!(listed.lines().all(|line| line.contains("-7") && line.contains("the file is empty")), "{listed}");
        let shards = Dataset::open(&output).unwrap();
        assert_eq!(shards.train.classes, set.train.classes);
        let labels: Vec<_> = shards.train.samples.iter().map(|sample| sample.label).collect();
        let expected: Vec<_> = (0..24).filter(|row| row % 12 != 7).map(|row| row % 12 % 3).collect();
        assert_eq!(labels, expected);
        outputs.push(fs::read(output.join("train/train-000001.tar")).unwrap());
    }
    assert!(outputs[0] == outputs[1]);
}

#[test]
fn what_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| Dataset::open(path).unwrap_err().to_string();
    let secret = message(&fixture("secret.parquet"));
    assert!(secret.contains("secret.parquet") && secret.contains("a label is -1"), "{secret}");

    let path = folder.path().join("train.parquet");
    let good = fs::read(fixture("plain.parquet")).unwrap();
    for cut in [0, 3, 100, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..cut]).unwrap();
        let text = message(&path);
        assert!(text.contains("train.parquet: "), "{cut}: {text}");
    }
    // No image column: it is renamed in the schema.
    let renamed = fs::read(fixture("snappy.parquet")).unwrap();
    let text = String::from_utf8_lossy(&renamed).into_owned();
    assert!(text.contains("image"));
    let renamed: Vec<u8> = replace(&renamed, b"image", b"imago");
    fs::write(&path, renamed).unwrap();
    let text = message(&path);
    assert!(
        text.contains("no column holds images: `image`, `img` is not among note, imago.bytes, imago.path"),
        "{text}"
    );

    // Tables beside class folders are metadata, not the data set.
    let folders = folder.path().join("folders");
    for class in ["train/cat", "train/dog"] {
        fs::create_dir_all(folders.join(class)).unwrap();
        fs::copy(fixture("baseline.jpg"), folders.join(class).join("a.jpg")).unwrap();
        fs::copy(fixture("plain.parquet"), folders.join("train/metadata.parquet")).unwrap();
    }
    assert_eq!(Dataset::open(&folders).unwrap().train.classes, ["cat", "dog"]);

    let root = hub(folder.path());
    fs::create_dir_all(root.join("small/train")).unwrap();
    fs::copy(fixture("plain.parquet"), root.join("small/train/0000.parquet")).unwrap();
    assert!(message(&root).contains("it holds several data sets; choose one of data, small"), "{}", message(&root));
    let small = Dataset::open(&root.join("small")).unwrap();
    assert_eq!((small.train.samples.len(), small.val), (12, None));
}

#[test]
fn validation_images_can_be_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::copy(fixture("snappy.parquet"), folder.path().join("data/validation-0.parquet")).unwrap();
    let error = Dataset::open(folder.path()).unwrap_err();
    assert!(matches!(error, Error::NoTrain { .. }), "{error}");
    let (split, is_validation) = Split::open_validation(folder.path()).unwrap();
    assert_eq!((split.samples.len(), is_validation, split.is_unnamed()), (12, true, true));
    let (split, is_validation) = Split::open_validation(&fixture("plain.parquet")).unwrap();
    assert_eq!((split.samples.len(), is_validation, split.is_unnamed()), (12, false, false));
}

#[test]
fn rows_are_found_by_their_paths() {
    let path = fixture("plain.parquet");
    let set = Dataset::open(&path).unwrap();
    for sample in &set.train.samples {
        assert_eq!(Location::find(&sample.location.path()).unwrap(), sample.location);
    }
    let error = Location::find(&path.join("plain-12")).unwrap_err().to_string();
    assert!(error.contains("plain.parquet: it has no image `plain-12`"), "{error}");
}

/// After changes to bytes of the pages, rows fail or contain other images, without a panic.
#[test]
fn damaged_pages_are_bad_samples() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.parquet");
    let good = fs::read(fixture("snappy.parquet")).unwrap();
    let mut failed = 0;
    for at in (4..good.len() - 3000).step_by(97) {
        let mut damaged = good.clone();
        damaged[at] ^= 0xff;
        fs::write(&path, damaged).unwrap();
        let Ok(set) = Dataset::open(&path) else { continue };
        let (images, bad) = load(set.train, 1);
        assert_eq!(images.len() + bad.len(), 12);
        failed += bad.len() - 1;
    }
    assert!(failed > 20, "{failed}");
}

/// The library panics if a page needs a missing dictionary; found by fuzzing.
#[test]
fn a_panic_of_the_library_is_an_error() {
    let error = Dataset::open(&fixture("no_dictionary.parquet")).unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }));
    assert!(error.to_string().contains("no_dictionary.parquet: the reader panicked: Decoder for dict"), "{error}");
}

fn replace(bytes: &[u8], from: &[u8; 5], to: &[u8; 5]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(5).position(|window| window == from) {
        bytes[at..at + 5].copy_from_slice(to);
    }
    bytes
}
