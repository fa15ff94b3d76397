//! What the registry needs of each storage, and how its parameters are read.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::registry::nearest;
use super::{RunInfo, Storage, StorageError};

/// Parameters of a storage by their name, as the configuration has them.
pub type Params = Map<String, Value>;

/// A problem of the parameters: the one at fault, where one is, and the message.
pub type Problem = (Option<String>, String);

/// One storage. Its parameters are described by JSON Schema, with `writeOnly` on
/// those that are secret.
pub(crate) trait Driver: Sync {
    /// Its name, as it stands in `storage.name`.
    fn name(&self) -> &'static str;

    /// How OWOX's backend writes its name.
    fn alias(&self) -> &'static str;

    /// The JSON Schema of its parameters: an object of text, integers, numbers
    /// and booleans.
    fn schema(&self) -> Value;

    /// What the schema cannot say: the parameters have their types already.
    fn check(&self, _: &Params) -> Vec<Problem> {
        Vec::new()
    }

    /// Opens it for a run, with a claim on the data mart; answers what to call it
    /// too, such as `Sqlite (ow.db)`. Relative paths start at `base_dir`.
    fn open(
        &self,
        params: Params,
        base_dir: &Path,
        run: &RunInfo,
    ) -> Result<(Box<dyn Storage>, String), StorageError>;

    /// The state of a data mart, without a claim; creates and changes nothing.
    fn read_state(
        &self,
        params: Params,
        base_dir: &Path,
        data_mart_id: &str,
    ) -> Result<BTreeMap<String, String>, StorageError>;

    /// Whether it can be reached with these parameters and written to; one
    /// sentence of what was found. Creates and changes nothing that a reader sees.
    fn reach(&self, params: Params, base_dir: &Path) -> Result<String, StorageError>;
}

/// Parameters as the storage's own type. They have been checked against the
/// schema of the same type.
pub(crate) fn parse<T: DeserializeOwned>(params: Params) -> Result<T, StorageError> {
    T::deserialize(Value::Object(params))
        .map_err(|error| StorageError::Config { message: error.to_string(), parameter: None })
}

/// The parameters with the types of the schema, or everything that is wrong
/// with them. A number may stand as text and text as a number; null is the same
/// as nothing.
pub(crate) fn checked(driver: &dyn Driver, params: &Params) -> Result<Params, Vec<Problem>> {
    let schema = driver.schema();
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let (mut typed, mut problems) = (Map::new(), Vec::new());
    for (name, value) in params {
        let taken = match properties.get(name) {
            None => {
                let near = nearest(name, properties.keys().map(String::as_str));
                let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                Err(format!("storage {} has no parameter `{name}`{hint}", driver.name()))
            }
            // As if it were not there; `required` is checked below.
            Some(_) if value.is_null() => continue,
            Some(property) => take(property, value).map_err(|what| format!("`{name}` has to be {what}")),
        };
        match taken {
            Ok(value) => drop(typed.insert(name.clone(), value)),
            Err(message) => problems.push((Some(name.clone()), message)),
        }
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if params.get(name).is_none_or(Value::is_null) {
            problems
                .push((Some(name.to_owned()), format!("storage {} needs parameter `{name}`", driver.name())));
        }
    }
    let more = driver.check(&typed);
    let is_new = |(name, _): &Problem| name.is_none() || problems.iter().all(|(known, _)| known != name);
    let more: Vec<_> = more.into_iter().filter(is_new).collect();
    problems.extend(more);
    if problems.is_empty() { Ok(typed) } else { Err(problems) }
}

/// A value in the type of its schema; what it has to be otherwise.
fn take(property: &Value, value: &Value) -> Result<Value, String> {
    let is = |wanted: &str| match property.get("type") {
        Some(Value::String(ty)) => ty == wanted,
        Some(Value::Array(types)) => types.iter().any(|ty| ty == wanted),
        _ => false,
    };
    let choices = property.get("enum").and_then(Value::as_array);
    if let Some(choices) = choices {
        let given = value.as_str().unwrap_or_default();
        let found = choices
            .iter()
            .find(|choice| choice.as_str().is_some_and(|choice| choice.eq_ignore_ascii_case(given)));
        let names = choices.iter().filter_map(Value::as_str).map(|choice| format!("`{choice}`"));
        return found.cloned().ok_or_else(|| format!("one of {}", names.collect::<Vec<_>>().join(", ")));
    }
    match value {
        Value::String(_) if is("string") => Ok(value.clone()),
        Value::Number(number) if is("string") => Ok(Value::String(number.to_string())),
        Value::Number(number) if is("integer") && (number.is_u64() || number.is_i64()) => Ok(value.clone()),
        Value::Number(_) if is("number") => Ok(value.clone()),
        Value::Bool(_) if is("boolean") => Ok(value.clone()),
        Value::String(text) => {
            // Variables of the environment and files give text.
            let parsed = serde_json::from_str(text.trim()).ok().filter(|parsed: &Value| !parsed.is_string());
            parsed.map_or_else(|| Err(what(property)), |parsed| take(property, &parsed))
        }
        _ => Err(what(property)),
    }
}

fn what(property: &Value) -> String {
    let ty = match property.get("type") {
        Some(Value::Array(types)) => types.first().and_then(Value::as_str),
        ty => ty.and_then(Value::as_str),
    };
    match ty {
        Some("string") => "text",
        Some("integer") => "a whole number",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        _ => "something else",
    }
    .to_owned()
}
