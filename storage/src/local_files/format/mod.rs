//! The formats of data files: writers that take record batches, readers that
//! give them back.

mod parquet;
mod parse;
mod text;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use schemars::JsonSchema;
use serde::Deserialize;

use super::place::fault;
use super::shape::Shape;
use super::trouble::Trouble;

/// The most rows that a reader hands over at once.
const READ_ROWS: usize = 8192;
/// About how many bytes a reader hands over at once.
const READ_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Format {
    #[default]
    Parquet,
    Csv,
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Compression {
    #[default]
    Zstd,
    Snappy,
    None,
}

impl Format {
    /// Its name in the parameters, which is also what its files end in.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    /// The format of this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Parquet, Self::Csv, Self::Jsonl].into_iter().find(|format| format.name() == name)
    }
}

/// A data file that is being written.
pub(super) struct Writer {
    inner: Inner,
    path: PathBuf,
    rows: u64,
}

enum Inner {
    Parquet(Box<parquet::Writer>),
    Text(text::Writer),
}

impl Writer {
    /// Starts a file that has been created.
    pub(super) fn new(
        file: File,
        path: PathBuf,
        shape: &Shape,
        compression: Compression,
    ) -> Result<Self, Trouble> {
        let inner = match shape.format {
            Format::Parquet => {
                let writer = parquet::writer(file, shape, compression);
                Inner::Parquet(Box::new(writer.map_err(|error| Trouble::parquet(&path, error))?))
            }
            Format::Csv | Format::Jsonl => Inner::Text(text::Writer::new(file, shape)),
        };
        Ok(Self { inner, path, rows: 0 })
    }

    /// Adds rows, which have all columns.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), Trouble> {
        self.rows += u64::try_from(rows.num_rows()).unwrap_or(u64::MAX);
        let Self { inner, path, .. } = self;
        fault::step().map_err(|error| Trouble::Disk(path.clone(), error))?;
        match inner {
            Inner::Parquet(writer) => writer.write(rows).map_err(|error| Trouble::parquet(path, error)),
            Inner::Text(writer) => writer.write(rows).map_err(|error| Trouble::Disk(path.clone(), error)),
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// About how large the file will be if it ends now.
    pub(super) fn size(&self) -> u64 {
        let size = match &self.inner {
            Inner::Parquet(writer) => writer.bytes_written() + writer.in_progress_size(),
            Inner::Text(writer) => return writer.size(),
        };
        u64::try_from(size).unwrap_or(u64::MAX)
    }

    /// How much memory waits for the disk.
    pub(super) fn memory(&self) -> usize {
        match &self.inner {
            Inner::Parquet(writer) => writer.memory_size(),
            Inner::Text(writer) => writer.memory(),
        }
    }

    /// Writes what waits in memory.
    pub(super) fn flush(&mut self) -> Result<(), Trouble> {
        let Self { inner, path, .. } = self;
        match inner {
            Inner::Parquet(writer) => writer.flush().map_err(|error| Trouble::parquet(path, error)),
            Inner::Text(writer) => writer.flush().map_err(|error| Trouble::Disk(path.clone(), error)),
        }
    }

    /// Ends the file and puts it on the disk; answers its bytes.
    pub(super) fn finish(self) -> Result<u64, Trouble> {
        let disk = |error: io::Error| Trouble::Disk(self.path.clone(), error);
        let file = match self.inner {
            Inner::Parquet(writer) => {
                writer.into_inner().map_err(|error| Trouble::parquet(&self.path, error))?
            }
            Inner::Text(writer) => writer.into_inner().map_err(disk)?,
        };
        fault::step().and_then(|()| file.sync_all()).map_err(disk)?;
        Ok(file.metadata().map_err(disk)?.len())
    }
}

/// Reads a data file back: some of its columns, in the order of the table.
pub(super) fn read(
    path: &Path,
    shape: &Shape,
    columns: &[usize],
) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, Trouble>>>, Trouble> {
    match shape.format {
        Format::Parquet => parquet::read(path, shape, columns),
        Format::Csv | Format::Jsonl => parse::read(path, shape, columns),
    }
}
