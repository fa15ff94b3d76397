//! Everything that is printed. Results go to standard output, messages to
//! standard error; colours and bars only to a terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::args::{Global, Output};
use super::audit::audit_text;
use crate::failure::Failure;
use crate::report::text::plain;
use crate::report::{Event, Level, LogSource, Progress, RunReport, Sink, Status};
use crate::run::{Inspection, Reached, Validation};
use crate::sandbox::limits::LimitInfo;
use crate::storage::TableSchema;
use crate::storage::registry::Listed;

/// How often a pipe gets a line of progress.
const PROGRESS_LINES: Duration = Duration::from_secs(5);

/// Prints for one command.
#[derive(Clone)]
pub(super) struct Printer {
    output: Output,
    quiet: bool,
    verbose: bool,
    colour: bool,
    bar: Option<ProgressBar>,
    last_progress: Arc<Mutex<Instant>>,
}

impl Printer {
    pub(super) fn new(global: &Global) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            output: global.output,
            quiet: global.quiet,
            verbose: global.verbose,
            colour: terminal && !no_colour,
            bar: None,
            last_progress: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// A printer that shows progress as a bar, where there is a terminal.
    pub(super) fn with_bar(mut self) -> Self {
        if self.output == Output::Text && !self.quiet && std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(
                ProgressStyle::with_template("{spinner} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(Duration::from_millis(120));
            self.bar = Some(bar);
        }
        self
    }

    /// Receives the events of a run.
    pub(super) fn sink(&self) -> Sink {
        let printer = self.clone();
        Arc::new(move |event| printer.event(event))
    }

    pub(super) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    fn event(&self, event: &Event) {
        match (self.output, event) {
            (Output::Json, Event::Log { level, .. }) if !self.shows(*level) => {}
            (Output::Json, _) => self.json_line(event),
            (Output::Text, Event::Started { connector, storage, run_type, run_id, .. }) => {
                self.line(&format!("running {connector} into {storage} ({run_type}, run {run_id})"));
            }
            (Output::Text, Event::Log { level, source, message, fields }) if self.shows(*level) => {
                self.line(&self.log_line(*level, *source, message, fields));
            }
            (Output::Text, Event::Progress(progress)) => self.progress(progress),
            (Output::Text, Event::Denied(denied)) => {
                let grant =
                    denied.grant.as_ref().map(|grant| format!("; grant it with {grant}")).unwrap_or_default();
                self.line(&format!(
                    "{} {}: {}{grant}",
                    self.paint("33", "denied:"),
                    denied.attempt,
                    denied.reason
                ));
            }
            (Output::Text, Event::Finished(_)) => self.clear_bar(),
            (Output::Text, _) => {}
        }
    }

    /// Takes the bar away, so that the result can be printed.
    pub(super) fn clear_bar(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn shows(&self, level: Level) -> bool {
        level
            >= if self.quiet {
                Level::Error
            } else if self.verbose {
                Level::Trace
            } else {
                Level::Info
            }
    }

    fn log_line(
        &self,
        level: Level,
        source: LogSource,
        message: &str,
        fields: &[(String, String)],
    ) -> String {
        let level = match level {
            Level::Trace | Level::Debug => self.paint("2", "debug:"),
            Level::Info => self.paint("36", "info:"),
            Level::Warn => self.paint("33", "warning:"),
            Level::Error => self.paint("31", "error:"),
        };
        // What the connector says is marked as such, so that it cannot pass for
        // a word of the host.
        let source = match source {
            LogSource::Connector => "[connector] ",
            LogSource::Stdout => "[stdout] ",
            LogSource::Stderr => "[stderr] ",
            LogSource::Host => "",
        };
        let fields = fields.iter().fold(String::new(), |mut text, (name, value)| {
            let _ = write!(text, " {name}={value}");
            text
        });
        format!("{level} {source}{message}{fields}")
    }

    fn progress(&self, progress: &Progress) {
        let mut text = format!(
            "{} rows, {}, {} requests, {} memory",
            HumanCount(progress.rows),
            HumanBytes(progress.bytes),
            progress.requests,
            HumanBytes(progress.memory)
        );
        if let (Some(done), Some(unit)) = (progress.done, &progress.unit) {
            let total = progress.total.map(|total| format!("/{total}")).unwrap_or_default();
            let _ = write!(text, ", {done}{total} {unit}");
        }
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => {
                let mut last = self.last_progress.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= PROGRESS_LINES {
                    *last = Instant::now();
                    self.line(&format!("{} {text}", self.paint("36", "info:")));
                }
            }
        }
    }

    /// A message on standard error.
    fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(text)),
            None => tell(text),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A failure, and what to do about it.
    pub(super) fn failure(&self, failure: &Failure) {
        if self.output == Output::Json {
            self.json(&serde_json::json!({ "failure": failure }));
            return;
        }
        self.failure_text(failure);
    }

