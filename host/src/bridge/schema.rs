//! Checks the streams that a guest declares, and turns them into tables.

use std::collections::BTreeSet;

use super::bindings::ow::connector::types::{self as wit, Error, ErrorKind};
use super::refusal::{error, invalid, limit};
use crate::report::text::{cut, is_unfit, plain};
use crate::sandbox::Limits;
use crate::storage::{DataType, Field, TableSchema};

/// Bytes of a stream's, a field's or a state key's name.
pub const NAME_BYTES: usize = 255;
/// Digits of a decimal.
pub const DECIMAL_DIGITS: u8 = 38;
/// Streams that a connector may declare: the host keeps them all.
const STREAMS: usize = 10_000;
/// Bytes of a description that are kept.
const DESCRIPTION_BYTES: usize = 1024;

/// The tables of the streams that a connector declares, if they are sound.
pub(crate) fn tables(streams: Vec<wit::Stream>, limits: &Limits) -> Result<Vec<TableSchema>, Error> {
    if streams.len() > STREAMS {
        let message = format!("the connector declares {} streams; the limit is {STREAMS}", streams.len());
        return Err(error(ErrorKind::LimitExceeded, message));
    }
    streams.into_iter().map(|stream| table(stream, limits)).collect()
}

/// The table of a stream, if the stream is sound.
pub(crate) fn table(stream: wit::Stream, limits: &Limits) -> Result<TableSchema, Error> {
    check_name("a stream", &stream.name)?;
    let of = format!("the stream '{}'", stream.name);
    if stream.fields.is_empty() {
        return Err(invalid(format!("{of} has no fields")));
    }
    let columns = usize::try_from(limits.columns).unwrap_or(usize::MAX);
    if stream.fields.len() > columns {
        return Err(limit(
            "columns",
            format!("{of} has {} fields; the limit is {columns}", stream.fields.len()),
        ));
    }
    let mut seen = BTreeSet::new();
    let mut fields = Vec::with_capacity(stream.fields.len());
    for field in stream.fields {
        check_name(&format!("a field of {of}"), &field.name)?;
        if !seen.insert(field.name.to_lowercase()) {
            return Err(invalid(format!(
                "{of} has the field '{}' twice (names that differ in case alone are the same to a database)",
                field.name
            )));
        }
        fields.push(Field {
            data_type: data_type(field.data_type)
                .map_err(|why| invalid(format!("the field '{}' of {of} {why}", field.name)))?,
            name: field.name,
            nullable: field.nullable,
            description: description(field.description),
        });
    }
    let table = TableSchema {
        name: stream.name,
        description: description(stream.description),
        fields,
        primary_key: stream.primary_key,
        cursor_field: stream.cursor_field,
        partition_field: stream.partition_field,
    };
    check_keys(&table, &of)?;
    Ok(table)
}

/// Bytes of a table's names and descriptions.
pub(super) fn size(table: &TableSchema) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let fields = table.fields.iter().map(|field| field.name.len() + text(&field.description));
    table.name.len() + text(&table.description) + fields.sum::<usize>()
}

fn check_keys(table: &TableSchema, of: &str) -> Result<(), Error> {
    let find = |name: &str, role: &str| {
        let known = table.fields.iter().find(|field| field.name == name);
        known.ok_or_else(|| {
            invalid(format!("{of} has no field '{}', which its {role} names", plain(cut(name, NAME_BYTES))))
        })
    };
    let mut key = BTreeSet::new();
    for name in &table.primary_key {
        let field = find(name, "primary key")?;
        if field.nullable {
            return Err(invalid(format!(
                "the field '{name}' of {of} is part of the primary key and must not be nullable"
            )));
        }
        if !key.insert(name) {
            return Err(invalid(format!("the primary key of {of} names the field '{name}' twice")));
        }
    }
    if let Some(name) = &table.cursor_field {
        find(name, "cursor field")?;
    }
    if let Some(name) = &table.partition_field {
        let field = find(name, "partition field")?;
        if !matches!(field.data_type, DataType::Date | DataType::Timestamp) {
            return Err(invalid(format!(
                "the partition field '{name}' of {of} is {}, but must be a date or a timestamp",
                field.data_type
            )));
        }
    }
    Ok(())
}

