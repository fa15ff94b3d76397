//! What an attack's run came to, in lines that are the same each time:
//!
//! - `6 limit: …`, `hint: …`: exit code, class, message and hint; with
//!   `[connector]` before the words that the connector chose;
//! - `saw NAME: VALUE`: what the guest found out;
//! - `denied N x ATTEMPT: REASON`: what the host refused, and told;
//! - `arrived GET /path`: what the granted server received, with the headers
//!   that are not the gate's own;
//! - `log LEVEL SOURCE: …`, where the attack is about the log;
//! - `file PATH`, `table NAME`: what is in the storage beside what is always there.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use e2e::Request;
use ow_host::report::{Event, RunReport};
use regex::Regex;

use crate::stage::SECRET;
use crate::{Attack, Stage, Storage};

/// A run that ended.
pub struct Run {
    /// Where its storage is.
    pub folder: PathBuf,
    /// Its report.
    pub report: RunReport,
    /// Its events.
    pub events: Vec<Event>,
    /// What the granted server received meanwhile.
    pub requests: Vec<Request>,
}

/// The lines of a run.
#[must_use]
pub fn lines(stage: &Stage, attack: &Attack, run: &Run) -> Vec<String> {
    let mut lines = failure(&run.report);
    lines.extend(seen(run));
    lines.extend(run.report.denied.iter().map(|count| {
        // How often a race is tried is up to the machine.
        let times = if count.count < 100 { count.count.to_string() } else { "many".to_owned() };
        format!("denied {times} x {}: {}", count.denied.attempt, count.denied.reason)
    }));
    lines.extend(run.requests.iter().map(arrived));
    if attack.shows_log {
        lines.extend(run.events.iter().filter_map(logged));
    }
    lines.extend(match attack.storage {
        Storage::Sqlite => tables(run),
        Storage::LocalFiles => files(&run.folder.join("out"), ""),
        Storage::Discard => Vec::new(),
    });
    let (named, port) = (format!(".example:{}", stage.server.port()), stage.forbidden.port().to_string());
    let clean = |line: &String| {
        let line = line.replace(&named, ".example:[PORT]").replace(&port, "[FORBIDDEN]");
        let line = e2e::lab::clean(&line, &stage.folder);
        visible(
            &FILTERS
                .iter()
                .fold(line, |line, (pattern, with)| pattern.replace_all(&line, *with).into_owned()),
        )
    };
    lines.iter().map(clean).collect()
}

/// What differs from run to run: placeholders in the spellings that the guest
/// tries, and places in the file of the guest.
static FILTERS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let filters = [
        (r"owsecret[0-9a-f]{32}", "[placeholder]"),
        (r"OWSECRET[0-9a-f]{2}\.[0-9a-f]{30}", "[SPLIT PLACEHOLDER]"),
        (r"[0-9a-f]{32}TERCESWO", "[REVERSED PLACEHOLDER]"),
        (r"4f57534543524554[0-9a-f]{64}", "[PLACEHOLDER IN HEXADECIMAL]"),
        // Which functions are inlined is the compiler's choice.
        (r"in `hostile_guest::[\w:]+`", "in `[FUNCTION]`"),
        (r"at offset 0x[0-9a-f]+", "at offset [PLACE]"),
    ];
    filters.into_iter().map(|(pattern, with)| (Regex::new(pattern).unwrap(), with)).collect()
});

/// Places where the secret stands and must not.
#[must_use]
pub fn leaks(run: &Run) -> Vec<String> {
    let mut leaks = Vec::new();
    let mut look = |place: &str, text: &[u8]| {
        if text.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()) {
            leaks.push(format!("the secret stands in {place}"));
        }
    };
    let report = serde_json::to_vec(&run.report).unwrap();
    look("the report", &report);
    for event in &run.events {
        look("an event", &serde_json::to_vec(event).unwrap());
    }
    for name in crate::stage::names(&run.folder) {
        if name != "hostile.wasm" {
            look(&name, &std::fs::read(run.folder.join(&name)).unwrap_or_default());
        }
    }
    leaks
}

