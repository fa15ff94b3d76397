//! The run configuration: what kind of run it is, what it overrides, and the
//! state that it starts from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::exposure;
use super::json;
use super::problem::{ConfigProblems, Place, Problem, clip, found, nearest};

/// What kind of run it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunType {
    /// What is new since the stored state.
    #[default]
    Incremental,
    /// A range that `data` names; the stored state stays as it is.
    ManualBackfill,
    /// Everything from an empty state; replaces the tables when it succeeds.
    FullRefresh,
    /// Whatever the connector makes of `data`.
    Custom,
}

impl RunType {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::Incremental, Self::ManualBackfill, Self::FullRefresh, Self::Custom];

    /// The name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incremental => "INCREMENTAL",
            Self::ManualBackfill => "MANUAL_BACKFILL",
            Self::FullRefresh => "FULL_REFRESH",
            Self::Custom => "CUSTOM",
        }
    }
}

impl fmt::Display for RunType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for RunType {
    type Err = String;

    /// The name, also in lower case and with dashes: `full-refresh`.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim().to_uppercase().replace('-', "_");
        if let Some(run_type) = Self::ALL.into_iter().find(|run_type| run_type.name() == name) {
            return Ok(run_type);
        }
        let names = Self::ALL.map(Self::name);
        Err(match nearest(&name, names) {
            Some(near) => format!("there is no run type '{}': did you mean {near}?", clip(text)),
            None => format!("there is no run type '{}': write one of {}", clip(text), names.join(", ")),
        })
    }
}

/// One `--set Name=value`, for the command line's parser.
pub fn parse_set(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("expected Name=value, such as StartDate=2024-01-01".to_owned()),
    }
}

/// A run configuration.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct RunConfig {
    /// What kind of run it is.
    pub run_type: RunType,
    /// The items `{"configField": …, "value": …}`; any JSON in a `CUSTOM` run.
    /// `null` if there is none.
    pub data: Value,
    /// The state to start from in place of the stored one.
    pub state: Option<Map<String, Value>>,
    /// The file, where it came from one.
    pub file: Option<PathBuf>,
    /// What `--set` says: texts that become values when the schema is known.
    pub(crate) set: BTreeMap<String, String>,
    /// Others than its owner can get at the file.
    pub(crate) exposed: bool,
}

/// Without the values of `data` and `state`, which may be secrets.
impl fmt::Debug for RunConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunConfig").field("run_type", &self.run_type).finish_non_exhaustive()
    }
}

impl RunConfig {
    /// Reads a run configuration file.
    pub fn load(path: &Path) -> Result<Self, ConfigProblems> {
        let (text, exposed) = json::read(path).map_err(|problem| ConfigProblems::one(Some(path), problem))?;
        match Self::parse(&text) {
            Ok(run_config) => Ok(Self { file: Some(path.to_owned()), exposed, ..run_config }),
            Err(problems) => Err(ConfigProblems { file: Some(path.to_owned()), ..problems }),
        }
    }

