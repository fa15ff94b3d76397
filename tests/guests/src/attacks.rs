//! What a guest must not get away with: using more than it may.

use crate::Outcome;
use crate::bindings::ow::connector::report::{self, Level};
use crate::bindings::ow::connector::state;
use crate::bindings::ow::connector::storage::{self, Batch, ColumnValues, WriteMode};
use crate::bindings::ow::connector::types::DataType;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::http::types::Fields;
use crate::bindings::wasi::random::random;
use crate::parameters::Parameters;
use crate::rows::{column, field, numbers, saw, stream, texts};

pub(crate) fn act(behaviour: &str, p: &Parameters) -> Outcome {
    let count = p.number("Count", 1);
    match behaviour {
        "loop" => busy(),
        "memory" => memory(),
        "memory_refused" => memory_refused(),
        "recursion" => saw("recursion", &recursion(u64::MAX).to_string()),
        "log" => log(count, p),
        "print" => print(p),
        "random" => saw("random", &random::get_random_bytes(count).len().to_string()),
        "open_files" => {
            keep(count, || std::fs::File::create("/work/open").map_err(|error| error.to_string()))
        }
        "pollables" => keep(count, || Ok(monotonic_clock::subscribe_duration(u64::MAX))),
        "header_fields" => keep(count, || Ok(Fields::new())),
        "writers" => {
            let table = numbers("numbers", false);
            keep(count, || storage::open(&table, WriteMode::Append).map_err(|error| error.message))
        }
        "tables" => tables(count),
        "columns" => columns(count),
        "large_text" => large_text(count),
        "state_keys" => (0..count).try_for_each(|n| state::set(&format!("key {n}"), "1")),
        "state_bytes" => state::set("large", &format!("\"{}\"", "x".repeat(usize::try_from(count).unwrap()))),
        other => panic!("there is no behaviour {other}"),
    }
}

fn busy() -> ! {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

/// Takes memory until there is none, and aborts as Rust does.
fn memory() -> Outcome {
    let mut kept = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![1_u8; 4 << 20]));
    }
}

/// Takes memory until it is refused, and goes on.
fn memory_refused() -> Outcome {
    let mut pages = 0_u64;
    while core::arch::wasm32::memory_grow::<0>(16) != usize::MAX {
        pages += 16;
    }
    saw("memory", if pages > 0 { "refused at last" } else { "refused at once" })
}

fn recursion(n: u64) -> u64 {
    if std::hint::black_box(n) == 0 { 0 } else { 1 + recursion(std::hint::black_box(n - 1)) }
}

fn log(lines: u64, p: &Parameters) -> Outcome {
    let text = "x".repeat(usize::try_from(p.number("Length", 10)).unwrap());
    for n in 0..lines {
        report::log(Level::Info, &format!("{n} {text}"), &[]);
    }
    Ok(())
}

fn print(p: &Parameters) -> Outcome {
    use std::io::Write as _;
    let text = p.text("Text").repeat(usize::try_from(p.number("Count", 1)).unwrap());
    if p.flag("Stderr") {
        eprint!("{text}");
    } else {
        print!("{text}");
        std::io::stdout().flush().unwrap();
    }
    Ok(())
}

/// Opens things and keeps all of them.
fn keep<T>(count: u64, mut open: impl FnMut() -> Result<T, String>) -> Outcome {
    let mut kept = Vec::new();
    for n in 0..count {
        match open() {
            Ok(thing) => kept.push(thing),
            Err(error) => {
                drop(kept);
                return saw("kept", &format!("{n}: {error}"));
            }
        }
    }
    saw("kept", &kept.len().to_string())
}

fn tables(count: u64) -> Outcome {
    (0..count)
        .try_for_each(|n| storage::open(&numbers(&format!("table {n}"), false), WriteMode::Append).map(drop))
}

fn columns(count: u64) -> Outcome {
    let fields = (0..count).map(|n| field(&format!("c{n}"), DataType::Text, true)).collect();
    storage::open(&stream("wide", fields, &[]), WriteMode::Append).map(drop)
}

/// Hands a text of so many bytes over in one call.
fn large_text(bytes: u64) -> Outcome {
    let text = "x".repeat(usize::try_from(bytes).unwrap());
    let table = numbers("large", false);
    let values =
        vec![column(ColumnValues::Int64s(vec![1])), column(ColumnValues::Int64s(vec![1])), texts(&[text])];
    storage::open(&table, WriteMode::Append)?.write(&Batch::Columns((1, values)))
}
