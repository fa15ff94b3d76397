//! A million rows into each storage that stands outside of this machine's
//! files or in another format: how many a second, how much of the time is
//! waiting for the service, and how much memory it takes, also with more rows.

use anyhow::Result;
use conformance::{Kind, Place};
use serde_json::{Value, json};

use super::{Bench, ROWS};

/// What OWOX's runner writes in a second at best, into an endpoint that answers
/// at once and does nothing.
const OWOX: f64 = 26_000.0;

const KINDS: [(Kind, &str); 6] = [
    (Kind::Parquet, "LocalFiles, Parquet"),
    (Kind::Csv, "LocalFiles, CSV"),
    (Kind::JsonLines, "LocalFiles, JSON lines"),
    (Kind::Postgres, "Postgres"),
    (Kind::BigQuery, "GoogleBigQuery (a fake)"),
    (Kind::Athena, "AwsAthena (a fake)"),
];

/// Runs each storage once a mode. A storage whose server cannot be started here
/// says so.
pub(crate) fn measure(bench: &Bench) -> Result<()> {
    println!("{:<46} {:>12} {:>14} {:>10}", "", "", "waiting", "OWOX");
    for (kind, name) in KINDS {
        for mode in ["append", "merge"] {
            match Place::new(kind) {
                Ok(place) => one(bench, &place, name, mode)?,
                Err(missing) => println!("{name}: skipped, {}", missing.what),
            }
        }
        let Ok(place) = Place::new(kind) else { continue };
        for rows in [ROWS, 4 * ROWS] {
            bench.peak_memory(name, &storage(&place.another()), rows)?;
        }
    }
    Ok(())
}

fn one(bench: &Bench, place: &Place, name: &str, mode: &str) -> Result<()> {
    let source = json!({"Rows": ROWS, "Append": mode == "append"});
    let (report, seconds) = bench.run(source, storage(place))?;
    let rate = ROWS as f64 / seconds;
    println!(
        "{:<46} {:>6.2} M rows/s {:>11.0} % {:>9.0}x",
        format!("rows, guest to {name}, {mode}"),
        rate / 1e6,
        report.storage_wait_ms as f64 / 10.0 / seconds,
        rate / OWOX
    );
    Ok(())
}

fn storage(place: &Place) -> Value {
    json!({"name": place.kind.storage(), "config": place.params})
}
