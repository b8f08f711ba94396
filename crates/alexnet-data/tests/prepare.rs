//! Preparation of archives and folders as shards, including damaged input.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod pictures;
mod shard_files;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use alexnet_data::prepare::miniature::Miniature;
use alexnet_data::prepare::{BAD_IMAGES, PrepareOptions, SplitReport, StoredFormat, prepare};
use alexnet_data::{Dataset, DecodeLimits, Error, Preprocess, Split, Statistics, decode};
use shard_files::{bytes, name, tar_of};

const TRAIN: &str = "ILSVRC2012_img_train.tar";
const VAL: &str = "ILSVRC2012_img_val.tar";
const DEVKIT: &str = "ILSVRC2012_devkit_t12.tar.gz";
const MINIATURE: Miniature = Miniature { train: 40, val: 20 };

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        MINIATURE.write(&bench.input(), 2).unwrap();
        bench
    }

    fn input(&self) -> PathBuf {
        self.folder.path().join("archives")
    }

    fn options(&self, output: &str) -> PrepareOptions {
        let output = self.folder.path().join(output);
        PrepareOptions { images_per_shard: 16, ..PrepareOptions::new(self.input(), output, 2) }
    }
}

fn run(options: &PrepareOptions) -> Vec<SplitReport> {
    prepare(options, &|_| {}).unwrap()
}

fn message(options: &PrepareOptions) -> String {
    prepare(options, &|_| {}).unwrap_err().to_string()
}

