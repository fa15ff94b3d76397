//! Runs ow-host as people do: one module a theme. One binary, because linking
//! the host takes longer than most tests.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a broken assumption must fail the test at once; what is printed is shown when it does"
)]

mod audit;
mod bad_input;
mod cancel;
mod concurrency;
mod config;
mod connectors;
mod contracts;
mod crash;
mod exit_codes;
mod facebook;
mod file_formats;
mod files;
mod github;
mod google_ads;
mod http;
#[cfg(target_os = "linux")]
mod isolation;
mod limits;
mod open_exchange_rates;
mod output;
mod policy;
mod preview;
mod rest_json;
mod secrets;
mod signatures;
mod state;
mod storage;
mod tiktok;
