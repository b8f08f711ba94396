//! A miniature of ImageNet: the three archives in their official form, filled with the built-in shapes.
//!
//! It reproduces the pitfalls of the real archives: the IDs are not in the order of the names, inner nodes of WordNet occur
//! between the classes, two classes have the same words, `meta.mat` is compressed, the numbers of the training images
//! have gaps, and the classes of the validation images are given only by the list in the development kit.

use std::fs;
use std::io;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use md5::{Digest, Md5};

use super::checksum::{DEVKIT, TRAIN, VAL};
use super::checksum::{SUMS, hex};
use super::mat5::{self, Value};
use super::shard_writer::write_whole;
use crate::shapes::{ShapesSplit, class_names, render};
use crate::{Error, parallel};

/// Sides of the pictures in pixels: some need no resizing, some are shrunk.
const SIZES: [u32; 3] = [256, 320, 288];
const CLASSES: u32 = 10;
/// Marker file that exists while the archives are being written.
const UNFINISHED_MINIATURE: &str = ".unfinished-miniature";

/// The numbers of images of the miniature; each is divided among ten classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miniature {
    /// Training images, at least ten.
    pub train: u32,
    /// Validation images, at least ten.
    pub val: u32,
}

impl Default for Miniature {
    /// 400 and 100, written in a few seconds.
    fn default() -> Self {
        Self { train: 400, val: 100 }
    }
}

/// The WordNet ID of a class; WordNet does not use these numbers.
fn wnid(class: u32) -> String {
    format!("n9{:07}", class * 37 + 11)
}

/// The ILSVRC2012_ID of a class, not in the order of the WNIDs.
fn id(class: u32) -> u32 {
    class * 7 % CLASSES + 1
}

impl Miniature {
    /// Writes the archives and a file `MD5SUMS` into `folder`, unless that file exists. Returns whether they were written.
    ///
    /// # Errors
    /// [`Error::Setting`] if there are fewer than ten images; [`Error::Output`] if the folder contains other archives;
    /// [`Error::Write`].
    pub fn write(&self, folder: &Path, workers: usize) -> Result<bool, Error> {
        for (what, value) in [("train", self.train), ("val", self.val)] {
            if value < CLASSES {
                return Err(Error::setting(what, value, format!("it must be at least {CLASSES}: 1 image per class")));
            }
        }
        if folder.join(SUMS).is_file() {
            return Ok(false);
        }
        let marker = folder.join(UNFINISHED_MINIATURE);
        let foreign = [TRAIN, VAL, DEVKIT].into_iter().find(|name| folder.join(name).exists());
        if let Some(name) = foreign.filter(|_| !marker.exists()) {
            let reason = format!("it holds `{name}`, so no miniature is written there");
            return Err(Error::Output { path: folder.to_owned(), reason });
        }
        fs::create_dir_all(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })?;
        write_whole(&marker, b"")?;
        let mut sums = String::new();
        for (name, bytes) in [(TRAIN, self.train(workers)?), (VAL, self.val(workers)?), (DEVKIT, self.devkit()?)] {
            write_whole(&folder.join(name), &bytes)?;
            sums.push_str(&format!("{}  {name}\n", hex(&Md5::digest(&bytes))));
        }
        // Written last: it marks the archives as complete.
        write_whole(&folder.join(SUMS), sums.as_bytes())?;
        fs::remove_file(&marker).map_err(|source| Error::Write { path: marker, source })?;
        Ok(true)
    }

    fn train(&self, workers: usize) -> Result<Vec<u8>, Error> {
        let pictures = pictures(ShapesSplit::Train, self.train, workers)?;
        let mut classes = Vec::new();
        for class in 0..CLASSES {
            let own = (0..).zip(&pictures).filter(|(index, _)| index % CLASSES == class);
            let files = own.map(|(index, bytes)| (format!("{}_{}.JPEG", wnid(class), 3 * index + 1), bytes.clone()));
            classes.push((format!("{}.tar", wnid(class)), archive(files)?));
        }
        archive(classes)
    }

    fn val(&self, workers: usize) -> Result<Vec<u8>, Error> {
        let pictures = pictures(ShapesSplit::Val, self.val, workers)?;
        archive((1..).zip(pictures).map(|(number, bytes)| (format!("ILSVRC2012_val_{number:08}.JPEG"), bytes)))
    }

    fn devkit(&self) -> Result<Vec<u8>, Error> {
        let root = "ILSVRC2012_devkit_t12/data";
        let truth: String = (0..self.val).map(|index| format!("{}\n", id(index % CLASSES))).collect();
        let meta = mat5::write::file("synsets", &synsets());
        let files = [
            (format!("{root}/ILSVRC2012_validation_ground_truth.txt"), truth.into_bytes()),
            (format!("{root}/meta.mat"), meta),
        ];
        let archive = archive(files)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        io::Write::write_all(&mut encoder, &archive)
            .and_then(|()| encoder.finish())
            .map_err(|source| Error::Write { path: DEVKIT.into(), source })
    }
}

/// The classes and, between them, two inner nodes.
fn synsets() -> Value {
    let fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height"];
    let text = |text: &str| Value::Text(text.into());
    let number = |number: u32| Value::Numbers(vec![f64::from(number)]);
    let mut elements = Vec::new();
    let names = class_names();
    for class in 0..CLASSES {
        // The last two have the same words, like ImageNet's two cranes.
        let words =
            if class >= CLASSES - 2 { "figure".to_owned() } else { format!("{}, shape", names[class as usize]) };
        let gloss = format!("a {} on a colored ground", names[class as usize]);
        elements.push(vec![
            number(id(class)),
            text(&wnid(class)),
            text(&words),
            text(&gloss),
            number(0),
            Value::Other,
            number(0),
        ]);
        if class % 5 == 4 {
            let inner = CLASSES + 1 + class / 5;
            let children = Value::Numbers((1..=5).map(f64::from).collect());
            let words = format!("shapes {inner}");
            elements.push(vec![
                number(inner),
                text(&format!("n8{inner:07}")),
                text(&words),
                text("several"),
                number(5),
                children,
                number(1),
            ]);
        }
    }
    Value::Structs { fields: fields.map(String::from).to_vec(), elements }
}

/// `count` pictures as JPEG files.
fn pictures(split: ShapesSplit, count: u32, workers: usize) -> Result<Vec<Vec<u8>>, Error> {
    let draw = |drawn: &mut Vec<(usize, Vec<u8>)>, index: usize| {
        let size = SIZES[index / CLASSES as usize % SIZES.len()];
        let (picture, _) = render(1, split, index as u32, size);
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90)
            .encode(&picture.pixels, picture.width, picture.height, ExtendedColorType::Rgb8)
            .map_err(|error| Error::Write { path: "a picture".into(), source: io::Error::other(error) })?;
        drawn.push((index, bytes));
        Ok(())
    };
    let mut all = parallel::for_each(count as usize, workers, Vec::new, draw, &|_, _| {})?.concat();
    all.sort_unstable_by_key(|&(index, _)| index);
    Ok(all.into_iter().map(|(_, bytes)| bytes).collect())
}

fn archive(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Vec<u8>, Error> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        let appended = archive.append_data(&mut header, &name, bytes.as_slice());
        appended.map_err(|source| Error::Write { path: name.into(), source })?;
    }
    archive.into_inner().map_err(|source| Error::Write { path: "an archive".into(), source })
}
