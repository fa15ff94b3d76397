//! `OW_RUN_CONFIG`: what kind of run this is, and what it was given.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::time::{Date, DateRange};

/// The kind of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunType {
    /// Continues where the last run stopped.
    #[default]
    Incremental,
    /// Fetches a range again; leaves the stored state untouched.
    ManualBackfill,
    /// Fetches everything again and replaces the tables.
    FullRefresh,
    /// Does what its data says.
    Custom,
}

/// This run.
#[derive(Debug, Clone)]
pub struct Run {
    kind: RunType,
    data: Value,
    data_mart_id: String,
    run_id: String,
    today: Date,
    preview_rows: Option<usize>,
}

#[derive(Deserialize)]
struct RunConfig {
    #[serde(default, rename = "type")]
    kind: RunType,
    #[serde(default)]
    data: Value,
    #[serde(default, rename = "previewRows")]
    preview_rows: Option<usize>,
}

impl Run {
    pub(crate) fn new(
        config: Option<&str>,
        data_mart_id: String,
        run_id: String,
        today: Date,
    ) -> Result<Self> {
        let RunConfig { kind, data, preview_rows } = serde_json::from_str(config.unwrap_or("{}"))
            .map_err(|error| Error::config(format!("OW_RUN_CONFIG: {error}")))?;
        Ok(Self { kind, data, data_mart_id, run_id, today, preview_rows })
    }

    /// The kind of this run.
    pub fn kind(&self) -> RunType {
        self.kind
    }

    /// What the rows and the state belong to.
    pub fn data_mart_id(&self) -> &str {
        &self.data_mart_id
    }

    /// This run's own name.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The day on which it started, in UTC.
    pub fn today(&self) -> Date {
        self.today
    }

    /// In a preview, the rows of each stream that somebody wants to look at: the
    /// run is cancelled as soon as they are written. A page or a file that holds
    /// so many is enough.
    pub fn preview_rows(&self) -> Option<usize> {
        self.preview_rows
    }

    /// The run configuration's `data`, as an author's type: for `CUSTOM` runs.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.data).map_err(|error| Error::config(format!("data: {error}")))
    }

    /// Puts the values that a backfill overrides over the configured ones.
    pub(crate) fn override_parameters(&self, parameters: &mut Map<String, Value>) {
        if self.kind != RunType::ManualBackfill {
            return;
        }
        for item in self.data.as_array().into_iter().flatten() {
            if let (Some(name), Some(value)) =
                (item.get("configField").and_then(Value::as_str), item.get("value"))
            {
                parameters.insert(name.to_owned(), value.clone());
            }
        }
    }

    /// The days that this run asks its source for, both ends included, up to
    /// today:
    ///
    /// | run | first day | last day |
    /// |---|---|---|
    /// | with a `last` day in the state | `last` minus `lookback` days | today |
    /// | `INCREMENTAL` without it | `wanted.start`, else the first of the previous month | today |
    /// | `FULL_REFRESH`, `CUSTOM` | `wanted.start`, else the first of the previous month | `wanted.end` |
    /// | `MANUAL_BACKFILL` | `wanted.start`, which it needs | `wanted.end` |
    ///
    /// An end that is missing or in the future is today.
    pub fn date_range(&self, wanted: Wanted, last: Option<Date>, lookback: u32) -> Result<DateRange> {
        let today = self.today;
        let parameter =
            |error: Error, name: &str| if name.is_empty() { error } else { error.parameter(name) };
        let (start_name, end_name) = (wanted.start_parameter, wanted.end_parameter);
        let start = match (self.kind, last, wanted.start) {
            (RunType::Incremental, Some(last), _) => {
                last.min(today) - i32::try_from(lookback).unwrap_or(i32::MAX)
            }
            (_, _, Some(start)) => start,
            (RunType::ManualBackfill, ..) => {
                let error = Error::config(format!("a backfill needs its first day: give `{start_name}`"));
                return Err(parameter(error, start_name));
            }
            _ => today.first_of_previous_month(),
        };
        let end = match (self.kind, wanted.end) {
            (RunType::Incremental, _) | (_, None) => today,
            (_, Some(end)) if end > today => {
                log::info!("the last day asked for, {end}, is in the future; fetching up to {today}");
                today
            }
            (_, Some(end)) => end,
        };
        if start > today {
            let error =
                Error::config(format!("the first day, {start}, is in the future (today is {today} in UTC)"));
            return Err(parameter(error, start_name));
        }
        if end < start {
            let error = Error::config(format!("the last day, {end}, is before the first, {start}"));
            return Err(parameter(error, end_name));
        }
        Ok(DateRange { start, end })
    }
}

