//! Parquet: the types that every reader knows, and one that not all do: `json`
//! is text that is annotated.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter, ProjectionMask};
use parquet::basic::{Compression as Codec, LogicalType, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::{ColumnPath, SchemaDescriptor, Type};

use super::super::shape::Shape;
use super::super::trouble::Trouble;
use super::{Compression, READ_BYTES, READ_ROWS};
use crate::DataType;

/// Rows of a row group: readers work on row groups in parallel, and this is
/// DuckDB's own size.
const ROW_GROUP_ROWS: usize = 122_880;
/// Bytes of a row group, which wait in memory while it is written.
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of distinct values at which a column gives up its dictionary: one that
/// holds nearly every value costs time and saves nothing.
const DICTIONARY_BYTES: usize = 256 * 1024;
/// Measured on ten mixed fields: level 3 takes half as long again and saves 3 %.
const ZSTD_LEVEL: i32 = 1;
/// How files name their writer, in the form that readers take apart.
const CREATED_BY: &str = concat!("ow-host version ", env!("CARGO_PKG_VERSION"));

pub(super) type Writer = ArrowWriter<File>;

/// Starts a file.
pub(super) fn writer(file: File, shape: &Shape, compression: Compression) -> Result<Writer, ParquetError> {
    let codec = match compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?),
        Compression::Snappy => Codec::SNAPPY,
        Compression::None => Codec::UNCOMPRESSED,
    };
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(codec)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for column in shape.columns.iter().filter(|column| !repeats(column.data_type)) {
        let path = ColumnPath::new(vec![column.name.clone()]);
        properties = properties.set_column_dictionary_enabled(path, false);
    }
    let properties = properties.build();
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true)
        .with_parquet_schema(annotated(shape)?);
    ArrowWriter::try_new_with_options(file, Arc::clone(&shape.arrow), options)
}

/// Whether values of a type repeat so often that a dictionary pays. Numbers and
/// times mostly do not, and making one was measured to take most of the time.
fn repeats(data_type: DataType) -> bool {
    matches!(
        data_type,
        DataType::Text | DataType::Json | DataType::Bytes | DataType::Date | DataType::Boolean
    )
}

/// The schema of the file, in which JSON is known to be JSON.
fn annotated(shape: &Shape) -> Result<SchemaDescriptor, ParquetError> {
    let plain = ArrowSchemaConverter::new().convert(&shape.arrow)?;
    let fields = plain.root_schema().get_fields().iter().zip(&shape.columns);
    let fields = fields.map(|(field, column)| match column.data_type {
        DataType::Json => {
            let repetition = if column.key.is_some() { Repetition::REQUIRED } else { Repetition::OPTIONAL };
            Type::primitive_type_builder(&column.name, PhysicalType::BYTE_ARRAY)
                .with_repetition(repetition)
                .with_logical_type(Some(LogicalType::Json))
                .build()
                .map(Arc::new)
        }
        _ => Ok(Arc::clone(field)),
    });
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let root = Type::group_type_builder(plain.root_schema().name()).with_fields(fields).build()?;
    Ok(SchemaDescriptor::new(Arc::new(root)))
}

/// Reads columns of a file back.
pub(super) fn read(
    path: &Path,
    shape: &Shape,
    columns: &[usize],
) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, Trouble>>>, Trouble> {
    let file = File::open(path).map_err(|error| Trouble::Disk(path.to_owned(), error))?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| Trouble::parquet(path, error))?;
    let names = |schema: &Schema| -> Vec<_> {
        schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
    };
    if names(builder.schema()) != names(&shape.arrow) {
        return Err(Trouble::damaged(path, "its columns are not those that ow-host wrote"));
    }
    let rows = batch_rows(&builder);
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
    let reader = builder
        .with_projection(mask)
        .with_batch_size(rows)
        .build()
        .map_err(|error| Trouble::parquet(path, error))?;
    let path = path.to_owned();
    let expected = Arc::new(shape.arrow.project(columns).map_err(Trouble::arrow)?);
    Ok(Box::new(reader.map(move |batch| {
        let batch = batch.map_err(|error| Trouble::damaged(&path, error))?;
        batch.with_schema(Arc::clone(&expected)).map_err(|error| Trouble::damaged(&path, error))
    })))
}

/// How many rows to read at once, so that large values take no more memory than
/// small ones.
fn batch_rows(builder: &ParquetRecordBatchReaderBuilder<File>) -> usize {
    let groups = builder.metadata().row_groups().iter();
    let largest = groups.map(|group| group.total_byte_size() / group.num_rows().max(1)).max();
    let row = usize::try_from(largest.unwrap_or_default()).unwrap_or(usize::MAX).max(1);
    (READ_BYTES / row).clamp(1, READ_ROWS)
}