/// All files below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let below = files(&path);
            all.extend(below.into_iter().map(|(name, bytes)| (path.strip_prefix(folder).unwrap().join(name), bytes)));
        } else {
            all.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn the_miniature_becomes_a_data_set() {
    let bench = Bench::new();
    let options = bench.options("set");
    let reports = run(&options);
    let summary: Vec<_> =
        reports.iter().map(|r| (r.split.as_str(), r.read, r.written, r.bad.len(), r.shards)).collect();
    assert_eq!(summary, [("train", 40, 40, 0, 3), ("val", 20, 20, 0, 2)]);

    let set = Dataset::open(&options.output).unwrap();
    let val = set.val.as_ref().unwrap();
    assert_eq!((set.train.samples.len(), val.samples.len(), set.labels.names.len()), (40, 20, 10));
    assert!(set.labels.names.is_sorted(), "labels are the order of the WordNet IDs");
    for sample in &set.train.samples {
        assert!(name(sample).starts_with(&format!("{}_", set.labels.names[sample.label as usize])), "{sample:?}");
    }
    // Validation image i of the miniature, counted from 0, has class i modulo 10; the IDs are in another order.
    for (i, sample) in (0..).zip(&val.samples) {
        assert_eq!((name(sample), sample.label), (format!("ILSVRC2012_val_{:08}.jpg", i + 1), i % 10));
    }
    let last = [8, 9].map(|label| set.labels.display(label).unwrap().to_owned());
    assert!(last.iter().all(|words| words.starts_with("figure (a ")) && last[0] != last[1], "{last:?}");
    for sample in set.train.samples.iter().chain(&val.samples) {
        let image = decode(&bytes(sample), &DecodeLimits::default()).unwrap();
        assert_eq!(image.width.min(image.height), 256);
    }

    // The statistics before compression nearly equal those of the stored images.
    let own = set.statistics.as_ref().and_then(|own| own.suit(&Preprocess::ALEXNET_2012)).unwrap();
    let again = Statistics::compute(&set.train.samples, &Preprocess::ALEXNET_2012, 2, &|_, _| {}).unwrap();
    assert_eq!((own.images, own.mean_image.size), (again.images, again.mean_image.size));
    for (own, again) in own.mean.iter().chain(&own.std_devs).zip(again.mean.iter().chain(&again.std_devs)) {
        assert!((own - again).abs() < 0.5, "{own}, computed again {again}");
    }
    let far =
        own.mean_image.values.iter().zip(&again.mean_image.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 12.0, "{far}");
    assert!(set.statistics.as_ref().unwrap().suit(&Preprocess::CAFFE).is_none());
}

#[test]
fn threads_change_nothing_and_a_second_run_has_nothing_to_do() {
    let bench = Bench::new();
    let one = PrepareOptions { workers: 1, ..bench.options("one") };
    let many = PrepareOptions { workers: 7, ..bench.options("many") };
    let (first, _) = (run(&one), run(&many));
    let written = files(&one.output);
    assert!(written == files(&many.output), "{:?}", written.keys());
    let names: Vec<_> = written.keys().map(|name| name.to_str().unwrap()).collect();
    assert_eq!(names[..5], ["bad-images.txt", "labels.txt", "manifest.json", "mean.npy", "train/train-000000.index"]);
    assert_eq!(names.len(), 4 + 2 * 5);

    let again = run(&one);
    assert_eq!(again.iter().map(|r| r.resumed).collect::<Vec<_>>(), [40, 20]);
    assert_eq!(again.iter().map(|r| r.written).sum::<u64>(), first.iter().map(|r| r.written).sum::<u64>());
    let other = message(&PrepareOptions { format: StoredFormat::Jpeg { quality: 80 }, ..one.clone() });
    assert!(other.contains("made with other settings") && other.contains("quality 95") && other.contains("quality 80"));
}

#[test]
fn broken_archives_leave_nothing_and_say_what_is_wrong() {
    let bench = Bench::new();
    let options = bench.options("set");
    let train = bench.input().join(TRAIN);
    let good = fs::read(&train).unwrap();

    // A changed byte in the middle of an image: only the checksum detects it.
    let mut flipped = good.clone();
    flipped[3000] ^= 1;
    fs::write(&train, &flipped).unwrap();
    let wrong = prepare(&options, &|_| {}).unwrap_err();
    let Error::Checksum { path, expected, found } = &wrong else { panic!("{wrong}") };
    assert_eq!((path, expected.len(), found.len()), (&train, 32, 32));
    assert!(
        expected != found && fs::read_to_string(bench.input().join("MD5SUMS")).unwrap().contains(expected.as_str())
    );
    assert!(!options.output.join("train").exists() && !options.output.join("manifest.json").exists());
    let open = Dataset::open(&options.output).unwrap_err().to_string();
    assert!(open.contains("unfinished data set"), "{open}");

    // Truncated inside a class, and at a block boundary.
    for len in [good.len() / 2, good.len() / 2 / 512 * 512] {
        fs::write(&train, &good[..len]).unwrap();
        let cut = message(&PrepareOptions { verify: false, ..options.clone() });
        assert!(cut.contains(TRAIN) && (cut.contains("damaged") || cut.contains("ends after")), "{cut}");
        assert!(!options.output.join("train").exists());
    }

    // The intact archive again: nothing of the damaged ones is left.
    fs::write(&train, &good).unwrap();
    run(&options);
    let clean = bench.options("clean");
    run(&clean);
    assert!(files(&options.output) == files(&clean.output));

    // The development kit.
    let devkit = bench.input().join(DEVKIT);
    fs::write(&devkit, &good[..1000]).unwrap();
    let kit = message(&bench.options("other"));
    assert!(kit.contains("MD5 sum") && kit.contains(DEVKIT), "{kit}");
    let kit = message(&PrepareOptions { verify: false, ..bench.options("other") });
    assert!(kit.contains(DEVKIT), "{kit}");
    fs::remove_file(&devkit).unwrap();
    assert!(message(&bench.options("other")).contains(&format!("lacks {DEVKIT}")));
    assert!(!bench.folder.path().join("other").exists(), "nothing is written before the input is understood");
}

#[test]
fn odd_images_are_converted_or_listed() {
    let bench = Bench::new();
    let fixture = |name: &str| fs::read(Path::new("tests/fixtures").join(name)).unwrap();
    let (gray, cmyk, png, jpeg) =
        (fixture("gray.jpg"), fixture("cmyk.jpg"), fixture("palette.png"), fixture("baseline.jpg"));
    let (text, thin) = (b"not an image".as_slice(), pictures_strip());
    let rest: Vec<_> = (8..=20).map(|number| format!("ILSVRC2012_val_{number:08}.JPEG")).collect();
    let mut val = vec![
        ("ILSVRC2012_val_00000001.JPEG", gray.as_slice()),
        ("ILSVRC2012_val_00000002.JPEG", text),
        ("folder/ILSVRC2012_val_00000003.JPEG", &cmyk),
        ("ILSVRC2012_val_00000004.JPEG", &png),
        ("ILSVRC2012_val_00000005.JPEG", &jpeg[..jpeg.len() / 2]),
        ("ILSVRC2012_val_00000006.JPEG", b""),
        ("ILSVRC2012_val_00000007.JPEG", &thin),
    ];
    val.extend(rest.iter().map(|name| (name.as_str(), gray.as_slice())));
    fs::write(bench.input().join(VAL), tar_of(&val)).unwrap();
    let options = PrepareOptions { verify: false, ..bench.options("set") };
    let val = run(&options).pop().unwrap();
    assert_eq!((val.read, val.written, val.bad.len()), (20, 16, 4));
    let listed = fs::read_to_string(options.output.join(BAD_IMAGES)).unwrap();
    let reasons: Vec<_> = listed.lines().map(|line| line.split('\t').collect::<Vec<_>>()).collect();
    let expected = [("2", "neither JPEG"), ("5", "truncated"), ("6", "empty"), ("7", "pixels, at most")];
    assert_eq!(reasons.len(), expected.len());
    for (line, (number, reason)) in reasons.iter().zip(expected) {
        assert_eq!(line[..2], ["val", &format!("ILSVRC2012_val_0000000{number}.JPEG")]);
        assert!(line[2].contains(reason), "{line:?}");
    }
    let set = Dataset::open(&options.output).unwrap();
    let labels: Vec<_> = set.val.unwrap().samples.iter().map(|sample| (name(sample), sample.label)).collect();
    let expected = [("1", 0), ("3", 2), ("4", 3)];
    let expected = expected.map(|(number, label)| (format!("ILSVRC2012_val_0000000{number}.jpg"), label));
    assert_eq!(labels[..3], expected);

    // Too few images, a number and a class missing from the kit, and a file that is not a class archive.
    let other = PrepareOptions { output: bench.folder.path().join("other"), ..options };
    fs::write(bench.input().join(VAL), tar_of(&[("ILSVRC2012_val_00000020.JPEG", &gray)])).unwrap();
    assert!(message(&other).contains("it holds 1 images"), "{}", message(&other));
    fs::write(bench.input().join(VAL), tar_of(&[("ILSVRC2012_val_00000021.JPEG", &gray)])).unwrap();
    assert!(message(&other).contains("no number from 1 to 20"), "{}", message(&other));
    fs::write(bench.input().join(TRAIN), tar_of(&[("n00000001.tar", &tar_of(&[("a.JPEG", &gray)]))])).unwrap();
    let other = PrepareOptions { output: bench.folder.path().join("third"), ..other };
    assert!(message(&other).contains("`n00000001.tar` is not in"), "{}", message(&other));
    fs::write(bench.input().join(TRAIN), tar_of(&[("a.JPEG", &gray)])).unwrap();
    assert!(message(&other).contains("`a.JPEG` is not the archive of a class"));
}

/// An image of 1 by 10,000 pixels: 256 by 2,560,000 at the stored size.
fn pictures_strip() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("strip.png");
    pictures::write_png(&path, 1, 10_000, |_, y| [y as u8; 3]);
    fs::read(path).unwrap()
}

