//! Runs data connectors that nobody has to trust.
//!
//! A connector is a WebAssembly component against the WIT package in `wit/`.
//! [`run::Runner`] gives each run a fresh sandbox and hands it capabilities:
//! writing rows to a storage, state with commits, HTTP to granted origins.
//!
//! Data flows one way, and the modules say it: [`config`] → [`run`] →
//! [`sandbox`] → [`bridge`] → [`storage`]; [`report`] tells what happened.
//! `sandbox` and `storage` never import each other. [`isolation`] puts a process
//! of its own around the sandbox.

pub mod bridge;
pub mod cancel;
pub mod cli;
pub mod config;
pub mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod isolation;
pub mod report;
pub mod run;
pub mod sandbox;

/// Where rows go: the crate `ow-storage`.
pub use ow_storage as storage;

pub use failure::{Failure, FailureClass};
pub use run::{Runner, RunnerOptions};
