//! The API as the configuration tells it: a client with its credentials, limits
//! and rules, and the request for a stream.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ow_connector::prelude::*;
use serde_json::Value;

use crate::answers::{self, Skipped};
use crate::plan::Source;
use crate::settings::{Auth, KeyPlace, Method, Oauth2, Pagination, SendAs, Settings};
use crate::template::{Scope, Template, fill_body};

/// The API.
pub(crate) struct Api {
    client: http::Client,
    config: Rc<Settings>,
    /// Whether the last failure is one that a rule skips.
    pub(crate) skipped: Skipped,
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

impl Api {
    pub(crate) fn new(config: Rc<Settings>, client: http::Client) -> Self {
        let skipped = Rc::new(Cell::new(false));
        let client = retrying(&config, client);
        let client = match config.rate_limit {
            Some(limit) => client.rate_limit(http::RateLimit::new(limit.requests, seconds(limit.seconds))),
            None => client,
        };
        let mut own = client.clone();
        if !config.errors.is_empty() {
            let (rules, skipped) = (Rc::clone(&config), Rc::clone(&skipped));
            own = own.judge(move |answer| answers::judge(&rules.errors, &skipped, answer));
        }
        if let Some(Auth::Oauth2(_)) = &config.auth {
            let config = Rc::clone(&config);
            // Servers that exchange refresh tokens take the old one only once.
            let rotated = RefCell::default();
            own = own.token(move || match &config.auth {
                Some(Auth::Oauth2(oauth)) => {
                    token(oauth, &client, &rotated).map_err(|error| error.context("a new token"))
                }
                _ => Err(Error::internal("there is no way to get a token")),
            });
        }
        Self { client: own, config, skipped }
    }

    /// The request for the first page of a stream.
    pub(crate) fn request(&self, source: &Source, scope: &Scope<'_>) -> Result<http::Request> {
        let settings = &source.settings;
        let path = source.path.fill_path(scope)?;
        let url = match path.contains("://") {
            true => path,
            false => {
                format!("{}/{}", self.config.base_url.trim_end_matches('/'), path.trim_start_matches('/'))
            }
        };
        let mut request = match settings.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url).idempotent(),
        };
        let fill = |template: &str| Template::parse(template)?.fill(scope);
        for (name, value) in self.config.query.iter().chain(&settings.query) {
            request = request.query(name, fill(&value.0)?);
        }
        let mut body = settings.body.as_ref().map(|body| fill_body(body, scope)).transpose()?;
        for (name, value) in source.parameters(scope) {
            match name.starts_with('/') {
                true => put(body.get_or_insert_with(|| Value::Object(Default::default())), name, value)?,
                false => request = request.query(name, value),
            }
        }
        for (name, value) in self.config.headers.iter().chain(&settings.headers) {
            request = request.header(name, fill(&value.0)?);
        }
        let request = self.authorized(request);
        let paged_body = settings.method == Method::Post;
        Ok(match body.or_else(|| paged_body.then(|| Value::Object(Default::default()))) {
            Some(body) => request.json(&body),
            None => request,
        })
    }

    fn authorized(&self, request: http::Request) -> http::Request {
        match &self.config.auth {
            Some(Auth::ApiKey { key, name, place, prefix }) => {
                let value = format!("{prefix}{}", key.expose());
                match place {
                    KeyPlace::Header => request.header(name, value),
                    KeyPlace::Query => request.query(name, value),
                }
            }
            Some(Auth::Bearer { token }) => request.bearer(token),
            Some(Auth::Basic { username, password }) => {
                request.basic(username, password.as_ref().map(Secret::expose).unwrap_or_default())
            }
            Some(Auth::Oauth2(_)) | None => request,
        }
    }

    /// How a stream is cut into pages.
    pub(crate) fn pagination(&self, source: &Source) -> http::Pagination {
        let records = source.settings.records.as_str();
        let optional = source.is_optional();
        let key = match &self.config.auth {
            Some(Auth::ApiKey { name, place: KeyPlace::Query, .. }) => Some(name),
            _ => None,
        };
        let Some(pagination) = &source.settings.pagination else { return http::Pagination::Single };
        match pagination {
            Pagination::Page {
                parameter,
                first,
                size_parameter,
                size,
                total_pages,
                total_records,
                ahead,
            } => {
                let mut pages =
                    http::PageNumber::new(parameter, records).first(*first).ahead(*ahead as usize);
                if let (Some(parameter), Some(size)) = (size_parameter, size) {
                    pages = pages.size(parameter, *size);
                }
                if let Some(at) = total_pages {
                    pages = pages.total_pages(at);
                }
                if let Some(at) = total_records {
                    pages = pages.total_records(at);
                }
                if optional { pages.optional_records() } else { pages }.into()
            }
            Pagination::Offset { parameter, first, size_parameter, size, total_records, ahead } => {
                let mut pages = http::Offset::new(parameter, records).first(*first).ahead(*ahead as usize);
                pages = pages.size(size_parameter, *size);
                if let Some(at) = total_records {
                    pages = pages.total_records(at);
                }
                if optional { pages.optional_records() } else { pages }.into()
            }
            Pagination::Cursor { parameter, at, more } => {
                let pages = http::Cursor::new(parameter, at);
                match more {
                    Some(more) => pages.more(more),
                    None => pages,
                }
                .into()
            }
            Pagination::NextUrl { at } => {
                key.into_iter().fold(http::NextUrl::new(at), |pages, key| pages.keep(key)).into()
            }
            Pagination::LinkHeader {} => {
                key.into_iter().fold(http::LinkHeader::new(), |pages, key| pages.keep(key)).into()
            }
        }
    }
}

