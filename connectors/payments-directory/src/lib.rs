//! Payments from JSON files in a folder.
//!
//! A file holds one payment or an array of them. Each run reads the files that
//! are new or changed since the last one; a file is taken whole or not at all,
//! and a broken file does not keep the others from being read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ow_connector::prelude::*;
use serde_json::value::RawValue;

/// Parts of the state, so that the commit after each file writes the names of
/// a few files, not of all.
const PARTS: u64 = 256;

/// The largest file that is read; it is held in memory.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// How many broken files the run's error names.
const NAMED: usize = 10;

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Settings {
    /// The folder to read, as the connector sees it: mount it with `--mount DIR:/payments`.
    #[serde(default = "Settings::directory")]
    directory: String,
}

impl Settings {
    fn directory() -> String {
        "/payments".to_owned()
    }
}

/// A payment as it stands in a file.
#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    reference: Cow<'a, str>,
    created_at: Timestamp,
    amount: i64,
    #[serde(borrow)]
    asset: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    scheme: Option<Cow<'a, str>>,
}

/// Payments, one row a reference.
#[derive(Record)]
#[record(stream = "payments", primary_key = "reference", cursor = "created_at", partition = "created_at")]
struct Payment<'a> {
    /// What the provider calls the payment.
    reference: &'a str,
    /// When it was made.
    created_at: Timestamp,
    /// The amount in the asset's smallest unit.
    amount: i64,
    /// The asset and its decimal places, such as `EUR/2`.
    asset: &'a str,
    /// Such as `PAY-IN`, `PAYOUT` or `TRANSFER`.
    r#type: &'a str,
    /// Such as `PENDING` or `SUCCEEDED`.
    status: &'a str,
    /// Such as `visa`.
    scheme: Option<&'a str>,
    /// The file in which it stands.
    file: &'a str,
    /// The payment as it stands there.
    raw: &'a RawValue,
}

/// The connector.
#[derive(Debug)]
pub struct PaymentsDirectory;

impl Connector for PaymentsDirectory {
    type Config = Settings;
    const NAME: &'static str = "payments-directory";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "Payments from a folder";
    const DESCRIPTION: &'static str =
        "Reads payments from the JSON files of a folder, and on the next run those of new and changed files.";

    fn streams(_: &Settings) -> Result<Vec<Stream>> {
        Ok(vec![Payment::stream()])
    }

    fn check(ctx: &mut Context<Settings>) -> Result<()> {
        list(&ctx.config().directory).map(drop)
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        let config = ctx.config();
        let files = list(&config.directory)?;
        info!("found {} files", files.len());

        let mut known = Known::load(ctx, &files)?;
        let mut broken = Vec::new();
        for (done, name) in files.iter().enumerate() {
            ctx.cancelled()?;
            match read(ctx, &config.directory, name, known.get(name)) {
                Ok(None) => {}
                Ok(Some(fingerprint)) => {
                    known.insert(ctx, name, fingerprint)?;
                    ctx.commit()?;
                }
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    warn!("{error}");
                    broken.push(error.to_string());
                }
                Err(error) => return Err(error),
            }
            ctx.progress(done as u64 + 1, files.len() as u64, "files");
        }
        if broken.is_empty() { Ok(()) } else { Err(summary(&broken, files.len())) }
    }
}

/// The files that were read, each with the fingerprint of what was in it, under
/// the state keys `payments/00` to `payments/ff`.
struct Known(BTreeMap<String, BTreeMap<String, String>>);

impl Known {
    /// The state without the files that are gone.
    fn load(ctx: &mut Context<Settings>, files: &[String]) -> Result<Self> {
        let mut parts = BTreeMap::new();
        for part in 0..PARTS {
            let key = format!("payments/{part:02x}");
            let Some(mut known) = ctx.state::<BTreeMap<String, String>>(&key)? else { continue };
            let before = known.len();
            known.retain(|name, _| files.binary_search(name).is_ok());
            if known.is_empty() {
                ctx.set_state(&key, &None::<()>)?;
            } else if known.len() < before {
                ctx.set_state(&key, &known)?;
            }
            parts.insert(key, known);
        }
        Ok(Self(parts))
    }

