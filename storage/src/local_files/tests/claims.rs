//! One run a data mart and one a table, and what runs that died leave behind.

use super::*;

#[test]
fn a_second_run_of_a_data_mart_is_told_who_has_it() {
    let folder = Folder::new();
    let storage = folder.open();
    let error = folder.try_open(&run("r2")).err().unwrap();
    assert!(matches!(error, StorageError::Busy { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "data mart `dm` is being written by run `r1` (process {}); wait until that run ends, or stop it",
            std::process::id()
        )
    );
    drop(storage);
    folder.open_as(&run("r3"));
}

#[test]
fn two_data_marts_share_a_folder_but_not_a_table() {
    let folder = Folder::new();
    let other = |id: &str| RunInfo { data_mart_id: "other".into(), ..run(id) };
    let mut a = folder.open();
    let mut b = folder.open_as(&other("b"));
    put(&mut a, &people(0), WriteMode::Append, &rows(&[(1, None)]));
    let error = b.open_table(&people(0), WriteMode::Append).unwrap_err();
    assert!(matches!(error, StorageError::Busy { .. }));
    assert!(error.to_string().starts_with("table `t` is being written by run `r1`"), "{error}");
    drop(b);
    let mut b = folder.open_as(&other("b2"));
    put(&mut b, &TableSchema { name: "u".into(), ..people(0) }, WriteMode::Append, &rows(&[(2, None)]));
    b.commit(&changes(&[("u", Some("b"))])).unwrap();
    a.finish(Outcome::Succeeded, &changes(&[("t", Some("a"))]), None).unwrap();
    b.open_table(&people(0), WriteMode::Append).unwrap();
    b.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!((folder.rows("t").len(), folder.rows("u").len()), (1, 1));
    assert_eq!(folder.state(), BTreeMap::from([("t".into(), "a".into())]));
    let locks: Vec<_> = folder.files("_ow").into_iter().filter(|name| name.ends_with(".lock")).collect();
    assert_eq!(locks, Vec::<String>::new());
}

#[test]
fn a_run_that_lost_its_claim_cannot_commit() {
    let folder = Folder::new();
    let mut old = folder.open();
    let table = put(&mut old, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    old.commit(&none()).unwrap();
    // The lock does not hold here: as on a network drive that has none.
    old.write(table, &rows(&[(2, None)])).unwrap();
    old.claim_lost_for_test();
    let mut new = folder.open_as(&run("r2"));
    let error = old.commit(&changes(&[("t", Some("old"))])).unwrap_err();
    assert!(error.to_string().starts_with("run `r1` lost data mart `dm` to a later run"), "{error}");
    assert!(old.finish(Outcome::Succeeded, &none(), None).is_err());
    new.finish(Outcome::Succeeded, &changes(&[("t", Some("new"))]), None).unwrap();
    assert_eq!(folder.rows("t"), ["{id: 1, name: null}"]);
    assert_eq!(folder.state(), BTreeMap::from([("t".into(), "new".into())]));
}

#[test]
fn a_table_that_changed_meanwhile_is_not_committed_to() {
    let folder = Folder::new();
    folder.load(&people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap();
    let mut storage = folder.open();
    put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, Some("a"))]));
    folder.ledger().execute("UPDATE _ow_tables SET version = version + 1", []).unwrap();
    let error = storage.commit(&changes(&[("t", Some("1"))])).unwrap_err();
    assert!(error.to_string().starts_with("table `t` was changed by another run meanwhile"), "{error}");
    storage.finish(Outcome::Failed, &none(), None).unwrap();
    assert_eq!(folder.rows("t"), ["{id: 1, name: null}"]);
    assert_eq!(folder.state(), BTreeMap::new());
}

#[test]
fn a_dropped_run_leaves_its_last_commit() {
    let folder = Folder::new();
    let mut storage = folder.open();
    let table = put(&mut storage, &people(0), WriteMode::Append, &rows(&[(1, None)]));
    storage.commit(&changes(&[("t", Some("1"))])).unwrap();
    storage.write(table, &rows(&[(2, None)])).unwrap();
    drop(storage);
    assert!(!folder.files("_ow/staging").is_empty());
    let mut next = folder.open_as(&run("r2"));
    assert!(folder.files("_ow/staging").is_empty());
    assert_eq!(next.state().unwrap(), BTreeMap::from([("t".into(), "1".into())]));
    assert_eq!(folder.query("SELECT status FROM _ow_runs ORDER BY id"), ["crashed", "running"]);
    assert_eq!(folder.rows("t"), ["{id: 1, name: null}"]);
}

#[test]
fn a_run_cannot_succeed_after_a_failure() {
    let folder = Folder::new();
    let mut storage = folder.open();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    let bad = stream("t", &[("name", DataType::Text)], 0);
    let bad = batch(&bad, vec![Arc::new(StringArray::from(vec!["x"]))]);
    let error = storage.write(table, &bad).unwrap_err().to_string();
    assert_eq!(storage.commit(&none()).unwrap_err().to_string(), error);
    assert_eq!(storage.finish(Outcome::Succeeded, &none(), None).unwrap_err().to_string(), error);
    assert!(storage.finish(Outcome::Succeeded, &none(), None).unwrap_err().to_string().contains("has ended"));
    assert_eq!(folder.query("SELECT status FROM _ow_runs"), ["failed"]);
    assert!(folder.files("t").is_empty());
}
