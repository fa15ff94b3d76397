//! What the HTTP gate tells of a run.

use std::sync::Arc;

use crate::report::log::RunLog;
use crate::report::stats::Stats;
use crate::report::{Denied, Event, Level};
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

    fn denied(&self, denied: Denied) {
        let denied = Denied { attempt: self.log.clean(&denied.attempt), ..denied };
        if self.stats.denied(&denied) {
            self.log.emit(&Event::Denied(denied));
        }
    }

    fn failed(&self, message: &str) {
        self.log.host_line(Level::Debug, message);
    }

    fn limit_reached(&self, _: &'static str, message: &str) {
        self.log.host_line(Level::Warn, message);
    }
}
