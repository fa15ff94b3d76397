//! Tests of `it` again, with each run in a process of its own: what a run
//! does, says and leaves behind must not depend on it. `Lab` sees by the name of
//! this binary that it is to isolate.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a broken assumption must fail the test at once; what is printed is shown when it does"
)]

#[path = "../it/bad_input.rs"]
mod bad_input;
#[path = "../it/cancel.rs"]
mod cancel;
#[path = "../it/connectors.rs"]
mod connectors;
#[path = "../it/crash.rs"]
mod crash;
#[path = "../it/file_formats.rs"]
mod file_formats;
#[path = "../it/files.rs"]
mod files;
#[path = "../it/http.rs"]
mod http;
#[path = "../it/limits.rs"]
mod limits;
#[path = "../it/preview.rs"]
mod preview;
#[path = "../it/rest_json.rs"]
mod rest_json;
#[path = "../it/state.rs"]
mod state;
#[path = "../it/storage.rs"]
mod storage;
