//! Values of every type, to the last digit.

use ow_storage::DataType::{self, Boolean, Bytes, Date, Decimal, Float64, Int64, Json, Text, Timestamp};
use ow_storage::WriteMode::{Append, Merge};

use super::refused;
use crate::kind::Edge;
use crate::values::{Cells, FIRST_DAY, FIRST_MOMENT, LAST_DAY, LAST_MOMENT, Row, Value, people, stream};
use crate::{Place, cells, row};

/// A stream with a column of each type.
fn every_type(name: &str) -> ow_storage::TableSchema {
    stream(
        name,
        &[
            ("*id", Int64),
            ("truth", Boolean),
            ("whole", Int64),
            ("real", Float64),
            ("money", Decimal(12, 2)),
            ("exact", Decimal(38, 9)),
            ("words", Text),
            ("raw", Bytes),
            ("day", Date),
            ("moment", Timestamp),
            ("doc", Json),
        ],
    )
}

/// The ends of what each type holds, and what lies between.
pub fn every_type_at_its_edges(place: &Place) {
    let schema = every_type("edges");
    let most = 10_i128.pow(38) - 1;
    let money = 999_999_999_999_i128;
    let raw: Vec<u8> = (0..=255).collect();
    let rows = [
        row![
            1,
            true,
            i64::MAX,
            f64::MAX,
            money,
            most,
            "a",
            raw.as_slice(),
            LAST_DAY,
            LAST_MOMENT,
            r#"{"a":[1,"b",null,true]}"#
        ],
        row![2, false, i64::MIN, f64::MIN, -money, -most, "", &b""[..], FIRST_DAY, FIRST_MOMENT, "[]"],
        row![3, true, 0, f64::MIN_POSITIVE, 1, 1, " ", &[0_u8][..], 0, 0, "\"text\""],
        row![4, false, -1, 0.1, -5, -1_000_000_000_i128, "b", &[255_u8][..], -1, -1, "1.5"],
        row![
            5,
            true,
            9_007_199_254_740_993_i64,
            1e-310,
            100,
            0,
            "c",
            &b"\n"[..],
            19_782,
            1_709_164_800_000_001_i64,
            "{}"
        ],
    ];
    place.load(&schema, Merge, &[&rows]);
    place.expect(
        &schema,
        &[
            cells![
                1,
                true,
                i64::MAX,
                f64::MAX,
                "9999999999.99",
                "99999999999999999999999999999.999999999",
                "a",
                raw.as_slice(),
                "9999-12-31",
                "9999-12-31T23:59:59.999999Z",
                r#"{"a":[1,"b",null,true]}"#
            ],
            cells![
                2,
                false,
                i64::MIN,
                f64::MIN,
                "-9999999999.99",
                "-99999999999999999999999999999.999999999",
                "",
                "",
                "0001-01-01",
                "0001-01-01T00:00:00.000000Z",
                "[]"
            ],
            cells![
                3,
                true,
                0,
                f64::MIN_POSITIVE,
                "0.01",
                "0.000000001",
                " ",
                "00",
                "1970-01-01",
                "1970-01-01T00:00:00.000000Z",
                "\"text\""
            ],
            cells![
                4,
                false,
                -1,
                0.1,
                "-0.05",
                "-1",
                "b",
                "ff",
                "1969-12-31",
                "1969-12-31T23:59:59.999999Z",
                "1.5"
            ],
            cells![
                5,
                true,
                9_007_199_254_740_993_i64,
                1e-310,
                "1",
                "0",
                "c",
                "0a",
                "2024-02-29",
                "2024-02-29T00:00:00.000001Z",
                "{}"
            ],
        ],
    );
}

