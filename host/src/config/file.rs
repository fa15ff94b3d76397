//! The configuration file: OWOX's format as it is, and our own sections
//! `sandbox` and `connector`. Reports all its problems at once.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::exposure;
use super::grants::SandboxConfig;
use super::json;
use super::problem::{ConfigProblems, Place, Problem, clip, found, nearest, one_line};
use super::wiped::Wiped;
use crate::isolation::Isolation;
use crate::sandbox::{LimitOverrides, Limits, limits};
use crate::storage::contract::Contracts;

pub(crate) mod contracts;
mod secrets;

/// Keys of the file's object. `$schema` is for editors, `description` for
/// people; both are OWOX's or everybody's habit and mean nothing to a run.
pub(crate) const KEYS: &[&str] =
    &["$schema", "datamartId", "name", "description", "source", "storage", "sandbox", "connector"];

/// What `source` was called in OWOX's early files.
pub(crate) const LEGACY_SOURCE: &str = "integration";

/// Keys of `sandbox` beside the limits.
pub(crate) const GRANT_KEYS: &[&str] = &[
    "allow_net",
    "allow_requested",
    "deny_network",
    "mounts",
    "reveal_secrets",
    "secret_origins",
    "allow_echo",
    "reveal_tokens",
    "redact_rows",
    "ca_file",
    "isolation",
];

/// The longest name of a data mart, in bytes: it becomes a key in storages.
const MAX_NAME_BYTES: usize = 255;

/// Other names that OWOX and people have for storages.
const STORAGE_ALIASES: &[(&str, &str)] = &[
    ("GOOGLE_BIGQUERY", "GoogleBigQuery"),
    ("AWS_ATHENA", "AwsAthena"),
    ("AWS_REDSHIFT", "AwsRedshift"),
    ("SNOWFLAKE", "Snowflake"),
    ("DATABRICKS", "Databricks"),
    ("SQLITE", "Sqlite"),
    ("LOCAL_FILES", "LocalFiles"),
];

/// A configuration file that has been read. Values are as they stand: what they
/// mean, [`super::resolve()`] finds out with the connector's schema.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The file, where it came from one.
    pub file: Option<PathBuf>,
    /// What relative paths of the file start at.
    pub base_dir: PathBuf,
    /// `datamartId`.
    pub datamart_id: Option<String>,
    /// `name`.
    pub name: String,
    /// The connector's name and parameters.
    pub source: SourceConfig,
    /// The storage and its parameters.
    pub storage: Option<StorageConfig>,
    /// What the operator grants.
    pub sandbox: SandboxConfig,
    /// The component's file.
    pub connector: Option<ConnectorRef>,
    /// What is accepted but should be written otherwise.
    pub warnings: Vec<String>,
    /// Others than its owner can get at the file.
    pub(crate) exposed: bool,
}

/// `source`. Its debug output has no values: they may be secrets.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct SourceConfig {
    /// `source.name`.
    pub name: Option<String>,
    /// The parameters, as they stand.
    pub config: Wiped<Map<String, Value>>,
    /// The section's key: `source`, or `integration` in an old file.
    pub(crate) place: Place,
}

/// `storage`. Its debug output has no values: they may be secrets.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct StorageConfig {
    /// The storage's name, aliases resolved.
    pub name: String,
    /// The parameters, as they stand.
    pub config: Wiped<Map<String, Value>>,
    /// What happens when a stream brings something new.
    pub contracts: Contracts,
}

impl fmt::Debug for SourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters: Vec<&String> = self.config.keys().collect();
        f.debug_struct("SourceConfig").field("name", &self.name).field("parameters", &parameters).finish()
    }
}

impl fmt::Debug for StorageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters: Vec<&String> = self.config.keys().collect();
        f.debug_struct("StorageConfig")
            .field("name", &self.name)
            .field("parameters", &parameters)
            .field("contracts", &self.contracts)
            .finish()
    }
}

/// `connector`: the component's file, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectorRef {
    /// The file; relative ones start at the configuration's folder.
    pub path: PathBuf,
    /// Its SHA-256, 64 lower-case hex digits.
    pub sha256: Option<String>,
    /// Public keys (PEM), one of which must have signed it; none: no signature
    /// is asked for. Relative ones start at the configuration's folder.
    pub signature_keys: Vec<PathBuf>,
}

