//! Append, merge, replace, full refresh: rows, and the state beside them.

use super::*;

#[test]
fn append_adds() {
    let place = Place::new();
    for _ in 0..2 {
        place.load(&people(0), WriteMode::Append, &[rows(&[(1, Some("a"))]), rows(&[(2, None)])]).unwrap();
    }
    assert_eq!(place.query("SELECT * FROM t"), ["1 'a'", "2 null", "1 'a'", "2 null"]);
}

#[test]
fn append_refuses_a_key_that_is_there() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Append, &[rows(&[(1, Some("a"))])]).unwrap();
    let error = place.load(&people(1), WriteMode::Append, &[rows(&[(2, None), (1, None)])]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "row 2 of table `t` has a key that the table already holds (UNIQUE constraint failed: t.id); write the stream with mode `merge`, or declare no primary key"
    );
    assert_eq!(place.query("SELECT * FROM t"), ["1 'a'"]);
}

/// Rows whose keys and names are of their numbers, from 1.
fn hundreds(number: i64, key: fn(i64) -> i64) -> RecordBatch {
    let names: Vec<_> = (1..=number).map(|row| format!("name {row}")).collect();
    rows(&(1..).zip(&names).map(|(row, name)| (key(row), Some(name.as_str()))).collect::<Vec<_>>())
}

#[test]
fn of_hundreds_of_rows_the_one_at_fault_is_named() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Append, &[rows(&[(200, Some("old"))])]).unwrap();
    let refused = |mode, batch: &RecordBatch, what: &str| {
        let error = place.load(&people(1), mode, &[rows(&[(0, None)]), batch.clone()]).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(place.query("SELECT * FROM t"), ["200 'old'"]);
    };
    refused(WriteMode::Append, &hundreds(300, |row| row), "row 201 of table `t` has a key that the table");
    place.execute("CREATE UNIQUE INDEX names ON t (name)");
    let twice = hundreds(300, |row| row + 1000);
    let twice =
        arrow_select::concat::concat_batches(&twice.schema(), [&twice, &rows(&[(7, Some("name 9"))])]);
    refused(WriteMode::Merge, &twice.unwrap(), "row 302 of table `t` does not fit a constraint of the table");
    place.execute(
        "CREATE TRIGGER no BEFORE INSERT ON t WHEN new.id = 150 BEGIN SELECT RAISE(ROLLBACK, 'no thanks'); END",
    );
    refused(WriteMode::Merge, &hundreds(300, |row| row), "no thanks");
}

#[test]
fn of_hundreds_of_rows_the_last_of_a_key_is_kept() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Merge, &[hundreds(300, |row| row % 7)]).unwrap();
    let kept = ["0 'name 294'", "1 'name 295'", "2 'name 296'", "3 'name 297'", "4 'name 298'"];
    assert_eq!(place.query("SELECT * FROM t WHERE id < 5"), kept);
    assert_eq!(place.query("SELECT count(*), max(name) FROM t"), ["7 'name 300'"]);
}

#[test]
fn merge_keeps_the_last_row_of_a_key() {
    let place = Place::new();
    place
        .load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a")), (2, Some("b")), (1, Some("c"))])])
        .unwrap();
    place
        .load(&people(1), WriteMode::Merge, &[rows(&[(2, None), (3, Some("d"))]), rows(&[(3, Some("e"))])])
        .unwrap();
    assert_eq!(place.query("SELECT * FROM t ORDER BY id"), ["1 'c'", "2 null", "3 'e'"]);
}

#[test]
fn merge_leaves_absent_columns_alone() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a")), (2, Some("b"))])]).unwrap();
    let keys = stream("t", &[("id", DataType::Int64)], 1);
    let keys = batch(&keys, vec![Arc::new(Int64Array::from(vec![2, 3]))]);
    place.load(&people(1), WriteMode::Merge, &[keys]).unwrap();
    assert_eq!(place.query("SELECT * FROM t ORDER BY id"), ["1 'a'", "2 'b'", "3 null"]);
    let names = stream("t", &[("name", DataType::Text)], 0);
    let names = batch(&names, vec![Arc::new(StringArray::from(vec!["x"]))]);
    let error = place.load(&people(1), WriteMode::Merge, &[names]).unwrap_err();
    assert_eq!(error.to_string(), "row 1 of table `t` lacks `id`, which is part of the primary key");
}

#[test]
fn merge_needs_a_key() {
    let place = Place::new();
    let error = place.load(&people(0), WriteMode::Merge, &[]).unwrap_err();
    assert!(error.to_string().contains("without a primary key"), "{error}");
}

