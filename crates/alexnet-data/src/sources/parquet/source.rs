//! The source of a Parquet file's bytes, and its errors.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::decode::panic_message;

/// The location of a table's bytes.
pub(super) enum Source {
    Path(PathBuf),
    #[cfg(fuzzing)]
    Memory(Bytes),
}

impl Source {
    pub(super) fn open(&self) -> io::Result<Opened> {
        match self {
            Self::Path(path) => {
                let file = File::open(path)?;
                let len = file.metadata()?.len();
                Ok(Opened::File(Arc::new(file), len))
            }
            #[cfg(fuzzing)]
            Self::Memory(bytes) => Ok(Opened::Memory(bytes.clone())),
        }
    }
}

/// An open source, read by position, so that several readers can share it.
#[derive(Clone)]
pub(super) enum Opened {
    /// A file and its size.
    File(Arc<File>, u64),
    #[cfg(fuzzing)]
    Memory(Bytes),
}

impl Length for Opened {
    fn len(&self) -> u64 {
        match self {
            Self::File(_, len) => *len,
            #[cfg(fuzzing)]
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }
}

impl Opened {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Self::File(file, _) => std::os::unix::fs::FileExt::read_at(&**file, buffer, at),
            #[cfg(windows)]
            Self::File(file, _) => std::os::windows::fs::FileExt::seek_read(&**file, buffer, at),
            #[cfg(fuzzing)]
            Self::Memory(bytes) => bytes.get(at as usize..).unwrap_or_default().read(buffer),
        }
    }
}

impl ChunkReader for Opened {
    type T = BufReader<Rest>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(Rest { source: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // Checked before memory is allocated.
        if start.saturating_add(length as u64) > self.len() {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} lie beyond the file's {}", self.len())));
        }
        let mut bytes = vec![0; length];
        Rest { source: self.clone(), at: start }.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// The bytes of a source from an offset on.
pub(super) struct Rest {
    source: Opened,
    at: u64,
}

impl Read for Rest {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The kind of an error: I/O, or damage of the file.
pub(super) enum Fault {
    Io(io::Error),
    Damage(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::Damage(reason)
    }
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Self::Damage(reason.to_owned())
    }
}

impl From<ParquetError> for Fault {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(error) => match error.downcast::<io::Error>() {
                // An unexpected end is damage of the file.
                Ok(error) if error.kind() != io::ErrorKind::UnexpectedEof => Self::Io(*error),
                Ok(error) => Self::Damage(error.to_string()),
                Err(error) => Self::Damage(error.to_string()),
            },
            error => Self::Damage(error.to_string()),
        }
    }
}

/// Reports a panic of the library as damage: its checks of damaged files are not complete.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(format!("the reader panicked: {}", panic_message(&*panic)).into()))
}
