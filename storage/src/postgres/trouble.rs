//! What PostgreSQL answers when it cannot, in the words of the person who
//! operates the connector.

use std::error::Error as _;
use std::time::Duration;

use tokio_postgres::error::{DbError, Severity, SqlState};

use super::connection::LOCK_TIMEOUT;
use super::params::Target;
use crate::StorageError;

/// How much of a server's detail is told: it may quote a value.
const MAX_DETAIL: usize = 300;

/// A failure on its way up: PostgreSQL's, or one that is in the user's words.
#[derive(Debug)]
pub(super) enum Trouble {
    /// PostgreSQL's, or of the way to it.
    Postgres(tokio_postgres::Error),
    /// The session is gone; why.
    Lost(String),
    /// The server did not answer for so long.
    Silent(Duration),
    /// Ours.
    Storage(StorageError),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
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

    /// A bug, or a caller's.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::Storage(StorageError::Failed { message: message.into(), retryable: false })
    }

    pub(super) fn db(&self) -> Option<&DbError> {
        match self {
            Self::Postgres(error) => error.as_db_error(),
            _ => None,
        }
    }

    /// Whether the server says of itself that the transaction was rolled back
    /// and that the same one may succeed now.
    pub(super) fn is_conflict(&self) -> bool {
        self.db().is_some_and(|db| {
            [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(db.code())
        })
    }

    /// Whether the session is gone or cannot be used any more, so that nothing
    /// is known of what was asked last.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Self::Postgres(error) => error.as_db_error().is_none_or(is_fatal),
            Self::Lost(_) | Self::Silent(_) => true,
            Self::Storage(_) => false,
        }
    }

    /// Says it to the user; `doing` is what was tried, such as `write rows`.
    pub(super) fn explain(self, target: &Target, doing: &str) -> StorageError {
        match self {
            Self::Storage(error) => error,
            Self::Silent(after) => failed(
                true,
                format!(
                    "cannot {doing}: {} did not answer for {} seconds; raise `StatementTimeout` if it is busy",
                    target.place,
                    after.as_secs()
                ),
            ),
            Self::Lost(why) => lost(target, doing, &why),
            Self::Postgres(error) => match error.as_db_error() {
                Some(db) => explain(db, target, doing),
                None => lost(target, doing, &chain(&error)),
            },
        }
    }

    /// Says why there is no connection.
    pub(super) fn explain_connect(self, target: &Target) -> StorageError {
        let error = match self {
            Self::Postgres(error) => error,
            Self::Silent(after) => {
                return failed(
                    true,
                    format!(
                        "{} did not answer for {} seconds; check `Host`, `Port` and the firewall",
                        target.place,
                        after.as_secs()
                    ),
                );
            }
            Self::Lost(why) => return lost(target, "connect", &why),
            Self::Storage(error) => return error,
        };
        if let Some(db) = error.as_db_error() {
            return explain_login(db, target);
        }
        let (place, said) = (&target.place, chain(&error));
        if said.contains("does not support TLS") {
            return config(
                "SslMode",
                format!(
                    "{place} offers no TLS; turn it on there, or set `SslMode` to `disable` if the network is trusted"
                ),
            );
        }
        if said.contains("TLS handshake") {
            return config(
                "SslRootCert",
                format!(
                    "TLS with {place} failed: {said}; set `SslRootCert` to the certificate of its authority, and `Host` to the name in its certificate"
                ),
            );
        }
        if said.contains("password missing") {
            return config(
                "Password",
                format!("{place} asks for a password of user `{}`; set `Password`", target.user),
            );
        }
        failed(true, format!("{place} cannot be reached: {said}; check `Host` and `Port`"))
    }
}

/// Whether the server ends the session with this error.
fn is_fatal(db: &DbError) -> bool {
    match db.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        // Servers since 9.6 send a severity that is not translated.
        None => true,
    }
}