#[test]
fn keys_are_compared_value_by_value() {
    let place = Place::new();
    let schema = stream("t", &[("a", DataType::Text), ("b", DataType::Text), ("n", DataType::Int64)], 2);
    let row = |a: &str, b: &str, n: i64| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![a])),
            Arc::new(StringArray::from(vec![b])),
            Arc::new(Int64Array::from(vec![n])),
        ];
        batch(&schema, columns)
    };
    let batches = [
        row("a|b", "c", 1),
        row("a", "b|c", 2),
        row("", "", 3),
        row("'", "\"", 4),
        row("A", "B|c", 5),
        row("", "", 6),
    ];
    place.load(&schema, WriteMode::Merge, &batches).unwrap();
    let read = place.query("SELECT n, a, b FROM t ORDER BY n");
    assert_eq!(read, ["1 'a|b' 'c'", "2 'a' 'b|c'", "4 ''' '\"'", "5 'A' 'B|c'", "6 '' ''"]);
}

#[test]
fn readers_see_the_old_rows_until_a_replacement_succeeds() {
    let place = Place::new();
    place.load(&people(0), WriteMode::Replace, &[rows(&[(1, Some("old"))])]).unwrap();
    let reader = place.reader();
    let mut storage = place.open();
    let table = put(&mut storage, &people(0), WriteMode::Replace, &rows(&[(2, Some("new"))]));
    storage.commit(&changes(&[("t", Some("2")), ("t/part", Some("3")), ("table", Some("4"))])).unwrap();
    storage.write(table, &rows(&[(3, Some("new"))])).unwrap();
    assert_eq!(query(&reader, "SELECT * FROM t"), ["1 'old'"]);
    assert_eq!(place.state(), BTreeMap::from([("table".into(), "4".into())]));
    assert_eq!(
        place.query("SELECT \"rows\", commits FROM _ow_runs ORDER BY id DESC LIMIT 1"),
        ["'{\"t\":0}' 1"]
    );
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(query(&reader, "SELECT * FROM t"), ["2 'new'", "3 'new'"]);
    assert_eq!(place.state().len(), 3);
    assert_eq!(
        place.query("SELECT \"rows\", commits FROM _ow_runs ORDER BY id DESC LIMIT 1"),
        ["'{\"t\":2}' 2"]
    );
}

#[test]
fn a_replacement_that_fails_leaves_everything() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Replace, &[rows(&[(1, Some("old"))])]).unwrap();
    for outcome in [Outcome::Failed, Outcome::Interrupted] {
        let mut storage = place.open();
        put(&mut storage, &people(1), WriteMode::Replace, &rows(&[(2, Some("new"))]));
        storage.commit(&changes(&[("t", Some("2"))])).unwrap();
        storage.finish(outcome, &none(), Some("the source broke")).unwrap();
        assert_eq!(place.query("SELECT * FROM t"), ["1 'old'"]);
        assert_eq!(place.state(), BTreeMap::new());
        assert_eq!(
            place.query("SELECT name FROM sqlite_schema WHERE name LIKE '\\_ow\\_new%' ESCAPE '\\'"),
            [""; 0]
        );
    }
    let history = place.query("SELECT status, error, \"rows\" FROM _ow_runs ORDER BY id");
    assert_eq!(
        history,
        [
            "'succeeded' null '{\"t\":1}'",
            "'failed' 'the source broke' '{\"t\":0}'",
            "'interrupted' 'the source broke' '{\"t\":0}'"
        ]
    );
}

#[test]
fn a_replacement_without_rows_empties_the_table() {
    let place = Place::new();
    place.load(&people(0), WriteMode::Replace, &[rows(&[(1, None)])]).unwrap();
    place.load(&people(0), WriteMode::Replace, &[]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), [""; 0]);
}

#[test]
fn a_replacement_keeps_the_last_row_of_a_key() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Replace, &[rows(&[(1, Some("a")), (1, Some("b"))])]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 'b'"]);
    // Merging goes on from there.
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("c"))])]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 'c'"]);
}

#[test]
fn views_indexes_and_triggers_of_the_user_outlive_a_replacement() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Replace, &[rows(&[(1, Some("a"))])]).unwrap();
    place.execute(
        "CREATE INDEX by_name ON t (name); CREATE VIEW v AS SELECT name FROM t;
         CREATE TABLE log (id INTEGER REFERENCES t (id)); INSERT INTO log VALUES (1);
         CREATE TRIGGER note AFTER DELETE ON t BEGIN INSERT INTO log VALUES (old.id); END;",
    );
    place.load(&people(1), WriteMode::Replace, &[rows(&[(2, Some("b"))])]).unwrap();
    assert_eq!(place.query("SELECT * FROM v"), ["'b'"]);
    assert_eq!(place.query("SELECT * FROM log"), ["1"]);
    let attached =
        place.query("SELECT name FROM sqlite_schema WHERE tbl_name = 't' AND sql IS NOT NULL ORDER BY 1");
    assert_eq!(attached, ["'by_name'", "'note'", "'t'"]);
    // A column that is gone takes its index along.
    let narrow = stream("t", &[("id", DataType::Int64)], 1);
    place.load(&narrow, WriteMode::Replace, &[]).unwrap();
    assert_eq!(place.query("SELECT name FROM sqlite_schema WHERE name = 'by_name'"), [""; 0]);
}

