//! Shards of other programs, and invalid archives.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod pictures;
mod shard_files;

use std::fs;

use alexnet_data::{Augment, Dataset, Error, Mean, Pipeline, Preprocess, ResizeRule, Scratch, Views};
use shard_files::{bytes, name, tar_of};

#[test]
fn shards_of_other_programs_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let jpeg = fs::read("tests/fixtures/baseline.jpg").unwrap();
    let path = folder.path().join("some.tar");
    let write = |files: &[(&str, &[u8])]| fs::write(&path, tar_of(files)).unwrap();
    write(&[
        ("a/0.jpg", &jpeg),
        ("a/0.cls", b"1"),
        ("a/0.json", b"{}"),
        ("a/1.cls", b" 0\n"),
        ("a/1.JPG", &jpeg),
        ("README", b""),
    ]);
    for root in [path.as_path(), folder.path()] {
        let set = Dataset::open(root).unwrap();
        assert_eq!(set.labels.names, ["0", "1"]);
        let found: Vec<_> = set.train.samples.iter().map(|sample| (name(sample), sample.label)).collect();
        assert_eq!(found, [("0.jpg".to_owned(), 1), ("1.JPG".to_owned(), 0)]);
        assert!(set.train.samples.iter().all(|sample| bytes(sample) == jpeg));
    }
    let message = || Dataset::open(&path).unwrap_err().to_string();
    for (files, part) in [
        (&[("../0.jpg", jpeg.as_slice()), ("../0.cls", b"1")][..], "leads out of the archive"),
        (&[("0.jpg", jpeg.as_slice())], "there is no `0.cls`"),
        (&[("0.jpg", jpeg.as_slice()), ("0.cls", b"cat")], "not a label"),
        (&[("0.jpg", jpeg.as_slice()), ("0.cls", b"4000000000")], "not a label"),
        (&[("0.jpg", jpeg.as_slice()), ("0.cls", b"0")], "at least 2 are needed"),
    ] {
        write(files);
        assert!(message().contains(part) && message().contains("some.tar"), "{}", message());
    }
    write(&[("0.jpg", &jpeg), ("0.cls", b"1")]);
    let whole = fs::read(&path).unwrap();
    for len in [100, 512 + 100, 1024 + jpeg.len() / 2] {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(message().contains("some.tar"), "{}", message());
    }
}

/// Raw images are used directly from mapped memory, and truncating the shard meanwhile gives an ordinary error.
#[test]
fn raw_images_are_mapped_and_a_shard_cut_short_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raw.tar");
    let ppm = |value: u8| {
        let pixels: Vec<u8> = (0..3 * 64 * 64).map(|i: u32| (i as u8).wrapping_mul(value)).collect();
        [b"P6\n64 64\n255\n", pixels.as_slice()].concat()
    };
    let images = [ppm(3), ppm(5)];
    let [first, second] = images.each_ref().map(Vec::as_slice);
    fs::write(&path, tar_of(&[("0.ppm", first), ("0.cls", b"0"), ("1.ppm", second), ("1.cls", b"1")])).unwrap();
    let set = Dataset::open(&path).unwrap();
    let preprocess = Preprocess {
        resize: ResizeRule::None,
        source_size: 64,
        crop_size: 64,
        mean: Mean::None,
        ..Preprocess::ALEXNET_2012
    };
    let pipeline = Pipeline::new(preprocess, Augment::NONE, None).unwrap();
    let load = |number: usize| {
        let mut output = vec![0.0; preprocess.view_len()];
        let views = pipeline.views(Views::Center, 0, 0, 0);
        pipeline.load_into(&set.train.samples[number].location, &views, &mut Scratch::default(), &mut output)?;
        Ok::<_, Error>(output)
    };
    for (number, image) in images.iter().enumerate() {
        let pixels = &image[image.len() - 3 * 64 * 64..];
        let red: Vec<f32> = pixels.iter().step_by(3).map(|&byte| f32::from(byte)).collect();
        assert_eq!(load(number).unwrap()[..64 * 64], red);
    }
    // Truncated within a page of the second image, then of the first, then before both.
    let file = fs::File::options().write(true).open(&path).unwrap();
    for (len, good) in [(512 + 12_800 + 1024 + 6000, true), (512 + 5000, false), (0, false)] {
        file.set_len(len).unwrap();
        assert_eq!(load(0).is_ok(), good, "{len}");
        let error = load(1).unwrap_err();
        let message = error.to_string();
        let short = ["truncated", "end of file", "empty"].iter().any(|word| message.contains(word));
        assert!(message.contains("raw.tar") && short, "{message}");
    }
}

#[test]
fn archives_beside_class_folders_are_not_the_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    pictures::write_set(&root.join("train"), 2, 2, 20);
    pictures::write_set(&root.join("val"), 2, 1, 20);
    for stray in ["all.tar", "train/class0.tar", "val/class0.tar"] {
        fs::write(root.join(stray), tar_of(&[("0.png", b"")])).unwrap();
    }
    fs::write(root.join("manifest.json"), r#"{"name": "somebody else's"}"#).unwrap();
    let set = Dataset::open(root).unwrap();
    assert_eq!((set.train.samples.len(), set.val.unwrap().samples.len()), (4, 2));
    fs::remove_dir_all(root.join("val")).unwrap();
    fs::create_dir(root.join("val")).unwrap();
    fs::write(root.join("val/0.tar"), tar_of(&[("0.png", b""), ("0.cls", b"1")])).unwrap();
    let mixed = Dataset::open(root).unwrap_err().to_string();
    assert!(mixed.contains("in shards, the other in class folders"), "{mixed}");
}
