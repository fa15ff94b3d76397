//! Prints the rows of a preview: as tables that fit the terminal, or as JSON
//! lines. Values come from strangers: whatever they hold, nothing of it reaches
//! the terminal as an escape.

use std::fmt::Write as _;
use std::io::IsTerminal;

use super::output::{Printer, print};
use crate::report::text::is_unfit;
use crate::run::{Cell, Preview, PreviewStream};
use crate::storage::{DataType, Field};

/// The width of a table where there is no terminal and `COLUMNS` says nothing.
const WIDTH: usize = 120;
/// No terminal is narrower, whatever it says.
const LEAST_WIDTH: usize = 20;
/// A column is cut no shorter than this: rather, columns are left out.
const LEAST_COLUMN: usize = 8;
/// What stands between two columns.
const GAP: &str = " │ ";
const GAP_WIDTH: usize = 3;

impl Printer {
    /// The first rows of the streams.
    pub(super) fn preview(&self, preview: &Preview) {
        if self.is_json() {
            return print(&json_lines(preview));
        }
        let width = width();
        let failed = preview.failure.is_some();
        let tables: Vec<String> =
            preview.streams.iter().map(|stream| section(stream, failed, width)).collect();
        print(&tables.join("\n"));
    }
}

/// The columns of the terminal.
fn width() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let stdout = std::io::stdout();
    let seen = || {
        let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout))?.ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    };
    told.or_else(seen).unwrap_or(WIDTH).max(LEAST_WIDTH)
}

/// A line for each row.
fn json_lines(preview: &Preview) -> String {
    let mut text = String::new();
    for stream in &preview.streams {
        for row in &stream.rows {
            text.push_str("{\"stream\":");
            string(&mut text, &stream.table.name);
            text.push_str(",\"row\":{");
            for (at, (field, cell)) in stream.table.fields.iter().zip(row).enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                string(&mut text, &field.name);
                text.push(':');
                match cell {
                    Cell::Null => text.push_str("null"),
                    Cell::Text(value) => string(&mut text, value),
                    // What is unfit can only stand in texts, where an escape means the same.
                    Cell::Json(json) => json.chars().for_each(|c| harmless(&mut text, c)),
                }
            }
            text.push_str("}}\n");
        }
    }
    text
}

/// A text as JSON that no terminal takes for more than text.
fn string(out: &mut String, text: &str) {
    let json = serde_json::to_string(text).unwrap_or_default();
    json.chars().for_each(|c| harmless(out, c));
}

/// A character of JSON; what a terminal would act on is escaped.
fn harmless(out: &mut String, c: char) {
    if is_unfit(c) {
        let _ = write!(out, "\\u{:04x}", u32::from(c));
    } else {
        out.push(c);
    }
}

/// What one stream shows: its name, how many rows there are, and the table.
fn section(stream: &PreviewStream, failed: bool, width: usize) -> String {
    let key = match stream.table.primary_key.as_slice() {
        [] => "append-only".to_owned(),
        key => format!("key {}", key.iter().map(|name| visible(name)).collect::<Vec<_>>().join(", ")),
    };
    let count = stream.rows.len();
    let first = if count == 1 { "the first row".to_owned() } else { format!("the first {count} rows") };
    let rows = match (count, stream.whole) {
        (0, true) => "no rows".to_owned(),
        (0, false) => "no rows so far".to_owned(),
        (1, true) => "1 row, no more".to_owned(),
        (_, true) => format!("{count} rows, no more"),
        (_, false) if failed => format!("{first}, before the run failed"),
        (_, false) => first,
    };
    let mut text = format!("{} ({key}): {rows}\n", visible(&stream.table.name));
    if count > 0 {
        table(&mut text, &stream.table.fields, &stream.rows, width);
    }
    text
}