#[test]
fn a_full_refresh_replaces_rows_and_state_at_its_end() {
    let place = Place::new();
    let mut storage = place.open();
    put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, Some("old"))]));
    storage.finish(Outcome::Succeeded, &changes(&[("t", Some("1")), ("u", Some("1"))]), None).unwrap();

    let mut storage = place.open_as(&refresh("r2"));
    assert_eq!(storage.state().unwrap().len(), 2);
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(2, Some("a"))]));
    storage.commit(&changes(&[("t", Some("2")), ("gone", Some("1"))])).unwrap();
    storage.write(table, &rows(&[(2, Some("b")), (3, None)])).unwrap();
    storage.commit(&changes(&[("gone", None)])).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 'old'"]);
    assert_eq!(place.state().len(), 2);
    storage.finish(Outcome::Succeeded, &changes(&[("v", Some("3"))]), None).unwrap();
    assert_eq!(place.query("SELECT * FROM t ORDER BY id"), ["2 'b'", "3 null"]);
    assert_eq!(place.state(), BTreeMap::from([("t".into(), "2".into()), ("v".into(), "3".into())]));
}

#[test]
fn a_full_refresh_that_fails_leaves_rows_and_state() {
    let place = Place::new();
    let mut storage = place.open();
    put(&mut storage, &people(0), WriteMode::Append, &rows(&[(1, Some("old"))]));
    storage.finish(Outcome::Succeeded, &changes(&[("t", Some("1"))]), None).unwrap();
    let mut storage = place.open_as(&refresh("r2"));
    put(&mut storage, &people(0), WriteMode::Append, &rows(&[(2, Some("new"))]));
    storage.commit(&changes(&[("t", Some("2"))])).unwrap();
    storage.finish(Outcome::Failed, &none(), Some("no")).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 'old'"]);
    assert_eq!(place.state(), BTreeMap::from([("t".into(), "1".into())]));
}

#[test]
fn a_full_refresh_takes_any_shape() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    let other = stream("t", &[("name", DataType::Bytes), ("n", DataType::Float64)], 1);
    place.load_as(&refresh("r2"), &other, WriteMode::Merge, &[]).unwrap();
    assert_eq!(place.query("SELECT name FROM pragma_table_info('t')"), ["'name'", "'n'"]);
    place.load(&other, WriteMode::Merge, &[]).unwrap();
}

#[test]
fn a_backfill_keeps_the_state() {
    let place = Place::new();
    place.open().finish(Outcome::Succeeded, &changes(&[("t", Some("1"))]), None).unwrap();
    let mut storage = place.open_as(&RunInfo { keep_state: true, ..run("r2") });
    put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    storage.commit(&changes(&[("t", Some("2"))])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[("t", None), ("u", Some("3"))]), None).unwrap();
    assert_eq!(place.state(), BTreeMap::from([("t".into(), "1".into())]));
    assert_eq!(place.query("SELECT id FROM t"), ["1"]);
}

#[test]
fn rows_state_and_history_are_committed_together() {
    let place = Place::new();
    let mut storage = place.open();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None), (2, None)]));
    assert_eq!(place.state(), BTreeMap::new());
    storage.commit(&changes(&[("t", Some("{\"page\":1}"))])).unwrap();
    let seen = "SELECT (SELECT count(*) FROM t), (SELECT value FROM _ow_state), \"rows\", status, commits, run_id, connector, run_type FROM _ow_runs";
    assert_eq!(
        place.query(seen),
        ["2 '{\"page\":1}' '{\"t\":2}' 'running' 1 'r1' 'probe 1.0.0' 'INCREMENTAL'"]
    );
    storage.write(table, &rows(&[(3, None)])).unwrap();
    storage.finish(Outcome::Failed, &changes(&[("t", Some("lost"))]), Some("broke")).unwrap();
    assert_eq!(
        place.query(seen),
        ["2 '{\"page\":1}' '{\"t\":2}' 'failed' 1 'r1' 'probe 1.0.0' 'INCREMENTAL'"]
    );
    let schema = place.query("SELECT json_extract(schema, '$.t.mode'), json_extract(schema, '$.t.table.fields[1].name') FROM _ow_runs");
    assert_eq!(schema, ["'merge' 'name'"]);
    let error = storage.commit(&none()).unwrap_err();
    assert_eq!(error.to_string(), "the run has ended already");
}

