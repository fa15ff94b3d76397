use serde_json::json;

use super::*;

/// A connector that counts: each run appends three numbers more to one table,
/// merges them into another and says in the state how far it is.
fn count_on(place: &Place<'_>, run_id: &str, commits: u32) -> Result<(), StorageError> {
    let mut storage = place.try_open(&run(run_id))?;
    let next = |storage: &mut AthenaStorage| {
        Ok::<i64, StorageError>(storage.state()?.get("next").map_or(0, |text| text.parse().unwrap()))
    };
    let appended = storage.open_table(&people(0), WriteMode::Append)?;
    let merged = storage.open_table(&TableSchema { name: "m".into(), ..people(1) }, WriteMode::Merge)?;
    for _ in 0..commits {
        let first = next(&mut storage)?;
        let name = format!("{run_id} {first}");
        let batch = rows(&[(first, Some(&name)), (first + 1, Some(&name)), (first + 2, Some(&name))]);
        storage.write(appended, &batch)?;
        storage.write(merged, &batch)?;
        storage.write(merged, &rows(&[(-1, Some(&name))]))?;
        storage.commit(&changes(&[("next", Some(&(first + 3).to_string()))]))?;
    }
    storage.finish(Outcome::Succeeded, &none(), None)
}

fn check_count(place: &Place<'_>) {
    let next: i64 = place.state()["next"].parse().unwrap();
    let expected = [format!("{next} {next} 0 {}", next - 1)];
    assert_eq!(place.query("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM t"), expected);
    let sql = "SELECT count(*), count(DISTINCT id), min(id), max(id) FROM m WHERE id >= 0";
    assert_eq!(place.query(sql), expected);
    // The row that every commit wrote is the last commit's.
    let last = place.query("SELECT name FROM m WHERE id = -1");
    assert_eq!(last.len(), 1);
    assert!(last[0].ends_with(&format!(" {}", next - 3)), "{last:?} {next}");
}

/// How far apart the requests are after which the network ends; 1 with
/// `OW_TEST_EVERY_STEP=1`.
const STEP: usize = 7;

/// Ends the network after one request and then another, with that request done or
/// not, also while the next run repairs what the last one left.
#[test]
fn a_crash_after_any_request_loses_and_doubles_nothing() {
    let Some(cloud) = Cloud::start() else { return };
    let place = Place::new(&cloud);
    count_on(&place, "first", 2).unwrap();
    let (mut done, mut requests) = (0, 0);
    let step = if test_servers::is_set("OW_TEST_EVERY_STEP") { 1 } else { STEP };
    for after in (0..400).step_by(step) {
        let mut rules =
            vec![json!({ "op": "*", "skip": after, "times": 0, "status": 403, "reason": "AccessDenied" })];
        if after % 2 == 0 {
            rules.insert(0, json!({ "op": "*", "skip": after, "drop": "response" }));
        }
        cloud.arm(rules.into());
        let result = count_on(&place, &format!("run {after}"), 1);
        cloud.disarm();
        place.forget_lease();
        requests = after;
        if result.is_ok() {
            done += 1;
        }
        // The last requests only clear up: their failures do not fail the run.
        if done > 2 {
            break;
        }
        if after % (10 * step) == 0 {
            count_on(&place, &format!("between {after}"), 1).unwrap();
            check_count(&place);
        }
    }
    assert!(requests > 40, "{requests}");
    count_on(&place, "last", 2).unwrap();
    check_count(&place);
    assert_eq!(place.keys("/staged/"), [""; 0]);
    assert_eq!(place.stage_tables(), [""; 0]);
}

#[test]
fn failures_for_the_moment_are_gone_through() {
    let Some(cloud) = Cloud::start() else { return };
    let place = Place::new(&cloud);
    let query = |fault: Value| {
        let mut rule = json!({ "op": "athena.query", "body": "MERGE", "job_error": "ICEBERG_COMMIT_ERROR" });
        rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
        rule
    };
    let rules = [
        json!([
            { "op": "s3.PutObject", "status": 503, "times": 2 },
            { "op": "s3.GetObject", "truncate": 10 },
            { "op": "s3.ListObjectsV2", "status": 500 },
            { "op": "athena.StartQueryExecution", "status": 400, "reason": "TooManyRequestsException", "times": 8 },
        ]),
        json!([
            { "op": "s3.PutObject", "path": "/log/", "drop": "response" },
            { "op": "athena.StartQueryExecution", "drop": "response" },
            { "op": "athena.GetTableMetadata", "status": 500 },
        ]),
        json!([
            { "op": "s3.PutObject", "path": "/log/", "skip": 1, "drop": "response" },
            { "op": "athena.StartQueryExecution", "body": "MERGE", "drop": "response" },
            { "op": "athena.GetQueryExecution", "status": 400, "reason": "ThrottlingException", "times": 3 },
        ]),
        json!([
            { "op": "s3.PutObject", "path": "lease", "drop": "response" },
            { "op": "s3.GetObject", "path": "metadata", "truncate": 10 },
            { "op": "s3.DeleteObjects", "drop": "response" },
        ]),
        json!([
            { "op": "s3.PutObject", "path": "/log/", "skip": 1, "status": 409, "reason": "ConditionalRequestConflict" },
            query(json!({ "retryable": true, "times": 2 })),
        ]),
        query(json!({ "retryable": true, "after_work": true })),
        query(json!({ "after_work": true })),
        query(json!({ "job_error": "SOMETHING_ELSE", "body": "INTO .*\"t\"", "after_work": true })),
    ];
    for (number, rules) in rules.into_iter().enumerate() {
        cloud.arm(rules.clone());
        count_on(&place, &format!("run {number}"), 1).unwrap_or_else(|error| panic!("{rules}: {error}"));
        assert_eq!(cloud.disarm(), 0, "{rules}");
        check_count(&place);
    }
}

