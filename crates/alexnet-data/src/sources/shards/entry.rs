//! Where an image is in a shard.

/// An image in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First byte of the image in the shard.
    pub offset: u64,
    /// Its bytes.
    pub len: u32,
    /// Its class.
    pub label: u32,
    /// Its name in the shard.
    pub name: Box<str>,
}
