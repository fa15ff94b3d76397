//! Append, merge, replace, full refresh: rows, and the state beside them.

use super::*;

const ALL: &str = "SELECT * FROM `p.d.t` ORDER BY id, name";

#[test]
fn append_adds() {
    let place = place!();
    for _ in 0..2 {
        place.load(&people(0), WriteMode::Append, &[rows(&[(1, Some("a"))]), rows(&[(2, None)])]).unwrap();
    }
    assert_eq!(place.query(ALL), ["1 a", "1 a", "2 null", "2 null"]);
    assert_eq!(place.fake.tables("_ow_stage"), [""; 0]);
}

#[test]
fn append_refuses_a_key_that_is_there() {
    let place = place!();
    place.load(&people(1), WriteMode::Append, &[rows(&[(1, Some("a"))])]).unwrap();
    for bad in [[(2, None), (1, None)], [(3, None), (3, None)]] {
        let error = place.load(&people(1), WriteMode::Append, &[rows(&bad)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a row of table `t` has a key that the table already holds, or that another row has; write the stream with mode `merge`, or declare no primary key"
        );
        assert!(matches!(error, StorageError::Refused { .. }));
    }
    assert_eq!(place.query(ALL), ["1 a"]);
}

#[test]
fn merge_keeps_the_last_row_of_a_key() {
    let place = place!();
    let first = [rows(&[(1, Some("a")), (2, Some("b")), (1, Some("c"))])];
    place.load(&people(1), WriteMode::Merge, &first).unwrap();
    let second = [rows(&[(2, None), (3, Some("d"))]), rows(&[(3, Some("e"))])];
    place.load(&people(1), WriteMode::Merge, &second).unwrap();
    assert_eq!(place.query(ALL), ["1 c", "2 null", "3 e"]);
}

#[test]
fn merge_leaves_absent_columns_alone() {
    let place = place!();
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a")), (2, Some("b"))])]).unwrap();
    let keys = stream("t", &[("id", DataType::Int64)], 1);
    let keys = |ids: Vec<i64>| batch(&keys, vec![Arc::new(Int64Array::from(ids))]);
    place.load(&people(1), WriteMode::Merge, &[keys(vec![2, 3])]).unwrap();
    assert_eq!(place.query(ALL), ["1 a", "2 b", "3 null"]);
    // In one commit: the last row that had the column says what it is.
    let mixed = [rows(&[(1, None), (3, Some("x")), (4, Some("old"))]), keys(vec![2, 3, 1, 5])];
    place.load(&people(1), WriteMode::Merge, &mixed).unwrap();
    assert_eq!(place.query(ALL), ["1 null", "2 b", "3 x", "4 old", "5 null"]);
    let names = stream("t", &[("name", DataType::Text)], 0);
    let names = batch(&names, vec![Arc::new(StringArray::from(vec!["x"]))]);
    let error = place.load(&people(1), WriteMode::Merge, &[names]).unwrap_err();
    assert_eq!(error.to_string(), "row 1 of table `t` lacks `id`, which is part of the primary key");
}

#[test]
fn merge_needs_a_key() {
    let place = place!();
    let error = place.load(&people(0), WriteMode::Merge, &[]).unwrap_err();
    assert!(error.to_string().contains("without a primary key"), "{error}");
}

#[test]
fn keys_are_compared_value_by_value() {
    let place = place!();
    let schema = stream("t", &[("a", DataType::Text), ("b", DataType::Text), ("f", DataType::Float64)], 3);
    let row = |a: &str, b: &str| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![a])),
            Arc::new(StringArray::from(vec![b])),
            Arc::new(arrow_array::Float64Array::from(vec![0.5])),
        ];
        batch(&schema, columns)
    };
    let pairs = [("a|b", "c"), ("a", "b|c"), ("it's", "`\\"), ("", " "), ("A", "B|c"), ("a", "b|c")];
    for _ in 0..2 {
        place.load(&schema, WriteMode::Merge, &pairs.map(|(a, b)| row(a, b))).unwrap();
    }
    assert_eq!(place.query("SELECT COUNT(*) FROM `p.d.t`"), ["5"]);
}

