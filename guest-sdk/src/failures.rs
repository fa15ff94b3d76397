//! Failures that do not end a run at once: the other accounts and streams go on,
//! and the run fails in the end.

use std::fmt::Display;

use crate::error::{Error, ErrorKind, Result};

/// Failures that the final message spells out.
const LISTED: usize = 10;

/// Collects what fails while the rest goes on. The run still fails, with a list:
/// nobody takes half an import for a whole one.
///
/// ```
/// use ow_connector::prelude::*;
///
/// fn import(account: &str) -> Result<()> {
///     if account == "7" { Err(Error::auth("no permission")) } else { Ok(()) }
/// }
///
/// let mut failures = Failures::new();
/// for account in ["3", "7", "9"] {
///     failures.attempt(format_args!("account {account}"), || import(account))?;
/// }
/// let error = failures.finish().unwrap_err();
/// assert_eq!(error.message(), "1 of 3 failed: account 7: no permission");
/// assert_eq!(error.kind(), ErrorKind::Auth);
/// # Ok::<(), Error>(())
/// ```
///
/// What ends everything is passed on at once, by the `?` after `attempt`: a
/// cancelled run, a denied request, a limit, a storage that fails.
///
/// Rows that a part wrote before it failed stay, and the next commit keeps them;
/// its state must not be set. With a primary key the next run merges the same
/// rows again.
#[derive(Debug, Default)]
#[must_use = "`finish` tells what failed"]
pub struct Failures {
    tried: usize,
    failed: Vec<Error>,
}

impl Failures {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Does one part of the work. A failure is logged and kept, and the answer is
    /// `None`; one that ends the whole run is the error.
    pub fn attempt<T>(&mut self, what: impl Display, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        self.tried += 1;
        match work() {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_fatal() => Err(error.context(what)),
            Err(error) => {
                let error = error.context(what);
                log::error!("{error}; the rest goes on");
                self.failed.push(error);
                Ok(None)
            }
        }
    }

    /// Whether nothing failed so far.
    pub fn is_empty(&self) -> bool {
        self.failed.is_empty()
    }

    /// How many parts failed so far.
    pub fn len(&self) -> usize {
        self.failed.len()
    }

    /// Fails if anything did, and says what. The kind is that of the first
    /// failure that the operator has to look at: only where a later run may mend
    /// all of them does it say so.
    pub fn finish(self) -> Result<()> {
        let errors = || self.failed.iter();
        let first = errors().find(|error| !may_pass(error)).or(self.failed.first());
        let Some(first) = first else { return Ok(()) };
        let mut listed: Vec<String> = errors().take(LISTED).map(ToString::to_string).collect();
        if self.failed.len() > LISTED {
            listed.push(format!("and {} more", self.failed.len() - LISTED));
        }
        let message = format!("{} of {} failed: {}", self.failed.len(), self.tried, listed.join("; "));
        let mut error = Error::new(first.kind(), message);
        if let Some(name) = first.parameter_name() {
            error = error.parameter(name);
        }
        if may_pass(first)
            && let Some(wait) = errors().filter_map(Error::wait).max()
        {
            error = error.retry_after(wait);
        }
        Err(error)
    }
}

fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Unavailable)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn failures(errors: impl IntoIterator<Item = Error>) -> Failures {
        let mut failures = Failures::new();
        for (index, error) in errors.into_iter().enumerate() {
            assert_eq!(failures.attempt(format_args!("part {index}"), || Err::<(), _>(error)).unwrap(), None);
        }
        failures
    }

    #[test]
    fn nothing_failed() {
        let mut failures = Failures::new();
        assert_eq!(failures.attempt("a", || Ok(7)).unwrap(), Some(7));
        assert!(failures.is_empty());
        failures.finish().unwrap();
    }

    #[test]
    fn the_kind_is_what_the_operator_has_to_look_at() {
        let wait = Duration::from_secs(9);
        let error = failures([Error::unavailable("down"), Error::auth("no"), Error::config("x")])
            .finish()
            .unwrap_err();
        assert_eq!((error.kind(), error.wait()), (ErrorKind::Auth, None));
        assert_eq!(error.message(), "3 of 3 failed: part 0: down; part 1: no; part 2: x");
        let error = failures([Error::unavailable("a"), Error::rate_limited("b").retry_after(wait)])
            .finish()
            .unwrap_err();
        assert_eq!((error.kind(), error.wait()), (ErrorKind::Unavailable, Some(wait)));
    }

    #[test]
    fn a_long_list_is_cut() {
        let error = failures((0..25).map(|_| Error::auth("no"))).finish().unwrap_err();
        assert!(error.message().starts_with("25 of 25 failed: part 0: no; "), "{error}");
        assert!(error.message().ends_with("part 9: no; and 15 more"), "{error}");
    }

    #[test]
    fn what_ends_everything_passes() {
        let fatal = [
            Error::cancelled(),
            Error::denied("no"),
            Error::limit_exceeded("full"),
            Error::unavailable("the storage is away").fatal(),
        ];
        for error in fatal {
            let mut failures = Failures::new();
            let kind = error.kind();
            let passed = failures.attempt("account 1", || Err::<(), _>(error)).unwrap_err();
            assert_eq!((passed.kind(), passed.is_fatal()), (kind, true));
            assert!(passed.message().starts_with("account 1: "));
            failures.finish().unwrap();
        }
    }
}
