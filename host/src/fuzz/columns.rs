//! Batches of columns from a guest.

use arrow_array::RecordBatch;

use super::fits_a_line;
use super::input::Input;
use super::rows::{Cell, assert_sound, cell, decimal_text, read, table};
use crate::bridge::bindings::ow::connector::storage::{Column, ColumnValues, VarValues};
use crate::bridge::columns::record_batch;
use crate::storage::{DataType, Field, TableSchema};

/// An honest batch is taken as it is; the same batch with one lie in it is
/// refused; and of arbitrary columns only sound ones are taken.
pub fn columns(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let table = table(&mut input);
    let rows = input.below(20);
    if input.below(4) == 0 {
        let columns = table.fields.iter().map(|field| arbitrary(&mut input, field, rows)).collect();
        drop(told(&table, rows, columns));
        return;
    }
    let cells: Vec<Vec<Option<Cell>>> =
        table.fields.iter().map(|field| (0..rows).map(|_| cell(&mut input, field)).collect()).collect();
    let mut columns: Vec<Column> =
        table.fields.iter().zip(&cells).map(|(field, cells)| encode(&mut input, field, cells)).collect();
    let batch = told(&table, rows, columns.clone()).expect("an honest batch is taken");
    for (field, cells) in table.fields.iter().zip(&cells) {
        for (row, expected) in cells.iter().enumerate() {
            assert_eq!(&read(&batch, field, row), expected, "{} in row {row}", field.name);
        }
    }
    if let Some(lie) = lie(&mut input, &table, rows, &cells, &mut columns) {
        assert!(told(&table, rows, columns).is_none(), "a batch was taken with {lie}");
    }
}

/// What becomes of a batch.
fn told(table: &TableSchema, rows: usize, columns: Vec<Column>) -> Option<RecordBatch> {
    match record_batch(table, u32::try_from(rows).unwrap(), columns) {
        Ok(batch) => {
            assert_eq!(batch.schema(), table.arrow());
            assert_eq!(batch.num_rows(), rows);
            assert_sound(table, &batch);
            Some(batch)
        }
        Err(error) => {
            assert!(fits_a_line(&error.message), "{:?}", error.message);
            assert!(error.message.len() < 1024, "{} bytes of message", error.message.len());
            None
        }
    }
}

/// A column with these values, as the guest SDK would write it.
fn encode(input: &mut Input<'_>, field: &Field, cells: &[Option<Cell>]) -> Column {
    let present = |cell: &Option<Cell>| cell.is_some();
    let validity =
        (cells.iter().any(Option::is_none) || input.flag()).then(|| bits(cells.iter().map(present)));
    macro_rules! fixed {
        ($kind:ident) => {
            cells.iter().map(|cell| match cell {
                Some(Cell::$kind(value)) => *value,
                _ => Default::default(),
            })
        };
    }
    let variable = |text: &dyn Fn(&Cell) -> Vec<u8>| {
        let mut values = VarValues { offsets: vec![0], data: Vec::new() };
        for cell in cells {
            values.data.extend(cell.iter().flat_map(text));
            values.offsets.push(u32::try_from(values.data.len()).unwrap());
        }
        values
    };
    let values = match field.data_type {
        DataType::Boolean => ColumnValues::Booleans(bits(fixed!(Boolean))),
        DataType::Int64 => ColumnValues::Int64s(fixed!(Int64).collect()),
        DataType::Float64 => ColumnValues::Float64s(fixed!(Float64).map(f64::from_bits).collect()),
        DataType::Date => ColumnValues::Dates(fixed!(Date).collect()),
        DataType::Timestamp => ColumnValues::Timestamps(fixed!(Timestamp).collect()),
        DataType::Bytes => ColumnValues::Binaries(variable(&bytes_of)),
        DataType::Text | DataType::Json => ColumnValues::Texts(variable(&bytes_of)),
        DataType::Decimal(_, scale) => ColumnValues::Texts(variable(&|cell| match cell {
            Cell::Decimal(value) => decimal_text(*value, scale).into_bytes(),
            _ => Vec::new(),
        })),
    };
    Column { validity, values }
}

fn bytes_of(cell: &Cell) -> Vec<u8> {
    match cell {
        Cell::Text(text) => text.clone().into_bytes(),
        Cell::Bytes(bytes) => bytes.clone(),
        _ => Vec::new(),
    }
}

fn bits(flags: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut bits = vec![0; flags.len().div_ceil(8)];
    for (at, flag) in flags.enumerate() {
        bits[at / 8] |= u8::from(flag) << (at % 8);
    }
    bits
}

