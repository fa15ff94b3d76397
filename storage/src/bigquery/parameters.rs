//! The parameters, with OWOX's names, and what they come to.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::Settings;
use super::auth::{self, Credentials, OAuth, Refresh, TOKEN_URL};
use super::client::{PACE, Pace, REQUEST_TIMEOUT};
use super::encode::PART;
use super::names;
use crate::driver::Problem;

/// Where BigQuery is.
const ENDPOINT: &str = "https://bigquery.googleapis.com";
/// How long the claim of a run that died blocks the next run, unless said
/// otherwise: four renewals fit in between for a run that lives.
const CLAIM_SECONDS: u64 = 120;
/// The bounds of it: a renewal takes seconds.
const CLAIM_BOUNDS: std::ops::RangeInclusive<u64> = 2..=86_400;
/// Seconds that an answer may take.
const TIMEOUT_BOUNDS: std::ops::RangeInclusive<u64> = 1..=3600;

/// A dataset of Google BigQuery. Named as in OWOX, whose configurations work
/// unchanged.
#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub(super) struct Parameters {
    /// The dataset that rows go to, as `project.dataset`. It is created where it
    /// is not there.
    #[serde(rename = "DestinationDatasetID")]
    destination_dataset_id: Option<String>,
    /// The project of the dataset; by default the left part of
    /// `DestinationDatasetID`.
    #[serde(rename = "DestinationProjectID")]
    destination_project_id: Option<String>,
    /// The dataset without its project; by default the right part of
    /// `DestinationDatasetID`.
    destination_dataset_name: Option<String>,
    /// The project that pays for the jobs; by default the project of the dataset.
    #[serde(rename = "ProjectID")]
    project_id: Option<String>,
    /// Where the dataset is or is created, such as `EU` or `europe-west1`; by
    /// default where it is, or where BigQuery creates it.
    destination_location: Option<String>,
    /// Accepted for OWOX's configurations and not used: a table is called as its
    /// stream, after `TablePrefix`.
    destination_table_name: Option<String>,
    /// Accepted for OWOX's configurations and not used: rows are loaded in files
    /// of 32 MiB and take effect with each commit, however many they are.
    max_buffer_size: Option<u64>,
    /// The key of a service account, as the JSON that the console gives.
    #[schemars(extend("writeOnly" = true))]
    service_account_json: Option<String>,
    /// An OAuth access token, used in place of a service account.
    #[schemars(extend("writeOnly" = true))]
    o_auth_access_token: Option<String>,
    /// What gives new access tokens when one expires; needs `OAuthClientId` and
    /// `OAuthClientSecret`.
    #[schemars(extend("writeOnly" = true))]
    o_auth_refresh_token: Option<String>,
    /// The OAuth client of the refresh token.
    o_auth_client_id: Option<String>,
    /// The secret of the OAuth client.
    #[schemars(extend("writeOnly" = true))]
    o_auth_client_secret: Option<String>,
    /// When the access token expires, in milliseconds since 1970.
    o_auth_access_token_expiry: Option<f64>,
    /// Where refresh tokens are taken; by default Google's.
    o_auth_token_uri: Option<String>,
    /// What the name of every table starts with, such as `ads_`.
    table_prefix: Option<String>,
    /// Where BigQuery is: for emulators and private endpoints. By default
    /// `https://bigquery.googleapis.com`.
    endpoint: Option<String>,
    /// How many seconds the claim of a run that died blocks the next run of the
    /// data mart at most; 120 by default.
    claim_seconds: Option<u64>,
    /// How many seconds BigQuery may take to answer a request before it is sent
    /// again; 180 by default, which is enough for a part of a file on a slow
    /// line.
    request_timeout: Option<u64>,
}

/// What a parameter says; nothing if it is empty.
fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().map(str::trim).filter(|value| !value.is_empty())
}

fn problem(parameter: &str, message: impl Into<String>) -> Problem {
    (Some(parameter.to_owned()), message.into())
}