fn retrying(config: &Settings, client: http::Client) -> http::Client {
    let default = http::Retry::default();
    let or = |given: Option<f64>, default: Duration| given.map_or(default, seconds);
    let retry = &config.retry;
    client.retry(http::Retry {
        attempts: retry.attempts.unwrap_or(default.attempts),
        first_wait: or(retry.first_wait_seconds, default.first_wait),
        longest_wait: or(retry.longest_wait_seconds, default.longest_wait),
        longest_retry_after: or(retry.longest_retry_after_seconds, default.longest_retry_after),
    })
}

/// Puts a value at a place in a body.
fn put(body: &mut Value, place: &str, value: String) -> Result<()> {
    let (parent, key) = place.rsplit_once('/').unwrap_or_default();
    let key = key.replace("~1", "/").replace("~0", "~");
    let object = body.pointer_mut(parent).and_then(Value::as_object_mut);
    let wrong = || Error::config(format!("the body has no object in which `{place}` could stand"));
    object.ok_or_else(wrong)?.insert(key, Value::String(value));
    Ok(())
}

/// What a token's server answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: Option<Value>,
    #[serde(default)]
    refresh_token: Option<String>,
}

/// Gets a token.
fn token(oauth: &Oauth2, client: &http::Client, rotated: &RefCell<Option<String>>) -> Result<http::Token> {
    let newer = rotated.borrow().clone();
    let mut form: Vec<(&str, &str)> = vec![match &oauth.refresh_token {
        Some(_) => ("grant_type", "refresh_token"),
        None => ("grant_type", "client_credentials"),
    }];
    let refresh = newer.as_deref().or(oauth.refresh_token.as_ref().map(Secret::expose));
    form.extend(refresh.map(|token| ("refresh_token", token)));
    form.extend(oauth.scope.as_deref().map(|scope| ("scope", scope)));
    form.extend(oauth.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let secret = oauth.client_secret.as_ref().map(Secret::expose);
    let mut request = client.post(&oauth.token_url).idempotent().header("accept", "application/json");
    match oauth.send_as {
        SendAs::Basic => request = request.basic(&oauth.client_id, secret.unwrap_or_default()),
        SendAs::Form => {
            form.push(("client_id", oauth.client_id.expose()));
            form.extend(secret.map(|secret| ("client_secret", secret)));
        }
    }
    let page = request.form(&form).fetch()?;
    // What is wrong with the answer is told without its text, which holds a token.
    let granted: Granted = serde_json::from_slice(page.bytes()).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        Error::invalid_data(format!(
            "{} answered something that holds no `access_token` ({place})",
            oauth.token_url
        ))
    })?;
    if let Some(new) = granted.refresh_token.filter(|_| oauth.refresh_token.is_some()) {
        debug!("the token's server sent a refresh token, which is kept for this run alone");
        rotated.replace(Some(new));
    }
    let lifetime = match granted.expires_in {
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_f64(),
        None => None,
    };
    let token = http::Token::bearer(granted.access_token);
    Ok(match lifetime {
        Some(lifetime) if lifetime > 0.0 => token.lifetime(seconds(lifetime)),
        _ => token,
    })
}
