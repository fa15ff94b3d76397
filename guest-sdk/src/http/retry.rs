//! When a request is tried again, and how long to wait before.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::host;
use crate::time::parse_http_date;

/// How often a waiting connector asks whether the run was cancelled.
const ATTENTION: Duration = Duration::from_millis(250);

/// When a request is tried again: after a connection that failed, after 429, and
/// after 5xx. Waits grow twofold with every try, with full jitter: a random
/// part of the wait, so that many clients do not come back at once.
///
/// Only requests that may be repeated are: GET, HEAD, PUT, DELETE and OPTIONS,
/// and others where [`Request::idempotent`](super::Request::idempotent) says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all; 1 is no retry. 5 by default.
    pub attempts: u32,
    /// The longest first wait. Half a second by default.
    pub first_wait: Duration,
    /// The longest wait between two tries. 30 seconds by default.
    pub longest_wait: Duration,
    /// The longest `Retry-After` that is waited for; a server that asks for more
    /// ends the request. 2 minutes by default.
    pub longest_retry_after: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            longest_retry_after: Duration::from_secs(120),
        }
    }
}

impl Retry {
    /// No second try.
    pub fn never() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// How long to wait after try number `attempt` (from 1), if there is to be
    /// another. `random` lies in 0..1.
    pub(crate) fn wait(&self, attempt: u32, retry_after: Option<Duration>, random: f64) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        match retry_after {
            Some(wait) => (wait <= self.longest_retry_after).then_some(wait),
            None => {
                let doubled = 2u32.saturating_pow(attempt - 1);
                Some(self.first_wait.saturating_mul(doubled).min(self.longest_wait).mul_f64(random))
            }
        }
    }
}

/// Whether a later answer to the same request may be another one.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 506..=599)
}

/// `Retry-After`: seconds, or a date.
pub(crate) fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = host::now();
    let micros = parse_http_date(value, now)?.micros().saturating_sub(now.micros());
    Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

/// Waits, and fails as soon as the run is cancelled.
pub(crate) fn pause(mut wait: Duration) -> Result<()> {
    loop {
        if host::cancelled() {
            return Err(Error::cancelled());
        }
        let step = wait.min(ATTENTION);
        if step.is_zero() {
            return Ok(());
        }
        host::sleep(step);
        wait -= step;
    }
}

/// A number in 0..1 from the seed of a hash map, which is random already.
pub(crate) fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound() {
        let retry = Retry { attempts: 10, ..Retry::default() };
        let most: Vec<u128> = (1..=10)
            .filter_map(|attempt| retry.wait(attempt, None, 1.0))
            .map(|wait| wait.as_millis())
            .collect();
        assert_eq!(most, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(retry.wait(3, None, 0.0), Some(Duration::ZERO));
        assert_eq!(Retry::never().wait(1, None, 1.0), None);
    }

    #[test]
    fn the_server_decides_within_bounds() {
        let retry = Retry::default();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(retry.wait(1, seconds(7), 0.1), seconds(7));
        assert_eq!(retry.wait(1, seconds(120), 0.1), seconds(120));
        assert_eq!(retry.wait(1, seconds(121), 0.1), None);
        assert_eq!(retry.wait(5, seconds(1), 0.1), None);
    }

    #[test]
    fn random_numbers_lie_in_range_and_differ() {
        let numbers: Vec<f64> = (0..100).map(|_| random()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(numbers.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn retry_after_as_seconds_or_date() {
        assert_eq!(retry_after(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }
}
