//! One run a data mart, and what runs that died leave behind.

use super::*;

#[test]
fn a_second_run_of_a_data_mart_is_told_who_has_it() {
    let place = place!();
    let mut storage = place.open();
    let error = place.try_open(&run("r2")).err().unwrap();
    assert!(matches!(error, StorageError::Busy { .. }), "{error}");
    let start = format!("data mart `dm` is being written by run `r1` (process {}", std::process::id());
    assert!(error.to_string().starts_with(&start), "{error}");
    assert!(error.to_string().ends_with("blocks it for 600 seconds at most)"), "{error}");
    // Another data mart is free.
    let mut other = place.open_as(&RunInfo { data_mart_id: "other".into(), ..run("r3") });
    other.finish(Outcome::Succeeded, &none(), None).unwrap();
    storage.finish(Outcome::Failed, &none(), None).unwrap();
    place.open_as(&run("r4")).finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(
        place.query("SELECT run_id, status FROM `p.d._ow_runs` ORDER BY run_id"),
        ["r1 failed", "r3 succeeded", "r4 succeeded"]
    );
}

#[test]
fn a_claim_ends_with_its_lease_unless_it_is_renewed() {
    let mut place = place!();
    place.settings.lease = Duration::from_secs(2);
    let mut storage = place.open();
    // Longer than the lease: it is renewed.
    std::thread::sleep(Duration::from_secs(4));
    assert!(matches!(place.try_open(&run("r2")), Err(StorageError::Busy { .. })));
    storage.commit(&changes(&[("k", Some("1"))])).unwrap();
    drop(storage);
    let mut tries = 0;
    let mut next = loop {
        match place.try_open(&run("r3")) {
            Ok(next) => break next,
            Err(StorageError::Busy { .. }) if tries < 200 => tries += 1,
            Err(error) => panic!("{error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(next.state().unwrap(), state(&[("k", "1")]));
    next.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(
        place.query("SELECT run_id, status FROM `p.d._ow_runs` ORDER BY run_id"),
        ["r1 crashed", "r3 succeeded"]
    );
}

#[test]
fn a_run_that_lost_its_claim_cannot_commit() {
    let place = place!();
    let mut old = place.open();
    let table = put(&mut old, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    old.commit(&none()).unwrap();
    old.write(table, &rows(&[(2, None)])).unwrap();
    place.fake.expire();
    let mut new = place.open_as(&run("r2"));
    let error = old.commit(&changes(&[("t", Some("old"))])).unwrap_err();
    assert!(error.to_string().starts_with("run `r1` lost data mart `dm` to a later run"), "{error}");
    assert_eq!(old.finish(Outcome::Succeeded, &none(), None).unwrap_err().to_string(), error.to_string());
    new.finish(Outcome::Succeeded, &changes(&[("t", Some("new"))]), None).unwrap();
    assert_eq!(place.query("SELECT id FROM `p.d.t`"), ["1"]);
    assert_eq!(place.state(), state(&[("t", "new")]));
    assert_eq!(
        place.query("SELECT run_id, status FROM `p.d._ow_runs` ORDER BY run_id"),
        ["r1 crashed", "r2 succeeded"]
    );
}

#[test]
fn a_run_whose_staging_tables_are_gone_says_that_it_lost_its_claim() {
    let mut place = place!();
    // What is written is sent at once.
    place.settings.part = 1;
    let mut old = place.open();
    let table = put(&mut old, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    old.write(table, &rows(&[(2, None)])).unwrap();
    assert!(!place.fake.tables("_ow_stage_").is_empty());
    place.fake.expire();
    let mut new = place.open_as(&run("r2"));
    assert!(test_servers::wait_until(|| place.fake.tables("_ow_stage_").is_empty()));
    let error = old.commit(&none()).unwrap_err();
    assert!(error.to_string().starts_with("run `r1` lost data mart `dm` to a later run"), "{error}");
    new.finish(Outcome::Succeeded, &none(), None).unwrap();
}

#[test]
fn two_runs_that_open_at_once_are_one_run() {
    let place = place!();
    for round in 0..3 {
        let opened: Vec<_> = std::thread::scope(|scope| {
            let open = |n: usize| {
                let (settings, run) = (place.settings.clone(), run(&format!("r{round}{n}")));
                scope.spawn(move || BigQueryStorage::open(settings, &run))
            };
            let threads: Vec<_> = (0..4).map(open).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut winners = 0;
        for result in opened {
            match result {
                Ok(mut storage) => {
                    winners += 1;
                    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
                }
                Err(error) => assert!(matches!(error, StorageError::Busy { .. }), "{error}"),
            }
        }
        assert_eq!(winners, 1);
    }
}

#[test]
fn a_commit_that_a_dead_run_had_sent_is_waited_for() {
    let place = place!(&["--run-seconds", "0.7"]);
    let mut first = place.open();
    put(&mut first, &people(0), WriteMode::Append, &rows(&[(1, None)]));
    // The job is taken; then nothing answers any more.
    place.fake.fault(json!([
        {"op": "jobs.insert", "body": "sequence = @sequence", "drop": "response", "times": 0},
        {"op": "jobs.get", "path": "_c0_0", "status": 503, "times": 0},
    ]));
    let error = first.commit(&changes(&[("t", Some("1"))])).unwrap_err();
    assert!(matches!(error, StorageError::Failed { retryable: true, .. }), "{error}");
    drop(first);
    place.fake.no_faults();
    place.fake.expire();
    let mut next = place.open_as(&run("r2"));
    assert_eq!(next.state().unwrap(), state(&[("t", "1")]));
    next.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(place.query("SELECT id FROM `p.d.t`"), ["1"]);
}

#[test]
fn a_dropped_run_leaves_its_last_commit() {
    let place = place!();
    let mut storage = place.open();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    storage.commit(&changes(&[("t", Some("1"))])).unwrap();
    storage.write(table, &rows(&[(2, None)])).unwrap();
    drop(storage);
    place.fake.expire();
    let mut next = place.open_as(&run("r2"));
    assert_eq!(next.state().unwrap(), state(&[("t", "1")]));
    put(&mut next, &people(1), WriteMode::Merge, &rows(&[(2, None)]));
    next.finish(Outcome::Succeeded, &changes(&[("t", Some("2"))]), None).unwrap();
    assert_eq!(place.query("SELECT id FROM `p.d.t` ORDER BY id"), ["1", "2"]);
}

#[test]
fn what_a_dead_run_staged_is_dropped_by_the_next() {
    let place = place!();
    let mut storage = place.open();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    storage.write(table, &rows(&[(2, None)])).unwrap();
    place.fake.fault(json!({"op": "jobs.insert", "body": "COMMIT", "status": 503, "times": 0}));
    storage.commit(&changes(&[("t", Some("1"))])).unwrap_err();
    // As if the process had died: nothing is cleared up.
    std::mem::forget(storage);
    place.fake.no_faults();
    assert_eq!(place.fake.tables("_ow_stage_").len(), 1);
    place.fake.expire();
    let mut next = place.open_as(&run("r2"));
    assert!(test_servers::wait_until(|| place.fake.tables("_ow_stage_").is_empty()));
    next.finish(Outcome::Succeeded, &none(), None).unwrap();
}

#[tokio::test]
async fn a_dropped_handle_interrupts_the_run_and_releases_the_claim() {
    // The fake's client waits on a runtime of its own.
    let done = tokio::task::spawn_blocking(|| {
        let place = place!();
        let handle = crate::worker::spawn(Box::new(place.open())).unwrap();
        let table = futures(handle.open_table(people(1), WriteMode::Merge)).unwrap();
        futures(handle.write(table, rows(&[(1, None)]))).unwrap();
        futures(handle.commit(none())).unwrap();
        drop(handle);
        let mut tries = 0;
        while place.query("SELECT status FROM `p.d._ow_runs`") != ["interrupted"] {
            tries += 1;
            assert!(tries < 500, "the thread did not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        place.open_as(&run("r2")).finish(Outcome::Succeeded, &none(), None).unwrap();
    });
    done.await.unwrap();
}

fn futures<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(work)
}

#[test]
fn data_marts_of_one_dataset_write_at_the_same_time() {
    let place = place!();
    place.load(&people(0), WriteMode::Append, &[]).unwrap();
    std::thread::scope(|scope| {
        for mart in 0..3 {
            let settings = place.settings.clone();
            scope.spawn(move || {
                let run = RunInfo { data_mart_id: format!("dm{mart}"), ..run("r") };
                let mut storage = BigQueryStorage::open(settings, &run).unwrap();
                let table = storage.open_table(&people(0), WriteMode::Append).unwrap();
                for page in 0..4 {
                    storage.write(table, &rows(&[(page, None)])).unwrap();
                    storage.commit(&changes(&[("t", Some(&page.to_string()))])).unwrap();
                }
                storage.finish(Outcome::Succeeded, &none(), None).unwrap();
            });
        }
    });
    assert_eq!(place.query("SELECT COUNT(*), SUM(id) FROM `p.d.t`"), ["12 18"]);
}
