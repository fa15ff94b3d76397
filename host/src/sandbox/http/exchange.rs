//! One request and its answer, as the observer of the run hears of it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::Method;
use tokio::time::Instant;

use super::disclosure::Undisclosed;
use super::fault::{Fault, Kind};
use crate::report::Denied;
use crate::report::audit::Traffic;

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
    /// The meter of an origin such as `https://api.example.com`, asked for once a
    /// request that is granted.
    fn traffic(&self, origin: &str) -> Arc<Traffic>;
    /// The value of this secret was put into a request to an origin so many times.
    fn secret_used(&self, name: &str, origin: &str, times: u64);
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
    origin: String,
    traffic: OnceLock<Arc<Traffic>>,
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
            origin: target.to_owned(),
            traffic: OnceLock::new(),
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

    /// The meter of the origin. Only what is granted gets here, so that a guest
    /// cannot make meters at will.
    fn traffic(&self) -> &Traffic {
        self.traffic.get_or_init(|| self.observer.traffic(&self.origin))
    }

    /// The request is sent.
    pub(crate) fn requested(&self) {
        self.observer.request();
        self.traffic().request();
    }

    /// A piece of the answer's body goes to the guest.
    pub(crate) fn received(&self, bytes: u64) {
        self.observer.received(bytes);
        self.traffic().received(bytes);
    }

    /// The value of a secret is put into the request.
    pub(crate) fn put_secret(&self, name: &str) {
        self.observer.secret_used(name, &self.origin, 1);
    }

    /// The fault of a request that would carry a secret where it may not go.
    pub(crate) fn undisclosed(&self, undisclosed: Undisclosed) -> Fault {
        let Undisclosed { reason, grant } = undisclosed;
        Fault::denied(Kind::Denied, Denied { attempt: self.attempt.clone(), reason, grant })
    }

    /// The guest gave a piece of the request's body.
    pub(crate) fn progressed(&self, bytes: usize) {
        self.observer.sent(bytes as u64);
        self.traffic().sent(bytes as u64);
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
