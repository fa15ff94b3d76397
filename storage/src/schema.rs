//! The shape of a table: logical types, and the Arrow types that carry them.

use std::sync::Arc;

use arrow_schema as arrow;
use serde::{Deserialize, Serialize};

/// The logical type of a column, as in the WIT package's `data-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// True or false.
    Boolean,
    /// A signed integer of 64 bits.
    Int64,
    /// An IEEE 754 number of 64 bits.
    Float64,
    /// An exact decimal number: precision (1 to 38) and scale.
    Decimal(u8, u8),
    /// UTF-8 text.
    Text,
    /// Bytes.
    Bytes,
    /// Days since 1970-01-01.
    Date,
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// Any JSON value, as its text.
    Json,
}

impl DataType {
    /// The Arrow type whose arrays carry values of this type.
    #[must_use]
    pub fn arrow(self) -> arrow::DataType {
        match self {
            Self::Boolean => arrow::DataType::Boolean,
            Self::Int64 => arrow::DataType::Int64,
            Self::Float64 => arrow::DataType::Float64,
            Self::Decimal(precision, scale) => {
                arrow::DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(i8::MAX))
            }
            Self::Text | Self::Json => arrow::DataType::Utf8,
            Self::Bytes => arrow::DataType::Binary,
            Self::Date => arrow::DataType::Date32,
            Self::Timestamp => {
                arrow::DataType::Timestamp(arrow::TimeUnit::Microsecond, Some(Arc::from("UTC")))
            }
        }
    }
}

impl std::fmt::Display for DataType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Int64 => f.write_str("int64"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision}, {scale})"),
            Self::Text => f.write_str("text"),
            Self::Bytes => f.write_str("bytes"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Json => f.write_str("json"),
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub data_type: DataType,
    /// Whether a row may lack a value.
    pub nullable: bool,
    /// One sentence for the reader of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A stream's table. The bridge has checked it: names are in bounds and
/// distinct whatever their case, the primary key names fields that are not
/// nullable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// The stream's name.
    pub name: String,
    /// One sentence for the reader of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The columns in their order; at least one.
    pub fields: Vec<Field>,
    /// Names of the fields that identify a row; empty for append-only streams.
    pub primary_key: Vec<String>,
    /// The field that grows with every change at the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor_field: Option<String>,
    /// The field by which storages that have partitions partition the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_field: Option<String>,
}

impl TableSchema {
    /// The Arrow schema of a batch that has every field.
    #[must_use]
    pub fn arrow(&self) -> arrow::SchemaRef {
        let fields = self.fields.iter();
        Arc::new(arrow::Schema::new(
            fields.map(|f| arrow::Field::new(&f.name, f.data_type.arrow(), f.nullable)).collect::<Vec<_>>(),
        ))
    }
}

/// How rows meet the rows that the table already holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteMode {
    /// Add the rows.
    Append,
    /// Insert new rows, update those whose primary key exists.
    Merge,
    /// Replace the table's content when the run succeeds.
    Replace,
}