impl Parameters {
    /// What the parameters come to, or everything that is wrong with them.
    pub(super) fn settings(&self) -> Result<Settings, Vec<Problem>> {
        let mut problems = Vec::new();
        let (project, dataset) = self.dataset(&mut problems);
        let endpoint = self.endpoint(&mut problems);
        let credentials = self.credentials(&endpoint, &mut problems);
        let prefix = self.table_prefix.clone().unwrap_or_default();
        if let Some(reason) = names::reserved(&prefix) {
            problems.push(problem("TablePrefix", format!("`TablePrefix` {reason}; choose another one")));
        }
        let billing = given(&self.project_id).unwrap_or(&project).to_owned();
        if let (Some(reason), Some(_)) = (names::bad_project(&billing), given(&self.project_id)) {
            problems.push(problem("ProjectID", format!("`ProjectID` {reason}")));
        }
        let seconds = self.claim_seconds.unwrap_or(CLAIM_SECONDS);
        if !CLAIM_BOUNDS.contains(&seconds) {
            problems.push(problem("ClaimSeconds", "`ClaimSeconds` has to be from 2 to 86400"));
        }
        let answer = self.request_timeout.unwrap_or(REQUEST_TIMEOUT);
        if !TIMEOUT_BOUNDS.contains(&answer) {
            problems.push(problem("RequestTimeout", "`RequestTimeout` has to be from 1 to 3600 seconds"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Settings {
            endpoint,
            credentials,
            project: billing,
            dataset_project: project,
            dataset,
            location: given(&self.destination_location).map(str::to_owned),
            prefix,
            lease: Duration::from_secs(seconds),
            pace: Pace { answer: Duration::from_secs(answer), ..PACE },
            part: PART,
        })
    }

    /// The project and the name of the dataset.
    fn dataset(&self, problems: &mut Vec<Problem>) -> (String, String) {
        const ID: &str = "DestinationDatasetID";
        // Old projects have a dot in their domain.
        let parts = given(&self.destination_dataset_id).map(|id| id.rsplit_once('.').unwrap_or(("", id)));
        let (left, right) = parts.unwrap_or_default();
        let project = given(&self.destination_project_id).unwrap_or(left);
        let dataset = given(&self.destination_dataset_name).unwrap_or(right);
        if project.is_empty() || dataset.is_empty() {
            let message = match parts {
                None => "storage GoogleBigQuery needs parameter `DestinationDatasetID`".to_owned(),
                Some(_) => {
                    "`DestinationDatasetID` has to be a project and a dataset with a dot between them, such as `my-project.ads`".to_owned()
                }
            };
            problems.push(problem(ID, message));
        } else {
            let project_at =
                if given(&self.destination_project_id).is_some() { "DestinationProjectID" } else { ID };
            let dataset_at =
                if given(&self.destination_dataset_name).is_some() { "DestinationDatasetName" } else { ID };
            if let Some(reason) = names::bad_project(project) {
                problems.push(problem(project_at, format!("the project in `{project_at}` {reason}")));
            }
            if let Some(reason) = names::bad_dataset(dataset) {
                problems.push(problem(dataset_at, format!("the dataset in `{dataset_at}` {reason}")));
            }
        }
        (project.to_owned(), dataset.to_owned())
    }

    fn endpoint(&self, problems: &mut Vec<Problem>) -> String {
        let endpoint = given(&self.endpoint).unwrap_or(ENDPOINT).trim_end_matches('/');
        let endpoint = endpoint.strip_suffix("/bigquery/v2").unwrap_or(endpoint);
        let good = url::Url::parse(endpoint).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
        });
        if !good {
            problems.push(problem(
                "Endpoint",
                "`Endpoint` has to be an address, such as `http://localhost:9050`",
            ));
        }
        endpoint.to_owned()
    }

    fn credentials(&self, endpoint: &str, problems: &mut Vec<Problem>) -> Credentials {
        let credentials = self.given_credentials(problems);
        let plain = url::Url::parse(endpoint).is_ok_and(|url| url.scheme() == "http");
        match credentials {
            None if plain => Credentials::Anonymous,
            None => Credentials::Machine,
            Some(credentials) => {
                if plain && !is_here(endpoint) {
                    problems.push(problem(
                        "Endpoint",
                        "`Endpoint` starts with `http://`, and credentials would be readable on the way; use `https://`",
                    ));
                }
                credentials
            }
        }
    }

    fn given_credentials(&self, problems: &mut Vec<Problem>) -> Option<Credentials> {
        let (token, refresh) = (given(&self.o_auth_access_token), given(&self.o_auth_refresh_token));
        if token.is_some() || refresh.is_some() {
            let client = given(&self.o_auth_client_id).zip(given(&self.o_auth_client_secret));
            if token.is_none() && client.is_none() {
                problems.push(problem(
                    "OAuthRefreshToken",
                    "`OAuthRefreshToken` needs `OAuthClientId` and `OAuthClientSecret`",
                ));
            }
            let url = given(&self.o_auth_token_uri).unwrap_or(TOKEN_URL);
            let safe = url::Url::parse(url).is_ok_and(|url| url.scheme() == "https") || is_here(url);
            if !safe {
                problems.push(problem("OAuthTokenUri", "`OAuthTokenUri` has to start with `https://`"));
            }
            let refresh = refresh.zip(client).map(|(token, (id, secret))| Refresh {
                token: token.to_owned(),
                client_id: id.to_owned(),
                client_secret: secret.to_owned(),
                url: url.to_owned(),
            });
            let expires = self.o_auth_access_token_expiry.and_then(auth::time);
            return Some(Credentials::OAuth(OAuth { token: token.map(str::to_owned), expires, refresh }));
        }
        let key = given(&self.service_account_json)?;
        let parsed = serde_json::from_str::<Value>(key).ok().filter(|key| {
            ["client_email", "private_key"].iter().all(|name| key.get(name).is_some_and(Value::is_string))
        });
        if parsed.is_none() {
            problems.push(problem(
                "ServiceAccountJson",
                "`ServiceAccountJson` has to be the JSON of a service account's key, with `client_email` and `private_key`",
            ));
        }
        Some(Credentials::ServiceAccount(parsed.unwrap_or_default()))
    }
}

/// Whether an address is on this machine.
fn is_here(address: &str) -> bool {
    url::Url::parse(address).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}
