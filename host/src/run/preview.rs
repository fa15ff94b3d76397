//! A look at a connector's first rows: a run without a storage and without a
//! stored state, which ends as soon as there are enough rows.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::execute::{Start, drive, ready, storage_failure};
use super::prepare::Prepared;
use super::{RunnerOptions, ask};
use crate::cancel::Cancel;
use crate::config::Secrets;
use crate::config::problem::{clip, nearest};
use crate::failure::{Failure, FailureClass};
use crate::storage::sample::{Sample, Sampler};
use crate::storage::{TableSchema, worker};

/// Streams that an error names.
const NAMED: usize = 20;

/// What to show of a connector.
#[derive(Debug, Clone)]
pub struct PreviewOptions {
    /// The streams; all if it is empty.
    pub streams: Vec<String>,
    /// Rows of each stream, at most.
    pub limit: u32,
}

/// The first rows of a connector's streams. No secret value is in any text.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Preview {
    /// The streams.
    pub streams: Vec<PreviewStream>,
    /// Why there may be less than was asked for.
    pub failure: Option<Failure>,
}

/// The first rows of a stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PreviewStream {
    /// The stream.
    pub table: TableSchema,
    /// Its first rows: a cell a field, in their order.
    pub rows: Vec<Vec<Cell>>,
    /// These are all rows that the run has.
    pub whole: bool,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// There is none.
    Null,
    /// A text; dates, timestamps, decimals and bytes (in base64) too.
    Text(String),
    /// A number, a boolean, or any value of a `json` field, as JSON.
    Json(String),
}

/// Runs the connector until there are enough rows.
pub(super) async fn preview(
    options: &RunnerOptions,
    prepared: &Prepared,
    wanted: PreviewOptions,
) -> Result<Preview, Failure> {
    let PreviewOptions { streams: names, limit } = wanted;
    let known = ask::discover(options, prepared).await?;
    let only = !names.is_empty();
    let awaited = if only { find(known, &names)? } else { known };

    let (enough, stop) = (Arc::new(AtomicBool::new(false)), Cancel::new());
    let (sampler, samples) = {
        let (enough, stop) = (Arc::clone(&enough), stop.clone());
        let names = awaited.iter().map(|table| table.name.clone()).collect();
        Sampler::new(usize::try_from(limit).unwrap_or(usize::MAX), names, only, move || {
            enough.store(true, Ordering::Relaxed);
            stop.cancel();
        })
    };
    let result = run(options, prepared, sampler, limit, &stop).await;
    let enough = enough.load(Ordering::Relaxed) && !options.cancel.is_cancelled();
    let samples = std::mem::take(&mut *samples.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Preview {
        streams: shown(awaited, samples, only, result.is_ok(), &prepared.secrets),
        // Whatever it made of being stopped: it did what it was asked for.
        failure: result.err().filter(|_| !enough),
    })
}

/// The run itself, which ends when the operator or `stop` says so.
async fn run(
    options: &RunnerOptions,
    prepared: &Prepared,
    sampler: Sampler,
    limit: u32,
    stop: &Cancel,
) -> Result<(), Failure> {
    let (channels, gate) = ready(options, prepared, stop.clone())?;
    let storage =
        worker::spawn(Box::new(sampler)).map_err(|error| storage_failure(&error, &str::to_owned))?;
    let run_id = options.run_id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let state = prepared.run_config.start_state(BTreeMap::new());
    let start = Start { state, run_id: &run_id, preview_rows: Some(limit) };
    let interrupted = async {
        options.cancel.cancelled().await;
        stop.cancel();
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        result = drive(prepared, &channels, gate, &storage, start) => result,
        never = interrupted => match never {},
    }
}

/// The streams that were asked for.
fn find(known: Vec<TableSchema>, names: &[String]) -> Result<Vec<TableSchema>, Failure> {
    let is_known = |name: &&String| known.iter().any(|table| table.name == **name);
    let Some(unknown) = names.iter().find(|name| !is_known(name)) else {
        return Ok(known.into_iter().filter(|table| names.contains(&table.name)).collect());
    };
    let streams = || known.iter().map(|table| table.name.as_str());
    let near = nearest(unknown, streams())
        .map_or_else(String::new, |near| format!(": did you mean '{}'?", clip(near)));
    let message = format!("with this configuration the connector has no stream '{}'{near}", clip(unknown));
    let listed: Vec<_> = streams().take(NAMED).map(clip).collect();
    let more = if known.len() > NAMED { " and more, which `ow-host discover` lists" } else { "" };
    let hint = match listed.is_empty() {
        true => "it has none at all".to_owned(),
        false => format!("there are {}{more}", listed.join(", ")),
    };
    Err(Failure::new(FailureClass::Usage, message).with_hint(hint))
}

