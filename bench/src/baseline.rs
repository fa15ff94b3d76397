//! What a native Rust program needs for the same work.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// The record of `bench/guest`.
#[derive(Debug, Serialize, Deserialize)]
struct Event {
    id: i64,
    day: String,
    at: String,
    campaign: String,
    country: String,
    clicks: i64,
    impressions: i64,
    spend: f64,
    active: bool,
    note: Option<String>,
}

fn event(id: i64) -> Event {
    let pick = |names: &[&str]| names.get(id as usize % names.len()).copied().unwrap_or_default().to_owned();
    let second = id / 1000 % 60;
    Event {
        id,
        day: format!("2022-{:02}-{:02}", id % 12 + 1, id % 28 + 1),
        at: format!("2023-11-14T22:13:{second:02}.{:03}000Z", id % 1000),
        campaign: pick(&["spring-sale-2026", "brand awareness", "retargeting EU", "app installs"]),
        country: pick(&["DE", "AT", "CH", "PL", "FR"]),
        clicks: id % 997,
        impressions: id % 99_991,
        spend: id as f64 / 100.0,
        active: id % 3 == 0,
        note: (id % 4 == 0).then(|| "checked by hand".to_owned()),
    }
}

/// Makes the records one by one; seconds.
pub(crate) fn make_rows(rows: u64) -> f64 {
    let start = Instant::now();
    for id in 0..rows as i64 {
        black_box(event(id));
    }
    start.elapsed().as_secs_f64()
}

/// Upserts the records with one prepared statement in one transaction, with the
/// journal that SQLite has by itself; seconds.
pub(crate) fn sqlite_upsert(path: &Path, rows: u64) -> Result<f64> {
    let _ = std::fs::remove_file(path);
    let start = Instant::now();
    let mut database = rusqlite::Connection::open(path)?;
    database.execute_batch(
        "CREATE TABLE events (id INTEGER NOT NULL, day TEXT, at TEXT, campaign TEXT, country TEXT, clicks INTEGER,
         impressions INTEGER, spend REAL, active INTEGER, note TEXT, PRIMARY KEY (id)) STRICT",
    )?;
    let transaction = database.transaction()?;
    let mut insert = transaction.prepare(
        "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
         day = excluded.day, at = excluded.at, campaign = excluded.campaign, country = excluded.country,
         clicks = excluded.clicks, impressions = excluded.impressions, spend = excluded.spend,
         active = excluded.active, note = excluded.note",
    )?;
    for id in 0..rows as i64 {
        let e = event(id);
        insert.execute(rusqlite::params![
            e.id,
            e.day,
            e.at,
            e.campaign,
            e.country,
            e.clicks,
            e.impressions,
            e.spend,
            e.active,
            e.note
        ])?;
    }
    drop(insert);
    transaction.commit()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Writes the records as JSON lines; bytes.
pub(crate) fn write_json_lines(path: &Path, rows: u64) -> Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    for id in 0..rows as i64 {
        serde_json::to_writer(&mut file, &event(id))?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(std::fs::metadata(path)?.len())
}

/// Parses a file of JSON lines into records; seconds.
pub(crate) fn parse_json_lines(path: &Path) -> Result<f64> {
    let start = Instant::now();
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 {
        black_box(serde_json::from_slice::<Event>(&line)?);
        line.clear();
    }
    Ok(start.elapsed().as_secs_f64())
}
