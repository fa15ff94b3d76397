//! Rate limits: at most so many requests in any stretch of time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use super::retry;
use crate::error::Result;
use crate::host;

/// How many requests go out in a stretch of time, at most: in any such stretch,
/// wherever it begins. Tries and redirects count as well.
///
/// ```
/// use ow_connector::http::RateLimit;
/// use std::time::Duration;
///
/// let an_api = RateLimit::per_second(10);
/// let a_slow_one = RateLimit::new(1, Duration::from_millis(3650));
/// # assert_ne!(an_api, a_slow_one);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    requests: u32,
    period: Duration,
}

impl RateLimit {
    /// At most so many requests, but at least one, in any period of this length.
    pub fn new(requests: u32, period: Duration) -> Self {
        Self { requests: requests.max(1), period }
    }

    /// At most so many requests in any second.
    pub fn per_second(requests: u32) -> Self {
        Self::new(requests, Duration::from_secs(1))
    }

    /// At most so many requests in any minute.
    pub fn per_minute(requests: u32) -> Self {
        Self::new(requests, Duration::from_secs(60))
    }
}

/// A limit at work: when requests went out.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: RateLimit,
    /// The departures of the last period, the earliest first.
    sent: RefCell<VecDeque<Duration>>,
}

impl Limiter {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, sent: RefCell::default() }
    }

    /// How long the next request has to wait.
    pub(super) fn wait(&self) -> Duration {
        let now = host::elapsed();
        let mut sent = self.sent.borrow_mut();
        while sent.front().is_some_and(|first| *first + self.limit.period <= now) {
            sent.pop_front();
        }
        match sent.front() {
            Some(first) if sent.len() >= self.limit.requests as usize => {
                (*first + self.limit.period).saturating_sub(now)
            }
            _ => Duration::ZERO,
        }
    }

    /// Waits for the turn of a request, which goes out now.
    pub(super) fn depart(&self) -> Result<()> {
        loop {
            let wait = self.wait();
            if wait.is_zero() {
                self.sent.borrow_mut().push_back(host::elapsed());
                return Ok(());
            }
            retry::pause(wait)?;
        }
    }
}