#[test]
fn replace_is_seen_at_the_end_only() {
    let place = place!();
    place.load(&people(1), WriteMode::Replace, &[rows(&[(1, Some("a")), (2, Some("b"))])]).unwrap();
    let mut storage = place.open();
    let table = put(&mut storage, &people(1), WriteMode::Replace, &rows(&[(3, Some("c"))]));
    storage.commit(&changes(&[("t", Some("late")), ("u", Some("now"))])).unwrap();
    storage.write(table, &rows(&[(3, Some("d")), (4, None)])).unwrap();
    assert_eq!(place.query(ALL), ["1 a", "2 b"]);
    assert_eq!(place.state(), state(&[("u", "now")]));
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(place.query(ALL), ["3 d", "4 null"]);
    assert_eq!(place.state(), state(&[("t", "late"), ("u", "now")]));
    // Nothing is a replacement too.
    place.load(&people(1), WriteMode::Replace, &[]).unwrap();
    assert_eq!(place.query(ALL), [""; 0]);
    assert_eq!(place.fake.tables("_ow_new"), [""; 0]);
}

#[test]
fn a_replacement_that_fails_leaves_the_table() {
    let place = place!();
    place.load(&people(1), WriteMode::Replace, &[rows(&[(1, Some("a"))])]).unwrap();
    let mut storage = place.open();
    put(&mut storage, &people(1), WriteMode::Replace, &rows(&[(3, Some("c"))]));
    storage.commit(&none()).unwrap();
    storage.finish(Outcome::Failed, &changes(&[("t", Some("no"))]), Some("no")).unwrap();
    assert_eq!(place.query(ALL), ["1 a"]);
    assert_eq!(place.state(), state(&[]));
}

#[test]
fn a_full_refresh_replaces_rows_and_state_at_its_end() {
    let place = place!();
    let mut storage = place.open();
    put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, Some("old"))]));
    storage.finish(Outcome::Succeeded, &changes(&[("t", Some("1")), ("u", Some("1"))]), None).unwrap();

    let mut storage = place.open_as(&refresh("r2"));
    assert_eq!(storage.state().unwrap().len(), 2);
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(2, Some("a"))]));
    storage.commit(&changes(&[("t", Some("2")), ("gone", Some("1"))])).unwrap();
    storage.write(table, &rows(&[(2, Some("b")), (3, None)])).unwrap();
    storage.commit(&changes(&[("gone", None)])).unwrap();
    assert_eq!(place.query(ALL), ["1 old"]);
    assert_eq!(place.state().len(), 2);
    storage.finish(Outcome::Succeeded, &changes(&[("v", Some("3"))]), None).unwrap();
    assert_eq!(place.query(ALL), ["2 b", "3 null"]);
    assert_eq!(place.state(), state(&[("t", "2"), ("v", "3")]));
}

#[test]
fn a_full_refresh_takes_any_shape() {
    let place = place!();
    let mut old = people(1);
    old.partition_field = Some("day".into());
    old.fields.push(Field {
        name: "day".into(),
        data_type: DataType::Date,
        nullable: true,
        description: None,
    });
    place.load(&old, WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    let other = stream("t", &[("name", DataType::Text), ("n", DataType::Json)], 1);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec!["k", "k"])), Arc::new(StringArray::from(vec!["1", "[2]"]))];
    place.load_as(&refresh("r2"), &other, WriteMode::Merge, &[batch(&other, columns)]).unwrap();
    assert_eq!(place.query("SELECT * FROM `p.d.t`"), ["k [2]"]);
    let table = place.fake.table("t");
    assert!(table["timePartitioning"].is_null(), "{table}");
    assert_eq!(table["clustering"]["fields"], json!(["name"]));
    // It is ours again, and takes rows.
    place.load(&other, WriteMode::Merge, &[]).unwrap();
    place.load_as(&refresh("r3"), &old, WriteMode::Merge, &[]).unwrap();
    assert_eq!(place.fake.table("t")["timePartitioning"]["field"], "day");
    assert_eq!(place.query("SELECT COUNT(*) FROM `p.d.t`"), ["0"]);
}