/// Decimals of every shape: all digits before the point, and all behind it.
pub fn decimals_of_every_shape(place: &Place) {
    let most = 10_i128.pow(38) - 1;
    let nines = "9".repeat(38);
    for (number, (precision, scale, value, expected)) in [
        (38, 0, most, nines.clone()),
        (38, 38, -most, format!("-0.{nines}")),
        (38, 19, most, format!("{}.{}", "9".repeat(19), "9".repeat(19))),
        (1, 0, 9, "9".to_owned()),
        (1, 1, -9, "-0.9".to_owned()),
        (18, 17, 123_456_789_012_345_678, "1.23456789012345678".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        let schema = stream(&format!("decimals_{number}"), &[("d", Decimal(precision, scale))]);
        place.load(&schema, Append, &[&[row![value], row![0]]]);
        place.expect(&schema, &[cells![expected], cells!["0"]]);
    }
}

/// NaN and the infinities: held as they are, or refused; never a null.
pub fn floats_that_are_no_numbers(place: &Place) {
    let cases = [(Edge::Nan, f64::NAN), (Edge::Infinity, f64::INFINITY), (Edge::Infinity, f64::NEG_INFINITY)];
    for (number, (edge, value)) in cases.into_iter().enumerate() {
        let schema = stream(&format!("floats_{number}"), &[("x", Float64)]);
        let loaded = place.try_load(&schema, Append, &[&[row![1.5], row![value]]]);
        if place.kind.holds(edge) {
            loaded.unwrap();
            place.expect(&schema, &[cells![1.5], cells![value]]);
        } else {
            refused(loaded, &["`x`", &schema.name]);
            assert!(place.table(&schema).is_none_or(|table| table.rows.is_empty()));
        }
    }
}

/// Nulls in every column that may have them.
pub fn nulls_stay_nulls(place: &Place) {
    let schema = every_type("nulls");
    let mut nothing: Row = vec![Value::Null; schema.fields.len()];
    let mut expected: Cells = vec![None; schema.fields.len()];
    nothing[0] = Value::from(1);
    expected[0] = Some("1".to_owned());
    place.load(&schema, Merge, &[&[nothing]]);
    place.expect(&schema, &[expected]);
}

/// A null where there may be none is refused, and names its column.
pub fn a_null_that_may_not_be_is_refused(place: &Place) {
    let mut schema = people("strict");
    schema.fields[1].nullable = false;
    place.load(&schema, Merge, &[&[row![1, "a"]]]);
    refused(place.try_load(&schema, Merge, &[&[row![2, "b"], row![3, ()]]]), &["`name`", "strict"]);
    refused(place.try_load(&schema, Merge, &[&[row![(), "c"]]]), &["`id`", "strict"]);
    place.expect(&schema, &[cells![1, "a"]]);
}

/// Batches without rows make the table and nothing else.
pub fn empty_batches_make_the_table(place: &Place) {
    let schema = every_type("hollow");
    place.load(&schema, Merge, &[&[], &[]]);
    let table = place.table(&schema).expect("an empty table is a table");
    assert!(table.rows.is_empty());
    let fields = schema.fields.iter().filter(|_| place.kind.shows_columns_without_rows());
    for field in fields {
        assert!(table.columns.contains(&field.name), "no column `{}` in {:?}", field.name, table.columns);
    }
}

/// A stream that is opened and gets no batch at all has a table too.
pub fn a_stream_without_rows_has_a_table(place: &Place) {
    let schema = people("unused");
    place.load(&schema, Merge, &[]);
    assert!(place.table(&schema).expect("a table").rows.is_empty());
}

/// A hundred columns of every type.
pub fn a_hundred_columns(place: &Place) {
    let types = [Int64, Text, Float64, Boolean, Date, Timestamp, Decimal(20, 4)];
    let value = |data_type: DataType, n: i32| match data_type {
        Text => (Value::from(format!("text {n}")), format!("text {n}")),
        Float64 => (Value::from(f64::from(n) + 0.5), format!("{n}.5")),
        Boolean => (Value::from(n % 2 == 0), (n % 2 == 0).to_string()),
        Date => (Value::from(0), "1970-01-01".to_owned()),
        Timestamp => (Value::from(0), "1970-01-01T00:00:00.000000Z".to_owned()),
        Decimal(..) => (Value::from(n * 10_000 + 2_500), format!("{n}.25")),
        _ => (Value::from(n), n.to_string()),
    };
    let names: Vec<_> = (0..100).map(|n| format!("column_{n}")).collect();
    let fields: Vec<_> =
        names.iter().enumerate().map(|(n, name)| (name.as_str(), types[n % types.len()])).collect();
    let schema = stream("wide", &fields);
    let (row, expected): (Row, Vec<_>) =
        fields.iter().zip(0..).map(|((_, data_type), n)| value(*data_type, n)).unzip();
    place.load(&schema, Append, &[&[row]]);
    place.expect(&schema, &[expected.into_iter().map(Some).collect()]);
}

/// Text and bytes of several megabytes.
pub fn very_long_text(place: &Place) {
    let schema = stream("long", &[("*id", Int64), ("words", Text), ("raw", Bytes)]);
    let words = "0123456789 äöü 🎉\n".repeat(220_000);
    let raw: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
    place.load(&schema, Merge, &[&[row![1, words.as_str(), raw.as_slice()], row![2, "short", ()]]]);
    place.expect(&schema, &[cells![1, words.as_str(), raw.as_slice()], cells![2, "short", ()]]);
}

/// Text that other formats and languages take for something else.
pub fn text_of_every_kind(place: &Place) {
    let schema = stream("texts", &[("*id", Int64), ("words", Text)]);
    let texts = [
        "",
        " ",
        "NULL",
        "null",
        "\\N",
        "\\",
        "\\\\",
        "'",
        "''",
        "\"",
        "\"\"",
        "`",
        "a,b",
        "a;b",
        "a|b",
        "a\tb",
        "a\nb",
        "a\r\nb",
        "\r",
        "\n",
        "\u{b}",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}bom",
        "🎉",
        "👩‍👩‍👧‍👦",
        "e\u{301}",
        "日本語",
        "עברית",
        "\u{10ffff}",
        "\u{fffd}",
        "$1",
        "?",
        "%s",
        "{{x}}",
        "@p",
        "--",
        "/*",
        "true",
        "1e5",
        "007",
        " lead",
        "trail ",
        "x'00'",
        "\\x00",
        "\\u0000",
        "<a&b>",
    ];
    let rows: Vec<_> = texts.iter().zip(0_i64..).map(|(text, id)| row![id, *text]).collect();
    place.load(&schema, Merge, &[&rows]);
    let expected: Vec<_> = texts.iter().zip(0_i64..).map(|(text, id)| cells![id, *text]).collect();
    place.expect(&schema, &expected);
}

