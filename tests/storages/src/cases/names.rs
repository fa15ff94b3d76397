//! Names of streams and fields, which come from connectors that nobody trusts.

use ow_storage::DataType::{Int64, Text};
use ow_storage::StorageError;
use ow_storage::WriteMode::{Append, Merge};

use super::refused;
use crate::values::{people, stream};
use crate::{Kind, Place, cells, row};

/// Words that SQL keeps for itself, of several dialects.
const WORDS: [&str; 24] = [
    "select",
    "order",
    "group",
    "from",
    "where",
    "table",
    "user",
    "timestamp",
    "date",
    "values",
    "index",
    "key",
    "end",
    "default",
    "primary",
    "grouping",
    "window",
    "rows",
    "current_date",
    "true",
    "null",
    "merge",
    "interval",
    "partition",
];

/// Reserved words as columns.
pub fn reserved_words_as_columns(place: &Place) {
    let mut fields = vec![("*select", Int64)];
    fields.extend(WORDS.iter().skip(1).map(|word| (*word, Text)));
    let schema = stream("words", &fields);
    for round in ["a", "b"] {
        let mut row = row![1];
        row.extend(WORDS.iter().skip(1).map(|_| round.into()));
        place.load(&schema, Merge, &[&[row]]);
    }
    let mut expected = cells![1];
    expected.extend(WORDS.iter().skip(1).map(|_| Some("b".to_owned())));
    place.expect(&schema, &[expected]);
}

/// Reserved words as tables.
pub fn reserved_words_as_tables(place: &Place) {
    for word in ["select", "order", "table", "user", "values"] {
        let schema = people(word);
        place.load(&schema, Merge, &[&[row![1, "a"]]]);
        place.load(&schema, Merge, &[&[row![1, "b"]]]);
        place.expect(&schema, &[cells![1, "b"]]);
    }
}

/// Names that try to get out of their quotes or of their folder: taken for what
/// they are or refused, and nothing else is touched.
pub fn hostile_names(place: &Place) {
    let witness = people("witness");
    place.load(&witness, Merge, &[&[row![1, "a"]]]);
    let names = [
        "x\"; DROP TABLE witness; --",
        "x'; DROP TABLE witness; --",
        "x`; DROP TABLE witness; --",
        "../witness",
        "witness/../../x",
        "a/b",
        "a\\b",
        ".",
        "..",
        ".hidden",
        "a\0b",
        "a\nb",
        "CON",
        "a.b",
        "%2e%2e",
        "{x}",
        "x=1",
        "日本語",
        "🎉",
        "a b",
        "-x",
        "1x",
        "?",
        "*",
        "$x",
        "a\"b\"c",
        "a'b",
        "a`b",
        "[x]",
    ];
    let long = "x".repeat(300);
    for (number, name) in names.into_iter().chain([long.as_str()]).enumerate() {
        if !as_both(place, name) {
            as_a_table(place, name);
            as_a_column(place, name, &format!("column_{number}"));
        }
    }
    place.expect(&witness, &[cells![1, "a"]]);
    let outside: Vec<_> = place
        .folder()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !place.kind.files().iter().any(|known| name.starts_with(known)))
        .collect();
    assert_eq!(outside, Vec::<String>::new(), "nothing is made outside the place");
}

/// As the name of a table and of its key; false where one of the two is refused.
fn as_both(place: &Place, name: &str) -> bool {
    if place.kind == Kind::Csv && name.contains('\n') {
        // See `as_a_column`.
        return false;
    }
    let mut schema = stream(name, &[("*key", Int64), ("plain", Text)]);
    name.clone_into(&mut schema.fields[0].name);
    schema.primary_key = vec![name.to_owned()];
    match place.try_load(&schema, Merge, &[&[row![7, "b"]]]) {
        Ok(()) => place.expect(&schema, &[cells![7, "b"]]),
        Err(StorageError::Refused { .. }) => return false,
        Err(other) => panic!("table and key {name:?} are neither taken nor refused: {other:?}"),
    }
    true
}

fn as_a_table(place: &Place, name: &str) {
    let schema = people(name);
    match place.try_load(&schema, Merge, &[&[row![7, "b"]]]) {
        Ok(()) => place.expect(&schema, &[cells![7, "b"]]),
        Err(StorageError::Refused { .. }) => {}
        Err(other) => panic!("table {name:?} is neither taken nor refused: {other:?}"),
    }
}

fn as_a_column(place: &Place, name: &str, table: &str) {
    let key = format!("*{name}");
    let schema = stream(table, &[(&key, Int64), ("plain", Text)]);
    // A name that starts with a star would be a key's mark.
    if name.starts_with('*') {
        return;
    }
    match place.try_load(&schema, Merge, &[&[row![7, "b"]]]) {
        // DuckDB does not find the end of a head of two lines.
        Ok(()) if place.kind == Kind::Csv && name.contains('\n') => {}
        Ok(()) => place.expect(&schema, &[cells![7, "b"]]),
        Err(StorageError::Refused { .. }) => {}
        Err(other) => panic!("column {name:?} is neither taken nor refused: {other:?}"),
    }
}

/// The host's own tables cannot be written to as streams.
pub fn our_own_tables_are_refused(place: &Place) {
    for name in ["_ow_state", "_ow_runs", "_OW_state", "_ow_columns", "_ow_"] {
        refused(place.try_load(&people(name), Append, &[&[row![1, "a"]]]), &["_ow_"]);
    }
}

/// Columns whose names differ in their case only in another run.
pub fn a_column_in_another_case(place: &Place) {
    place.load(&people("cases"), Merge, &[&[row![1, "a"]]]);
    let other = stream("cases", &[("*id", Int64), ("NAME", Text)]);
    match place.try_load(&other, Merge, &[&[row![1, "b"]]]) {
        Ok(()) if place.kind.folds_names() => place.expect(&people("cases"), &[cells![1, "b"]]),
        Ok(()) => {
            let both = stream("cases", &[("*id", Int64), ("name", Text), ("NAME", Text)]);
            place.expect(&both, &[cells![1, "a", "b"]]);
        }
        Err(StorageError::Refused { message }) => assert!(message.contains("NAME"), "{message}"),
        Err(other) => panic!("neither taken nor refused: {other:?}"),
    }
}
