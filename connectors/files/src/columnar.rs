//! Parquet files: a row group at a time, a page a column in memory.

use std::fs;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ow_connector::prelude::*;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels, parquet_to_arrow_schema};
use parquet::basic::Compression;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use crate::arrow::{kind, reader};
use crate::catalog::{File, Packing};
use crate::infer::Kind;
use crate::plan::{Plan, Sink};

/// Rows decoded at once.
const BATCH: usize = 8192;

/// Columns and their kinds, as the file says them.
pub(crate) fn columns(file: &File) -> Result<Vec<(String, Kind)>> {
    let opened = Opened::open(file)?;
    let fields = opened.schema()?;
    let column = |field: &Arc<arrow_schema::Field>| {
        let kind = kind(field.data_type()).ok_or_else(|| opened.unsupported(field))?;
        Ok((field.name().clone(), kind))
    };
    fields.iter().map(column).collect()
}

/// Hands all rows of the file to the sink.
pub(crate) fn read(file: &File, plan: &Plan, sink: &mut Sink<'_>) -> Result<()> {
    let opened = Opened::open(file)?;
    let levels = opened.levels(opened.chosen(plan)?)?;
    let mut row = 0;
    for group in 0..opened.metadata.num_row_groups() {
        let group = Group { opened: &opened, group };
        let batches = ParquetRecordBatchReader::try_new_with_row_groups(&levels, &group, BATCH, None);
        for batch in batches.map_err(|error| opened.broken(&error))? {
            let batch = batch
                .map_err(|error| Error::invalid_data(format!("{}: after row {row}: {error}", file.name)))?;
            let mut readers = Vec::with_capacity(plan.columns.len());
            for column in &plan.columns {
                let array = batch.column_by_name(&column.from);
                readers.push(array.map(|array| reader(array.as_ref())));
            }
            let mut values = Vec::with_capacity(plan.columns.len());
            for index in 0..batch.num_rows() {
                row += 1;
                values.clear();
                for (column, reader) in plan.columns.iter().zip(&readers) {
                    let value = reader.as_ref().map_or(crate::value::Value::Null, |reader| reader(index));
                    values.push(plan.value(column, value, || format!("{}: row {row}", file.name))?);
                }
                sink.row(&values)?;
            }
        }
    }
    Ok(())
}

/// A file with what stands at its end.
struct Opened<'f> {
    file: &'f File,
    source: Arc<Source>,
    metadata: Arc<ParquetMetaData>,
}

impl<'f> Opened<'f> {
    fn open(file: &'f File) -> Result<Self> {
        if file.packing != Packing::None {
            let message = format!("{}: a Parquet file is compressed inside; unpack it", file.name);
            return Err(Error::invalid_data(message));
        }
        let handle = fs::File::open(&file.path).context(&file.name)?;
        let source = Source { file: Arc::new(Mutex::new(handle)), length: file.size };
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&source).map_err(|error| {
            Error::invalid_data(format!("{}: it is no Parquet file, or is cut off: {error}", file.name))
        })?;
        let opened = Self { file, source: Arc::new(source), metadata: Arc::new(metadata) };
        opened.check_codecs()?;
        Ok(opened)
    }

    /// Refuses what no part of this connector can unpack.
    fn check_codecs(&self) -> Result<()> {
        let chunks = self.metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
        for chunk in chunks {
            if matches!(chunk.compression(), Compression::LZO) {
                return Err(Error::invalid_data(format!(
                    "{}: column `{}` is compressed with LZO, which cannot be read; write the file with Zstandard or Snappy",
                    self.file.name,
                    chunk.column_path().string()
                )));
            }
        }
        Ok(())
    }

    /// The columns, a root of the schema each.
    fn schema(&self) -> Result<arrow_schema::Fields> {
        let schema = parquet_to_arrow_schema(self.metadata.file_metadata().schema_descr(), None);
        schema.map(|schema| schema.fields).map_err(|error| self.broken(&error))
    }

    fn levels(&self, mask: ProjectionMask) -> Result<FieldLevels> {
        let schema = self.metadata.file_metadata().schema_descr();
        parquet_to_arrow_field_levels(schema, mask, None).map_err(|error| self.broken(&error))
    }

    /// The columns that the plan has.
    fn chosen(&self, plan: &Plan) -> Result<ProjectionMask> {
        let schema = self.metadata.file_metadata().schema_descr();
        let names: Vec<&str> = schema.root_schema().get_fields().iter().map(|field| field.name()).collect();
        let mut roots = Vec::new();
        for column in &plan.columns {
            match names.iter().position(|name| *name == column.from) {
                Some(root) => roots.push(root),
                None if plan.declared => {
                    return Err(plan.missing(self.file, &column.from, names.iter().copied()));
                }
                None => {}
            }
        }
        let is_known = |name: &&&str| plan.columns.iter().any(|column| column.from == **name);
        if let Some(name) = names.iter().find(|name| !is_known(name)).filter(|_| !plan.declared) {
            return Err(plan.unknown(name).context(&self.file.name));
        }
        for (root, field) in self.schema()?.iter().enumerate() {
            if roots.contains(&root) && kind(field.data_type()).is_none() {
                return Err(self.unsupported(field));
            }
        }
        Ok(ProjectionMask::roots(schema, roots))
    }

    fn unsupported(&self, field: &arrow_schema::Field) -> Error {
        Error::invalid_data(format!(
            "{}: column `{}` is of the type {}, which no column can hold; declare `Fields` without it",
            self.file.name,
            field.name(),
            field.data_type()
        ))
    }

    fn broken(&self, error: &ParquetError) -> Error {
        Error::invalid_data(format!("{}: {error}", self.file.name))
    }
}