fn failure(report: &RunReport) -> Vec<String> {
    let Some(failure) = &report.failure else { return vec![format!("{} succeeded", report.exit_code)] };
    let class = serde_json::to_value(failure.class).unwrap();
    let retryable = if failure.retryable { ", retryable" } else { "" };
    let speaker = if failure.from_connector { "[connector] " } else { "" };
    let (code, class, message) = (report.exit_code, class.as_str().unwrap(), cut(&failure.message));
    let mut lines = vec![format!("{code} {class}{retryable}: {speaker}{message}")];
    lines.extend(failure.parameter.iter().map(|parameter| format!("at: {parameter}")));
    lines.extend(failure.hint.iter().map(|hint| format!("hint: {hint}")));
    lines
}

/// The rows of the stream `seen`.
fn seen(run: &Run) -> Vec<String> {
    let rows = || -> rusqlite::Result<Vec<String>> {
        let database = open(&run.folder)?;
        let mut statement = database.prepare("SELECT name, value FROM seen ORDER BY rowid")?;
        let rows = statement.query_map([], |row| {
            let value: Option<String> = row.get(1)?;
            Ok(format!("saw {}: {}", row.get::<_, String>(0)?, value.unwrap_or_default()))
        })?;
        rows.collect()
    };
    // A run that was stopped early has no such table, or no database.
    rows().unwrap_or_default()
}

/// The tables of the database that an attack brought about.
fn tables(run: &Run) -> Vec<String> {
    const KNOWN: [&str; 6] = ["seen", "ids", "broken", "large", "numbers", "case"];
    let names = || -> rusqlite::Result<Vec<String>> {
        let database = open(&run.folder)?;
        let mut statement = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    let mut names = names().unwrap_or_default();
    names.retain(|name| !KNOWN.contains(&name.as_str()) && !name.starts_with("_ow_"));
    names.sort();
    let shown = names.len().min(20);
    let more = names.split_off(shown).len();
    let lines = names.into_iter().map(|name| format!("table {name}"));
    lines.chain((more > 0).then(|| format!("and {more} tables more"))).collect()
}

fn open(folder: &Path) -> rusqlite::Result<rusqlite::Connection> {
    let read_only = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    rusqlite::Connection::open_with_flags(folder.join("out.db"), read_only)
}

/// The files of a folder without those that are the storage's own.
fn files(folder: &Path, below: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in crate::stage::names(folder) {
        let path = folder.join(&name);
        if name == "_ow" || name == "seen" {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, &format!("{below}{name}/")));
        } else {
            found.push(format!("file {below}{}", without_digits(&name)));
        }
    }
    found
}

/// Names of data files hold numbers and times.
fn without_digits(name: &str) -> String {
    let mut text: String = name.chars().map(|c| if c.is_ascii_hexdigit() { '_' } else { c }).collect();
    while text.contains("__") {
        text = text.replace("__", "_");
    }
    text
}

fn arrived(request: &Request) -> String {
    const OWN: [&str; 3] = ["user-agent", "accept-encoding", "host"];
    let mut line = format!("arrived {} {}", request.method, request.target);
    let host = request.header("host").unwrap_or("nothing");
    if !host.starts_with("127.0.0.1:") {
        line.push_str(&format!(" host={host}"));
    }
    for (name, value) in request.headers.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
        line.push_str(&format!(" {name}={}", cut(value)));
    }
    if !request.body.is_empty() {
        line.push_str(&format!(" body={}", cut(&String::from_utf8_lossy(&request.body))));
    }
    line.replace(SECRET, "[SECRET]")
}

fn logged(event: &Event) -> Option<String> {
    let Event::Log { level, source, message, fields } = event else { return None };
    let name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let (level, source) = (serde_json::to_value(level).unwrap(), serde_json::to_value(source).unwrap());
    let fields: String = fields.iter().map(|(key, value)| format!(" {key}={}", cut(value))).collect();
    Some(format!("log {} {}: {}{fields}", name(level), name(source), cut(message)))
}

/// A long text by its start and its length.
fn cut(text: &str) -> String {
    const SHOWN: usize = 300;
    if text.len() <= SHOWN {
        return text.to_owned();
    }
    let start = text.get(..text.floor_char_boundary(SHOWN / 5)).unwrap_or_default();
    format!("{start}… ({} bytes)", text.len())
}

/// The text with what a terminal would act on in visible form.
fn visible(text: &str) -> String {
    let hidden = |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().flat_map(|c| if hidden(c) { c.escape_unicode().collect() } else { vec![c] }).collect()
}
