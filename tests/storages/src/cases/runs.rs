//! Runs: what each leaves, what it finds, and two at once.

use std::collections::BTreeMap;

use ow_storage::WriteMode::{Append, Merge};
use ow_storage::{Outcome, StorageError, registry};
use serde_json::{Value, json};

use crate::place::{DATA_MART, a_backfill, a_run, changes, parsed, run_of, write_all};
use crate::values::{batch, log, people};
use crate::{Place, cells, row};

/// The second run of a data mart is refused and told who has it; the first goes
/// on undisturbed, and afterwards there is room for the next.
pub fn two_runs_at_once(place: &Place) {
    let schema = people("claimed");
    let mut first = place.open(&a_run("the-first-run")).unwrap();
    let table = first.open_table(&schema, Merge).unwrap();
    first.write(table, &batch(&schema, &[row![1, "a"]])).unwrap();
    match place.open(&a_run("the-second-run")).map(drop) {
        Err(StorageError::Busy { message }) => {
            assert!(message.contains("the-first-run"), "who has it? {message}");
            assert!(message.contains(DATA_MART), "what is it? {message}");
        }
        other => panic!("a second run had to be refused as busy, and was {other:?}"),
    }
    first.commit(&changes(&[("claimed", Some("1"))])).unwrap();
    first.write(table, &batch(&schema, &[row![2, "b"]])).unwrap();
    first.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    drop(first);
    place.load(&schema, Merge, &[&[row![3, "c"]]]);
    place.expect(&schema, &[cells![1, "a"], cells![2, "b"], cells![3, "c"]]);
}

/// Runs of different data marts do not wait for each other, and have their own
/// state.
pub fn data_marts_beside_each_other(place: &Place) {
    let mut first = place.open(&run_of("mart one", "r1")).unwrap();
    let mut second = place.open(&run_of("mart/two'\"", "r2")).unwrap();
    write_all(first.as_mut(), &people("one"), Merge, &[&[row![1, "a"]]]).unwrap();
    write_all(second.as_mut(), &people("two"), Merge, &[&[row![2, "b"]]]).unwrap();
    first.commit(&changes(&[("k", Some("1"))])).unwrap();
    second.commit(&changes(&[("k", Some("2"))])).unwrap();
    second.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    first.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    place.expect(&people("one"), &[cells![1, "a"]]);
    place.expect(&people("two"), &[cells![2, "b"]]);
    assert_eq!(place.state_of("mart one"), BTreeMap::from([("k".to_owned(), json!(1))]));
    assert_eq!(place.state_of("mart/two'\""), BTreeMap::from([("k".to_owned(), json!(2))]));
    assert!(place.state_of("mart three").is_empty());
}

/// A run that fails keeps its commits and drops the rest, state too.
pub fn a_failed_run_keeps_its_commits(place: &Place) {
    let schema = log("partly");
    for (number, outcome) in [(1, Outcome::Failed), (2, Outcome::Interrupted)] {
        let mut storage = place.open(&a_run("r")).unwrap();
        let table = storage.open_table(&schema, Append).unwrap();
        storage.write(table, &batch(&schema, &[row![number, "kept"]])).unwrap();
        storage.commit(&changes(&[("partly", Some(&number.to_string()))])).unwrap();
        storage.write(table, &batch(&schema, &[row![number, "dropped"]])).unwrap();
        storage.finish(outcome, &changes(&[("partly", Some("99"))]), Some("it broke")).unwrap();
        drop(storage);
        assert_eq!(place.state(), BTreeMap::from([("partly".to_owned(), json!(number))]));
    }
    place.expect(&schema, &[cells![1, "kept"], cells![2, "kept"]]);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

/// A run that is dropped without an end is one that failed, and does not keep
/// the next one out.
pub fn a_dropped_run_keeps_its_commits(place: &Place) {
    let (place, schema) = (place.another().in_a_hurry(), log("dropped"));
    let mut storage = place.open(&a_run("r1")).unwrap();
    let table = storage.open_table(&schema, Append).unwrap();
    storage.write(table, &batch(&schema, &[row![1, "kept"]])).unwrap();
    storage.commit(&changes(&[("dropped", Some("1"))])).unwrap();
    storage.write(table, &batch(&schema, &[row![2, "dropped"]])).unwrap();
    drop(storage);
    let mut storage = place.open_when_free(&a_run("r2"));
    assert_eq!(parsed(storage.state().unwrap()), BTreeMap::from([("dropped".to_owned(), json!(1))]));
    write_all(storage.as_mut(), &schema, Append, &[&[row![3, "next"]]]).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    place.expect(&schema, &[cells![1, "kept"], cells![3, "next"]]);
}

/// State is set, changed and removed, whatever it says.
pub fn state_is_kept_to_the_letter(place: &Place) {
    let long = format!("\"{}\"", "x".repeat(200_000));
    let values = [
        ("a", "1"),
        ("b", r#"{"cursor":"2024-01-01","more":[1,2]}"#),
        ("c/d", "\"it's \\\"quoted\\\" | \\n\\\\ 🎉\""),
        ("", "null"),
        ("'; DROP TABLE x; --", "true"),
        ("k\"`\n", "-1.5"),
        ("long", long.as_str()),
        ("A", "2"),
    ];
    let mut storage = place.open(&a_run("r1")).unwrap();
    let set: Vec<_> = values.iter().map(|(key, value)| (*key, Some(*value))).collect();
    storage.commit(&changes(&set)).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[("a", Some("3"))]), None).unwrap();
    drop(storage);
    let mut expected: BTreeMap<String, Value> =
        values.iter().map(|(key, value)| ((*key).to_owned(), serde_json::from_str(value).unwrap())).collect();
    expected.insert("a".to_owned(), json!(3));
    assert_eq!(place.state(), expected);
    let mut storage = place.open(&a_run("r2")).unwrap();
    assert_eq!(parsed(storage.state().unwrap()), expected);
    storage.commit(&changes(&[("b", None), ("", None), ("no such key", None)])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[("k\"`\n", None)]), None).unwrap();
    drop(storage);
    expected.retain(|key, _| !["b", "", "k\"`\n"].contains(&key.as_str()));
    assert_eq!(place.state(), expected);
}

