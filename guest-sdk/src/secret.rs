//! Types of parameters that say more than their value: secrets, and what is
//! ignored.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A parameter that the host keeps secret. What the connector holds is a
/// placeholder: use it in HTTP requests as if it were the value, the host puts
/// the value in on the way out.
///
/// ```
/// use ow_connector::prelude::*;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Settings {
///     /// The token of your account.
///     token: Secret,
/// }
/// let schema = schemars::schema_for!(Settings);
/// assert_eq!(schema.get("properties").unwrap()["token"]["writeOnly"], true);
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The placeholder, or the value where the operator granted it in clear.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Secret {
    fn as_ref(&self) -> &str {
        self.expose()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "writeOnly": true})
    }
}

/// A parameter that is accepted, whatever its value, and has no effect: so that
/// configurations of other systems can be used as they are. The schema calls it
/// deprecated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl JsonSchema for Ignored {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Ignored".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"deprecated": true})
    }
}
