//! Accounts, campaigns, ad groups, ads, audiences and the figures of each day
//! from the TikTok API for Business (<https://business-api.tiktok.com/portal/docs>).
//!
//! Parameters, nodes, tables, columns and keys are those of OWOX's connector. What
//! differs, because it went wrong there:
//!
//! - The state is kept for each advertiser and report, under keys such as
//!   `tiktok_ads_ad_insights/7300000000000000001`, and moves with the rows of each
//!   day. Days that failed are fetched by the next run.
//! - An advertiser that fails makes the run fail, with its name, after the others
//!   are done.
//! - Every metric that can be chosen is asked for: `cost` as `spend`, `engagement`
//!   as `engagements`, `video_views` as `video_play_actions`, `video_completion` as
//!   `video_views_p100`, `cpr` as `cost_per_result`, `cpa` as `cost_per_conversion`,
//!   `landing_page_views` as `total_landing_page_view`, the others under their own
//!   names. `fields.rs` tells each.
//! - `advertiser` is asked of `advertiser/info/`, which has the company and the
//!   currency and takes no app secret in its URL.
//! - `date_start` is there only where it is chosen, and `date_end` is filled.
//! - Figures come as text, and `-` where there is none: numbers are read exactly,
//!   `-` and the empty text become null in every column but those of text. What a
//!   column cannot hold is an error that names the field and the value; what no
//!   record has is told in the log.
//! - What a configuration misspells is refused, with the nearest name.

mod api;
mod fields;
mod import;
mod nodes;
mod plan;
mod settings;

use ow_connector::prelude::*;

pub use settings::Settings;

/// The connector.
#[derive(Debug)]
pub struct TikTokAds;

impl Connector for TikTokAds {
    type Config = Settings;
    const NAME: &'static str = "tiktok-ads";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "TikTok Ads";
    const DESCRIPTION: &'static str =
        "Imports accounts, campaigns, ad groups, ads, audiences and daily figures from TikTok Ads.";
    const DOCUMENTATION_URL: Option<&'static str> = Some("https://business-api.tiktok.com/portal/docs");
    const NETWORK: &'static [&'static str] = &[settings::PRODUCTION, settings::SANDBOX];

    fn streams(config: &Settings) -> Result<Vec<Stream>> {
        config.token()?;
        Ok(plan::imports(config)?.into_iter().map(|import| import.stream).collect())
    }

    fn http(config: &Settings, client: http::Client) -> http::Client {
        api::client(config, client)
    }

    fn check(ctx: &mut Context<Settings>) -> Result<()> {
        import::check(ctx)
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        import::run(ctx)
    }
}

ow_connector::export!(TikTokAds);
