//! The synthetic data set on disk.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::cell::Cell;
use std::fs;
use std::path::Path;

use alexnet_data::shapes::{Prepared, ShapesConfig, ShapesSplit, class_names, prepare, render};
use alexnet_data::{Dataset, DecodeLimits, Error, decode};

const SMALL: ShapesConfig = ShapesConfig { seed: 3, train: 25, val: 10, size: 48 };

fn write(folder: &Path, config: &ShapesConfig) -> Result<Prepared, Error> {
    prepare(folder, config, 2, &|_, _| {})
}

/// Relative paths and contents.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let set = Dataset::open(folder).unwrap();
    let samples = set.train.samples.iter().chain(&set.val.as_ref().unwrap().samples);
    let name = |path: &Path| path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
    samples.map(|sample| (name(&sample.location.path()), fs::read(sample.location.path()).unwrap())).collect()
}

#[test]
fn a_set_is_written_once() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("new/shapes");
    let last = Cell::new((0, 0));
    let report = |done, total| last.set((done, total));
    assert_eq!(prepare(&folder, &SMALL, 3, &report).unwrap(), Prepared::Written);
    assert_eq!(last.get(), (35, 35));
    let first = content(&folder);
    assert_eq!(first.len(), 35);
    assert_eq!(Dataset::open(&folder).unwrap().train.classes, class_names());
    // Samples 0, 10 and 20 are of the first class.
    let names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).take(4).collect();
    assert_eq!(
        names,
        ["train/arrow/0000.jpg", "train/arrow/0001.jpg", "train/arrow/0002.jpg", "train/circle/0000.jpg"]
    );

    fs::remove_file(folder.join("train/arrow/0000.jpg")).unwrap();
    assert_eq!(write(&folder, &SMALL).unwrap(), Prepared::AlreadyThere);
    assert_eq!(content(&folder).len(), 34, "a complete set is not checked again");

    // Interrupted: the file that marks the complete set does not exist yet.
    fs::rename(folder.join("shapes.json"), folder.join("shapes.unfinished.json")).unwrap();
    assert_eq!(write(&folder, &SMALL).unwrap(), Prepared::Written);
    assert_eq!(content(&folder), first);
    assert!(!folder.join("shapes.unfinished.json").exists());
}

#[test]
fn pictures_are_functions_of_seed_split_and_index() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(one.path(), &SMALL).unwrap();
    prepare(two.path(), &ShapesConfig { train: 30, ..SMALL }, 1, &|_, _| {}).unwrap();
    let (one, two) = (content(one.path()), content(two.path()));
    assert!(one.iter().all(|file| two.contains(file)));

    let picture = |seed, split, index| render(seed, split, index, 48).0;
    assert_eq!(picture(3, ShapesSplit::Val, 7), picture(3, ShapesSplit::Val, 7));
    assert_ne!(picture(3, ShapesSplit::Val, 7), picture(3, ShapesSplit::Train, 7));
    assert_ne!(picture(3, ShapesSplit::Val, 7), picture(4, ShapesSplit::Val, 7));
    assert_ne!(picture(3, ShapesSplit::Val, 7), picture(3, ShapesSplit::Val, 17));

    // The files contain the rendered pictures, up to compression.
    let expected = picture(3, ShapesSplit::Train, 12);
    let (_, bytes) = one.iter().find(|(name, _)| name == "train/crescent/0001.jpg").unwrap();
    let stored = decode(bytes, &DecodeLimits::default()).unwrap();
    let difference: u32 = stored.pixels.iter().zip(&expected.pixels).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    assert!(difference / (stored.pixels.len() as u32) < 8, "{difference}");
}

/// The same bytes on every machine: hashes of pixels and files, computed on the machine where the generator was written.
#[test]
fn pictures_are_the_same_everywhere() {
    let fnv = |bytes: &[u8]| {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
    };
    let pixels: Vec<u8> = (0..40).flat_map(|i| render(0, ShapesSplit::Train, i, 64).0.pixels).collect();
    let temporary = tempfile::tempdir().unwrap();
    write(temporary.path(), &SMALL).unwrap();
    let files: Vec<u8> = content(temporary.path()).into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert_eq!(
        (fnv(&pixels), fnv(&files)),
        (PIXELS, FILES),
        "different pictures require a new GENERATOR and new hashes"
    );
}

const PIXELS: u64 = 3_929_033_001_714_579_528;
const FILES: u64 = 2_125_423_149_375_064_219;

#[test]
fn nothing_else_is_overwritten() {
    let temporary = tempfile::tempdir().unwrap();
    let message = |folder: &Path, config: &ShapesConfig| write(folder, config).unwrap_err().to_string();

    let foreign = temporary.path().join("foreign");
    fs::create_dir_all(foreign.join("train/arrow")).unwrap();
    fs::write(foreign.join("train/arrow/0000.jpg"), "mine").unwrap();
    let expected =
        format!("{} is not empty and holds no shapes data set, so nothing is written into it", foreign.display());
    assert_eq!(message(&foreign, &SMALL), expected);
    assert_eq!(fs::read(foreign.join("train/arrow/0000.jpg")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);

    let file = temporary.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(write(&file, &SMALL).is_err());

    let ours = temporary.path().join("ours");
    fs::create_dir(&ours).unwrap();
    fs::write(ours.join(".DS_Store"), "").unwrap();
    write(&ours, &SMALL).unwrap();
    let before = content(&ours);
    let other = ShapesConfig { seed: 4, ..SMALL };
    let expected = format!(
        "{} holds a shapes data set with generator 1, seed 3, 25+10 pictures of 48 pixels, wanted generator 1, seed 4, \
         25+10 pictures of 48 pixels",
        ours.display()
    );
    assert_eq!(message(&ours, &other), expected);
    fs::rename(ours.join("shapes.json"), ours.join("shapes.unfinished.json")).unwrap();
    assert_eq!(message(&ours, &other), expected);
    fs::write(ours.join("shapes.json"), "{").unwrap();
    assert!(message(&ours, &SMALL).contains("holds a shapes data set with an unreadable"));
    assert_eq!(content(&ours), before);
}

#[test]
fn settings_are_checked() {
    let temporary = tempfile::tempdir().unwrap();
    let message = |config: &ShapesConfig| write(temporary.path(), config).unwrap_err().to_string();
    let expected = "train is 9, but it must be at least 10: 1 picture per class";
    assert_eq!(message(&ShapesConfig { train: 9, ..SMALL }), expected);
    assert!(message(&ShapesConfig { val: 0, ..SMALL }).starts_with("val is 0"));
    assert!(message(&ShapesConfig { size: 15, ..SMALL }).starts_with("size is 15"));
    assert!(prepare(temporary.path(), &SMALL, 0, &|_, _| {}).is_err());
}
