//! The days that an import asks its source for: the parameters under OWOX's
//! names, and how far a stream got.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::run::Wanted;
use crate::secret::Ignored;
use crate::time::{Date, DateRange};

/// OWOX's parameters of time series, to be flattened into the settings:
/// `StartDate`, `EndDate` and `ReimportLookbackWindow`, which is 2 days where
/// the type does not say otherwise (`DateWindow<5>`).
///
/// ```
/// use ow_connector::prelude::*;
///
/// #[derive(Debug, Deserialize, JsonSchema)]
/// #[serde(rename_all = "PascalCase", deny_unknown_fields)]
/// struct Settings {
///     account: String,
///     #[serde(flatten)]
///     dates: DateWindow,
/// }
///
/// fn run(ctx: &mut Context<Settings>) -> Result<()> {
///     let config = ctx.config();
///     let window = ctx.window("clicks", &config.dates)?;
///     for day in window.range().days() {
///         // Fetch the day and write its rows, then:
///         ctx.imported(&window, day)?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DateWindow<const LOOKBACK: u32 = 2> {
    /// The first day of a backfill or a full refresh, and of the first import.
    #[serde(default, deserialize_with = "start_date")]
    #[schemars(extend("x-backfill" = true))]
    pub start_date: Option<Date>,
    /// The last day of a backfill or a full refresh; today by default.
    #[serde(default, deserialize_with = "end_date")]
    #[schemars(extend("x-backfill" = true))]
    pub end_date: Option<Date>,
    /// How many days before the last imported one are imported again.
    #[serde(default = "lookback::<LOOKBACK>", deserialize_with = "reimport")]
    pub reimport_lookback_window: u32,
}

impl<const LOOKBACK: u32> DateWindow<LOOKBACK> {
    /// The range that is asked for.
    pub fn wanted(&self) -> Wanted {
        Wanted::new(self.start_date, self.end_date)
    }
}

impl<const LOOKBACK: u32> Default for DateWindow<LOOKBACK> {
    fn default() -> Self {
        Self { start_date: None, end_date: None, reimport_lookback_window: LOOKBACK }
    }
}

fn lookback<const LOOKBACK: u32>() -> u32 {
    LOOKBACK
}

/// A value, or an error that names the parameter: flattening forgets it.
pub(crate) fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    name: &str,
    value: D,
) -> Result<T, D::Error> {
    T::deserialize(value).map_err(|error| serde::de::Error::custom(format_args!("`{name}`: {error}")))
}

fn start_date<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Date>, D::Error> {
    named("StartDate", value)
}

fn end_date<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Date>, D::Error> {
    named("EndDate", value)
}

fn reimport<'de, D: Deserializer<'de>>(value: D) -> Result<u32, D::Error> {
    named("ReimportLookbackWindow", value)
}

/// Parameters that OWOX's connectors share and that have no effect here, to be
/// flattened into the settings: `CleanUpToKeepWindow`, `CreateEmptyTables`,
/// `MaxFetchRetries`, `InitialRetryDelay`. The host creates tables, the client
/// tries again by what the source says.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Unused {
    #[serde(default, rename = "CleanUpToKeepWindow")]
    _clean_up_to_keep_window: Ignored,
    #[serde(default, rename = "CreateEmptyTables")]
    _create_empty_tables: Ignored,
    #[serde(default, rename = "MaxFetchRetries")]
    _max_fetch_retries: Ignored,
    #[serde(default, rename = "InitialRetryDelay")]
    _initial_retry_delay: Ignored,
}

/// The days that this run imports into one stream, or of one account; what
/// [`Context::window`](crate::Context::window) answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub(crate) key: String,
    pub(crate) range: DateRange,
    /// The last day that an earlier run imported.
    pub(crate) last: Option<Date>,
}

impl Window {
    /// The days, both ends included.
    pub fn range(&self) -> DateRange {
        self.range
    }

    /// How many of its days are done up to this one.
    pub(crate) fn progress(&self, through: Date) -> (u64, u64, String) {
        let days = |through: Date| u64::try_from(through - self.range.start + 1).unwrap_or(0);
        let unit = match self.key.split_once('/') {
            Some((_, account)) => format!("days of {account}"),
            None => "days".to_owned(),
        };
        (days(through), days(self.range.end), unit)
    }

    /// What the state says once all days up to this one are imported: never less
    /// than it said before, or a lookback that breaks off would grow from run to
    /// run; and never past days that this run leaves out, as a `CUSTOM` run may.
    pub(crate) fn reached(&self, through: Date) -> Imported {
        let date = match self.last {
            None => through,
            Some(last) if self.range.start <= last + 1 => last.max(through),
            Some(last) => last,
        };
        Imported { date }
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.range.fmt(f)
    }
}