    /// Reads a run configuration from its text: `{type, data, state}`, all
    /// optional.
    pub fn parse(text: &str) -> Result<Self, ConfigProblems> {
        let value = json::parse(text).map_err(|problems| ConfigProblems { file: None, problems })?;
        let mut problems = Vec::new();
        let Value::Object(mut object) = value else {
            let wrong = format!("expected an object, found {}", found(&value, true));
            let problem = Problem::new("", wrong).hint("write { \"type\": \"INCREMENTAL\" }");
            return Err(ConfigProblems::one(None, problem));
        };
        const KEYS: [&str; 3] = ["type", "data", "state"];
        for key in object.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            problems.push(Problem::unknown_key(&Place::default(), key, KEYS));
        }
        let run_type = match object.remove("type") {
            None | Some(Value::Null) => Some(RunType::default()),
            // The command line is lenient, a file is written once.
            Some(Value::String(text)) => match text.parse::<RunType>() {
                Ok(run_type) if run_type.name() == text => Some(run_type),
                Ok(run_type) => {
                    let wrong = format!("there is no run type '{}'", clip(&text));
                    problems.push(Problem::new("type", wrong).hint(format!("write \"{run_type}\"")));
                    None
                }
                Err(error) => {
                    problems.push(Problem::new("type", error));
                    None
                }
            },
            Some(other) => {
                let wrong = format!("expected a text, found {}", found(&other, false));
                let names = RunType::ALL.map(RunType::name).join(", ");
                problems.push(Problem::new("type", wrong).hint(format!("write one of {names}")));
                None
            }
        };
        let data = object.remove("data").unwrap_or_default();
        if run_type.is_some_and(|run_type| run_type != RunType::Custom) {
            check_items(&data, &mut problems);
        }
        let state = match object.remove("state") {
            None | Some(Value::Null) => None,
            Some(Value::Object(state)) => Some(state),
            Some(other) => {
                let wrong = format!("expected an object, found {}", found(&other, true));
                problems.push(Problem::new("state", wrong).hint("write { \"key\": … }"));
                None
            }
        };
        ConfigProblems::check(None, problems)?;
        Ok(Self { run_type: run_type.unwrap_or_default(), data, state, ..Self::default() })
    }

    /// What to do about a file with secrets that others than its owner can get at.
    pub(crate) fn warning_of_exposure(&self) -> Option<String> {
        let file = self.file.as_deref().filter(|_| self.exposed)?;
        Some(exposure::warning(file, "secrets in clear"))
    }

    /// What the file says with the flags over it. `--set` adds an item or
    /// replaces the file's item of that name; without a file and a type it
    /// makes the run a `MANUAL_BACKFILL`.
    pub fn with_overrides(
        file: Option<Self>,
        run_type: Option<RunType>,
        set: &[(String, String)],
        state: Option<Map<String, Value>>,
    ) -> Result<Self, ConfigProblems> {
        let implied = match &file {
            Some(file) => file.run_type,
            None if set.is_empty() => RunType::Incremental,
            None => RunType::ManualBackfill,
        };
        let mut merged = file.unwrap_or_default();
        let from_custom = merged.run_type == RunType::Custom;
        merged.run_type = run_type.unwrap_or(implied);
        merged.state = state.or(merged.state);
        merged.set = set.iter().cloned().collect();
        let mut problems = Vec::new();
        if from_custom && merged.run_type != RunType::Custom {
            check_items(&merged.data, &mut problems);
        }
        if !set.is_empty() && !matches!(merged.data, Value::Null | Value::Array(_)) {
            let wrong = format!("expected a list that --set can add to, found {}", found(&merged.data, true));
            problems.push(Problem::new("data", wrong).hint("write the values into the file"));
        }
        ConfigProblems::check(merged.file.as_deref(), problems)?;
        Ok(merged)
    }

    /// The state that a run starts from, as JSON text by key: what this run
    /// configuration says, else the stored state for `INCREMENTAL` and `CUSTOM`
    /// runs, else nothing.
    #[must_use]
    pub fn start_state(&self, stored: BTreeMap<String, String>) -> BTreeMap<String, String> {
        match (&self.state, self.run_type) {
            (Some(state), _) => state.iter().map(|(key, value)| (key.clone(), value.to_string())).collect(),
            (None, RunType::Incremental | RunType::Custom) => stored,
            (None, RunType::ManualBackfill | RunType::FullRefresh) => BTreeMap::new(),
        }
    }

    /// The items of `data`: name, value and index. Checked when it was read.
    pub(crate) fn items(&self) -> impl Iterator<Item = (usize, &str, &Value)> {
        let items = self.data.as_array().map(Vec::as_slice).unwrap_or_default();
        items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| Some((index, item.get("configField")?.as_str()?, item.get("value")?)))
    }
}

/// One item of `data`.
pub(crate) fn item(name: &str, value: Value) -> Value {
    json!({"configField": name, "value": value})
}

