//! A run: each account, each node, each day.

use ow_connector::prelude::*;
use serde_json::value::RawValue;

use crate::api;
use crate::login::Login;
use crate::nodes::{NODES, Node, Scope};
use crate::settings::Settings;

/// The nodes to import, each with its table and its columns.
pub(crate) fn plan(config: &Settings) -> Result<Vec<Selection<&'static Node>>> {
    let nodes = NODES.iter().map(|node| (node, node.stream()));
    select_fields(&config.fields, "Fields", config.tables.rename(nodes)?)
}

/// Reaches every account.
pub(crate) fn check(ctx: &mut Context<Settings>) -> Result<()> {
    let mut login = Login::default();
    let token = login.token(ctx)?;
    for customer in ctx.config().customers()? {
        for page in api::search(ctx, &token, &customer, "SELECT customer.id FROM customer LIMIT 1")? {
            page.with_context(|| format!("account {customer}"))?;
        }
    }
    Ok(())
}

/// Imports everything that is chosen.
pub(crate) fn run(ctx: &mut Context<Settings>) -> Result<()> {
    let config = ctx.config();
    let mut run = Run { login: Login::default(), failures: Failures::new() };
    let mut tables = Vec::new();
    for Selection { node, stream, fields: columns } in plan(&config)? {
        let name = stream.name.clone();
        tables.push(Import { node, name, table: ctx.open_stream(stream, node.open(&columns))?, columns });
    }
    for (index, customer) in config.customers()?.iter().enumerate() {
        for import in &tables {
            if import.node.scope == Scope::Google && index > 0 {
                continue;
            }
            run.import(ctx, import, customer)?;
        }
    }
    run.failures.finish()
}

/// A node, its columns, and where they are written.
struct Import {
    node: &'static Node,
    /// The stream's name, where the state begins.
    name: String,
    table: Table,
    columns: Vec<String>,
}

struct Run {
    login: Login,
    failures: Failures,
}

impl Run {
    /// Imports one node of one account; what fails is kept for the end.
    fn import(&mut self, ctx: &mut Context<Settings>, import: &Import, customer: &str) -> Result<()> {
        let Self { login, failures } = self;
        let what = format!("account {customer}, {}", import.node.name);
        failures.attempt(&what, || match import.node.scope {
            Scope::Daily => days(ctx, login, import, customer),
            Scope::Account | Scope::Google => {
                rows(ctx, login, import, customer, None)?;
                ctx.commit()
            }
        })?;
        Ok(())
    }
}

/// Imports each day of the window.
fn days(ctx: &mut Context<Settings>, login: &mut Login, import: &Import, customer: &str) -> Result<()> {
    let key = format!("{}/{customer}", import.name);
    let window = ctx.window(&key, &ctx.config().dates)?;
    info!("importing {} of account {customer} from {window}", import.node.name);
    for day in window.range().days() {
        rows(ctx, login, import, customer, Some(day)).with_context(|| day)?;
        ctx.imported(&window, day)?;
    }
    Ok(())
}

/// Imports the rows of a query. A token that Google does not take any more is
/// renewed once: rows that were written already are written again, over
/// themselves.
fn rows(
    ctx: &mut Context<Settings>,
    login: &mut Login,
    import: &Import,
    customer: &str,
    day: Option<Date>,
) -> Result<()> {
    let was_kept = login.is_kept(ctx);
    match write(ctx, login, import, customer, day) {
        Err(error) if was_kept && error.kind() == ErrorKind::Auth => {
            debug!("{error}; logging in again");
            login.forget();
            write(ctx, login, import, customer, day)
        }
        written => written,
    }
}

fn write(
    ctx: &mut Context<Settings>,
    login: &mut Login,
    import: &Import,
    customer: &str,
    day: Option<Date>,
) -> Result<()> {
    let token = login.token(ctx)?;
    let query = import.node.query(&import.columns, day);
    for page in api::search(ctx, &token, customer, &query)? {
        // A page without rows has no list of them.
        for row in page?.optional_records::<&RawValue>("/results")? {
            ctx.write_object(import.table, row?.get())?;
        }
    }
    Ok(())
}