#[test]
fn folders_become_shards_too() {
    let folder = tempfile::tempdir().unwrap();
    let photographs = folder.path().join("photographs");
    pictures::write_set(&photographs.join("train"), 3, 5, 20);
    pictures::write_set(&photographs.join("val"), 3, 2, 20);
    fs::write(photographs.join("train/class1/002.png"), "broken").unwrap();
    // The same name twice in a class, and a name with dots.
    pictures::write_png(&photographs.join("train/class1/more/001.png"), 9, 9, |x, y| [x as u8, y as u8, 0]);
    pictures::write_png(&photographs.join("train/class2/a.b.c.png"), 9, 9, |x, y| [x as u8, y as u8, 1]);
    fs::write(photographs.join("labels.txt"), "class0 first things\n").unwrap();
    let options = PrepareOptions {
        format: StoredFormat::Original,
        ..PrepareOptions::new(photographs.clone(), folder.path().join("kept"), 2)
    };
    let reports = run(&options);
    let summary: Vec<_> = reports.iter().map(|r| (r.split.as_str(), r.read, r.written, r.bad.len())).collect();
    assert_eq!(summary, [("train", 17, 16, 1), ("val", 6, 6, 0)]);
    let (folders, shards) = (Dataset::open(&photographs).unwrap(), Dataset::open(&options.output).unwrap());
    assert_eq!(folders.labels, shards.labels);
    let good = |split: &Split| -> Vec<(u32, Vec<u8>)> {
        let all = split.samples.iter().map(|sample| (sample.label, bytes(sample)));
        all.filter(|(_, bytes)| bytes != b"broken").collect()
    };
    assert_eq!(good(&folders.train), good(&shards.train), "files are stored as they are");
    let mut names: Vec<_> = shards.train.samples.iter().map(name).collect();
    assert!(
        names.contains(&"class1_001-2.png".to_owned()) && names.contains(&"class2_a_b_c.png".to_owned()),
        "{names:?}"
    );
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 16);

    let small = PrepareOptions {
        size: 16,
        crop: true,
        format: StoredFormat::Jpeg { quality: 95 },
        output: folder.path().join("small"),
        ..options
    };
    run(&small);
    for sample in &Dataset::open(&small.output).unwrap().train.samples {
        let image = decode(&bytes(sample), &DecodeLimits::default()).unwrap();
        assert_eq!((image.width, image.height), (16, 16));
    }
    let shards =
        message(&PrepareOptions { input: small.output.clone(), output: folder.path().join("x"), ..small.clone() });
    assert!(shards.contains("holds shards already"), "{shards}");
    let foreign = message(&PrepareOptions { output: photographs.clone(), ..small.clone() });
    assert!(foreign.contains("holds no prepared data set"), "{foreign}");
    for (wrong, part) in [
        (PrepareOptions { size: 5, ..small.clone() }, "size is 5"),
        (PrepareOptions { format: StoredFormat::Jpeg { quality: 0 }, ..small.clone() }, "quality is 0"),
        (PrepareOptions { images_per_shard: 0, ..small.clone() }, "images per shard is 0"),
        (PrepareOptions { workers: 0, ..small.clone() }, "workers is 0"),
        (PrepareOptions { input: folder.path().join("nowhere"), ..small }, "there is no folder"),
    ] {
        assert!(message(&wrong).contains(part), "{}", message(&wrong));
    }
}