/// The range that the configuration asks for, and the names of its parameters.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The first day.
    pub start: Option<Date>,
    /// The last day.
    pub end: Option<Date>,
    /// The parameter that holds the first day.
    pub start_parameter: &'static str,
    /// The parameter that holds the last day.
    pub end_parameter: &'static str,
}

impl Wanted {
    /// A range under OWOX's parameter names, `StartDate` and `EndDate`.
    pub fn new(start: Option<Date>, end: Option<Date>) -> Self {
        Self { start, end, start_parameter: "StartDate", end_parameter: "EndDate" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(kind: &str, wanted: (&str, &str), last: &str, lookback: u32) -> Result<String> {
        let config = format!(r#"{{"type": "{kind}"}}"#);
        let today = "2024-03-15".parse()?;
        let run = Run::new(Some(&config), String::new(), String::new(), today)?;
        let wanted = Wanted::new(wanted.0.parse().ok(), wanted.1.parse().ok());
        run.date_range(wanted, last.parse().ok(), lookback).map(|range| range.to_string())
    }

    #[test]
    fn incremental_runs_go_on_from_the_last_day() {
        let range = |wanted, last, lookback| range("INCREMENTAL", wanted, last, lookback).unwrap();
        assert_eq!(range(("", ""), "2024-03-10", 2), "2024-03-08 to 2024-03-15");
        assert_eq!(range(("", ""), "2024-03-15", 0), "2024-03-15 to 2024-03-15");
        assert_eq!(range(("2020-01-01", "2020-02-01"), "2024-03-10", 1), "2024-03-09 to 2024-03-15");
        assert_eq!(range(("", ""), "2030-01-01", 0), "2024-03-15 to 2024-03-15");
        assert_eq!(range(("", ""), "", 2), "2024-02-01 to 2024-03-15");
        assert_eq!(range(("2020-01-01", ""), "", 2), "2020-01-01 to 2024-03-15");
    }

    #[test]
    fn backfills_need_a_start_and_end_today_at_the_latest() {
        let range = |wanted| range("MANUAL_BACKFILL", wanted, "2024-03-10", 2);
        assert_eq!(range(("2024-01-01", "2024-01-31")).unwrap(), "2024-01-01 to 2024-01-31");
        assert_eq!(range(("2024-01-01", "2030-01-01")).unwrap(), "2024-01-01 to 2024-03-15");
        assert_eq!(range(("2024-01-01", "")).unwrap(), "2024-01-01 to 2024-03-15");
        assert_eq!(range(("", "2024-01-31")).unwrap_err().parameter_name(), Some("StartDate"));
        assert_eq!(range(("2024-03-16", "")).unwrap_err().parameter_name(), Some("StartDate"));
        assert_eq!(range(("2024-02-01", "2024-01-31")).unwrap_err().parameter_name(), Some("EndDate"));
    }

    #[test]
    fn data_overrides_parameters_in_a_backfill_only() {
        for (kind, want) in [("MANUAL_BACKFILL", "new"), ("INCREMENTAL", "old")] {
            let config =
                format!(r#"{{"type": "{kind}", "data": [{{"configField": "StartDate", "value": "new"}}]}}"#);
            let run = Run::new(Some(&config), String::new(), String::new(), Date::MIN).unwrap();
            let mut parameters = Map::from_iter([("StartDate".to_owned(), Value::from("old"))]);
            run.override_parameters(&mut parameters);
            assert_eq!(parameters["StartDate"], want);
        }
    }

    #[test]
    fn an_unknown_type_is_a_configuration_error() {
        let error =
            Run::new(Some(r#"{"type": "SOMETIMES"}"#), String::new(), String::new(), Date::MIN).unwrap_err();
        assert!(error.to_string().contains("unknown variant `SOMETIMES`"), "{error}");
    }
}
