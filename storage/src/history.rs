//! What every storage keeps of a run beside its rows: which state waits for the
//! end of the run, and what the load history says of the tables.

use std::collections::BTreeMap;

use crate::{RunInfo, StateChanges, TableSchema, WriteMode};

/// Divides a commit's changes of the state: those that this commit makes, which
/// are the answer, and those that become visible with the replaced tables that
/// they tell of, which `held` takes. A backfill makes none.
pub(crate) fn split_state<'a>(
    changes: &StateChanges,
    run: &RunInfo,
    replaced: impl Iterator<Item = &'a TableSchema>,
    held: &mut StateChanges,
) -> StateChanges {
    if run.keep_state {
        return StateChanges::new();
    }
    let replaced: Vec<&str> = replaced.map(|schema| schema.name.as_str()).collect();
    let tells_of = |key: &str, name: &str| {
        key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let waits = |key: &str| run.full_refresh || replaced.iter().any(|name| tells_of(key, name));
    let (waiting, now) = changes.clone().into_iter().partition::<StateChanges, _>(|(key, _)| waits(key));
    held.extend(waiting);
    now
}

/// Makes changes in a state that is kept as a map.
#[cfg(any(feature = "athena", feature = "bigquery"))]
pub(crate) fn change_state(state: &mut BTreeMap<String, String>, changes: &StateChanges) {
    for (key, value) in changes {
        match value {
            Some(value) => state.insert(key.clone(), value.clone()),
            None => state.remove(key),
        };
    }
}

/// What the load history tells of a run so far.
pub(crate) struct Progress {
    /// Rows by stream, as JSON.
    pub(crate) rows: String,
    /// Mode and shape by stream, as JSON.
    pub(crate) schema: String,
    pub(crate) commits: u64,
}

impl Progress {
    /// Of these tables, each with its mode and rows, after so many commits.
    pub(crate) fn new<'a>(
        tables: impl Iterator<Item = (&'a TableSchema, WriteMode, u64)>,
        commits: u64,
    ) -> Self {
        let mut rows = BTreeMap::new();
        let mut shapes = BTreeMap::new();
        for (table, mode, count) in tables {
            rows.insert(&table.name, count);
            shapes.insert(&table.name, serde_json::json!({ "mode": mode, "table": table }));
        }
        Self {
            rows: serde_json::to_string(&rows).unwrap_or_default(),
            schema: serde_json::to_string(&shapes).unwrap_or_default(),
            commits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(keys: &[&str]) -> StateChanges {
        keys.iter().map(|key| ((*key).to_owned(), Some("1".to_owned()))).collect()
    }

    fn run(full_refresh: bool, keep_state: bool) -> RunInfo {
        RunInfo {
            data_mart_id: "dm".into(),
            run_id: "r".into(),
            run_type: String::new(),
            connector: String::new(),
            full_refresh,
            keep_state,
        }
    }

    fn split(run: &RunInfo) -> (StateChanges, StateChanges) {
        let table = TableSchema {
            name: "ads".into(),
            description: None,
            fields: Vec::new(),
            primary_key: Vec::new(),
            cursor_field: None,
            partition_field: None,
        };
        let mut held = changes(&["earlier"]);
        let given = changes(&["ads", "ads/7", "ads_by_day", "other"]);
        let now = split_state(&given, run, [&table].into_iter(), &mut held);
        (now, held)
    }

    #[test]
    fn state_of_replaced_tables_waits() {
        assert_eq!(
            split(&run(false, false)),
            (changes(&["ads_by_day", "other"]), changes(&["ads", "ads/7", "earlier"]))
        );
    }

    #[test]
    fn all_state_of_a_full_refresh_waits_and_a_backfill_keeps_none() {
        assert_eq!(split(&run(true, false)).0, changes(&[]));
        assert_eq!(split(&run(false, true)), (changes(&[]), changes(&["earlier"])));
    }
}
