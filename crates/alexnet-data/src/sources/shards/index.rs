//! The index of a shard: a text file beside it that lists the location of each image.
//!
//! The first line is `alexnet-index 1 BYTES COUNT`: the version, the size of the shard and the number of images. Then one
//! line per image, in stored order: offset, length, label and name, separated by tabs.

use std::fs;
use std::io;
use std::path::Path;

use super::entry::Entry;
use crate::Error;

pub(crate) const EXTENSION: &str = "index";
const MAGIC: &str = "alexnet-index 1 ";

/// Larger labels are treated as damage, because the number of classes, and thus the memory, follows from the largest label.
pub(crate) const MAX_LABEL: u32 = 1 << 20;

pub(super) fn read(index: &Path, shard: &Path) -> Result<Vec<Entry>, Error> {
    let text = fs::read_to_string(index).map_err(|source| Error::Read { path: index.to_owned(), source })?;
    let bytes = fs::metadata(shard).map_err(|source| Error::Read { path: shard.to_owned(), source })?.len();
    parse(&text, bytes).map_err(|reason| Error::Malformed { path: index.to_owned(), reason })
}

/// The entries listed in `text` for a shard of `bytes` bytes, or the reason why it is invalid.
pub(crate) fn parse(text: &str, bytes: u64) -> Result<Vec<Entry>, String> {
    // Lines end with a line feed only: a carriage return would be part of the name.
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let header = lines.next().and_then(|line| line.strip_prefix(MAGIC)).unwrap_or_default();
    let numbers: Vec<u64> = header.split_whitespace().map_while(|number| number.parse().ok()).collect();
    let &[announced, count] = numbers.as_slice() else {
        return Err(format!("the first line is not `{MAGIC}BYTES COUNT`"));
    };
    if announced != bytes {
        return Err(format!("it belongs to a shard of {announced} bytes, this one has {bytes}"));
    }
    let mut entries = Vec::new();
    for (number, line) in (2..).zip(lines) {
        let entry = parse_line(line).ok_or_else(|| format!("line {number} is not offset, length, label and name"))?;
        if entry.offset.saturating_add(u64::from(entry.len)) > bytes {
            return Err(format!(
                "line {number}: {} bytes at {} lie beyond the shard's {bytes}",
                entry.len, entry.offset
            ));
        }
        if entry.label > MAX_LABEL {
            return Err(format!("line {number}: the label is {}, at most {MAX_LABEL} is allowed", entry.label));
        }
        entries.push(entry);
    }
    if entries.len() as u64 != count {
        return Err(format!("it announces {count} images and lists {}", entries.len()));
    }
    Ok(entries)
}

fn parse_line(line: &str) -> Option<Entry> {
    let mut fields = line.splitn(4, '\t');
    let (offset, len, label) = (fields.next()?, fields.next()?, fields.next()?);
    let name = fields.next().filter(|name| !name.is_empty() && !name.contains(char::is_control))?;
    Some(Entry { offset: offset.parse().ok()?, len: len.parse().ok()?, label: label.parse().ok()?, name: name.into() })
}

/// Formats an index that [`parse`] reads.
#[cfg(feature = "prepare")]
pub(crate) fn format(entries: &[Entry], bytes: u64) -> String {
    let mut text = format!("{MAGIC}{bytes} {}\n", entries.len());
    for Entry { offset, len, label, name } in entries {
        text.push_str(&format!("{offset}\t{len}\t{label}\t{name}\n"));
    }
    text
}

/// Converts an I/O error of reading a shard; errors in the archive's contents are reported as damage.
pub(super) fn shard_error(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::Malformed { path: path.to_owned(), reason: "the archive ends in the middle of a file".into() }
        }
        io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            Error::Malformed { path: path.to_owned(), reason: error.to_string() }
        }
        _ => Error::Read { path: path.to_owned(), source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let entries = vec![
            Entry { offset: 512, len: 100, label: 3, name: "a b.jpg".into() },
            Entry { offset: 2048, len: 0, label: 0, name: "ü.png".into() },
        ];
        assert_eq!(parse(&format(&entries, 4096), 4096).unwrap(), entries);
        assert_eq!(parse(&format(&[], 1024), 1024).unwrap(), []);
    }

    #[test]
    fn damage_is_found() {
        let good = "alexnet-index 1 4096 1\n512\t100\t3\ta.jpg\n";
        assert!(parse(good, 4096).is_ok());
        let message = |text: &str| parse(text, 4096).unwrap_err();
        assert_eq!(message(""), "the first line is not `alexnet-index 1 BYTES COUNT`");
        assert_eq!(message("alexnet-index 2 4096 1"), "the first line is not `alexnet-index 1 BYTES COUNT`");
        assert_eq!(message("alexnet-index 1 5000 1"), "it belongs to a shard of 5000 bytes, this one has 4096");
        assert_eq!(message("alexnet-index 1 4096 2\n512\t100\t3\ta.jpg"), "it announces 2 images and lists 1");
        assert_eq!(message("alexnet-index 1 4096 1\n512\t100\ta.jpg"), "line 2 is not offset, length, label and name");
        let beyond = message(&good.replace("100", "4000"));
        assert_eq!(beyond, "line 2: 4000 bytes at 512 lie beyond the shard's 4096");
        assert!(message(&good.replace("512", &u64::MAX.to_string())).contains("lie beyond"));
        assert!(message(&good.replace("\t3\t", "\t4000000000\t")).contains("at most 1048576 is allowed"));
        assert!(message(&good.replace("\t3\t", "\t-1\t")).contains("line 2 is not"));
        assert!(message(&good.replace('\n', "\r\n")).contains("line 2 is not"));
        assert!(message(&good.replace("index 1 ", "index 10")).contains("the first line"));
    }
}
