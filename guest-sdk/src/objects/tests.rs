//! Objects into columns: what is converted, what is refused, and what hostile
//! sources send.

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::ORDER;
use crate::error::Result;
use crate::host::native::{self, Fake};
use crate::prelude::*;

/// Writes to a table `t` of these columns; answers what came of it, the rows and
/// what was logged.
fn written<T>(
    fields: &[(&str, DataType)],
    options: Open,
    work: impl FnOnce(&mut Context<IgnoredAny>, Table) -> Result<T>,
) -> (Result<T>, Vec<Value>, Vec<String>) {
    crate::logging::install();
    let before = native::replace(Fake::default());
    let mut ctx = Context::from_variables(|_| None, "test").unwrap();
    // `!` marks a column that may not be null.
    let stream = fields.iter().fold(Stream::new("t"), |stream, (name, data_type)| {
        let field = Field::new(name.trim_end_matches('!'), *data_type);
        stream.field(if name.ends_with('!') { field } else { field.nullable() })
    });
    let result = ctx.open_stream(stream, options).and_then(|table| work(&mut ctx, table));
    let result = result.and_then(|result| ctx.finish().map(|()| result));
    let mut fake = native::replace(before);
    fake.commit();
    let rows = fake.tables.remove("t").map(|table| table.rows().to_vec()).unwrap_or_default();
    (result, rows, fake.logs.into_iter().map(|log| log.message).collect())
}

fn rows(fields: &[(&str, DataType)], objects: &[&str]) -> Result<Vec<Value>> {
    let work = |ctx: &mut Context<IgnoredAny>, table| {
        objects.iter().try_for_each(|object| ctx.write_object(table, object))
    };
    let (result, rows, _) = written(fields, Open::default(), work);
    result.map(|()| rows)
}

fn refused(fields: &[(&str, DataType)], object: &str) -> String {
    rows(fields, &[object]).unwrap_err().to_string()
}

const DECIMAL: DataType = DataType::Decimal { precision: 10, scale: 2 };

#[test]
fn every_type_takes_its_values() {
    let fields = [
        ("b", DataType::Boolean),
        ("i", DataType::Int64),
        ("f", DataType::Float64),
        ("d", DECIMAL),
        ("t", DataType::Text),
        ("x", DataType::Bytes),
        ("day", DataType::Date),
        ("at", DataType::Timestamp),
        ("j", DataType::Json),
    ];
    let object = r#" {"j" : {"a": [1, {"b": null}]}, "at": "2024-03-15T12:00:00+02:00", "day": "2024-03-15", "x": "eHl6",
        "t": "é\n\ud83d\ude00", "d": 12.5, "f": 1, "i": "42", "b": "true", "unknown": {"i": [7]}} "#;
    let want = json!({
        "b": true, "i": 42, "f": 1.0, "d": "12.5", "t": "é\n😀", "x": "eHl6", "day": "2024-03-15",
        "at": "2024-03-15T10:00:00Z", "j": {"a": [1, {"b": null}]},
    });
    assert_eq!(rows(&fields, &[object]).unwrap(), [want]);
    let nothing = json!({
        "b": null, "i": null, "f": null, "d": null, "t": null, "x": null, "day": null, "at": null, "j": null,
    });
    let nulls = r#"{"b":null,"i":null,"f":null,"d":null,"t":null,"x":null,"day":null,"at":null,"j":null}"#;
    assert_eq!(rows(&fields, &["{}", nulls]).unwrap(), [nothing.clone(), nothing]);
}

