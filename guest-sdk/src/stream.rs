//! What a table looks like: streams, fields and their types.

use crate::record::Value;

/// The logical type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataType {
    /// True or false.
    Boolean,
    /// A signed integer of 64 bits.
    Int64,
    /// An IEEE 754 number of 64 bits.
    Float64,
    /// An exact decimal number.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point, 0 to `precision`.
        scale: u8,
    },
    /// UTF-8 text.
    Text,
    /// Bytes.
    Bytes,
    /// A calendar day.
    Date,
    /// A point in time, in microseconds.
    Timestamp,
    /// Any JSON value, kept as its text.
    Json,
}

impl std::fmt::Display for DataType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Boolean => "boolean",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Decimal { precision, scale } => return write!(f, "decimal({precision}, {scale})"),
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Json => "json",
        })
    }
}

/// A column of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The column's name.
    pub name: String,
    /// What its values are.
    pub data_type: DataType,
    /// Whether a row may lack a value.
    pub nullable: bool,
    /// One sentence for the person who reads the table.
    pub description: Option<String>,
}

impl Field {
    /// A column that always has a value.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: false, description: None }
    }

    /// The column that holds values of a Rust type: `Option` makes it nullable.
    pub fn of<T: Value>(name: impl Into<String>) -> Self {
        Self { nullable: T::NULLABLE, ..Self::new(name, T::DATA_TYPE) }
    }

    /// Lets rows lack the value.
    #[must_use]
    pub fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// Describes the column.
    #[must_use]
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }
}

/// A table that a connector can produce. [`#[derive(Record)]`](derive@crate::Record)
/// builds it from a struct; connectors that learn the columns at run time build
/// it themselves:
///
/// ```
/// use ow_connector::prelude::*;
///
/// let stream = Stream::new("rates")
///     .describe("exchange rates of the day")
///     .field(Field::of::<Date>("date"))
///     .field(Field::new("rate", DataType::Decimal { precision: 18, scale: 6 }).nullable())
///     .primary_key(["date"])
///     .partition("date");
/// assert_eq!(stream.fields.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The stream's name, which names the table too.
    pub name: String,
    /// One sentence for the person who reads the table.
    pub description: Option<String>,
    /// The columns, in their order.
    pub fields: Vec<Field>,
    /// Names of the fields that identify a row.
    pub primary_key: Vec<String>,
    /// The field that grows with every change at the source.
    pub cursor_field: Option<String>,
    /// The date or timestamp by which storages partition the table.
    pub partition_field: Option<String>,
}

impl Stream {
    /// A stream without columns.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: None,
            fields: Vec::new(),
            primary_key: Vec::new(),
            cursor_field: None,
            partition_field: None,
        }
    }

    /// Describes the table.
    #[must_use]
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Adds a column.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Names the fields that identify a row.
    #[must_use]
    pub fn primary_key<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.primary_key = fields.into_iter().map(Into::into).collect();
        self
    }

    /// Names the field that grows with every change at the source.
    #[must_use]
    pub fn cursor(mut self, field: impl Into<String>) -> Self {
        self.cursor_field = Some(field.into());
        self
    }

    /// Names the field by which the table is partitioned.
    #[must_use]
    pub fn partition(mut self, field: impl Into<String>) -> Self {
        self.partition_field = Some(field.into());
        self
    }

    /// How rows are written when the connector does not say: merged where a
    /// primary key tells rows apart, appended where none does.
    pub(crate) fn default_mode(&self) -> WriteMode {
        if self.primary_key.is_empty() { WriteMode::Append } else { WriteMode::Merge }
    }
}

/// How rows meet the rows that the table already holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Add the rows.
    Append,
    /// Insert new rows, update those whose primary key exists.
    Merge,
    /// Replace the table's content when the run succeeds.
    Replace,
}