/// Puts one lie into an honest batch, and says which; None where the lie that
/// the input chose cannot be told of this batch.
fn lie(
    input: &mut Input<'_>,
    table: &TableSchema,
    rows: usize,
    cells: &[Vec<Option<Cell>>],
    columns: &mut Vec<Column>,
) -> Option<&'static str> {
    let at = input.below(columns.len());
    let field = &table.fields[at];
    // A row of which the value counts.
    let row = cells[at].iter().position(Option::is_some);
    let kind = input.below(8);
    let column = &mut columns[at];
    match kind {
        0 => {
            columns.pop();
            Some("a column too few")
        }
        1 => {
            let more = column.clone();
            columns.push(more);
            Some("a column too many")
        }
        2 => {
            column.validity.get_or_insert_with(|| vec![0xff; rows.div_ceil(8)]).push(0xff);
            Some("too much validity")
        }
        3 if rows > 0 && !field.nullable => {
            let mut validity = vec![0xff; rows.div_ceil(8)];
            let row = input.below(rows);
            validity[row / 8] &= !(1 << (row % 8));
            column.validity = Some(validity);
            Some("a null that may not be")
        }
        4 => {
            column.values = match &column.values {
                ColumnValues::Int64s(_) => ColumnValues::Float64s(vec![0.0; rows]),
                _ => ColumnValues::Int64s(vec![0; rows]),
            };
            Some("another type")
        }
        5 => longer(&mut column.values),
        6 => offsets(input, column),
        7 => unfit(column, field, row?),
        _ => None,
    }
}

/// One value more than rows.
fn longer(values: &mut ColumnValues) -> Option<&'static str> {
    match values {
        ColumnValues::Booleans(bits) => bits.push(0),
        ColumnValues::Int64s(values) | ColumnValues::Timestamps(values) => values.push(0),
        ColumnValues::Float64s(values) => values.push(0.0),
        ColumnValues::Dates(values) => values.push(0),
        ColumnValues::Texts(values) | ColumnValues::Binaries(values) => {
            values.offsets.push(u32::try_from(values.data.len()).unwrap());
        }
    }
    Some("a value too many")
}

fn offsets(input: &mut Input<'_>, column: &mut Column) -> Option<&'static str> {
    let (ColumnValues::Texts(values) | ColumnValues::Binaries(values)) = &mut column.values else {
        return None;
    };
    let last = values.offsets.len() - 1;
    match input.below(4) {
        0 => {
            values.offsets[last] = values.offsets[last].wrapping_add(1 + u32::from(input.byte()));
            Some("an offset beyond the data")
        }
        1 => {
            values.offsets[0] = 1;
            Some("a first offset that is not 0")
        }
        2 if last > 1 && values.offsets[last] > 0 => {
            values.offsets[last - 1] = values.offsets[last] + 1;
            Some("an offset that goes back")
        }
        3 => {
            values.data.push(b'x');
            Some("data beyond the last offset")
        }
        _ => None,
    }
}

/// A value that the field's type does not have.
fn unfit(column: &mut Column, field: &Field, row: usize) -> Option<&'static str> {
    match (&mut column.values, field.data_type) {
        (ColumnValues::Dates(values), _) => {
            values[row] = i32::MAX;
            Some("a day after the year 9999")
        }
        (ColumnValues::Timestamps(values), _) => {
            values[row] = i64::MIN;
            Some("a time before the year 1")
        }
        (ColumnValues::Texts(values), _) => {
            let start = values.offsets[row] as usize;
            // Starts no character, number or JSON.
            values.data.insert(start, 0xff);
            values.offsets[row + 1..].iter_mut().for_each(|offset| *offset += 1);
            Some("bytes that are no UTF-8")
        }
        _ => None,
    }
}

/// A column that may be anything, but has some chance to fit.
fn arbitrary(input: &mut Input<'_>, field: &Field, rows: usize) -> Column {
    let count = |input: &mut Input<'_>| if input.below(8) == 0 { input.below(20) } else { rows };
    let validity = input.flag().then(|| (0..count(input).div_ceil(8)).map(|_| input.byte()).collect());
    let values = match field.data_type {
        DataType::Boolean => {
            ColumnValues::Booleans((0..count(input).div_ceil(8)).map(|_| input.byte()).collect())
        }
        DataType::Int64 => {
            ColumnValues::Int64s((0..count(input)).map(|_| i64::from_le_bytes(input.array())).collect())
        }
        DataType::Float64 => {
            ColumnValues::Float64s((0..count(input)).map(|_| f64::from_le_bytes(input.array())).collect())
        }
        DataType::Date => {
            ColumnValues::Dates((0..count(input)).map(|_| i32::from_le_bytes(input.array()) >> 8).collect())
        }
        DataType::Timestamp => {
            let time = |input: &mut Input<'_>| i64::from_le_bytes(input.array()) >> 4;
            ColumnValues::Timestamps((0..count(input)).map(|_| time(input)).collect())
        }
        data_type => {
            let mut values = VarValues { offsets: vec![0], data: Vec::new() };
            for _ in 0..count(input) {
                values.data.extend_from_slice(input.bytes(6));
                let end = u32::try_from(values.data.len()).unwrap();
                let end = if input.below(32) == 0 { u32::from_le_bytes(input.array()) } else { end };
                values.offsets.push(end);
            }
            if data_type == DataType::Bytes {
                ColumnValues::Binaries(values)
            } else {
                ColumnValues::Texts(values)
            }
        }
    };
    Column { validity, values }
}
