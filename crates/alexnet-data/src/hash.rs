//! A hash that is stable across machines and versions of this crate, unlike the standard library's.

use std::path::{Component, Path};

/// FNV-1a with a final mixing step, so that short inputs affect all 64 bits. Detects changes, not attacks.
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }

    pub(crate) fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// Adds the part of `path` below `root`, with the same separator on every platform.
    pub(crate) fn path(mut self, path: &Path, root: &Path) -> Self {
        for component in path.strip_prefix(root).unwrap_or(path).components() {
            if let Component::Normal(name) = component {
                self = self.bytes(name.as_encoded_bytes()).bytes(b"/");
            }
        }
        self
    }

    /// The finalizer of MurmurHash3.
    pub(crate) fn finish(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ hash >> 33
    }
}
