//! How rows meet the rows that are there: append, merge, replace, full refresh.

use ow_storage::DataType::{Float64, Int64, Text};
use ow_storage::WriteMode::{Append, Merge, Replace};
use ow_storage::{Outcome, TableSchema};

use super::refused;
use crate::place::{a_refresh, a_run, changes, write_all};
use crate::values::{batch, batch_of, log, people, stream};
use crate::{Place, cells, row};

/// Append adds, equal rows too.
pub fn append_adds(place: &Place) {
    let schema = log("events");
    place.load(&schema, Append, &[&[row![1, "a"], row![1, "a"]], &[row![2, ()]]]);
    place.load(&schema, Append, &[&[row![1, "a"]]]);
    place.expect(&schema, &[cells![1, "a"], cells![1, "a"], cells![1, "a"], cells![2, ()]]);
}

/// Merge inserts and updates.
pub fn merge_upserts(place: &Place) {
    let schema = people("upserts");
    place.load(&schema, Merge, &[&[row![1, "a"], row![2, "b"]]]);
    place.load(&schema, Merge, &[&[row![2, "c"], row![3, "d"]]]);
    place.load(&schema, Merge, &[&[row![1, ()]]]);
    place.expect(&schema, &[cells![1, ()], cells![2, "c"], cells![3, "d"]]);
}

