//! What the HTTP gate tells of a run.

use std::sync::Arc;

use crate::report::audit::Traffic;
use crate::report::log::RunLog;
use crate::report::stats::Stats;
use crate::report::{Denied, Event, Level, LogSource};
use crate::sandbox::http::HttpObserver;

/// Counts requests and reports refused ones.
pub(super) struct Observer {
    pub(super) stats: Arc<Stats>,
    pub(super) log: Arc<RunLog>,
}

impl HttpObserver for Observer {
    fn request(&self) {
        self.stats.request();
    }

    fn sent(&self, bytes: u64) {
        self.stats.sent(bytes);
    }

    fn received(&self, bytes: u64) {
        self.stats.received(bytes);
    }

    fn traffic(&self, origin: &str) -> Arc<Traffic> {
        self.stats.audit().traffic(origin)
    }

    fn secret_used(&self, name: &str, origin: &str, times: u64) {
        self.stats.audit().secret_used(name, origin, times);
    }

    fn denied(&self, denied: Denied) {
        let clean = |text: String| self.log.clean(&text);
        let Denied { attempt, reason, grant } = denied;
        // Granting one origin would not help.
        let (reason, grant) = match (self.stats.audit().network_denied_by(), grant) {
            (Some(by), Some(_)) => (format!("the network is denied by {by}"), None),
            (_, grant) => (clean(reason), grant.map(clean)),
        };
        let denied = Denied { attempt: clean(attempt), reason, grant };
        if self.stats.denied(&denied) {
            self.log.emit(&Event::Denied(denied));
        }
    }

    fn failed(&self, message: &str) {
        self.log.guest_line(Level::Debug, LogSource::Host, message, &[]);
    }

    fn noted(&self, message: &str) {
        self.log.host_line(Level::Debug, message);
    }

    fn limit_reached(&self, limit: &'static str, message: &str) {
        self.stats.http_limit_reached(limit);
        self.log.guest_line(Level::Warn, LogSource::Host, message, &[]);
    }
}