/// Raw images contain the pixels before JPEG compression, with the same statistics.
#[test]
fn raw_images_need_no_decoding() {
    let bench = Bench::new();
    let raw = PrepareOptions { format: StoredFormat::Raw, crop: true, size: 64, ..bench.options("raw") };
    let reports = run(&raw);
    assert_eq!(reports[0].written, 40);
    let set = Dataset::open(&raw.output).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let jpeg = PrepareOptions { format: StoredFormat::Jpeg { quality: 100 }, output: folder.path().into(), ..raw };
    run(&jpeg);
    let compressed = Dataset::open(&jpeg.output).unwrap();
    let statistics = set.statistics.clone().unwrap();
    assert_eq!(set.statistics, compressed.statistics);
    let mut sum = 0.0;
    for (raw, jpeg) in set.train.samples.iter().zip(&compressed.train.samples) {
        assert_eq!(raw.label, jpeg.label);
        assert!(raw.location.path().extension().unwrap() == "ppm");
        let [raw, jpeg] = [raw, jpeg].map(|sample| decode(&bytes(sample), &DecodeLimits::default()).unwrap());
        assert_eq!((raw.width, raw.height), (64, 64));
        let differences = raw.pixels.iter().zip(&jpeg.pixels).map(|(a, b)| f64::from(a.abs_diff(*b)));
        assert!(differences.sum::<f64>() / (3.0 * 64.0 * 64.0) < 6.0);
        sum += raw.pixels.iter().map(|&byte| f64::from(byte)).sum::<f64>() / (40.0 * 3.0 * 64.0 * 64.0);
    }
    let all = &statistics.suit(&Preprocess {
        resize: alexnet_data::ResizeRule::ShorterSide { size: 64, rounding: alexnet_data::SideRounding::Nearest },
        source_size: 64,
        crop_size: 64,
        ..Preprocess::ALEXNET_2012
    });
    assert!((all.unwrap().mean.iter().sum::<f64>() / 3.0 - sum).abs() < 1e-6);
}

