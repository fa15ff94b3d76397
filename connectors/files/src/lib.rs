//! CSV, JSON, JSON lines and Parquet from a folder.
//!
//! Which files are which stream, and what their columns are, the configuration
//! says, or their names and first rows do. Each run reads the files that are new
//! or changed since the last one. A file is taken whole or not at all: it is
//! looked at from end to end before its first row is written, so that a broken
//! file leaves nothing behind and does not keep the others from being read.
//!
//! | module | knows |
//! |---|---|
//! | `settings` | the configuration |
//! | `catalog` | which files there are, and whose |
//! | `known` | what earlier runs have read |
//! | `infer`, `value`, `plan` | types, values, columns |
//! | `delimited`, `json` with `elements`, `columnar` with `arrow` | one format each |
//! | `input`, `zstd` | compression |

mod arrow;
mod catalog;
mod columnar;
mod delimited;
mod elements;
mod infer;
mod input;
mod json;
mod known;
mod plan;
mod quotes;
mod settings;
mod value;
mod zstd;

use ow_connector::prelude::*;

use crate::catalog::{File, Source, sources};
use crate::infer::Kind;
use crate::known::{Fingerprint, Known};
use crate::plan::{Plan, Sink};
pub use crate::settings::{FieldSettings, Format, Settings, StreamSettings};

/// How many broken files the run's error names.
const NAMED: usize = 10;

/// The connector.
#[derive(Debug)]
pub struct Files;

impl Connector for Files {
    type Config = Settings;
    const NAME: &'static str = "files";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "Files from a folder";
    const DESCRIPTION: &'static str = "Reads CSV, JSON, JSON lines and Parquet from a folder, columns declared or \
                                       inferred, and on the next run the files that are new or changed.";

    fn streams(settings: &Settings) -> Result<Vec<Stream>> {
        let mut streams = Vec::new();
        for source in sources(settings)? {
            let mut broken = Broken::default();
            let found = columns(settings, &source, &[], Vec::new(), &mut broken)?;
            let plan = plan(&source, found)?;
            match plan.stream.fields.is_empty() {
                false => streams.push(plan.stream),
                true => broken.finish(source.files.len())?,
            }
        }
        Ok(streams)
    }

    fn check(ctx: &mut Context<Settings>) -> Result<()> {
        sources(&ctx.config()).map(drop)
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        let settings = ctx.config();
        let mut work = Vec::new();
        for source in sources(&settings)? {
            if source.files.is_empty() {
                warn!("stream `{}`: there is no file `{}`", source.settings.name, source.settings.path);
            }
            let known = Known::load(ctx, &source.settings.name, &source.files)?;
            let changed: Vec<File> =
                source.files.iter().filter(|file| !known.is_same(file)).cloned().collect();
            work.push((source, known, changed));
        }
        let mut progress =
            Progress { done: 0, total: work.iter().map(|(.., changed)| changed.len() as u64).sum() };
        info!("new or changed files: {}", progress.total);
        let total = usize::try_from(progress.total).unwrap_or(usize::MAX);
        let mut broken = Broken::default();
        for (source, mut known, changed) in work {
            import(ctx, &source, &mut known, changed, &mut progress, &mut broken)?;
        }
        broken.finish(total)
    }
}

/// How far the run is.
struct Progress {
    done: u64,
    total: u64,
}

impl Progress {
    fn one_more(&mut self, ctx: &Context<Settings>) {
        self.done += 1;
        ctx.progress(self.done, self.total, "files");
    }
}

/// The files that cannot be used, each with the reason.
#[derive(Default)]
struct Broken(Vec<(String, String)>);

impl Broken {
    fn add(&mut self, file: &File, error: &Error) {
        if !self.has(file) {
            warn!("{error}");
            self.0.push((file.name.clone(), error.to_string()));
        }
    }

    fn has(&self, file: &File) -> bool {
        self.0.iter().any(|(name, _)| *name == file.name)
    }

