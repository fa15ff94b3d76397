//! Daily exchange rates from Open Exchange Rates
//! (<https://docs.openexchangerates.org/reference/historical-json>).
//!
//! Parameters, table, key and columns are those of OWOX's connector of the same
//! name. What differs, because it went wrong there:
//!
//! - A key that is refused ends the run as such, and no state moves: there, such a
//!   run is a success without rows.
//! - The state moves with the rows of each day.
//! - `Fields` counts.
//! - `Symbols` and `base` are checked: what is no currency's code is an error, and
//!   a code that the source does not have is told in the log.
//! - Requests that fail are tried again where that helps. What the plan does not
//!   allow is not, though the source says so with the status of a rate limit.

use std::collections::{BTreeMap, BTreeSet};

use ow_connector::http::{Answer, Verdict};
use ow_connector::prelude::*;

/// What `Fields` calls the stream.
const NODE: &str = "historical";

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Settings {
    /// The App ID of your account.
    app_id: Secret,
    /// The currency whose price is told, as three letters. Others than `USD` need a paid plan.
    #[serde(rename = "base", default = "Settings::base")]
    #[schemars(extend("pattern" = "^[A-Za-z]{3}$"))]
    base: String,
    /// The currencies to import, such as `EUR,GBP`; all of them by default.
    #[serde(default)]
    symbols: String,
    /// The columns to import, such as `historical rate`; all of them by default.
    #[serde(default)]
    fields: String,
    #[serde(flatten)]
    tables: TableNames,
    #[serde(flatten)]
    dates: DateWindow,
    /// Where the API stands.
    #[serde(default = "Settings::base_url")]
    base_url: String,
    #[serde(flatten)]
    _unused: Unused,
}

impl Settings {
    fn base() -> String {
        "USD".to_owned()
    }

    fn base_url() -> String {
        "https://openexchangerates.org".to_owned()
    }

    /// The table, with the columns to import.
    fn table(&self) -> Result<Selection<&'static str>> {
        self.tables.select_one(&self.fields, NODE, Rate::stream())
    }

    /// The currencies to import; none stands for all. Whatever is no letter
    /// separates them.
    fn wanted(&self) -> Result<BTreeSet<String>> {
        let codes = self.symbols.split(|c: char| !c.is_alphanumeric()).filter(|code| !code.is_empty());
        codes.map(|code| currency(code, "Symbols")).collect()
    }
}

/// The code of a currency, in capitals.
fn currency(code: &str, parameter: &str) -> Result<String> {
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Ok(code.to_ascii_uppercase());
    }
    let message = format!("`{code}` is no currency: write three letters, such as `EUR`");
    Err(Error::config(message).parameter(parameter))
}

/// Daily exchange rates, one row a day and currency.
#[derive(Record)]
#[record(
    stream = "open_exchange_rates_historical",
    primary_key = ["date", "base", "currency"],
    partition = "date"
)]
struct Rate<'a> {
    /// The day, in UTC.
    date: Date,
    /// The currency whose price is told.
    base: &'a str,
    /// The currency in which it is told.
    currency: &'a str,
    /// What one unit of the base costs in the currency: at the end of the day, or as of now for today.
    rate: f64,
}

/// The rates of a day as the API tells them.
#[derive(Deserialize)]
struct Historical {
    base: String,
    rates: BTreeMap<String, f64>,
}

/// How the API tells a failure.
#[derive(Deserialize)]
struct Refusal {
    message: String,
    #[serde(default)]
    description: String,
}

/// The connector.
#[derive(Debug)]
pub struct OpenExchangeRates;

impl Connector for OpenExchangeRates {
    type Config = Settings;
    const NAME: &'static str = "open-exchange-rates";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "Open Exchange Rates";
    const DESCRIPTION: &'static str = "Imports the exchange rates of each day from Open Exchange Rates.";
    const DOCUMENTATION_URL: Option<&'static str> = Some("https://docs.openexchangerates.org");
    const NETWORK: &'static [&'static str] = &["https://openexchangerates.org"];

    fn streams(config: &Settings) -> Result<Vec<Stream>> {
        config.wanted()?;
        currency(&config.base, "base")?;
        Ok(vec![config.table()?.stream])
    }

    fn http(_: &Settings, client: http::Client) -> http::Client {
        client.header("accept", "application/json").judge(judge)
    }

    fn check(ctx: &mut Context<Settings>) -> Result<()> {
        fetch(ctx, ctx.run().today(), &ctx.config().wanted()?).map(drop)
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        let config = ctx.config();
        let wanted = config.wanted()?;
        let table = config.table()?;
        ctx.open::<Rate<'_>>(table.open())?;
        let window = ctx.window(&table.stream.name, &config.dates)?;
        info!("importing exchange rates of {} from {window}", config.base.to_ascii_uppercase());

        let mut missing = wanted.clone();
        for day in window.range().days() {
            let Historical { base, rates } = fetch(ctx, day, &wanted)?;
            for (currency, rate) in &rates {
                missing.remove(currency);
                ctx.write(&Rate { date: day, base: &base, currency, rate: *rate })?;
            }
            ctx.imported(&window, day)?;
        }
        for currency in missing {
            warn!("the source has no rate of `{currency}` on any day from {window}: check `Symbols`");
        }
        Ok(())
    }
}

/// The rates of a day.
fn fetch(ctx: &Context<Settings>, day: Date, wanted: &BTreeSet<String>) -> Result<Historical> {
    let config = ctx.config();
    let asked = config.base.to_ascii_uppercase();
    let url = format!("{}/api/historical/{day}.json", config.base_url.trim_end_matches('/'));
    let mut request = ctx.http().get(url).query("base", &asked);
    if !wanted.is_empty() {
        request = request.query("symbols", wanted.iter().cloned().collect::<Vec<_>>().join(","));
    }
    let page = request.query("app_id", config.app_id.expose()).fetch()?;
    let answer: Historical = page.value()?;
    if !answer.base.eq_ignore_ascii_case(&asked) {
        let message =
            format!("the rates of {day} are those of `{}`, and `{asked}` was asked for", answer.base);
        return Err(Error::invalid_data(message));
    }
    if answer.rates.is_empty() && wanted.is_empty() {
        return Err(Error::invalid_data(format!("the source has no rates of {day}")));
    }
    Ok(answer)
}

/// What an answer means. A status alone does not tell: 429 is a plan that does not
/// allow something, or one that is used up.
fn judge(answer: &Answer<'_>) -> Verdict {
    if (200..300).contains(&answer.status()) {
        return Verdict::Accept;
    }
    let Ok(Refusal { message, description }) = answer.json() else { return answer.by_status() };
    let told = format!("{message}: {description}");
    Verdict::Fail(match message.as_str() {
        "missing_app_id" | "invalid_app_id" | "app_id_inactive" => Error::auth(told).parameter("AppId"),
        "not_allowed" => Error::auth(format!("the plan of this App ID does not allow it: {told}")),
        "access_restricted" if answer.status() == 429 => Error::rate_limited(told),
        "access_restricted" => Error::auth(told),
        "invalid_base" => Error::config(told).parameter("base"),
        "not_available" | "invalid_date" => Error::config(told).parameter("StartDate"),
        _ => return answer.by_status(),
    })
}

ow_connector::export!(OpenExchangeRates);
