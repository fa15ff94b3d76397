//! What a storage answers when it cannot.

/// A failure of a storage: lower case, names the table, the column and what to
/// change.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Another run has the data mart.
    #[error("{message}")]
    Busy {
        /// What holds it, and what to do.
        message: String,
    },
    /// The parameters of the storage are wrong.
    #[error("{message}")]
    Config {
        /// What is wrong.
        message: String,
        /// The parameter at fault.
        parameter: Option<String>,
    },
    /// The rows or the schema cannot be stored without losing something.
    #[error("{message}")]
    Refused {
        /// What is refused, and why.
        message: String,
    },
    /// The storage failed.
    #[error("{message}")]
    Failed {
        /// What failed.
        message: String,
        /// Whether a later run may succeed without any change.
        retryable: bool,
    },
}