#[test]
fn nested_values_are_json_and_text_but_nothing_else() {
    let object = r#"{"v": [1, {"a" : "x"}]}"#;
    let text = |data_type| rows(&[("v", data_type)], &[object]).unwrap()[0]["v"].clone();
    assert_eq!(text(DataType::Text), json!(r#"[1, {"a" : "x"}]"#));
    assert_eq!(text(DataType::Json), json!([1, {"a": "x"}]));
    for (data_type, name) in
        [(DataType::Int64, "int64"), (DECIMAL, "decimal(10, 2)"), (DataType::Date, "date")]
    {
        assert_eq!(
            refused(&[("v", data_type)], object),
            format!("stream `t`: field `v` ({name}) cannot hold `[1, {{\"a\" : \"x\"}}]`")
        );
    }
}

#[test]
fn what_does_not_fit_is_named_and_never_null() {
    for (data_type, value, shown) in [
        (DataType::Int64, "5.5", "(int64) cannot hold `5.5`"),
        (DataType::Int64, "9223372036854775808", "(int64) cannot hold `9223372036854775808`"),
        (DataType::Int64, r#""n/a""#, r#"(int64) cannot hold `"n/a"`"#),
        (DataType::Int64, "true", "(int64) cannot hold `true`"),
        (DataType::Float64, "9007199254740993", "(float64) cannot hold `9007199254740993`"),
        (DataType::Boolean, "7", "(boolean) cannot hold `7`"),
        (DataType::Timestamp, "1700000000", "(timestamp) cannot hold `1700000000`"),
        (DataType::Text, r#""\ud800""#, r#"(text) cannot hold `"\ud800"`"#),
    ] {
        let error = refused(&[("v", data_type)], &format!(r#"{{"v": {value}}}"#));
        assert_eq!(error, format!("stream `t`: field `v` {shown}"));
    }
    let long = format!(r#"{{"v": "{}"}}"#, "é".repeat(10_000));
    let error = refused(&[("v", DataType::Int64)], &long);
    assert!(error.ends_with("é…`") && error.len() < 200, "{error}");
}

#[test]
fn null_and_nothing_where_a_value_must_be() {
    let fields = [("a!", DataType::Int64), ("b", DataType::Int64)];
    assert_eq!(refused(&fields, r#"{"a": null}"#), "stream `t`: field `a` may not be null");
    assert_eq!(refused(&fields, r#"{"b": 1}"#), "stream `t`: field `a` is missing");
    assert_eq!(refused(&[("j!", DataType::Json)], r#"{"j": null}"#), "stream `t`: field `j` may not be null");
    assert_eq!(rows(&fields, &[r#"{"a": 1}"#]).unwrap(), [json!({"a": 1, "b": null})]);
}

#[test]
fn a_refused_object_leaves_nothing() {
    let fields = [("a!", DataType::Int64), ("b", DataType::Text), ("c", DataType::Boolean)];
    let bad = [
        r#"{"a": 2, "b": "two", "c": 7}"#,
        r#"{"b": "two", "c": true}"#,
        r#"{"a": 2, "b": "two", "#,
        r#"{"a": 2} {"a": 3}"#,
    ];
    let (result, rows, _) = written(&fields, Open::default(), |ctx, table| {
        ctx.write_object(table, r#"{"a": 1, "b": "one", "c": true}"#)?;
        for object in bad {
            assert!(ctx.write_object(table, object).is_err(), "{object}");
        }
        ctx.write_object(table, r#"{"a": 3, "b": "three"}"#)
    });
    result.unwrap();
    assert_eq!(rows, [json!({"a": 1, "b": "one", "c": true}), json!({"a": 3, "b": "three", "c": null})]);
}

#[test]
fn a_key_that_stands_twice() {
    let fields = [("a", DataType::Int64)];
    assert_eq!(refused(&fields, r#"{"a": 1, "a": 1}"#), "stream `t`: field `a` stands twice");
    assert_eq!(refused(&fields, r#"{"a": 1, "\u0061": 2}"#), "stream `t`: field `a` stands twice");
    assert_eq!(rows(&fields, &[r#"{"x": 1, "x": 2, "a": 3}"#]).unwrap(), [json!({"a": 3})]);
}

#[test]
fn keys_with_escapes_are_keys() {
    let fields = [("a\"b", DataType::Int64), ("é", DataType::Int64)];
    let want = json!({"a\"b": 1, "é": 2});
    let objects = [r#"{"a\"b": 1, "\u00e9": 2}"#, r#"{"é": 2, "\u0061\"b": 1}"#, r#"{"a\u0022b":1,"é":2}"#];
    assert_eq!(rows(&fields, &objects).unwrap(), [want.clone(), want.clone(), want]);
}

#[test]
fn keys_in_any_order_and_some_of_them() {
    let fields = [("a", DataType::Int64), ("b", DataType::Int64), ("c", DataType::Int64)];
    let objects = [
        r#"{"a":1,"x":0,"b":2,"c":3}"#,
        r#"{"c":3,"b":2,"a":1}"#,
        r#"{"x":9,"c":3}"#,
        r#"{"y":0,"a":1,"b":2,"z":[],"c":3}"#,
        r#"{"b":2}"#,
        "{}",
        r#"{"a":1,"b":2,"c":3,"x":0}"#,
    ];
    let got = rows(&fields, &objects).unwrap();
    for (object, row) in objects.iter().zip(got) {
        let object: Value = serde_json::from_str(object).unwrap();
        for name in ["a", "b", "c"] {
            assert_eq!(row[name], object[name], "{object}");
        }
    }
}

#[test]
fn places_within_objects() {
    let fields = [
        ("id!", DataType::Int64),
        ("login", DataType::Text),
        ("owner", DataType::Json),
        ("first", DataType::Text),
        ("deep", DataType::Int64),
    ];
    let options = || {
        Open::default()
            .place("login", "/owner/login")
            .place("first", "/owner/name/a~1b")
            .place("deep", "/x/y/z")
    };
    let write = |object: &str| {
        let object = object.to_owned();
        let (result, mut rows, _) =
            written(&fields, options(), move |ctx, table| ctx.write_object(table, &object));
        result.map(|()| rows.remove(0))
    };
    let got = write(
        r#"{"x":{"y":{"q":[],"z":"5"}},"owner":{"login":"me","name":{"a/b":"A"}},"id":1,"login":"no"}"#,
    );
    let owner = json!({"login": "me", "name": {"a/b": "A"}});
    assert_eq!(got.unwrap(), json!({"id": 1, "login": "me", "owner": owner, "first": "A", "deep": 5}));
    let got = write(r#"{"id": 1, "owner": null, "x": {}}"#).unwrap();
    assert_eq!(got, json!({"id": 1, "login": null, "owner": null, "first": null, "deep": null}));
    let error = write(r#"{"id": 1, "owner": {"name": "x"}}"#).unwrap_err();
    assert_eq!(error.message(), "stream `t`: `/owner/name` is no object but `\"x\"`");
    let error = write(r#"{"id": 1, "x": {"y": {"z": 1, "z": 2}}}"#).unwrap_err();
    assert_eq!(error.message(), "stream `t`: field `deep` stands twice");
}

#[test]
fn places_that_cannot_be() {
    for (options, message) in [
        (Open::default().place("b", "/b"), "there is no field `b`"),
        (Open::default().place("a", "b"), "`b` is no place in JSON: write it as `/data/list`"),
        (Open::default().place("a", ""), "field `a` cannot be the whole object"),
        (Open::default().place("a", "/c"), "field `c` is found where another one is, too"),
    ] {
        let fields = [("a", DataType::Int64), ("c", DataType::Int64)];
        let (result, ..) = written(&fields, options, |ctx, table| ctx.write_object(table, "{}"));
        assert_eq!(result.unwrap_err().message(), format!("stream `t`: {message}"));
    }
}

#[test]
fn given_values_count() {
    let fields = [("account!", DataType::Text), ("day!", DataType::Date), ("n", DataType::Int64)];
    let day = "2024-03-15".parse().unwrap();
    let (result, rows, _) = written(&fields, Open::default(), |ctx, table| {
        let given = [("account", Cell::Text("7")), ("day", Cell::Date(day))];
        ctx.write_object_with(table, r#"{"n": 1, "account": {"any": "thing"}, "day": 5}"#, &given)?;
        ctx.write_object_with(table, r#"{"n": 2}"#, &given)?;
        let unknown = ctx.write_object_with(table, "{}", &[("x", Cell::Null)]).unwrap_err();
        assert_eq!(unknown.message(), "stream `t`: there is no field `x`");
        let wrong = ctx.write_object_with(table, "{}", &[("n", Cell::Text("1"))]).unwrap_err();
        assert_eq!(wrong.message(), "stream `t`: field `n` holds Int64, but a row has text");
        Ok(())
    });
    result.unwrap();
    let row = |n| json!({"account": "7", "day": "2024-03-15", "n": n});
    assert_eq!(rows, [row(1), row(2)]);
}

#[test]
fn texts_that_stand_for_nothing() {
    let fields = [("n", DataType::Int64), ("t", DataType::Text), ("must!", DataType::Float64)];
    let options = Open::default().null_texts(["", "-"]);
    let (result, rows, _) = written(&fields, options, |ctx, table| {
        ctx.write_object(table, r#"{"n": "-", "t": "-", "must": 1}"#)?;
        ctx.write_object(table, r#"{"n": "", "t": "", "must": 1}"#)?;
        let error = ctx.write_object(table, r#"{"n": "--", "must": 1}"#).unwrap_err();
        assert_eq!(error.message(), "stream `t`: field `n` (int64) cannot hold `\"--\"`");
        let error = ctx.write_object(table, r#"{"must": "-"}"#).unwrap_err();
        assert_eq!(error.message(), "stream `t`: field `must` may not be null");
        Ok(())
    });
    result.unwrap();
    assert_eq!(rows, [json!({"n": null, "t": "-", "must": 1.0}), json!({"n": null, "t": "", "must": 1.0})]);
}

#[test]
fn numbers_are_moments_once_the_unit_is_said() {
    let options = Open::default().epoch(Epoch::Millis);
    let (result, rows, _) = written(&[("at", DataType::Timestamp)], options, |ctx, table| {
        ctx.write_object(table, r#"{"at": 1700000000123}"#)
    });
    result.unwrap();
    assert_eq!(rows, [json!({"at": "2023-11-14T22:13:20.123Z"})]);
}

#[test]
fn a_field_that_no_object_has_is_told() {
    let fields = [("a", DataType::Int64), ("gone", DataType::Int64), ("empty", DataType::Int64)];
    let write = |object: &'static str| {
        let (result, _, logs) = written(&fields, Open::default(), |ctx, table| {
            (0..3).try_for_each(|_| ctx.write_object(table, object))
        });
        result.unwrap();
        logs
    };
    let logs = write(r#"{"a": 1, "empty": null}"#);
    assert_eq!(logs, ["stream `t`: no object of the source had `gone`: there are only NULLs"]);
    assert!(write(r#"{"a": 1, "empty": null, "gone": 7}"#).is_empty());
    let (_, _, logs) = written(&fields, Open::default(), |_, _| Ok(()));
    assert!(logs.is_empty(), "{logs:?}");
}

#[test]
fn columns_that_were_not_chosen_are_not_looked_at() {
    let options = Open::default().fields(["b"]);
    let (result, rows, logs) =
        written(&[("a!", DataType::Int64), ("b", DataType::Int64)], options, |ctx, table| {
            ctx.write_object(table, r#"{"a": "no number", "b": 1}"#)?;
            ctx.write_object(table, r#"{"b": 2}"#)
        });
    result.unwrap();
    assert_eq!((rows, logs.len()), (vec![json!({"b": 1}), json!({"b": 2})], 0));
}

#[test]
fn what_is_no_object() {
    let fields = [("a", DataType::Int64)];
    for (text, message) in [
        ("[1]", "stream `t`: `[1]` is no object"),
        ("null", "stream `t`: `null` is no object"),
        ("", "stream `t`: the text ends too early at byte 0"),
        ("{", "stream `t`: expected a key at byte 1"),
        (r#"{"a": 1"#, "stream `t`: the text ends too early at byte 7"),
        (r#"{"a": }"#, "stream `t`: expected a value at byte 6"),
        (r#"{"b": tru}"#, "stream `t`: expected a value at byte 6"),
        (r#"{"a": 1}}"#, "stream `t`: something stands after the value at byte 8"),
    ] {
        assert_eq!(refused(&fields, text), message, "{text}");
    }
}

#[test]
fn deep_nesting_is_refused_without_depth_of_ours() {
    let deep = |depth: usize| format!(r#"{{"j": {}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let fields = [("j", DataType::Json)];
    rows(&fields, &[&deep(120)]).unwrap();
    for object in [deep(128), deep(1_000_000), format!(r#"{{"unknown": {}"#, r#"{"a":"#.repeat(1_000_000))] {
        assert!(refused(&fields, &object).contains("nested too deeply"));
    }
}

#[test]
fn many_keys_cost_bounded_memory() {
    let keys: String = (0..ORDER * 4).map(|key| format!("\"k{key}\": {key}, ")).collect();
    let long = format!("\"{}\": 0, ", "k".repeat(100_000));
    let object = format!(r#"{{{long}{keys}"a": 7}}"#);
    let fields = [("a", DataType::Int64), ("k4000", DataType::Int64)];
    assert_eq!(rows(&fields, &[&object, &object]).unwrap()[1], json!({"a": 7, "k4000": 4000}));
}

#[test]
fn a_large_object_is_a_batch_of_its_own() {
    let huge = format!(r#"{{"id": 2, "t": "{}"}}"#, "x".repeat(2 * 1024 * 1024));
    let (result, rows, _) =
        written(&[("id!", DataType::Int64), ("t", DataType::Text)], Open::default(), |ctx, table| {
            ctx.write_object(table, r#"{"id": 1, "t": "small"}"#)?;
            ctx.write_object(table, &huge)?;
            ctx.write_object(table, r#"{"id": 3}"#)
        });
    result.unwrap();
    let ids: Vec<&Value> = rows.iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, [&json!(1), &json!(2), &json!(3)]);
    assert_eq!(rows[1]["t"].as_str().unwrap().len(), 2 * 1024 * 1024);
}
