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
    /// What the values of fixed size take in each row.
    width: usize,
    columns: Vec<Column>,
}

struct Column {
    field: Field,
    /// One bit a row; absent as long as no row was null.
    validity: Option<Vec<u8>>,
    values: Values,
}

enum Values {
    /// A column that the stream was opened without.
    Skipped,
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

/// A row on its way into the columns: takes one value a field, in their order.
/// What does not fit is told when the row is complete.
#[derive(Debug)]
pub struct Row<'a> {
    columns: std::slice::IterMut<'a, Column>,
    /// Rows before this one.
    index: usize,
    /// What its texts and bytes take.
    bytes: usize,
    wrong: Option<Box<Error>>,
}

impl Row<'_> {
    /// Takes the value of the next field.
    #[inline(always)]
    pub fn put(&mut self, cell: Cell<'_>) {
        match self.columns.next() {
            Some(column) => {
                if let Err(error) = column.push(cell, self.index, &mut self.bytes) {
                    self.refuse(error);
                }
            }
            None => self.refuse(Box::new(Error::invalid_data("a row has more values than columns"))),
        }
    }

    #[cold]
    fn refuse(&mut self, error: Box<Error>) {
        self.wrong.get_or_insert(error);
    }
}

/// A row on its way into the columns in any order.
pub(crate) struct Slots<'a> {
    columns: &'a mut [Column],
    index: usize,
    bytes: usize,
}

impl Slots<'_> {
    /// Gives a column its value; at most once a row.
    #[inline]
    pub(crate) fn put(&mut self, column: usize, cell: Cell<'_>) -> Result<()> {
        match self.columns.get_mut(column) {
            Some(column) => column.push(cell, self.index, &mut self.bytes).map_err(|error| *error),
            None => Ok(()),
        }
    }

    /// What a column holds; nothing if it is not written.
    #[inline]
    pub(crate) fn data_type(&self, column: usize) -> Option<DataType> {
        let column = self.columns.get(column)?;
        (!matches!(column.values, Values::Skipped)).then_some(column.field.data_type)
    }

    pub(crate) fn name(&self, column: usize) -> &str {
        self.columns.get(column).map_or("", |column| &column.field.name)
    }

    /// The row has no value of a column.
    #[inline]
    pub(crate) fn absent(&mut self, column: usize) -> Result<()> {
        match self.columns.get_mut(column) {
            Some(Column { field, values, .. }) if !field.nullable && !matches!(values, Values::Skipped) => {
                Err(Error::invalid_data(format!("field `{}` is missing", field.name)))
            }
            _ => self.put(column, Cell::Null),
        }
    }

    /// The error for a value that a column cannot hold.
    #[cold]
    pub(crate) fn refused(&self, column: usize, value: &str) -> Error {
        let Some(Column { field, .. }) = self.columns.get(column) else {
            return Error::internal("there is no such column");
        };
        let holds = field.data_type;
        Error::invalid_data(format!("field `{}` ({holds}) cannot hold {value}", field.name))
    }
}

impl Columns {
    /// Buffers for the columns that are `chosen`; the values of others are taken
    /// and forgotten.
    pub(crate) fn new(fields: &[Field], chosen: impl Fn(&Field) -> bool) -> Self {
        let values =
            |field: &Field| if chosen(field) { Values::new(field.data_type) } else { Values::Skipped };
        let column = |field: &Field| Column { field: field.clone(), validity: None, values: values(field) };
        let columns: Vec<Column> = fields.iter().map(column).collect();
        Self { rows: 0, bytes: 0, width: columns.iter().map(|column| column.values.width()).sum(), columns }
    }

