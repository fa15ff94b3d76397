//! A service that fails, before and after it did the work, and runs that die.

use super::*;

/// A connector of three pages that goes on where its state says.
fn pages(place: &Place, run: &RunInfo, schema: &TableSchema, mode: WriteMode) -> Result<(), StorageError> {
    let mut storage = place.try_open(run)?;
    let from = match run.full_refresh {
        true => 0,
        false => storage.state()?.get("t").map_or(0, |page| page.parse().unwrap()),
    };
    let table = storage.open_table(schema, mode)?;
    for page in from..3_i64 {
        storage.write(table, &rows(&[(page * 10, Some("a")), (page * 10 + 1, None)]))?;
        storage.commit(&changes(&[("t", Some(&(page + 1).to_string()))]))?;
    }
    storage.finish(Outcome::Succeeded, &none(), None)
}

const EXPECTED: [&str; 6] = ["0", "1", "10", "11", "20", "21"];
const IDS: &str = "SELECT id FROM `p.d.t` ORDER BY id";

/// How far apart the requests are at which runs die; each one with
/// `OW_TEST_EVERY_STEP=1`.
const STEP: usize = 4;

/// Every request from the nth on has this fault, and the run dies of it; then
/// another run goes on, until a run needs no more requests. `first` is where the
/// steps begin, so that tests of one kind die at different requests.
fn die_everywhere(
    fault: &serde_json::Value,
    first: usize,
    run_info: &RunInfo,
    prepare: impl Fn(&Place),
    mode: WriteMode,
) {
    let Some(place) = Place::new() else { return };
    let every = test_servers::is_set("OW_TEST_EVERY_STEP");
    let steps = if every { (0..200).step_by(1) } else { (first..200).step_by(STEP) };
    for nth in steps {
        place.fake.reset();
        prepare(&place);
        let mut rule = fault.clone();
        rule["skip"] = json!(nth);
        rule["times"] = json!(0);
        place.fake.fault(rule);
        let whole = pages(&place, run_info, &people(0), mode).is_ok();
        place.fake.no_faults();
        if !whole {
            place.fake.expire();
            pages(&place, &RunInfo { run_id: "again".into(), ..run_info.clone() }, &people(0), mode)
                .unwrap_or_else(|error| panic!("after {nth} requests: {error}"));
        }
        assert_eq!(place.query(IDS), EXPECTED, "after {nth} requests");
        assert_eq!(place.state(), state(&[("t", "3")]), "after {nth} requests");
        if whole {
            assert!(nth > 15, "{nth}");
            return;
        }
    }
    panic!("the run never came to its end");
}

#[test]
fn a_run_that_dies_at_any_request_loses_and_doubles_nothing() {
    die_everywhere(&json!({"status": 503}), 0, &run("r"), |_| {}, WriteMode::Append);
}

#[test]
fn a_run_that_dies_after_any_request_did_its_work_loses_and_doubles_nothing() {
    die_everywhere(&json!({"drop": "response"}), 2, &run("r"), |_| {}, WriteMode::Append);
}

/// A table of another shape, so that the refresh has to make it anew.
fn other_shape(place: &Place) {
    let old = stream("t", &[("id", DataType::Text), ("old", DataType::Int64)], 1);
    place.load(&old, WriteMode::Merge, &[]).unwrap();
}

#[test]
fn a_full_refresh_that_dies_at_any_request_is_done_by_the_next_run() {
    die_everywhere(&json!({"status": 503}), 1, &refresh("r"), other_shape, WriteMode::Append);
}

#[test]
fn a_full_refresh_that_dies_after_any_request_did_its_work_is_done_by_the_next_run() {
    die_everywhere(&json!({"drop": "response"}), 3, &refresh("r"), other_shape, WriteMode::Append);
}

#[test]
fn a_replacement_that_was_committed_is_put_in_its_place_by_the_next_run() {
    let place = place!();
    other_shape(&place);
    let mut storage = place.open_as(&refresh("r1"));
    put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, Some("new"))]));
    place.fake.fault(
        json!({"op": "jobs.insert", "body": "\"query\":\"(DROP|CREATE OR)", "status": 503, "times": 0}),
    );
    let error = storage.finish(Outcome::Succeeded, &changes(&[("t", Some("9"))]), None).unwrap_err();
    assert!(error.to_string().contains("the run is committed, and the next run does it"), "{error}");
    drop(storage);
    assert_eq!(place.query("SELECT COUNT(*) FROM `p.d.t` WHERE old IS NULL"), ["0"]);
    place.fake.no_faults();
    let mut next = place.open_as(&run("r2"));
    assert_eq!(next.state().unwrap(), state(&[("t", "9")]));
    assert_eq!(place.query("SELECT * FROM `p.d.t`"), ["1 new"]);
    put(&mut next, &people(1), WriteMode::Merge, &rows(&[(2, None)]));
    next.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(place.query(IDS), ["1", "2"]);
    assert_eq!(place.fake.tables("_ow_new"), [""; 0]);
    assert_eq!(
        place.query("SELECT run_id, status FROM `p.d._ow_runs` WHERE run_id = 'r1'"),
        ["r1 succeeded"]
    );
}