fn table(out: &mut String, fields: &[Field], rows: &[Vec<Cell>], width: usize) {
    let names: Vec<String> = fields.iter().map(|field| visible(&field.name)).collect();
    let types: Vec<String> = fields.iter().map(|field| field.data_type.to_string()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    let widest = |column: usize| {
        let cells = rows.iter().chain([&names, &types]).filter_map(|row| row.get(column));
        cells.map(|text| width_of(text, width)).max().unwrap_or_default()
    };
    let natural: Vec<usize> = (0..fields.len()).map(widest).collect();
    let widths = fit(&natural, width);

    let right: Vec<bool> = fields.iter().map(is_number).collect();
    line(out, &names, &widths, &right);
    line(out, &types, &widths, &right);
    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    let _ = writeln!(out, "{}", rule.join("─┼─"));
    for row in &rows {
        line(out, row, &widths, &right);
    }
    let hidden = names.get(widths.len()..).unwrap_or_default();
    if !hidden.is_empty() {
        let plural = if hidden.len() == 1 { "" } else { "s" };
        let note = format!(
            "… and {} more column{plural} (--output json shows all): {}",
            hidden.len(),
            hidden.join(", ")
        );
        let _ = writeln!(out, "{}", padded(&note, width, false).trim_end());
    }
}

fn line(out: &mut String, cells: &[String], widths: &[usize], right: &[bool]) {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        text.push_str(if column == 0 { "" } else { GAP });
        text.push_str(&padded(cell, *width, right.get(column) == Some(&true)));
    }
    let _ = writeln!(out, "{}", text.trim_end());
}

/// The widths of the first columns, as many as have room: the widest are cut
/// first, and none to less than a few characters.
fn fit(natural: &[usize], width: usize) -> Vec<usize> {
    let mut columns = natural;
    loop {
        let gaps = GAP_WIDTH * columns.len().saturating_sub(1);
        let room = width.saturating_sub(gaps);
        let taken = |most: usize| columns.iter().map(|width| (*width).min(most)).sum::<usize>();
        let most = (LEAST_COLUMN..=width).rev().find(|most| taken(*most) <= room);
        match (most, columns.split_last()) {
            (Some(most), _) => return columns.iter().map(|width| (*width).min(most)).collect(),
            (None, Some((_, fewer))) if !fewer.is_empty() => columns = fewer,
            (None, _) => return vec![width; columns.len().min(1)],
        }
    }
}

fn is_number(field: &Field) -> bool {
    matches!(field.data_type, DataType::Int64 | DataType::Float64 | DataType::Decimal(..))
}

/// A value in a table. A text that could be taken for something else, or that
/// has spaces nobody sees, stands in quotes.
fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Json(json) => visible(json),
        Cell::Text(text) => {
            let quoted =
                text.is_empty() || text == "NULL" || text.starts_with(['"', ' ']) || text.ends_with(' ');
            let text = visible(text);
            if quoted { format!("\"{text}\"") } else { text }
        }
    }
}

/// The text with escapes in place of everything that a terminal would act on.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unfit(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// The text in exactly so many columns: filled up with spaces, or cut.
fn padded(text: &str, width: usize, right: bool) -> String {
    let wide = width_of(text, width);
    if wide <= width {
        let spaces = " ".repeat(width - wide);
        return if right { format!("{spaces}{text}") } else { format!("{text}{spaces}") };
    }
    let mut out = String::new();
    let mut left = width.saturating_sub(1);
    for c in text.chars() {
        let wide = columns_of(c);
        if wide > left {
            break;
        }
        left -= wide;
        out.push(c);
    }
    format!("{out}…{}", " ".repeat(left))
}

/// The columns that a text takes; at most one more than `most`, so that long
/// texts cost nothing.
fn width_of(text: &str, most: usize) -> usize {
    let mut width = 0;
    for c in text.chars() {
        width += columns_of(c);
        if width > most {
            return most + 1;
        }
    }
    width
}

