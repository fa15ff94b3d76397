//! The columnar encoder: rows in, one contiguous buffer a column out, in
//! Arrow's layout. Buffers are kept from batch to batch, so that a row costs no
//! allocation.

use crate::error::{Error, Result};
use crate::host::{ColumnView, ValuesView};
use crate::record::Cell;
use crate::stream::{DataType, Field};

/// Rows of one stream, waiting to be handed over.
pub(crate) struct Columns {
    rows: usize,
    bytes: usize,
    columns: Vec<Column>,
}

struct Column {
    field: Field,
    /// One bit a row; absent as long as no row was null.
    validity: Option<Vec<u8>>,
    values: Values,
}

enum Values {
    Booleans(Vec<u8>),
    Int64s(Vec<i64>),
    Float64s(Vec<f64>),
    Texts(VarValues),
    Binaries(VarValues),
    Dates(Vec<i32>),
    Timestamps(Vec<i64>),
}

struct VarValues {
    offsets: Vec<u32>,
    data: Vec<u8>,
}

impl Columns {
    pub(crate) fn new(fields: &[Field]) -> Self {
        let column = |field: &Field| Column {
            field: field.clone(),
            validity: None,
            values: Values::new(field.data_type),
        };
        Self { rows: 0, bytes: 0, columns: fields.iter().map(column).collect() }
    }

    /// Rows that wait.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// About how many bytes the waiting rows take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Checks a row, which has a value for each column, and answers how many bytes
    /// it takes.
    pub(crate) fn measure<'a>(&self, cells: impl Iterator<Item = &'a Cell<'a>>) -> Result<usize> {
        let mut bytes = 0;
        for (column, cell) in self.columns.iter().zip(cells) {
            bytes += column.measure(cell)?;
        }
        Ok(bytes)
    }

    /// Appends a row that was measured.
    pub(crate) fn push<'a>(&mut self, cells: impl Iterator<Item = &'a Cell<'a>>, bytes: usize) {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell, self.rows);
        }
        self.rows += 1;
        self.bytes += bytes;
    }

    /// The waiting rows, as the host takes them.
    pub(crate) fn views(&self) -> Vec<ColumnView<'_>> {
        self.columns.iter().map(Column::view).collect()
    }

    /// Forgets the rows and keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.rows = 0;
        self.bytes = 0;
        for column in &mut self.columns {
            column.validity = None;
            column.values.clear();
        }
    }
}

impl Column {
    /// What a value takes in this column, or why it does not belong there.
    #[inline]
    fn measure(&self, cell: &Cell<'_>) -> Result<usize> {
        Ok(match (&self.values, cell) {
            (_, Cell::Null) if self.field.nullable => 8,
            (Values::Booleans(_), Cell::Bool(_)) => 1,
            (Values::Int64s(_), Cell::Int(_))
            | (Values::Float64s(_), Cell::Float(_))
            | (Values::Timestamps(_), Cell::Timestamp(_)) => 8,
            (Values::Dates(_), Cell::Date(_)) => 4,
            (Values::Texts(_), Cell::Text(text)) => 4 + text.len(),
            (Values::Texts(_), Cell::Json(value)) => 4 + json_len(value),
            (Values::Binaries(_), Cell::Bytes(bytes)) => 4 + bytes.len(),
            _ => return Err(self.mismatch(cell)),
        })
    }

    #[cold]
    fn mismatch(&self, cell: &Cell<'_>) -> Error {
        let name = &self.field.name;
        Error::invalid_data(match cell {
            Cell::Null => format!("field `{name}` may not be null"),
            _ => {
                format!("field `{name}` holds {:?}, but a row has {}", self.field.data_type, cell.type_name())
            }
        })
    }