/// What is shown: the streams that were waited for, those too that got no row,
/// and others that the connector opened.
fn shown(
    awaited: Vec<TableSchema>,
    samples: Vec<Sample>,
    only: bool,
    ended_well: bool,
    secrets: &Secrets,
) -> Vec<PreviewStream> {
    let mut samples: Vec<Option<Sample>> = samples.into_iter().map(Some).collect();
    let mut found: Vec<Sample> = Vec::new();
    for table in awaited {
        let same = |sample: &&mut Option<Sample>| {
            sample.as_ref().is_some_and(|sample| sample.table.name == table.name)
        };
        let sample = samples.iter_mut().find(same).and_then(Option::take);
        found.push(sample.unwrap_or(Sample { table, rows: Vec::new(), more: false }));
    }
    if !only {
        found.extend(samples.into_iter().flatten());
    }
    let show = |sample: Sample| PreviewStream {
        rows: sample.rows.iter().map(|row| cells(&sample.table, row, secrets)).collect(),
        whole: ended_well && !sample.more,
        table: redacted(sample.table, secrets),
    };
    found.into_iter().map(show).collect()
}

/// The stream without secrets in its names, which come from the source at times.
fn redacted(mut table: TableSchema, secrets: &Secrets) -> TableSchema {
    let names = table.fields.iter_mut().map(|field| &mut field.name);
    for name in names.chain(&mut table.primary_key).chain(std::iter::once(&mut table.name)) {
        *name = secrets.redact(name).into_owned();
    }
    table
}

/// The cells of a row that stands there as a JSON object.
fn cells(table: &TableSchema, row: &str, secrets: &Secrets) -> Vec<Cell> {
    let Members(members) = serde_json::from_str(row).unwrap_or_default();
    let mut members = members.into_iter().peekable();
    // Both are in the order of the fields; some fields may be missing.
    let cell = |field: &crate::storage::Field| match members.next_if(|(name, _)| *name == field.name) {
        Some((_, value)) => cell(value, secrets),
        None => Cell::Null,
    };
    table.fields.iter().map(cell).collect()
}

fn cell(value: &RawValue, secrets: &Secrets) -> Cell {
    let text = value.get();
    if text == "null" {
        return Cell::Null;
    }
    if let Ok(text) = serde_json::from_str::<String>(text) {
        return Cell::Text(secrets.redact(&text).into_owned());
    }
    // JSON can spell a text in many ways. In its shortest, secrets are found.
    let shortest = serde_json::from_str::<Value>(text).map(|value| value.to_string()).unwrap_or_default();
    let redacted = secrets.redact(&shortest);
    match redacted == shortest {
        true if secrets.redact(text) == text => Cell::Json(text.to_owned()),
        _ if serde_json::from_str::<&RawValue>(&redacted).is_ok() => Cell::Json(redacted.into_owned()),
        _ => Cell::Text(redacted.into_owned()),
    }
}

/// The members of a JSON object in their order.
#[derive(Default)]
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{DataType, Field};

    fn table(name: &str, fields: &[&str]) -> TableSchema {
        let field = |name: &&str| Field {
            name: (*name).into(),
            data_type: DataType::Json,
            nullable: true,
            description: None,
        };
        TableSchema {
            name: name.into(),
            description: None,
            fields: fields.iter().map(field).collect(),
            primary_key: vec![],
            cursor_field: None,
            partition_field: None,
        }
    }

    #[test]
    fn what_is_missing_is_null_and_numbers_keep_their_digits() {
        let table = table("t", &["a", "b", "c", "d"]);
        let row = r#"{"a":12345678901234567890.10,"c":"x","d":{"z":1,"a":[2.50]}}"#;
        let json = |text: &str| Cell::Json(text.into());
        assert_eq!(
            cells(&table, row, &Secrets::new()),
            [
                json("12345678901234567890.10"),
                Cell::Null,
                Cell::Text("x".into()),
                json(r#"{"z":1,"a":[2.50]}"#)
            ]
        );
    }

    #[test]
    fn no_spelling_of_a_secret_is_shown() {
        let mut secrets = Secrets::new();
        secrets.hide("hunter2\"hunter2");
        secrets.hide("4711471147");
        let table = table("t", &["a", "b", "c", "d"]);
        let row = r#"{"a":"my hunter2\"hunter2","b":4711471147,"c":{"x":"hunter2\u0022hunter2"},"d":["\u0034711471147"]}"#;
        assert_eq!(
            cells(&table, row, &secrets),
            [
                Cell::Text("my ***".into()),
                Cell::Text("***".into()),
                Cell::Json(r#"{"x":"***"}"#.into()),
                Cell::Json(r#"["***"]"#.into()),
            ]
        );
    }

    #[test]
    fn an_unknown_stream_is_told_with_the_nearest() {
        let known = || vec![table("holidays", &["a"]), table("countries", &["a"])];
        let failure = find(known(), &["holidais".into()]).unwrap_err();
        assert_eq!(
            (failure.message.as_str(), failure.hint.as_deref()),
            (
                "with this configuration the connector has no stream 'holidais': did you mean 'holidays'?",
                Some("there are holidays, countries")
            )
        );
        let found = find(known(), &["countries".into()]).unwrap();
        assert_eq!(found.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["countries"]);
    }
}
