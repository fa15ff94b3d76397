//! Access tokens: from a service account's key, from OAuth with a refresh token,
//! or from the machine (application-default credentials). A token that expires
//! in the middle of a run is renewed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use google_cloud_auth::credentials::{self, AccessTokenCredentials};
use serde_json::Value;
use tokio::sync::Mutex;

use super::trouble::{ApiError, Trouble};
use crate::StorageError;

/// What the token allows.
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";
/// Where refresh tokens are taken.
pub(super) const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
/// How long before its end a token is renewed.
const MARGIN: Duration = Duration::from_secs(60);

/// Which credentials the parameters hold.
#[derive(Clone)]
pub(super) enum Credentials {
    /// None: an emulator.
    Anonymous,
    /// The machine's.
    Machine,
    /// The key of a service account, as JSON.
    ServiceAccount(Value),
    /// An access token, and what renews it.
    OAuth(OAuth),
}

/// An access token and what renews it.
#[derive(Clone)]
pub(super) struct OAuth {
    pub(super) token: Option<String>,
    pub(super) expires: Option<SystemTime>,
    pub(super) refresh: Option<Refresh>,
}

/// What renews an access token.
#[derive(Clone)]
pub(super) struct Refresh {
    pub(super) token: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) url: String,
}

/// Hands out access tokens.
pub(super) struct Auth {
    source: Source,
}

enum Source {
    Anonymous,
    Google { credentials: Credentials, live: Mutex<Option<AccessTokenCredentials>> },
    OAuth(Mutex<OAuth>),
}

/// A time as OWOX writes it: milliseconds since 1970.
pub(super) fn time(millis: f64) -> Option<SystemTime> {
    let seconds = Duration::try_from_secs_f64(millis / 1000.0).ok()?;
    UNIX_EPOCH.checked_add(seconds)
}

impl Auth {
    pub(super) fn new(credentials: Credentials) -> Self {
        let source = match credentials {
            Credentials::Anonymous => Source::Anonymous,
            Credentials::OAuth(oauth) => Source::OAuth(Mutex::new(oauth)),
            credentials => Source::Google { credentials, live: Mutex::new(None) },
        };
        Self { source }
    }

    /// A token that is good now; none for an emulator.
    pub(super) async fn token(&self, http: &reqwest::Client) -> Result<Option<String>, Trouble> {
        match &self.source {
            Source::Anonymous => Ok(None),
            Source::Google { credentials, live } => {
                let mut live = live.lock().await;
                let source = match live.take() {
                    Some(source) => source,
                    None => build(credentials)?,
                };
                let token = source.access_token().await;
                *live = Some(source);
                token.map(|token| Some(token.token)).map_err(|error| no_token(&error, error.is_transient()))
            }
            Source::OAuth(oauth) => {
                let mut oauth = oauth.lock().await;
                let soon = SystemTime::now() + MARGIN;
                let ends = oauth.token.is_none() || oauth.expires.is_some_and(|expires| expires < soon);
                if ends && oauth.refresh.is_some() {
                    renew(http, &mut oauth).await?;
                }
                Ok(oauth.token.clone())
            }
        }
    }

    /// Takes note that BigQuery refused a token; whether another one can be had.
    pub(super) async fn refused(&self, token: Option<&str>) -> bool {
        match &self.source {
            Source::Anonymous => false,
            Source::Google { live, .. } => {
                *live.lock().await = None;
                true
            }
            Source::OAuth(oauth) => {
                let mut oauth = oauth.lock().await;
                if oauth.token.as_deref() == token && oauth.refresh.is_some() {
                    oauth.token = None;
                }
                oauth.refresh.is_some()
            }
        }
    }
}

fn build(credentials: &Credentials) -> Result<AccessTokenCredentials, Trouble> {
    let built = match credentials {
        Credentials::ServiceAccount(key) => credentials::service_account::Builder::new(key.clone())
            .with_access_specifier(credentials::service_account::AccessSpecifier::from_scopes([SCOPE]))
            .build_access_token_credentials(),
        _ => credentials::Builder::default().with_scopes([SCOPE]).build_access_token_credentials(),
    };
    built.map_err(|error| {
        let message = match credentials {
            // The error may quote what it could not read.
            Credentials::ServiceAccount(_) => {
                "`ServiceAccountJson` is not the key of a service account; make a new key in the console"
                    .to_owned()
            }
            _ => format!("the machine's Google credentials cannot be used: {error}"),
        };
        Trouble::Storage(StorageError::Config {
            message,
            parameter: matches!(credentials, Credentials::ServiceAccount(_))
                .then(|| "ServiceAccountJson".to_owned()),
        })
    })
}

fn no_token(error: &dyn std::error::Error, transient: bool) -> Trouble {
    let mut message = format!(
        "no access token for BigQuery: {error}; set `ServiceAccountJson` or `OAuthAccessToken`, or run `gcloud auth application-default login`"
    );
    if let Some(source) = error.source() {
        message = format!("{message} ({source})");
    }
    Trouble::Storage(if transient {
        StorageError::Failed { message, retryable: true }
    } else {
        StorageError::Config { message, parameter: None }
    })
}

/// Gets a new access token for the refresh token.
async fn renew(http: &reqwest::Client, oauth: &mut OAuth) -> Result<(), Trouble> {
    let Some(refresh) = oauth.refresh.clone() else { return Ok(()) };
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", &refresh.token)
        .append_pair("client_id", &refresh.client_id)
        .append_pair("client_secret", &refresh.client_secret)
        .finish();
    let mut last = None;
    for attempt in 0..4_u32 {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_millis(250 << attempt)).await;
        }
        let sent = http
            .post(&refresh.url)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.clone())
            .send()
            .await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                last = Some(silent(&error));
                continue;
            }
        };
        let status = answer.status().as_u16();
        let body = answer.bytes().await.unwrap_or_default();
        let parsed: Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(token) = parsed.get("access_token").and_then(Value::as_str) {
            oauth.token = Some(token.to_owned());
            let seconds = parsed.get("expires_in").and_then(Value::as_u64);
            // A token that lives shorter than the margin is used to its end.
            oauth.expires = seconds
                .filter(|seconds| *seconds > MARGIN.as_secs())
                .and_then(|seconds| SystemTime::now().checked_add(Duration::from_secs(seconds)));
            return Ok(());
        }
        if status < 500 && status != 429 {
            let word = |key| parsed.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            return Err(Trouble::Storage(StorageError::Config {
                message: format!(
                    "`OAuthRefreshToken` gives no access token: {} {}; let the user sign in again",
                    word("error"),
                    word("error_description")
                ),
                parameter: Some("OAuthRefreshToken".to_owned()),
            }));
        }
        last = Some(Trouble::Api(ApiError::from_body(status, &body)));
    }
    Err(last.unwrap_or_else(|| Trouble::internal("no access token")))
}

fn silent(error: &reqwest::Error) -> Trouble {
    // Without the address: it may have a secret in it.
    let error = if error.is_timeout() { "timed out" } else { "no connection" };
    Trouble::Silent { what: "the request for an access token".to_owned(), error: error.to_owned() }
}
