//! A run: each account, each node, each day.

use ow_connector::prelude::*;

use crate::api;
use crate::nodes::{NODES, Node, Source};
use crate::settings::Settings;

/// Where an answer has its records.
const LIST: &str = "/data";

/// The nodes to import, each with its table and its columns.
pub(crate) fn plan(config: &Settings) -> Result<Vec<Selection<&'static Node>>> {
    if config.fields.trim().is_empty() {
        let message = "name what to import, such as `ad-account/insights spend`";
        return Err(Error::config(message).parameter("Fields"));
    }
    let nodes = NODES.iter().map(|node| (node, node.stream()));
    select_fields(&config.fields, "Fields", config.tables.rename(nodes)?)
}

/// Reaches every account.
pub(crate) fn check(ctx: &mut Context<Settings>) -> Result<()> {
    let account = NODES.iter().find(|node| matches!(node.source, Source::Account));
    for id in &ctx.config().account_ids.0 {
        if let Some(node) = account {
            let columns = ["id".to_owned()];
            api::request(ctx, node, &columns, id, None)?.fetch().with_context(|| format!("account {id}"))?;
        }
    }
    Ok(())
}

/// Imports everything that is chosen.
pub(crate) fn run(ctx: &mut Context<Settings>) -> Result<()> {
    let config = ctx.config();
    let mut imports = Vec::new();
    for Selection { node, stream, fields: columns } in plan(&config)? {
        let name = stream.name.clone();
        imports.push(Import { node, name, table: ctx.open_stream(stream, node.open(&columns))?, columns });
    }
    let mut failures = Failures::new();
    for (index, account) in config.account_ids.0.iter().enumerate() {
        for import in &imports {
            if matches!(import.node.source, Source::Me) && index > 0 {
                continue;
            }
            let what = format!("account {account}, {}", import.node.name);
            failures.attempt(what, || import.run(ctx, account))?;
        }
    }
    failures.finish()
}

/// A node, its columns, and where they are written.
struct Import {
    node: &'static Node,
    /// The stream's name, where the state begins.
    name: String,
    table: Table,
    columns: Vec<String>,
}

impl Import {
    /// Imports what an account has of the node, and commits it.
    fn run(&self, ctx: &mut Context<Settings>, account: &str) -> Result<()> {
        match self.node.source {
            Source::Me | Source::Account => {
                let page = api::request(ctx, self.node, &self.columns, account, None)?.fetch()?;
                ctx.write_object(self.table, page.text()?)?;
                ctx.commit()
            }
            Source::List(_) => {
                self.pages(ctx, account, None)?;
                ctx.commit()
            }
            Source::Insights { .. } => {
                let key = format!("{}/{account}", self.name);
                let window = ctx.window(&key, &ctx.config().dates)?;
                info!("importing {} of account {account} from {window}", self.node.name);
                for day in window.range().days() {
                    self.pages(ctx, account, Some(day)).with_context(|| day)?;
                    ctx.imported(&window, day)?;
                }
                Ok(())
            }
        }
    }

    fn pages(&self, ctx: &mut Context<Settings>, account: &str, day: Option<Date>) -> Result<()> {
        let request = api::request(ctx, self.node, &self.columns, account, day)?;
        for page in request.pages(api::pages()) {
            ctx.write_page(self.table, &page?, LIST, &[])?;
        }
        Ok(())
    }
}
