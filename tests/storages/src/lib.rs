//! The same cases against every storage and its real or fake server.
//!
//! [`cases`] are functions over a [`Place`]: a folder, a schema or a data set of
//! its own in a [`Kind`] of storage. Storages are opened as the host opens them,
//! and what they wrote is read by another program (`read_table.py`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this crate is used by tests alone: a broken assumption must fail them at once"
)]

pub mod cases;
pub mod fake;
pub mod kind;
pub mod known;
pub mod place;
pub mod proxy;
pub mod reader;
pub mod server;
pub mod values;
pub mod writer;

pub use kind::Kind;
pub use place::Place;

/// Runs a case against a kind of storage, in a place of its own. Where the
/// machine lacks what the kind needs, the case names itself as skipped.
pub fn run(kind: Kind, case: fn(&Place)) {
    let Some(place) = place_or_skip(kind) else { return };
    case(&place);
}

fn place_or_skip(kind: Kind) -> Option<Place> {
    match Place::new(kind) {
        Ok(place) => Some(place),
        Err(missing) => {
            assert!(!missing.required, "{kind:?} has to be tested here, but {}", missing.what);
            skip(&missing.what);
            None
        }
    }
}

/// Says that the test of this thread is skipped, past the capture of output that
/// hides what passing tests print.
pub fn skip(why: &str) {
    use std::io::Write;
    let line = format!("skipped {}: {why}\n", std::thread::current().name().unwrap_or("a test"));
    // At once, so that lines of two tests do not mix.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
