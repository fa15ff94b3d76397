//! The kinds of storage, and what each of them cannot hold or do. Whatever is
//! not listed here, every storage can.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use ow_storage::DataType;
use serde_json::{Value, json};

use crate::server::{Missing, Server, start_fake, start_postgres};

/// A storage, with the settings that make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `Sqlite`.
    Sqlite,
}

/// A value that not every storage holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// A float that is no number.
    Nan,
    /// An infinite float.
    Infinity,
    /// A NUL character in text.
    Nul,
}

impl Kind {
    /// Its name in a configuration.
    #[must_use]
    pub fn storage(self) -> &'static str {
        match self {
            Self::Sqlite => "Sqlite",
        }
    }

    /// Whether it holds such a value. What it does not hold it refuses, naming
    /// the column.
    #[must_use]
    pub fn holds(self, edge: Edge) -> bool {
        match self {
            Self::Sqlite => edge != Edge::Nan,
        }
    }

    /// Whether a column of one type becomes one of another type that holds
    /// every value of both. What does not widen is refused, naming the column.
    #[must_use]
    pub fn widens(self, from: DataType, to: DataType) -> bool {
        let _ = (from, to);
        match self {
            Self::Sqlite => true,
        }
    }

    /// The type that a column of this type is told to have by
    /// [`columns`](ow_storage::Storage::columns).
    #[must_use]
    pub fn kept_as(self, data_type: DataType) -> DataType {
        match self {
            Self::Sqlite => data_type,
        }
    }

    /// The name of a stream's table.
    #[must_use]
    pub fn table(self, stream: &str) -> String {
        stream.to_owned()
    }

    /// Whether a table or a file is one that a finished run should not leave.
    #[must_use]
    pub fn is_leftover(self, name: &str) -> bool {
        match self {
            Self::Sqlite => name.starts_with("_ow_new_"),
        }
    }

    /// What the names of files and folders start with that it makes in the
    /// folder where its relative paths start.
    #[must_use]
    pub fn files(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &["ow.db"],
        }
    }

    /// The server that the tests of a process share; none for a storage without
    /// one.
    pub fn server(self) -> Result<Option<Arc<Server>>, Missing> {
        type Shared = LazyLock<Result<Option<Arc<Server>>, Missing>>;
        match self {
            Self::Sqlite => Ok(None),
        }
    }

    /// A new server.
    pub fn start_server(self) -> Result<Option<Arc<Server>>, Missing> {
        let server = match self {
            Self::Sqlite => return Ok(None),
        };
        server.map(|server| Some(Arc::new(server)))
    }

    /// The parameters of a new place, and how `read_table.py` finds it.
    pub(crate) fn place(self, folder: &Path, name: &str, server: Option<&str>) -> (Value, Value) {
        match self {
            Self::Sqlite => {
                let path = folder.join("ow.db");
                (json!({ "Path": path }), json!({ "reader": "sqlite", "path": path }))
            }
        }
    }
}
