//! Batches and streams that the contract does not allow, and values at the
//! edges of what it does allow.

use crate::Outcome;
use crate::bindings::ow::connector::storage::{self, Batch, Column, ColumnValues, VarValues, WriteMode};
use crate::bindings::ow::connector::types::{DataType, Stream};
use crate::rows::{column, field, stream, texts, var};

fn table() -> Stream {
    let fields = vec![field("id", DataType::Int64, false), field("text", DataType::Text, true)];
    stream("bad", fields, &[])
}

/// Hands over a batch with one thing wrong.
pub(crate) fn bad(case: &str) -> Outcome {
    let ids = |values: Vec<i64>| column(ColumnValues::Int64s(values));
    let raw = |offsets: Vec<u32>, data: &[u8]| {
        column(ColumnValues::Texts(VarValues { offsets, data: data.to_vec() }))
    };
    let two = |text: Column| Batch::Columns((2, vec![ids(vec![1, 2]), text]));
    let batch = match case {
        "lengths" => Batch::Columns((3, vec![ids(vec![1, 2, 3]), texts(&["a", "b"])])),
        "rows" => Batch::Columns((u32::MAX, vec![ids(vec![1]), texts(&["a"])])),
        "type" => Batch::Columns((1, vec![column(ColumnValues::Float64s(vec![1.5])), texts(&["a"])])),
        "columns" => Batch::Columns((1, vec![ids(vec![1])])),
        "offsets beyond" => two(raw(vec![0, 1, 4_000_000_000], b"ab")),
        "offsets descending" => two(raw(vec![0, 2, 1], b"ab")),
        "offsets start" => two(raw(vec![1, 1, 2], b"ab")),
        "no offsets" => two(raw(vec![], b"ab")),
        "utf8" => two(raw(vec![0, 1, 3], b"a\xc3\x28")),
        "split character" => two(raw(vec![0, 1, 2], "ä".as_bytes())),
        "validity" => two(Column { validity: Some(vec![]), values: ColumnValues::Texts(var(&["a", "b"])) }),
        "null" => {
            let id = Column { validity: Some(vec![0b01]), values: ColumnValues::Int64s(vec![1, 2]) };
            Batch::Columns((2, vec![id, texts(&["a", "b"])]))
        }
        "line 3000" => {
            let mut lines = String::new();
            for id in 1..3000 {
                lines.push_str(&format!("{{\"id\":{id},\"text\":\"x\"}}\n"));
            }
            lines.push_str("{\"id\":3000,\"text\":\"x\n");
            Batch::JsonLines(lines.into_bytes())
        }
        "line utf8" => Batch::JsonLines(b"{\"id\":1,\"text\":\"\xff\"}".to_vec()),
        "unknown key" => Batch::JsonLines(b"{\"id\":1,\"txet\":\"x\"}".to_vec()),
        "missing key" => Batch::JsonLines(b"{\"text\":\"x\"}".to_vec()),
        "wrong value" => Batch::JsonLines(b"{\"id\":\"one\"}".to_vec()),
        "no object" => Batch::JsonLines(b"[1]".to_vec()),
        "deep json" => Batch::JsonLines([b"{\"id\":1,\"text\":", "[".repeat(100_000).as_bytes()].concat()),
        other => panic!("there is no bad batch {other}"),
    };
    let writer = storage::open(&table(), WriteMode::Append)?;
    let outcome = writer.write(&batch);
    // What was refused must leave no trace in the good batch after it.
    writer.write(&Batch::Columns((1, vec![ids(vec![7]), texts(&["good"])])))?;
    outcome
}

