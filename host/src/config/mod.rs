//! The configuration files: parse, validate, defaults, secrets.
//!
//! A run reads its configuration in two steps. [`Config::load`] and
//! [`RunConfig::load`] read the files and need nothing else. When the component
//! has told its [`ConnectorSpec`], [`resolve()`] fills in values, validates them
//! against the connector's JSON Schema and makes what the guest sees. Both
//! steps report every problem at once, as [`ConfigProblems`].

mod exposure;
pub mod file;
pub mod grants;
mod json;
pub mod policy;
pub mod problem;
pub mod resolve;
pub mod run_config;
pub mod schema;
pub mod secret;
pub mod spec;
mod value;
mod walk;
pub mod wiped;
mod words;

pub use file::{Config, ConnectorRef, SourceConfig, StorageConfig};
pub use grants::{SandboxConfig, SandboxFlags, SandboxGrants};
pub use policy::Policy;
pub use problem::{ConfigProblems, Problem, ProblemKind};
pub use resolve::{Resolved, resolve};
pub use run_config::{RunConfig, RunType};
pub use secret::rules::{SecretFlags, SecretRules};
pub use secret::{Secret, Secrets};
pub use spec::ConnectorSpec;
