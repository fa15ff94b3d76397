//! One run a data mart, and what runs that died leave behind.

use super::*;

#[test]
fn a_second_run_of_a_data_mart_is_told_who_has_it() {
    let Some(place) = Place::new() else { return };
    let storage = place.open();
    let error = open(&place.params, &run("r2")).err().unwrap();
    assert!(matches!(error, StorageError::Busy { .. }));
    let process = place.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'ow-host r1' AND datname = current_database()");
    assert_eq!(
        error.to_string(),
        format!(
            "data mart `dm` is being written by run `r1` (server process {}); wait until that run ends, or stop it",
            process[0]
        )
    );
    // Another data mart is free, and so is the same one in another schema.
    drop(place.open_as(&RunInfo { data_mart_id: "other".into(), ..run("r3") }));
    drop(open(&place.with("Schema", "elsewhere"), &run("r3")).unwrap());
    drop(storage);
    place.open_as(&run("r4"));
}

#[test]
fn the_claim_is_released_at_the_end() {
    let Some(place) = Place::new() else { return };
    let mut storage = place.open();
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    let mut second = place.open();
    second.finish(Outcome::Failed, &none(), None).unwrap();
    let mine = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                WHERE locktype = 'advisory' AND datname = current_database()";
    assert_eq!(place.query(mine), ["0"]);
}

#[test]
fn a_run_that_lost_its_claim_cannot_commit() {
    let Some(place) = Place::new() else { return };
    let mut old = place.open();
    let table = put(&mut old, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    old.commit(&none()).unwrap();
    old.write(table, &rows(&[(2, None)])).unwrap();
    // The lock does not hold here: as behind a pooler that changes sessions.
    old.claim_lost_for_test();
    let mut new = place.open_as(&run("r2"));
    let error = old.commit(&changes(&[("t", Some("old"))])).unwrap_err();
    assert!(error.to_string().starts_with("run `r1` lost data mart `dm` to a later run"), "{error}");
    assert_eq!(old.finish(Outcome::Succeeded, &none(), None).unwrap_err().to_string(), error.to_string());
    new.finish(Outcome::Succeeded, &changes(&[("t", Some("new"))]), None).unwrap();
    assert_eq!(place.query("SELECT id FROM t"), ["1"]);
    assert_eq!(place.state(), state(&[("t", "new")]));
    assert_eq!(
        place.query("SELECT run_id, status FROM _ow_runs ORDER BY id"),
        ["r1 crashed", "r2 succeeded"]
    );
}

#[test]
fn a_dropped_run_leaves_its_last_commit_and_no_tables() {
    let Some(place) = Place::new() else { return };
    let mut storage = place.open();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    storage.commit(&changes(&[("t", Some("1"))])).unwrap();
    let big = "x".repeat(5 << 20);
    storage.write(table, &rows(&[(2, Some(&big))])).unwrap();
    drop(storage);
    assert_eq!(place.query("SELECT id FROM t"), ["1"]);
    let mut next = place.open_as(&run("r2"));
    assert_eq!(next.state().unwrap(), state(&[("t", "1")]));
    assert_eq!(place.query("SELECT status FROM _ow_runs ORDER BY id"), ["crashed", "running"]);
    let stages = "SELECT count(*) FROM pg_class WHERE relname LIKE '%stage%' AND relkind = 'r'";
    assert_eq!(place.query(stages), ["0"]);
    put(&mut next, &people(1), WriteMode::Merge, &rows(&[(2, None)]));
    next.finish(Outcome::Succeeded, &changes(&[("t", Some("2"))]), None).unwrap();
    assert_eq!(place.query("SELECT id FROM t"), ["1", "2"]);
}

#[test]
fn a_run_cannot_succeed_after_a_failure() {
    let Some(place) = Place::new() else { return };
    let mut storage = place.open();
    let table = storage.open_table(&people(1), WriteMode::Merge).unwrap();
    storage.write(table, &rows(&[(1, None)])).unwrap();
    let error = storage.write(table, &texts("name", vec!["x"])).unwrap_err().to_string();
    assert_eq!(storage.write(table, &rows(&[(2, None)])).unwrap_err().to_string(), error);
    assert_eq!(storage.commit(&none()).unwrap_err().to_string(), error);
    assert_eq!(storage.finish(Outcome::Succeeded, &none(), None).unwrap_err().to_string(), error);
    assert_eq!(place.query("SELECT status, error <> '' FROM _ow_runs"), ["failed t"]);
    assert_eq!(place.query("SELECT to_regclass('t')"), ["null"]);
}

#[tokio::test]
async fn a_dropped_handle_interrupts_the_run_and_releases_the_claim() {
    let Some(place) = tokio::task::spawn_blocking(Place::new).await.unwrap() else { return };
    let params = place.params.clone();
    let storage = tokio::task::spawn_blocking(move || open(&params, &run("r1")).unwrap()).await.unwrap();
    let handle = crate::worker::spawn(Box::new(storage)).unwrap();
    let table = handle.open_table(people(1), WriteMode::Merge).await.unwrap();
    handle.write(table, rows(&[(1, None)])).await.unwrap();
    handle.commit(none()).await.unwrap();
    handle.write(table, rows(&[(2, None)])).await.unwrap();
    drop(handle);
    let mut tries = 0;
    while place.query("SELECT status FROM _ow_runs") != ["interrupted"] {
        tries += 1;
        assert!(tries < 500, "the thread did not end");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(place.query("SELECT id FROM t"), ["1"]);
    tokio::task::spawn_blocking(move || drop(place.open())).await.unwrap();
}

#[test]
fn data_marts_write_one_table_at_the_same_time() {
    let Some(place) = Place::new() else { return };
    std::thread::scope(|scope| {
        for mart in 0..4_i64 {
            let place = &place;
            scope.spawn(move || {
                let run = RunInfo { data_mart_id: format!("dm{mart}"), ..run("r") };
                let mut storage = place.open_as(&run);
                let table = storage.open_table(&people(1), WriteMode::Merge).unwrap();
                for page in 0..10_i64 {
                    // The same keys, each in an order of its own.
                    let mut page: Vec<_> = (0..50).map(|id| ((id * 7 + page) % 50, None)).collect();
                    if mart % 2 == 0 {
                        page.reverse();
                    }
                    storage.write(table, &rows(&page)).unwrap();
                    storage.commit(&changes(&[("t", Some("1"))])).unwrap();
                }
                storage.finish(Outcome::Succeeded, &none(), None).unwrap();
            });
        }
    });
    assert_eq!(place.query("SELECT count(*) FROM t"), ["50"]);
    assert_eq!(
        place.query("SELECT count(*) FROM _ow_runs WHERE status = 'succeeded' AND commits = 11"),
        ["4"]
    );
}