#[test]
fn damaged_shards_are_noticed() {
    let bench = Bench::new();
    let options = bench.options("set");
    run(&options);
    let (shard, index) =
        (options.output.join("train/train-000001.tar"), options.output.join("train/train-000001.index"));
    let open = || Dataset::open(&options.output).unwrap_err().to_string();
    let with = |path: &Path, content: &[u8], part: &str| {
        let good = fs::read(path).unwrap();
        fs::write(path, content).unwrap();
        let message = open();
        assert!(message.contains(part) && message.contains(path.file_name().unwrap().to_str().unwrap()), "{message}");
        fs::write(path, good).unwrap();
    };
    let (bytes, text) = (fs::read(&shard).unwrap(), fs::read_to_string(&index).unwrap());
    with(&shard, &bytes[..bytes.len() - 512], "manifest.json says");
    with(&index, &text.as_bytes()[..text.len() / 2], "");
    let far = text.replacen("\t4\t", "\t99\t", 1);
    assert_ne!(far, text);
    fs::write(&index, &far).unwrap();
    assert!(open().contains("train-000001.tar") && open().contains("its label is 99, but there are 10"), "{}", open());
    fs::write(&index, &text).unwrap();
    let manifest = options.output.join("manifest.json");
    let json = fs::read_to_string(&manifest).unwrap();
    with(&manifest, json.replace("train-000001.tar", "../train-000001.tar").as_bytes(), "leads out of the folder");
    with(&manifest, json.replace("alexnet-shards 1", "alexnet-shards 2").as_bytes(), "this version reads");
    with(&manifest, &json.as_bytes()[..json.len() / 2], "");
    with(&options.output.join("mean.npy"), b"nothing", "not a NumPy array");
    fs::remove_file(&shard).unwrap();
    assert!(open().contains("cannot read"), "{}", open());
}

#[test]
fn what_is_there_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let archives = folder.path().join("archives");
    fs::create_dir(&archives).unwrap();
    fs::write(archives.join(TRAIN), "148 GB").unwrap();
    let refused = MINIATURE.write(&archives, 1).unwrap_err().to_string();
    assert!(refused.contains(TRAIN) && refused.contains("no miniature is written"), "{refused}");
    assert_eq!(fs::read_to_string(archives.join(TRAIN)).unwrap(), "148 GB");
    let names = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(names(&archives), 1);

    // Nor is anything written to a folder with other contents.
    let bench = Bench::new();
    let foreign = bench.folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.txt"), "").unwrap();
    assert!(message(&bench.options("foreign")).contains("`thesis.txt`"));
    assert_eq!(names(&foreign), 1);
}

#[test]
fn another_archive_begins_anew() {
    let bench = Bench::new();
    let options = bench.options("set");
    // The validation archive is damaged; the training split is complete.
    let val = bench.input().join(VAL);
    let good = fs::read(&val).unwrap();
    fs::write(&val, &good[..good.len() / 2]).unwrap();
    assert!(message(&options).contains(VAL));
    assert!(options.output.join("train/train-000000.tar").is_file() && !options.output.join("val").exists());
    // Other settings are rejected in this state, too.
    let other = message(&PrepareOptions { size: 224, ..options.clone() });
    assert!(other.contains("made with other settings") && other.contains("224"), "{other}");
    fs::write(&val, &good).unwrap();
    let reports = run(&options);
    assert_eq!(reports.iter().map(|report| report.resumed).collect::<Vec<_>>(), [40, 0]);
    let clean = bench.options("clean");
    run(&clean);
    assert!(files(&options.output) == files(&clean.output));
}