fn check_items(data: &Value, problems: &mut Vec<Problem>) {
    const EXAMPLE: &str = "write [{ \"configField\": \"StartDate\", \"value\": \"2024-01-01\" }]";
    let items = match data {
        Value::Null => return,
        Value::Array(items) => items,
        other => {
            let wrong = format!("expected a list, found {}", found(other, true));
            problems.push(Problem::new("data", wrong).hint(EXAMPLE));
            return;
        }
    };
    let mut names = std::collections::BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let place = Place::of("data").index(index);
        let Value::Object(object) = item else {
            let wrong = format!("expected an object, found {}", found(item, true));
            problems.push(Problem::new(place, wrong).hint(EXAMPLE));
            continue;
        };
        const KEYS: [&str; 2] = ["configField", "value"];
        for key in object.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            problems.push(Problem::unknown_key(&place, key, KEYS));
        }
        match object.get("configField") {
            Some(Value::String(name)) if names.insert(name) => {}
            Some(Value::String(name)) => {
                let wrong = format!("'{}' stands in an item before", clip(name));
                problems.push(Problem::new(place.key("configField"), wrong).hint("keep one of them"));
            }
            Some(other) => {
                let wrong = format!("expected a text, found {}", found(other, false));
                problems.push(Problem::new(place.key("configField"), wrong).hint("name a parameter"));
            }
            None => {
                let problem = Problem::new(place.key("configField"), "is missing");
                problems.push(problem.hint("name the parameter that it overrides"));
            }
        }
        if object.get("value").is_none_or(Value::is_null) {
            problems
                .push(Problem::new(place.key("value"), "is missing").hint("write the value for this run"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[(&str, &str)]) -> Vec<(String, String)> {
        items.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn types_have_one_name_in_files_and_many_on_the_command_line() {
        for run_type in RunType::ALL {
            assert_eq!(run_type.to_string().parse(), Ok(run_type));
            assert_eq!(run_type.name().to_lowercase().replace('_', "-").parse(), Ok(run_type));
            assert_eq!(serde_json::to_value(run_type).unwrap(), run_type.name());
        }
        assert_eq!(
            "full-refesh".parse::<RunType>().unwrap_err(),
            "there is no run type 'full-refesh': did you mean FULL_REFRESH?"
        );
        assert!("x".parse::<RunType>().unwrap_err().contains("write one of INCREMENTAL, MANUAL_BACKFILL"));
    }

    #[test]
    fn everything_in_a_file_is_optional() {
        let empty = RunConfig::parse("{}").unwrap();
        assert_eq!((empty.run_type, empty.data, empty.state), (RunType::Incremental, Value::Null, None));
        let custom =
            RunConfig::parse(r#"{"type": "CUSTOM", "data": {"any": 1}, "state": {"k": 1}}"#).unwrap();
        assert_eq!((custom.run_type, custom.state.unwrap().len()), (RunType::Custom, 1));
    }

    #[test]
    fn wrong_files_are_told_in_full() {
        let texts = [
            r#"{"type": "full-refresh", "date": [], "state": []}"#,
            r#"{"type": "BACKFILL", "data": {}}"#,
            r#"{"data": [1, {"configField": "A"}, {"value": 1, "config_field": "B"},
                {"configField": 5, "value": null}, {"configField": "A", "value": 1}]}"#,
            "[]",
            "{\"type\": 5}",
        ];
        let all: Vec<String> =
            texts.iter().map(|text| RunConfig::parse(text).unwrap_err().to_string()).collect();
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn set_alone_makes_a_backfill() {
        let merged = |file: Option<&str>, run_type, items: &[(&str, &str)]| {
            let file = file.map(|text| RunConfig::parse(text).unwrap());
            RunConfig::with_overrides(file, run_type, &set(items), None).unwrap().run_type
        };
        assert_eq!(merged(None, None, &[]), RunType::Incremental);
        assert_eq!(merged(None, None, &[("A", "1")]), RunType::ManualBackfill);
        assert_eq!(merged(None, Some(RunType::Custom), &[("A", "1")]), RunType::Custom);
        assert_eq!(merged(Some("{}"), None, &[("A", "1")]), RunType::Incremental);
        let full = Some(r#"{"type": "FULL_REFRESH"}"#);
        assert_eq!(merged(full, None, &[]), RunType::FullRefresh);
        assert_eq!(merged(full, Some(RunType::Incremental), &[]), RunType::Incremental);
    }

    #[test]
    fn a_custom_file_made_another_type_is_checked_again() {
        let file = RunConfig::parse(r#"{"type": "CUSTOM", "data": {"any": 1}}"#).unwrap();
        assert!(
            RunConfig::with_overrides(Some(file.clone()), Some(RunType::Incremental), &[], None).is_err()
        );
        assert!(RunConfig::with_overrides(Some(file), None, &set(&[("A", "1")]), None).is_err());
    }

    #[test]
    fn the_state_to_start_from_follows_the_type() {
        let stored = BTreeMap::from([("k".to_owned(), "1".to_owned())]);
        for run_type in RunType::ALL {
            let keeps = matches!(run_type, RunType::Incremental | RunType::Custom);
            let run_config = RunConfig { run_type, ..RunConfig::default() };
            assert_eq!(run_config.start_state(stored.clone()).is_empty(), !keeps, "{run_type}");
            let given =
                RunConfig { state: Some(Map::from_iter([("k".into(), json!({"a": 2}))])), ..run_config };
            assert_eq!(given.start_state(stored.clone()).get("k").unwrap(), "{\"a\":2}");
        }
    }

    #[test]
    fn set_needs_a_name_and_keeps_its_value() {
        assert_eq!(parse_set("A=b=c "), Ok(("A".into(), "b=c ".into())));
        assert_eq!(parse_set("A="), Ok(("A".into(), String::new())));
        assert!(parse_set("A").is_err() && parse_set("=b").is_err());
    }
}