#[test]
fn state_belongs_to_its_data_mart() {
    let place = Place::new();
    place.open().finish(Outcome::Succeeded, &changes(&[("k", Some("1"))]), None).unwrap();
    let other = RunInfo { data_mart_id: "other ' mart".into(), ..run("r2") };
    let mut storage = place.open_as(&other);
    assert_eq!(storage.state().unwrap(), BTreeMap::new());
    storage.finish(Outcome::Succeeded, &changes(&[("k", Some("2"))]), None).unwrap();
    assert_eq!(place.state(), BTreeMap::from([("k".into(), "1".into())]));
    assert_eq!(
        read_state(&place.params, "other ' mart").unwrap(),
        BTreeMap::from([("k".into(), "2".into())])
    );
}

fn forty_megabytes() -> Vec<RecordBatch> {
    let text = "x".repeat(1 << 20);
    (0..40).map(|id| rows(&[(id, Some(&text))])).collect()
}

/// A load that has written more than memory holds, and has not committed.
fn first_load(place: &Place) -> (SqliteStorage, TableId) {
    let mut storage = place.open();
    let table = storage.open_table(&people(1), WriteMode::Merge).unwrap();
    for batch in forty_megabytes() {
        storage.write(table, &batch).unwrap();
    }
    (storage, table)
}

#[test]
fn a_first_load_is_written_once_and_readers_wait_for_nobody_after_it() {
    let place = Place::new();
    let (mut storage, table) = first_load(&place);
    assert!(!place.beside("-wal").exists());
    assert!(place.path().metadata().unwrap().len() > 1 << 20);
    storage.commit(&changes(&[("k", Some("1"))])).unwrap();
    assert_eq!(place.query("PRAGMA journal_mode"), ["'wal'"]);
    let reader = place.reader();
    reader.execute_batch("PRAGMA busy_timeout = 0; BEGIN; SELECT * FROM t").unwrap();
    storage.write(table, &rows(&[(40, None)])).unwrap();
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(query(&reader, "SELECT count(*) FROM t"), ["40"]);
    assert_eq!(place.query("SELECT count(*), sum(length(name)) FROM t"), [format!("41 {}", 40 << 20)]);
}

#[test]
fn a_first_load_that_died_leaves_nothing() {
    let place = Place::new();
    let (_storage, _) = first_load(&place);
    // What a process leaves that is killed now.
    let left = Place::new();
    for suffix in ["", "-journal"] {
        std::fs::copy(place.beside(suffix), left.beside(suffix)).unwrap();
    }
    assert!(left.path().metadata().unwrap().len() > 1 << 20);
    assert_eq!(left.state(), BTreeMap::new());
    assert!(left.path().metadata().unwrap().len() < 1 << 20);
    assert_eq!(left.query("SELECT status FROM _ow_runs"), ["'running'"]);
    left.load(&people(1), WriteMode::Merge, &forty_megabytes()).unwrap();
    assert_eq!(left.query("SELECT count(*) FROM t"), ["40"]);
    assert_eq!(left.query("SELECT status FROM _ow_runs"), ["'crashed'", "'succeeded'"]);
}

#[test]
fn a_log_waits_for_who_reads() {
    let place = Place::new();
    let connection = connection::open(place.path()).unwrap();
    connection.execute_batch("CREATE TABLE t (a)").unwrap();
    let reader = place.reader();
    reader.execute_batch("BEGIN; SELECT * FROM t").unwrap();
    assert!(!connection::try_to_use_log(&connection).unwrap());
    reader.execute_batch("COMMIT").unwrap();
    assert!(connection::try_to_use_log(&connection).unwrap());
    assert_eq!(place.query("PRAGMA journal_mode"), ["'wal'"]);
}

#[test]
fn more_rows_than_memory_holds_are_written_on_the_way() {
    let place = Place::new();
    place.open().finish(Outcome::Succeeded, &none(), None).unwrap();
    let big = forty_megabytes();
    for (mode, visible) in [(WriteMode::Merge, "0"), (WriteMode::Replace, "40")] {
        let mut storage = place.open();
        let table = storage.open_table(&people(1), mode).unwrap();
        for batch in &big {
            storage.write(table, batch).unwrap();
        }
        let there = "SELECT count(*) FROM sqlite_schema WHERE name = 't'";
        if mode == WriteMode::Merge {
            assert_eq!(place.query(there), ["0"], "nothing is visible before the commit");
        } else {
            assert_eq!(place.query("SELECT count(*) FROM t"), [visible]);
            // Shadow rows do not keep the lock.
            place.execute("PRAGMA busy_timeout = 0; CREATE TABLE free (a); DROP TABLE free");
        }
        storage.commit(&none()).unwrap();
        storage.finish(Outcome::Succeeded, &none(), None).unwrap();
        assert_eq!(place.query("SELECT count(*), sum(length(name)) FROM t"), [format!("40 {}", 40 << 20)]);
    }
}
