use super::*;

#[test]
fn one_run_a_data_mart() {
    let place = place!();
    let mut first = place.open(&run("r1"));
    put(&mut first, &people(0), WriteMode::Append, &rows(&[(1, None)]));
    first.commit(&none()).unwrap();
    let error = place.try_open(&run("r2")).err().unwrap();
    assert!(matches!(error, StorageError::Busy { .. }), "{error:?}");
    assert!(error.to_string().contains("run `r1`"), "{error}");
    // Another data mart goes on, with tables of its own.
    let other = RunInfo { data_mart_id: "other".into(), ..run("r3") };
    let mut second = place.open(&other);
    let theirs = TableSchema { name: "mine".into(), ..people(0) };
    put(&mut second, &theirs, WriteMode::Append, &rows(&[(1, None)]));
    // But not with a table that is being written.
    let error = second.open_table(&people(0), WriteMode::Append).unwrap_err();
    assert!(matches!(&error, StorageError::Busy { .. }), "{error:?}");
    drop(second);
    first.finish(Outcome::Succeeded, &none(), None).unwrap();
    // Afterwards it may have it.
    place.load(&other, &people(0), WriteMode::Append, &[rows(&[(2, None)])]).unwrap();
    place.load(&run("r4"), &people(0), WriteMode::Append, &[rows(&[(3, None)])]).unwrap();
    assert_eq!(place.query("SELECT id FROM t"), ["1", "2", "3"]);
}

#[test]
fn a_table_that_changes_hands_has_what_was_committed() {
    let place = place!();
    let mut first = place.try_open_with(place.with("ApplyInterval", 3600.into()), &run("r1")).unwrap();
    let table = put(&mut first, &people(0), WriteMode::Append, &rows(&[(1, None)]));
    first.commit(&none()).unwrap();
    first.write(table, &rows(&[(2, None)])).unwrap();
    first.commit(&changes(&[("k", Some("1"))])).unwrap();
    drop(first);
    assert_eq!(place.query("SELECT id FROM t"), ["1"]);
    let other = RunInfo { data_mart_id: "other".into(), ..run("r2") };
    place.load(&other, &people(0), WriteMode::Append, &[rows(&[(3, None)])]).unwrap();
    assert_eq!(place.query("SELECT id FROM t"), ["1", "2", "3"]);
    assert_eq!(place.state()["k"], "1");
}

#[test]
fn a_run_that_lost_its_claim_commits_nothing() {
    let place = place!();
    let mut lost = place.open(&run("r1"));
    let table = put(&mut lost, &people(0), WriteMode::Append, &rows(&[(1, None)]));
    lost.commit(&changes(&[("k", Some("1"))])).unwrap();
    lost.write(table, &rows(&[(2, None)])).unwrap();
    place.forget_lease();
    let mut heir = place.open(&run("r2"));
    assert_eq!(heir.state().unwrap()["k"], "1");
    let error = lost.commit(&changes(&[("k", Some("2"))])).unwrap_err();
    assert!(error.to_string().contains("run `r1` lost data mart `dm`"), "{error}");
    assert!(lost.finish(Outcome::Succeeded, &none(), None).is_err());
    put(&mut heir, &people(0), WriteMode::Append, &rows(&[(2, None)]));
    heir.finish(Outcome::Succeeded, &changes(&[("k", Some("3"))]), None).unwrap();
    assert_eq!(place.query("SELECT id FROM t"), ["1", "2"]);
    assert_eq!(place.state()["k"], "3");
}
