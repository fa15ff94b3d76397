//! The configuration: OWOX's parameters.

use ow_connector::prelude::*;

/// Where the API stands.
pub(crate) const API: &str = "https://googleads.googleapis.com";

/// Where tokens come from.
pub(crate) const LOGIN: &str = "https://oauth2.googleapis.com";

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Settings {
    /// The account, such as `123-456-7890`; or several, separated by commas.
    customer_id: String,
    /// The manager account through which the others are read, if there is one.
    #[serde(default)]
    login_customer_id: Option<String>,
    /// The credentials, as `{"oauth2": {…}}` or `{"service_account": {…}}`.
    pub(crate) auth_type: AuthType,
    /// The nodes and columns to import, such as `campaigns campaign_name, campaigns_stats clicks`; all of them by default.
    #[serde(default)]
    pub(crate) fields: String,
    #[serde(flatten)]
    pub(crate) tables: TableNames,
    #[serde(flatten)]
    pub(crate) dates: DateWindow,
    /// The version of the API.
    #[serde(default = "Settings::api_version")]
    #[schemars(extend("pattern" = "^v[0-9]+$"))]
    pub(crate) api_version: String,
    /// Where the API stands.
    #[serde(default = "Settings::base_url")]
    base_url: String,
    /// Where access tokens come from.
    #[serde(default = "Settings::token_url")]
    pub(crate) token_url: String,
    #[serde(flatten)]
    _unused: Unused,
}

/// The ways to log in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) enum AuthType {
    /// As a person who gave an app a refresh token.
    #[serde(rename = "oauth2")]
    OAuth2(OAuth2),
    /// As a service account.
    #[serde(rename = "service_account")]
    ServiceAccount(ServiceAccount),
}

/// An app, and what a person gave it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct OAuth2 {
    /// The refresh token.
    pub(crate) refresh_token: Secret,
    /// The app's client id.
    pub(crate) client_id: String,
    /// The app's client secret.
    pub(crate) client_secret: Secret,
    /// The developer token of the manager account.
    developer_token: Secret,
    #[serde(default)]
    _redirect_uri: Ignored,
}

/// A service account that may read the Google Ads accounts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct ServiceAccount {
    /// Its key: the text of the JSON file that Google Cloud makes.
    pub(crate) service_account_key: Secret,
    /// The developer token of the manager account.
    developer_token: Secret,
}

impl Settings {
    fn api_version() -> String {
        "v25".to_owned()
    }

    fn base_url() -> String {
        API.to_owned()
    }

    fn token_url() -> String {
        format!("{LOGIN}/token")
    }

    /// The accounts, each once, in the order in which they are given.
    pub(crate) fn customers(&self) -> Result<Vec<String>> {
        let mut customers = Vec::new();
        for text in self.customer_id.split([',', ';']).filter(|text| !text.trim().is_empty()) {
            let id = account(text, "CustomerId")?;
            if !customers.contains(&id) {
                customers.push(id);
            }
        }
        if customers.is_empty() {
            return Err(Error::config("there is no account's id in it").parameter("CustomerId"));
        }
        Ok(customers)
    }

    /// The manager account.
    pub(crate) fn manager(&self) -> Result<Option<String>> {
        let given = self.login_customer_id.as_deref().filter(|text| !text.trim().is_empty());
        given.map(|text| account(text, "LoginCustomerId")).transpose()
    }

    /// The developer token.
    pub(crate) fn developer_token(&self) -> &Secret {
        match &self.auth_type {
            AuthType::OAuth2(login) => &login.developer_token,
            AuthType::ServiceAccount(login) => &login.developer_token,
        }
    }

    /// The URL that searches an account.
    pub(crate) fn search_url(&self, customer: &str) -> String {
        let base = self.base_url.trim_end_matches('/');
        format!("{base}/{}/customers/{customer}/googleAds:search", self.api_version)
    }
}

/// The digits of an account's id.
fn account(text: &str, parameter: &str) -> Result<String> {
    let id = text.trim().replace('-', "");
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(id);
    }
    let message = format!("`{}` is no account's id, which looks like `123-456-7890`", text.trim());
    Err(Error::config(message).parameter(parameter))
}