    fn failure_text(&self, failure: &Failure) {
        let mut lines = failure.message.lines().map(plain);
        let speaker = if failure.from_connector { "[connector] " } else { "" };
        let first = lines.next().unwrap_or_default();
        tell(&format!("{} {speaker}{first}", self.paint("1;31", "error:")));
        for line in lines {
            tell(&line);
        }
        if let Some(parameter) = &failure.parameter {
            tell(&format!("{} parameter {}", self.paint("1;36", "  at:"), plain(parameter)));
        }
        for hint in failure.hint.iter().flat_map(|hint| hint.lines()) {
            tell(&format!("{} {}", self.paint("1;36", "hint:"), plain(hint)));
        }
    }

    /// A warning on standard error.
    pub(super) fn warning(&self, text: &str) {
        self.line(&format!("{} {}", self.paint("33", "warning:"), plain(text)));
    }

    /// How a run went; `all` capabilities, or those that were used.
    pub(super) fn report(&self, report: &RunReport, all: bool) {
        if self.output == Output::Json {
            return; // It was the last event.
        }
        if let Some(failure) = &report.failure {
            self.failure_text(failure);
        }
        print(&summary(report, all));
    }

    pub(super) fn inspection(&self, inspection: &Inspection) {
        if self.output == Output::Json {
            self.json(inspection)
        } else {
            print(&inspection_text(inspection))
        }
        if let (Output::Text, Some(failure)) = (self.output, &inspection.failure) {
            self.failure_text(failure);
        }
    }

    pub(super) fn validation(&self, validation: &Validation) {
        if self.output == Output::Json {
            return self.json(validation);
        }
        for warning in &validation.warnings {
            self.line(&format!("{} {warning}", self.paint("33", "warning:")));
        }
        for origin in &validation.missing_grants {
            self.line(&format!(
                "{} the connector asks for {origin}, which is not granted; grant it with --allow-net {origin} or --allow-requested",
                self.paint("33", "warning:")
            ));
        }
        print(&format!(
            "valid: {} for the data mart '{}' into {}\n",
            validation.connector, validation.data_mart_id, validation.storage
        ));
    }

    pub(super) fn reached(&self, reached: &Reached) {
        let Reached { storage, found, .. } = reached;
        self.said(
            &format!("the source can be reached\nthe storage {storage} can be reached: {}", plain(found)),
            &serde_json::json!({"status": "succeeded", "storage": storage, "found": found}),
        );
    }

    pub(super) fn storages(&self, storages: &[Listed]) {
        if self.output == Output::Json { self.json(&storages) } else { print(&storages_text(storages)) }
    }

    pub(super) fn streams(&self, streams: &[TableSchema]) {
        if self.output == Output::Json { self.json(&streams) } else { print(&streams_text(streams)) }
    }

    pub(super) fn limits(&self, limits: &[LimitInfo]) {
        if self.output == Output::Json {
            return self.json(&limits);
        }
        let text = limits.iter().fold(String::new(), |mut text, limit| {
            let doc = limit.doc.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            let _ = writeln!(text, "{:<24} {:>8}  {doc}", limit.key, limit.default);
            text
        });
        print(&text);
    }

    /// A sentence, or its JSON.
    pub(super) fn said(&self, text: &str, json: &impl Serialize) {
        if self.output == Output::Json { self.json(json) } else { print(&format!("{text}\n")) }
    }