    /// Fails if there are any, with what an operator needs to know.
    fn finish(self, files: usize) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let (named, more) = self.0.split_at(self.0.len().min(NAMED));
        let named: Vec<&str> = named.iter().map(|(_, error)| error.as_str()).collect();
        let more = if more.is_empty() { String::new() } else { format!("; and {} more", more.len()) };
        Err(Error::invalid_data(format!(
            "{} of {files} files are broken (the others were read): {}{more}",
            self.0.len(),
            named.join("; ")
        )))
    }
}

/// Reads what has changed of one stream; commits after each file.
fn import(
    ctx: &mut Context<Settings>,
    source: &Source,
    known: &mut Known,
    changed: Vec<File>,
    progress: &mut Progress,
    broken: &mut Broken,
) -> Result<()> {
    let changed = without_touched(ctx, known, changed, progress)?;
    if changed.is_empty() {
        return Ok(());
    }
    // What earlier runs have found stays, so that a new file cannot narrow a type.
    let key = format!("{}/columns", source.settings.name);
    let before: Vec<(String, Kind)> = ctx.state(&key)?.unwrap_or_default();
    let found = columns(&ctx.config(), source, &changed, before.clone(), broken)?;
    if found != before {
        ctx.set_state(&key, &found)?;
    }
    let plan = plan(source, found)?;
    let mut table = None;
    for file in &changed {
        ctx.cancelled()?;
        let is_preview = ctx.run().preview_rows().is_some() && !plan.columns.is_empty();
        if broken.has(file) {
            // It was told when its columns were looked for.
        } else if is_preview {
            // Nobody waits for the end of a file to see its first rows.
            let table = opened(ctx, &plan, &mut table)?;
            read(ctx, &plan, file, Some(table))?;
        } else {
            match take(ctx, &plan, file, &mut table)? {
                Ok(fingerprint) => {
                    if known.has(file) && plan.stream.primary_key.is_empty() {
                        warn!(
                            "{}: it has changed; the stream has no primary key, so its rows were added again",
                            file.name
                        );
                    }
                    known.insert(ctx, file, &fingerprint)?;
                    ctx.commit()?;
                }
                Err(error) => broken.add(file, &error),
            }
        }
        progress.one_more(ctx);
    }
    Ok(())
}

/// The files without those whose content is what it was: they were copied or
/// touched only.
fn without_touched(
    ctx: &mut Context<Settings>,
    known: &mut Known,
    changed: Vec<File>,
    progress: &mut Progress,
) -> Result<Vec<File>> {
    let mut left = Vec::new();
    for file in changed {
        if known.has_size(&file)
            && let Ok(now) = of_file(Fingerprint::of(ctx, &file))?
            && known.has_content(&file, &now)
        {
            known.insert(ctx, &file, &now)?;
            progress.one_more(ctx);
            continue;
        }
        left.push(file);
    }
    Ok(left)
}

/// What can be wrong with a file, apart from what ends the run.
type OfFile<T> = std::result::Result<T, Error>;

/// Tells errors of a file from others: cancellation, a limit, the host's.
fn of_file<T>(result: Result<T>) -> Result<OfFile<T>> {
    match result {
        Err(error) if error.kind() != ErrorKind::InvalidData => Err(error),
        result => Ok(result),
    }
}

