use super::*;

#[test]
fn appended_rows_state_and_history_are_there() {
    let place = place!();
    let mut storage = place.open(&run("r1"));
    let table = put(&mut storage, &people(0), WriteMode::Append, &rows(&[(1, Some("a")), (2, None)]));
    storage.commit(&changes(&[("t", Some("2"))])).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 a", "2 null"]);
    storage.write(table, &rows(&[(2, Some("again"))])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[("t", Some("3")), ("u", Some("{}"))]), None).unwrap();
    assert!(storage.finish(Outcome::Succeeded, &none(), None).is_err());
    assert_eq!(place.query("SELECT * FROM t"), ["1 a", "2 again", "2 null"]);
    assert_eq!(place.state(), BTreeMap::from([("t".into(), "3".into()), ("u".into(), "{}".into())]));
    assert_eq!(
        place.query("SELECT \"run_id\", \"status\", \"rows\", \"commits\" FROM \"_ow_runs\""),
        ["r1 succeeded {\"t\":3} 2"]
    );
    assert_eq!(place.query("SELECT \"key\", \"value\" FROM \"_ow_state\""), ["t 3", "u {}"]);
    assert_eq!(place.keys("/staged/"), [""; 0]);
    assert_eq!(place.keys("lease.json"), [""; 0]);
    assert_eq!(place.stage_tables(), [""; 0]);
    let (mut storage, name) = Athena.open(place.params.clone(), Path::new("."), &run("r2")).unwrap();
    assert_eq!(name, format!("AwsAthena ({})", place.service.place.database));
    assert_eq!(storage.state().unwrap().len(), 2);
    assert!(storage.waited() > std::time::Duration::ZERO);
    storage.finish(Outcome::Failed, &changes(&[("t", Some("9"))]), Some("it broke")).unwrap();
    assert_eq!(place.state()["t"], "3");
    assert_eq!(
        place.query("SELECT \"run_id\", \"status\", \"error\" FROM \"_ow_runs\""),
        ["r1 succeeded null", "r2 failed it broke"]
    );
}

#[test]
fn merged_rows_meet_by_their_key() {
    let place = place!();
    let schema = people(1);
    let first = [rows(&[(1, Some("a")), (2, Some("b")), (2, Some("last")), (3, Some("c"))])];
    place.load(&run("r1"), &schema, WriteMode::Merge, &first).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 a", "2 last", "3 c"]);
    let only_key = |ids: &[i64]| {
        let ids: Int64Array = ids.iter().copied().map(Some).collect();
        RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef)]).unwrap()
    };
    let batches = [
        only_key(&[1, 4]),
        rows(&[(2, None), (5, Some("new"))]),
        only_key(&[5]),
        rows(&[(6, Some("x"))]),
        rows(&[(6, Some("y"))]),
    ];
    place.load(&run("r2"), &schema, WriteMode::Merge, &batches).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 a", "2 null", "3 c", "4 null", "5 new", "6 y"]);
    let error = place.load(&run("r3"), &people(0), WriteMode::Merge, &[]).unwrap_err();
    assert!(error.to_string().contains("primary key"), "{error}");
}

#[test]
fn commits_wait_to_be_applied_together() {
    let place = place!();
    let mut storage = place.try_open_with(place.with("ApplyInterval", 3600.into()), &run("r1")).unwrap();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, Some("a"))]));
    storage.commit(&none()).unwrap();
    for (id, name) in [(1, "b"), (2, "c"), (1, "d")] {
        storage.write(table, &rows(&[(id, Some(name))])).unwrap();
        storage.commit(&changes(&[("t", Some(name))])).unwrap();
    }
    assert_eq!(place.query("SELECT * FROM t"), ["1 a"]);
    assert_eq!(place.state()["t"], "d");
    // What died with commits that wait is brought in by the next run.
    drop(storage);
    let mut storage = place.open(&run("r2"));
    assert_eq!(storage.state().unwrap()["t"], "d");
    assert_eq!(place.query("SELECT * FROM t"), ["1 d", "2 c"]);
    assert_eq!(place.query("SELECT \"run_id\", \"status\" FROM \"_ow_runs\""), ["r1 crashed", "r2 running"]);
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(place.stage_tables(), [""; 0]);
    assert_eq!(place.keys("/staged/"), [""; 0]);
}

