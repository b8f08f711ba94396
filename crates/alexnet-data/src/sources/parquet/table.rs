//! A Parquet file with a column of images and a column of labels, in the layout of the `datasets` library.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::Length;
use parquet::file::serialized_reader::SerializedPageReader;

use super::features::Features;
use super::source::{Fault, Opened, Source, caught};
use crate::Error;
use crate::sources::shards::index::MAX_LABEL;

/// A Parquet file of images. Opening it reads only the labels; images are read on demand.
pub struct Table {
    path: PathBuf,
    source: Source,
    len: u64,
    metadata: ParquetMetaData,
    /// Index of the leaf column with the images' bytes.
    images: usize,
    /// The first row of each row group, followed by the number of rows.
    groups: Vec<u32>,
}

/// The labels and class names of a table.
#[derive(Debug)]
pub(crate) struct Description {
    /// One per row.
    pub(super) labels: Vec<u32>,
    /// The class names, if the file has them.
    pub(super) names: Option<Vec<String>>,
}

impl Table {
    /// Opens a file and reads its labels.
    pub(crate) fn open(path: &Path) -> Result<(Self, Description), Error> {
        Self::read(path, Source::Path(path.to_owned()))
    }

    pub(super) fn read(path: &Path, source: Source) -> Result<(Self, Description), Error> {
        let read = || -> Result<_, Fault> {
            let opened = source.open()?;
            let len = opened.len();
            let metadata = ParquetMetaDataReader::new().parse_and_finish(&opened)?;
            let features = Features::of(&metadata)?;
            let mut groups = vec![0u32];
            for group in metadata.row_groups() {
                let rows = u32::try_from(group.num_rows()).ok();
                let end = rows.and_then(|rows| groups.last()?.checked_add(rows));
                // Each row has an image, so there cannot be more rows than bytes.
                let end = end.filter(|&end| u64::from(end) <= len);
                groups.push(end.ok_or(format!("it has at least {} rows in {len} bytes", group.num_rows()))?);
            }
            let images = features.images;
            let table = Self { path: path.to_owned(), source, len, metadata, images, groups };
            let labels = table.labels(&Arc::new(opened), features.labels)?;
            Ok((table, Description { labels, names: features.names }))
        };
        caught(read).map_err(|fault| match fault {
            Fault::Io(source) => Error::Read { path: path.to_owned(), source },
            Fault::Damage(reason) => Error::Malformed { path: path.to_owned(), reason },
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of rows.
    pub fn rows(&self) -> u32 {
        self.groups.last().copied().unwrap_or(0)
    }

    /// Bytes of the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of the file per row.
    pub(crate) fn bytes_per_row(&self) -> u64 {
        self.len / u64::from(self.rows().max(1))
    }

    /// A path for a row: the file's path followed by a name for the row.
    pub(crate) fn row_path(&self, row: u32) -> PathBuf {
        let name = self.path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        self.path.join(format!("{}-{row}", name.split('.').next().unwrap_or_default()))
    }

    fn column(&self, source: &Arc<Opened>, group: usize, leaf: usize) -> Result<ColumnReader, ParquetError> {
        let group = self.metadata.row_group(group);
        let pages = SerializedPageReader::new(source.clone(), group.column(leaf), group.num_rows() as usize, None)?;
        Ok(get_column_reader(group.schema_descr().column(leaf), Box::new(pages)))
    }

    fn labels(&self, source: &Arc<Opened>, leaf: usize) -> Result<Vec<u32>, Fault> {
        let mut all = Vec::with_capacity((self.rows() as usize).min(1 << 24));
        for group in 0..self.metadata.num_row_groups() {
            let rows = (self.groups[group + 1] - self.groups[group]) as usize;
            let before = all.len();
            match self.column(source, group, leaf)? {
                ColumnReader::Int64ColumnReader(column) => read_labels(column, rows, &mut all)?,
                ColumnReader::Int32ColumnReader(column) => read_labels(column, rows, &mut all)?,
                _ => return Err("its labels are not integers".into()),
            }
            if all.len() - before != rows {
                return Err(format!("row group {group} has {rows} rows, but {} labels", all.len() - before).into());
            }
        }
        Ok(all)
    }
}

fn read_labels<T>(mut column: ColumnReaderImpl<T>, rows: usize, all: &mut Vec<u32>) -> Result<(), Fault>
where
    T: parquet::data_type::DataType<T: Copy + Into<i64>>,
{
    let mut left = rows;
    while left > 0 {
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let (records, count, _) = column.read_records(left.min(1 << 16), Some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        if count != records {
            return Err(format!("{} of its rows have no label", records - count).into());
        }
        for value in values {
            let value: i64 = value.into();
            let label = u32::try_from(value).ok().filter(|&label| label <= MAX_LABEL);
            all.push(label.ok_or_else(|| format!("a label is {value}; the labels of a test set are not public"))?);
        }
        left -= records;
    }
    Ok(())
}

/// Reads the images of a table. Reading the next row is cheap; to reach a later row of the same row group, only the page
/// headers in between are read.
pub(crate) struct RowReader {
    table: Arc<Table>,
    /// The file, opened when first needed, so that only files being read are open.
    source: Option<Arc<Opened>>,
    /// The open row group, its next row, and its column reader.
    open: Option<(usize, u32, ColumnReaderImpl<ByteArrayType>)>,
}

impl RowReader {
    pub(crate) fn new(table: Arc<Table>) -> Self {
        Self { table, source: None, open: None }
    }

    #[cfg(feature = "prepare")]
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Replaces `bytes` with the image in `row`.
    pub(crate) fn read_into(&mut self, row: u32, bytes: &mut Vec<u8>) -> Result<(), Error> {
        bytes.clear();
        let path = self.table.row_path(row);
        match caught(|| self.read(row, bytes)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::EmptyFile.in_file(&path)),
            Err(fault) => {
                self.open = None;
                Err(match fault {
                    Fault::Io(source) => Error::Read { path, source },
                    // Other rows may be intact.
                    Fault::Damage(reason) => Error::Corrupt { format: "Parquet", reason }.in_file(&path),
                })
            }
        }
    }

    /// Returns false if the row has no image.
    fn read(&mut self, row: u32, bytes: &mut Vec<u8>) -> Result<bool, Fault> {
        let table = &self.table;
        let group = table.groups.partition_point(|&first| first <= row).saturating_sub(1);
        if row >= table.rows() {
            return Err(format!("it has {} rows", table.rows()).into());
        }
        let source = match &self.source {
            Some(source) => source,
            None => self.source.insert(Arc::new(table.source.open()?)),
        };
        let within = row - table.groups[group];
        let open = self.open.take().filter(|(open, next, _)| *open == group && *next <= within);
        let (next, mut column) = match open {
            Some((_, next, column)) => (next, column),
            None => match table.column(source, group, table.images)? {
                ColumnReader::ByteArrayColumnReader(column) => (0, column),
                _ => return Err("its images are not bytes".into()),
            },
        };
        let (skip, mut values, mut levels) = ((within - next) as usize, Vec::<ByteArray>::new(), Vec::new());
        let skipped = column.skip_records(skip)?;
        let (records, ..) = column.read_records(1, Some(&mut levels), None, &mut values)?;
        if skipped != skip || records != 1 {
            return Err(format!("row group {group} ends before its row {within}").into());
        }
        self.open = Some((group, within + 1, column));
        let Some(value) = values.first() else { return Ok(false) };
        bytes.extend_from_slice(value.data());
        Ok(!bytes.is_empty())
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table {}, {} rows", self.path.display(), self.rows())
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Table {}