#[test]
fn a_full_refresh_of_an_appended_stream_refuses_a_key_that_comes_twice() {
    let place = place!();
    for _ in 0..2 {
        let twice = [rows(&[(1, None), (1, None)])];
        let error = place.load_as(&refresh("r"), &people(1), WriteMode::Append, &twice).unwrap_err();
        assert!(error.to_string().contains("has a key that"), "{error}");
        place.load_as(&refresh("r"), &people(1), WriteMode::Append, &[rows(&[(1, None)])]).unwrap();
    }
}

#[test]
fn a_backfill_keeps_the_state() {
    let place = place!();
    place.open().finish(Outcome::Succeeded, &changes(&[("t", Some("1"))]), None).unwrap();
    let mut storage = place.open_as(&RunInfo { keep_state: true, ..run("r2") });
    put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    storage.commit(&changes(&[("t", Some("2"))])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[("t", None), ("u", Some("3"))]), None).unwrap();
    assert_eq!(place.state(), state(&[("t", "1")]));
    assert_eq!(place.query("SELECT id FROM `p.d.t`"), ["1"]);
}

#[test]
fn rows_state_and_history_are_committed_together() {
    let place = place!();
    let mut storage = place.open();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None), (2, None)]));
    assert_eq!(place.state(), state(&[]));
    assert!(place.fake.table("t")["error"].is_object(), "nothing is visible before the commit");
    storage.commit(&changes(&[("t", Some("{\"page\":1}"))])).unwrap();
    let seen = "SELECT (SELECT COUNT(*) FROM `p.d.t`) AS n, r.`rows`, status, commits, run_id, connector, run_type, error FROM `p.d._ow_runs` AS r";
    assert_eq!(place.query(seen), ["2 {\"t\":2} running 1 r1 probe 1.0.0 INCREMENTAL null"]);
    assert_eq!(place.state(), state(&[("t", "{\"page\":1}")]));
    storage.write(table, &rows(&[(3, None)])).unwrap();
    storage.finish(Outcome::Failed, &changes(&[("t", Some("lost"))]), Some("it's `broken`")).unwrap();
    assert_eq!(place.query(seen), ["2 {\"t\":2} failed 1 r1 probe 1.0.0 INCREMENTAL it's `broken`"]);
    assert_eq!(storage.commit(&none()).unwrap_err().to_string(), "the run has ended already");
    assert!(storage.waited() > Duration::ZERO);
}

#[test]
fn state_belongs_to_its_data_mart() {
    let place = place!();
    place.open().finish(Outcome::Succeeded, &changes(&[("k", Some("1"))]), None).unwrap();
    let other = RunInfo { data_mart_id: "other ' mart`\\".into(), ..run("r2") };
    let mut storage = place.open_as(&other);
    assert_eq!(storage.state().unwrap(), state(&[]));
    storage.finish(Outcome::Succeeded, &changes(&[("k", Some("2"))]), None).unwrap();
    assert_eq!(place.state(), state(&[("k", "1")]));
    assert_eq!(read_state(&place.settings, "other ' mart`\\").unwrap(), state(&[("k", "2")]));
    assert_eq!(read_state(&place.settings, "unknown").unwrap(), state(&[]));
}

#[test]
fn the_state_of_a_dataset_that_is_not_there_is_empty() {
    let place = place!();
    assert_eq!(place.state(), state(&[]));
    assert_eq!(place.fake.requests("datasets.insert").len(), 0);
}

