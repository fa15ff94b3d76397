//! Why something did not succeed: the one type that ends a run or a command,
//! and the exit codes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of end it was. Each has an exit code of its own, so that scripts
/// and schedulers can tell them apart without reading messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureClass {
    /// The connector failed: the source refused, was not reachable, or sent
    /// something that cannot be used; or the connector itself is broken.
    Connector,
    /// The command line is wrong.
    Usage,
    /// The configuration or the run configuration is wrong.
    Config,
    /// The file is no component that this host can run.
    Component,
    /// The run needs a capability that the operator did not grant.
    Denied,
    /// A limit of the sandbox was reached.
    Limit,
    /// The storage failed or refused.
    Storage,
    /// The host itself failed; this is a bug or a broken machine.
    Internal,
    /// The run was cancelled by a signal or by the program that embeds the host.
    Interrupted,
}

impl FailureClass {
    /// Every class, in the order of their exit codes.
    pub const ALL: [Self; 9] = [
        Self::Connector,
        Self::Usage,
        Self::Config,
        Self::Component,
        Self::Denied,
        Self::Limit,
        Self::Storage,
        Self::Internal,
        Self::Interrupted,
    ];

    /// The exit code of the process; success is 0.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Connector => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Component => 4,
            Self::Denied => 5,
            Self::Limit => 6,
            Self::Storage => 7,
            Self::Internal => 8,
            // What a shell reports for a process that SIGINT ended.
            Self::Interrupted => 130,
        }
    }

    /// One line that says what the exit code means, for help and documents.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Connector => "the connector or its source failed",
            Self::Usage => "the command line is wrong",
            Self::Config => "the configuration is wrong",
            Self::Component => "the file is not a component that can run here",
            Self::Denied => "the run needs a capability that was not granted",
            Self::Limit => "a limit of the sandbox was reached",
            Self::Storage => "the storage failed or refused",
            Self::Internal => "the host failed",
            Self::Interrupted => "the run was interrupted",
        }
    }
}

/// Why a run or a command did not succeed, in the words of the person who
/// operates it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// What kind of end it was.
    pub class: FailureClass,
    /// What is wrong and where: lower case, no full stop.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The configuration parameter at fault, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// Whether the same run may succeed later without any change.
    pub retryable: bool,
    /// Whether the connector says so. It chooses its words and the class of its
    /// errors: they may be wrong, or imitate the host's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub from_connector: bool,
}

impl Failure {
    /// A failure of a class, with its message.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            hint: None,
            parameter: None,
            retryable: false,
            from_connector: false,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the configuration parameter at fault.
    #[must_use]
    pub fn with_parameter(mut self, parameter: Option<String>) -> Self {
        self.parameter = parameter;
        self
    }

    /// Says that these are the connector's own words.
    #[must_use]
    pub fn from_connector(mut self) -> Self {
        self.from_connector = true;
        self
    }

    /// Says that the same run may succeed later without any change.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_distinct_and_never_zero() {
        let codes: std::collections::BTreeSet<u8> =
            FailureClass::ALL.iter().map(|class| class.exit_code()).collect();
        assert_eq!(codes.len(), FailureClass::ALL.len());
        assert!(!codes.contains(&0));
    }
}
