//! To be written.

pub mod secret;
