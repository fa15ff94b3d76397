//! Batches, streams and state: giant ones, tiny ones, millions of them.

use crate::bindings::ow::connector::state;
use crate::bindings::ow::connector::storage::{self, Batch, Column, ColumnValues, VarValues, WriteMode};
use crate::bindings::ow::connector::types::{DataType, Stream};
use crate::rows::{column, field, numbers, saw, stream, texts};
use crate::{Outcome, told};

/// What the guest says that it can produce.
pub(crate) fn declared(attack: &str) -> Vec<Stream> {
    let millions = if attack == "million_declared" { 1_000_000 } else { 0 };
    let ten_thousands = if attack == "many_declared" { 12_000 } else { 0 };
    (0..millions + ten_thousands).map(|n| stream(&format!("stream {n}"), vec![], &[])).collect()
}

fn ids() -> Stream {
    stream("ids", vec![field("id", DataType::Int64, true)], &[])
}

pub(crate) fn giant_batch(case: &str) -> Outcome {
    let writer = storage::open(&ids(), WriteMode::Append)?;
    let batch = match case {
        // Says that there are rows that are not there.
        "claimed" => Batch::Columns((u32::MAX, vec![column(ColumnValues::Int64s(vec![]))])),
        "claimed_nulls" => {
            let nulls = Column { validity: Some(vec![]), values: ColumnValues::Booleans(vec![]) };
            Batch::Columns((999_999, vec![nulls]))
        }
        "rows" => Batch::Columns((1_500_000, vec![column(ColumnValues::Int64s(vec![7; 1_500_000]))])),
        "bytes" => Batch::Columns((5_000_000, vec![column(ColumnValues::Int64s(vec![7; 5_000_000]))])),
        "lines" => Batch::JsonLines(b"{}\n".repeat(1_500_000)),
        "blank_lines" => Batch::JsonLines(vec![b'\n'; 30 << 20]),
        "open_brackets" => Batch::JsonLines([b"{\"id\":".as_slice(), &vec![b'['; 30 << 20]].concat()),
        other => panic!("there is no case {other}"),
    };
    saw(case, &told(writer.write(&batch)))
}

/// A few bytes that become many columns of nothing, again and again.
pub(crate) fn absent_keys() -> Outcome {
    let fields = (0..2000).map(|n| field(&format!("c{n}"), DataType::Int64, true)).collect();
    let writer = storage::open(&stream("absent", fields, &[]), WriteMode::Append)?;
    for _ in 0..6 {
        writer.write(&Batch::JsonLines(b"{}\n".repeat(8_000)))?;
    }
    saw("wrote", &told(writer.write(&Batch::JsonLines(b"{}\n".repeat(1_000_000)))))
}

pub(crate) fn million_tiny_batches() -> Outcome {
    let writer = storage::open(&ids(), WriteMode::Append)?;
    for id in 0..1_000_000 {
        writer.write(&Batch::Columns((1, vec![column(ColumnValues::Int64s(vec![id]))])))?;
    }
    Ok(())
}

pub(crate) fn million_streams() -> Outcome {
    (0..1_000_000)
        .try_for_each(|n| storage::open(&numbers(&format!("stream {n}"), false), WriteMode::Append).map(drop))
}

/// As many columns as a stream may have, with names as long as they may be, in
/// as many streams as there may be.
pub(crate) fn wide_stream() -> Outcome {
    (0..1000).try_for_each(|n| {
        let fields = (0..2000).map(|n| field(&format!("{n:0>255}"), DataType::Text, true)).collect();
        storage::open(&stream(&format!("wide {n}"), fields, &[]), WriteMode::Append).map(drop)
    })
}

pub(crate) fn million_state_keys() -> Outcome {
    (0..1_000_000).try_for_each(|n| state::set(&format!("key {n}"), "1"))
}

pub(crate) fn state_of_1_gb() -> Outcome {
    let value = format!("\"{}\"", "x".repeat(1 << 20));
    (0..1024).try_for_each(|n| state::set(&format!("key {n}"), &value))
}

/// Columns whose parts contradict each other.
pub(crate) fn broken_batch(case: &str) -> Outcome {
    let table = stream("broken", vec![field("text", DataType::Text, false)], &[]);
    let writer = storage::open(&table, WriteMode::Append)?;
    let raw = |offsets: Vec<u32>, data: &[u8]| {
        column(ColumnValues::Texts(VarValues { offsets, data: data.to_vec() }))
    };
    let columns = match case {
        "offsets_beyond" => vec![raw(vec![0, u32::MAX], b"ab")],
        "offsets_descending" => vec![raw(vec![2, 0], b"ab")],
        "no_offsets" => vec![raw(vec![], b"ab")],
        "no_text" => vec![raw(vec![0, 2], b"\xc3\x28")],
        "no_columns" => vec![],
        "more_columns" => vec![texts(&["a"]), texts(&["b"])],
        "other_type" => vec![column(ColumnValues::Dates(vec![i32::MAX]))],
        "short_validity" => {
            vec![Column { validity: Some(vec![]), values: ColumnValues::Booleans(vec![]) }]
        }
        other => panic!("there is no case {other}"),
    };
    writer.write(&Batch::Columns((1, columns)))
}