/// One row group of a file.
struct Group<'o> {
    opened: &'o Opened<'o>,
    group: usize,
}

impl Group<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.opened.metadata.row_group(self.group)
    }
}

impl RowGroups for Group<'_> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.metadata().num_rows()).unwrap_or_default()
    }

    fn column_chunks(&self, column: usize) -> parquet::errors::Result<Box<dyn PageIterator>> {
        let chunk = self.metadata().column(column);
        let is_zstd = matches!(chunk.compression(), Compression::ZSTD(_));
        // The pages are handed out as they are, and unpacked here.
        let chunk = if is_zstd {
            chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?
        } else {
            chunk.clone()
        };
        let pages =
            SerializedPageReader::new(Arc::clone(&self.opened.source), &chunk, self.num_rows(), None)?;
        let pages: Box<dyn PageReader> = if is_zstd { Box::new(Unpacked(pages)) } else { Box::new(pages) };
        Ok(Box::new(Once(Some(pages))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata()))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.opened.metadata
    }
}

/// The pages of one column chunk.
struct Once(Option<Box<dyn PageReader>>);

impl Iterator for Once {
    type Item = parquet::errors::Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for Once {}

/// Unpacks pages that are compressed with Zstandard.
struct Unpacked(SerializedPageReader<Source>);

impl Unpacked {
    fn unpack(page: Page) -> parquet::errors::Result<Page> {
        let plain = |packed: &[u8]| {
            // A page without values may be empty.
            let unpacked = if packed.is_empty() { Ok(Vec::new()) } else { crate::zstd::unpack(packed) };
            unpacked.map_err(|error| ParquetError::General(format!("a page cannot be unpacked: {error}")))
        };
        Ok(match page {
            Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                statistics,
            } => {
                let buf = plain(&buf)?.into();
                Page::DataPage {
                    buf,
                    num_values,
                    encoding,
                    def_level_encoding,
                    rep_level_encoding,
                    statistics,
                }
            }
            Page::DictionaryPage { buf, num_values, encoding, is_sorted } => {
                Page::DictionaryPage { buf: plain(&buf)?.into(), num_values, encoding, is_sorted }
            }
            Page::DataPageV2 {
                buf,
                num_values,
                encoding,
                num_nulls,
                num_rows,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed,
                statistics,
            } => {
                let buf = if is_compressed {
                    // The levels stand before the values, as they are.
                    let levels = (def_levels_byte_len as usize).saturating_add(rep_levels_byte_len as usize);
                    let cut = || ParquetError::General("a page is shorter than its levels".to_owned());
                    let (levels, values) = buf.split_at_checked(levels).ok_or_else(cut)?;
                    Bytes::from([levels, plain(values)?.as_slice()].concat())
                } else {
                    buf
                };
                Page::DataPageV2 {
                    buf,
                    num_values,
                    encoding,
                    num_nulls,
                    num_rows,
                    def_levels_byte_len,
                    rep_levels_byte_len,
                    is_compressed: false,
                    statistics,
                }
            }
        })
    }
}

impl Iterator for Unpacked {
    type Item = parquet::errors::Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Unpacked {
    fn get_next_page(&mut self) -> parquet::errors::Result<Option<Page>> {
        self.0.get_next_page()?.map(Self::unpack).transpose()
    }

    fn peek_next_page(&mut self) -> parquet::errors::Result<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> parquet::errors::Result<()> {
        self.0.skip_next_page()
    }
}

/// A file that is read at several places: a guest cannot open it anew from its
/// handle.
struct Source {
    file: Arc<Mutex<fs::File>>,
    length: u64,
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Source {
    type T = BufReader<At>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::with_capacity(64 * 1024, At { file: Arc::clone(&self.file), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let mut bytes = Vec::new();
        let mut reader = At { file: Arc::clone(&self.file), position: start };
        reader.by_ref().take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("the file ends {} bytes early", length - bytes.len())));
        }
        Ok(bytes.into())
    }
}

/// Reads on from a place of its own.
struct At {
    file: Arc<Mutex<fs::File>>,
    position: u64,
}

impl Read for At {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.position))?;
        let read = file.read(out)?;
        self.position += read as u64;
        Ok(read)
    }
}
