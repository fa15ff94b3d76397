//! The trait that an author implements, and the four calls of the contract made
//! from it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::Result;
use crate::http::Client;
use crate::stream::Stream;
use crate::{host, logging};

/// A connector: implement it and [`export!`](crate::export) the type.
pub trait Connector {
    /// The configuration's parameters. Doc comments describe them to the
    /// operator; `#[serde(default = …)]` gives defaults; [`Secret`](crate::Secret)
    /// marks credentials; `#[schemars(extend("x-backfill" = true))]` lets a
    /// backfill override a parameter.
    type Config: DeserializeOwned + JsonSchema;

    /// The short name, such as `open-holidays`.
    const NAME: &'static str;
    /// The version, mostly `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// The name for people.
    const TITLE: &'static str;
    /// One paragraph for people.
    const DESCRIPTION: &'static str;
    /// Where the documentation stands.
    const DOCUMENTATION_URL: Option<&'static str> = None;
    /// The HTTP origins it needs, such as `https://api.example.com`.
    const NETWORK: &'static [&'static str] = &[];
    /// The secret parameters it must compute with, for example to sign requests.
    const PLAIN_SECRETS: &'static [&'static str] = &[];

    /// The streams that a run with this configuration can produce.
    fn streams(config: &Self::Config) -> Result<Vec<Stream>>;

    /// The streams, for connectors that have to ask their source for them. What
    /// [`Connector::streams`] refuses is refused before.
    fn discover(ctx: &mut Context<Self::Config>) -> Result<Vec<Stream>> {
        Self::streams(&ctx.config())
    }

    /// Reaches the source with the configuration's credentials. What
    /// [`Connector::streams`] refuses is refused before.
    fn check(_ctx: &mut Context<Self::Config>) -> Result<()> {
        Ok(())
    }

    /// The client that [`Context::http`] answers, made once a run: the place for
    /// headers of every request, a rate limit, and an API's own words for errors.
    ///
    /// ```
    /// # use ow_connector::prelude::*;
    /// # #[derive(Deserialize, JsonSchema)]
    /// # struct Settings { token: Secret }
    /// # struct Shop;
    /// # impl Connector for Shop {
    /// #     type Config = Settings;
    /// #     const NAME: &'static str = "shop";
    /// #     const VERSION: &'static str = "1.0.0";
    /// #     const TITLE: &'static str = "";
    /// #     const DESCRIPTION: &'static str = "";
    /// #     fn streams(_: &Settings) -> Result<Vec<Stream>> { Ok(Vec::new()) }
    /// #     fn run(_: &mut Context<Settings>) -> Result<()> { Ok(()) }
    /// fn http(config: &Settings, client: http::Client) -> http::Client {
    ///     client
    ///         .header("x-shop-token", config.token.expose())
    ///         .rate_limit(http::RateLimit::per_second(4))
    /// }
    /// # }
    /// ```
    fn http(_config: &Self::Config, client: Client) -> Client {
        client
    }

    /// Fetches rows and writes them; returns when there are no more.
    fn run(ctx: &mut Context<Self::Config>) -> Result<()>;
}

/// What a connector says of itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Spec {
    /// The short name.
    pub name: &'static str,
    /// The version.
    pub version: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// One paragraph for people.
    pub description: &'static str,
    /// Where the documentation stands.
    pub documentation_url: Option<&'static str>,
    /// The JSON Schema of the configuration.
    pub config_schema: serde_json::Value,
    /// The HTTP origins it needs.
    pub network: &'static [&'static str],
    /// The secrets it must compute with.
    pub plain_secrets: &'static [&'static str],
}

impl Spec {
    /// The spec of a connector.
    pub fn of<C: Connector>() -> Self {
        let mut settings = SchemaSettings::draft2020_12();
        settings.inline_subschemas = true;
        Self {
            name: C::NAME,
            version: C::VERSION,
            title: C::TITLE,
            description: C::DESCRIPTION,
            documentation_url: C::DOCUMENTATION_URL,
            config_schema: settings.into_generator().into_root_schema_for::<C::Config>().to_value(),
            network: C::NETWORK,
            plain_secrets: C::PLAIN_SECRETS,
        }
    }
}

pub(crate) fn check<C: Connector>() -> Result<()> {
    let mut ctx = start::<C>()?;
    C::streams(&ctx.config())?;
    C::check(&mut ctx)
}

pub(crate) fn discover<C: Connector>() -> Result<Vec<Stream>> {
    let mut ctx = start::<C>()?;
    C::streams(&ctx.config())?;
    C::discover(&mut ctx)
}

pub(crate) fn run<C: Connector>() -> Result<()> {
    let mut ctx = start::<C>()?;
    C::run(&mut ctx)?;
    ctx.finish()
}

fn start<C: Connector>() -> Result<Context<C::Config>> {
    logging::install();
    let user_agent = format!("{}/{} (ow-connector)", C::NAME, C::VERSION);
    let mut ctx = Context::from_variables(host::variable, &user_agent)?;
    ctx.configure_http(C::http);
    Ok(ctx)
}