/// Refuses a name that is empty, too long, or holds control characters.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let why = if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_BYTES {
        "is longer than 255 bytes"
    } else if name.chars().any(is_unfit) || name.contains('\t') {
        "holds a control character"
    } else {
        return Ok(());
    };
    Err(invalid(format!("the name of {what} {why}: '{}'", plain(cut(name, NAME_BYTES)).replace('\0', "\\0"))))
}

fn description(text: Option<String>) -> Option<String> {
    text.map(|text| plain(cut(&text, DESCRIPTION_BYTES)).into_owned()).filter(|text| !text.is_empty())
}

fn data_type(ty: wit::DataType) -> Result<DataType, String> {
    Ok(match ty {
        wit::DataType::Boolean => DataType::Boolean,
        wit::DataType::Int64 => DataType::Int64,
        wit::DataType::Float64 => DataType::Float64,
        wit::DataType::Decimal((precision, scale)) => {
            if precision == 0 || precision > DECIMAL_DIGITS || scale > precision {
                return Err(format!(
                    "is decimal({precision}, {scale}); the precision must be 1 to {DECIMAL_DIGITS}, the scale 0 to the precision"
                ));
            }
            DataType::Decimal(precision, scale)
        }
        wit::DataType::Text => DataType::Text,
        wit::DataType::Bytes => DataType::Bytes,
        wit::DataType::Date => DataType::Date,
        wit::DataType::Timestamp => DataType::Timestamp,
        wit::DataType::Json => DataType::Json,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(fields: &[(&str, bool)], key: &[&str]) -> wit::Stream {
        wit::Stream {
            name: "s".into(),
            description: None,
            fields: fields
                .iter()
                .map(|(name, nullable)| wit::Field {
                    name: (*name).into(),
                    data_type: wit::DataType::Text,
                    nullable: *nullable,
                    description: None,
                })
                .collect(),
            primary_key: key.iter().map(|name| (*name).into()).collect(),
            cursor_field: None,
            partition_field: None,
        }
    }

    fn refusal(stream: wit::Stream) -> String {
        table(stream, &Limits::default()).unwrap_err().message
    }

    #[test]
    fn as_many_streams_as_may_be_are_declared_and_one_more_is_refused() {
        let declared = |n| tables(vec![stream(&[("a", true)], &[]); n], &Limits::default());
        assert_eq!(declared(STREAMS).unwrap().len(), STREAMS);
        insta::assert_snapshot!(declared(STREAMS + 1).unwrap_err().message, @"the connector declares 10001 streams; the limit is 10000");
    }

    #[test]
    fn unsound_streams_are_refused_by_name() {
        assert!(table(stream(&[("id", false), ("x", true)], &["id"]), &Limits::default()).is_ok());
        insta::assert_snapshot!(refusal(stream(&[], &[])), @"the stream 's' has no fields");
        insta::assert_snapshot!(refusal(stream(&[("a", true), ("A", true)], &[])), @"the stream 's' has the field 'A' twice (names that differ in case alone are the same to a database)");
        insta::assert_snapshot!(refusal(stream(&[("a", true)], &["a"])), @"the field 'a' of the stream 's' is part of the primary key and must not be nullable");
        insta::assert_snapshot!(refusal(stream(&[("a", false)], &["b"])), @"the stream 's' has no field 'b', which its primary key names");
        insta::assert_snapshot!(refusal(stream(&[("a\0b", false)], &[])), @"the name of a field of the stream 's' holds a control character: 'ab'");
        let mut partition = stream(&[("a", false)], &[]);
        partition.partition_field = Some("a".into());
        insta::assert_snapshot!(refusal(partition), @"the partition field 'a' of the stream 's' is text, but must be a date or a timestamp");
        let mut decimal = stream(&[("a", false)], &[]);
        decimal.fields[0].data_type = wit::DataType::Decimal((39, 2));
        insta::assert_snapshot!(refusal(decimal), @"the field 'a' of the stream 's' is decimal(39, 2); the precision must be 1 to 38, the scale 0 to the precision");
        let many: Vec<String> = (0..3000).map(|i| format!("f{i}")).collect();
        let many: Vec<(&str, bool)> = many.iter().map(|name| (name.as_str(), true)).collect();
        insta::assert_snapshot!(refusal(stream(&many, &[])), @"the stream 's' has 3000 fields; the limit is 2000 (raise it with --columns)");
    }
}
