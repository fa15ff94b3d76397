//! What SQLite answers when it cannot, in the words of the person who operates
//! the connector.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::StorageError;

/// A failure on its way up: SQLite's, or one that is in the user's words.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// SQLite's.
    Sqlite(rusqlite::Error),
    /// Ours.
    Storage(StorageError),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StorageError> for Trouble {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl Trouble {
    /// A refusal of rows or of a schema.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::Storage(StorageError::Refused { message: message.into() })
    }

    /// Says it to the user; `doing` is what was tried, such as `write to table `x``.
    pub(crate) fn explain(self, path: &Path, doing: &str) -> StorageError {
        match self {
            Self::Sqlite(error) => explain(&error, path, doing),
            Self::Storage(error) => error,
        }
    }
}

fn explain(error: &rusqlite::Error, path: &Path, doing: &str) -> StorageError {
    let file = path.display();
    let config = |message| StorageError::Config { message, parameter: Some("Path".to_owned()) };
    let failed = |retryable, message| StorageError::Failed { message, retryable };
    let code = error.sqlite_error_code();
    match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => failed(
            true,
            format!(
                "database `{file}` was locked by another program for {} seconds; end that program's transaction, or give this data mart a database of its own",
                super::connection::BUSY_TIMEOUT.as_secs()
            ),
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => config(format!(
            "database `{file}` cannot be written; make the file and its folder writable, or set `Path` to another file"
        )),
        Some(ErrorCode::NotADatabase) => {
            config(format!("file `{file}` is not an SQLite database; set `Path` to another file"))
        }
        Some(ErrorCode::CannotOpen) => config(format!(
            "database `{file}` cannot be opened; check that the folder exists and that this user may read and write it"
        )),
        Some(ErrorCode::DiskFull) => failed(
            false,
            format!("cannot {doing}: no space is left for database `{file}`; free some space and run again"),
        ),
        Some(ErrorCode::DatabaseCorrupt) => failed(
            false,
            format!(
                "database `{file}` is damaged; restore it from a backup, or save what can be read with `sqlite3 FILE .recover`"
            ),
        ),
        Some(ErrorCode::SystemIoFailure) => failed(
            true,
            format!("cannot {doing}: the disk of database `{file}` could not be read or written ({error})"),
        ),
        Some(ErrorCode::TooBig) => StorageError::Refused {
            message: format!(
                "cannot {doing}: a row is larger than 1,000,000,000 bytes, the most that SQLite holds"
            ),
        },
        Some(ErrorCode::OutOfMemory) => failed(true, format!("cannot {doing}: no memory is left")),
        _ => failed(false, format!("cannot {doing} in database `{file}`: {error}")),
    }
}