    /// Appends a value; null where it is none.
    #[inline]
    fn push(&mut self, cell: &Cell<'_>, row: usize) {
        let valid = !matches!(cell, Cell::Null);
        if !valid && self.validity.is_none() {
            self.validity = Some(ones(row));
        }
        if let Some(validity) = &mut self.validity {
            push_bit(validity, row, valid);
        }
        match (&mut self.values, cell) {
            (Values::Booleans(bits), cell) => push_bit(bits, row, matches!(cell, Cell::Bool(true))),
            (Values::Int64s(values), Cell::Int(value)) => values.push(*value),
            (Values::Int64s(values), _) => values.push(0),
            (Values::Float64s(values), Cell::Float(value)) => values.push(*value),
            (Values::Float64s(values), _) => values.push(0.0),
            (Values::Dates(values), Cell::Date(date)) => values.push(date.days()),
            (Values::Dates(values), _) => values.push(0),
            (Values::Timestamps(values), Cell::Timestamp(time)) => values.push(time.micros()),
            (Values::Timestamps(values), _) => values.push(0),
            (Values::Texts(values), Cell::Text(text)) => values.push(text.as_bytes()),
            (Values::Texts(values), Cell::Json(value)) => values.push_json(value),
            (Values::Binaries(values), Cell::Bytes(bytes)) => values.push(bytes),
            (Values::Texts(values) | Values::Binaries(values), _) => values.push(&[]),
        }
    }

    fn view(&self) -> ColumnView<'_> {
        ColumnView { validity: self.validity.as_deref(), values: self.values.view() }
    }
}

impl Values {
    fn new(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Booleans(Vec::new()),
            DataType::Int64 => Self::Int64s(Vec::new()),
            DataType::Float64 => Self::Float64s(Vec::new()),
            DataType::Text | DataType::Json | DataType::Decimal { .. } => Self::Texts(VarValues::new()),
            DataType::Bytes => Self::Binaries(VarValues::new()),
            DataType::Date => Self::Dates(Vec::new()),
            DataType::Timestamp => Self::Timestamps(Vec::new()),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Booleans(values) => values.clear(),
            Self::Int64s(values) | Self::Timestamps(values) => values.clear(),
            Self::Float64s(values) => values.clear(),
            Self::Dates(values) => values.clear(),
            Self::Texts(values) | Self::Binaries(values) => values.clear(),
        }
    }

    fn view(&self) -> ValuesView<'_> {
        match self {
            Self::Booleans(bits) => ValuesView::Booleans(bits),
            Self::Int64s(values) => ValuesView::Int64s(values),
            Self::Float64s(values) => ValuesView::Float64s(values),
            Self::Dates(values) => ValuesView::Dates(values),
            Self::Timestamps(values) => ValuesView::Timestamps(values),
            Self::Texts(values) => ValuesView::Texts { offsets: &values.offsets, data: &values.data },
            Self::Binaries(values) => ValuesView::Binaries { offsets: &values.offsets, data: &values.data },
        }
    }
}

impl VarValues {
    /// A value of this size is given back after its batch instead of being kept.
    const KEPT: usize = 8 * 1024 * 1024;

    fn new() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }

    #[inline]
    fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.end();
    }

    fn push_json(&mut self, value: &serde_json::Value) {
        // Writing a JSON value into a vector cannot fail: its keys are strings.
        let written = serde_json::to_writer(&mut self.data, value);
        debug_assert!(written.is_ok(), "{written:?}");
        self.end();
    }

    #[inline]
    fn end(&mut self) {
        // A batch holds megabytes, and a wasm memory four gigabytes at most.
        self.offsets.push(u32::try_from(self.data.len()).unwrap_or(u32::MAX));
    }

    fn clear(&mut self) {
        self.offsets.truncate(1);
        self.data.clear();
        self.data.shrink_to(Self::KEPT);
    }
}

/// Appends bit `index`, least significant first.
#[inline]
fn push_bit(bits: &mut Vec<u8>, index: usize, bit: bool) {
    if index.is_multiple_of(8) {
        bits.push(0);
    }
    if let Some(last) = bits.last_mut() {
        *last |= u8::from(bit) << (index % 8);
    }
}

/// A bitmap of `count` set bits.
fn ones(count: usize) -> Vec<u8> {
    let mut bits = vec![u8::MAX; count / 8];
    if !count.is_multiple_of(8) {
        bits.push((1 << (count % 8)) - 1);
    }
    bits
}

