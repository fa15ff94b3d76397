//! The storages there are: their names, their parameters, and how they are
//! opened.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::driver::{self, Driver, Params, Problem};
use super::{RunInfo, Storage, StorageError};

/// The storages of this build.
const DRIVERS: &[&dyn Driver] = &[
    &super::sqlite::Sqlite,
    #[cfg(feature = "local-files")]
    &super::local_files::LocalFiles,
    #[cfg(feature = "postgres")]
    &super::postgres::Postgres,
    #[cfg(feature = "bigquery")]
    &super::bigquery::BigQuery,
    #[cfg(feature = "athena")]
    &super::athena::Athena,
    &super::discard::DiscardDriver,
];

/// A storage that this build does not have.
struct Absent {
    name: &'static str,
    alias: &'static str,
    /// The cargo feature that would bring it.
    feature: Option<&'static str>,
}

const ABSENT: &[Absent] = &[
    #[cfg(not(feature = "local-files"))]
    Absent { name: "LocalFiles", alias: "LOCAL_FILES", feature: Some("local-files") },
    #[cfg(not(feature = "postgres"))]
    Absent { name: "Postgres", alias: "POSTGRES", feature: Some("postgres") },
    #[cfg(not(feature = "bigquery"))]
    Absent { name: "GoogleBigQuery", alias: "GOOGLE_BIGQUERY", feature: Some("bigquery") },
    #[cfg(not(feature = "athena"))]
    Absent { name: "AwsAthena", alias: "AWS_ATHENA", feature: Some("athena") },
    Absent { name: "Snowflake", alias: "SNOWFLAKE", feature: None },
    Absent { name: "AwsRedshift", alias: "AWS_REDSHIFT", feature: None },
    Absent { name: "Databricks", alias: "DATABRICKS", feature: None },
];

/// The names of the storages that this build writes to.
pub fn names() -> impl Iterator<Item = &'static str> {
    DRIVERS.iter().map(|driver| driver.name())
}

/// The name of a storage, from its name or from how OWOX's backend writes it.
pub fn canonical_name(name: &str) -> Result<&'static str, StorageError> {
    find(name).map(Driver::name)
}

fn find(name: &str) -> Result<&'static dyn Driver, StorageError> {
    if let Some(driver) = DRIVERS.iter().find(|driver| driver.name() == name || driver.alias() == name) {
        return Ok(*driver);
    }
    let known = names().collect::<Vec<_>>().join(", ");
    let message = match ABSENT.iter().find(|absent| absent.name == name || absent.alias == name) {
        Some(Absent { name, feature: Some(feature), .. }) => {
            format!("this ow-host was built without {name} (cargo feature `{feature}`); use one of {known}")
        }
        Some(Absent { name, .. }) => format!("this version cannot write to {name} yet; use one of {known}"),
        None => {
            let every = DRIVERS.iter().flat_map(|driver| [driver.name(), driver.alias()]);
            let every = every.chain(ABSENT.iter().flat_map(|absent| [absent.name, absent.alias]));
            let hint = nearest(name, every).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            format!("there is no storage `{name}`{hint} (there are {known})")
        }
    };
    Err(StorageError::Config { message, parameter: None })
}

/// A storage as it is listed.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Listed {
    /// What stands in `storage.name`.
    pub name: &'static str,
    /// How OWOX's backend writes it, which is taken too.
    pub alias: &'static str,
    /// What it is.
    pub description: String,
    /// The JSON Schema of its parameters.
    pub parameters: Value,
}

/// The storages that this build writes to.
pub fn list() -> Vec<Listed> {
    let listed = |driver: &&dyn Driver| {
        let parameters = schema(*driver);
        let description = parameters.get("description").and_then(Value::as_str).unwrap_or_default();
        Listed { name: driver.name(), alias: driver.alias(), description: description.to_owned(), parameters }
    };
    DRIVERS.iter().map(listed).collect()
}

/// The JSON Schema of a storage's parameters.
pub fn parameters_schema(name: &str) -> Result<Value, StorageError> {
    Ok(schema(find(name)?))
}

/// The schema of a storage's parameters under the storage's name, whatever the
/// type is called in the code.
fn schema(driver: &dyn Driver) -> Value {
    let mut schema = driver.schema();
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("title".to_owned(), driver.name().into());
    }
    schema
}

/// What is wrong with a storage's parameters, everything at once.
pub fn validate(name: &str, params: &Params) -> Vec<Problem> {
    match find(name) {
        Ok(driver) => driver::checked(driver, params).err().unwrap_or_default(),
        Err(error) => vec![(None, error.to_string())],
    }
}

/// Opens a storage for a run; answers what to call it too, such as
/// `Sqlite (ow.db)`. A relative path starts at `base_dir`.
pub fn open(
    name: &str,
    params: &Params,
    base_dir: &Path,
    run: &RunInfo,
) -> Result<(Box<dyn Storage>, String), StorageError> {
    let (driver, params) = checked(name, params)?;
    driver.open(params, base_dir, run)
}

/// The state of a data mart, without a claim; creates and changes nothing.
pub fn read_state(
    name: &str,
    params: &Params,
    base_dir: &Path,
    data_mart_id: &str,
) -> Result<BTreeMap<String, String>, StorageError> {
    let (driver, params) = checked(name, params)?;
    driver.read_state(params, base_dir, data_mart_id)
}

/// Whether a storage can be reached and written to; one sentence of what was
/// found.
pub fn reach(name: &str, params: &Params, base_dir: &Path) -> Result<String, StorageError> {
    let (driver, params) = checked(name, params)?;
    driver.reach(params, base_dir)
}

/// Fails with the first problem of the parameters.
fn checked(name: &str, params: &Params) -> Result<(&'static dyn Driver, Params), StorageError> {
    let driver = find(name)?;
    driver::checked(driver, params).map(|params| (driver, params)).map_err(|problems| {
        let (parameter, message) = problems.into_iter().next().unwrap_or_default();
        StorageError::Config { message, parameter }
    })
}

/// The known name that was most likely meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let score = |known: &str| strsim::damerau_levenshtein(&name, &known.to_lowercase());
    let (score, near) = known.map(|known| (score(known), known)).min_by_key(|(score, _)| *score)?;
    (score <= 1 + name.chars().count() / 4).then_some(near)
}

#[cfg(test)]
mod tests;
