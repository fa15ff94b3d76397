//! Tickets of a help desk, page by page.

use ow_connector::prelude::*;

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Settings {
    /// Where the API stands.
    #[serde(default = "Settings::base_url")]
    base_url: String,
    /// The token of your account.
    token: Secret,
    /// The day from which the first run and a backfill fetch.
    #[serde(default)]
    #[schemars(extend("x-backfill" = true))]
    start_date: Option<Date>,
}

impl Settings {
    fn base_url() -> String {
        "https://desk.example.com".to_owned()
    }
}

/// Tickets, one row each.
#[derive(Debug, Deserialize, Record)]
#[record(stream = "tickets", primary_key = "id", cursor = "updated_at")]
struct Ticket {
    /// The ticket's number.
    id: i64,
    /// What it is about.
    subject: String,
    /// Who works on it.
    assignee: Option<String>,
    /// When it last changed.
    updated_at: Timestamp,
}

/// The API's answer: tickets in the order in which they changed.
#[derive(Debug, Deserialize)]
struct Page {
    tickets: Vec<Ticket>,
    next: Option<u32>,
}

/// The connector.
#[derive(Debug)]
pub struct Tickets;

impl Connector for Tickets {
    type Config = Settings;
    const NAME: &'static str = "first-connector";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "Help desk tickets";
    const DESCRIPTION: &'static str = "Imports the tickets that changed since the last run.";
    const NETWORK: &'static [&'static str] = &["https://desk.example.com"];

    fn streams(_: &Settings) -> Result<Vec<Stream>> {
        Ok(vec![Ticket::stream()])
    }

    fn check(ctx: &mut Context<Settings>) -> Result<()> {
        fetch(ctx, None, 1).map(drop)
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        let last: Option<Timestamp> = ctx.state("tickets")?;
        let since = last.or(ctx.config().start_date.map(Date::midnight));
        let mut next = Some(1);
        while let Some(number) = next {
            let page = fetch(ctx, since, number)?;
            for ticket in &page.tickets {
                ctx.write(ticket)?;
            }
            if let Some(ticket) = page.tickets.last() {
                ctx.set_state("tickets", &ticket.updated_at)?;
            }
            ctx.commit()?; // These rows and this state, or neither.
            ctx.progress(number.into(), None, "pages");
            next = page.next;
        }
        Ok(())
    }
}

/// One page of the tickets that changed since then.
fn fetch(ctx: &Context<Settings>, since: Option<Timestamp>, page: u32) -> Result<Page> {
    let config = ctx.config();
    let mut request = ctx
        .http()
        .get(format!("{}/tickets", config.base_url.trim_end_matches('/')))
        .query("page", page)
        .bearer(&config.token);
    if let Some(since) = since {
        request = request.query("since", since);
    }
    request.send()?.json()
}

ow_connector::export!(Tickets);
