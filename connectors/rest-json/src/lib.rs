//! Any REST API with JSON answers, told by the configuration alone: requests,
//! credentials, pages, records, columns, what changed since the last run, days,
//! and streams below others. `docs/rest-json.md` tells how.

mod answers;
mod api;
mod format;
mod import;
mod learn;
mod mark;
mod plan;
mod settings;
mod table;
mod template;

use ow_connector::prelude::*;

use self::import::Importer;
use self::learn::Learned;
use self::plan::Plan;
pub use self::settings::Settings;

/// The connector.
#[derive(Debug)]
pub struct RestJson;

impl Connector for RestJson {
    type Config = Settings;
    const NAME: &'static str = "rest-json";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "REST API with JSON";
    const DESCRIPTION: &'static str = "Imports any REST API that answers in JSON: its configuration says what to ask and how, without code.";

    fn streams(config: &Settings) -> Result<Vec<Stream>> {
        let plan = Plan::new(config)?;
        let declared = plan.sources.iter().filter(|source| source.chosen.is_some() && !source.is_learned());
        let parent = |source: &plan::Source| source.parent.map(|parent| plan.source(parent)).transpose();
        declared
            .map(|source| table::stream(source, parent(source)?.as_deref(), &Learned::default(), &[]))
            .collect()
    }

    fn discover(ctx: &mut Context<Settings>) -> Result<Vec<Stream>> {
        Importer::new(ctx)?.discover()
    }

    fn check(ctx: &mut Context<Settings>) -> Result<()> {
        Importer::new(ctx)?.check()
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        Importer::new(ctx)?.run()
    }
}

ow_connector::export!(RestJson);
