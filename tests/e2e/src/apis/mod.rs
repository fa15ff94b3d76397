//! Servers that answer as the APIs of sources do.

pub mod shop;