#[test]
fn answers_that_do_not_come_in_time_are_asked_for_again() {
    let Some(cloud) = Cloud::start() else { return };
    let mut place = Place::new(&cloud);
    place.params = place.with("RequestTimeout", json!(1));
    count_on(&place, "first", 1).unwrap();
    for op in ["s3.PutObject", "s3.GetObject", "athena.StartQueryExecution", "athena.GetQueryExecution"] {
        // The late request does its work all the same, when nobody waits for it.
        cloud.arm(json!({ "op": op, "delay": 2 }));
        count_on(&place, op, 1).unwrap_or_else(|error| panic!("{op}: {error}"));
        assert_eq!(cloud.disarm(), 0, "{op}");
        check_count(&place);
    }
}

#[test]
fn a_commit_that_cannot_be_applied_waits_for_the_next_run() {
    let Some(cloud) = Cloud::start() else { return };
    let place = Place::new(&cloud);
    count_on(&place, "r1", 1).unwrap();
    for after_work in [false, true] {
        // Both tables fail, in a way that no repetition helps.
        cloud.arm(json!({ "op": "athena.query", "body": "MERGE INTO .*\"m\"", "job_error": "TYPE_MISMATCH", "after_work": after_work }));
        let error = count_on(&place, "r2", 1).unwrap_err();
        assert!(error.to_string().contains("rows are committed"), "{error}");
        assert_eq!(cloud.disarm(), 0);
        count_on(&place, "r3", 1).unwrap();
        check_count(&place);
    }
    // A rebuild that is interrupted.
    let text = stream("m", &[("id", DataType::Text)], 1);
    let ids = Arc::new(StringArray::from(vec!["x"])) as ArrayRef;
    let fresh = batch(&text, vec![ids]);
    cloud.arm(
        json!({ "op": "athena.query", "body": "CREATE TABLE .* AS SELECT", "job_error": "TYPE_MISMATCH" }),
    );
    cloud.arm(json!({ "op": "athena.StartQueryExecution", "body": "CREATE TABLE .* AS SELECT", "skip": 1, "status": 400, "reason": "AccessDeniedException" }));
    let error = place.load(&refresh("r4"), &text, WriteMode::Merge, &[fresh]).unwrap_err();
    assert!(error.to_string().contains("may not start a statement"), "{error}");
    assert_eq!(cloud.disarm(), 0);
    place.open(&run("r5")).finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(place.query("SELECT * FROM m"), ["x"]);
}

#[test]
fn somebody_elses_rows_are_not_taken_for_ours() {
    let Some(cloud) = Cloud::start() else { return };
    let place = Place::new(&cloud);
    place.load(&run("r1"), &people(0), WriteMode::Append, &[rows(&[(1, None)])]).unwrap();
    let database = place.service.place.database.clone();
    // The statement is late, and another writer comes first.
    cloud.arm(json!({ "op": "athena.StartQueryExecution", "body": "MERGE", "delay": 3 }));
    let writer = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(1500));
            place.execute(&format!("INSERT INTO {database}.t VALUES (100, 'theirs'), (101, 'theirs')"));
        });
        let other = Place::new(&cloud);
        let params = place.params.clone();
        let mut storage = other.try_open_with(params, &run("r2")).unwrap();
        put(&mut storage, &people(0), WriteMode::Append, &rows(&[(2, None)]));
        storage.finish(Outcome::Succeeded, &none(), None).unwrap();
        writer.join()
    });
    writer.unwrap();
    assert_eq!(cloud.disarm(), 0);
    assert_eq!(place.query("SELECT id FROM t"), ["1", "100", "101", "2"]);
}

