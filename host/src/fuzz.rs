//! What fuzzing drives: for each kind of bytes that somebody else wrote, a
//! function that does with them what a run does, and panics when a promise does
//! not hold.
//!
//! `tests/fuzz` runs them with inputs that coverage guides; the tests here run
//! them with a fixed number of inputs, made of the seeds and cases that are kept
//! there.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a promise that does not hold ends the process: that is how a fuzzer notices"
)]

mod cache_entry;
mod columns;
mod component;
mod config;
mod input;
mod json_lines;
mod origin;
mod placeholders;
mod policy;
mod rows;
mod signature;
mod state;
mod stream;
#[cfg(test)]
mod tests;

pub use self::cache_entry::cache_entry;
pub use self::columns::columns;
pub use self::component::{component, connector, generated};
pub use self::config::{config, run_config};
pub use self::json_lines::json_lines;
pub use self::origin::url_origin;
pub use self::placeholders::placeholders;
pub use self::policy::policy;
pub use self::signature::signature;
pub use self::state::state;
pub use self::stream::stream;

/// Does with an input what a run does.
pub type Target = fn(&[u8]);

/// Every target by its name, which its binary and its folders in `tests/fuzz`
/// have too.
pub const TARGETS: &[(&str, Target)] = &[
    ("cache_entry", cache_entry),
    ("columns", columns),
    ("component", component),
    ("config", config),
    ("json_lines", json_lines),
    ("placeholders", placeholders),
    ("policy", policy),
    ("run_config", run_config),
    ("signature", signature),
    ("state", state),
    ("stream", stream),
    ("url_origin", url_origin),
];

/// Whether a text can be shown on a terminal as it is: it starts no line of its
/// own and moves no cursor.
fn fits_a_line(text: &str) -> bool {
    !text.contains(crate::report::text::is_unfit)
}
