//! Opening the database file, and the settings of every connection.

use std::path::Path;
use std::time::Duration;

use rusqlite::ffi::SQLITE_READONLY_ROLLBACK;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::trouble::Trouble;
use crate::StorageError;

/// How long a write waits for other writers of the same file. Their
/// transactions last as long as a flush or a commit, which is well below it.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// Settings of a connection that writes.
///
/// - `page_size` (of new files): measured 15 % faster than 4096 on ascending
///   keys, and no slower on random ones.
/// - `synchronous = EXTRA`: every commit is on the disk before it is
///   acknowledged, so that it survives a power cut (`NORMAL` would lose the last
///   ones of a WAL); `EXTRA` is `FULL` where there is a WAL, and also right
///   where a file system has none. `fullfsync` is the same for macOS.
/// - `cache_size`: 32 MiB, most of the memory that the storage takes.
/// - `wal_autocheckpoint`: every 16 MiB; the log is cut to 64 MiB after it.
/// - `foreign_keys`, `legacy_alter_table`: replacing a table must not touch
///   rows, views and triggers of the user that name it.
/// - `trusted_schema`: a file from elsewhere may not run functions with side
///   effects from its views and triggers.
const SETTINGS: &str = "
    PRAGMA synchronous = EXTRA;
    PRAGMA fullfsync = ON;
    PRAGMA cache_size = -32768;
    PRAGMA wal_autocheckpoint = 2048;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA temp_store = MEMORY;
    PRAGMA foreign_keys = OFF;
    PRAGMA legacy_alter_table = ON;
    PRAGMA trusted_schema = OFF;
";

/// Statements that are kept prepared: two a stream is common.
const STATEMENTS: usize = 128;

/// Opens the database for a run; creates it where it is not there. The caller
/// says when it is to have a write-ahead log ([`use_log`]).
pub(crate) fn open(path: &Path) -> Result<Connection, Trouble> {
    check_place(path)?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    check_not_read_only(&connection, path)?;
    connection.execute_batch("PRAGMA page_size = 8192;")?;
    connection.execute_batch(SETTINGS)?;
    Ok(connection)
}

/// Whether nobody has written anything to the database yet.
pub(super) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(connection.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))? == 0)
}

/// Gives the database a write-ahead log, by which readers and a writer do not
/// wait for each other. File systems without shared memory keep the rollback
/// journal, which is as safe.
pub(crate) fn use_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
}

/// Like [`use_log`], unless somebody is reading now; whether it was done.
pub(super) fn try_to_use_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(Duration::ZERO)?;
    let result = use_log(connection);
    connection.busy_timeout(BUSY_TIMEOUT)?;
    match result {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        result => result.map(|()| true),
    }
}

/// Opens the database to read; none if there is no such file. What a run left
/// that died before its first commit is undone, which takes a connection that
/// may write.
pub(crate) fn open_read_only(path: &Path) -> Result<Option<Connection>, Trouble> {
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => return Err(config(format!("database `{}` cannot be read: {error}", path.display()))),
    }
    check_place(path)?;
    let open = |access| -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
        Ok(connection)
    };
    match open(OpenFlags::SQLITE_OPEN_READ_ONLY) {
        Err(error) if error.sqlite_extended_error_code() == Some(SQLITE_READONLY_ROLLBACK) => {
            Ok(Some(open(OpenFlags::SQLITE_OPEN_READ_WRITE)?))
        }
        opened => Ok(Some(opened?)),
    }
}

/// Whether the database is there; an error unless it is one and can be written,
/// or can be created. Changes nothing.
pub(super) fn probe(path: &Path) -> Result<bool, Trouble> {
    check_place(path)?;
    check_writable(folder(path))?;
    if open_read_only(path)?.is_none() {
        return Ok(false);
    }
    // Without `CREATE`: a file that goes meanwhile is not made.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    check_not_read_only(&connection, path)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(true)
}

#[cfg(unix)]
fn check_writable(folder: &Path) -> Result<(), Trouble> {
    use rustix::fs::{Access, access};
    access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        config(format!(
            "folder `{}` of the database cannot be written: {error}; make it writable, or set `Path` to another place",
            folder.display()
        ))
    })
}

#[cfg(not(unix))]
fn check_writable(_: &Path) -> Result<(), Trouble> {
    Ok(())
}

fn check_not_read_only(connection: &Connection, path: &Path) -> Result<(), Trouble> {
    if connection.is_readonly("main")? {
        return Err(config(format!(
            "database `{}` is read-only; make it writable, or set `Path` to another file",
            path.display()
        )));
    }
    Ok(())
}

/// The folder of a database.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Checks what SQLite would only call `unable to open database file`.
pub(crate) fn check_place(path: &Path) -> Result<(), Trouble> {
    let folder = folder(path);
    match folder.metadata() {
        Ok(there) if there.is_dir() => {}
        Ok(_) => {
            return Err(config(format!(
                "`{}`, where the database is to be, is not a folder",
                folder.display()
            )));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(config(format!(
                "folder `{}`, where the database is to be, does not exist; create it, or set `Path` to another place",
                folder.display()
            )));
        }
        Err(error) => {
            return Err(config(format!(
                "folder `{}` of the database cannot be read: {error}",
                folder.display()
            )));
        }
    }
    if path.is_dir() {
        return Err(config(format!("`{}` is a folder; set `Path` to a file in it", path.display())));
    }
    Ok(())
}

fn config(message: String) -> Trouble {
    Trouble::Storage(StorageError::Config { message, parameter: Some("Path".to_owned()) })
}