    fn key(name: &str) -> String {
        format!("payments/{:02x}", hash(name.as_bytes()) % PARTS)
    }

    fn get(&self, name: &str) -> Option<&String> {
        self.0.get(&Self::key(name))?.get(name)
    }

    fn insert(&mut self, ctx: &mut Context<Settings>, name: &str, fingerprint: String) -> Result<()> {
        let key = Self::key(name);
        let part = self.0.entry(key.clone()).or_default();
        part.insert(name.to_owned(), fingerprint);
        ctx.set_state(&key, part)
    }
}

/// The names of the folder's JSON files, in order.
fn list(directory: &str) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "there is none".to_owned(),
            _ => error.to_string(),
        };
        Error::config(format!(
            "the folder `{directory}` cannot be read ({why}); mount one there with `--mount DIR:{directory}`"
        ))
        .parameter("Directory")
    })?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.context(directory)?;
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "json") && path.is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Writes a file's payments unless it is the file that it was; answers its
/// fingerprint if it is not.
fn read(
    ctx: &mut Context<Settings>,
    directory: &str,
    name: &str,
    known: Option<&String>,
) -> Result<Option<String>> {
    let path = Path::new(directory).join(name);
    let size = fs::metadata(&path).context(name)?.len();
    if size > FILE_LIMIT {
        return Err(Error::invalid_data(format!("{name}: it has {size} bytes; {FILE_LIMIT} are allowed")));
    }
    let bytes = fs::read(&path).context(name)?;
    let fingerprint = fingerprint(&bytes);
    if known == Some(&fingerprint) {
        return Ok(None);
    }
    let text =
        String::from_utf8(bytes).map_err(|_| Error::invalid_data(format!("{name}: it is not UTF-8")))?;
    let payments = parse(&text).context(name)?;
    for (payment, raw) in &payments {
        ctx.write(&Payment {
            reference: &payment.reference,
            created_at: payment.created_at,
            amount: payment.amount,
            asset: &payment.asset,
            r#type: &payment.kind,
            status: &payment.status,
            scheme: payment.scheme.as_deref(),
            file: name,
            raw,
        })?;
    }
    Ok(Some(fingerprint))
}

/// Tells one content from another: its length and its hash.
fn fingerprint(bytes: &[u8]) -> String {
    format!("{}-{:016x}", bytes.len(), hash(bytes))
}

/// FNV-1a with 64 bits: fast and well spread. It is no proof against forgery;
/// the folder is one that the operator chose.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// The payments of a file, each with its text.
fn parse(text: &str) -> Result<Vec<(Source<'_>, &RawValue)>> {
    let raws: Vec<&RawValue> = if text.trim_ascii_start().starts_with('[') {
        serde_json::from_str(text)?
    } else {
        vec![serde_json::from_str(text)?]
    };
    raws.into_iter()
        .map(|raw| {
            let payment = serde_json::from_str(raw.get()).map_err(|error| within(text, raw, &error))?;
            Ok((payment, raw))
        })
        .collect()
}

/// An error in one payment, at its place in the whole file.
fn within(text: &str, raw: &RawValue, error: &serde_json::Error) -> Error {
    let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
    let before = text.get(..start).unwrap_or_default();
    let lines = before.matches('\n').count();
    let column = match error.line() {
        1 => error.column() + before.len() - before.rfind('\n').map_or(0, |end| end + 1),
        _ => error.column(),
    };
    let message = error.to_string();
    let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    Error::invalid_data(format!("{what} at line {} column {column}", lines + error.line()))
}

/// What an operator needs to know of the files that could not be read.
fn summary(broken: &[String], files: usize) -> Error {
    let (named, more) = broken.split_at(broken.len().min(NAMED));
    let more = if more.is_empty() { String::new() } else { format!("; and {} more", more.len()) };
    Error::invalid_data(format!(
        "{} of {files} files are broken (the others were read): {}{more}",
        broken.len(),
        named.join("; ")
    ))
}

ow_connector::export!(PaymentsDirectory);
