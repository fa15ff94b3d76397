//! The HTTP gate: the only way out of the sandbox.

pub(crate) mod address;
pub mod origin;
pub(crate) mod substitute;
