//! Labeled images and their locations: the only format-dependent part of loading, statistics and preparation.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::decode::{decode_into, ppm};
#[cfg(feature = "parquet")]
use crate::sources::parquet::table::{RowReader, Table};
use crate::sources::shards::shard::Shard;
use crate::{DecodeLimits, Error, RgbImage8, RgbRef8};

/// An image and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The location of the image.
    pub location: Location,
    /// Index of the class in the data set's list of classes.
    pub label: u32,
}

/// The location of an image's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A file.
    File(PathBuf),
    /// An image in a shard.
    Entry {
        /// The shard.
        shard: Arc<Shard>,
        /// Index of the image in the shard.
        number: u32,
    },
    /// An image in a row of a Parquet file.
    #[cfg(feature = "parquet")]
    Row {
        /// The file.
        table: Arc<Table>,
        /// Index of the row.
        row: u32,
    },
    /// In memory: an encoded image, such as one that came over a network.
    Memory {
        /// Names the image in messages.
        name: PathBuf,
        /// The encoded image.
        bytes: Arc<[u8]>,
    },
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl Location {
    /// The file's path; for an image in a shard or table, the path of that file followed by the image's name in it.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Entry { shard, number } => match shard.entries().get(*number as usize) {
                Some(entry) => shard.path().join(&*entry.name),
                None => shard.path().to_owned(),
            },
            #[cfg(feature = "parquet")]
            Self::Row { table, row } => table.row_path(*row),
            Self::Memory { name, .. } => name.clone(),
        }
    }

    /// The location for a path in the form of [`path`](Self::path): a file, or an image in a shard or Parquet file.
    ///
    /// # Errors
    /// Those of opening the shard or Parquet file, and [`Error::Malformed`] if it has no such image. For a plain file, its
    /// existence is not checked.
    pub fn find(path: &Path) -> Result<Self, Error> {
        let archive = path.ancestors().skip(1).find(|ancestor| ancestor.is_file());
        let Some((archive, name)) = archive.and_then(|archive| Some((archive, path.strip_prefix(archive).ok()?)))
        else {
            return Ok(path.into());
        };
        let missing = || {
            let reason = format!("it has no image `{}`", name.display());
            Error::Malformed { path: archive.to_owned(), reason }
        };
        match archive.extension().and_then(|extension| extension.to_str()) {
            Some("tar") => {
                let shard = Arc::new(Shard::open(archive)?);
                let number = (0..).zip(shard.entries()).find(|(_, entry)| Path::new(&*entry.name) == name);
                let number = number.map(|(number, _)| number).ok_or_else(missing)?;
                Ok(Self::Entry { shard, number })
            }
            #[cfg(feature = "parquet")]
            Some("parquet") => {
                let table = Arc::new(Table::open(archive)?.0);
                let row = (0..table.rows()).find(|&row| table.row_path(row) == path).ok_or_else(missing)?;
                Ok(Self::Row { table, row })
            }
            _ => Ok(path.into()),
        }
    }

    /// Number of bytes, if it can be determined; for a row, the file's average per row.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::File(path) => std::fs::metadata(path).ok().map(|metadata| metadata.len()),
            Self::Entry { shard, number } => shard.entries().get(*number as usize).map(|entry| u64::from(entry.len)),
            #[cfg(feature = "parquet")]
            Self::Row { table, .. } => Some(table.bytes_per_row()),
            Self::Memory { bytes, .. } => Some(bytes.len() as u64),
        }
    }

    /// A number that distinguishes this image from another one of the same name, without reading it.
    pub(crate) fn extent(&self) -> u64 {
        match self {
            #[cfg(feature = "parquet")]
            Self::Row { table, .. } => table.len(),
            _ => self.len().unwrap_or(u64::MAX),
        }
    }

    /// A reader of the image's bytes and their number, if they are a file or a contiguous part of one.
    ///
    /// A shard is opened for each read, whose cost is negligible beside decoding, so that any number of shards needs few
    /// open files.
    fn open(&self) -> Result<Option<(Take<File>, u64)>, Error> {
        let opened = match self {
            #[cfg(feature = "parquet")]
            Self::Row { .. } => return Ok(None),
            Self::Memory { .. } => return Ok(None),
            Self::File(path) => File::open(path).and_then(|file| {
                let len = file.metadata()?.len();
                // A pipe, or a file that is still being written, may have more.
                Ok((file.take(u64::MAX), len))
            }),
            Self::Entry { shard, number } => {
                let Some(entry) = shard.entries().get(*number as usize) else {
                    let rule = format!("{} has {} images", shard.path().display(), shard.entries().len());
                    return Err(Error::setting("number of an image in a shard", number, rule));
                };
                File::open(shard.path()).and_then(|mut file| {
                    file.seek(SeekFrom::Start(entry.offset))?;
                    Ok((file.take(entry.len.into()), entry.len.into()))
                })
            }
        };
        opened.map(Some).map_err(|source| Error::Read { path: self.path(), source })
    }

    /// Replaces `bytes` with the image's bytes.
    #[cfg(feature = "prepare")]
    pub(crate) fn read_into(&self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let Some((mut file, len)) = self.open()? else { return self.read_row(bytes) };
        bytes.clear();
        self.read_rest(&mut file, len, bytes)
    }

    /// Replaces `bytes` with the image's bytes, if they are in a row or in memory.
    fn read_row(&self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            #[cfg(feature = "parquet")]
            Self::Row { table, row } => RowReader::new(table.clone()).read_into(*row, bytes),
            Self::Memory { bytes: own, .. } => {
                bytes.clear();
                bytes.extend_from_slice(own);
                Ok(())
            }
            // Handled by `open`.
            _ => {
                bytes.clear();
                Ok(())
            }
        }
    }

    fn read_rest(&self, file: &mut Take<File>, len: u64, bytes: &mut Vec<u8>) -> Result<(), Error> {
        bytes.reserve((len as usize).saturating_sub(bytes.len()));
        let read = file.read_to_end(bytes).and_then(|_| match self {
            // The shard was truncated.
            Self::Entry { .. } if (bytes.len() as u64) < len => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        });
        read.map_err(|source| Error::Read { path: self.path(), source })
    }

    /// The bytes of a memory-mapped image; only images that need no decoding benefit from mapping.
    fn mapped(&self) -> Option<&[u8]> {
        let Self::Entry { shard, number } = self else { return None };
        let raw = shard.entries().get(*number as usize)?.name.ends_with(ppm::EXTENSION);
        if raw { shard.mapped(*number).filter(|bytes| ppm::has_header(bytes)) } else { None }
    }

    /// The image's pixels: memory-mapped if possible, else read and decoded into `image`; `bytes` is working memory.
    pub(crate) fn image<'a>(&'a self, bytes: &mut Vec<u8>, image: &'a mut RgbImage8) -> Result<RgbRef8<'a>, Error> {
        if let Some(mapped) = self.mapped() {
            return ppm::view(mapped, &DecodeLimits::default()).map_err(|error| error.in_file(&self.path()));
        }
        self.decode_into(bytes, image)?;
        Ok((&*image).into())
    }

    fn decode_into(&self, bytes: &mut Vec<u8>, image: &mut RgbImage8) -> Result<(), Error> {
        let limits = DecodeLimits::default();
        let Some((mut file, len)) = self.open()? else {
            self.read_row(bytes)?;
            return decode_into(bytes, &limits, image).map_err(|error| error.in_file(&self.path()));
        };
        bytes.clear();
        let start = file.by_ref().take(ppm::HEADER as u64).read_to_end(bytes);
        start.map_err(|source| Error::Read { path: self.path(), source })?;
        let decoded = if ppm::has_header(bytes) {
            // Nothing to decode: the pixels are not copied through `bytes`.
            let read = ppm::read_into(bytes, &mut file, &limits, image).map_err(|error| error.in_file(&self.path()))?;
            read.map_err(|source| Error::Read { path: self.path(), source })?;
            Ok(())
        } else {
            self.read_rest(&mut file, len, bytes)?;
            decode_into(bytes, &limits, image)
        };
        decoded.map_err(|error| error.in_file(&self.path()))
    }
}
