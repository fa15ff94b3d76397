//! Attacks of connectors and servers on the host: one table says what each
//! tries, what stops it, and what comes of it; the harness runs one beside a
//! well-behaved connector in the same process.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this crate is used by tests alone: a broken assumption must fail them at once"
)]

pub mod attack;
pub mod document;
pub mod harness;
pub mod stage;
pub mod table;
pub mod transcript;

pub use e2e;

pub use attack::{Attack, Component, Storage};
pub use harness::{Performance, perform};
pub use stage::Stage;
