//! The servers that the storages are tested against: the fakes of `tests/cloud`
//! and PostgreSQL. Tests start them, and they end with the test's process.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this crate is used by tests alone: a broken assumption must fail them at once"
)]

mod control;
mod pool;
mod server;

pub use control::{Control, PATIENCE, wait_until};
pub use pool::{Loan, borrow_fake};
pub use server::{Missing, Server, is_set, python, skip, start_fake, start_postgres};
