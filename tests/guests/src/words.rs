//! Errors, kinds and modes by their names, and waiting.

use std::time::Duration;

use crate::Outcome;
use crate::bindings::ow::connector::storage;
use crate::bindings::ow::connector::types::{Error, ErrorKind};
use crate::parameters::Parameters;

pub(crate) fn sleep(ms: u64) -> Outcome {
    std::thread::sleep(Duration::from_millis(ms));
    Ok(())
}

pub(crate) fn plain(kind: ErrorKind, message: &str) -> Error {
    Error { kind, message: message.to_owned(), parameter: None, retry_after_ms: None }
}

pub(crate) fn error(kind: ErrorKind, message: &str, p: &Parameters) -> Error {
    let parameter = Some(p.text("Parameter")).filter(|name| !name.is_empty());
    Error { kind, message: message.to_owned(), parameter, retry_after_ms: p.optional_number("RetryAfterMs") }
}

pub(crate) fn kind(name: &str) -> ErrorKind {
    match name {
        "config" => ErrorKind::Config,
        "auth" => ErrorKind::Auth,
        "rate-limited" => ErrorKind::RateLimited,
        "unavailable" => ErrorKind::Unavailable,
        "invalid-data" => ErrorKind::InvalidData,
        "denied" => ErrorKind::Denied,
        "limit-exceeded" => ErrorKind::LimitExceeded,
        "cancelled" => ErrorKind::Cancelled,
        "internal" => ErrorKind::Internal,
        other => panic!("there is no error kind {other}"),
    }
}

pub(crate) fn mode(name: &str) -> storage::WriteMode {
    match name {
        "" | "append" => storage::WriteMode::Append,
        "merge" => storage::WriteMode::Merge,
        "replace" => storage::WriteMode::Replace,
        other => panic!("there is no mode {other}"),
    }
}
