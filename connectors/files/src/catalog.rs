//! Which files there are, and which stream each belongs to.

use std::fs;
use std::path::{Path, PathBuf};

use ow_connector::prelude::*;

use crate::settings::{Format, Settings, StreamSettings};

/// Files of a folder and all below it, beyond which it is taken for a mistake.
const FILES: usize = 1_000_000;
/// Folders in folders.
const DEPTH: usize = 32;

/// A stream and its files, in the order of their names.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) settings: StreamSettings,
    pub(crate) files: Vec<File>,
}

/// A file of a stream.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Where it is, from the folder on.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    pub(crate) packing: Packing,
    pub(crate) size: u64,
    /// Microseconds since 1970; none where the file system does not tell.
    pub(crate) modified: Option<i64>,
}

/// How a text file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Zstd,
}

/// The streams of a configuration with their files.
pub(crate) fn sources(settings: &Settings) -> Result<Vec<Source>> {
    let mut files = Vec::new();
    list(Path::new(&settings.directory), "", 0, &mut files).map_err(|(name, error)| match name.as_str() {
        "" => unreadable(&settings.directory, &error),
        _ => Error::from(error).context(name),
    })?;
    files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if settings.streams.is_empty() { by_name(&files) } else { by_pattern(settings, &files) }
}

fn unreadable(directory: &str, error: &std::io::Error) -> Error {
    let why = match error.kind() {
        std::io::ErrorKind::NotFound => "there is none".to_owned(),
        _ => error.to_string(),
    };
    let message = format!(
        "the folder `{directory}` cannot be read ({why}); mount one there with `--mount DIR:{directory}`"
    );
    Error::config(message).parameter("Directory")
}

/// Collects files. Names that begin with `.` or `_` are those of files that are
/// not finished, or not data.
fn list(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<File>,
) -> Result<(), (String, std::io::Error)> {
    let here = |error| (prefix.trim_end_matches('/').to_owned(), error);
    for entry in fs::read_dir(folder).map_err(here)? {
        let entry = entry.map_err(here)?;
        let file_name = entry.file_name().to_string_lossy().into_owned();
        if file_name.starts_with(['.', '_']) {
            continue;
        }
        let (name, path) = (format!("{prefix}{file_name}"), entry.path());
        let Ok(metadata) = fs::metadata(&path) else {
            // Gone since, or a link that leads out of the folder.
            continue;
        };
        if metadata.is_dir() {
            if depth < DEPTH {
                list(&path, &format!("{name}/"), depth + 1, files)?;
            }
        } else if files.len() < FILES {
            files.push(File::new(name, path, &metadata));
        } else {
            let many = std::io::Error::other(format!("there are more than {FILES} files in the folder"));
            return Err((name, many));
        }
    }
    Ok(())
}

impl File {
    fn new(name: String, path: PathBuf, metadata: &fs::Metadata) -> Self {
        let (format, packing) = of_name(&name);
        Self { name, path, format, packing, size: metadata.len(), modified: modified(metadata) }
    }

    /// Whether it is still the file that was listed.
    pub(crate) fn is_unchanged(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|now| now.len() == self.size && modified(&now) == self.modified)
    }
}

fn modified(metadata: &fs::Metadata) -> Option<i64> {
    metadata.modified().ok().map(|time| Timestamp::from(time).micros())
}

/// Format and compression, from a file's name.
fn of_name(name: &str) -> (Format, Packing) {
    let name = name.to_ascii_lowercase();
    let (name, packing) = match name.rsplit_once('.') {
        Some((rest, "gz")) => (rest, Packing::Gzip),
        Some((rest, "zst")) => (rest, Packing::Zstd),
        _ => (name.as_str(), Packing::None),
    };
    let format = match name.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("csv" | "tsv") => Format::Csv,
        Some("json") => Format::Json,
        Some("jsonl" | "ndjson") => Format::Jsonl,
        Some("parquet") => Format::Parquet,
        _ => Format::Auto,
    };
    (format, packing)
}

