//! From what the files say to what the guest sees: values looked up, overrides
//! of the run applied, defaults filled in, validated, secrets taken out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use zeroize::{Zeroize as _, Zeroizing};

use super::exposure;
use super::file::Config;
use super::problem::{ConfigProblems, Place, Problem, clip, list, nearest};
use super::run_config::{RunConfig, RunType, item};
use super::secret::Secrets;
use super::spec::{ConnectorSpec, MAX_STEPS};
use super::value::{self, Reader};
use super::walk::{self, Filler};
use super::wiped::{Wipe as _, Wiped};
use super::words::{MISSING, MOST_ERRORS, Places, Words, parameter_name};

/// The storage of a configuration that names none.
pub const DEFAULT_STORAGE: &str = "Sqlite";

/// OWOX's parameters that every connector of it takes and that have no meaning
/// where a connector does not declare them. `Fields`, `StartDate` and `EndDate`
/// are not among them: they choose what is loaded, and leaving them out would
/// load something else than was meant.
pub const GENERIC_PARAMETERS: &[&str] = &[
    "CleanUpToKeepWindow",
    "CreateEmptyTables",
    "InitialRetryDelay",
    "LastRequestedDate",
    "MaxFetchRetries",
    "ReimportLookbackWindow",
];

/// Steps of validation that each value of a configuration may cost.
const STEPS_PER_VALUE: usize = 200;

/// What a run hands to its guest.
#[derive(Debug)]
#[non_exhaustive]
pub struct Resolved {
    /// `OW_CONFIG`.
    pub ow_config: String,
    /// The run configuration, its values converted and secrets replaced.
    pub ow_run_config_base: RunConfig,
    /// The secrets that the placeholders stand for, and everything to redact.
    pub secrets: Secrets,
    /// What was accepted but should be written otherwise, one line each.
    pub warnings: Vec<String>,
}

impl Resolved {
    /// `OW_RUN_CONFIG` with the state that the run starts from, as JSON text by
    /// key; [`RunConfig::start_state`] tells it. In a preview it says how many rows
    /// are wanted.
    #[must_use]
    pub fn ow_run_config(&self, state: &BTreeMap<String, String>, preview_rows: Option<u32>) -> String {
        let state: BTreeMap<&str, Box<RawValue>> = state
            .iter()
            .filter_map(|(key, text)| {
                let value = RawValue::from_string(text.clone());
                let value = value.or_else(|_| serde_json::value::to_raw_value(text));
                Some((key.as_str(), value.ok()?))
            })
            .collect();
        #[derive(serde::Serialize)]
        struct Guest<'a> {
            r#type: RunType,
            data: &'a Value,
            state: BTreeMap<&'a str, Box<RawValue>>,
            #[serde(rename = "previewRows", skip_serializing_if = "Option::is_none")]
            preview_rows: Option<u32>,
        }
        let base = &self.ow_run_config_base;
        let guest = Guest { r#type: base.run_type, data: &base.data, state, preview_rows };
        // Neither numbers nor keys of it can fail to be written.
        serde_json::to_string(&guest).unwrap_or_default()
    }
}

/// Makes what the guest sees of a configuration, a run configuration and the
/// connector's spec. `env` looks up environment variables, `revealed` are the
/// secrets that the operator lets the guest see.
///
/// The spec must have passed [`ConnectorSpec::check`].
pub fn resolve(
    config: &Config,
    run_config: &RunConfig,
    spec: &ConnectorSpec,
    env: &dyn Fn(&str) -> Option<String>,
    revealed: &[String],
) -> Result<Resolved, ConfigProblems> {
    let mut secrets = Secrets::new();
    let mut reader = Reader::new(env, &config.base_dir, &mut secrets);
    let parameters = reader.parameters(&config.source.config);
    let Reader { external, failed, exposed, problems: unreadable, .. } = reader;
    let places = Places { section: config.source.place.key("config"), overridden: BTreeMap::new() };
    let mut resolver = Resolver {
        spec,
        places,
        value: Value::Object(parameters).into(),
        texts: external.clone(),
        external,
        failed,
        exposed,
        problems: Vec::new(),
        warnings: config.warnings.clone(),
    };
    for (pointer, problem) in unreadable {
        resolver.report(&pointer, problem);
    }
    resolver.rename();
    resolver.override_with(run_config);
    resolver.fill();
    let marked = walk::secrets(&spec.config_schema, &resolver.value);
    resolver.validate(&marked);
    resolver.warn_of_blanks();
    resolver.warn_of_exposure(config, run_config, &marked.texts);
    resolver.hide(&marked.texts, revealed, &mut secrets);
    ConfigProblems::check(config.file.as_deref(), resolver.problems)?;
    let base = guest_run_config(run_config, &resolver.value, spec);
    Ok(Resolved {
        ow_config: guest_config(config, spec, &resolver.value),
        ow_run_config_base: base,
        secrets,
        warnings: resolver.warnings,
    })
}

