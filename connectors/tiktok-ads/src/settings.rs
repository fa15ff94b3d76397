//! The configuration: OWOX's parameters, of its present form and of the one
//! before.

use std::borrow::Cow;

use ow_connector::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::nodes::DataLevel;

/// Where the API stands.
pub(crate) const PRODUCTION: &str = "https://business-api.tiktok.com";

/// Where its sandbox stands.
pub(crate) const SANDBOX: &str = "https://sandbox-ads.tiktok.com";

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
    /// The accounts, separated by `,` or `;`.
    #[serde(rename = "AdvertiserIDs")]
    pub(crate) advertiser_ids: AdvertiserIds,
    /// What a row of the two insights stands for.
    #[serde(default)]
    pub(crate) data_level: DataLevel,
    /// The nodes and columns to import, such as `campaigns campaign_name, ad_insights spend`; all of them
    /// by default.
    #[serde(default)]
    pub(crate) fields: String,
    /// The nodes to import, such as `campaigns, ads`, where `Fields` is not given.
    #[serde(default)]
    pub(crate) objects: String,
    #[serde(flatten)]
    pub(crate) tables: TableNames,
    #[serde(flatten)]
    pub(crate) dates: DateWindow,
    /// The last day that was imported by another program; counts where there is no state yet.
    #[serde(default)]
    pub(crate) last_requested_date: Option<Date>,
    /// Imports deleted campaigns, ad groups and ads too.
    #[serde(default)]
    pub(crate) include_deleted: bool,
    /// Asks the API's sandbox.
    #[serde(default)]
    sandbox_mode: bool,
    /// Makes tables for which there is no row, too.
    #[serde(default = "Settings::yes")]
    pub(crate) create_empty_tables: bool,
    /// How many requests a second the API is asked at most: what TikTok grants an app at first.
    #[serde(default = "Settings::ten")]
    pub(crate) requests_per_second: u32,
    /// Where the API stands, if not at TikTok's own address.
    #[serde(default)]
    base_url: Option<String>,
    #[serde(default)]
    _app_id: Ignored,
    /// Not needed: no node takes it.
    #[serde(default)]
    _app_secret: Option<Secret>,
    #[serde(default)]
    _clean_up_to_keep_window: Ignored,
    #[serde(default)]
    _max_fetch_retries: Ignored,
    #[serde(default)]
    _initial_retry_delay: Ignored,
}

/// The ways to log in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
enum AuthType {
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
    /// Not needed: no node takes it.
    #[serde(default)]
    _app_secret: Option<Secret>,
}

impl Settings {
    fn ten() -> u32 {
        10
    }

    fn yes() -> bool {
        true
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

    /// The URL that the endpoints' names are added to.
    pub(crate) fn base(&self) -> String {
        let origin = match &self.base_url {
            Some(url) => url.trim_end_matches('/'),
            None if self.sandbox_mode => SANDBOX,
            None => PRODUCTION,
        };
        format!("{origin}/open_api/v1.3/")
    }

    /// What is to be imported, as `Fields` says it: OWOX's older `Objects` names
    /// nodes alone.
    pub(crate) fn chosen(&self) -> Result<(Cow<'_, str>, &'static str)> {
        if !self.fields.trim().is_empty() || self.objects.trim().is_empty() {
            return Ok((Cow::Borrowed(&self.fields), "Fields"));
        }
        // One word each, so that none is taken for a column of the one before.
        let names: Vec<&str> = self.objects.split([',', ';']).flat_map(str::split_whitespace).collect();
        Ok((Cow::Owned(names.join(", ")), "Objects"))
    }
}

/// The accounts, each once, in the order in which they are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdvertiserIds(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for AdvertiserIds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
            List(Vec<One>),
        }

        #[derive(Deserialize)]
        #[serde(untagged)]
        enum One {
            Number(u64),
            Text(String),
        }

        let text = match Written::deserialize(deserializer)? {
            Written::Number(id) => id.to_string(),
            Written::Text(text) => text,
            Written::List(ids) => {
                let text = |id| match id {
                    One::Number(id) => u64::to_string(&id),
                    One::Text(text) => text,
                };
                ids.into_iter().map(text).collect::<Vec<_>>().join(",")
            }
        };
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl AdvertiserIds {
    fn parse(text: &str) -> Result<Self, String> {
        let mut ids: Vec<String> = Vec::new();
        for id in text.split([',', ';']).map(str::trim).filter(|id| !id.is_empty()) {
            if !id.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("`{id}` is no advertiser's id, which has digits alone"));
            }
            if !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
        }
        if ids.is_empty() { Err("there is no advertiser's id in it".to_owned()) } else { Ok(Self(ids)) }
    }
}

impl JsonSchema for AdvertiserIds {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AdvertiserIds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer", "array"], "items": {"type": ["string", "integer"]}})
    }
}