/// The last row of a key wins: in a batch, across batches of one commit, and
/// across commits.
pub fn the_last_row_of_a_key_wins(place: &Place) {
    let schema = people("last");
    let mut storage = place.open(&a_run("r")).unwrap();
    let table = storage.open_table(&schema, Merge).unwrap();
    storage.write(table, &batch(&schema, &[row![1, "a"], row![2, "a"], row![1, "b"], row![3, "a"]])).unwrap();
    storage.write(table, &batch(&schema, &[row![2, "b"], row![4, "a"], row![4, "b"], row![4, "c"]])).unwrap();
    storage.commit(&changes(&[])).unwrap();
    storage.write(table, &batch(&schema, &[row![3, "b"]])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    place.expect(&schema, &[cells![1, "b"], cells![2, "b"], cells![3, "b"], cells![4, "c"]]);
}

/// Columns that a batch lacks keep their value in rows that are there, and are
/// null in new ones.
pub fn merge_keeps_columns_that_are_absent(place: &Place) {
    let schema = stream("partial", &[("*id", Int64), ("name", Text), ("score", Float64)]);
    place.load(&schema, Merge, &[&[row![1, "a", 1.0], row![2, "b", 2.0]]]);
    let mut storage = place.open(&a_run("r2")).unwrap();
    let table = storage.open_table(&schema, Merge).unwrap();
    storage.write(table, &batch_of(&schema, &["id", "score"], &[row![1, 9.0], row![3, 3.0]])).unwrap();
    storage.write(table, &batch_of(&schema, &["name", "id"], &[row!["c", 3], row!["d", 4]])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    place.expect(
        &schema,
        &[cells![1, "a", 9.0], cells![2, "b", 2.0], cells![3, "c", 3.0], cells![4, "d", ()]],
    );
}

/// The same within one commit, for a key that several batches touch with
/// different columns, one of them a null that counts.
pub fn absent_columns_of_rows_of_one_commit(place: &Place) {
    let schema = stream("patches", &[("*id", Int64), ("a", Text), ("b", Text)]);
    place.load(&schema, Merge, &[&[row![1, "old", "old"]]]);
    let mut storage = place.open(&a_run("r2")).unwrap();
    let table = storage.open_table(&schema, Merge).unwrap();
    storage.write(table, &batch_of(&schema, &["id", "a"], &[row![1, "first"], row![2, "first"]])).unwrap();
    storage.write(table, &batch_of(&schema, &["id", "b"], &[row![1, ()], row![2, "second"]])).unwrap();
    storage.write(table, &batch_of(&schema, &["id"], &[row![1], row![2], row![3]])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    place.expect(&schema, &[cells![1, "first", ()], cells![2, "first", "second"], cells![3, (), ()]]);
}

/// Rows that lack a column, added.
pub fn append_takes_rows_without_a_column(place: &Place) {
    let schema = log("sparse");
    let mut storage = place.open(&a_run("r")).unwrap();
    let table = storage.open_table(&schema, Append).unwrap();
    storage.write(table, &batch_of(&schema, &["name"], &[row!["a"]])).unwrap();
    storage.write(table, &batch_of(&schema, &["id"], &[row![2]])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    place.expect(&schema, &[cells![(), "a"], cells![2, ()]]);
}

/// Merge needs a key.
pub fn merge_without_a_key_is_refused(place: &Place) {
    refused(place.try_load(&log("keyless"), Merge, &[&[row![1, "a"]]]), &["keyless", "key"]);
}

/// Replace shows the old rows until the run ends well, whatever it commits.
pub fn replace_waits_for_the_end(place: &Place) {
    let schema = people("replaced");
    place.load(&schema, Replace, &[&[row![1, "old"], row![2, "old"]]]);
    let old = [cells![1, "old"], cells![2, "old"]];
    place.expect(&schema, &old);
    let mut storage = place.open(&a_run("r2")).unwrap();
    let table = storage.open_table(&schema, Replace).unwrap();
    storage.write(table, &batch(&schema, &[row![2, "new"], row![3, "first"]])).unwrap();
    storage.commit(&changes(&[("replaced", Some("2")), ("other", Some("2"))])).unwrap();
    place.expect(&schema, &old);
    storage.write(table, &batch(&schema, &[row![3, "second"]])).unwrap();
    storage.commit(&changes(&[("replaced/part", Some("3"))])).unwrap();
    place.expect(&schema, &old);
    assert_eq!(place.state().keys().collect::<Vec<_>>(), ["other"], "state of a replaced stream waits");
    storage.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    drop(storage);
    place.expect(&schema, &[cells![2, "new"], cells![3, "second"]]);
    assert_eq!(place.state().keys().collect::<Vec<_>>(), ["other", "replaced", "replaced/part"]);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

/// A replacement that fails leaves the old rows and the old state.
pub fn a_failed_replace_changes_nothing(place: &Place) {
    let schema = people("safe");
    place.load(&schema, Replace, &[&[row![1, "old"]]]);
    for outcome in [Outcome::Failed, Outcome::Interrupted] {
        let mut storage = place.open(&a_run("r2")).unwrap();
        write_all(storage.as_mut(), &schema, Replace, &[&[row![2, "new"]]]).unwrap();
        storage.commit(&changes(&[("safe", Some("2"))])).unwrap();
        storage.finish(outcome, &changes(&[("safe", Some("3"))]), Some("it broke")).unwrap();
        drop(storage);
        place.expect(&schema, &[cells![1, "old"]]);
        assert!(place.state().is_empty());
        assert_eq!(place.leftovers(), Vec::<String>::new());
    }
}

/// A replacement without rows empties the table.
pub fn replacing_with_nothing_empties_the_table(place: &Place) {
    let schema = people("emptied");
    place.load(&schema, Replace, &[&[row![1, "old"]]]);
    place.load(&schema, Replace, &[]);
    place.expect(&schema, &[]);
}

/// A full refresh replaces the table in every mode, and all of the state, when
/// it ends well.
pub fn a_full_refresh_replaces_rows_and_state(place: &Place) {
    for (mode, schema) in [(Append, log("fresh_log")), (Merge, people("fresh_people"))] {
        let name = schema.name.as_str();
        let mut storage = place.open(&a_run("r1")).unwrap();
        write_all(storage.as_mut(), &schema, mode, &[&[row![1, "old"], row![2, "old"]]]).unwrap();
        storage
            .finish(Outcome::Succeeded, &changes(&[(name, Some("1")), ("gone", Some("1"))]), None)
            .unwrap();
        drop(storage);
        refresh_after_a_failure(place, &schema, mode);
        let state: Vec<_> = place.state().into_iter().collect();
        assert_eq!(state, [(name.to_owned(), serde_json::json!(2))]);
        place.load(&schema, mode, &[&[row![3, "later"]]]);
        place.expect(&schema, &[cells![2, "new"], cells![3, "later"]]);
    }
}

fn refresh_after_a_failure(place: &Place, schema: &TableSchema, mode: ow_storage::WriteMode) {
    let before = (place.read(schema), place.state());
    let mut storage = place.open(&a_refresh("r2")).unwrap();
    write_all(storage.as_mut(), schema, mode, &[&[row![9, "failed"]]]).unwrap();
    storage.commit(&changes(&[(&schema.name, Some("9"))])).unwrap();
    storage.finish(Outcome::Failed, &changes(&[]), Some("it broke")).unwrap();
    drop(storage);
    assert_eq!((place.read(schema), place.state()), before);
    let mut storage = place.open(&a_refresh("r3")).unwrap();
    write_all(storage.as_mut(), schema, mode, &[&[row![2, "new"]]]).unwrap();
    storage.commit(&changes(&[(&schema.name, Some("2"))])).unwrap();
    assert_eq!((place.read(schema), place.state()), before);
    storage.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    drop(storage);
    place.expect(schema, &[cells![2, "new"]]);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}
