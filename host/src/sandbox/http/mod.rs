//! The HTTP gate: the only way out of the sandbox.

pub mod origin;