/// About how long a JSON value is as text: enough to know when a batch is full.
fn json_len(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 20,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| json_len(item) + 1).sum::<usize>() + 2,
        Value::Object(members) => {
            members.iter().map(|(key, item)| key.len() + json_len(item) + 4).sum::<usize>() + 2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Date, Timestamp};

    fn encode(fields: &[Field], rows: &[&[Cell<'_>]]) -> Columns {
        let mut columns = Columns::new(fields);
        for row in rows {
            let bytes = columns.measure(row.iter()).unwrap();
            columns.push(row.iter(), bytes);
        }
        columns
    }

    #[test]
    fn packs_booleans_least_significant_bit_first() {
        let rows: Vec<[Cell<'_>; 1]> = (0..10).map(|i| [Cell::Bool(i % 3 == 0)]).collect();
        let rows: Vec<&[Cell<'_>]> = rows.iter().map(|row| &row[..]).collect();
        let columns = encode(&[Field::of::<bool>("flag")], &rows);
        assert!(matches!(columns.views()[0].values, ValuesView::Booleans(&[0b0100_1001, 0b10])));
        assert_eq!(columns.views()[0].validity, None);
    }

    #[test]
    fn a_bitmap_appears_with_the_first_null() {
        for before in [0, 1, 7, 8, 9, 16] {
            let mut rows: Vec<[Cell<'_>; 1]> = vec![[Cell::Int(7)]; before];
            rows.extend([[Cell::Null], [Cell::Int(9)]]);
            let rows: Vec<&[Cell<'_>]> = rows.iter().map(|row| &row[..]).collect();
            let columns = encode(&[Field::of::<Option<i64>>("n")], &rows);
            let views = columns.views();
            let validity = views[0].validity.unwrap();
            let bit = |index: usize| validity[index / 8] >> (index % 8) & 1 == 1;
            assert_eq!(validity.len(), (before + 2).div_ceil(8));
            assert!((0..before).all(bit) && !bit(before) && bit(before + 1), "{before}: {validity:?}");
            let ValuesView::Int64s(values) = views[0].values else { panic!("not integers") };
            assert_eq!(values.len(), before + 2);
        }
    }

    #[test]
    fn offsets_bound_every_value() {
        let rows: &[&[Cell<'_>]] =
            &[&[Cell::Text("ab")], &[Cell::Null], &[Cell::Text("")], &[Cell::Text("é")]];
        let mut columns = encode(&[Field::of::<Option<String>>("text")], rows);
        assert!(
            matches!(columns.views()[0].values, ValuesView::Texts { offsets: &[0, 2, 2, 2, 4], data } if data == "abé".as_bytes())
        );
        columns.clear();
        assert!(matches!(columns.views()[0].values, ValuesView::Texts { offsets: &[0], data: &[] }));
        assert_eq!((columns.rows(), columns.bytes(), columns.views()[0].validity), (0, 0, None));
    }

    #[test]
    fn days_and_microseconds() {
        let fields = [Field::of::<Date>("day"), Field::of::<Timestamp>("at")];
        let (day, at) = ("1969-12-31".parse().unwrap(), "1970-01-01T00:00:01Z".parse().unwrap());
        let columns = encode(&fields, &[&[Cell::Date(day), Cell::Timestamp(at)]]);
        assert!(matches!(columns.views()[0].values, ValuesView::Dates(&[-1])));
        assert!(matches!(columns.views()[1].values, ValuesView::Timestamps(&[1_000_000])));
    }

    #[test]
    fn json_values_are_written_out() {
        let value = serde_json::json!({"a": [1, "x"]});
        let columns = encode(&[Field::of::<serde_json::Value>("raw")], &[&[Cell::Json(&value)]]);
        assert!(
            matches!(columns.views()[0].values, ValuesView::Texts { data, .. } if data == br#"{"a":[1,"x"]}"#)
        );
    }

    #[test]
    fn a_row_that_does_not_fit_is_refused_by_name() {
        let columns = Columns::new(&[Field::of::<i64>("n"), Field::of::<String>("s")]);
        let refuse = |row: &[Cell<'_>]| columns.measure(row.iter()).unwrap_err().to_string();
        assert_eq!(refuse(&[Cell::Null, Cell::Text("")]), "field `n` may not be null");
        assert_eq!(
            refuse(&[Cell::Int(1), Cell::Bool(true)]),
            "field `s` holds Text, but a row has a boolean"
        );
    }
}
