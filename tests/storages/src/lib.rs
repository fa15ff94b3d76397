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
pub mod kind;
pub mod known;
pub mod place;
pub mod proxy;
pub mod reader;
pub mod values;
pub mod writer;

pub use kind::Kind;
pub use place::Place;

/// Runs a case against a kind of storage, in a place of its own. Where the
/// machine lacks what the kind needs, the case names itself as skipped.
pub fn run(kind: Kind, case: fn(&Place)) {
    match Place::new(kind) {
        Ok(place) => case(&place),
        Err(missing) => test_servers::skip(&missing),
    }
}
