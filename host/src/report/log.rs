//! The log of one run: what the connector and the host say, bounded in length,
//! rate and volume, free of secrets and of terminal escapes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::text::{cut, plain};
use super::{Event, Level, LogSource, Sink};
use crate::config::secret::Secrets;
use crate::sandbox::Limits;

/// How many seconds' worth of lines may come at once.
const BURST_SECONDS: f64 = 10.0;
/// Lines of standard error that are kept for the message about a panic.
const LAST_LINES: usize = 4;
/// Named values beside a line; more are dropped.
const FIELDS: usize = 32;

/// The log of one run.
pub struct RunLog {
    sink: Option<Sink>,
    secrets: Arc<Secrets>,
    line: usize,
    rate: f64,
    max_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bytes: u64,
    tokens: f64,
    refilled: Instant,
    dropped: u64,
    last_stderr: VecDeque<String>,
}

impl std::fmt::Debug for RunLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunLog").field("state", &self.state).finish_non_exhaustive()
    }
}

impl RunLog {
    /// An empty log whose lines go to `sink`.
    #[must_use]
    pub fn new(sink: Option<Sink>, secrets: Arc<Secrets>, limits: &Limits) -> Arc<Self> {
        let rate = f64::from(limits.log_rate);
        Arc::new(Self {
            sink,
            secrets,
            line: limits.log_line.as_usize(),
            rate,
            max_bytes: limits.log_bytes.get(),
            state: Mutex::new(State {
                bytes: 0,
                tokens: rate * BURST_SECONDS,
                refilled: Instant::now(),
                dropped: 0,
                last_stderr: VecDeque::new(),
            }),
        })
    }

    /// Writes a line that the guest wrote, within the limits.
    pub fn guest_line(&self, level: Level, source: LogSource, message: &str, fields: &[(String, String)]) {
        let message = self.clean(message);
        let fields: Vec<_> =
            fields.iter().take(FIELDS).map(|(name, value)| (self.clean(name), self.clean(value))).collect();
        let bytes = fields.iter().fold(message.len(), |sum, (name, value)| sum + name.len() + value.len());
        if source == LogSource::Stderr {
            self.keep_last(&message);
        }
        match self.admit(u64::try_from(bytes).unwrap_or(u64::MAX)) {
            Admission::Write => self.emit(&Event::Log { level, source, message, fields }),
            Admission::FirstDropped => self.host_line(
                Level::Warn,
                "the connector logs more than log_rate and log_bytes allow; what is over is counted and dropped",
            ),
            Admission::Dropped => {}
        }
    }

    /// Writes a line of the host.
    pub fn host_line(&self, level: Level, message: &str) {
        let message = self.secrets.redact(&plain(message)).into_owned();
        self.emit(&Event::Log { level, source: LogSource::Host, message, fields: Vec::new() });
    }

    /// The secrets that are kept out of the log.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Hands any event on.
    pub fn emit(&self, event: &Event) {
        if let Some(sink) = &self.sink {
            sink(event);
        }
    }

    /// The text without secrets and control characters, cut at the length of a
    /// line. Secrets go first: a cut or a removed character could hide half of one.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let text = self.secrets.redact(text);
        let text = plain(&text);
        let text = self.secrets.redact(&text);
        if text.len() <= self.line { text.into_owned() } else { format!("{}…", cut(&text, self.line)) }
    }

    /// Lines that were dropped for their volume.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Counts lines that were dropped before they reached this log.
    pub(crate) fn dropped_elsewhere(&self, lines: u64) {
        self.lock().dropped += lines;
    }

    /// The last lines of the guest's standard error in one, where there are any.
    #[must_use]
    pub fn last_stderr(&self) -> Option<String> {
        let state = self.lock();
        let lines: Vec<&str> = state.last_stderr.iter().map(String::as_str).collect();
        (!lines.is_empty()).then(|| lines.join(" "))
    }

    fn keep_last(&self, line: &str) {
        if line.is_empty() || line.starts_with("note: ") {
            return;
        }
        let mut state = self.lock();
        if state.last_stderr.len() == LAST_LINES {
            state.last_stderr.pop_front();
        }
        state.last_stderr.push_back(cut(line, 500).to_owned());
    }

    fn admit(&self, bytes: u64) -> Admission {
        let mut state = self.lock();
        let now = Instant::now();
        let refill = now.duration_since(state.refilled).as_secs_f64() * self.rate;
        state.tokens = (state.tokens + refill).min(self.rate * BURST_SECONDS);
        state.refilled = now;
        let total = state.bytes.saturating_add(bytes);
        if state.tokens < 1.0 || total > self.max_bytes {
            state.dropped += 1;
            return if state.dropped == 1 { Admission::FirstDropped } else { Admission::Dropped };
        }
        state.tokens -= 1.0;
        state.bytes = total;
        Admission::Write
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Admission {
    Write,
    FirstDropped,
    Dropped,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{ByteSize, LimitOverrides};

    fn lines(overrides: LimitOverrides, write: impl Fn(&RunLog)) -> (Vec<String>, u64) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink: Sink = {
            let seen = Arc::clone(&seen);
            Arc::new(move |event| {
                if let Event::Log { message, .. } = event {
                    seen.lock().unwrap().push(message.clone());
                }
            })
        };
        let mut secrets = Secrets::new();
        secrets.hide("hunter2hunter2");
        let log = RunLog::new(Some(sink), Arc::new(secrets), &overrides.resolve());
        write(&log);
        let lines = seen.lock().unwrap().clone();
        (lines, log.dropped())
    }

    #[test]
    fn secrets_and_escapes_do_not_reach_the_log() {
        let (lines, _) = lines(LimitOverrides::default(), |log| {
            log.guest_line(Level::Info, LogSource::Stdout, "key hunter2hunter2 \u{1b}[31m!", &[]);
            log.guest_line(Level::Info, LogSource::Stdout, "hunter2\u{1b}[0mhunter2", &[]);
        });
        assert_eq!(lines, ["key *** !", "***"]);
    }

    #[test]
    fn lines_are_cut_and_bounded_in_number_and_volume() {
        let few = LimitOverrides {
            log_rate: Some(1),
            log_line: Some(ByteSize::bytes(8)),
            ..LimitOverrides::default()
        };
        let (lines, dropped) = lines(few, |log| {
            for _ in 0..100 {
                log.guest_line(Level::Info, LogSource::Stdout, "0123456789", &[]);
            }
        });
        assert_eq!(lines.first().unwrap(), "01234567…");
        assert!(lines.len() < 20, "{} lines", lines.len());
        assert!(lines.iter().any(|line| line.contains("log_rate")));
        assert!(dropped > 80);
    }
}
