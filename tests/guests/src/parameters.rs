//! The parameters of the run, or of one step of a script.

use serde_json::{Map, Value};

/// Named values; each accessor has a value for what is not there.
pub(crate) struct Parameters(Map<String, Value>);

impl Parameters {
    /// `source.config` of `OW_CONFIG`.
    pub(crate) fn of_run() -> Self {
        let text = std::env::var("OW_CONFIG").expect("OW_CONFIG is not set");
        let config: Value = serde_json::from_str(&text).expect("OW_CONFIG is no JSON");
        let parameters = config["source"]["config"].as_object().expect("OW_CONFIG has no source.config");
        Self(parameters.iter().map(|(name, parameter)| (name.clone(), parameter["value"].clone())).collect())
    }

    /// An object.
    pub(crate) fn of(value: Value) -> Self {
        let Value::Object(parameters) = value else { panic!("parameters are an object: {value}") };
        Self(parameters)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        match self.0.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        }
    }

    pub(crate) fn optional_number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    pub(crate) fn number(&self, name: &str, default: u64) -> u64 {
        self.optional_number(name).unwrap_or(default)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn nested(&self, name: &str) -> Option<Self> {
        self.0.get(name).and_then(Value::as_object).map(|object| Self(object.clone()))
    }

    /// A list of objects.
    pub(crate) fn list(&self, name: &str) -> Vec<Self> {
        let items = self.0.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_object).map(|object| Self(object.clone())).collect()
    }

    /// A list of texts.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let items = self.0.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}
