//! Streams that a guest declares.

use std::collections::BTreeSet;

use super::fits_a_line;
use super::input::Input;
use crate::bridge::bindings::ow::connector::types as wit;
use crate::bridge::schema;
use crate::sandbox::LimitOverrides;
use crate::storage::DataType;

const COLUMNS: u32 = 8;

/// A table that is accepted has sound names, distinct without regard to case,
/// sound types, and keys that exist; a refusal fits a line.
pub fn stream(bytes: &[u8]) {
    let limits = LimitOverrides { columns: Some(COLUMNS), ..LimitOverrides::default() }.resolve();
    let declared = declared(&mut Input::new(bytes));
    let table = match schema::table(declared.clone(), &limits) {
        Ok(table) => table,
        Err(error) => {
            assert!(fits_a_line(&error.message), "{:?}", error.message);
            assert!(error.message.len() < 2048, "{} bytes of message", error.message.len());
            return;
        }
    };
    assert!((1..=COLUMNS as usize).contains(&table.fields.len()));
    let names = table.fields.iter().map(|field| &field.name).chain([&table.name]);
    for name in names.clone() {
        assert!((1..=255).contains(&name.len()) && fits_a_line(name), "{name:?}");
    }
    let distinct: BTreeSet<String> = names.map(|name| name.to_lowercase()).collect();
    assert!(distinct.len() >= table.fields.len());
    let find = |name: &String| table.fields.iter().find(|field| field.name == *name).expect("a known field");
    assert!(table.primary_key.iter().all(|name| !find(name).nullable));
    assert!(table.cursor_field.iter().all(|name| !find(name).name.is_empty()));
    if let Some(name) = &table.partition_field {
        assert!(matches!(find(name).data_type, DataType::Date | DataType::Timestamp));
    }
    let texts = table.fields.iter().map(|field| &field.description).chain([&table.description]);
    assert!(texts.flatten().all(|text| fits_a_line(text) && text.len() <= 1024));
    for (field, declared) in table.fields.iter().zip(&declared.fields) {
        assert_eq!((&field.name, field.nullable), (&declared.name, declared.nullable));
        if let DataType::Decimal(precision, scale) = field.data_type {
            assert!((1..=38).contains(&precision) && scale <= precision);
        }
    }
    // Arrow refuses types that it cannot hold.
    assert_eq!(table.arrow().fields().len(), table.fields.len());
}

fn declared(input: &mut Input<'_>) -> wit::Stream {
    let fields: Vec<wit::Field> = (0..input.below(COLUMNS as usize + 2)).map(|_| field(input)).collect();
    let known: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
    let some_name = |input: &mut Input<'_>| match known.len() {
        0 => input.text(8),
        _ if input.below(8) == 0 => input.text(300),
        len => known[input.below(len)].clone(),
    };
    wit::Stream {
        name: name(input),
        description: input.flag().then(|| input.text(40)),
        primary_key: (0..input.below(4)).map(|_| some_name(input)).collect(),
        cursor_field: input.flag().then(|| some_name(input)),
        partition_field: input.flag().then(|| some_name(input)),
        fields,
    }
}

fn field(input: &mut Input<'_>) -> wit::Field {
    let data_type = match input.below(9) {
        0 => wit::DataType::Boolean,
        1 => wit::DataType::Int64,
        2 => wit::DataType::Float64,
        3 => wit::DataType::Decimal((input.byte(), input.byte())),
        4 => wit::DataType::Text,
        5 => wit::DataType::Bytes,
        6 => wit::DataType::Date,
        7 => wit::DataType::Timestamp,
        _ => wit::DataType::Json,
    };
    let description = input.flag().then(|| input.text(40));
    wit::Field { name: name(input), data_type, nullable: input.flag(), description }
}

fn name(input: &mut Input<'_>) -> String {
    if input.flag() { format!("f{}", input.byte()) } else { input.text(300) }
}