/// A storage's parameters, and what should be written otherwise, one line each.
pub type StorageParameters = (Wiped<Map<String, Value>>, Vec<String>);

/// The storage's parameters with their values looked up, and what should be
/// written otherwise. What came from a variable or a file, and what has the name of
/// a credential, is redacted from now on.
pub fn storage_parameters(
    config: &Config,
    env: &dyn Fn(&str) -> Option<String>,
    secrets: &mut Secrets,
) -> Result<StorageParameters, ConfigProblems> {
    let Some(storage) = &config.storage else { return Ok(Default::default()) };
    let mut reader = Reader::new(env, &config.base_dir, secrets);
    let mut parameters = reader.parameters(&storage.config);
    let Reader { problems, exposed, external, .. } = reader;
    let mut warnings = Vec::new();
    for (name, value) in &parameters {
        let Some(text) = value.as_str().filter(|text| is_credential(name, text)) else { continue };
        hide_credential(text, secrets);
        let at = value::step("", name);
        if let Some(file) = exposed.get(&at) {
            warnings.push(exposure::warning(file, &format!("the storage's '{}'", clip(name))));
        } else if !external.contains(&at) {
            warnings.extend(config.warning_of_exposure());
        }
    }
    warnings.dedup();
    parameters.retain(|_, value| !value.is_null());
    let places = Places { section: Place::of("storage").key("config"), overridden: BTreeMap::new() };
    let mut value = Wiped::from(Value::Object(parameters));
    let problems = problems
        .into_iter()
        .map(|(at, problem)| Problem { place: places.place(&value, &at).to_string(), ..problem });
    ConfigProblems::check(config.file.as_deref(), problems.collect())?;
    match std::mem::take(&mut *value) {
        Value::Object(parameters) => Ok((parameters.into(), warnings)),
        _ => Ok((Map::new().into(), warnings)),
    }
}

/// Whether a storage's parameter is one that nobody else should know.
fn is_credential(name: &str, text: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["key", "secret", "token", "password", "credential", "serviceaccount"];
    words.iter().any(|word| name.contains(word)) || password_of(text).is_some()
}

/// Hides a credential, and of a URL the password by itself.
fn hide_credential(text: &str, secrets: &mut Secrets) {
    secrets.hide(text);
    if let Some(password) = password_of(text) {
        secrets.hide(&password);
    }
}

/// The password in a URL such as `postgresql://user:password@host/db`.
fn password_of(text: &str) -> Option<Zeroizing<String>> {
    let url = url::Url::parse(text).ok()?;
    let password = percent_encoding::percent_decode_str(url.password()?).decode_utf8().ok()?;
    Some(Zeroizing::new(password.into_owned()))
}

