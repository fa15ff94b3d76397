//! The kinds of storage: how each is started and addressed, and what it cannot
//! hold or do. Whatever is not listed here, every storage can.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use ow_storage::DataType;
use serde_json::{Value, json};

use test_servers::Control;
use test_servers::{Missing, Server, python, start_fake, start_postgres};

/// A storage, with the settings that make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `Sqlite`.
    Sqlite,
    /// `LocalFiles` with Parquet.
    Parquet,
    /// `LocalFiles` with CSV.
    Csv,
    /// `LocalFiles` with JSON lines.
    JsonLines,
    /// `Postgres`.
    Postgres,
    /// `GoogleBigQuery`.
    BigQuery,
    /// `AwsAthena`.
    Athena,
}

/// The bucket of the fake of AWS.
const BUCKET: &str = "lake";
const REGION: &str = "us-east-1";
/// Seconds until the claim of a dead run of BigQuery ends, where nobody waits for
/// that.
const LONG_CLAIM: u32 = 60;
/// The same, where the next run does.
pub(crate) const SHORT_CLAIM: u32 = 2;

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

/// A server that tests of the process share.
type Shared = LazyLock<Result<Arc<Server>, Missing>>;

impl Kind {
    /// Its name in a configuration.
    #[must_use]
    pub fn storage(self) -> &'static str {
        match self {
            Self::Sqlite => "Sqlite",
            Self::Parquet | Self::Csv | Self::JsonLines => "LocalFiles",
            Self::Postgres => "Postgres",
            Self::BigQuery => "GoogleBigQuery",
            Self::Athena => "AwsAthena",
        }
    }

    /// Whether it holds such a value. What it does not hold it refuses, naming
    /// the column.
    #[must_use]
    pub fn holds(self, edge: Edge) -> bool {
        match self {
            Self::Sqlite => edge != Edge::Nan,
            Self::JsonLines => edge == Edge::Nul,
            Self::Postgres => edge != Edge::Nul,
            Self::Parquet | Self::Csv | Self::BigQuery | Self::Athena => true,
        }
    }

    /// Whether names of columns that differ in case only are one column, in
    /// every run.
    #[must_use]
    pub fn folds_names(self) -> bool {
        self == Self::Athena
    }

    /// Whether a JSON `null` is another thing than no value.
    #[must_use]
    pub fn tells_json_null(self) -> bool {
        self != Self::JsonLines
    }

    /// Whether a table without rows shows its columns.
    #[must_use]
    pub fn shows_columns_without_rows(self) -> bool {
        self != Self::JsonLines
    }

    /// Whether a column of one type becomes one of another type that holds
    /// every value of both. What does not widen is refused, naming the column.
    #[must_use]
    pub fn widens(self, from: DataType, to: DataType) -> bool {
        use DataType::{Date, Decimal, Int64, Json, Text, Timestamp};
        let is_wide_already = matches!((from, to), (Text, _) | (Timestamp, Date));
        match self {
            // It changes numbers in place, and nothing else.
            Self::BigQuery => {
                let is_number = |data_type| matches!(data_type, Int64 | Decimal(..));
                is_wide_already || is_number(from) && is_number(to)
            }
            // Iceberg has more digits for a decimal of the same scale, and nothing else.
            Self::Athena => {
                let more_digits = match (from, to) {
                    (Decimal(_, scale), Decimal(_, other)) => other <= scale,
                    (Decimal(..), Int64) => true,
                    _ => false,
                };
                is_wide_already || more_digits || (from, to) == (Json, Text)
            }
            Self::Sqlite | Self::Parquet | Self::Csv | Self::JsonLines | Self::Postgres => true,
        }
    }

    /// The type that a column of this type is told to have by
    /// [`columns`](ow_storage::Storage::columns).
    #[must_use]
    pub fn kept_as(self, data_type: DataType) -> DataType {
        data_type
    }

    /// The name of a stream's table.
    #[must_use]
    pub fn table(self, stream: &str) -> String {
        self.name(stream)
    }

    /// The name of a field's column.
    #[must_use]
    pub fn column(self, field: &str) -> String {
        self.name(field)
    }

    fn name(self, name: &str) -> String {
        if self != Self::Athena {
            return name.to_owned();
        }
        let fold = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' };
        name.to_lowercase().chars().map(fold).collect()
    }

    /// Whether a table or a file is one that a finished run should not leave.
    #[must_use]
    pub fn is_leftover(self, name: &str) -> bool {
        match self {
            Self::Sqlite => name.starts_with("_ow_new_"),
            Self::Parquet | Self::Csv | Self::JsonLines => {
                name.starts_with("_ow/staging/") || name.ends_with(".staged")
            }
            Self::Postgres => name.starts_with("_ow_new_"),
            // What a run that died staged expires by itself: `_ow_stage_…`.
            Self::BigQuery => {
                let stays = ["_ow_state_", "_ow_run", "_ow_stage_"];
                name.starts_with("_ow_") && !stays.iter().any(|start| name.starts_with(start))
            }
            Self::Athena => name.contains("/staged/"),
        }
    }

    /// What the names of files and folders start with that it makes in the
    /// folder where its relative paths start.
    #[must_use]
    pub fn files(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &["ow.db"],
            Self::Parquet | Self::Csv | Self::JsonLines => &["warehouse"],
            Self::Postgres | Self::BigQuery | Self::Athena => &[],
        }
    }

    /// A server that the tests of a process share; none for a storage without
    /// one. The slowest fake uses one core, so there are two of it, in turn.
    pub fn server(self) -> Result<Option<Arc<Server>>, Missing> {
        static POSTGRES: Shared = LazyLock::new(|| start_postgres().map(Arc::new));
        static BIGQUERY: Shared = LazyLock::new(|| start_bigquery().map(Arc::new));
        static ATHENA: [Shared; 2] = [const { LazyLock::new(|| start_athena().map(Arc::new)) }; 2];
        static TURN: AtomicUsize = AtomicUsize::new(0);
        match self {
            Self::Sqlite => Ok(None),
            // The reader needs DuckDB.
            Self::Parquet | Self::Csv | Self::JsonLines => python().map(|_| None),
            Self::Postgres => POSTGRES.clone().map(Some),
            Self::BigQuery => BIGQUERY.clone().map(Some),
            Self::Athena => {
                let [even, odd] = &ATHENA;
                let is_even = TURN.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
                Shared::force(if is_even { even } else { odd }).clone().map(Some)
            }
        }
    }

    /// A new server.
    pub fn start_server(self) -> Result<Option<Arc<Server>>, Missing> {
        let server: Result<Server, Missing> = match self {
            Self::Sqlite | Self::Parquet | Self::Csv | Self::JsonLines => return Ok(None),
            Self::Postgres => start_postgres(),
            Self::BigQuery => start_bigquery(),
            Self::Athena => start_athena(),
        };
        server.map(|server| Some(Arc::new(server)))
    }

    /// The parameters of a new place, and how `read_table.py` finds it.
    pub(crate) fn place(self, folder: &Path, name: &str, server: &str) -> (Value, Value) {
        match self {
            Self::Sqlite => {
                let path = folder.join("ow.db");
                (json!({ "Path": path }), json!({ "reader": "sqlite", "path": path }))
            }
            Self::Parquet | Self::Csv | Self::JsonLines => {
                let path = folder.join("warehouse");
                let format = match self {
                    Self::Csv => "csv",
                    Self::JsonLines => "jsonl",
                    _ => "parquet",
                };
                (json!({ "Path": path, "Format": format }), json!({ "reader": format, "path": path }))
            }
            Self::Postgres => {
                let (host, port) = server.split_once(':').unwrap();
                (
                    json!({
                        "Host": host, "Port": port.parse::<u16>().unwrap(), "Database": "postgres", "User": "owner",
                        "Schema": name, "SslMode": "disable",
                    }),
                    json!({ "reader": "postgres", "url": format!("postgresql://owner@{server}/postgres"), "schema": name }),
                )
            }
            Self::BigQuery => (
                json!({
                    "DestinationDatasetID": format!("project.{name}"), "Endpoint": server, "ClaimSeconds": LONG_CLAIM,
                }),
                json!({ "reader": "bigquery", "url": server, "project": "project", "dataset": name }),
            ),
            Self::Athena => (
                json!({
                    "AWSRegion": REGION, "AWSAccessKeyId": "test", "AWSSecretAccessKey": "test", "S3BucketName": BUCKET,
                    "S3Prefix": name, "AthenaDatabaseName": name, "AthenaOutputLocation": format!("s3://{BUCKET}/results/"),
                    "ApplyInterval": 0, "Endpoint": server,
                }),
                json!({
                    "reader": "athena", "url": server, "region": REGION, "bucket": BUCKET, "database": name,
                    "prefix": format!("{name}/"), "output": format!("s3://{BUCKET}/read/"),
                }),
            ),
        }
    }
}

fn start_bigquery() -> Result<Server, Missing> {
    start_fake("fake_bigquery.py", &["--pending-seconds", "0", "--run-seconds", "0"])
}

fn start_athena() -> Result<Server, Missing> {
    let server = start_fake("fake_athena.py", &["--queue-seconds", "0", "--run-seconds", "0"])?;
    Control::new(&server.address).make_bucket(BUCKET);
    Ok(server)
}
