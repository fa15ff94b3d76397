//! Tables that meet a stream of another shape.

use ow_storage::DataType::{Boolean, Bytes, Date, Decimal, Float64, Int64, Json, Text, Timestamp};
use ow_storage::WriteMode::{Append, Merge};
use ow_storage::{DataType, Outcome};

use super::refused;
use crate::place::{a_refresh, a_run, changes, write_all};
use crate::values::{Value, people, stream};
use crate::{Place, cells, row};

/// A column that a later run brings: older rows have null.
pub fn a_column_appears(place: &Place) {
    let before = people("grows");
    place.load(&before, Merge, &[&[row![1, "a"]]]);
    let after = stream("grows", &[("*id", Int64), ("added", Float64), ("name", Text), ("day", Date)]);
    place.load(&after, Merge, &[&[row![2, 0.5, "b", 1]]]);
    place.expect(&after, &[cells![1, (), "a", ()], cells![2, 0.5, "b", "1970-01-02"]]);
}

/// The same without a key.
pub fn a_column_appears_in_a_log(place: &Place) {
    let before = stream("log", &[("id", Int64)]);
    place.load(&before, Append, &[&[row![1]]]);
    let after = stream("log", &[("id", Int64), ("doc", Json), ("money", Decimal(10, 2))]);
    place.load(&after, Append, &[&[row![2, "{}", 5]]]);
    place.expect(&after, &[cells![1, (), ()], cells![2, "{}", "0.05"]]);
}

/// A column that a later run lacks: it stays, and new rows have null.
pub fn a_column_disappears(place: &Place) {
    let before = people("shrinks");
    place.load(&before, Merge, &[&[row![1, "a"]]]);
    let after = stream("shrinks", &[("*id", Int64), ("other", Text)]);
    place.load(&after, Merge, &[&[row![1, "x"], row![2, "y"]]]);
    let both = stream("shrinks", &[("*id", Int64), ("name", Text), ("other", Text)]);
    place.expect(&both, &[cells![1, "a", "x"], cells![2, (), "y"]]);
}

