//! What can go wrong in a connector, in the words of the contract.

use std::fmt;
use std::time::Duration;

/// The result of everything that can fail in a connector.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of a failure. The host decides by it whether running again can
/// help, with which code it exits, and how it words the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong; running again cannot help.
    Config,
    /// The source refused the credentials.
    Auth,
    /// The source asked to slow down.
    RateLimited,
    /// The source could not be reached or failed on its side; a later run may
    /// succeed.
    Unavailable,
    /// The source answered with something the connector cannot use.
    InvalidData,
    /// The host refused an operation that the operator did not grant.
    Denied,
    /// A resource limit of the run was reached.
    LimitExceeded,
    /// The run was cancelled.
    Cancelled,
    /// Anything else.
    Internal,
}

/// A failure, with one sentence for the person who operates the connector.
///
/// ```
/// use ow_connector::prelude::*;
///
/// let error = Error::config("the country is not two letters").parameter("country");
/// assert_eq!(error.kind(), ErrorKind::Config);
/// assert_eq!(error.to_string(), "the country is not two letters");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    parameter: Option<String>,
    retry_after: Option<Duration>,
    fatal: bool,
}

impl Error {
    /// A failure of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), parameter: None, retry_after: None, fatal: false }
    }

    /// The configuration is wrong; name the parameter with [`Error::parameter`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// The source refused the credentials.
    pub fn auth(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Auth, message)
    }

    /// The source asked to slow down; say for how long with
    /// [`Error::retry_after`].
    pub fn rate_limited(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::RateLimited, message)
    }

    /// The source could not be reached or failed on its side.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The source answered with something the connector cannot use.
    pub fn invalid_data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidData, message)
    }

    /// The host refused an operation.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    /// A limit was reached.
    pub fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::LimitExceeded, message)
    }

    /// The run was cancelled.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "the run was cancelled")
    }

    /// Anything else: a bug of the connector.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Names the configuration parameter at fault.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>) -> Self {
        self.parameter = Some(name.into());
        self
    }

    /// Says how long to wait before another try makes sense.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Says that nothing else in this run can succeed either, so that
    /// [`Failures`](crate::Failures) pass it on. What the storage says is so already.
    #[must_use]
    pub fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// Says what was being done: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether it ends the whole run: a cancelled run, a denied operation, a
    /// limit, and what [`Error::fatal`] says so of.
    pub fn is_fatal(&self) -> bool {
        let ending = matches!(self.kind, ErrorKind::Cancelled | ErrorKind::Denied | ErrorKind::LimitExceeded);
        self.fatal || ending
    }

    /// The sentence for the operator.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The parameter at fault, where there is one.
    pub fn parameter_name(&self) -> Option<&str> {
        self.parameter.as_deref()
    }

    /// How long to wait, where the source said so.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        // An error of ours that travelled through `std::io::Read` comes out as it went in.
        if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            return inner.clone();
        }
        let kind = match error.kind() {
            Io::NotFound => ErrorKind::Config,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Denied,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge | Io::OutOfMemory => {
                ErrorKind::LimitExceeded
            }
            Io::InvalidData | Io::UnexpectedEof => ErrorKind::InvalidData,
            Io::ConnectionRefused | Io::ConnectionReset | Io::ConnectionAborted | Io::TimedOut => {
                ErrorKind::Unavailable
            }
            _ => ErrorKind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() { std::io::Error::from(error).into() } else { Self::invalid_data(error.to_string()) }
    }
}

/// Adds what was being done to a failure.
///
/// ```
/// use ow_connector::prelude::*;
///
/// fn first_line(path: &str) -> Result<String> {
///     let text = std::fs::read_to_string(path).context(path)?;
///     Ok(text.lines().next().unwrap_or_default().to_owned())
/// }
/// assert!(first_line("nowhere.txt").unwrap_err().message().starts_with("nowhere.txt: "));
/// ```
pub trait Context<T> {
    /// Prefixes the message with `context: `.
    fn context(self, context: impl fmt::Display) -> Result<T>;

    /// The same, computed only when it failed.
    fn with_context<D: fmt::Display>(self, context: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, context: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().context(context))
    }

    fn with_context<D: fmt::Display>(self, context: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| error.into().context(context()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_way_through_io() {
        let there = std::io::Error::from(Error::auth("no").parameter("Token"));
        assert_eq!(Error::from(there), Error::auth("no").parameter("Token"));
    }

    #[test]
    fn says_where_json_broke() {
        let error: Error = serde_json::from_str::<u8>("\n x").unwrap_err().into();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.message().contains("line 2 column 2"), "{error}");
    }
}