fn explain_login(db: &DbError, target: &Target) -> StorageError {
    let (place, user) = (&target.place, &target.user);
    match *db.code() {
        SqlState::INVALID_PASSWORD => config(
            "Password",
            format!("{place} does not take the password of user `{user}`; check `User` and `Password`"),
        ),
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => config(
            "User",
            format!(
                "{place} does not let user `{user}` in: {}; check `User`, `SslMode` and the server's pg_hba.conf",
                say(db)
            ),
        ),
        SqlState::INVALID_CATALOG_NAME => {
            config("Database", format!("{place} is not there: {}; create it, or correct `Database`", say(db)))
        }
        SqlState::INSUFFICIENT_PRIVILEGE => {
            config("User", format!("user `{user}` may not connect to {place}: {}; grant CONNECT", say(db)))
        }
        _ => failed(is_passing(db), format!("{place} refuses the connection: {}", say(db))),
    }
}

/// Whether the cause passes without a change of anything.
fn is_passing(db: &DbError) -> bool {
    let code = db.code().code();
    // Connections, resources, conflicts, interventions, the system.
    ["08", "53", "40", "55", "57", "58"].iter().any(|class| code.starts_with(class))
        && *db.code() != SqlState::DISK_FULL
}

fn explain(db: &DbError, target: &Target, doing: &str) -> StorageError {
    let said = say(db);
    let code = db.code();
    if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        return config(
            "User",
            format!(
                "cannot {doing}: user `{}` lacks a privilege: {said}; grant it, see the documentation of this storage",
                target.user
            ),
        );
    }
    if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        return config(
            "Host",
            format!(
                "cannot {doing}: {} is read-only (a standby, or `default_transaction_read_only` is on); set `Host` to the primary",
                target.place
            ),
        );
    }
    if *code == SqlState::LOCK_NOT_AVAILABLE {
        return failed(
            true,
            format!(
                "cannot {doing}: another session has locked what is needed for {} seconds ({said}); end its transaction",
                LOCK_TIMEOUT.as_secs()
            ),
        );
    }
    if *code == SqlState::QUERY_CANCELED {
        return failed(
            true,
            format!("cannot {doing}: {said}; raise `StatementTimeout` if the server needs longer"),
        );
    }
    if *code == SqlState::DISK_FULL {
        return failed(
            false,
            format!("cannot {doing}: no space is left for {}: {said}; free some and run again", target.place),
        );
    }
    if is_fatal(db) {
        return failed(
            true,
            format!(
                "cannot {doing}: {} ended the connection: {said}; what was not committed is dropped, run again",
                target.place
            ),
        );
    }
    let code = code.code();
    // Data, constraints, dependants, what is not supported, limits.
    if ["22", "23", "2B", "0A", "54"].iter().any(|class| code.starts_with(class)) {
        return StorageError::Refused { message: format!("cannot {doing}: {said}") };
    }
    failed(is_passing(db), format!("cannot {doing} in {}: {said} (SQLSTATE {code})", target.place))
}

fn lost(target: &Target, doing: &str, why: &str) -> StorageError {
    failed(
        true,
        format!(
            "cannot {doing}: the connection to {} was lost ({why}); what was not committed is dropped, run again",
            target.place
        ),
    )
}

/// What the server says, with the detail that names what is at fault.
pub(super) fn say(db: &DbError) -> String {
    let detail = db.detail().map(|detail| {
        let cut: String = detail.chars().take(MAX_DETAIL).collect();
        let more = if cut.len() < detail.len() { "…" } else { "" };
        format!(" ({}{more})", cut.trim_end_matches('.').replace('\n', "; "))
    });
    format!("{}{}", db.message(), detail.unwrap_or_default())
}

/// An error and its causes, none of which the driver shows otherwise.
pub(super) fn chain(error: &tokio_postgres::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !said.ends_with(&text) {
            said = format!("{said}: {text}");
        }
        cause = inner.source();
    }
    said
}

fn config(parameter: &str, message: String) -> StorageError {
    StorageError::Config { message, parameter: Some(parameter.to_owned()) }
}

fn failed(retryable: bool, message: String) -> StorageError {
    StorageError::Failed { message, retryable }
}