#[test]
fn what_a_dead_run_staged_is_deleted_however_much() {
    let place = place!();
    place.load(&run("r1"), &people(0), WriteMode::Append, &[rows(&[(1, None)])]).unwrap();
    let root = mart::folder(&place.service, "dm");
    place.runtime.block_on(async {
        let keys: Vec<_> =
            (0..2_100).map(|number| format!("{root}staged/{:020}/0/{number:08}.parquet", 1)).collect();
        for chunk in keys.chunks(32) {
            let puts = chunk.iter().map(|key| {
                let request = place.service.s3.put_object().bucket(&place.service.place.bucket).key(key);
                tokio::spawn(request.send())
            });
            for put in puts.collect::<Vec<_>>() {
                put.await.unwrap().unwrap();
            }
        }
    });
    assert_eq!(place.keys("/staged/").len(), 2_100);
    place.open(&run("r2")).finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(place.keys("/staged/"), [""; 0]);
    assert_eq!(place.query("SELECT id FROM t"), ["1"]);
}

#[test]
fn refusals_of_aws_are_said_in_the_users_words() {
    let Some(cloud) = Cloud::start() else { return };
    let place = Place::new(&cloud);
    let reach = |params: Params| Athena.reach(params, Path::new("."));
    let said = reach(place.params.clone()).unwrap();
    assert!(said.contains("will be created"), "{said}");
    place.open(&run("r1")).finish(Outcome::Succeeded, &none(), None).unwrap();
    assert!(reach(place.params.clone()).unwrap().contains("is there"));
    assert_eq!(place.keys("probe"), [""; 0]);
    let parameter = |error: StorageError, expected: Option<&str>, words: &str| {
        assert!(!error.to_string().contains("hush"), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        match error {
            StorageError::Config { parameter, .. } => assert_eq!(parameter.as_deref(), expected),
            error => panic!("{error:?}"),
        }
    };
    let nowhere = place.with("S3BucketName", "nowhere-at-all".into());
    parameter(
        reach(nowhere.clone()).unwrap_err(),
        Some("S3BucketName"),
        "there is no bucket `nowhere-at-all`",
    );
    parameter(place.try_open_with(nowhere, &run("r")).err().unwrap(), Some("S3BucketName"), "no bucket");
    parameter(
        reach(place.with("WorkGroup", "none".into())).unwrap_err(),
        Some("WorkGroup"),
        "work group `none`",
    );
    for (rule, expected, words) in [
        (
            json!({ "op": "s3.*", "status": 403, "reason": "InvalidAccessKeyId" }),
            Some("AWSAccessKeyId"),
            "does not accept the credentials",
        ),
        (
            json!({ "op": "s3.*", "status": 403, "reason": "SignatureDoesNotMatch" }),
            Some("AWSAccessKeyId"),
            "does not accept the credentials",
        ),
        (
            json!({ "op": "s3.*", "status": 400, "reason": "ExpiredToken" }),
            Some("AWSSessionToken"),
            "have expired",
        ),
        (json!({ "op": "s3.PutObject", "status": 403 }), None, "may not write object"),
        (
            json!({ "op": "athena.*", "status": 400, "reason": "AccessDeniedException" }),
            None,
            "may not look at database",
        ),
        (
            json!({ "op": "athena.*", "status": 400, "reason": "UnrecognizedClientException" }),
            Some("AWSAccessKeyId"),
            "does not accept the credentials",
        ),
        (
            json!({ "op": "s3.*", "status": 301, "reason": "PermanentRedirect", "headers": { "x-amz-bucket-region": "eu-west-1" } }),
            Some("AWSRegion"),
            "is in region `eu-west-1` and `AWSRegion` is `us-east-1`",
        ),
    ] {
        cloud.arm(rule);
        parameter(reach(place.params.clone()).unwrap_err(), expected, words);
        cloud.disarm();
    }
}

#[test]
fn a_work_group_may_say_where_results_go() {
    let Some(cloud) = Cloud::start() else { return };
    let place = Place::new(&cloud);
    let bucket = place.service.place.bucket.clone();
    cloud.python(
        "import sys, boto3\nboto3.client('athena', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='a', aws_secret_access_key='b').create_work_group(Name='team', Configuration={'EnforceWorkGroupConfiguration': True, 'ResultConfiguration': {'OutputLocation': sys.argv[2]}})",
        &[&format!("s3://{bucket}/enforced/")],
    );
    let mut params = place.with("WorkGroup", "team".into());
    for output in [true, false] {
        if !output {
            params.remove("AthenaOutputLocation");
        }
        let mut storage = place.try_open_with(params.clone(), &run("r1")).unwrap();
        put(&mut storage, &people(0), WriteMode::Append, &rows(&[(1, None)]));
        storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    }
    assert!(!place.keys("enforced/").is_empty());
    assert_eq!(place.query("SELECT id FROM t"), ["1", "1"]);
}