/// A backfill writes rows and leaves the state alone.
pub fn a_backfill_leaves_the_state(place: &Place) {
    let schema = people("backfilled");
    let mut storage = place.open(&a_run("r1")).unwrap();
    write_all(storage.as_mut(), &schema, Merge, &[&[row![1, "a"]]]).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[("backfilled", Some("1"))]), None).unwrap();
    drop(storage);
    let mut storage = place.open(&a_backfill("r2")).unwrap();
    write_all(storage.as_mut(), &schema, Merge, &[&[row![0, "b"]]]).unwrap();
    storage.commit(&changes(&[("backfilled", Some("0")), ("new", Some("0"))])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[("backfilled", None)]), None).unwrap();
    drop(storage);
    place.expect(&schema, &[cells![0, "b"], cells![1, "a"]]);
    assert_eq!(place.state(), BTreeMap::from([("backfilled".to_owned(), json!(1))]));
}

/// Several streams and commits in one run, batches of theirs in turn.
pub fn streams_beside_each_other(place: &Place) {
    let streams = [people("left"), people("right"), log("middle")];
    let mut storage = place.open(&a_run("r")).unwrap();
    let tables: Vec<_> = streams
        .iter()
        .map(|schema| {
            let mode = if schema.primary_key.is_empty() { Append } else { Merge };
            storage.open_table(schema, mode).unwrap()
        })
        .collect();
    for round in 0..3 {
        for part in 0..2 {
            for (table, schema) in tables.iter().zip(&streams) {
                storage.write(*table, &batch(schema, &[row![round * 2 + part, "x"]])).unwrap();
            }
        }
        storage.commit(&changes(&[("round", Some(&round.to_string()))])).unwrap();
    }
    storage.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    drop(storage);
    let expected: Vec<_> = (0..6).map(|id| cells![id, "x"]).collect();
    for schema in &streams {
        place.expect(schema, &expected);
    }
    assert_eq!(place.state(), BTreeMap::from([("round".to_owned(), json!(2))]));
}

/// Commits without rows, and ends without commits.
pub fn commits_without_rows(place: &Place) {
    let mut storage = place.open(&a_run("r")).unwrap();
    assert!(storage.state().unwrap().is_empty());
    storage.commit(&changes(&[])).unwrap();
    storage.commit(&changes(&[("a", Some("1"))])).unwrap();
    storage.commit(&changes(&[])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[]), None).unwrap();
    drop(storage);
    let mut storage = place.open(&a_run("r2")).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[("b", Some("2"))]), None).unwrap();
    drop(storage);
    assert_eq!(place.state(), BTreeMap::from([("a".to_owned(), json!(1)), ("b".to_owned(), json!(2))]));
}

/// Looking whether the storage can be reached, and reading state, make nothing.
pub fn looking_changes_nothing(place: &Place) {
    // The names of a place that does not exist yet are those of the whole server.
    let place = &place.with_a_server_of_its_own();
    let before = place.names();
    let told = registry::reach(place.kind.storage(), &place.params, place.folder()).unwrap();
    assert!(!told.is_empty());
    assert!(place.state().is_empty());
    assert_eq!(place.names(), before);
    place.load(&people("there"), Merge, &[&[row![1, "a"]]]);
    let before = place.names();
    registry::reach(place.kind.storage(), &place.params, place.folder()).unwrap();
    assert_eq!(place.names(), before);
}
