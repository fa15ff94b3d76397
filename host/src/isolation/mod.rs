//! The second wall: a run in a process of its own, which can reach nothing but
//! its mounts and the host, so that a bug in the WebAssembly engine alone is no
//! escape. Linux only.
//!
//! ```text
//!   host process                          worker process
//!   configuration, secrets                (empty environment, no new privileges,
//!   storage, state      <-- socket -->     Landlock, seccomp, resource limits)
//!   HTTP gate                             engine, guest, its folders
//! ```
//!
//! The host starts the program of [`Program`] with a socket as its standard
//! input and the component's code, sealed against changes, as its standard
//! output. The worker reads what it is to do, locks itself in (`lockdown`), and
//! only then touches the code. What a guest imports reaches the host as messages
//! (`wire`), which the host checks as if they came from the guest itself: a
//! worker that was taken over can do what its guest may do, and nothing else.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::problem::{clip, list};

#[cfg(target_os = "linux")]
mod batch;
#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
pub(crate) mod compile;
#[cfg(target_os = "linux")]
mod http;
#[cfg(target_os = "linux")]
mod lockdown;
#[cfg(target_os = "linux")]
mod remote;
#[cfg(target_os = "linux")]
pub(crate) mod session;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
#[cfg(target_os = "linux")]
mod wire;
#[cfg(target_os = "linux")]
pub mod worker;

#[cfg(target_os = "linux")]
pub(crate) use self::remote::Remote;
#[cfg(target_os = "linux")]
use crate::failure::{Failure, FailureClass};
#[cfg(target_os = "linux")]
use crate::sandbox::engine;

/// The first argument of a program that is to be a worker.
pub const WORKER: &str = "__worker";

/// What keeps a run apart from the host beside the WebAssembly sandbox.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Nothing: the guest runs in the host's process
    #[default]
    None,
    /// A process of its own that can reach nothing but the run's folders and the
    /// host (Linux)
    Process,
}

impl Isolation {
    /// Every kind, the least strict first.
    pub const ALL: [Self; 2] = [Self::None, Self::Process];

    /// How files and flags call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Process => "process",
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let known = list(Self::ALL.map(Self::name));
            format!("there is no isolation '{}': write one of {known}", clip(text))
        })
    }
}

/// The program that workers are started from: `ow-host` of the same version, or
/// a program that calls [`worker::main`] when its first argument is [`WORKER`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program(pub PathBuf);

impl Program {
    /// This very program, even if its file was replaced since it started.
    #[must_use]
    pub fn this() -> Self {
        Self("/proc/self/exe".into())
    }
}

/// Bytes on their way to one request, and to all.
#[cfg(target_os = "linux")]
const STREAM_WINDOW: u32 = 1024 * 1024;
#[cfg(target_os = "linux")]
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Requests of a guest that are under way at a time; the gate lets fewer pass,
/// and more wait in the worker.
#[cfg(target_os = "linux")]
const HTTP_REQUESTS: u32 = 256;
/// Bytes of a frame on the connection.
#[cfg(target_os = "linux")]
const FRAME: u32 = 256 * 1024;

/// What host and worker must have in common: the version and the engine's
/// settings.
#[cfg(target_os = "linux")]
fn make() -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};

    let mut hasher = DefaultHasher::new();
    if let Ok(engine) = engine::shared() {
        engine.precompile_compatibility_hash().hash(&mut hasher);
    }
    format!("{} {:016x}", env!("CARGO_PKG_VERSION"), hasher.finish())
}

#[cfg(target_os = "linux")]
fn cannot_start(program: &Program, error: &std::io::Error) -> Failure {
    let message = format!("cannot start a worker from {}: {error}", program.0.display());
    Failure::new(FailureClass::Internal, message)
        .with_hint("the folder /proc must be there, and this user may start processes")
}

/// A worker that could not be locked in.
#[cfg(target_os = "linux")]
fn refused(why: &str) -> Failure {
    Failure::new(
        FailureClass::Internal,
        format!("the worker cannot be locked in: {}", crate::report::text::plain(why)),
    )
    .with_hint("--isolation process needs Linux 5.13 or newer with Landlock and seccomp")
}