/// The parameters on their way.
struct Resolver<'a> {
    spec: &'a ConnectorSpec,
    places: Places,
    value: Wiped<Value>,
    /// JSON Pointers of texts of variables, files and flags.
    texts: BTreeSet<String>,
    /// JSON Pointers of texts of variables and files: never shown.
    external: BTreeSet<String>,
    /// JSON Pointers of values that could not be had or are misspelt.
    failed: BTreeSet<String>,
    /// Files that others than their owner can get at, by JSON Pointer.
    exposed: BTreeMap<String, PathBuf>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Resolver<'_> {
    fn report(&mut self, pointer: &str, problem: Problem) {
        let place = self.places.place(&self.value, pointer).to_string();
        let parameter = Some(parameter_name(&self.value, pointer));
        self.problems.push(Problem { place, parameter, ..problem });
    }

    /// OWOX ignores every character of a parameter's name that is no letter
    /// and no digit, such as the `*` of a required one.
    fn rename(&mut self) {
        let known = walk::parameters(&self.spec.config_schema);
        let is_known = |name: &str| known.iter().any(|(known, _)| *known == name);
        let Value::Object(parameters) = &mut *self.value else { return };
        let names: Vec<String> = parameters.keys().filter(|name| !is_known(name)).cloned().collect();
        for name in names {
            let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            if plain != name && is_known(&plain) && !parameters.contains_key(&plain) {
                self.warnings
                    .push(format!("{}: taken for '{plain}', write it so", self.places.section.key(&name)));
                let (old, new) = (value::step("", &name), value::step("", &plain));
                for set in [&mut self.texts, &mut self.external, &mut self.failed] {
                    *set = set.iter().map(|at| moved(at, &old, &new)).collect();
                }
                let exposed = std::mem::take(&mut self.exposed).into_iter();
                self.exposed = exposed.map(|(at, file)| (moved(&at, &old, &new), file)).collect();
                if let Some(value) = parameters.remove(&name) {
                    parameters.insert(plain, value);
                }
            }
        }
    }

    /// Items of the run configuration take the place of the file's values.
    fn override_with(&mut self, run_config: &RunConfig) {
        if run_config.run_type == RunType::Custom {
            return;
        }
        let items = run_config.items().filter(|(_, name, _)| !run_config.set.contains_key(*name));
        let items: Vec<(String, &str, Value, bool)> = items
            .map(|(i, name, value)| (format!("run configuration data[{i}]"), name, value.clone(), false))
            .chain(run_config.set.iter().map(|(name, text)| {
                (format!("--set {}", clip(name)), name.as_str(), Value::String(text.clone()), true)
            }))
            .collect();
        let root = &self.spec.config_schema;
        let parameters = walk::parameters(root);
        let allowed: Vec<&str> = parameters
            .iter()
            .filter(|(_, schema)| walk::flagged(root, schema, "x-backfill"))
            .map(|(name, _)| *name)
            .collect();
        for (place, name, value, is_text) in items {
            let known = parameters.iter().map(|(name, _)| *name);
            if !known.clone().any(|known| known == name) {
                let problem = Problem::new(place, format!("there is no parameter '{}'", clip(name)));
                self.problems.push(match nearest(name, known) {
                    Some(near) => problem.hint(format!("did you mean '{}'?", clip(near))),
                    None => problem.hint(format!("a run may override {}", list(allowed.iter().copied()))),
                });
            } else if !allowed.contains(&name) {
                let wrong = format!("a run may not override '{}'", clip(name));
                let hint = match allowed.is_empty() {
                    true => "the connector lets a run override none of its parameters".to_owned(),
                    false => format!("it may override {}", list(allowed.iter().copied())),
                };
                self.problems.push(Problem::new(place, wrong).hint(hint).parameter(name));
            } else if let Value::Object(parameters) = &mut *self.value {
                if let Some(mut old) = parameters.insert(name.to_owned(), value) {
                    old.wipe();
                }
                let at = value::step("", name);
                let below = format!("{at}/");
                for set in [&mut self.texts, &mut self.external, &mut self.failed] {
                    set.retain(|other| *other != at && !other.starts_with(&below));
                }
                self.exposed.retain(|other, _| *other != at && !other.starts_with(&below));
                if is_text {
                    self.texts.insert(at);
                }
                self.places.overridden.insert(name.to_owned(), place);
            }
        }
    }

    fn fill(&mut self) {
        let root = &self.spec.config_schema;
        let mut filler = Filler::new(root, &self.texts);
        filler.fill(&[root], &mut self.value, "", 0);
        let Filler { unknown, endless, .. } = filler;
        if endless {
            let wrong = "there is no end of the defaults in the connector's schema";
            self.problems.push(Problem::new(&self.places.section, wrong));
            *self.value = Value::Object(Map::new());
        }
        for (at, key, known) in unknown {
            if at.is_empty() && GENERIC_PARAMETERS.contains(&key.as_str()) {
                let place = self.places.section.key(&key);
                self.warnings.push(format!("{place}: the connector has no such parameter, it is left out"));
                continue;
            }
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            if let Some(near) = nearest(&key, known.iter().copied()) {
                self.failed.insert(value::step(&at, near));
            }
            let problem = self.words(&BTreeSet::new()).unknown(&at, &key, &known);
            self.problems.push(problem);
        }
    }

    fn words<'b>(&'b self, hidden: &'b BTreeSet<String>) -> Words<'b> {
        Words { schema: &self.spec.config_schema, value: &self.value, hidden, places: &self.places }
    }

    fn validate(&mut self, marked: &walk::Marked) {
        let root = &self.spec.config_schema;
        // A large configuration may take longer, in proportion.
        let mut steps = MAX_STEPS + STEPS_PER_VALUE * walk::count(&self.value);
        if !walk::affordable(root, root, Some(&self.value), &mut steps) {
            let wrong = "the connector's schema takes too long to check against this configuration";
            self.problems.push(Problem::new(&self.places.section, wrong));
            return;
        }
        let validator = match self.spec.validator() {
            Ok(validator) => validator,
            Err(error) => {
                let wrong = format!("the connector's schema cannot be used: {error}");
                self.problems.push(Problem::new(&self.places.section, wrong));
                return;
            }
        };
        let hidden: BTreeSet<String> =
            marked.texts.iter().chain(&marked.others).chain(&self.external).cloned().collect();
        let mut problems = Vec::new();
        for error in validator.iter_errors(&self.value).take(MOST_ERRORS) {
            self.words(&hidden).tell(&error, &mut problems);
        }
        for at in &marked.others {
            let place = self.places.place(&self.value, at);
            let problem = Problem::new(place, "a secret must be a text").hint("put it in quotes");
            if !problems.iter().any(|other| other.place == problem.place) {
                problems.push(problem.parameter(parameter_name(&self.value, at)));
            }
        }
        // A value that could not be had or is misspelt is not missing as well.
        let failed: BTreeSet<String> =
            self.failed.iter().map(|at| self.places.place(&self.value, at).to_string()).collect();
        for problem in problems {
            let known = problem.message == MISSING && failed.contains(&problem.place);
            if !known && !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
    }

    /// OWOX trims texts. We keep them as they are, and say so.
    fn warn_of_blanks(&mut self) {
        let Value::Object(parameters) = &*self.value else { return };
        for (name, value) in parameters {
            let padded = |text: &str| text.trim() != text && !text.trim().is_empty();
            if value.as_str().is_some_and(padded) {
                let place = self.places.place(&self.value, &value::step("", name));
                self.warnings.push(format!("{place}: starts or ends with white space, which is kept"));
            }
        }
    }

    /// Files with secrets should be their owner's alone.
    fn warn_of_exposure(&mut self, config: &Config, run_config: &RunConfig, texts: &[String]) {
        for (at, file) in &self.exposed {
            if texts.contains(at) {
                let name = clip(&parameter_name(&self.value, at));
                self.warnings.push(exposure::warning(file, &format!("the secret '{name}'")));
            }
        }
        let overridden = |at: &str| {
            let is_below = |name: &&String| {
                at == value::step("", name) || at.starts_with(&value::step(&value::step("", name), ""))
            };
            self.places.overridden.keys().find(is_below)
        };
        let (mut in_config, mut in_run_config) = (false, false);
        for at in texts {
            match overridden(at) {
                None => in_config |= !self.external.contains(at),
                Some(name) => in_run_config |= !run_config.set.contains_key(name),
            }
        }
        self.warnings.extend(config.warning_of_exposure().filter(|_| in_config));
        self.warnings.extend(run_config.warning_of_exposure().filter(|_| in_run_config));
    }

    /// Placeholders for all secrets but those that are asked for and granted.
    fn hide(&mut self, texts: &[String], revealed: &[String], secrets: &mut Secrets) {
        let asked = &self.spec.plain_secrets;
        for name in revealed.iter().filter(|name| !asked.contains(name)) {
            let wrong = format!("the connector does not ask to see the secret '{}'", clip(name));
            let hint = match asked.is_empty() {
                true => "remove it: placeholders do for this connector".to_owned(),
                false => format!("it asks for {}", list(asked.iter().map(String::as_str))),
            };
            self.problems.push(Problem::new("reveal secrets", wrong).hint(hint));
        }
        for at in texts {
            let name = parameter_name(&self.value, at);
            let (place, asks) = (self.places.place(&self.value, at), asked.contains(&name));
            let Some(Value::String(text)) = self.value.pointer_mut(at) else { continue };
            if asks && revealed.contains(&name) {
                secrets.hide(text);
            } else if asks {
                secrets.hide(text);
                let wrong = "the connector has to see the value of this secret, which is not granted";
                let hint =
                    format!("if you trust it with the value, grant it: --reveal-secret {}", clip(&name));
                self.problems.push(Problem::new(place, wrong).hint(hint).parameter(name).denied());
            } else {
                let placeholder = secrets.add(&name, text);
                text.zeroize();
                *text = placeholder;
            }
        }
    }
}