/// Checks a file, then writes its rows; of a file that is broken nothing.
fn take(
    ctx: &mut Context<Settings>,
    plan: &Plan,
    file: &File,
    table: &mut Option<Table>,
) -> Result<OfFile<Fingerprint>> {
    let fingerprint = match of_file(Fingerprint::of(ctx, file))? {
        Ok(fingerprint) => fingerprint,
        Err(error) => return Ok(Err(error)),
    };
    let (rows, is_plain) = match of_file(read(ctx, plan, file, None))? {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    if rows > 0 {
        let table = opened(ctx, plan, table)?;
        if is_plain {
            ctx.copy_json(table, input::open(file)?).context(&file.name)?;
        } else {
            read(ctx, plan, file, Some(table))?;
        }
    }
    if !file.is_unchanged() {
        let message = format!("{}: it changed while it was read; run again when it is complete", file.name);
        return Err(Error::unavailable(message));
    }
    Ok(Ok(fingerprint))
}

fn opened(ctx: &mut Context<Settings>, plan: &Plan, table: &mut Option<Table>) -> Result<Table> {
    match *table {
        Some(table) => Ok(table),
        None => Ok(*table.insert(ctx.open_stream(plan.stream.clone(), Open::default())?)),
    }
}

/// Reads a file: into a table, or only to look at it. Answers how many rows it
/// has, and whether the host could take its lines as they are.
fn read(ctx: &mut Context<Settings>, plan: &Plan, file: &File, table: Option<Table>) -> Result<(u64, bool)> {
    let mut sink = Sink::new(ctx, plan, file, table);
    let is_plain = match file.format {
        Format::Csv => delimited::read(file, plan, &mut sink).map(|()| false),
        Format::Json | Format::Jsonl => json::read(file, plan, &mut sink),
        Format::Parquet => columnar::read(file, plan, &mut sink).map(|()| false),
        Format::Auto => Err(Error::internal(format!("{}: its format is not known", file.name))),
    }?;
    Ok((sink.rows, is_plain))
}

/// What the columns of a stream are: as declared, or as they were found.
fn plan(source: &Source, found: Vec<(String, Kind)>) -> Result<Plan> {
    match Plan::declared(&source.settings)? {
        Some(plan) => Ok(plan),
        None => Plan::inferred(&source.settings, found),
    }
}

/// The columns that were known before, widened by what the files say: those that
/// have changed, and the others if nothing was known.
fn columns(
    settings: &Settings,
    source: &Source,
    changed: &[File],
    before: Vec<(String, Kind)>,
    broken: &mut Broken,
) -> Result<Vec<(String, Kind)>> {
    if !source.settings.fields.is_empty() {
        return Ok(Vec::new());
    }
    let most = usize::try_from(settings.sample_files).unwrap_or(usize::MAX);
    let is_changed = |file: &&File| changed.iter().any(|changed| changed.name == file.name);
    let others: Vec<&File> =
        source.files.iter().filter(|file| before.is_empty() && !is_changed(file)).collect();
    let changed = spread(changed.iter().collect(), most);
    let others = spread(others, most - changed.len());
    let sample: Vec<&File> = changed.into_iter().chain(others).collect();

    let json = sample.iter().all(|file| file.format != Format::Csv);
    let mut found = before;
    for file in sample {
        let columns = match file.format {
            Format::Csv => delimited::columns(file, &source.settings, settings.sample_rows),
            Format::Json | Format::Jsonl => json::columns(file, settings.sample_rows),
            Format::Parquet => columnar::columns(file),
            Format::Auto => Ok(Vec::new()),
        };
        match columns {
            Ok(columns) => merge(&mut found, columns, json),
            Err(error) if error.kind() == ErrorKind::InvalidData => broken.add(file, &error),
            Err(error) => return Err(error),
        }
    }
    for (_, kind) in &mut found {
        // A table has a column for it, whose type is this.
        if *kind == Kind::Nothing {
            *kind = Kind::Text;
        }
    }
    Ok(found)
}

fn merge(found: &mut Vec<(String, Kind)>, columns: Vec<(String, Kind)>, json: bool) {
    for (name, kind) in columns {
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = known.widened(kind, json),
            None => found.push((name, kind)),
        }
    }
}

/// At most so many of the files, spread over all.
fn spread(files: Vec<&File>, most: usize) -> Vec<&File> {
    let count = files.len();
    if count <= most {
        return files;
    }
    (0..most).filter_map(|index| files.get(index * count / most).copied()).collect()
}

ow_connector::export!(Files);