/// A NUL character in text: held, or refused; never cut off.
pub fn text_with_a_nul(place: &Place) {
    let schema = stream("nul", &[("words", Text)]);
    let loaded = place.try_load(&schema, Append, &[&[row!["a\0b"]]]);
    if place.kind.holds(Edge::Nul) {
        loaded.unwrap();
        place.expect(&schema, &[cells!["a\0b"]]);
    } else {
        refused(loaded, &["`words`", "nul"]);
        assert!(place.table(&schema).is_none_or(|table| table.rows.is_empty()));
    }
}

/// JSON keeps what it says, whatever it says.
pub fn json_of_every_kind(place: &Place) {
    let schema = stream("docs", &[("*id", Int64), ("doc", Json)]);
    let docs = [
        if place.kind.tells_json_null() { "null" } else { "false" },
        "true",
        "0",
        "-1.5",
        "\"\"",
        "\"a\\\"b\\\\c\"",
        "[]",
        "{}",
        "[1,[2,[3,[4,[5]]]]]",
        r#"{"a":{"b":{"c":"d"}},"e":"é🎉"}"#,
        r#"{"select":1,"with space":2,"":3}"#,
        "9007199254740991",
        r#"["a|b","'","\n","\t"]"#,
    ];
    let rows: Vec<_> = docs.iter().zip(0_i64..).map(|(doc, id)| row![id, *doc]).collect();
    place.load(&schema, Merge, &[&rows]);
    // The reader sorts keys.
    let sorted = |doc: &str| match doc {
        r#"{"select":1,"with space":2,"":3}"# => r#"{"":3,"select":1,"with space":2}"#.to_owned(),
        doc => doc.to_owned(),
    };
    let expected: Vec<_> = docs.iter().zip(0_i64..).map(|(doc, id)| cells![id, sorted(doc)]).collect();
    place.expect(&schema, &expected);
}
