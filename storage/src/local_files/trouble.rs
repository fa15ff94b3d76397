//! What a disk answers when it cannot, in the words of the person who operates
//! the connector.

use std::io;
use std::path::{Path, PathBuf};

use arrow_schema::ArrowError;
use parquet::errors::ParquetError;

use crate::StorageError;
use crate::sqlite::trouble::Trouble as LedgerTrouble;

/// A failure on its way up.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The disk's, with the file or folder.
    Disk(PathBuf, io::Error),
    /// The ledger's.
    Ledger(LedgerTrouble),
    /// In the user's words already.
    Storage(StorageError),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<LedgerTrouble> for Trouble {
    fn from(trouble: LedgerTrouble) -> Self {
        match trouble {
            LedgerTrouble::Storage(error) => Self::Storage(error),
            LedgerTrouble::Sqlite(_) => Self::Ledger(trouble),
        }
    }
}

impl From<StorageError> for Trouble {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl Trouble {
    /// A refusal of rows or of a schema.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::Storage(StorageError::Refused { message: message.into() })
    }

    /// Something is wrong with the parameter `Path`.
    pub(super) fn place(message: impl Into<String>) -> Self {
        let parameter = Some("Path".to_owned());
        Self::Storage(StorageError::Config { message: message.into(), parameter })
    }

    /// What should not be: a mistake of ours, or files that somebody changed.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::Storage(StorageError::Failed { message: message.into(), retryable: false })
    }

    /// A data file cannot be read back.
    pub(super) fn damaged(path: &Path, what: impl std::fmt::Display) -> Self {
        Self::failed(format!(
            "file `{}` cannot be read back: {what}; restore it, or run a full refresh",
            path.display()
        ))
    }

    /// What writing or reading a Parquet file answered.
    pub(super) fn parquet(path: &Path, error: ParquetError) -> Self {
        match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(error) => Self::Disk(path.to_owned(), *error),
                Err(other) => Self::damaged(path, other),
            },
            other => Self::damaged(path, other),
        }
    }

    /// What arranging rows answered.
    pub(super) fn arrow(error: ArrowError) -> Self {
        Self::failed(format!("rows could not be arranged: {error}"))
    }

    /// Says it to the user; `doing` is what was tried, `ledger` is the file of
    /// the ledger.
    pub(super) fn explain(self, ledger: &Path, doing: &str) -> StorageError {
        match self {
            Self::Storage(error) => error,
            Self::Ledger(trouble) => trouble.explain(ledger, doing),
            Self::Disk(path, error) => explain(&path, &error, doing),
        }
    }
}

fn explain(path: &Path, error: &io::Error, doing: &str) -> StorageError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Failed {
            message: format!("cannot {doing}: no space is left for `{path}`; free some space and run again"),
            retryable: false,
        },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StorageError::Config {
            message: format!(
                "cannot {doing}: `{path}` cannot be written ({error}); make the folder writable, or set `Path` to another one"
            ),
            parameter: Some("Path".to_owned()),
        },
        _ => StorageError::Failed {
            message: format!("cannot {doing}: `{path}` could not be read or written ({error})"),
            retryable: true,
        },
    }
}
