//! `OW_CONFIG` into an author's type, with errors that name the parameter.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess};
use serde_json::{Map, Value};

use crate::error::Error;

/// Reads the parameters: `{"Param": {"value": X}}`, or plain `{"Param": X}`.
/// What is `null` counts as left out.
pub(crate) fn read<C: DeserializeOwned>(parameters: Map<String, Value>) -> Result<C, Error> {
    let parameters = parameters.into_iter().map(|(name, value)| (name, unwrap(value)));
    let parameters: Map<String, Value> = parameters.filter(|(_, value)| !value.is_null()).collect();
    let names: Vec<String> = parameters.keys().cloned().collect();
    let access = Parameters { rest: parameters.into_iter(), current: None };
    C::deserialize(MapAccessDeserializer::new(access)).map_err(|error| {
        let parameter = error.parameter.or_else(|| named(&error.message, &names));
        let wrong = Error::config(error.message);
        match parameter {
            Some(name) => wrong.parameter(name),
            None => wrong,
        }
    })
}

/// The parameter with which a message begins: what flattened settings say.
fn named(message: &str, names: &[String]) -> Option<String> {
    let (name, _) = message.strip_prefix('`')?.split_once("`: ")?;
    names.iter().find(|known| *known == name).cloned()
}

/// Takes a value out of `{"value": X}`. A choice, `{"value": "name", "items":
/// {…}}`, keeps its shape; its items are taken out in the same way.
fn unwrap(value: Value) -> Value {
    let Value::Object(mut object) = value else { return value };
    let items = object.contains_key("items");
    if !object.contains_key("value") || object.len() > 1 + usize::from(items) {
        return Value::Object(object);
    }
    match (object.remove("value"), object.remove("items")) {
        (Some(value), Some(Value::Object(items))) => {
            let items: Map<String, Value> =
                items.into_iter().map(|(name, item)| (name, unwrap(item))).collect();
            serde_json::json!({"value": value, "items": items})
        }
        (Some(value), Some(items)) => serde_json::json!({"value": value, "items": items}),
        (value, _) => value.unwrap_or(Value::Null),
    }
}

/// The parameters as serde takes them; remembers whose turn it is.
struct Parameters {
    rest: serde_json::map::IntoIter,
    current: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Parameters {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        let key = seed.deserialize(IntoDeserializer::<Wrong>::into_deserializer(name.as_str()))?;
        self.current = Some((name, value));
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, value) = self.current.take().unwrap_or_default();
        seed.deserialize(value)
            .map_err(|error| Wrong { message: format!("`{name}`: {error}"), parameter: Some(name) })
    }
}

/// What is wrong, and with which parameter.
#[derive(Debug)]
struct Wrong {
    message: String,
    parameter: Option<String>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Wrong {}

impl From<serde_json::Error> for Wrong {
    fn from(error: serde_json::Error) -> Self {
        Self { message: error.to_string(), parameter: None }
    }
}

impl serde::de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        // How serde says it where settings are flattened.
        if let Some(name) = message.strip_prefix("unknown field `").and_then(|rest| rest.strip_suffix('`')) {
            return Self::unknown_field(name, &[]);
        }
        Self { message, parameter: None }
    }

    fn missing_field(name: &'static str) -> Self {
        Self { message: format!("`{name}` is missing"), parameter: Some(name.to_owned()) }
    }

    fn unknown_field(name: &str, expected: &'static [&'static str]) -> Self {
        let hint = crate::select::did_you_mean(name, expected.iter().copied());
        Self { message: format!("there is no parameter `{name}`{hint}"), parameter: Some(name.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Config {
        name: String,
        #[serde(default)]
        days: Option<u32>,
        #[serde(default)]
        login: Option<Login>,
        #[serde(default)]
        raw: Value,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "value", content = "items", rename_all = "camelCase")]
    enum Login {
        Oauth2 {
            #[serde(rename = "Token")]
            token: String,
        },
    }

    fn parse(config: Value) -> Result<Config, Error> {
        let Value::Object(parameters) = config else { panic!("not an object") };
        read(parameters)
    }

    #[test]
    fn wrapped_and_plain_values() {
        let plain = parse(json!({"Name": "x", "Days": 3, "Raw": {"value": 1, "more": 2}})).unwrap();
        assert_eq!((plain.days, plain.raw), (Some(3), json!({"value": 1, "more": 2})));
        let wrapped = parse(json!({"Name": {"value": "x"}, "Days": {"value": null}})).unwrap();
        assert_eq!((wrapped.name.as_str(), wrapped.days), ("x", None));
    }

    #[test]
    fn a_choice_is_a_tagged_enum() {
        let config = json!({"Name": "x", "Login": {"value": "oauth2", "items": {"Token": {"value": "t"}}}});
        assert_eq!(parse(config).unwrap().login, Some(Login::Oauth2 { token: "t".to_owned() }));
    }

    #[test]
    fn errors_name_the_parameter() {
        let error = |config| {
            let error = parse(config).unwrap_err();
            (error.parameter_name().unwrap_or_default().to_owned(), error.to_string())
        };
        assert_eq!(error(json!({})), ("Name".to_owned(), "`Name` is missing".to_owned()));
        assert_eq!(
            error(json!({"Name": "x", "Days": {"value": "3"}})),
            ("Days".to_owned(), "`Days`: invalid type: string \"3\", expected u32".to_owned())
        );
        assert_eq!(
            error(json!({"Name": "x", "Dais": 3})),
            ("Dais".to_owned(), "there is no parameter `Dais`; did you mean `Days`?".to_owned())
        );
    }
}
