//! A custom source gives the same shards as the same images in folders.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod pictures;

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use alexnet_data::prepare::{PrepareOptions, Source, SourceImage, StoredFormat, prepare, prepare_from};
use alexnet_data::{Dataset, Error, Location, Sample, Split};

/// The images of class folders, in memory, and one missing image.
struct Memory {
    classes: Vec<String>,
    images: Vec<(u32, Vec<u8>)>,
}

impl Memory {
    fn of(split: &Split) -> Self {
        let read = |sample: &Sample| (sample.label, fs::read(sample.location.path()).unwrap());
        Self { classes: split.classes.clone(), images: split.samples.iter().map(read).collect() }
    }
}

impl Source for Memory {
    fn classes(&self) -> Vec<String> {
        self.classes.clone()
    }

    fn has_val(&self) -> bool {
        false
    }

    fn fingerprint(&self, _: &str) -> Result<String, Error> {
        Ok(format!("{} images in memory", self.images.len()))
    }

    fn bytes(&self, _: &str) -> Result<u64, Error> {
        Ok(self.images.iter().map(|(_, bytes)| bytes.len() as u64).sum())
    }

    fn feed(
        &self,
        _: &str,
        skip: u64,
        read: &AtomicU64,
        sink: &mut dyn FnMut(SourceImage) -> bool,
    ) -> Result<(), Error> {
        for (number, (label, bytes)) in (0..).zip(&self.images).skip(skip as usize) {
            read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let (key, file) = (SourceImage::key_of(&format!("image.{number:03}")), format!("image {number}"));
            if !sink(SourceImage { key, file, label: *label, bytes: Ok(bytes.clone()) }) {
                return Ok(());
            }
        }
        let missing = Err("it is gone".to_owned());
        sink(SourceImage { key: "gone".into(), file: "image gone".into(), label: 0, bytes: missing });
        Ok(())
    }
}

/// The label and the bytes of an image in a shard.
fn image(sample: &Sample) -> (u32, Vec<u8>) {
    let Location::Entry { shard, number } = &sample.location else { panic!("{sample:?}") };
    let entry = &shard.entries()[*number as usize];
    let (start, len) = (entry.offset as usize, entry.len as usize);
    (sample.label, fs::read(shard.path()).unwrap()[start..start + len].to_vec())
}

#[test]
fn images_of_any_source_become_shards() {
    let folder = tempfile::tempdir().unwrap();
    let photos = pictures::write_set(&folder.path().join("photos"), 3, 5, 24);
    let mut source = Memory::of(&Dataset::open(&photos).unwrap().train);
    let options = |output: &str| {
        let (input, output) = (photos.clone(), folder.path().join(output));
        let format = StoredFormat::Raw;
        PrepareOptions { size: 16, images_per_shard: 4, format, ..PrepareOptions::new(input, output, 2) }
    };
    let reports = prepare_from(&source, &options("own"), &|_| {}).unwrap();
    assert_eq!((reports.len(), reports[0].read, reports[0].written, reports[0].shards), (1, 16, 15, 4));
    assert_eq!((reports[0].bad[0].file.as_str(), reports[0].bad[0].reason.as_str()), ("image gone", "it is gone"));
    prepare(&options("folders"), &|_| {}).unwrap();
    let [own, folders] = ["own", "folders"].map(|name| Dataset::open(&options(name).output).unwrap());
    assert_eq!((&own.labels, &own.statistics), (&folders.labels, &folders.statistics));
    let images = |set: &Dataset| set.train.samples.iter().map(image).collect::<Vec<_>>();
    assert_eq!(images(&own), images(&folders));
    // A complete set is not prepared again.
    assert_eq!(prepare_from(&source, &options("own"), &|_| {}).unwrap()[0].resumed, 16);

    source.images[3].0 = 9;
    let message = prepare_from(&source, &options("wrong"), &|_| {}).unwrap_err().to_string();
    assert_eq!(message, "label is 9, but there are 3 classes");
    source.classes.truncate(1);
    let message = prepare_from(&source, &options("few"), &|_| {}).unwrap_err().to_string();
    assert_eq!(message, "number of classes is 1, but a classifier needs at least 2");
}
