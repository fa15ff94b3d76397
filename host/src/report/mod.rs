//! What happens in a run, as events, and what it came to, as a report.
//!
//! The library hands events to a [`Sink`]; the command line shows them as bars,
//! lines or JSON (`cli`). Everything here has passed through redaction: no
//! secret value is in any field.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::audit::AuditReport;
use crate::failure::{Failure, FailureClass};

pub mod audit;
pub mod log;
pub mod stats;
pub mod text;

/// Receives the events of a run, in their order, on any thread. Must not block.
pub type Sink = Arc<dyn Fn(&Event) + Send + Sync>;

/// The importance of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Every step.
    Trace,
    /// What an author looks for.
    Debug,
    /// What an operator may like to know.
    Info,
    /// What an operator should look at.
    Warn,
    /// What went wrong.
    Error,
}

/// Where a log line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// The connector, through `report.log`.
    Connector,
    /// The connector's standard output.
    Stdout,
    /// The connector's standard error.
    Stderr,
    /// The host.
    Host,
}

/// Something that happened in a run. With `--output json` each is one line.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The configuration is valid, the component compiled, the storage open.
    Started {
        /// This run.
        run_id: String,
        /// What its rows and state belong to.
        data_mart_id: String,
        /// `INCREMENTAL`, `MANUAL_BACKFILL`, `FULL_REFRESH` or `CUSTOM`.
        run_type: String,
        /// Name and version.
        connector: String,
        /// SHA-256 of the component, in hexadecimal.
        digest: String,
        /// The storage, and where it is.
        storage: String,
    },
    /// A line of the log.
    Log {
        /// Its importance.
        level: Level,
        /// Where it comes from.
        source: LogSource,
        /// Its text, without control characters.
        message: String,
        /// Named values beside it.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        fields: Vec<(String, String)>,
    },
    /// How far the run is; at most a few times a second.
    Progress(Progress),
    /// The storage made rows and state durable.
    Committed {
        /// Commits so far.
        commits: u64,
        /// Rows of the run that are durable now.
        rows: u64,
    },
    /// The host refused something that the connector tried.
    Denied(Denied),
    /// The run is over.
    Finished(Box<RunReport>),
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Rows that the connector wrote.
    pub rows: u64,
    /// Their bytes in Arrow's layout.
    pub bytes: u64,
    /// HTTP requests that were sent.
    pub requests: u64,
    /// Bytes that the guest's memories and tables take now.
    pub memory: u64,
    /// What the connector says: units done.
    pub done: Option<u64>,
    /// What the connector says: units in all.
    pub total: Option<u64>,
    /// What the connector counts.
    pub unit: Option<String>,
}

/// An attempt that the host refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Denied {
    /// What was tried, such as `GET http://169.254.169.254`.
    pub attempt: String,
    /// Why it was refused, such as `link-local address`.
    pub reason: String,
    /// The flag that would grant it, where one would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything that the connector wrote is committed.
    Succeeded,
    /// It failed; what it had committed stays.
    Failed,
    /// It was cancelled; what it had committed stays.
    Interrupted,
}

/// Rows of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    /// The stream's name.
    pub stream: String,
    /// `append`, `merge` or `replace`.
    pub mode: crate::storage::WriteMode,
    /// Rows that the connector wrote.
    pub rows: u64,
    /// Rows of these that are durable in the stream's table.
    pub committed_rows: u64,
    /// Rows of these that the stream's contract left out.
    pub refused_rows: u64,
    /// Values that the stream's contract left out of other rows.
    pub refused_values: u64,
    /// Bytes of the rows in Arrow's layout.
    pub bytes: u64,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunReport {
    /// How it ended.
    pub status: Status,
    /// The exit code that says so.
    pub exit_code: u8,
    /// Why it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// This run.
    pub run_id: String,
    /// What its rows and state belong to.
    pub data_mart_id: String,
    /// `INCREMENTAL`, `MANUAL_BACKFILL`, `FULL_REFRESH` or `CUSTOM`.
    pub run_type: String,
    /// Name and version; empty if the component was not loaded.
    pub connector: String,
    /// SHA-256 of the component; empty if it was not read.
    pub digest: String,
    /// The storage, and where it is; empty if it was not opened.
    pub storage: String,
    /// Rows a stream, by name.
    pub streams: Vec<StreamReport>,
    /// The storage's table of what contracts refused; none if they refused nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<String>,
    /// How often rows and state became durable.
    pub commits: u64,
    /// HTTP requests that were sent.
    pub requests: u64,
    /// Bytes of HTTP bodies sent.
    pub request_bytes: u64,
    /// Bytes of HTTP bodies received, decompressed.
    pub response_bytes: u64,
    /// What the host refused, and how often.
    pub denied: Vec<DeniedCount>,
    /// What was granted, and what was used of it.
    pub audit: AuditReport,
    /// Log lines that were dropped for their volume.
    pub dropped_log_lines: u64,
    /// The most bytes that the guest's memories and tables took.
    pub peak_memory: u64,
    /// Processor time of the guest, in milliseconds.
    pub cpu_ms: u64,
    /// Time that the storage waited for its service, in milliseconds.
    pub storage_wait_ms: u64,
    /// Time from start to end, in milliseconds.
    pub wall_ms: u64,
}

/// A refused attempt and how often it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeniedCount {
    /// What was refused.
    #[serde(flatten)]
    pub denied: Denied,
    /// How often.
    pub count: u64,
}

impl RunReport {
    /// Whether the run succeeded.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == Status::Succeeded
    }

    /// The class of the failure, where there is one.
    #[must_use]
    pub fn failure_class(&self) -> Option<FailureClass> {
        self.failure.as_ref().map(|failure| failure.class)
    }
}