#[test]
fn faults_that_go_away_are_not_seen() {
    let place = place!();
    for rules in [
        json!([{"op": "*", "status": 503, "probability": 0.2, "times": 25}]),
        json!([{"op": "*", "drop": "response", "probability": 0.2, "times": 25}]),
        json!([{"op": "*", "drop": "request", "probability": 0.2, "times": 25}]),
        json!([{"op": "jobs.insert", "status": 429, "reason": "rateLimitExceeded", "headers": {"Retry-After": "0"}, "times": 3}]),
        json!([{"op": "*", "status": 403, "reason": "rateLimitExceeded", "times": 3}]),
        json!([{"op": "upload.chunk", "drop": "response", "times": 2}]),
        json!([{"op": "upload.chunk", "status": 404, "times": 1}]),
        json!([{"op": "upload.chunk", "status": 410, "raw": "", "times": 1}]),
        json!([{"op": "upload.start", "drop": "response", "times": 2}]),
        json!([{"op": "*", "status": 500, "raw": "<html>", "times": 2}]),
        json!([{"op": "jobs.get", "truncate": 20, "times": 2}]),
    ] {
        place.fake.reset();
        place.fake.fault(rules.clone());
        pages(&place, &run("r"), &people(0), WriteMode::Append)
            .unwrap_or_else(|error| panic!("{rules}: {error}"));
        place.fake.no_faults();
        assert_eq!(place.query(IDS), EXPECTED, "{rules}");
        assert_eq!(place.state(), state(&[("t", "3")]));
    }
}

#[test]
fn answers_that_do_not_come_in_time_are_asked_for_again() {
    let mut place = place!();
    place.settings.pace.answer = Duration::from_secs(1);
    for op in ["upload.start", "upload.chunk", "jobs.insert", "jobs.get", "tables.get"] {
        place.fake.reset();
        // The late request does its work all the same, when nobody waits for it.
        place.fake.fault(json!({"op": op, "delay": 2}));
        pages(&place, &run(op), &people(0), WriteMode::Append)
            .unwrap_or_else(|error| panic!("{op}: {error}"));
        assert_eq!(place.query(IDS), EXPECTED, "{op}");
        assert_eq!(place.state(), state(&[("t", "3")]), "{op}");
    }
}

#[test]
fn jobs_that_fail_for_no_reason_of_their_own_are_tried_again_and_do_nothing_twice() {
    let place = place!();
    for after_work in [false, true] {
        for (op, body) in
            [("job.query", "MERGE|INSERT INTO `p`.`d`.`t`"), ("job.load", "."), ("job.query", ".")]
        {
            place.fake.reset();
            place.fake.fault(json!({"op": op, "body": body, "job_error": "backendError", "after_work": after_work, "times": 2}));
            pages(&place, &run("r"), &people(0), WriteMode::Append).unwrap();
            assert_eq!(place.query(IDS), EXPECTED, "{op} {body} {after_work}");
        }
    }
}

#[test]
fn a_conflict_with_another_transaction_is_tried_again() {
    let place = place!();
    let message = "Transaction is aborted due to concurrent update against table p:d.t";
    place.fake.fault(json!({"op": "job.query", "body": "COMMIT", "job_error": "invalidQuery", "message": message, "times": 2}));
    pages(&place, &run("r"), &people(0), WriteMode::Append).unwrap();
    assert_eq!(place.query(IDS), EXPECTED);
}

#[test]
fn a_chunk_that_is_taken_in_part_goes_on_where_it_ended() {
    let place = place!();
    place.fake.fault(json!([
        {"op": "upload.chunk", "accept_bytes": 300},
        {"op": "upload.chunk", "accept_bytes": 0, "times": 2},
        {"op": "upload.chunk", "accept_bytes": 10},
    ]));
    pages(&place, &run("r"), &people(0), WriteMode::Append).unwrap();
    assert_eq!(place.query(IDS), EXPECTED);
    assert_eq!(place.fake.requests("upload.chunk").len(), 7);
    assert_eq!(place.fake.requests("upload.start").len(), 3);
}

#[test]
fn an_error_names_what_was_tried_and_the_job() {
    let place = place!();
    place.fake.fault(json!({"op": "job.load", "job_error": "invalid", "message": "the file is bad."}));
    let error = pages(&place, &run("r"), &people(0), WriteMode::Append).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot commit: the file is bad (job: https://console.cloud.google.com/bigquery?project=p&j=bq:US:ow_"), "{text}");
    assert!(matches!(error, StorageError::Failed { retryable: false, .. }));
    assert_eq!(place.state(), state(&[]));
}

#[test]
fn a_permission_that_is_missing_is_told() {
    let place = place!();
    pages(&place, &run("r0"), &people(0), WriteMode::Append).unwrap();
    for op in ["datasets.get", "jobs.insert", "tables.get", "tabledata.list"] {
        place.fake.fault(json!({"op": op, "status": 403, "reason": "accessDenied", "message": "Access Denied: no", "times": 0}));
        let error = pages(&place, &run("r"), &people(0), WriteMode::Append).unwrap_err();
        assert!(matches!(error, StorageError::Config { .. }), "{op}: {error}");
        assert!(error.to_string().contains("BigQuery Job User on project `p`"), "{op}: {error}");
        place.fake.no_faults();
        place.fake.expire();
    }
}

#[test]
fn a_service_that_does_not_answer_is_an_error() {
    let place = place!();
    place.fake.fault(json!({"op": "*", "drop": "request", "times": 0}));
    let error = place.try_open(&run("r")).err().unwrap();
    assert!(error.to_string().contains("BigQuery gave no answer to dataset `p.d`"), "{error}");
    assert!(matches!(error, StorageError::Failed { retryable: true, .. }));
}

#[test]
fn five_updates_in_ten_seconds_are_enough() {
    let mut place = place!(&["--enforce-quotas"]);
    place.settings.pace = client::Pace { longest: Duration::from_secs(4), ..client::PACE };
    pages(&place, &run("r"), &people(1), WriteMode::Merge).unwrap();
    assert_eq!(place.query(IDS), EXPECTED);
}