impl Config {
    /// Reads a configuration file. Relative paths in it start at its folder.
    pub fn load(path: &Path) -> Result<Self, ConfigProblems> {
        let (text, exposed) = json::read(path).map_err(|problem| ConfigProblems::one(Some(path), problem))?;
        let base_dir = path.parent().unwrap_or(Path::new(""));
        Ok(Self { exposed, ..Self::read(&text, base_dir, Some(path))? })
    }

    /// Reads a configuration from its text. Relative paths in it start at
    /// `base_dir`.
    pub fn parse(text: &str, base_dir: &Path) -> Result<Self, ConfigProblems> {
        Self::read(text, base_dir, None)
    }

    fn read(text: &str, base_dir: &Path, file: Option<&Path>) -> Result<Self, ConfigProblems> {
        let fail = |problems| ConfigProblems { file: file.map(Path::to_owned), problems };
        let value = json::parse(text).map_err(fail)?;
        let mut reader = Reader::new(base_dir);
        let config = reader.config(value);
        match config {
            Some(config) if reader.problems.is_empty() => {
                Ok(Self { file: file.map(Path::to_owned), warnings: reader.warnings, ..config })
            }
            _ => Err(fail(reader.problems)),
        }
    }

    /// What to do about a file with secrets that others than its owner can get at.
    pub(crate) fn warning_of_exposure(&self) -> Option<String> {
        let file = self.file.as_deref().filter(|_| self.exposed)?;
        Some(exposure::warning(file, "secrets in clear"))
    }

    /// What the rows and the state belong to: the flag, else `datamartId`, else
    /// `name`.
    pub fn data_mart_id(&self, flag: Option<&str>) -> Result<String, ConfigProblems> {
        let (place, id) = match (flag, &self.datamart_id) {
            (Some(flag), _) => ("--data-mart", flag),
            (None, Some(id)) => ("datamartId", id.as_str()),
            (None, None) => ("name", self.name.as_str()),
        };
        let file = self.file.as_deref().filter(|_| flag.is_none());
        check_name(place, id).map_err(|problem| ConfigProblems::one(file, problem))?;
        Ok(id.to_owned())
    }
}

/// A name that becomes a key: 1 to 255 bytes, no control characters.
fn check_name(place: impl ToString, name: &str) -> Result<(), Problem> {
    let wrong = if name.trim().is_empty() {
        "is empty".to_owned()
    } else if name.len() > MAX_NAME_BYTES {
        format!("has {} bytes, {MAX_NAME_BYTES} are the most", name.len())
    } else if name.contains(char::is_control) {
        format!("'{}' has a control character", clip(name))
    } else {
        return Ok(());
    };
    Err(Problem::new(place, wrong).hint("write a short name on one line"))
}

