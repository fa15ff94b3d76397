//! What the host answers to a guest that asks for something it cannot have.

use super::bindings::ow::connector::types::{Error, ErrorKind};
use crate::storage::StorageError;

/// The guest handed over something that the contract does not allow.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    error(ErrorKind::InvalidData, message)
}

/// A limit was reached; names the setting.
pub(super) fn limit(key: &str, message: impl std::fmt::Display) -> Error {
    error(ErrorKind::LimitExceeded, format!("{message} (raise it with --{})", key.replace('_', "-")))
}

/// The run was cancelled.
pub(super) fn cancelled() -> Error {
    error(ErrorKind::Cancelled, "the run was cancelled")
}

/// An error of a kind.
pub(super) fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into(), parameter: None, retry_after_ms: None }
}

/// What the guest is told of a failure of the storage.
pub(super) fn storage(failure: &StorageError) -> Error {
    let kind = match failure {
        StorageError::Refused { .. } => ErrorKind::InvalidData,
        StorageError::Config { .. } => ErrorKind::Config,
        StorageError::Busy { .. } | StorageError::Failed { retryable: true, .. } => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    };
    error(kind, failure.to_string())
}
