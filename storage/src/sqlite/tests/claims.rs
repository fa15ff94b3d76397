//! One run a data mart, and what runs that died leave behind.

use super::*;

#[test]
fn a_second_run_of_a_data_mart_is_told_who_has_it() {
    let place = Place::new();
    let storage = place.open();
    let error = open(&place.params, &run("r2")).err().unwrap();
    assert!(matches!(error, StorageError::Busy { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "data mart `dm` is being written by run `r1` (process {}); wait until that run ends, or stop it",
            std::process::id()
        )
    );
    // Another data mart is free.
    drop(place.open_as(&RunInfo { data_mart_id: "other".into(), ..run("r3") }));
    drop(storage);
    place.open_as(&run("r4"));
}

#[test]
fn the_claim_is_released_at_the_end_and_leaves_no_file() {
    let place = Place::new();
    let mut storage = place.open();
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    let mut second = place.open();
    second.finish(Outcome::Failed, &none(), None).unwrap();
    drop((storage, second));
    let files: Vec<_> =
        std::fs::read_dir(place.folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["ow.db"]);
}

#[cfg(unix)]
#[test]
fn a_link_to_the_database_is_the_same_database() {
    let place = Place::new();
    drop(place.open());
    let link = place.folder.path().join("link.db");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    let _storage = place.open();
    let error = open(&SqliteParams { path: link, table_prefix: String::new() }, &run("r2")).err().unwrap();
    assert!(matches!(error, StorageError::Busy { .. }), "{error}");
}

#[test]
fn a_run_that_lost_its_claim_cannot_commit() {
    let place = Place::new();
    let mut old = place.open();
    let table = put(&mut old, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    old.commit(&none()).unwrap();
    old.write(table, &rows(&[(2, None)])).unwrap();
    // The lock does not hold here: as on a network drive that has none.
    old.claim_lost_for_test();
    let mut new = place.open_as(&run("r2"));
    let error = old.commit(&changes(&[("t", Some("old"))])).unwrap_err();
    assert!(error.to_string().starts_with("run `r1` lost data mart `dm` to a later run"), "{error}");
    assert_eq!(old.finish(Outcome::Succeeded, &none(), None).unwrap_err().to_string(), error.to_string());
    new.finish(Outcome::Succeeded, &changes(&[("t", Some("new"))]), None).unwrap();
    assert_eq!(place.query("SELECT id FROM t"), ["1"]);
    assert_eq!(place.state(), BTreeMap::from([("t".into(), "new".into())]));
    assert_eq!(
        place.query("SELECT run_id, status FROM _ow_runs ORDER BY id"),
        ["'r1' 'crashed'", "'r2' 'succeeded'"]
    );
}

#[test]
fn a_dropped_run_leaves_its_last_commit() {
    let place = Place::new();
    let mut storage = place.open();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    storage.commit(&changes(&[("t", Some("1"))])).unwrap();
    storage.write(table, &rows(&[(2, None)])).unwrap();
    drop(storage);
    assert_eq!(place.query("SELECT id FROM t"), ["1"]);
    let mut next = place.open_as(&run("r2"));
    assert_eq!(next.state().unwrap(), BTreeMap::from([("t".into(), "1".into())]));
    assert_eq!(place.query("SELECT status FROM _ow_runs ORDER BY id"), ["'crashed'", "'running'"]);
    put(&mut next, &people(1), WriteMode::Merge, &rows(&[(2, None)]));
    next.finish(Outcome::Succeeded, &changes(&[("t", Some("2"))]), None).unwrap();
    assert_eq!(place.query("SELECT id FROM t"), ["1", "2"]);
}

#[test]
fn what_a_replacement_that_died_left_is_dropped_at_the_next_open() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Replace, &[rows(&[(1, Some("old"))])]).unwrap();
    let left = "SELECT count(*) FROM sqlite_schema WHERE substr(name, 1, 8) = '_ow_new_' AND type = 'table'";
    let mut storage = place.open();
    put(&mut storage, &people(1), WriteMode::Replace, &rows(&[(2, Some("new"))]));
    storage.commit(&none()).unwrap();
    drop(storage);
    assert_eq!(place.query(left), ["1"]);
    // Another data mart leaves it alone.
    drop(place.open_as(&RunInfo { data_mart_id: "other".into(), ..run("r2") }));
    assert_eq!(place.query(left), ["1"]);
    drop(place.open_as(&run("r3")));
    assert_eq!(place.query(left), ["0"]);
    assert_eq!(place.query("SELECT * FROM t"), ["1 'old'"]);
}

#[test]
fn a_run_cannot_succeed_after_a_failure() {
    let place = Place::new();
    let mut storage = place.open();
    let table = storage.open_table(&people(1), WriteMode::Merge).unwrap();
    let bad = stream("t", &[("name", DataType::Text)], 0);
    let bad = batch(&bad, vec![Arc::new(StringArray::from(vec!["x"]))]);
    storage.write(table, &rows(&[(1, None)])).unwrap();
    storage.write(table, &bad).unwrap();
    let error = storage.commit(&none()).unwrap_err().to_string();
    assert_eq!(storage.write(table, &rows(&[(2, None)])).unwrap_err().to_string(), error);
    assert_eq!(storage.finish(Outcome::Succeeded, &none(), None).unwrap_err().to_string(), error);
    assert_eq!(place.query("SELECT status, error = ''  FROM _ow_runs"), ["'failed' 0"]);
    assert_eq!(place.query("SELECT count(*) FROM sqlite_schema WHERE name = 't'"), ["0"]);
}

#[tokio::test]
async fn a_dropped_handle_interrupts_the_run_and_releases_the_claim() {
    let place = Place::new();
    let handle = crate::worker::spawn(Box::new(place.open())).unwrap();
    let table = handle.open_table(people(1), WriteMode::Merge).await.unwrap();
    handle.write(table, rows(&[(1, None)])).await.unwrap();
    handle.commit(none()).await.unwrap();
    handle.write(table, rows(&[(2, None)])).await.unwrap();
    drop(handle);
    let mut tries = 0;
    while place.query("SELECT status FROM _ow_runs") != ["'interrupted'"]
        || open(&place.params, &run("r2")).is_err()
    {
        tries += 1;
        assert!(tries < 500, "the thread did not end");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(place.query("SELECT id FROM t"), ["1"]);
}

#[test]
fn data_marts_of_one_file_write_at_the_same_time() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for mart in 0..4 {
            let place = &place;
            scope.spawn(move || {
                let run = RunInfo { data_mart_id: format!("dm{mart}"), ..run("r") };
                let mut storage = place.open_as(&run);
                let table = storage.open_table(&people(0), WriteMode::Append).unwrap();
                for page in 0..20 {
                    storage.write(table, &rows(&[(page, None)])).unwrap();
                    storage.commit(&changes(&[("t", Some(&page.to_string()))])).unwrap();
                }
                storage.finish(Outcome::Succeeded, &none(), None).unwrap();
            });
        }
    });
    assert_eq!(place.query("SELECT count(*), sum(id) FROM t"), ["80 760"]);
    assert_eq!(place.query("SELECT count(*) FROM _ow_state WHERE value = '19'"), ["4"]);
}