/// Reads a file's value and collects what is wrong.
pub(super) struct Reader<'a> {
    pub(super) base_dir: &'a Path,
    pub(super) problems: Vec<Problem>,
    warnings: Vec<String>,
    /// Known keys that a misspelt one is near to: they are not missing as well.
    meant: Vec<Place>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(base_dir: &'a Path) -> Self {
        Self { base_dir, problems: Vec::new(), warnings: Vec::new(), meant: Vec::new() }
    }

    fn config(&mut self, value: Value) -> Option<Config> {
        let top = Place::default();
        let Value::Object(mut object) = value else {
            let wrong = format!("expected an object, found {}", found(&value, true));
            self.problems.push(Problem::new("", wrong).hint("write { \"name\": …, \"source\": { … } }"));
            return None;
        };
        self.unknown_keys(&top, &object, KEYS, &[LEGACY_SOURCE]);
        for key in ["$schema", "description"] {
            self.optional_text(&top, &mut object, key);
        }
        let datamart_id = self.optional_text(&top, &mut object, "datamartId");
        let name = self.required_text(&top, &mut object, "name");
        for (place, name) in [("datamartId", &datamart_id), ("name", &name)] {
            if let Some(Err(problem)) = name.as_deref().map(|name| check_name(place, name)) {
                self.problems.push(problem);
            }
        }
        let source = self.source(&mut object);
        let storage = object.remove("storage").and_then(|value| self.storage(value));
        let sandbox = object.remove("sandbox").map(|value| self.sandbox(value)).unwrap_or_default();
        let connector = object.remove("connector").and_then(|value| self.connector(value));
        Some(Config {
            file: None,
            base_dir: self.base_dir.to_owned(),
            datamart_id,
            name: name?,
            source: source?,
            storage,
            sandbox,
            connector,
            warnings: Vec::new(),
            exposed: false,
        })
    }

    fn source(&mut self, object: &mut Map<String, Value>) -> Option<SourceConfig> {
        let legacy = object.remove(LEGACY_SOURCE);
        let (key, value) = match (object.remove("source"), legacy) {
            (Some(_), Some(_)) => {
                let wrong = "stands beside 'source', which took its place";
                self.problems.push(Problem::new(LEGACY_SOURCE, wrong).hint("keep 'source'"));
                return None;
            }
            (Some(value), None) => ("source", value),
            (None, Some(value)) => {
                self.warnings.push(format!("the key '{LEGACY_SOURCE}' is old: call it 'source'"));
                (LEGACY_SOURCE, value)
            }
            (None, None) => {
                self.missing(Place::of("source"), "add \"source\": { \"config\": { … } }");
                return None;
            }
        };
        let place = Place::of(key);
        let mut object = self.object(&place, value, "{ \"config\": { … } }")?;
        self.unknown_keys(&place, &object, &["name", "config"], &[]);
        let name = self.optional_text(&place, &mut object, "name");
        let config = match object.remove("config") {
            Some(value) => self.object(&place.key("config"), value, "{ \"Parameter\": … }")?,
            None => {
                self.missing(place.key("config"), "add \"config\": { … } with the connector's parameters");
                return None;
            }
        };
        Some(SourceConfig { name, config: config.into(), place })
    }

    fn storage(&mut self, value: Value) -> Option<StorageConfig> {
        let place = Place::of("storage");
        let mut object = self.object(&place, value, "{ \"name\": …, \"config\": { … } }")?;
        self.unknown_keys(&place, &object, &["name", "config", "contracts"], &[]);
        let name = self.required_text(&place, &mut object, "name");
        let contracts = self.contracts(object.remove("contracts"));
        let config = match object.remove("config") {
            Some(value) => self.object(&place.key("config"), value, "{ \"Parameter\": … }")?,
            None => Map::new(),
        };
        let name = name?;
        let alias = STORAGE_ALIASES.iter().find(|(alias, _)| *alias == name);
        let name = alias.map_or(name, |(_, name)| (*name).to_owned());
        Some(StorageConfig { name, config: config.into(), contracts })
    }

    fn connector(&mut self, value: Value) -> Option<ConnectorRef> {
        let place = Place::of("connector");
        let mut object = self.object(&place, value, "{ \"path\": \"connector.wasm\" }")?;
        self.unknown_keys(&place, &object, &["path", "sha256", "signature"], &[]);
        let path = self.required_text(&place, &mut object, "path");
        let sha256 = self.optional_text(&place, &mut object, "sha256").map(|text| text.to_ascii_lowercase());
        if let Some(digest) = &sha256 {
            self.check_digest(place.key("sha256"), digest);
        }
        let signature_keys =
            object.remove("signature").map(|value| self.signature(&place, value)).unwrap_or_default();
        Some(ConnectorRef { path: self.base_dir.join(path?), sha256, signature_keys })
    }

    pub(super) fn check_digest(&mut self, place: impl ToString, digest: &str) {
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let wrong = format!("expected 64 hex digits, found {} characters", digest.chars().count());
            let problem = Problem::new(place, wrong);
            self.problems.push(problem.hint("write what 'ow-host inspect' or 'sha256sum' prints"));
        }
    }

    /// `connector.signature`: an empty list of keys would look like a check and
    /// be none.
    fn signature(&mut self, connector: &Place, value: Value) -> Vec<PathBuf> {
        const EXAMPLE: &str = "{ \"keys\": [\"public.pem\"] }";
        if value.is_null() {
            return Vec::new();
        }
        let place = connector.key("signature");
        let Some(mut object) = self.object(&place, value, EXAMPLE) else { return Vec::new() };
        self.unknown_keys(&place, &object, &["keys"], &[]);
        let known = self.problems.len();
        let keys: Vec<PathBuf> = self.texts(&place, &mut object, "keys", true, "[\"public.pem\"]");
        if keys.is_empty() && self.problems.len() == known {
            self.missing(place.key("keys"), &format!("write \"signature\": {EXAMPLE}"));
        }
        keys.into_iter().map(|key| self.base_dir.join(key)).collect()
    }

    fn sandbox(&mut self, value: Value) -> SandboxConfig {
        let place = Place::of("sandbox");
        let Some(mut object) = self.object(&place, value, "{ \"allow_net\": [ … ] }") else {
            return SandboxConfig::default();
        };
        self.unknown_keys(&place, &object, GRANT_KEYS, limits::KEYS);
        let mounts: Vec<crate::sandbox::Mount> =
            self.texts(&place, &mut object, "mounts", false, "[\"in:/in:ro\"]");
        let ca_file = self.optional_text(&place, &mut object, "ca_file");
        let isolation = self.isolation(&place, &mut object);
        SandboxConfig {
            allow_net: self.texts(&place, &mut object, "allow_net", true, "[\"https://api.example.com\"]"),
            allow_requested: self.flag(&place, &mut object, "allow_requested"),
            deny_network: self.flag(&place, &mut object, "deny_network"),
            mounts: mounts.into_iter().map(|mount| mount.relative_to(self.base_dir)).collect(),
            reveal_secrets: self.texts(&place, &mut object, "reveal_secrets", false, "[\"ApiSecret\"]"),
            secrets: self.secret_rules(&place, &mut object),
            ca_file: ca_file.map(|path| self.base_dir.join(path)),
            isolation,
            limits: self.limits(&place, object),
        }
    }

    fn isolation(&mut self, place: &Place, object: &mut Map<String, Value>) -> Option<Isolation> {
        let text = self.optional_text(place, object, "isolation")?;
        let known = text.parse();
        known.map_err(|wrong: String| self.problems.push(Problem::new(place.key("isolation"), wrong))).ok()
    }

    /// Each limit by itself, so that every wrong one is reported.
    pub(super) fn limits(&mut self, place: &Place, object: Map<String, Value>) -> LimitOverrides {
        let defaults = serde_json::to_value(Limits::default()).unwrap_or_default();
        let mut overrides = LimitOverrides::default();
        for (key, value) in object {
            let (Some(default), false) = (defaults.get(&key), value.is_null()) else { continue };
            let kind_fits = match default {
                Value::String(_) => value.is_string(),
                _ => value.as_u64().is_some_and(|n| u32::try_from(n).is_ok()),
            };
            if !kind_fits {
                let expected = if default.is_string() {
                    "a text with a number and a unit".to_owned()
                } else {
                    format!("a whole number from 0 to {}", u32::MAX)
                };
                let wrong = format!("expected {expected}, found {}", found(&value, false));
                let problem = Problem::new(place.key(&key), wrong);
                self.problems.push(problem.hint(format!("the default is {default}")));
                continue;
            }
            let limit = Value::Object(Map::from_iter([(key.clone(), value)]));
            match serde_json::from_value::<LimitOverrides>(limit) {
                Ok(limit) => overrides = overrides.or(limit),
                Err(error) => self.problems.push(Problem::new(place.key(&key), one_line(&error.to_string()))),
            }
        }
        overrides
    }

    pub(super) fn object(
        &mut self,
        place: &Place,
        value: Value,
        example: &str,
    ) -> Option<Map<String, Value>> {
        match value {
            Value::Object(object) => Some(object),
            other => {
                let wrong = format!("expected an object, found {}", found(&other, true));
                self.problems.push(Problem::new(place, wrong).hint(format!("write {example}")));
                None
            }
        }
    }

    fn required_text(&mut self, place: &Place, object: &mut Map<String, Value>, key: &str) -> Option<String> {
        if object.get(key).is_none_or(Value::is_null) {
            self.missing(place.key(key), &format!("add \"{key}\": \"…\""));
            return None;
        }
        self.optional_text(place, object, key)
    }

    fn missing(&mut self, place: Place, hint: &str) {
        if !self.meant.contains(&place) {
            self.problems.push(Problem::new(place, "is missing").hint(hint));
        }
    }

    /// A text that may be absent or `null`, but not empty.
    pub(super) fn optional_text(
        &mut self,
        place: &Place,
        object: &mut Map<String, Value>,
        key: &str,
    ) -> Option<String> {
        let wrong = match object.remove(key) {
            None | Some(Value::Null) => return None,
            Some(Value::String(text)) if !text.trim().is_empty() => return Some(text),
            Some(other) => format!("expected a text, found {}", found(&other, false)),
        };
        self.problems.push(Problem::new(place.key(key), wrong).hint(format!("write \"{key}\": \"…\"")));
        None
    }

    pub(super) fn flag(&mut self, place: &Place, object: &mut Map<String, Value>, key: &str) -> bool {
        match object.remove(key) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => flag,
            Some(other) => {
                let wrong = format!("expected true or false, found {}", found(&other, false));
                self.problems
                    .push(Problem::new(place.key(key), wrong).hint("write true or false without quotes"));
                false
            }
        }
    }

    /// A list of texts that are parsed; where it is allowed, one alone.
    pub(super) fn texts<T: std::str::FromStr<Err: fmt::Display>>(
        &mut self,
        place: &Place,
        object: &mut Map<String, Value>,
        key: &str,
        one_alone: bool,
        example: &str,
    ) -> Vec<T> {
        let place = place.key(key);
        let items = match object.remove(key) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(text @ Value::String(_)) if one_alone => vec![text],
            Some(other) => {
                let wrong = format!("expected a list of texts, found {}", found(&other, false));
                self.problems.push(Problem::new(place, wrong).hint(format!("write {example}")));
                return Vec::new();
            }
        };
        let mut parsed = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let wrong = match item {
                Value::String(text) if text.trim().is_empty() => "is empty".to_owned(),
                Value::String(text) => match text.parse() {
                    Ok(item) => {
                        parsed.push(item);
                        continue;
                    }
                    Err(error) => one_line(&T::Err::to_string(&error)),
                },
                other => format!("expected a text, found {}", found(other, false)),
            };
            self.problems.push(Problem::new(place.index(index), wrong));
        }
        parsed
    }

    pub(super) fn unknown_keys(
        &mut self,
        place: &Place,
        object: &Map<String, Value>,
        known: &[&str],
        more: &[&str],
    ) {
        let all = known.iter().chain(more).copied();
        for key in object.keys().filter(|key| !all.clone().any(|known| known == *key)) {
            self.meant.extend(nearest(key, all.clone()).map(|near| place.key(near)));
            self.problems.push(Problem::unknown_key(place, key, all.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::contract::{Contract, Rule};

    fn parse(text: &str) -> Result<Config, ConfigProblems> {
        Config::parse(text, Path::new("conf"))
    }

    /// The files of `tests/ui/config`, by name.
    fn ui_files(prefix: &str) -> Vec<(String, PathBuf)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui/config");
        let mut files: Vec<(String, PathBuf)> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
            .filter(|(name, _)| name.starts_with(prefix))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn bad_files_tell_what_to_write() {
        let files = ui_files("bad-");
        assert!(files.len() >= 15);
        for (name, path) in files {
            let mut problems = Config::load(&path).expect_err(&name);
            problems.file = path.file_name().map(PathBuf::from);
            insta::assert_snapshot!(name, problems.to_string());
        }
    }

    #[test]
    fn the_parser_and_the_schema_agree() {
        let schema = super::super::schema::config_schema();
        let validator = super::super::spec::validator(&schema).unwrap();
        for (name, path) in ui_files("") {
            let text = std::fs::read_to_string(&path).unwrap();
            // What is no JSON, or has a key twice, no schema can judge.
            let Ok(value) = json::parse(&text) else { continue };
            assert_eq!(validator.is_valid(&value), Config::load(&path).is_ok(), "{name}");
        }
        for example in schema["examples"].as_array().unwrap() {
            assert!(validator.is_valid(example));
            parse(&example.to_string()).unwrap();
        }
    }

    #[test]
    fn good_files_load() {
        let files = ui_files("good-");
        assert!(files.len() >= 5);
        for (name, path) in files {
            Config::load(&path).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        }
    }

    #[test]
    fn paths_start_at_the_folder_of_the_file() {
        let config = parse(
            r#"{"name": "n", "source": {"config": {}}, "connector": {"path": "c.wasm", "sha256": null},
                "sandbox": {"mounts": ["in:/in"], "ca_file": "/etc/ca.pem", "memory": "1GiB", "handles": 7,
                            "allow_net": "https://a.example", "grace": null}}"#,
        )
        .unwrap();
        assert_eq!(config.connector.unwrap().path, Path::new("conf/c.wasm"));
        assert_eq!(config.sandbox.mounts[0].host, Path::new("conf/in"));
        assert_eq!(config.sandbox.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(config.sandbox.allow_net.len(), 1);
        assert_eq!((config.sandbox.limits.handles, config.sandbox.limits.grace), (Some(7), None));
    }

    #[test]
    fn the_old_name_of_source_is_accepted_with_a_warning() {
        let config = parse(r#"{"name": "n", "integration": {"name": "X", "config": {"A": 1}}}"#).unwrap();
        assert_eq!(config.source.config["A"], 1);
        assert_eq!(config.warnings, ["the key 'integration' is old: call it 'source'"]);
    }

    #[test]
    fn storage_aliases_mean_the_same_storage() {
        let config =
            parse(r#"{"name": "n", "source": {"config": {}}, "storage": {"name": "GOOGLE_BIGQUERY"}}"#);
        assert_eq!(config.unwrap().storage.unwrap().name, "GoogleBigQuery");
    }

    #[test]
    fn contracts_inherit_from_those_of_every_stream() {
        let config = parse(
            r#"{"name": "n", "source": {"config": {}}, "storage": {"name": "Sqlite", "contracts": {
                "*": {"column": "freeze", "table": null}, "orders": {"type": "drop-row"}, "odd": {}}}}"#,
        );
        let contracts = config.unwrap().storage.unwrap().contracts;
        let every = Contract { column: Rule::Freeze, ..Contract::default() };
        assert_eq!(contracts.of("anything"), every);
        assert_eq!(contracts.of("odd"), every);
        assert_eq!(contracts.of("orders"), Contract { data_type: Rule::DropRow, ..every });
    }

    #[test]
    fn the_data_mart_is_flag_then_id_then_name() {
        let config = parse(r#"{"name": "n", "source": {"config": {}}}"#).unwrap();
        assert_eq!(config.data_mart_id(None).unwrap(), "n");
        assert_eq!(config.data_mart_id(Some("flag")).unwrap(), "flag");
        let config = Config { datamart_id: Some("id".into()), ..config };
        assert_eq!(config.data_mart_id(None).unwrap(), "id");
        for bad in ["", " ", "a\nb", &"x".repeat(256)] {
            assert!(config.data_mart_id(Some(bad)).is_err());
        }
        assert!(config.data_mart_id(Some(&"x".repeat(255))).is_ok());
    }

    #[test]
    fn a_file_of_ten_megabytes_works() {
        let ids: Vec<String> = (0..900_000).map(|n| format!("\"{n:08}\"")).collect();
        let text = format!(r#"{{"name": "n", "source": {{"config": {{"Ids": [{}]}}}}}}"#, ids.join(","));
        assert!(text.len() > 9_000_000);
        let config = parse(&text).unwrap();
        assert_eq!(config.source.config["Ids"].as_array().unwrap().len(), 900_000);
    }

    #[test]
    fn files_that_cannot_be_read_say_why() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let files = [
            folder.path().join("missing.json"),
            folder.path().to_owned(),
            write("utf16.json", b"\xff\xfe{\0}\0"),
            write("latin1.json", b"{\n\"name\": \"\xe9\"}"),
        ];
        let told: Vec<String> = files
            .iter()
            .map(|path| Config::load(path).unwrap_err().problems.iter().map(ToString::to_string).collect())
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn debug_output_shows_no_parameter() {
        let config = parse(
            r#"{"name": "n", "source": {"config": {"T": "s3cret"}}, "storage": {"name": "x", "config": {"P": "s3cret"}}}"#,
        );
        assert!(!format!("{:?}", config.unwrap()).contains("s3cret"));
    }
}
