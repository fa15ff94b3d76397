//! Batches of JSON lines from a guest, against what serde_json reads.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::fits_a_line;
use super::input::Input;
use super::rows::{Cell, MICROS_A_DAY, assert_sound, cell, decimal_text, read, table};
use crate::bridge::json_lines::record_batches;
use crate::storage::{DataType, Field, TableSchema, WriteMode};

const MAX_ROWS: u32 = 50;

/// Lines of the fields' values are taken; of arbitrary lines only those are
/// taken that serde_json reads as objects with exactly the values that the
/// batches have.
pub fn json_lines(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let table = table(&mut input);
    let mode = input.pick(&[WriteMode::Append, WriteMode::Merge, WriteMode::Replace]);
    if input.below(3) > 0 {
        let lines = input.rest();
        compare(&table, mode, lines);
        return;
    }
    let mut lines = String::new();
    for _ in 0..input.below(10) {
        let mut object: BTreeMap<&str, Box<RawValue>> = BTreeMap::new();
        for field in &table.fields {
            if !field.nullable || input.flag() {
                object.insert(&field.name, raw(&mut input, field));
            }
        }
        lines.push_str(&serde_json::to_string(&object).unwrap());
        lines.push('\n');
    }
    assert!(compare(&table, mode, lines.as_bytes()), "sound lines were refused: {lines}");
    compare(&table, mode, &input.edit(lines.as_bytes(), 3));
}

/// Whether the lines are taken, and if so, as they are.
fn compare(table: &TableSchema, mode: WriteMode, lines: &[u8]) -> bool {
    let batches = match record_batches(table, mode, lines, MAX_ROWS) {
        Ok(batches) => batches,
        Err(error) => {
            assert!(fits_a_line(&error.message), "{:?}", error.message);
            assert!(error.message.len() < 2048, "{} bytes of message", error.message.len());
            return false;
        }
    };
    batches.iter().for_each(|batch| assert_sound(table, batch));
    let rows: Vec<(&RecordBatch, usize)> =
        batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row))).collect();
    let lines: Vec<&[u8]> =
        lines.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    assert_eq!(rows.len(), lines.len());
    assert!(rows.len() <= MAX_ROWS as usize);
    for ((batch, row), line) in rows.into_iter().zip(lines) {
        let object: BTreeMap<String, &RawValue> = serde_json::from_slice(line).expect("an object");
        assert!(object.keys().all(|key| table.fields.iter().any(|field| field.name == *key)));
        for field in &table.fields {
            let text = object.get(&field.name).map(|value| value.get());
            assert!(
                text.is_none_or(|text| agrees(field, text, read(batch, field, row).as_ref())),
                "{text:?}"
            );
            let has_column = batch.column_by_name(&field.name).is_some();
            // Under merge a column is there exactly if the key is.
            assert!(mode != WriteMode::Merge || has_column == text.is_some());
            assert!(mode == WriteMode::Merge || has_column);
            assert!(text.is_some() || read(batch, field, row).is_none());
        }
    }
    true
}

/// Whether a value is what the JSON text says.
fn agrees(field: &Field, text: &str, cell: Option<&Cell>) -> bool {
    if field.data_type == DataType::Json {
        // Passed through as it is: it may hold what serde_json cannot, such as
        // half a surrogate pair.
        return cell.map_or(text == "null", |cell| *cell == Cell::Text(text.to_owned()));
    }
    let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let Some(cell) = cell else { return value.is_null() };
    match cell {
        Cell::Boolean(flag) => value.as_bool() == Some(*flag),
        Cell::Int64(number) => value.as_i64() == Some(*number),
        Cell::Float64(bits) => value.as_f64().map(f64::to_bits) == Some(*bits),
        Cell::Text(text) => value.as_str() == Some(text),
        Cell::Bytes(bytes) => value.as_str() == Some(&STANDARD.encode(bytes)),
        Cell::Date(day) => value.as_str() == Some(&date(i64::from(*day))),
        Cell::Timestamp(micros) => match value.as_str() {
            Some(text) => agrees_in_time(text, *micros),
            None => value.as_i64() == Some(*micros),
        },
        Cell::Decimal(number) => {
            let DataType::Decimal(_, scale) = field.data_type else { return false };
            let text = value.as_str().unwrap_or(text);
            normal(text, usize::from(scale)) == decimal_text(*number, scale)
        }
    }
}

/// A decimal text with as many digits as its scale has, no sign but a minus and
/// no zeros before.
fn normal(text: &str, scale: usize) -> String {
    let digits = text.trim_start_matches(['+', '-']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = Some(whole.trim_start_matches('0')).filter(|whole| !whole.is_empty()).unwrap_or("0");
    let fraction = format!("{:0<scale$}", fraction.get(..scale).unwrap_or(fraction));
    let zero = whole == "0" && fraction.bytes().all(|digit| digit == b'0');
    let sign = if text.starts_with('-') && !zero { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Whether a time with a zone is this many microseconds after 1970.
fn agrees_in_time(text: &str, micros: i64) -> bool {
    let (local, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, 0),
        None => {
            let (local, zone) = text.split_at(text.len() - 6);
            let minutes = zone[1..3].parse::<i64>().unwrap() * 60 + zone[4..].parse::<i64>().unwrap();
            (local, if zone.starts_with('-') { -minutes } else { minutes })
        }
    };
    let there = micros + offset * 60_000_000;
    let (day, of_day) = (there.div_euclid(MICROS_A_DAY), there.rem_euclid(MICROS_A_DAY));
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let clock = format!("{:02}:{:02}:{:02}.{fraction:06}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let written = match local[11..].split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{:0<6}", &fraction[..fraction.len().min(6)]),
        None => format!("{}.000000", &local[11..]),
    };
    // The first or last day may be that of another year in another zone.
    local[..10] == date(day) && written == clock
}

/// A day as a text; the inverse of what the host does (civil_from_days).
fn date(days: i64) -> String {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + i64::from(month <= 2))
}

/// A value as JSON.
fn raw(input: &mut Input<'_>, field: &Field) -> Box<RawValue> {
    let text = match cell(input, field) {
        None => "null".to_owned(),
        Some(Cell::Boolean(flag)) => flag.to_string(),
        Some(Cell::Int64(number)) => number.to_string(),
        Some(Cell::Float64(bits)) => match f64::from_bits(bits) {
            float if float.is_finite() => serde_json::to_string(&float).unwrap(),
            _ => "0.5".to_owned(),
        },
        Some(Cell::Text(text)) if field.data_type == DataType::Json => text,
        Some(Cell::Text(text)) => serde_json::to_string(&text).unwrap(),
        Some(Cell::Bytes(bytes)) => format!("\"{}\"", STANDARD.encode(bytes)),
        Some(Cell::Date(day)) => format!("\"{}\"", date(i64::from(day))),
        Some(Cell::Timestamp(micros)) if input.flag() => micros.to_string(),
        Some(Cell::Timestamp(micros)) => {
            let (day, of_day) = (micros.div_euclid(MICROS_A_DAY), micros.rem_euclid(MICROS_A_DAY));
            let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            format!("\"{}T{hours:02}:{minutes:02}:{:02}.{micros:06}Z\"", date(day), seconds % 60)
        }
        Some(Cell::Decimal(number)) => {
            let DataType::Decimal(_, scale) = field.data_type else { unreachable!() };
            let text = decimal_text(number, scale);
            if input.flag() { text } else { format!("\"{text}\"") }
        }
    };
    RawValue::from_string(text).expect("JSON")
}