    /// Rows that wait.
    #[inline]
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// About how many bytes the waiting rows take.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a row, and answers how many bytes it takes. A row that does not
    /// fit is not appended.
    #[inline]
    pub(crate) fn push(&mut self, encode: impl FnOnce(&mut Row<'_>)) -> Result<usize> {
        let mut row =
            Row { columns: self.columns.iter_mut(), index: self.rows, bytes: self.width, wrong: None };
        encode(&mut row);
        if row.wrong.is_some() || row.columns.len() > 0 {
            let error = row.wrong.map(|error| *error);
            self.truncate();
            return Err(error.unwrap_or_else(|| Error::invalid_data("a row has fewer values than columns")));
        }
        let bytes = row.bytes;
        self.rows += 1;
        self.bytes += bytes;
        Ok(bytes)
    }

    /// Appends a row whose values come in any order: the same.
    #[inline]
    pub(crate) fn push_slots(&mut self, fill: impl FnOnce(&mut Slots<'_>) -> Result<()>) -> Result<usize> {
        let mut slots = Slots { columns: &mut self.columns, index: self.rows, bytes: self.width };
        if let Err(error) = fill(&mut slots) {
            self.truncate();
            return Err(error);
        }
        let bytes = slots.bytes;
        self.rows += 1;
        self.bytes += bytes;
        Ok(bytes)
    }

    /// The fields, written or not.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.columns.iter().map(|column| &column.field)
    }

    /// A column's field, if it is written.
    pub(crate) fn written(&self, column: usize) -> Option<&Field> {
        self.columns
            .get(column)
            .filter(|column| !matches!(column.values, Values::Skipped))
            .map(|column| &column.field)
    }

    /// Takes back the last row, of so many bytes.
    #[cold]
    pub(crate) fn pop(&mut self, bytes: usize) {
        self.rows -= 1;
        self.bytes -= bytes;
        self.truncate();
    }

    /// Forgets what stands behind the last complete row.
    #[cold]
    fn truncate(&mut self) {
        for column in &mut self.columns {
            column.truncate(self.rows);
        }
    }

    /// The waiting rows, as the host takes them.
    pub(crate) fn views(&self) -> Vec<ColumnView<'_>> {
        self.columns.iter().filter_map(Column::view).collect()
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

impl std::fmt::Debug for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.field.fmt(f)
    }
}

impl Column {
    /// Appends a value as that of row number `row`, or says why it does not
    /// belong here.
    #[inline(always)]
    fn push(&mut self, cell: Cell<'_>, row: usize, bytes: &mut usize) -> Result<(), Box<Error>> {
        match (&mut self.values, cell) {
            (Values::Skipped, _) => return Ok(()),
            (_, Cell::Null) => return self.push_null(row),
            (Values::Booleans(bits), Cell::Bool(value)) => push_bit(bits, row, value),
            (Values::Int64s(values), Cell::Int(value)) => values.push(value),
            (Values::Float64s(values), Cell::Float(value)) => values.push(value),
            (Values::Dates(values), Cell::Date(date)) => values.push(date.days()),
            (Values::Timestamps(values), Cell::Timestamp(time)) => values.push(time.micros()),
            (Values::Texts(values), Cell::Text(text)) => *bytes += values.push(text.as_bytes()),
            (Values::Binaries(values), Cell::Bytes(value)) => *bytes += values.push(value),
            (Values::Texts(values), Cell::Json(value)) => *bytes += values.push_json(value),
            (_, cell) => return Err(self.mismatch(cell)),
        }
        if let Some(validity) = &mut self.validity {
            push_bit(validity, row, true);
        }
        Ok(())
    }

    fn push_null(&mut self, row: usize) -> Result<(), Box<Error>> {
        if !self.field.nullable {
            return Err(self.mismatch(Cell::Null));
        }
        push_bit(self.validity.get_or_insert_with(|| ones(row)), row, false);
        match &mut self.values {
            Values::Skipped => {}
            Values::Booleans(bits) => push_bit(bits, row, false),
            Values::Int64s(values) | Values::Timestamps(values) => values.push(0),
            Values::Float64s(values) => values.push(0.0),
            Values::Dates(values) => values.push(0),
            Values::Texts(values) | Values::Binaries(values) => values.end(),
        }
        Ok(())
    }

    #[cold]
    fn mismatch(&self, cell: Cell<'_>) -> Box<Error> {
        let Field { name, data_type, .. } = &self.field;
        Box::new(Error::invalid_data(match cell {
            Cell::Null => format!("field `{name}` may not be null"),
            _ => format!("field `{name}` holds {data_type:?}, but a row has {}", cell.type_name()),
        }))
    }

    fn truncate(&mut self, rows: usize) {
        if let Some(validity) = &mut self.validity {
            truncate_bits(validity, rows);
        }
        match &mut self.values {
            Values::Skipped => {}
            Values::Booleans(bits) => truncate_bits(bits, rows),
            Values::Int64s(values) | Values::Timestamps(values) => values.truncate(rows),
            Values::Float64s(values) => values.truncate(rows),
            Values::Dates(values) => values.truncate(rows),
            Values::Texts(values) | Values::Binaries(values) => values.truncate(rows),
        }
    }