#[test]
fn many_rows_go_in_many_files() {
    let mut place = place!();
    place.settings.part = 64 * 1024;
    let schema = people(1);
    let text =
        |id: i64| (0..200).map(|n| format!("{:x}", (id * 7919 + n * 104_729) % 65_521)).collect::<String>();
    let page = |from: i64| {
        let texts: Vec<_> = (from..from + 250).map(|id| (id, text(id))).collect();
        rows(&texts.iter().map(|(id, text)| (*id, Some(text.as_str()))).collect::<Vec<_>>())
    };
    for mode in [WriteMode::Merge, WriteMode::Replace] {
        let mut storage = place.open();
        let table = storage.open_table(&schema, mode).unwrap();
        for from in 0..8 {
            storage.write(table, &page(from * 250)).unwrap();
        }
        storage.commit(&none()).unwrap();
        storage.finish(Outcome::Succeeded, &none(), None).unwrap();
        assert_eq!(place.query("SELECT COUNT(*), SUM(id) FROM `p.d.t`"), ["2000 1999000"]);
    }
    assert!(place.fake.requests("upload.start").len() > 6);
}

/// One million rows of ten fields: `cargo test -- --ignored --nocapture measured`.
#[test]
#[ignore = "takes a while; prints what it measured"]
fn measured() {
    let place = place!();
    let mut fields = vec![("id".to_owned(), DataType::Int64)];
    fields.extend(
        (1..10).map(|n| (format!("f{n}"), if n % 2 == 0 { DataType::Int64 } else { DataType::Text })),
    );
    let fields: Vec<_> = fields.iter().map(|(name, data_type)| (name.as_str(), *data_type)).collect();
    let schema = stream("t", &fields, 1);
    let page = |from: i64| {
        let columns = fields.iter().enumerate().map(|(n, (_, data_type))| -> ArrayRef {
            let values = (from..from + 10_000).map(|id| id.wrapping_mul(7919 + n as i64 * 104_729));
            match data_type {
                _ if n == 0 => Arc::new(Int64Array::from_iter_values(from..from + 10_000)),
                DataType::Int64 => Arc::new(Int64Array::from_iter_values(values)),
                _ => Arc::new(StringArray::from_iter_values(values.map(|value| format!("value {value}")))),
            }
        });
        batch(&schema, columns.collect())
    };
    for mode in [WriteMode::Append, WriteMode::Merge, WriteMode::Replace] {
        let began = std::time::Instant::now();
        let mut storage = place.open_as(&refresh("r"));
        let table = storage.open_table(&schema, mode).unwrap();
        let mut written = Duration::ZERO;
        for from in 0..100 {
            let rows = page(from * 10_000);
            let at = std::time::Instant::now();
            storage.write(table, &rows).unwrap();
            written += at.elapsed();
        }
        let waited = storage.waited();
        storage.finish(Outcome::Succeeded, &none(), None).unwrap();
        eprintln!(
            "{mode:?}: {:?} in all, {written:?} in write ({waited:?} of it waiting), {:?} waiting in all",
            began.elapsed(),
            storage.waited()
        );
        assert_eq!(place.query("SELECT COUNT(*) FROM `p.d.t`"), ["1000000"]);
    }
}

#[test]
fn the_quarantine_takes_rows_in_a_full_refresh_too() {
    let place = place!();
    let quarantine = TableSchema { name: "_ow_quarantine".into(), ..people(0) };
    for (id, run) in [(1, run("r1")), (2, refresh("r2"))] {
        let mut storage = place.open_as(&run);
        let table = storage.open_quarantine(&quarantine).unwrap();
        assert_eq!(storage.open_quarantine(&quarantine).unwrap(), table);
        storage.write(table, &rows(&[(id, None)])).unwrap();
        storage.commit(&none()).unwrap();
        assert!(storage.open_table(&quarantine, WriteMode::Append).is_err());
        storage.finish(Outcome::Failed, &none(), None).unwrap();
    }
    assert_eq!(place.query("SELECT id FROM `p.d._ow_quarantine` ORDER BY id"), ["1", "2"]);
}