    /// A JSON document, over several lines on a terminal.
    pub(super) fn json(&self, value: &impl Serialize) {
        let text = if self.output == Output::Json && !std::io::stdout().is_terminal() {
            serde_json::to_string(value)
        } else {
            serde_json::to_string_pretty(value)
        };
        print(&format!("{}\n", text.unwrap_or_default()));
    }

    fn json_line(&self, value: &impl Serialize) {
        print(&format!("{}\n", serde_json::to_string(value).unwrap_or_default()));
    }

    /// Raw text, such as a completion script.
    pub(super) fn raw(&self, text: &str) {
        print(text);
    }
}

/// Writes to standard output. Whoever reads it may have gone (`| head`): that is
/// no failure of the command.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// Writes a line to standard error. A log file on a full disk must not end a run
/// that goes well.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

fn summary(report: &RunReport, all: bool) -> String {
    let mut text = String::new();
    let status = match report.status {
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::Interrupted => "interrupted",
    };
    let _ = writeln!(text, "{status}: run {} of the data mart '{}'", report.run_id, report.data_mart_id);
    for stream in &report.streams {
        let mode = match stream.mode {
            crate::storage::WriteMode::Append => "append",
            crate::storage::WriteMode::Merge => "merge",
            crate::storage::WriteMode::Replace => "replace",
        };
        let refused = if stream.refused_rows == 0 {
            String::new()
        } else {
            format!(", {} refused", HumanCount(stream.refused_rows))
        };
        let dropped = stream.rows.saturating_sub(stream.committed_rows).saturating_sub(stream.refused_rows);
        let dropped =
            if dropped == 0 { String::new() } else { format!(", {} not committed", HumanCount(dropped)) };
        let _ = writeln!(
            text,
            "  {}: {} rows, {} ({mode}{refused}{dropped})",
            stream.stream,
            HumanCount(stream.rows),
            HumanBytes(stream.bytes)
        );
    }
    text.push_str(&refused_text(report));
    let _ = writeln!(
        text,
        "  {} commits, {} requests ({} sent, {} received), {} denied",
        report.commits,
        report.requests,
        HumanBytes(report.request_bytes),
        HumanBytes(report.response_bytes),
        report.denied.iter().map(|denied| denied.count).sum::<u64>()
    );
    text.push_str(&audit_text(report, all));
    if report.dropped_log_lines > 0 {
        let _ = writeln!(text, "  {} log lines dropped", HumanCount(report.dropped_log_lines));
    }
    let waited = match report.storage_wait_ms {
        0 => String::new(),
        waited => format!(", the storage waited {} for its service", duration(waited)),
    };
    let _ = writeln!(
        text,
        "  {} at most, {} of processor time, {} in all{waited}",
        HumanBytes(report.peak_memory),
        duration(report.cpu_ms),
        duration(report.wall_ms)
    );
    text
}

/// What the contracts refused, if they refused anything.
fn refused_text(report: &RunReport) -> String {
    let Some(table) = &report.quarantine else { return String::new() };
    let rows: u64 = report.streams.iter().map(|stream| stream.refused_rows).sum();
    let values: u64 = report.streams.iter().map(|stream| stream.refused_values).sum();
    format!(
        "  refused by contract: {} rows and {} values of other rows; see the table {table}\n",
        HumanCount(rows),
        HumanCount(values),
    )
}

