//! One run's sandbox: engine, component cache, limits, WASI context, HTTP gate.
//! Knows no storage.

pub mod cache;
pub mod component;
pub mod control;
pub mod engine;
mod file_stream;
pub(crate) mod folders;
pub mod guest;
pub mod http;
mod limiter;
pub mod limits;
pub mod mount;
mod quota;
pub(crate) mod scratch;
mod sealed;
pub mod signature;
mod sockets;
mod stdio;
pub mod units;

pub use cache::Cache;
pub use component::{Component, ComponentFile, FileKind};
pub use http::origin::Origin;
pub use limits::{LimitOverrides, Limits};
pub use mount::Mount;
pub(crate) use sealed::Sealed;
pub use units::{ByteSize, Duration};
