//! The location of an image in a shard.

/// An image in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Offset of the image in the shard, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
    /// Label.
    pub label: u32,
    /// Name in the shard.
    pub name: Box<str>,
}