    fn view(&self) -> Option<ColumnView<'_>> {
        Some(ColumnView { validity: self.validity.as_deref(), values: self.values.view()? })
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

    /// What a value takes beside the bytes of texts.
    fn width(&self) -> usize {
        match self {
            Self::Skipped => 0,
            Self::Booleans(_) => 1,
            Self::Int64s(_) | Self::Float64s(_) | Self::Timestamps(_) => 8,
            Self::Texts(_) | Self::Binaries(_) | Self::Dates(_) => 4,
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Skipped => {}
            Self::Booleans(values) => values.clear(),
            Self::Int64s(values) | Self::Timestamps(values) => values.clear(),
            Self::Float64s(values) => values.clear(),
            Self::Dates(values) => values.clear(),
            Self::Texts(values) | Self::Binaries(values) => values.clear(),
        }
    }

    fn view(&self) -> Option<ValuesView<'_>> {
        Some(match self {
            Self::Skipped => return None,
            Self::Booleans(bits) => ValuesView::Booleans(bits),
            Self::Int64s(values) => ValuesView::Int64s(values),
            Self::Float64s(values) => ValuesView::Float64s(values),
            Self::Dates(values) => ValuesView::Dates(values),
            Self::Timestamps(values) => ValuesView::Timestamps(values),
            Self::Texts(values) => ValuesView::Texts { offsets: &values.offsets, data: &values.data },
            Self::Binaries(values) => ValuesView::Binaries { offsets: &values.offsets, data: &values.data },
        })
    }
}

impl VarValues {
    /// A value of this size is given back after its batch instead of being kept.
    const KEPT: usize = 8 * 1024 * 1024;

    fn new() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }

    /// Appends a value and answers its length.
    #[inline]
    fn push(&mut self, value: &[u8]) -> usize {
        self.data.extend_from_slice(value);
        self.end();
        value.len()
    }

    fn push_json(&mut self, value: &serde_json::Value) -> usize {
        let before = self.data.len();
        // Writing a JSON value into a vector cannot fail: its keys are strings.
        let written = serde_json::to_writer(&mut self.data, value);
        debug_assert!(written.is_ok(), "{written:?}");
        self.end();
        self.data.len() - before
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.data.truncate(self.offsets.last().map_or(0, |end| *end as usize));
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

/// Keeps the first `count` bits.
fn truncate_bits(bits: &mut Vec<u8>, count: usize) {
    bits.truncate(count.div_ceil(8));
    if let (Some(last), rest @ 1..) = (bits.last_mut(), count % 8) {
        *last &= (1 << rest) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Date, Timestamp};

    fn put(columns: &mut Columns, cells: &[Cell<'_>]) -> Result<usize> {
        columns.push(|row| cells.iter().for_each(|cell| row.put(*cell)))
    }

    fn encode(fields: &[Field], rows: &[&[Cell<'_>]]) -> Columns {
        let mut columns = Columns::new(fields, |_| true);
        for row in rows {
            put(&mut columns, row).unwrap();
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
    fn a_row_that_does_not_fit_is_refused_and_leaves_nothing() {
        let fields = [Field::of::<Option<bool>>("b"), Field::of::<String>("s"), Field::of::<i64>("n")];
        let mut columns = encode(&fields, &[&[Cell::Bool(true), Cell::Text("one"), Cell::Int(1)]]);
        let mut refuse = |cells: &[Cell<'_>]| put(&mut columns, cells).unwrap_err().to_string();
        let (flag, text, number) = (Cell::Bool(true), Cell::Text("two"), Cell::Int(2));
        assert_eq!(refuse(&[flag, text]), "a row has fewer values than columns");
        assert_eq!(refuse(&[flag, text, number, number]), "a row has more values than columns");
        assert_eq!(refuse(&[Cell::Null, text, Cell::Null]), "field `n` may not be null");
        assert_eq!(refuse(&[flag, number, number]), "field `s` holds Text, but a row has an integer");
        put(&mut columns, &[Cell::Bool(false), Cell::Text("three"), Cell::Int(3)]).unwrap();

        let views = columns.views();
        assert_eq!((columns.rows(), views[0].validity), (2, Some(&[0b11][..])));
        assert!(matches!(views[0].values, ValuesView::Booleans(&[0b01])));
        assert!(matches!(views[1].values, ValuesView::Texts { offsets: &[0, 3, 8], data: b"onethree" }));
        assert!(matches!(views[2].values, ValuesView::Int64s(&[1, 3])));
    }
}