/// Opens a stream with one thing wrong.
pub(crate) fn bad_stream(case: &str) -> Outcome {
    let text = |name: &str| field(name, DataType::Text, true);
    let mut mode = WriteMode::Append;
    let table = match case {
        "no fields" => stream("bad", vec![], &[]),
        "duplicates" => stream("bad", vec![text("name"), text("NAME")], &[]),
        "nul in field" => stream("bad", vec![text("na\0me")], &[]),
        "nul in stream" => stream("b\0ad", vec![text("name")], &[]),
        "empty name" => stream("", vec![text("name")], &[]),
        "long name" => stream(&"n".repeat(256), vec![text("name")], &[]),
        "key unknown" => stream("bad", vec![text("name")], &["id"]),
        "key nullable" => stream("bad", vec![text("name")], &["name"]),
        "merge without key" => {
            mode = WriteMode::Merge;
            stream("bad", vec![text("name")], &[])
        }
        "decimal" => stream("bad", vec![field("d", DataType::Decimal((39, 2)), true)], &[]),
        "own table" => stream("_ow_state", vec![text("name")], &[]),
        "sqlite table" => stream("sqlite_master", vec![text("name")], &[]),
        "quotes" => {
            let table = stream(
                "ro\"ws'; DROP TABLE numbers; --",
                vec![text("na\"me"), text("select"), text("[x]"), text("`y`"), text("emoji \u{1f600}")],
                &[],
            );
            let writer = storage::open(&table, mode)?;
            return writer
                .write(&Batch::Columns((1, (1..=5).map(|n| texts(&[format!("value {n}")])).collect())));
        }
        "reopened" => {
            storage::open(&stream("bad", vec![text("name")], &[]), mode)?;
            stream("bad", vec![text("other")], &[])
        }
        other => panic!("there is no bad stream {other}"),
    };
    storage::open(&table, mode).map(drop)
}

/// Every type with its smallest, its largest and its strange values.
pub(crate) fn edges() -> Outcome {
    let fields = vec![
        field("row", DataType::Int64, false),
        field("boolean", DataType::Boolean, true),
        field("int64", DataType::Int64, true),
        field("float64", DataType::Float64, true),
        field("decimal", DataType::Decimal((38, 10)), true),
        field("text", DataType::Text, true),
        field("bytes", DataType::Bytes, true),
        field("date", DataType::Date, true),
        field("timestamp", DataType::Timestamp, true),
        field("json", DataType::Json, true),
    ];
    let with_nulls = |values: ColumnValues| Column { validity: Some(vec![0b0111]), values };
    let big = "x".repeat(3 << 20);
    let columns = vec![
        column(ColumnValues::Int64s(vec![1, 2, 3, 4])),
        with_nulls(ColumnValues::Booleans(vec![0b0010])),
        with_nulls(ColumnValues::Int64s(vec![i64::MIN, i64::MAX, 0, 99])),
        with_nulls(ColumnValues::Float64s(vec![f64::MIN_POSITIVE, f64::MAX, -0.1, f64::NAN])),
        with_nulls(ColumnValues::Texts(var(&[
            "-9999999999999999999999999999.9999999999",
            "9999999999999999999999999999.9999999999",
            "0.0000000001",
            "no number",
        ]))),
        with_nulls(ColumnValues::Texts(var(&["", "a\0b \u{1f600} 'quoted' \"too\"\n\r\t", &big, "null"]))),
        with_nulls(ColumnValues::Binaries(var::<&[u8]>(&[b"", b"\0\xff\xfe", b"bytes", b"null"]))),
        with_nulls(ColumnValues::Dates(vec![-719_162, 2_932_896, 0, i32::MIN])),
        with_nulls(ColumnValues::Timestamps(vec![
            -62_135_596_800_000_000,
            253_402_300_799_999_999,
            1,
            i64::MIN,
        ])),
        with_nulls(ColumnValues::Texts(var(&[
            "{\"a\": [1, 2.50, null]}",
            "12345678901234567890.123",
            "\"text\"",
            "",
        ]))),
    ];
    storage::open(&stream("edges", fields, &[]), WriteMode::Append)?.write(&Batch::Columns((4, columns)))
}
