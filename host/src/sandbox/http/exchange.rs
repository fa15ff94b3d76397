//! One request and its answer, as the observer of the run hears of it.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use http::Method;
use tokio::time::Instant;

use super::disclosure::Undisclosed;
use super::fault::{Fault, Kind};
use crate::report::Denied;

/// A longer method is cut in messages.
const METHOD_SHOWN: usize = 16;

/// Hears what a run does over HTTP. Called from the tasks that move the bytes:
/// must not block.
///
/// Messages contain no path, query, header or body; the values of secrets can
/// still be in what a server or a library says, so redact them.
pub trait HttpObserver: Send + Sync {
    /// A request is sent.
    fn request(&self);
    /// Bytes of a request's body came from the guest.
    fn sent(&self, bytes: u64);
    /// Bytes of an answer's body, decompressed, went to the guest.
    fn received(&self, bytes: u64);
    /// A request was refused.
    fn denied(&self, denied: Denied);
    /// A request failed, such as `GET https://api.example.com/…: connection refused`.
    fn failed(&self, message: &str);
    /// Something that an author looks for, such as a value that an answer held.
    fn noted(&self, message: &str);
    /// A request failed for a limit, which is named by its key.
    fn limit_reached(&self, limit: &'static str, message: &str) {
        let _ = limit;
        self.failed(message);
    }
}

/// One request and its answer.
pub(crate) struct Exchange {
    pub(crate) observer: Arc<dyn HttpObserver>,
    /// Method and origin.
    attempt: String,
    upload: Mutex<Upload>,
}

struct Upload {
    last_progress: Instant,
    fault: Option<Fault>,
    /// That a secret was refused has been told.
    told: bool,
}

impl Exchange {
    pub(crate) fn new(observer: Arc<dyn HttpObserver>, method: &Method, target: &str) -> Self {
        let method = method.as_str();
        let method = method.get(..METHOD_SHOWN).unwrap_or(method);
        Self {
            observer,
            attempt: format!("{method} {target}"),
            upload: Mutex::new(Upload { last_progress: Instant::now(), fault: None, told: false }),
        }
    }

    /// What was tried.
    pub(crate) fn attempt(&self) -> &str {
        &self.attempt
    }

    /// Tells the observer.
    pub(crate) fn report(&self, fault: &Fault) {
        if let Some(denied) = &fault.denied {
            if std::mem::replace(&mut self.upload().told, true) {
                return;
            }
            self.observer.denied(Denied { attempt: self.attempt.clone(), ..Denied::clone(denied) });
            return;
        }
        let message = format!("{}/…: {}", self.attempt, fault.message);
        match fault.limit {
            Some(limit) => self.observer.limit_reached(limit, &message),
            None => self.observer.failed(&message),
        }
    }

    /// The fault of a request that would carry a secret where it may not go.
    pub(crate) fn undisclosed(&self, undisclosed: Undisclosed) -> Fault {
        let Undisclosed { reason, grant } = undisclosed;
        Fault::denied(Kind::Denied, Denied { attempt: self.attempt.clone(), reason, grant })
    }

    /// The guest gave a piece of the request's body.
    pub(crate) fn progressed(&self, bytes: usize) {
        self.observer.sent(bytes as u64);
        self.upload().last_progress = Instant::now();
    }

    /// When the request's body, or its connection, last got on.
    pub(crate) fn last_progress(&self) -> Instant {
        self.upload().last_progress
    }

    /// The time starts anew.
    pub(crate) fn restart(&self) {
        self.upload().last_progress = Instant::now();
    }

    /// Keeps what was wrong with the request's body: HTTP/2 loses it.
    pub(crate) fn upload_failed(&self, fault: Fault) {
        self.upload().fault.get_or_insert(fault);
    }

    /// What was wrong with the request's body.
    pub(crate) fn upload_fault(&self) -> Option<Fault> {
        self.upload().fault.clone()
    }

    fn upload(&self) -> std::sync::MutexGuard<'_, Upload> {
        self.upload.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
