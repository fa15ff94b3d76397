//! One run's sandbox: engine, component cache, limits, WASI context, HTTP gate.
//! Knows no storage.

pub mod http;
pub mod limits;
pub mod mount;
pub mod units;

pub use http::{HttpClient, HttpGate, HttpObserver, HttpState, Origin};
pub use limits::{LimitOverrides, Limits};
pub use mount::Mount;
pub use units::{ByteSize, Duration};
