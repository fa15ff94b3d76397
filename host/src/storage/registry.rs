//! The storages there are: their names, their parameters, and how they are
//! opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value};

use super::discard::Discard;
use super::sqlite::{self, SqliteParams};
use super::{RunInfo, Storage, StorageError};

/// A storage's names.
struct Names {
    name: &'static str,
    /// How OWOX's backend writes it.
    alias: &'static str,
    built: Option<Built>,
}

/// A storage that this version writes to.
#[derive(Clone, Copy)]
enum Built {
    Sqlite,
    Discard,
}

const STORAGES: [Names; 8] = [
    Names { name: "Sqlite", alias: "SQLITE", built: Some(Built::Sqlite) },
    Names { name: "Discard", alias: "DISCARD", built: Some(Built::Discard) },
    Names { name: "LocalFiles", alias: "LOCAL_FILES", built: None },
    Names { name: "GoogleBigQuery", alias: "GOOGLE_BIGQUERY", built: None },
    Names { name: "AwsAthena", alias: "AWS_ATHENA", built: None },
    Names { name: "Snowflake", alias: "SNOWFLAKE", built: None },
    Names { name: "AwsRedshift", alias: "AWS_REDSHIFT", built: None },
    Names { name: "Databricks", alias: "DATABRICKS", built: None },
];

/// A file of rows and state beside each other. The default storage.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "PascalCase")]
#[expect(dead_code, reason = "its JSON Schema is what is used")]
struct SqliteParameters {
    /// The database file, such as `ow.db`. It is created where it is not there.
    /// A relative path starts at the folder of the configuration file.
    path: String,
    /// What the name of every table starts with, such as `ads_`.
    #[schemars(default)]
    table_prefix: String,
}

/// Takes rows and keeps nothing: for measuring a connector and for dry runs.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct DiscardParameters {}

/// The names of the storages that this version writes to.
pub fn names() -> impl Iterator<Item = &'static str> {
    STORAGES.iter().filter(|storage| storage.built.is_some()).map(|storage| storage.name)
}

/// The name of a storage, from its name or from how OWOX's backend writes it.
pub fn canonical_name(name: &str) -> Result<&'static str, StorageError> {
    find(name).map(|(name, _)| name)
}

fn find(name: &str) -> Result<(&'static str, Built), StorageError> {
    let config = |message| StorageError::Config { message, parameter: None };
    let known = names().collect::<Vec<_>>().join(", ");
    let Some(found) = STORAGES.iter().find(|storage| storage.name == name || storage.alias == name) else {
        let every = STORAGES.iter().flat_map(|storage| [storage.name, storage.alias]);
        let hint = nearest(name, every).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        return Err(config(format!("there is no storage `{name}`{hint} (there are {known})")));
    };
    let built = found.built.ok_or_else(|| {
        config(format!("this version cannot write to {} yet; use one of {known}", found.name))
    })?;
    Ok((found.name, built))
}

/// The JSON Schema of a storage's parameters.
pub fn parameters_schema(name: &str) -> Result<Value, StorageError> {
    Ok(find(name)?.1.schema())
}

/// What is wrong with a storage's parameters, everything at once: the parameter,
/// where one is at fault, and the message.
pub fn validate(name: &str, params: &Map<String, Value>) -> Vec<(Option<String>, String)> {
    match find(name) {
        Ok((name, built)) => problems(name, built, params),
        Err(error) => vec![(None, error.to_string())],
    }
}

/// Opens a storage for a run; answers what to call it too, such as
/// `Sqlite (ow.db)`. A relative path starts at `base_dir`.
pub fn open(
    name: &str,
    params: &Map<String, Value>,
    base_dir: &Path,
    run: &RunInfo,
) -> Result<(Box<dyn Storage>, String), StorageError> {
    let (name, built) = checked(name, params)?;
    match built {
        Built::Sqlite => {
            let storage = sqlite::open(&sqlite_params(params, base_dir), run)?;
            let description = format!("{name} ({})", text(params, "Path").unwrap_or_default());
            Ok((Box::new(storage), description))
        }
        Built::Discard => Ok((Box::new(Discard::default()), name.to_owned())),
    }
}

/// The state of a data mart, without a claim; creates and changes nothing.
pub fn read_state(
    name: &str,
    params: &Map<String, Value>,
    base_dir: &Path,
    data_mart_id: &str,
) -> Result<BTreeMap<String, String>, StorageError> {
    match checked(name, params)?.1 {
        Built::Sqlite => sqlite::read_state(&sqlite_params(params, base_dir), data_mart_id),
        Built::Discard => Ok(BTreeMap::new()),
    }
}

/// Fails with the first problem of the parameters.
fn checked(name: &str, params: &Map<String, Value>) -> Result<(&'static str, Built), StorageError> {
    let (name, built) = find(name)?;
    match problems(name, built, params).into_iter().next() {
        None => Ok((name, built)),
        Some((parameter, message)) => Err(StorageError::Config { message, parameter }),
    }
}

fn sqlite_params(params: &Map<String, Value>, base_dir: &Path) -> SqliteParams {
    let path = PathBuf::from(text(params, "Path").unwrap_or_default());
    SqliteParams { path: base_dir.join(path), table_prefix: text(params, "TablePrefix").unwrap_or_default() }
}

impl Built {
    fn schema(self) -> Value {
        match self {
            Self::Sqlite => schema_for!(SqliteParameters).to_value(),
            Self::Discard => schema_for!(DiscardParameters).to_value(),
        }
    }

    /// What is wrong with the text of one parameter.
    fn check(self, parameter: &str, value: &str) -> Option<String> {
        match (self, parameter) {
            (Self::Sqlite, "Path") if value.is_empty() => {
                Some("is empty; write a file, such as `ow.db`".to_owned())
            }
            (Self::Sqlite, "Path") if value.contains('\0') => Some("has a NUL character in it".to_owned()),
            (Self::Sqlite, "TablePrefix") => {
                sqlite::check_prefix(value).map(|reason| format!("{reason}; choose another one"))
            }
            _ => None,
        }
    }
}

/// Checks parameters against their JSON Schema, in the words of the user. Every
/// parameter of today's storages is text.
fn problems(storage: &str, built: Built, params: &Map<String, Value>) -> Vec<(Option<String>, String)> {
    let schema = built.schema();
    let known: Vec<_> =
        schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys).collect();
    let mut problems = Vec::new();
    for (name, value) in params {
        let problem = if !known.contains(&name) {
            let near = nearest(name, known.iter().map(|known| known.as_str()));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            Some(format!("storage {storage} has no parameter `{name}`{hint}"))
        } else if value.is_null() {
            // As if it were not there; `required` is checked below.
            None
        } else if let Some(text) = text(params, name) {
            built.check(name, &text).map(|problem| format!("`{name}` {problem}"))
        } else {
            Some(format!("`{name}` has to be text"))
        };
        problems.extend(problem.map(|problem| (Some(name.clone()), problem)));
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if params.get(name).is_none_or(Value::is_null) {
            problems.push((Some(name.to_owned()), format!("storage {storage} needs parameter `{name}`")));
        }
    }
    problems
}

/// A parameter as text; numbers are taken as they are written.
fn text(params: &Map<String, Value>, name: &str) -> Option<String> {
    match params.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The known name that was most likely meant.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let score = |known: &str| strsim::damerau_levenshtein(&name, &known.to_lowercase());
    let (score, near) = known.map(|known| (score(known), known)).min_by_key(|(score, _)| *score)?;
    (score <= 1 + name.chars().count() / 4).then_some(near)
}

#[cfg(test)]
mod tests;
