//! The configuration: OWOX's parameters, of its present form and of the one before.

use std::borrow::Cow;

use ow_connector::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

/// Where the API stands.
pub(crate) const API: &str = "https://graph.facebook.com";

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Settings {
    /// The credentials, as `{"oauth2": {"AccessToken": "…"}}`.
    #[serde(default)]
    auth_type: Option<AuthType>,
    /// The access token, as older configurations have it; `AuthType` comes first.
    #[serde(default)]
    access_token: Option<Secret>,
    /// The ad accounts, separated by `,` or `;`, with or without `act_`.
    #[serde(rename = "AccountIDs")]
    pub(crate) account_ids: AccountIds,
    /// The nodes and columns to import, such as `ad-account/ads name, ad-account/insights spend`.
    pub(crate) fields: String,
    #[serde(flatten)]
    pub(crate) tables: TableNames,
    #[serde(flatten)]
    pub(crate) dates: DateWindow,
    /// How many records a page has.
    #[serde(default = "Settings::limit")]
    #[schemars(range(min = 1, max = 5000))]
    pub(crate) limit: u32,
    /// The version of the API.
    #[serde(default = "Settings::api_version")]
    #[schemars(extend("pattern" = "^v[0-9]+\\.[0-9]+$"))]
    api_version: String,
    /// Where the API stands.
    #[serde(default = "Settings::base_url")]
    base_url: String,
    #[serde(default)]
    _process_short_links: Ignored,
    #[serde(flatten)]
    _unused: Unused,
}

/// The ways to log in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
enum AuthType {
    /// With a token that an app was given.
    #[serde(rename = "oauth2")]
    OAuth2(OAuth2),
}

/// A token that an app was given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OAuth2 {
    /// The access token.
    access_token: Secret,
    #[serde(default)]
    _app_id: Ignored,
    /// Not needed: the token is not renewed.
    #[serde(default)]
    _app_secret: Option<Secret>,
}

impl Settings {
    fn limit() -> u32 {
        100
    }

    fn api_version() -> String {
        "v25.0".to_owned()
    }

    fn base_url() -> String {
        API.to_owned()
    }

    /// The token that every request carries.
    pub(crate) fn token(&self) -> Result<&Secret> {
        let token = match &self.auth_type {
            Some(AuthType::OAuth2(login)) => Some(&login.access_token),
            None => self.access_token.as_ref(),
        };
        token.filter(|token| !token.expose().is_empty()).ok_or_else(|| {
            Error::config(
                "the access token is missing: give `AuthType`, as {\"oauth2\": {\"AccessToken\": …}}",
            )
            .parameter("AuthType")
        })
    }

    /// The URL of something.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{}/{path}", self.base_url.trim_end_matches('/'), self.api_version)
    }
}

/// The accounts, each once, in the order in which they are given, without `act_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountIds(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for AccountIds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(One),
            List(Vec<One>),
        }

        #[derive(Deserialize)]
        #[serde(untagged)]
        enum One {
            Number(u64),
            Text(String),
        }

        let text = |id| match id {
            One::Number(id) => u64::to_string(&id),
            One::Text(text) => text,
        };
        let text = match Written::deserialize(deserializer)? {
            Written::One(id) => text(id),
            Written::List(ids) => ids.into_iter().map(text).collect::<Vec<_>>().join(","),
        };
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl AccountIds {
    fn parse(text: &str) -> Result<Self, String> {
        let mut ids: Vec<String> = Vec::new();
        for written in text.split([',', ';']).map(str::trim).filter(|id| !id.is_empty()) {
            let id = written.strip_prefix("act_").unwrap_or(written);
            if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("`{written}` is no ad account's id, which looks like `act_123456789`"));
            }
            if !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
        }
        if ids.is_empty() { Err("there is no ad account's id in it".to_owned()) } else { Ok(Self(ids)) }
    }
}

impl JsonSchema for AccountIds {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AccountIds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer", "array"], "items": {"type": ["string", "integer"]}})
    }
}