fn moved(at: &str, old: &str, new: &str) -> String {
    match at.strip_prefix(old) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{new}{rest}"),
        _ => at.to_owned(),
    }
}

fn guest_config(config: &Config, spec: &ConnectorSpec, parameters: &Value) -> String {
    let parameters: Map<String, Value> = parameters
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), json!({ "value": value })))
        .collect();
    json!({
        "name": config.name,
        "source": {"name": config.source.name.as_ref().unwrap_or(&spec.name), "config": parameters},
        "storage": {"name": config.storage.as_ref().map_or(DEFAULT_STORAGE, |storage| &storage.name)},
    })
    .to_string()
}

/// The run configuration as the guest sees it: values are those that were
/// validated, so that secrets are placeholders here too.
fn guest_run_config(run_config: &RunConfig, parameters: &Value, spec: &ConnectorSpec) -> RunConfig {
    let mut guest = run_config.clone();
    guest.set = BTreeMap::new();
    let set = &run_config.set;
    if run_config.run_type != RunType::Custom {
        let names = run_config.items().map(|(_, name, _)| name).filter(|name| !set.contains_key(*name));
        let names = names.chain(set.keys().map(String::as_str));
        let items = names.filter_map(|name| Some(item(name, parameters.get(name)?.clone())));
        guest.data = items.collect();
        return guest;
    }
    let mut items = match std::mem::take(&mut guest.data) {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        other => {
            guest.data = other;
            return guest;
        }
    };
    items.retain(|item| {
        !item.get("configField").and_then(Value::as_str).is_some_and(|name| set.contains_key(name))
    });
    for (name, text) in set {
        let schemas = walk::at(&spec.config_schema, parameters, &value::step("", name));
        items.push(item(name, walk::typed(&spec.config_schema, &schemas, text)));
    }
    guest.data = Value::Array(items);
    guest
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Failure, FailureClass};

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "AuthType": {"$ref": "#/$defs/Auth"},
                "Country": {"enum": ["AT", "CH", "DE"], "default": "CH"},
                "Language": {"type": "string", "pattern": "^[A-Z]{2}$", "description": "Two capital letters, such as EN. Of ISO 639."},
                "StartDate": {"type": "string", "format": "date", "x-backfill": true},
                "EndDate": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "x-backfill": true},
                "Limit": {"type": "integer", "minimum": 1, "x-backfill": true},
                "Deleted": {"type": "boolean", "default": false},
                "Ids": {"type": "array", "items": {"type": "string"}},
                "Tokens": {"type": "array", "items": {"type": "string", "writeOnly": true}},
                "Page": {"type": "object", "properties": {"Size": {"type": "integer", "default": 100}, "From": {"type": "integer"}}},
                "Extra": {"type": "object", "additionalProperties": true},
                "Pin": {"type": "string", "writeOnly": true, "pattern": "^[0-9]+$", "x-backfill": true},
                "ApiSecret": {"type": ["string", "null"], "writeOnly": true},
            },
            "required": ["AuthType"],
            "$defs": {
                "Auth": {"oneOf": [
                    {"type": "object", "properties": {"oauth2": {"$ref": "#/$defs/OAuth"}}, "required": ["oauth2"], "additionalProperties": false},
                    {"type": "object", "properties": {"key": {"type": "string", "writeOnly": true}}, "required": ["key"], "additionalProperties": false},
                    {"const": "none"},
                ]},
                "OAuth": {"type": "object", "properties": {
                    "AccessToken": {"type": "string", "writeOnly": true, "description": "The token of the app"},
                    "Region": {"type": "string", "default": "eu"},
                }, "required": ["AccessToken"]},
            },
        })
    }

    fn spec() -> ConnectorSpec {
        ConnectorSpec {
            name: "test".into(),
            version: "1.0.0".into(),
            config_schema: schema(),
            plain_secrets: vec!["ApiSecret".into()],
            ..ConnectorSpec::default()
        }
    }

    fn config(parameters: &Value) -> Config {
        let text = json!({"name": "n", "source": {"config": parameters}}).to_string();
        Config::parse(&text, Path::new(".")).unwrap()
    }

    fn env(name: &str) -> Option<String> {
        let all = [
            ("TOKEN", "s3cret-env"),
            ("LIMIT", " 5 "),
            ("FLAG", "TRUE"),
            ("IDS", "[\"a\",\"b\"]"),
            ("EMPTY", ""),
        ];
        all.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    fn run(parameters: Value, run_config: &RunConfig, revealed: &[&str]) -> Result<Resolved, ConfigProblems> {
        let revealed: Vec<String> = revealed.iter().map(|name| (*name).to_owned()).collect();
        resolve(&config(&parameters), run_config, &spec(), &env, &revealed)
    }

    fn with_auth(mut parameters: Value) -> Value {
        parameters["AuthType"] = json!("none");
        parameters
    }

    fn guest(resolved: &Resolved) -> Value {
        let config: Value = serde_json::from_str(&resolved.ow_config).unwrap();
        config["source"]["config"].clone()
    }

    fn problems(parameters: Value) -> String {
        run(parameters, &RunConfig::default(), &[]).unwrap_err().to_string()
    }

    #[test]
    fn the_spec_of_these_tests_is_sound() {
        assert_eq!(spec().check(), []);
    }

    #[test]
    fn the_guest_sees_defaults_conversions_and_placeholders() {
        let parameters = json!({
            "AuthType": {"value": "oauth2", "items": {"AccessToken": {"env": "TOKEN"}}},
            "Limit": {"env": "LIMIT"}, "Deleted": {"value": {"env": "FLAG"}}, "Ids": {"env": "IDS"},
            "Page": {"value": {"From": "7"}}, "Tokens": {"value": ["tok-one", "tok-two"]},
            "Extra": {"value": {"anything": {"value": 1}}}, "EndDate": null, "Language": {"value": ""},
        });
        let resolved = run(parameters, &RunConfig::default(), &[]).unwrap();
        let text = secrets_by_name(&resolved);
        insta::assert_snapshot!(text);
        for value in ["s3cret-env", "tok-one", "tok-two"] {
            assert!(!text.contains(value));
            assert_eq!(resolved.secrets.redact(value), "***");
        }
    }

    /// `OW_CONFIG` with names in place of the random placeholders.
    fn secrets_by_name(resolved: &Resolved) -> String {
        let value: Value = serde_json::from_str(&resolved.ow_config).unwrap();
        let text = serde_json::to_string_pretty(&value).unwrap();
        resolved
            .secrets
            .iter()
            .fold(text, |text, secret| text.replace(&secret.placeholder, &format!("<{}>", secret.name)))
    }

    #[test]
    fn many_mistakes_are_told_at_once() {
        insta::assert_snapshot!(problems(json!({
            "AuthType": {"oauth2": {"AccesToken": {"value": "s3cret"}}},
            "Contry": {"value": "CH"}, "Country": {"value": "ch"}, "Language": {"value": "english"},
            "StartDate": {"value": "1.2.2024"}, "Limit": {"value": 0}, "Deleted": {"value": "perhaps"},
            "Ids": {"value": [1, "x"]}, "Page": {"value": {"size": 5}}, "EndDate": {"value": "never"},
        })));
    }

    #[test]
    fn other_mistakes_are_told_too() {
        let all = [
            problems(json!({})),
            problems(json!({"AuthType": ""})),
            problems(json!({"AuthType": {"env": "NO_SUCH"}})),
            problems(json!({"AuthType": {"oauth3": {"AccessToken": "s3cret"}}})),
            problems(json!({"AuthType": "nome"})),
            problems(json!({"AuthType": 5})),
            problems(json!({"AuthType": {"oauth2": {"AccessToken": 123456}}})),
            problems(with_auth(json!({"Limit": "many", "Ids": "a,b", "Page": 5, "Language": 5}))),
            problems(with_auth(json!({"Pin": "s3cret", "Tokens": ["a-token", 5]}))),
            problems(with_auth(json!({"Language": {"env": "TOKEN"}, "Limit": {"env": "TOKEN"}}))),
        ];
        let all = all.join("\n");
        insta::assert_snapshot!(all);
        assert!(!all.contains("s3cret") && !all.contains("123456"));
    }

    #[test]
    fn owox_parameters_without_meaning_are_left_out_with_a_warning() {
        let parameters =
            with_auth(json!({"MaxFetchRetries": {"value": 3}, "Country*": "DE", "Language": "EN"}));
        let resolved = run(parameters, &RunConfig::default(), &[]).unwrap();
        insta::assert_snapshot!(resolved.warnings.join("\n"));
        assert_eq!(guest(&resolved)["Country"]["value"], "DE");
        assert!(guest(&resolved).get("MaxFetchRetries").is_none());
    }

    #[test]
    fn a_run_overrides_what_the_schema_lets_it() {
        let file = RunConfig::parse(
            r#"{"type": "MANUAL_BACKFILL", "data": [{"configField": "StartDate", "value": "2024-01-01"},
                {"configField": "Pin", "value": "12345"}], "state": {"k": {"a": 1}}}"#,
        );
        let set = [("Limit".to_owned(), "7".to_owned()), ("EndDate".to_owned(), "2024-02-01".to_owned())];
        let run_config = RunConfig::with_overrides(Some(file.unwrap()), None, &set, None).unwrap();
        let resolved = run(with_auth(json!({"Limit": {"env": "NO_SUCH"}})), &run_config, &[]);
        // What the run overrides is not needed, but the file stays wrong.
        assert!(resolved.is_err());
        let resolved = run(with_auth(json!({"Limit": 3})), &run_config, &[]).unwrap();
        let config = guest(&resolved);
        assert_eq!(config["Limit"]["value"], 7);
        assert_eq!(config["StartDate"]["value"], "2024-01-01");
        let guest = resolved.ow_run_config(&BTreeMap::from([("k".into(), "{\"a\": 1.0}".into())]), None);
        assert!(!guest.contains("12345"), "a secret reached the guest");
        let secret = resolved.secrets.iter().next().unwrap();
        insta::assert_snapshot!(guest.replace(&secret.placeholder, "<Pin>"));
    }

    #[test]
    fn a_run_may_not_override_anything_else() {
        let set = [("Country", "DE"), ("Startdate", "x"), ("Limit", "many"), ("Colour", "red")];
        let set = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let run_config = RunConfig::with_overrides(None, None, &set, None).unwrap();
        insta::assert_snapshot!(run(with_auth(json!({})), &run_config, &[]).unwrap_err().to_string());
    }

    #[test]
    fn a_custom_run_passes_everything_through() {
        let set = [("Limit", "7"), ("Language", "7"), ("anything", "{\"a\": 1}"), ("more", "text")];
        let set = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let run_config = RunConfig::with_overrides(None, Some(RunType::Custom), &set, None).unwrap();
        let resolved = run(with_auth(json!({})), &run_config, &[]).unwrap();
        insta::assert_snapshot!(resolved.ow_run_config(&BTreeMap::new(), None));
        let any = RunConfig::parse(r#"{"type": "CUSTOM", "data": {"any": [1]}}"#).unwrap();
        let resolved = run(with_auth(json!({})), &any, &[]).unwrap();
        assert!(resolved.ow_run_config(&BTreeMap::new(), None).contains(r#""data":{"any":[1]}"#));
    }

    #[test]
    fn a_secret_is_shown_only_when_asked_for_and_granted() {
        let parameters = || with_auth(json!({"ApiSecret": "s3cret-value"}));
        let denied = run(parameters(), &RunConfig::default(), &[]).unwrap_err();
        let failure = Failure::from(denied);
        assert_eq!(failure.class, FailureClass::Denied);
        insta::assert_snapshot!(format!("{}\n{}", failure.message, failure.hint.unwrap()));

        let granted = run(parameters(), &RunConfig::default(), &["ApiSecret"]).unwrap();
        assert_eq!(guest(&granted)["ApiSecret"]["value"], "s3cret-value");
        assert_eq!(granted.secrets.redact("a s3cret-value"), "a ***");

        let unasked = run(parameters(), &RunConfig::default(), &["ApiSecret", "Pin"]).unwrap_err();
        assert!(unasked.to_string().contains("does not ask to see the secret 'Pin'"), "{unasked}");
        // Nothing to show, nothing to grant.
        assert!(run(with_auth(json!({})), &RunConfig::default(), &[]).is_ok());
    }

    #[test]
    fn storage_parameters_are_looked_up_and_redacted() {
        let text = json!({"name": "n", "source": {"config": {}}, "storage": {"name": "GoogleBigQuery", "config": {
            "ServiceAccountJson": {"env": "TOKEN"}, "OAuthAccessToken": {"value": "inline-token"}, "ProjectID": {"value": "my-project"},
        }}});
        let config = Config::parse(&text.to_string(), Path::new(".")).unwrap();
        let mut secrets = Secrets::new();
        let (parameters, warnings) = storage_parameters(&config, &env, &mut secrets).unwrap();
        assert!(warnings.is_empty());
        assert_eq!(parameters["ServiceAccountJson"], "s3cret-env");
        assert_eq!(secrets.redact("s3cret-env inline-token my-project"), "*** *** my-project");
        let error = storage_parameters(&config, &|_| None, &mut secrets).unwrap_err();
        assert!(
            error.to_string().contains("storage.config.ServiceAccountJson: the environment variable 'TOKEN'")
        );
    }

    #[test]
    fn the_password_in_a_connection_string_is_redacted() {
        let storage = json!({"name": "Postgres", "config": {"ConnectionString": "postgresql://me:hunter%402hunter@db.example/x"}});
        let text = json!({"name": "n", "source": {"config": {}}, "storage": storage});
        let config = Config::parse(&text.to_string(), Path::new(".")).unwrap();
        let mut secrets = Secrets::new();
        storage_parameters(&config, &env, &mut secrets).unwrap();
        assert_eq!(
            secrets.redact("me@db.example refused hunter@2hunter and hunter%402hunter"),
            "me@db.example refused *** and ***"
        );
    }

    /// The warnings of a file with these permissions.
    #[cfg(unix)]
    fn exposed(mode: u32, parameters: &Value, storage: &Value) -> Vec<String> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        write("token.txt", "s3cret-file");
        let config = json!({"name": "n", "source": {"config": parameters}, "storage": {"name": "GoogleBigQuery", "config": storage}});
        let config = Config::load(&write("cfg.json", &config.to_string())).unwrap();
        let set = [("Pin".to_owned(), "12345".to_owned())];
        let run_config = RunConfig::with_overrides(None, None, &set, None).unwrap();
        let mut warnings = resolve(&config, &run_config, &spec(), &env, &[]).unwrap().warnings;
        warnings.extend(storage_parameters(&config, &env, &mut Secrets::new()).unwrap().1);
        let folder = folder.path().display().to_string();
        warnings.iter().map(|warning| warning.replace(&folder, "DIR")).collect()
    }

    #[cfg(unix)]
    #[test]
    fn files_with_secrets_that_others_can_read_draw_a_warning() {
        let auth = |token: Value| json!({"AuthType": {"oauth2": {"AccessToken": token}}});
        let config = "DIR/cfg.json: holds secrets in clear, and others than its owner can read or write it: chmod 600 DIR/cfg.json";
        let file = |what: &str| {
            format!(
                "DIR/token.txt: holds {what}, and others than its owner can read or write it: chmod 600 DIR/token.txt"
            )
        };
        let clear = auth(json!("s3cret-value"));
        assert_eq!(exposed(0o644, &clear, &json!({})), [config]);
        assert_eq!(exposed(0o640, &clear, &json!({})), [config]);
        assert_eq!(exposed(0o600, &clear, &json!({})), [""; 0]);
        let in_file = auth(json!({"file": "token.txt"}));
        assert_eq!(exposed(0o644, &in_file, &json!({})), [file("the secret 'AuthType.oauth2.AccessToken'")]);
        assert_eq!(exposed(0o600, &in_file, &json!({})), [""; 0]);
        // A variable's value, an override's, and what is no secret, are in no file.
        assert_eq!(exposed(0o644, &auth(json!({"env": "TOKEN"})), &json!({})), [""; 0]);
        let plain =
            json!({"AuthType": "none", "Country": "CH", "Ids": [{"file": "token.txt"}], "Pin": "123"});
        assert_eq!(exposed(0o644, &plain, &json!({"ProjectID": "p"})), [""; 0]);
        let key = json!({"ServiceAccountJson": {"file": "token.txt"}, "OAuthAccessToken": "inline"});
        assert_eq!(
            exposed(0o644, &plain, &key),
            [config.to_owned(), file("the storage's 'ServiceAccountJson'")]
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_run_configuration_with_secrets_that_others_can_read_draws_a_warning() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        let warnings = |mode: u32, name: &str, value: &str, set: &[(String, String)]| {
            let run_config =
                json!({"type": "MANUAL_BACKFILL", "data": [{"configField": name, "value": value}]});
            std::fs::write(&file, run_config.to_string()).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let run_config = RunConfig::load(file.path()).unwrap();
            let run_config = RunConfig::with_overrides(Some(run_config), None, set, None).unwrap();
            run(with_auth(json!({"Pin": "123"})), &run_config, &[]).unwrap().warnings
        };
        let path = file.path().display();
        let warning = format!(
            "{path}: holds secrets in clear, and others than its owner can read or write it: chmod 600 {path}"
        );
        for mode in [0o644, 0o620] {
            assert_eq!(warnings(mode, "Pin", "12345", &[]), [warning.as_str()]);
        }
        assert_eq!(warnings(0o600, "Pin", "12345", &[]), [""; 0]);
        assert_eq!(warnings(0o644, "StartDate", "2024-01-01", &[]), [""; 0]);
        // What a flag says stands in no file.
        let set = [("Pin".to_owned(), "67890".to_owned())];
        assert_eq!(warnings(0o644, "StartDate", "2024-01-01", &set), [""; 0]);
    }

    #[test]
    fn ten_megabytes_of_parameters_work() {
        let ids: Vec<String> = (0..900_000).map(|n| format!("{n:08}")).collect();
        let resolved = run(with_auth(json!({ "Ids": ids })), &RunConfig::default(), &[]).unwrap();
        assert!(resolved.ow_config.len() > 9_000_000);
    }

    #[test]
    fn many_secrets_work() {
        let tokens: Vec<String> = (0..20_000).map(|n| format!("token-{n:08}")).collect();
        let resolved = run(with_auth(json!({ "Tokens": tokens })), &RunConfig::default(), &[]).unwrap();
        assert_eq!(resolved.secrets.iter().count(), 20_000);
    }

    #[test]
    fn defaults_without_end_are_an_error() {
        for (names, default) in
            [(&["x"][..], json!({})), (&["x", "y"], json!({})), (&["x"], json!({"z": "z".repeat(100_000)}))]
        {
            let properties: Map<String, Value> = names
                .iter()
                .map(|name| ((*name).to_owned(), json!({"$ref": "#/$defs/D", "default": default})))
                .collect();
            let config_schema = json!({
                "type": "object", "properties": {"D": {"$ref": "#/$defs/D"}},
                "$defs": {"D": {"type": "object", "properties": properties, "additionalProperties": true}},
            });
            let spec = ConnectorSpec { config_schema, plain_secrets: vec![], ..spec() };
            assert_eq!(spec.check(), []);
            let error =
                resolve(&config(&json!({"D": {}})), &RunConfig::default(), &spec, &env, &[]).unwrap_err();
            assert!(error.to_string().contains("no end of the defaults"), "{error}");
        }
    }

    #[test]
    fn internally_tagged_and_conditional_parameters_get_their_defaults() {
        let config_schema = json!({
            "type": "object",
            "properties": {"Mode": {"enum": ["fast", "safe"], "default": "safe"}, "Auth": {"anyOf": [
                {"type": "object", "properties": {"type": {"const": "a"}, "A": {"type": "integer", "default": 1}}, "required": ["type"]},
                {"type": "object", "properties": {"type": {"const": "b"}, "B": {"type": "integer", "default": 2}}, "required": ["type"]},
            ]}},
            "if": {"properties": {"Mode": {"const": "safe"}}},
            "then": {"properties": {"Checks": {"type": "integer", "default": 3}}},
            "else": {"properties": {"Threads": {"type": "integer", "default": 4}}},
        });
        let spec = ConnectorSpec { config_schema, plain_secrets: vec![], ..spec() };
        let run = |parameters: Value| resolve(&config(&parameters), &RunConfig::default(), &spec, &env, &[]);
        let safe = guest(&run(json!({"Auth": {"value": {"type": "b"}}})).unwrap());
        assert_eq!(safe["Auth"]["value"], json!({"type": "b", "B": 2}));
        assert_eq!((&safe["Checks"]["value"], safe.get("Threads")), (&json!(3), None));
        let fast = guest(&run(json!({"Mode": "fast"})).unwrap());
        assert_eq!((&fast["Threads"]["value"], fast.get("Checks")), (&json!(4), None));
    }
}
