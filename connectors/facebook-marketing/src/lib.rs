//! Ad accounts, ads and the figures of each day from Facebook's Marketing API
//! (<https://developers.facebook.com/docs/marketing-api>).
//!
//! Parameters, nodes and keys are those of OWOX's connector. Its list of columns is
//! not published: the columns here are fields that the API documents, under the
//! API's own names. A configuration whose `Fields` names another one is refused,
//! with the nearest name. What differs otherwise, and why:
//!
//! - The key of `insights-by-link-url-asset` has `link_url_asset_id` too: without
//!   it, the links of an ad overwrite each other.
//! - Short links are not resolved: that would take requests to whatever address an
//!   ad names. `ProcessShortLinks` is accepted, and has no effect.
//! - The state is kept for each node and account, under keys such as
//!   `facebook_marketing_ad_account_insights/123`, and moves with the rows of each
//!   day. An account that fails makes the run fail, with its name, after the others
//!   are done.
//! - Days are those of the account's time zone, as everywhere at Facebook. Which
//!   days are asked for is reckoned in UTC.

mod api;
mod import;
mod nodes;
mod settings;

use ow_connector::prelude::*;

pub use settings::Settings;

/// The connector.
#[derive(Debug)]
pub struct FacebookMarketing;

impl Connector for FacebookMarketing {
    type Config = Settings;
    const NAME: &'static str = "facebook-marketing";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "Facebook Marketing";
    const DESCRIPTION: &'static str =
        "Imports ad accounts, ads and the figures of each day from Facebook's Marketing API.";
    const DOCUMENTATION_URL: Option<&'static str> =
        Some("https://developers.facebook.com/docs/marketing-api");
    const NETWORK: &'static [&'static str] = &[settings::API];

    fn streams(config: &Settings) -> Result<Vec<Stream>> {
        config.token()?;
        Ok(import::plan(config)?.into_iter().map(|chosen| chosen.stream).collect())
    }

    fn http(_: &Settings, client: http::Client) -> http::Client {
        client.header("accept", "application/json").judge(api::judge)
    }

    fn check(ctx: &mut Context<Settings>) -> Result<()> {
        import::check(ctx)
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        import::run(ctx)
    }
}

ow_connector::export!(FacebookMarketing);
