//! Archives for tests, and access to their contents.

use std::fs;

use alexnet_data::{Location, Sample};

/// A tar archive of these files, with any names.
pub(crate) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        // Written directly, because `set_path` rejects some names.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

/// The last part of a sample's path.
pub(crate) fn name(sample: &Sample) -> String {
    sample.location.path().file_name().unwrap().to_str().unwrap().to_owned()
}

/// The bytes of a sample.
pub(crate) fn bytes(sample: &Sample) -> Vec<u8> {
    match &sample.location {
        Location::File(path) => fs::read(path).unwrap(),
        Location::Entry { shard, number } => {
            let entry = &shard.entries()[*number as usize];
            fs::read(shard.path()).unwrap()[entry.offset as usize..][..entry.len as usize].to_vec()
        }
        other => panic!("{other:?}"),
    }
}
