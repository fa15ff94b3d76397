//! The HTTP gate: the only way out of the sandbox.
//!
//! [`HttpClient`] is what a process has once, [`HttpGate`] is one run's, and
//! [`HttpState`] is what the run's store holds. The client is hyper-util with
//! rustls rather than reqwest, because the gate must know of each connection
//! which address, port and proxy it goes to, and when it stands.

pub(crate) mod address;
mod answer;
mod client;
mod connect;
pub(crate) mod disclosure;
pub(crate) mod dns;
mod exchange;
mod fault;
mod gate;
mod limited_body;
pub mod origin;
pub(crate) mod substitute;
pub(crate) mod target;
#[cfg(test)]
mod tests;
pub(crate) mod token;

pub use client::HttpClient;
pub use dns::Resolve;
pub use exchange::HttpObserver;
pub(crate) use gate::{Answered, Outlet};
pub use gate::{HttpGate, HttpState};
pub use origin::Origin;