/// The last day that was imported, as the state keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Imported {
    pub(crate) date: Date,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Connector;
    use crate::error::Result;
    use crate::prelude::{Context, Record, Stream};
    use crate::testing::{TestHost, spec};

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Settings {
        #[serde(default)]
        fail_on: Option<Date>,
        #[serde(flatten)]
        dates: DateWindow<3>,
        #[serde(flatten)]
        _unused: Unused,
    }

    #[derive(Record)]
    #[record(stream = "days", primary_key = "day")]
    struct Day {
        day: Date,
    }

    struct Days;

    impl Connector for Days {
        type Config = Settings;
        const NAME: &'static str = "days";
        const VERSION: &'static str = "1.0.0";
        const TITLE: &'static str = "";
        const DESCRIPTION: &'static str = "";

        fn streams(_: &Settings) -> Result<Vec<Stream>> {
            Ok(vec![Day::stream()])
        }

        fn run(ctx: &mut Context<Settings>) -> Result<()> {
            let config = ctx.config();
            let window = ctx.window("days", &config.dates)?;
            for day in window.range().days() {
                if config.fail_on == Some(day) {
                    return Err(crate::Error::unavailable("as asked for"));
                }
                ctx.write(&Day { day })?;
                ctx.imported(&window, day)?;
            }
            Ok(())
        }
    }

    fn host() -> TestHost {
        TestHost::new().now("2024-03-10T23:59:59Z")
    }

    fn days(run: &crate::testing::TestRun) -> (String, usize, String) {
        let rows = run.rows("days");
        let first = rows.first().map(|row| row["day"].to_string()).unwrap_or_default();
        (first, rows.len(), run.state("days").map(ToString::to_string).unwrap_or_default())
    }

    #[test]
    fn runs_go_on_with_the_lookback_of_the_type() {
        let run = host().state("days", json!({"date": "2024-03-02"})).run::<Days>();
        run.assert_ok();
        assert_eq!(days(&run), ("\"2024-02-28\"".to_owned(), 12, r#"{"date":"2024-03-10"}"#.to_owned()));
        let config =
            json!({"ReimportLookbackWindow": 0, "CreateEmptyTables": "whatever", "MaxFetchRetries": 7});
        let run = host().config(config).state("days", json!({"date": "2024-03-09"})).run::<Days>();
        assert_eq!(days(&run).1, 2);
    }

    #[test]
    fn progress_is_told_in_days() {
        let run = host().state("days", json!({"date": "2024-03-10"})).run::<Days>();
        let last = run.progress().last().cloned();
        assert_eq!((run.progress().len(), last), (4, Some((4, Some(4), "days".to_owned()))));
        let range = DateRange { start: Date::from_days(0), end: Date::from_days(9) };
        let window = Window { key: "ads/7".to_owned(), range, last: None };
        assert_eq!(window.progress(Date::from_days(1)), (2, 10, "days of 7".to_owned()));
    }

    #[test]
    fn a_run_that_fails_in_its_lookback_takes_nothing_back() {
        let config = json!({"FailOn": "2024-03-07"});
        let run = host().config(config).state("days", json!({"date": "2024-03-09"})).run::<Days>();
        assert_eq!(days(&run), ("\"2024-03-06\"".to_owned(), 1, r#"{"date":"2024-03-09"}"#.to_owned()));
    }

    #[test]
    fn a_run_of_later_days_does_not_pass_those_in_between() {
        let custom = |start: &str| {
            let config = json!({"StartDate": start, "EndDate": "2024-03-05"});
            host()
                .config(config)
                .state("days", json!({"date": "2024-03-01"}))
                .run_type("CUSTOM")
                .run::<Days>()
        };
        assert_eq!(days(&custom("2024-03-03")).2, r#"{"date":"2024-03-01"}"#);
        assert_eq!(days(&custom("2024-03-02")).2, r#"{"date":"2024-03-05"}"#);
    }

    #[test]
    fn wrong_parameters_are_named() {
        for (config, parameter, message) in [
            (
                json!({"StartDate": "1.2.2024"}),
                "StartDate",
                "`StartDate`: `1.2.2024` is not a date (YYYY-MM-DD)",
            ),
            (
                json!({"EndDate": 7}),
                "EndDate",
                "`EndDate`: invalid type: integer `7`, expected a date as text",
            ),
            (
                json!({"ReimportLookbackWindow": -1}),
                "ReimportLookbackWindow",
                "`ReimportLookbackWindow`: invalid value: integer `-1`, expected u32",
            ),
            (json!({"Starts": "2024-02-01"}), "Starts", "there is no parameter `Starts`"),
            (json!({"FailOn": "x"}), "FailOn", "`FailOn`: `x` is not a date (YYYY-MM-DD)"),
        ] {
            let error = host().config(config).check::<Days>().unwrap_err();
            assert_eq!((error.parameter_name(), error.message()), (Some(parameter), message));
        }
    }

    #[test]
    fn the_schema_is_that_of_parameters_written_out() {
        let schema = spec::<Days>().config_schema;
        let properties = &schema["properties"];
        assert_eq!(properties["StartDate"]["x-backfill"], true);
        assert_eq!(properties["EndDate"]["format"], "date");
        assert_eq!(properties["ReimportLookbackWindow"]["default"], 3);
        assert_eq!(properties["InitialRetryDelay"]["deprecated"], true);
        assert_eq!(schema["additionalProperties"], false);
        assert!(schema.get("required").is_none(), "{schema}");
    }
}
