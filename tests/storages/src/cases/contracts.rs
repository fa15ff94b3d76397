//! Contracts in front of a storage, and the quarantine of what they refuse.

use ow_storage::DataType::{Int64, Json, Text};
use ow_storage::WriteMode::{Append, Merge};
use ow_storage::contract::{Contract, Contracts, Refusals, Rule, enforce, quarantine};
use ow_storage::{Outcome, RunInfo, Storage, TableSchema, WriteMode};
use serde_json::json;

use super::refused;
use crate::place::{a_refresh, a_run, changes, write_all};
use crate::values::{Cells, Row, stream};
use crate::{Place, cells, row};

/// Opens the place with contracts in front of it.
fn guarded(place: &Place, run: &RunInfo, contract: Contract) -> (Box<dyn Storage>, Refusals) {
    let refusals = Refusals::default();
    let contracts = Contracts { every: contract, ..Contracts::default() };
    (enforce(place.open(run).unwrap(), contracts, run, refusals.clone()), refusals)
}

/// A run with contracts that has to succeed.
fn load(
    place: &Place,
    run: &RunInfo,
    contract: Contract,
    schema: &TableSchema,
    mode: WriteMode,
    rows: &[Row],
) {
    let (mut storage, refusals) = guarded(place, run, contract);
    write_all(storage.as_mut(), schema, mode, &[rows]).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    assert_eq!(refusals.table().is_some(), refusals.of(&schema.name) != Default::default());
}

/// What is in quarantine: run, stream, what was refused, the columns at fault, the
/// row.
fn in_quarantine(place: &Place) -> Vec<Cells> {
    let (storage, _) = guarded(place, &a_run("looks"), Contract::default());
    let name = storage.quarantine_name();
    drop(storage);
    let names = ["run_id", "stream", "refused", "column_names", "raw_row"];
    let mut table = quarantine::table();
    table.fields.retain(|field| names.contains(&field.name.as_str()));
    table.name = name;
    place.table(&table).map(|table| table.rows).unwrap_or_default()
}

fn people() -> TableSchema {
    stream("guarded", &[("*id", Int64), ("age", Int64)])
}

fn with_name() -> TableSchema {
    stream("guarded", &[("*id", Int64), ("age", Int64), ("name", Text)])
}

/// A frozen table takes what fits and refuses a new column by name; nothing of the
/// run is there then.
pub fn a_new_column_of_a_frozen_table_is_refused(place: &Place) {
    let frozen = Contract { column: Rule::Freeze, ..Contract::default() };
    load(place, &a_run("r1"), frozen, &people(), Merge, &[row![1, 30]]);
    let (mut storage, _) = guarded(place, &a_run("r2"), frozen);
    refused(write_all(storage.as_mut(), &with_name(), Merge, &[&[row![2, 40, "b"]]]), &["guarded", "name"]);
    storage.finish(Outcome::Failed, &changes(&[]), Some("refused")).unwrap();
    place.expect(&people(), &[cells![1, 30]]);
    assert!(in_quarantine(place).is_empty());
}

/// Values of a new column are left out, and their rows are kept whole in
/// quarantine.
pub fn values_of_a_new_column_go_to_quarantine(place: &Place) {
    let narrow = Contract { column: Rule::DropValue, ..Contract::default() };
    load(place, &a_run("r1"), narrow, &people(), Merge, &[row![1, 30]]);
    load(place, &a_run("r2"), narrow, &with_name(), Merge, &[row![1, 31, "a'\"\\"], row![2, 40, ()]]);
    place.expect(&people(), &[cells![1, 31], cells![2, 40]]);
    let raw = json!({ "age": 31, "id": 1, "name": "a'\"\\" }).to_string();
    assert_eq!(in_quarantine(place), [cells!["r2", "guarded", "value", json!(["name"]).to_string(), raw]]);
}

/// Rows whose value is of another type are left out, whatever the mode and the kind
/// of the run, and quarantine is added to, also by a full refresh.
pub fn rows_of_another_type_go_to_quarantine(place: &Place) {
    let strict = Contract { data_type: Rule::DropRow, ..Contract::default() };
    let text = stream("guarded", &[("*id", Int64), ("age", Text)]);
    load(place, &a_run("r1"), strict, &people(), Merge, &[row![1, 30]]);
    load(place, &a_run("r2"), strict, &text, Merge, &[row![1, "31"], row![2, "old"]]);
    place.expect(&people(), &[cells![1, 31]]);
    load(place, &a_refresh("r3"), strict, &text, Merge, &[row![3, "x"], row![4, "5"]]);
    place.expect(&people(), &[cells![4, 5]]);
    let first = cells![
        "r2",
        "guarded",
        "row",
        json!(["age"]).to_string(),
        json!({ "age": "old", "id": 2 }).to_string()
    ];
    let second = cells![
        "r3",
        "guarded",
        "row",
        json!(["age"]).to_string(),
        json!({ "age": "x", "id": 3 }).to_string()
    ];
    assert_eq!(in_quarantine(place), [first, second]);
}

/// A run that fails leaves nothing in quarantine that was not committed.
pub fn quarantine_belongs_to_the_commit(place: &Place) {
    let strict = Contract { table: Rule::DropRow, ..Contract::default() };
    let schema = stream("unknown", &[("id", Int64), ("what", Json)]);
    let (mut storage, _) = guarded(place, &a_run("r1"), strict);
    let table = storage.open_table(&schema, Append).unwrap();
    let write = |storage: &mut dyn Storage, id: i64| {
        storage.write(table, &crate::values::batch(&schema, &[row![id, "[1]"]])).unwrap();
    };
    write(storage.as_mut(), 1);
    storage.commit(&changes(&[("k", Some("1"))])).unwrap();
    write(storage.as_mut(), 2);
    storage.finish(Outcome::Failed, &changes(&[]), Some("the source is gone")).unwrap();
    drop(storage);
    let raw = json!({ "id": 1, "what": [1] }).to_string();
    assert_eq!(in_quarantine(place), [cells!["r1", "unknown", "row", (), raw]]);
    assert!(place.table(&schema).is_none());
}