/// Two types of which one holds the values of both, and what a value of each is
/// in it.
struct Widening {
    from: DataType,
    value: Value,
    to: DataType,
    wider: Value,
    /// The type that the column has then.
    held: DataType,
    expected: [&'static str; 2],
}

fn widenings() -> Vec<Widening> {
    let widening = |from, value: Value, to, wider: Value, held, expected| Widening {
        from,
        value,
        to,
        wider,
        held,
        expected,
    };
    vec![
        widening(
            Int64,
            Value::from(i64::MAX),
            Decimal(21, 2),
            Value::from(1),
            Decimal(21, 2),
            ["9223372036854775807", "0.01"],
        ),
        widening(
            Decimal(10, 2),
            Value::from(-1250),
            Decimal(20, 4),
            Value::from(1),
            Decimal(20, 4),
            ["-12.5", "0.0001"],
        ),
        widening(
            Decimal(10, 2),
            Value::from(-1250),
            Decimal(20, 2),
            Value::from(10_i128.pow(20) - 1),
            Decimal(20, 2),
            ["-12.5", "999999999999999999.99"],
        ),
        widening(
            Decimal(10, 4),
            Value::from(12_500),
            Decimal(12, 2),
            Value::from(999_999_999_999_i64),
            Decimal(14, 4),
            ["1.25", "9999999999.99"],
        ),
        widening(
            Decimal(10, 2),
            Value::from(5),
            Int64,
            Value::from(i64::MIN),
            Decimal(21, 2),
            ["0.05", "-9223372036854775808"],
        ),
        widening(
            Date,
            Value::from(1),
            Timestamp,
            Value::from(1),
            Timestamp,
            ["1970-01-02T00:00:00.000000Z", "1970-01-01T00:00:00.000001Z"],
        ),
        widening(
            Timestamp,
            Value::from(1),
            Date,
            Value::from(1),
            Timestamp,
            ["1970-01-01T00:00:00.000001Z", "1970-01-02T00:00:00.000000Z"],
        ),
        widening(Int64, Value::from(-5), Text, Value::from("x"), Text, ["-5", "x"]),
        widening(Boolean, Value::from(true), Text, Value::from("x"), Text, ["true", "x"]),
        widening(Decimal(10, 2), Value::from(-1250), Text, Value::from("x"), Text, ["-12.50", "x"]),
        widening(Date, Value::from(0), Text, Value::from("x"), Text, ["1970-01-01", "x"]),
        widening(
            Timestamp,
            Value::from(1),
            Text,
            Value::from("x"),
            Text,
            ["1970-01-01T00:00:00.000001Z", "x"],
        ),
        widening(Json, Value::from("[1]"), Text, Value::from("x"), Text, ["[1]", "x"]),
        widening(Text, Value::from("x"), Int64, Value::from(7), Text, ["x", "7"]),
        widening(Text, Value::from("x"), Boolean, Value::from(false), Text, ["x", "false"]),
        widening(Text, Value::from("x"), Date, Value::from(0), Text, ["x", "1970-01-01"]),
    ]
}

/// A type that meets another: the column becomes, or stays, the one that holds
/// both, with every value as it was; or the change is refused.
pub fn types_widen(place: &Place) {
    for (number, widening) in widenings().into_iter().enumerate() {
        let name = format!("widens_{number}");
        let Widening { from, value, to, wider, held, expected } = widening;
        let shape = |data_type| stream(&name, &[("*id", Int64), ("x", data_type)]);
        place.load(&shape(from), Merge, &[&[vec![1.into(), value], row![2, ()]]]);
        let loaded = place.try_load(&shape(to), Merge, &[&[vec![3.into(), wider]]]);
        let [old, new] = expected;
        if place.kind.widens(from, to) {
            loaded.unwrap_or_else(|error| panic!("{from} does not meet {to}: {error}"));
            place.expect(&shape(held), &[cells![1, old], cells![2, ()], cells![3, new]]);
        } else {
            refused(loaded, &["`x`", &name]);
            assert_eq!(place.read(&shape(from)).len(), 2, "{from} and {to}: the table is as it was");
        }
    }
}

/// Two types and none that holds the values of both: refused, and nothing of
/// the run is there, nor its state.
pub fn what_would_lose_data_is_refused(place: &Place) {
    for (number, (from, value, to, other)) in [
        (Int64, Value::from(i64::MAX), Float64, Value::from(0.5)),
        (Float64, Value::from(0.5), Int64, Value::from(1)),
        (Float64, Value::from(0.5), Text, Value::from("x")),
        (Bytes, Value::from(&b"\xff"[..]), Text, Value::from("x")),
        (Boolean, Value::from(true), Int64, Value::from(2)),
        (Json, Value::from("1"), Int64, Value::from(2)),
        (Decimal(38, 0), Value::from(1), Decimal(38, 38), Value::from(1)),
        (Date, Value::from(1), Int64, Value::from(2)),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("loses_{number}");
        let shape = |data_type| stream(&name, &[("*id", Int64), ("x", data_type)]);
        place.load(&shape(from), Merge, &[&[vec![1.into(), value]]]);
        let before = place.read(&shape(from));
        let mut storage = place.open(&a_run("r2")).unwrap();
        let written = write_all(storage.as_mut(), &shape(to), Merge, &[&[vec![2.into(), other]]])
            .and_then(|()| storage.commit(&changes(&[(&name, Some("2"))])));
        refused(written, &["`x`", &name]);
        storage.finish(Outcome::Failed, &changes(&[]), Some("refused")).unwrap();
        drop(storage);
        assert_eq!(place.read(&shape(from)), before, "{from} and {to}: the table is as it was");
    }
    assert!(place.state().is_empty());
}

/// Another primary key is refused.
pub fn another_key_is_refused(place: &Place) {
    place.load(&people("keyed"), Merge, &[&[row![1, "a"]]]);
    let other = stream("keyed", &[("id", Int64), ("*name", Text)]);
    refused(place.try_load(&other, Merge, &[&[row![2, "b"]]]), &["keyed", "key"]);
    place.expect(&people("keyed"), &[cells![1, "a"]]);
}

/// A full refresh builds the table anew, in whatever shape.
pub fn a_full_refresh_takes_any_shape(place: &Place) {
    let before = people("anew");
    place.load(&before, Merge, &[&[row![1, "a"]]]);
    let after = stream("anew", &[("*name", Int64), ("id", Bytes), ("more", Boolean)]);
    place.try_load_as(&a_refresh("r2"), &after, Merge, &[&[row![5, &b"\x01"[..], true]]]).unwrap();
    place.expect(&after, &[cells![5, "01", true]]);
}

/// The columns of a table are told with their logical types.
pub fn columns_are_told(place: &Place) {
    let schema = stream(
        "told",
        &[
            ("*id", Int64),
            ("doc", Json),
            ("money", Decimal(10, 2)),
            ("words", Text),
            ("raw", Bytes),
            ("day", Date),
        ],
    );
    place.load(&schema, Merge, &[&[row![1, "{}", 1, "x", &b"y"[..], 0]]]);
    let mut storage = place.open(&a_run("r2")).unwrap();
    let told = storage.columns("told").unwrap().expect("columns");
    let nothing = storage.columns("no_such_stream").unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    let told: Vec<_> = told.into_iter().map(|field| (field.name, field.data_type)).collect();
    let expected: Vec<_> =
        schema.fields.iter().map(|field| (field.name.clone(), place.kind.kept_as(field.data_type))).collect();
    assert_eq!(told, expected);
    assert!(nothing.is_none());
}
