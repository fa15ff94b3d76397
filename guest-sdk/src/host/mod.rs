//! The host, as the rest of the SDK sees it: a handful of functions. On wasm
//! they are the contract's imports; elsewhere an in-process fake that
//! [`crate::testing`] controls.

#[cfg(not(target_family = "wasm"))]
pub(crate) mod native;
#[cfg(target_family = "wasm")]
pub(crate) mod wasm;

#[cfg(not(target_family = "wasm"))]
use native as imp;
#[cfg(target_family = "wasm")]
use wasm as imp;

use std::io::Read;
use std::time::Duration;

pub(crate) use imp::{
    Pending, Writer, cancelled, commit, elapsed, log, now, open, progress, scratch, set_state, sleep, start,
    state, variable,
};

/// One column of a batch, borrowed from the encoder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnView<'a> {
    /// One bit a row, 1 where there is a value.
    pub(crate) validity: Option<&'a [u8]>,
    /// The values.
    pub(crate) values: ValuesView<'a>,
}

/// The values of a column, in the contract's layout.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ValuesView<'a> {
    Booleans(&'a [u8]),
    Int64s(&'a [i64]),
    Float64s(&'a [f64]),
    Texts { offsets: &'a [u32], data: &'a [u8] },
    Binaries { offsets: &'a [u32], data: &'a [u8] },
    Dates(&'a [i32]),
    Timestamps(&'a [i64]),
}

/// A request on its way out, complete: nothing is added to it.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing<'a> {
    pub(crate) method: &'a str,
    pub(crate) https: bool,
    pub(crate) authority: &'a str,
    pub(crate) path_and_query: &'a str,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: &'a [u8],
    #[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "the fake answers at once"))]
    pub(crate) timeouts: Timeouts,
}

/// How long each step of a request may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) between_bytes: Duration,
}

/// A response whose body is still to come.
pub(crate) struct Incoming {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Box<dyn Read>,
}

/// Why there was no response.
#[derive(Debug, Clone)]
pub(crate) struct SendFailure {
    /// What the connector's author and the operator see.
    pub(crate) error: crate::Error,
    /// Whether another try may end otherwise.
    pub(crate) transient: bool,
}
