//! The names of ImageNet's archives and their MD5 sums, computed while they are read.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use md5::{Digest, Md5};

use crate::Error;

pub(super) const DEVKIT: &str = "ILSVRC2012_devkit_t12.tar.gz";
pub(super) const TRAIN: &str = "ILSVRC2012_img_train.tar";
pub(super) const VAL: &str = "ILSVRC2012_img_val.tar";

/// File in the format of `md5sum` that overrides the official sums, for other archives than the official ones.
pub(super) const SUMS: &str = "MD5SUMS";
/// The official sums, from torchvision, `datasets/imagenet.py`.
const OFFICIAL_SUMS: [(&str, &str); 3] = [
    (TRAIN, "1d675b47d978889d74fa0da5fadfb00e"),
    (VAL, "29b22e2961454d5413ddabcf34fc5622"),
    (DEVKIT, "fa75699e90414af021442c21a62c3abf"),
];

/// The sums in the file [`SUMS`] if it exists, else the official ones.
pub(super) fn read_sums(folder: &Path) -> Result<HashMap<String, String>, Error> {
    let path = folder.join(SUMS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(OFFICIAL_SUMS.iter().map(|&(name, sum)| (name.to_owned(), sum.to_owned())).collect());
        }
        Err(source) => return Err(Error::Read { path, source }),
    };
    let lines = text.lines().filter_map(|line| line.split_once(char::is_whitespace));
    Ok(lines.map(|(sum, name)| (name.trim_start_matches([' ', '*']).trim().to_owned(), sum.to_lowercase())).collect())
}

/// A reader that counts the bytes and optionally computes their MD5 sum.
pub(super) struct Checked<'a, R> {
    inner: R,
    sum: Option<Md5>,
    read: &'a AtomicU64,
}

impl<'a, R: Read> Checked<'a, R> {
    pub(super) fn new(inner: R, read: &'a AtomicU64, verify: bool) -> Self {
        Self { inner, sum: verify.then(Md5::new), read }
    }

    /// Reads the remaining bytes and compares the sum.
    pub(super) fn finish(mut self, path: &Path, expected: Option<&String>) -> Result<(), Error> {
        let rest = io::copy(&mut self, &mut io::sink());
        rest.map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let found: String = self.sum.map(|sum| hex(&sum.finalize())).unwrap_or_default();
        match expected {
            Some(expected) if *expected == found => Ok(()),
            expected => {
                let expected = expected.cloned().unwrap_or_else(|| "none in MD5SUMS".into());
                Err(Error::Checksum { path: path.to_owned(), expected, found })
            }
        }
    }
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(sum) = &mut self.sum {
            sum.update(&buffer[..count]);
        }
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Hexadecimal digits of `bytes`.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
