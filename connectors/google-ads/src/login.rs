//! Access tokens: fetched with a refresh token or a service account's key, kept
//! until they expire.

use ow_connector::prelude::*;

use crate::jwt;
use crate::settings::{AuthType, Settings};

/// How long before its end a token is not used any more, in seconds.
const MARGIN: i64 = 60;

/// What a service account asks to do.
const SCOPE: &str = "https://www.googleapis.com/auth/adwords";

/// The access token of a run.
#[derive(Default)]
pub(crate) struct Login {
    token: Option<Token>,
}

struct Token {
    text: String,
    end: Timestamp,
}

/// What Google answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: i64,
}

impl Login {
    /// Whether there is a token that has not expired: it may have been taken back.
    pub(crate) fn is_kept(&self, ctx: &Context<Settings>) -> bool {
        let now = ctx.now().seconds();
        self.token.as_ref().is_some_and(|token| token.end.seconds() - MARGIN > now)
    }

    /// Forgets the token.
    pub(crate) fn forget(&mut self) {
        self.token = None;
    }

    /// The token, a new one if there is none or it has expired.
    pub(crate) fn token(&mut self, ctx: &Context<Settings>) -> Result<String> {
        if let Some(token) = self.token.as_ref().filter(|_| self.is_kept(ctx)) {
            return Ok(token.text.clone());
        }
        // Without a token nothing else can succeed either.
        let granted = grant(ctx).map_err(Error::fatal).context("logging in")?;
        let end = Timestamp::from_seconds(ctx.now().seconds().saturating_add(granted.expires_in));
        self.token = Some(Token { text: granted.access_token.clone(), end });
        Ok(granted.access_token)
    }
}

/// Asks for a token.
fn grant(ctx: &Context<Settings>) -> Result<Granted> {
    let config = ctx.config();
    let request = ctx.http().post(&config.token_url).idempotent();
    let request = match &config.auth_type {
        AuthType::OAuth2(login) => request.form(&[
            ("grant_type", "refresh_token"),
            ("client_id", &login.client_id),
            ("client_secret", login.client_secret.expose()),
            ("refresh_token", login.refresh_token.expose()),
        ]),
        AuthType::ServiceAccount(login) => {
            let key = jwt::Key::parse(login.service_account_key.expose())
                .map_err(|error| error.parameter("AuthType.service_account.ServiceAccountKey"))?;
            let assertion = key.assertion(SCOPE, &config.token_url, ctx.now())?;
            request.form(&[
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", &assertion),
            ])
        }
    };
    request.fetch()?.value()
}