fn inspection_text(inspection: &Inspection) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}: {}", inspection.file, inspection.kind.describe());
    let _ = writeln!(text, "size:    {} ({} bytes)", HumanBytes(inspection.size), inspection.size);
    let _ = writeln!(text, "sha256:  {}", inspection.digest);
    let signature = match (&inspection.signature, &inspection.signed_by) {
        (_, Some(key)) => Some(format!("verified with {key}")),
        (Some(file), None) => Some(format!("{file}, not verified (--require-signature PUBLIC.pem does)")),
        (None, None) => None,
    };
    if let Some(signature) = signature {
        let _ = writeln!(text, "signed:  {signature}");
    }
    if let Some(spec) = &inspection.spec {
        let _ = writeln!(
            text,
            "name:    {}\nversion: {}\ntitle:   {}",
            plain(&spec.name),
            plain(&spec.version),
            plain(&spec.title)
        );
        let _ = writeln!(text, "about:   {}", plain(spec.description.trim()));
        if let Some(url) = &spec.documentation_url {
            let _ = writeln!(text, "docs:    {}", plain(url));
        }
        let _ = writeln!(text, "asks for network: {}", list(&spec.network));
        let _ = writeln!(text, "asks for secrets in clear: {}", list(&spec.plain_secrets));
        parameters_text(&mut text, &spec.config_schema);
    }
    if let Some(streams) = &inspection.streams {
        let _ = writeln!(text, "streams:");
        text.push_str(&streams_text(streams).lines().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "  {line}");
            text
        }));
    }
    if !inspection.imports.is_empty() {
        let _ = writeln!(text, "imports:");
        for name in &inspection.imports {
            let _ = writeln!(text, "  {}", plain(name));
        }
    }
    text
}

/// Each storage with its parameters.
fn storages_text(storages: &[Listed]) -> String {
    let mut text = String::new();
    for storage in storages {
        let _ = writeln!(text, "{}: {}", storage.name, storage.description.replace('\n', " "));
        parameter_lines(&mut text, &storage.parameters);
    }
    text
}

/// The parameters of a connector: name, type, whether it is required, what it is.
fn parameters_text(text: &mut String, schema: &serde_json::Value) {
    if schema.get("properties").is_some_and(serde_json::Value::is_object) {
        let _ = writeln!(text, "parameters:");
    }
    parameter_lines(text, schema);
}

/// A line a parameter.
fn parameter_lines(text: &mut String, schema: &serde_json::Value) {
    let Some(properties) = schema.get("properties").and_then(serde_json::Value::as_object) else { return };
    let required = schema.get("required").and_then(serde_json::Value::as_array);
    for (name, property) in properties {
        let word = |key: &str| property.get(key).and_then(serde_json::Value::as_str);
        let mut marks = Vec::new();
        marks.extend(types(property));
        if required.is_some_and(|required| required.iter().any(|key| key.as_str() == Some(name))) {
            marks.push("required".to_owned());
        }
        if let Some(default) = property.get("default").filter(|default| !default.is_null()) {
            marks.push(format!("default {default}"));
        }
        if property.get("writeOnly") == Some(&serde_json::Value::Bool(true)) {
            marks.push("secret".to_owned());
        }
        if property.get("x-backfill") == Some(&serde_json::Value::Bool(true)) {
            marks.push("--set".to_owned());
        }
        let description =
            word("description").map(|d| format!(": {}", d.replace('\n', " "))).unwrap_or_default();
        let marks = if marks.is_empty() { String::new() } else { format!(" ({})", plain(&marks.join(", "))) };
        let _ = writeln!(text, "  {}{marks}{}", plain(name), plain(&description));
    }
}

/// The types of a parameter, without the `null` of an optional one.
fn types(property: &serde_json::Value) -> Option<String> {
    let names = match property.get("type")? {
        serde_json::Value::String(name) => vec![name.as_str()],
        names => names.as_array()?.iter().filter_map(serde_json::Value::as_str).collect(),
    };
    let names: Vec<&str> = names.into_iter().filter(|name| *name != "null").collect();
    (!names.is_empty()).then(|| names.join(" or "))
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "nothing".to_owned() } else { plain(&items.join(", ")).into_owned() }
}

fn streams_text(streams: &[TableSchema]) -> String {
    let mut text = String::new();
    for stream in streams {
        let key = if stream.primary_key.is_empty() {
            "append-only".to_owned()
        } else {
            format!("key {}", stream.primary_key.join(", "))
        };
        let _ = writeln!(text, "{} ({key})", stream.name);
        for field in &stream.fields {
            let null = if field.nullable { "" } else { " not null" };
            let description = field.description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
            let _ = writeln!(text, "  {} {}{null}{description}", field.name, field.data_type);
        }
    }
    text
}
