//! Campaigns, ad groups, keywords and the figures of each day from the Google Ads
//! API (<https://developers.google.com/google-ads/api/docs/start>).
//!
//! Parameters, nodes and keys are those of OWOX's connector. Its list of columns is
//! not published: the columns here are those that Google documents for the node's
//! resource, named by a rule (see `nodes.rs`): an attribute has its resource before
//! it, as in `campaign_name`, a metric or segment has its own name, as in
//! `cost_micros` and `date`. A configuration whose `Fields` names another column is
//! refused, with the nearest name. What differs otherwise, and why:
//!
//! - `ad_group_id` belongs to the key of `keywords_stats`, and to that of
//!   `ad_group_ads_stats`: the same keyword in two ad groups has one id.
//! - `CustomerId` takes several accounts, separated by commas. One that fails makes
//!   the run fail, with its name, after the others are done.
//! - The state is kept for each node and account, under keys such as
//!   `google_ads_campaigns_stats/1234567890`, and moves with the rows of each day.
//! - Quotas and failures of a moment are tried again. An access token that expires
//!   is renewed.
//! - Days are those of the account's time zone, as everywhere at Google Ads. Which
//!   days are asked for is reckoned in UTC.

mod api;
mod import;
mod jwt;
mod login;
mod nodes;
mod settings;

use ow_connector::prelude::*;

pub use settings::Settings;

/// The connector.
#[derive(Debug)]
pub struct GoogleAds;

impl Connector for GoogleAds {
    type Config = Settings;
    const NAME: &'static str = "google-ads";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "Google Ads";
    const DESCRIPTION: &'static str =
        "Imports campaigns, ad groups, keywords and the figures of each day from Google Ads.";
    const DOCUMENTATION_URL: Option<&'static str> =
        Some("https://developers.google.com/google-ads/api/docs/start");
    const NETWORK: &'static [&'static str] = &[settings::API, settings::LOGIN];
    // Only a service account's key: the connector signs with it.
    const PLAIN_SECRETS: &'static [&'static str] = &["AuthType.service_account.ServiceAccountKey"];

    fn streams(config: &Settings) -> Result<Vec<Stream>> {
        config.customers()?;
        config.manager()?;
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

ow_connector::export!(GoogleAds);