#[test]
fn replaced_tables_change_at_the_end() {
    let place = place!();
    let wide = stream("t", &[("id", DataType::Int64), ("name", DataType::Text), ("more", DataType::Text)], 0);
    let more = |id: i64| {
        let text = || Arc::new(StringArray::from(vec!["old"])) as ArrayRef;
        batch(&wide, vec![Arc::new(Int64Array::from(vec![id])), text(), text()])
    };
    place.load(&run("r1"), &wide, WriteMode::Append, &[more(1), more(2)]).unwrap();
    let mut storage = place.open(&run("r2"));
    let table = put(&mut storage, &people(0), WriteMode::Replace, &rows(&[(7, Some("x"))]));
    storage.commit(&changes(&[("t", Some("1")), ("other", Some("2"))])).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 old old", "2 old old"]);
    assert_eq!(place.state(), BTreeMap::from([("other".into(), "2".into())]));
    storage.write(table, &rows(&[(7, Some("x")), (8, None)])).unwrap();
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    // Without the column that the stream does not have any more.
    assert_eq!(place.query("SELECT * FROM t"), ["7 x", "7 x", "8 null"]);
    assert_eq!(place.state().len(), 2);
    // A run that fails changes nothing.
    let mut storage = place.open(&run("r3"));
    put(&mut storage, &people(0), WriteMode::Replace, &rows(&[(9, None)]));
    storage.commit(&changes(&[("t", Some("5"))])).unwrap();
    storage.finish(Outcome::Interrupted, &none(), None).unwrap();
    assert_eq!(place.query("SELECT count(*) FROM t"), ["3"]);
    assert_eq!(place.state()["t"], "1");
    // Keys hold, and nothing is something too.
    place
        .load(&run("r4"), &people(1), WriteMode::Replace, &[rows(&[(1, Some("a")), (1, Some("b"))])])
        .unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 b"]);
    place.load(&run("r5"), &people(1), WriteMode::Replace, &[]).unwrap();
    assert_eq!(place.query("SELECT count(*) FROM t"), ["0"]);
    assert_eq!(place.keys("/staged/"), [""; 0]);
}

#[test]
fn a_full_refresh_builds_the_table_anew_whatever_its_types() {
    let place = place!();
    place.load(&run("r1"), &people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    let text = stream("t", &[("id", DataType::Text), ("at", DataType::Timestamp)], 1);
    let ids = Arc::new(StringArray::from(vec!["x", "y"]));
    let times = arrow_array::TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("UTC");
    let fresh = batch(&text, vec![ids, Arc::new(times)]);
    let error = place.load(&run("r2"), &text, WriteMode::Merge, &[fresh.clone()]).unwrap_err();
    assert!(error.to_string().contains("run a full refresh"), "{error}");
    let before = place.keys("/metadata/").len();
    assert!(before > 0);
    place.load(&refresh("r3"), &text, WriteMode::Merge, &[fresh]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["x 1970-01-01 00:00:00.000001", "y null"]);
    let mut storage = place.open(&run("r4"));
    let columns = storage.columns("t").unwrap().unwrap();
    assert_eq!(columns.len(), 2);
    assert_eq!((columns[0].data_type, columns[0].nullable), (DataType::Text, false));
    assert_eq!(storage.columns("nothing").unwrap(), None);
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
}

#[test]
fn large_files_go_in_parts() {
    let Some(cloud) = Cloud::start() else { return };
    let place = Place::new(&cloud);
    let schema = people(0);
    let mut storage = place.open(&run("r1"));
    let table = storage.open_table(&schema, WriteMode::Append).unwrap();
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:016x}", seed ^ (seed >> 29))
    };
    for first in 0..60 {
        let names: Vec<String> = (0..1000).map(|_| (0..64).map(|_| noise()).collect()).collect();
        let ids: Int64Array = (0..1000).map(|id| Some(first * 1000 + id)).collect();
        let names: StringArray = names.iter().map(|name| Some(name.as_str())).collect();
        storage.write(table, &batch(&schema, vec![Arc::new(ids), Arc::new(names)])).unwrap();
    }
    cloud.arm(serde_json::json!([
        { "op": "s3.UploadPart", "status": 500 },
        { "op": "s3.UploadPart", "drop": "response" },
        { "op": "s3.CompleteMultipartUpload", "drop": "response" },
    ]));
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(cloud.disarm(), 0);
    assert!(cloud.requests("s3.UploadPart") >= 4);
    assert_eq!(
        place.query("SELECT count(*), count(DISTINCT id), sum(length(name)) FROM t"),
        ["60000 60000 61440000"]
    );
}
