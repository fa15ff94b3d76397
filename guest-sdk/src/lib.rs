//! Write data connectors for `ow-host` in Rust.
//!
//! A connector is a type that implements [`Connector`]: it reads its
//! configuration, fetches rows, and writes them. The host does the rest: it
//! validates the configuration, guards the network, keeps the state, and stores
//! rows and state together.
//!
//! ```
//! use ow_connector::prelude::*;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Settings {
//!     /// How many squares.
//!     #[serde(default = "ten")]
//!     count: i64,
//! }
//!
//! fn ten() -> i64 {
//!     10
//! }
//!
//! /// Numbers and their squares.
//! #[derive(Record)]
//! #[record(stream = "squares", primary_key = "number")]
//! struct Square {
//!     number: i64,
//!     /// The number times itself.
//!     square: i64,
//! }
//!
//! struct Squares;
//!
//! impl Connector for Squares {
//!     type Config = Settings;
//!     const NAME: &'static str = "squares";
//!     const VERSION: &'static str = "1.0.0";
//!     const TITLE: &'static str = "Squares";
//!     const DESCRIPTION: &'static str = "Counts, and multiplies.";
//!
//!     fn streams(_: &Settings) -> Result<Vec<Stream>> {
//!         Ok(vec![Square::stream()])
//!     }
//!
//!     fn run(ctx: &mut Context<Settings>) -> Result<()> {
//!         let first = ctx.state("squares")?.unwrap_or(0);
//!         let end = first + ctx.config().count;
//!         for number in first..end {
//!             ctx.write(&Square { number, square: number * number })?;
//!         }
//!         ctx.set_state("squares", &end)?;
//!         ctx.commit()
//!     }
//! }
//!
//! ow_connector::export!(Squares);
//!
//! # #[cfg(not(target_family = "wasm"))]
//! # fn main() {
//! use ow_connector::testing::TestHost;
//!
//! let run = TestHost::new().config(serde_json::json!({"count": 3})).run::<Squares>();
//! run.assert_ok();
//! assert_eq!(run.rows("squares")[2], serde_json::json!({"number": 2, "square": 4}));
//! assert_eq!(run.state("squares"), Some(&serde_json::json!(3)));
//! # }
//! ```
//!
//! `cargo build --target wasm32-wasip2 --release` makes the component, of a crate
//! whose `Cargo.toml` says `crate-type = ["cdylib", "rlib"]`; `cargo test` tests
//! it natively, with [`testing::TestHost`] in the host's place.

// Lets the derive macros name the crate in its own tests and examples.
extern crate self as ow_connector;

mod columns;
mod config;
mod connector;
mod context;
mod convert;
mod error;
mod failures;
mod host;
pub mod http;
mod json;
mod logging;
mod objects;
mod record;
mod run;
mod secret;
mod select;
mod stream;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod time;
mod window;
mod writer;

pub use ow_connector_derive::Record;

pub use columns::Row;
pub use connector::{Connector, Spec};
pub use context::Context;
pub use convert::Epoch;
pub use error::{Context as ErrorContext, Error, ErrorKind, Result};
pub use failures::Failures;
pub use record::{Bytes, Cell, Decimal, Json, Record, Value};
pub use run::{Run, RunType, Wanted};
pub use secret::{Ignored, Secret};
pub use select::{Selection, TableNames, select_fields};
pub use stream::{DataType, Field, Stream, WriteMode};
pub use window::{DateWindow, Unused, Window};
pub use writer::{Open, Table};

/// Everything that a connector mostly needs.
pub mod prelude {
    pub use crate::error::Context as _;
    pub use crate::time::{Date, DateRange, Timestamp};
    pub use crate::{
        Bytes, Cell, Connector, Context, DataType, DateWindow, Decimal, Epoch, Error, ErrorKind, Failures,
        Field, Ignored, Json, Open, Record, Result, Run, RunType, Secret, Selection, Stream, Table,
        TableNames, Unused, Wanted, WriteMode, http, select_fields,
    };
    pub use log::{debug, error, info, trace, warn};
    pub use schemars::{self, JsonSchema};
    pub use serde::{self, Deserialize, Serialize};
    pub use serde_json;
}

/// Makes a component of a connector: once in its crate, at the end of `lib.rs`.
/// On targets other than wasm it only
/// checks that the type is a connector.
#[macro_export]
macro_rules! export {
    ($connector:ty) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "the exports of a component are functions with names")]
        const _: () = {
            type Exported = $crate::__private::Exported<$connector>;
    $crate::__private::export_bindings!(Exported with_types_in $crate::__private::bindings);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::Spec = $crate::Spec::of::<$connector>;
    };
}

/// What the macros expand to; no part of the API.
#[doc(hidden)]
#[cfg(target_family = "wasm")]
pub mod __private {
    pub use crate::host::wasm::bindings::export_bindings;
    pub use crate::host::wasm::{Exported, bindings};
}
