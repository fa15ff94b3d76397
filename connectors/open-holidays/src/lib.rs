//! Public holidays from the OpenHolidays API (<https://openholidaysapi.org>).
//!
//! Parameters and table are those of OWOX's connector of the same name.

use ow_connector::prelude::*;

/// What `Fields` calls the stream.
const NODE: &str = "publicHolidays";

/// Days that one request asks for: about what the API allows, three years.
const DAYS_A_REQUEST: i32 = 3 * 365;

/// The configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Settings {
    /// The country, as two letters (ISO 3166-1).
    #[serde(rename = "countryIsoCode", default = "Settings::country")]
    #[schemars(extend("pattern" = "^[A-Za-z]{2}$"))]
    country: String,
    /// The language of the holidays' names, as two letters (ISO 639-1).
    #[serde(rename = "languageIsoCode", default = "Settings::language")]
    #[schemars(extend("pattern" = "^[A-Za-z]{2}$"))]
    language: String,
    /// The columns to import, such as `publicHolidays id, publicHolidays date`; all of them by default.
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
    fn country() -> String {
        "CH".to_owned()
    }

    fn language() -> String {
        "EN".to_owned()
    }

    fn base_url() -> String {
        "https://openholidaysapi.org".to_owned()
    }

    /// The table, with the columns to import.
    fn table(&self) -> Result<Selection<&'static str>> {
        self.tables.select_one(&self.fields, NODE, Holiday::stream())
    }
}

/// Public holidays, each with its first and its last day.
#[derive(Record)]
#[record(stream = "open_holidays_public_holidays", primary_key = "id", partition = "date")]
struct Holiday<'a> {
    /// The holiday's id.
    id: &'a str,
    /// Its first day.
    date: Date,
    /// Its last day.
    end_date: Date,
    /// Its name in the configured language, else in English, else in the first language there is.
    name: Option<&'a str>,
    /// Such as `Public` or `Bank`.
    r#type: Option<&'a str>,
    /// Where it applies, such as `National` or `Regional`.
    #[record(rename = "regionalScope")]
    regional_scope: Option<&'a str>,
    /// For how long of the day, such as `FullDay`.
    #[record(rename = "temporalScope")]
    temporal_scope: Option<&'a str>,
    /// Whether it applies in the whole country.
    nationwide: bool,
}

/// A holiday as the API tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    id: String,
    start_date: Date,
    end_date: Option<Date>,
    #[serde(default)]
    name: Vec<Name>,
    r#type: Option<String>,
    regional_scope: Option<String>,
    temporal_scope: Option<String>,
    #[serde(default)]
    nationwide: bool,
}

#[derive(Deserialize)]
struct Name {
    language: String,
    text: String,
}

impl Source {
    fn row(&self, language: &str) -> Holiday<'_> {
        let in_language =
            |wanted: &str| self.name.iter().find(|name| name.language.eq_ignore_ascii_case(wanted));
        let name = in_language(language).or_else(|| in_language("EN")).or_else(|| self.name.first());
        Holiday {
            id: &self.id,
            date: self.start_date,
            end_date: self.end_date.unwrap_or(self.start_date),
            name: name.map(|name| name.text.as_str()),
            r#type: self.r#type.as_deref(),
            regional_scope: self.regional_scope.as_deref(),
            temporal_scope: self.temporal_scope.as_deref(),
            nationwide: self.nationwide,
        }
    }
}

/// The connector.
#[derive(Debug)]
pub struct OpenHolidays;

impl Connector for OpenHolidays {
    type Config = Settings;
    const NAME: &'static str = "open-holidays";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const TITLE: &'static str = "Open Holidays";
    const DESCRIPTION: &'static str = "Imports the public holidays of a country from the OpenHolidays API.";
    const DOCUMENTATION_URL: Option<&'static str> = Some("https://www.openholidaysapi.org/en/");
    const NETWORK: &'static [&'static str] = &["https://openholidaysapi.org"];

    fn streams(config: &Settings) -> Result<Vec<Stream>> {
        Ok(vec![config.table()?.stream])
    }

    fn check(ctx: &mut Context<Settings>) -> Result<()> {
        let today = ctx.run().today();
        fetch(ctx, DateRange { start: today, end: today })?
            .records::<Source>("")?
            .try_for_each(|holiday| holiday.map(drop))
    }

    fn run(ctx: &mut Context<Settings>) -> Result<()> {
        let config = ctx.config();
        let table = config.table()?;
        ctx.open::<Holiday<'_>>(table.open())?;
        let window = ctx.window(&table.stream.name, &config.dates)?;
        info!("importing holidays of {} from {window}", config.country);

        for chunk in window.range().chunks(DAYS_A_REQUEST) {
            let page = fetch(ctx, chunk)?;
            for holiday in page.records::<Source>("")? {
                ctx.write(&holiday?.row(&config.language))?;
            }
            ctx.imported(&window, chunk.end)?;
        }
        Ok(())
    }
}

/// The holidays of some days, both ends included.
fn fetch(ctx: &Context<Settings>, days: DateRange) -> Result<http::Page> {
    let config = ctx.config();
    ctx.http()
        .get(format!("{}/PublicHolidays", config.base_url.trim_end_matches('/')))
        .query("countryIsoCode", &config.country)
        .query("languageIsoCode", &config.language)
        .query("validFrom", days.start)
        .query("validTo", days.end)
        .header("accept", "application/json")
        .fetch()
}

ow_connector::export!(OpenHolidays);
