//! Exchange rates of the Canadian dollar from the Bank of Canada's Valet API
//! (<https://www.bankofcanada.ca/valet/docs>).
//!
//! Parameters and table are those of OWOX's connector of the same name.

use std::collections::BTreeMap;

use ow_connector::prelude::*;

/// What `Fields` calls the stream.
const NODE: &str = "observations/group";

/// Where an answer has its days.
const LIST: &str = "/observations";

/// What stands before the currencies in the name of a series, `FXUSDCAD`.
const PREFIX: &str = "FX";

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Settings {
    /// The columns to import, such as `observations/group rate`; all of them by default.
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
    fn base_url() -> String {
        "https://www.bankofcanada.ca".to_owned()
    }

    /// The table, with the columns to import.
    fn table(&self) -> Result<Selection<&'static str>> {
        self.tables.select_one(&self.fields, NODE, Rate::stream())
    }
}

/// Daily exchange rates, one row a day and pair of currencies.
#[derive(Record)]
#[record(stream = "bank_of_canada_exchange_rates", primary_key = ["date", "label"], partition = "date")]
struct Rate<'a> {
    /// The day.
    date: Date,
    /// The pair of currencies, such as `USDCAD`: what one of the first costs in the second.
    label: &'a str,
    /// The rate, exactly as it was published.
    rate: &'a Decimal<24, 10>,
}

/// The series of one day: `{"d": "2024-03-15", "FXUSDCAD": {"v": "1.3534"}}`.
#[derive(Deserialize)]
struct Observation {
    d: Date,
    #[serde(flatten)]
    series: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Value {
    /// Absent, or empty, on days without a rate.
    #[serde(default, deserialize_with = "published")]
    v: Option<Decimal<24, 10>>,
}

fn published<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal<24, 10>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

/// The connector.
#[derive(Debug)]
pub struct BankOfCanada;

impl Connector for BankOfCanada {
    type Config = Settings;
    const NAME: &'static str = "bank-of-canada";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "Bank of Canada";
    const DESCRIPTION: &'static str = "Imports the daily exchange rates of the Canadian dollar.";
    const DOCUMENTATION_URL: Option<&'static str> = Some("https://www.bankofcanada.ca/valet/docs");
    const NETWORK: &'static [&'static str] = &["https://www.bankofcanada.ca"];

    fn streams(config: &Settings) -> Result<Vec<Stream>> {
        Ok(vec![config.table()?.stream])
    }

    fn check(ctx: &mut Context<Settings>) -> Result<()> {
        let today = ctx.run().today();
        fetch(ctx, DateRange { start: today, end: today })?
            .records::<Observation>(LIST)?
            .try_for_each(|day| day.map(drop))
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        let config = ctx.config();
        let table = config.table()?;
        ctx.open::<Rate<'_>>(table.open())?;
        let window = ctx.window(&table.stream.name, &config.dates)?;
        info!("importing exchange rates from {window}");

        let page = fetch(ctx, window.range())?;
        for day in page.records::<Observation>(LIST)? {
            let day = day?;
            for (series, value) in &day.series {
                if let (Some(label), Some(rate)) = (series.strip_prefix(PREFIX), &value.v) {
                    ctx.write(&Rate { date: day.d, label, rate })?;
                }
            }
        }
        ctx.imported(&window, window.range().end)
    }
}

/// The rates of some days, both ends included.
fn fetch(ctx: &Context<Settings>, days: DateRange) -> Result<http::Page> {
    let base = ctx.config();
    ctx.http()
        .get(format!("{}/valet/observations/group/FX_RATES_DAILY/json", base.base_url.trim_end_matches('/')))
        .query("start_date", days.start)
        .query("end_date", days.end)
        .header("accept", "application/json")
        .fetch()
}

ow_connector::export!(BankOfCanada);
