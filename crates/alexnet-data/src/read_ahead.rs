//! Reading images into the page cache before they are needed.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::{Location, Shard};

/// Maximum gap between two images of a shard (labels and headers) that is read rather than skipped, in bytes.
const GAP: u64 = 64 << 10;

/// Requests that the system read images of shards, neighboring images together; blocks at most until the disk's queue has
/// room. Images that are not read ahead, for whatever reason, are read when they are needed.
pub(crate) fn read_ahead<'a>(images: impl Iterator<Item = &'a Location>) {
    runs(images).into_iter().for_each(|(shard, range)| ask(shard.path(), range));
}

/// The byte ranges of shards that contain these images.
fn runs<'a>(images: impl Iterator<Item = &'a Location>) -> Vec<(&'a Arc<Shard>, Range<u64>)> {
    let mut runs: Vec<(&Arc<Shard>, Range<u64>)> = Vec::new();
    for image in images {
        let Location::Entry { shard, number } = image else { continue };
        let Some(entry) = shard.entries().get(*number as usize) else { continue };
        let range = entry.offset..entry.offset + u64::from(entry.len);
        match runs.last_mut() {
            Some((of, before)) if Arc::ptr_eq(of, shard) && (before.end..before.end + GAP).contains(&range.start) => {
                before.end = range.end;
            }
            _ => runs.push((shard, range)),
        }
    }
    runs
}

/// Bytes per request: of a larger one, Linux silently reads no more than the disk's read-ahead or largest request size.
#[cfg(target_os = "linux")]
const PIECE: u64 = 128 << 10;

#[cfg(target_os = "linux")]
fn ask(path: &Path, range: Range<u64>) {
    use rustix::fs::{Advice, fadvise};
    let Ok(file) = std::fs::File::open(path) else { return };
    for start in range.clone().step_by(PIECE as usize) {
        let length = std::num::NonZeroU64::new(PIECE.min(range.end - start));
        // This is only advice: a failure can be ignored.
        let _ = fadvise(&file, start, length, Advice::WillNeed);
    }
}

#[cfg(not(target_os = "linux"))]
fn ask(_: &Path, _: Range<u64>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_are_read_in_one_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        let mut archive = tar::Builder::new(std::fs::File::create(&path).unwrap());
        for number in 0..6 {
            for (extension, content) in [("jpg", vec![7; 100_000]), ("cls", vec![b'0' + number % 2])] {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                archive.append_data(&mut header, format!("{number}.{extension}"), content.as_slice()).unwrap();
            }
        }
        archive.into_inner().unwrap();
        let shard = Arc::new(Shard::open(&path).unwrap());
        let at = |number: u32| Location::Entry { shard: shard.clone(), number };
        let file = Location::File("0.jpg".into());
        let images = [at(1), at(2), file, at(3), at(5), at(4), at(99)];
        let found: Vec<_> = runs(images.iter()).into_iter().map(|(_, range)| range).collect();
        let [first, third, fourth, fifth] = [1, 3, 4, 5].map(|number| &shard.entries()[number]);
        assert_eq!(
            found,
            [
                first.offset..third.offset + 100_000,
                fifth.offset..fifth.offset + 100_000,
                fourth.offset..fourth.offset + 100_000
            ]
        );
        read_ahead(images.iter());
        // A missing file is no error.
        std::fs::remove_file(&path).unwrap();
        read_ahead(images.iter());
    }

    /// The range is larger than Linux reads for one request. A thread's disk reads are counted when they are requested.
    #[cfg(target_os = "linux")]
    #[test]
    fn long_runs_are_read_whole() {
        use std::io::{Read, Write};
        const LEN: u64 = 40 << 20;
        let fetched = || -> Option<u64> {
            let text = std::fs::read_to_string("/proc/thread-self/io").ok()?;
            text.lines().find_map(|line| line.strip_prefix("read_bytes: "))?.parse().ok()
        };
        // Beside the executable, which is on a disk; the folder of temporary files may be in memory.
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
        file.write_all(&vec![1; LEN as usize]).unwrap();
        file.as_file().sync_all().unwrap();
        // The number of bytes that `act` fetches of the file, none of which is in memory before.
        let of = |act: &dyn Fn()| {
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            let before = fetched()?;
            act();
            fetched().map(|after| after - before)
        };
        let one_byte = of(&|| assert_eq!(file.reopen().unwrap().read(&mut [0]).unwrap(), 1));
        if one_byte.is_none_or(|bytes| bytes == 0) {
            eprintln!("SKIPPED: this system does not report disk reads");
            return;
        }
        let asked = of(&|| ask(file.path(), 0..LEN)).unwrap();
        assert!(asked >= LEN, "{asked} of {LEN} bytes");
    }
}
