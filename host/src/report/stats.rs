//! The counters of one run, written by many and read for progress and summary.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::audit::Audit;
use super::{Denied, DeniedCount, Progress, StreamReport};
use crate::storage::WriteMode;
use crate::storage::contract::Refusals;

/// Different refused attempts that are told apart; a hostile guest could
/// otherwise fill the host's memory with them. More are counted under one name.
const DENIED_KINDS: usize = 100;

/// The counters of one run.
#[derive(Debug, Default)]
pub struct Stats {
    rows: AtomicU64,
    bytes: AtomicU64,
    commits: AtomicU64,
    requests: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    streams: Mutex<BTreeMap<String, StreamReport>>,
    denied: Mutex<BTreeMap<Denied, u64>>,
    said: Mutex<Said>,
    http_limit: Mutex<Option<&'static str>>,
    refusals: Refusals,
    audit: Audit,
}

/// What the connector itself says of its progress.
#[derive(Debug, Default, Clone)]
struct Said {
    done: Option<u64>,
    total: Option<u64>,
    unit: Option<String>,
}

impl Stats {
    /// A stream was opened.
    pub fn opened(&self, stream: &str, mode: WriteMode) {
        lock(&self.streams).entry(stream.to_owned()).or_insert_with(|| StreamReport {
            stream: stream.to_owned(),
            mode,
            rows: 0,
            committed_rows: 0,
            refused_rows: 0,
            refused_values: 0,
            bytes: 0,
        });
    }

    /// Rows of a stream were handed to the storage.
    pub fn wrote(&self, stream: &str, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(report) = lock(&self.streams).get_mut(stream) {
            report.rows += rows;
            report.bytes += bytes;
        }
    }

    /// What was written so far is durable; the number of commits and of rows.
    /// A stream that is replaced waits for the end of the run.
    pub fn committed(&self, end: bool) -> (u64, u64) {
        let mut rows = 0;
        for report in lock(&self.streams).values_mut() {
            if end || report.mode != WriteMode::Replace {
                // A commit has waited for the rows, so that what it refused is known.
                report.committed_rows = report.rows - self.refusals.of(&report.stream).rows.min(report.rows);
            }
            rows += report.committed_rows;
        }
        (self.commits.fetch_add(1, Ordering::Relaxed) + 1, rows)
    }

    /// A request was sent.
    pub fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes of a request's body were sent.
    pub fn sent(&self, bytes: u64) {
        self.request_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of an answer's body were received.
    pub fn received(&self, bytes: u64) {
        self.response_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// An attempt was refused. Whether it is the first of its kind.
    pub fn denied(&self, denied: &Denied) -> bool {
        self.denied_times(denied, 1)
    }

    /// An attempt was refused so many times. Whether these are the first of its kind.
    pub fn denied_times(&self, denied: &Denied, times: u64) -> bool {
        let mut all = lock(&self.denied);
        let known = all.contains_key(denied);
        let key = if known || all.len() < DENIED_KINDS {
            denied.clone()
        } else {
            Denied { attempt: "other attempts".to_owned(), reason: "not granted".to_owned(), grant: None }
        };
        let count = all.entry(key).or_default();
        *count = count.saturating_add(times);
        !known && all.len() <= DENIED_KINDS
    }

    /// A request ran into this limit.
    pub fn http_limit_reached(&self, key: &'static str) {
        *lock(&self.http_limit) = Some(key);
    }

    /// The limit that a request ran into last.
    #[must_use]
    pub fn http_limit(&self) -> Option<&'static str> {
        *lock(&self.http_limit)
    }

    /// The connector says how far it is.
    pub fn said(&self, done: u64, total: Option<u64>, unit: String) {
        *lock(&self.said) = Said { done: Some(done), total, unit: Some(unit) };
    }

    /// How far the run is.
    #[must_use]
    pub fn progress(&self, memory: u64) -> Progress {
        let said = lock(&self.said).clone();
        Progress {
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            requests: self.requests(),
            memory,
            done: said.done,
            total: said.total,
            unit: said.unit,
        }
    }

    /// Rows a stream, by name.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamReport> {
        let streams = lock(&self.streams);
        let with_refused = |report: &StreamReport| {
            let refused = self.refusals.of(&report.stream);
            StreamReport { refused_rows: refused.rows, refused_values: refused.values, ..report.clone() }
        };
        streams.values().map(with_refused).collect()
    }

    /// Where the storage's contracts count what they refuse.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// How often rows and state became durable.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// What was granted, and what is used of it.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Requests that were sent.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of bodies sent and received.
    #[must_use]
    pub fn http_bytes(&self) -> (u64, u64) {
        (self.request_bytes.load(Ordering::Relaxed), self.response_bytes.load(Ordering::Relaxed))
    }

    /// What was refused, and how often.
    #[must_use]
    pub fn denials(&self) -> Vec<DeniedCount> {
        let all = lock(&self.denied);
        all.iter().map(|(denied, count)| DeniedCount { denied: denied.clone(), count: *count }).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
