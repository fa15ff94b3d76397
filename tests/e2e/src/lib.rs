//! What the end-to-end tests share: the command and the guests, built once; a
//! folder to run them in; a web server; a few hand-made components.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this crate is used by tests alone: a broken assumption must fail them at once"
)]

pub mod apis;
pub mod build;
pub mod components;
pub mod isolation;
pub mod lab;
pub mod server;
pub mod warehouse;

pub use lab::{Lab, Outcome, Running};
pub use server::{Answer, Request, Server};
