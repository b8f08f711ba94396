//! Entry points for fuzzing, compiled only with `cfg(fuzzing)`.

use std::io::Cursor;
use std::path::Path;

use crate::sources::shards::{index, scan};

/// Opens a Parquet file and reads its rows.
pub fn parquet(bytes: &[u8]) {
    crate::sources::parquet::read_all(bytes);
}

/// Reads a MAT-file.
pub fn mat(bytes: &[u8]) {
    crate::prepare::read_mat(bytes);
}

/// Parses the index of a 1 MiB shard, formats the result and checks that parsing it again gives the same entries.
pub fn index(bytes: &[u8]) {
    const SHARD: u64 = 1 << 20;
    if let Ok(entries) = index::parse(&String::from_utf8_lossy(bytes), SHARD) {
        assert!(entries.iter().all(|entry| entry.offset + u64::from(entry.len) <= SHARD));
        let again = index::parse(&index::format(&entries, SHARD), SHARD);
        assert_eq!(again.as_ref(), Ok(&entries));
    }
}

/// Scans a tar archive for images.
pub fn shard(bytes: &[u8]) {
    if let Ok(entries) = scan::entries_in(Path::new("x.tar"), Cursor::new(bytes), bytes.len() as u64) {
        assert!(entries.iter().all(|entry| entry.offset + u64::from(entry.len) <= bytes.len() as u64));
    }
}