/// The columns of a character: two for the scripts of East Asia and for emoji,
/// none for what combines with the character before. Without the rare ranges: a
/// wrong guess shifts a line of the table.
fn columns_of(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f
        | 0x591..=0x5bd
        | 0x64b..=0x65f
        | 0x200b..=0x200f
        | 0x20d0..=0x20ff
        | 0xfe00..=0xfe0f
        | 0xfe20..=0xfe2f
        | 0xfeff
        | 0xe0100..=0xe01ef => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xa960..=0xa97f
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::storage::TableSchema;

    fn stream(fields: &[(&str, DataType)], rows: Vec<Vec<Cell>>) -> PreviewStream {
        let field = |(name, data_type): &(&str, DataType)| Field {
            name: (*name).into(),
            data_type: *data_type,
            nullable: true,
            description: None,
        };
        let table = TableSchema {
            name: "things".into(),
            description: None,
            fields: fields.iter().map(field).collect(),
            primary_key: vec!["id".into()],
            cursor_field: None,
            partition_field: None,
        };
        PreviewStream { table, rows, whole: false }
    }

    fn text(value: &str) -> Cell {
        Cell::Text(value.into())
    }

    fn json(value: &str) -> Cell {
        Cell::Json(value.into())
    }

    fn things() -> PreviewStream {
        stream(
            &[("id", DataType::Int64), ("name", DataType::Text), ("raw", DataType::Json)],
            vec![
                vec![json("1"), text("plain"), json(r#"{"a": [1, 2.50]}"#)],
                vec![json("22"), Cell::Null, Cell::Null],
                vec![json("333"), text(""), json("true")],
                vec![json("4"), text("NULL"), text("x")],
                vec![
                    json("5"),
                    text("ends with a space "),
                    text("日本語 の テキスト は 長い です よ、とても"),
                ],
            ],
        )
    }

    #[test]
    fn null_empty_and_the_word_null_differ() {
        assert_snapshot!(section(&things(), false, 80), @r#"
        things (key id): the first 5 rows
           id │ name                 │ raw
        int64 │ text                 │ json
        ──────┼──────────────────────┼───────────────────────────────────────────
            1 │ plain                │ {"a": [1, 2.50]}
           22 │ NULL                 │ NULL
          333 │ ""                   │ true
            4 │ "NULL"               │ x
            5 │ "ends with a space " │ 日本語 の テキスト は 長い です よ、とても
        "#);
    }

    #[test]
    fn what_is_wider_is_cut_and_then_left_out() {
        for width in [20, 24, 40, 60] {
            let section = section(&things(), false, width);
            let widest = section.lines().skip(1).map(|line| width_of(line, 1000)).max().unwrap();
            assert!(widest <= width, "{widest} columns of {width}:\n{section}");
        }
        assert_snapshot!(section(&things(), false, 40), @r#"
        things (key id): the first 5 rows
           id │ name           │ raw
        int64 │ text           │ json
        ──────┼────────────────┼───────────────
            1 │ plain          │ {"a": [1, 2.5…
           22 │ NULL           │ NULL
          333 │ ""             │ true
            4 │ "NULL"         │ x
            5 │ "ends with a … │ 日本語 の テ…
        "#);
        assert_snapshot!(section(&things(), true, 20), @r#"
        things (key id): the first 5 rows, before the run failed
           id │ name
        int64 │ text
        ──────┼─────────────
            1 │ plain
           22 │ NULL
          333 │ ""
            4 │ "NULL"
            5 │ "ends with …
        … and 1 more column…
        "#);
    }

    #[test]
    fn nothing_reaches_the_terminal_as_an_escape() {
        let evil = "\u{1b}]0;owned\u{7}\u{1b}[31m\n\t\r\u{9b}2J\u{202e}x";
        let stream = stream(
            &[("id\u{1b}[2J", DataType::Text), ("raw", DataType::Json)],
            vec![vec![text(evil), json("{\"a\":\"\u{9b}\u{202e}\"}")]],
        );
        let table = section(&stream, false, 200);
        assert!(table.chars().all(|c| c == '\n' || !(is_unfit(c) || c == '\t')), "{table:?}");
        assert!(table.contains(r"\u{1b}]0;owned\u{7}\u{1b}[31m\n\t\r\u{9b}2J\u{202e}x"), "{table}");
        let lines = json_lines(&Preview { streams: vec![stream], failure: None });
        assert!(lines.trim_end().chars().all(|c| !is_unfit(c) && c != '\t'), "{lines:?}");
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(line["row"]["id\u{1b}[2J"], evil);
        assert_eq!(line["row"]["raw"]["a"], "\u{9b}\u{202e}");
    }

    #[test]
    fn widths_fill_the_room_from_the_narrow_ones() {
        assert_eq!(fit(&[5, 100, 30], 80), [5, 39, 30]);
        assert_eq!(fit(&[5, 5], 80), [5, 5]);
        assert_eq!(fit(&[100, 100, 100, 100], 40), [11, 11, 11]);
        assert_eq!(fit(&[100], 20), [20]);
        assert_eq!(fit(&[], 20), Vec::<usize>::new());
    }
}