/// A stream for each file of the folder and each folder in it.
fn by_name(files: &[File]) -> Result<Vec<Source>> {
    let mut sources: Vec<(String, Source)> = Vec::new();
    for file in files.iter().filter(|file| file.format != Format::Auto) {
        // What the stream comes from: a folder, or a file.
        let (from, name) = match file.name.split_once('/') {
            Some((folder, _)) => (format!("{folder}/"), folder),
            None => (file.name.clone(), file.name.split('.').next().unwrap_or_default()),
        };
        match sources.iter_mut().find(|(_, source)| source.settings.name == name) {
            Some((known, source)) if *known == from => source.files.push(file.clone()),
            Some((known, _)) => {
                let message = format!(
                    "`{known}` and `{from}` would both be the stream `{name}`; say in `Streams` which files are which stream"
                );
                return Err(Error::config(message).parameter("Streams"));
            }
            None => {
                let settings = StreamSettings::plain(name.to_owned());
                sources.push((from, Source { settings, files: vec![file.clone()] }));
            }
        }
    }
    Ok(sources.into_iter().map(|(_, source)| source).collect())
}

/// The streams of the configuration, each with the files that its pattern fits.
fn by_pattern(settings: &Settings, files: &[File]) -> Result<Vec<Source>> {
    let mut sources: Vec<Source> = Vec::new();
    for stream in &settings.streams {
        let name = stream.name.trim();
        if name.is_empty() || stream.path.trim().is_empty() {
            return Err(stream.wrong("it needs a name and a path"));
        }
        if sources.iter().any(|source| source.settings.name.eq_ignore_ascii_case(name)) {
            return Err(stream.wrong("it is declared twice; one pattern can fit several folders"));
        }
        let pattern = stream.path.trim_start_matches("./").trim_start_matches('/');
        let mut found = Vec::new();
        for file in files.iter().filter(|file| fits(pattern, &file.name)) {
            let format = if stream.format == Format::Auto { file.format } else { stream.format };
            if format == Format::Auto {
                return Err(stream.wrong(format_args!(
                    "the name of `{}` does not tell its format; set `Format`, or a `Path` that leaves it out",
                    file.name
                )));
            }
            found.push(File { format, ..file.clone() });
        }
        sources.push(Source {
            settings: StreamSettings { name: name.to_owned(), ..stream.clone() },
            files: found,
        });
    }
    Ok(sources)
}

/// Whether a path fits a pattern.
fn fits(pattern: &str, path: &str) -> bool {
    let (first, rest) = pattern.split_once('/').map_or((pattern, None), |(first, rest)| (first, Some(rest)));
    let (folder, below) = path.split_once('/').map_or((path, None), |(folder, below)| (folder, Some(below)));
    match (first, rest) {
        ("**", None) => true,
        ("**", Some(rest)) => fits(rest, path) || below.is_some_and(|below| fits(pattern, below)),
        (_, Some(rest)) => name_fits(first, folder) && below.is_some_and(|below| fits(rest, below)),
        (_, None) => below.is_none() && name_fits(first, folder),
    }
}

/// Whether a name fits a part of a pattern. A star is tried with the fewest
/// characters first, and only the last one is tried with more.
fn name_fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == name.get(n) => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_they_say() {
        for (pattern, path, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("*.csv*", "a.csv.gz", true),
            ("*.csv", "x/a.csv", false),
            ("x/*.csv", "x/a.csv", true),
            ("**/*.csv", "a.csv", true),
            ("**/*.csv", "x/y/a.csv", true),
            ("x/**", "x/y/a.csv", true),
            ("x/**", "y/a.csv", false),
            ("x/**/y/*", "x/1/2/y/a", true),
            ("x/**/y/*", "x/1/2/a", false),
            ("2024-??.json", "2024-01.json", true),
            ("2024-??.json", "2024-1.json", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("ä*", "ärger", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
        }
        let hard = format!("{}b", "*a".repeat(50));
        assert!(!fits(&hard, &"a".repeat(200)), "and it came to an end");
    }

    #[test]
    fn names_tell_the_format() {
        assert_eq!(of_name("a.csv"), (Format::Csv, Packing::None));
        assert_eq!(of_name("A.TSV.GZ"), (Format::Csv, Packing::Gzip));
        assert_eq!(of_name("a.ndjson.zst"), (Format::Jsonl, Packing::Zstd));
        assert_eq!(of_name("x/a.b.json"), (Format::Json, Packing::None));
        assert_eq!(of_name("readme.txt"), (Format::Auto, Packing::None));
        assert_eq!(of_name("gz"), (Format::Auto, Packing::None));
    }
}
