//! Append, merge, replace, full refresh: rows, and the state beside them.

use super::*;

const PEOPLE: &str = "SELECT id, name FROM t ORDER BY id, ctid";

#[test]
fn append_adds() {
    let Some(place) = Place::new() else { return };
    for _ in 0..2 {
        place.load(&people(0), WriteMode::Append, &[rows(&[(1, Some("a"))]), rows(&[(2, None)])]).unwrap();
    }
    assert_eq!(place.query(PEOPLE), ["1 a", "1 a", "2 null", "2 null"]);
}

#[test]
fn append_takes_batches_that_lack_columns() {
    let Some(place) = Place::new() else { return };
    let batches = [rows(&[(1, Some("a"))]), ids("id", vec![2]), rows(&[(3, Some("c"))]), rows(&[])];
    place.load(&people(0), WriteMode::Append, &batches).unwrap();
    assert_eq!(place.query(PEOPLE), ["1 a", "2 null", "3 c"]);
}

#[test]
fn append_refuses_a_key_that_is_there() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Append, &[rows(&[(1, Some("a"))])]).unwrap();
    let error = place.load(&people(1), WriteMode::Append, &[rows(&[(2, None), (1, None)])]).unwrap_err();
    assert!(matches!(error, StorageError::Refused { .. }));
    assert_eq!(
        error.to_string(),
        "a row of table `t` has a key that the table already holds: duplicate key value violates unique constraint \"t_pkey\" (Key (id)=(1) already exists); write the stream with mode `merge`, or declare no primary key"
    );
    assert_eq!(place.query(PEOPLE), ["1 a"]);
}

#[test]
fn merge_keeps_the_last_row_of_a_key() {
    let Some(place) = Place::new() else { return };
    let batches = [rows(&[(1, Some("a")), (2, Some("b")), (1, Some("c"))])];
    place.load(&people(1), WriteMode::Merge, &batches).unwrap();
    let batches = [rows(&[(2, None), (3, Some("d"))]), rows(&[(3, Some("e"))])];
    place.load(&people(1), WriteMode::Merge, &batches).unwrap();
    assert_eq!(place.query(PEOPLE), ["1 c", "2 null", "3 e"]);
}

#[test]
fn merge_leaves_absent_columns_alone() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a")), (2, Some("b"))])]).unwrap();
    place.load(&people(1), WriteMode::Merge, &[ids("id", vec![2, 3])]).unwrap();
    assert_eq!(place.query(PEOPLE), ["1 a", "2 b", "3 null"]);
    let error = place.load(&people(1), WriteMode::Merge, &[texts("name", vec!["x"])]).unwrap_err();
    assert_eq!(error.to_string(), "row 1 of table `t` lacks `id`, which is part of the primary key");
}

/// Batches with changing columns are applied in their order, however many.
#[test]
fn merge_follows_the_order_of_batches_with_other_columns() {
    let Some(place) = Place::new() else { return };
    let fields = [("id", DataType::Int64), ("a", DataType::Int64), ("b", DataType::Int64)];
    let schema = stream("t", &fields, 1);
    let part = |names: &[&str], values: &[i64]| {
        let fields: Vec<_> = names.iter().map(|name| (*name, DataType::Int64)).collect();
        let columns =
            values.iter().map(|value| -> ArrayRef { Arc::new(Int64Array::from(vec![*value])) }).collect();
        batch(&stream("t", &fields, 0), columns)
    };
    for mode in [WriteMode::Merge, WriteMode::Replace] {
        let few = [
            part(&["id", "a", "b"], &[1, 10, 10]),
            part(&["id", "a"], &[1, 20]),
            part(&["b", "id"], &[30, 1]),
            part(&["id"], &[2]),
        ];
        place.load(&schema, mode, &few).unwrap();
        assert_eq!(place.query("SELECT * FROM t ORDER BY id"), ["1 20 30", "2 null null"]);
        let many: Vec<_> =
            (0..40)
                .map(|n| {
                    if n % 2 == 0 { part(&["id", "a"], &[n % 6, n]) } else { part(&["id", "b"], &[n % 6, n]) }
                })
                .collect();
        place.load(&schema, mode, &many).unwrap();
        let expected = if mode == WriteMode::Merge {
            ["0 36 null", "1 20 37", "2 38 null", "3 null 39", "4 34 null", "5 null 35"]
        } else {
            ["0 36 null", "1 null 37", "2 38 null", "3 null 39", "4 34 null", "5 null 35"]
        };
        assert_eq!(place.query("SELECT * FROM t ORDER BY id"), expected);
    }
}

#[test]
fn merge_needs_a_key() {
    let Some(place) = Place::new() else { return };
    let error = place.load(&people(0), WriteMode::Merge, &[]).unwrap_err();
    assert!(error.to_string().contains("without a primary key"), "{error}");
}

#[test]
fn keys_are_compared_value_by_value() {
    let Some(place) = Place::new() else { return };
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
    let read = place.query("SELECT n, quote_literal(a), b FROM t ORDER BY n");
    assert_eq!(read, ["1 'a|b' c", "2 'a' b|c", "4 '''' \"", "5 'A' B|c", "6 '' "]);
}

#[test]
fn keys_of_every_type_merge() {
    use arrow_array::{BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array};
    let Some(place) = Place::new() else { return };
    let decimals = Decimal128Array::from(vec![5, 5]).with_precision_and_scale(5, 2).unwrap();
    let zoned = arrow_array::TimestampMicrosecondArray::from(vec![7, 7]).with_timezone("UTC");
    let cases: Vec<(DataType, ArrayRef)> = vec![
        (DataType::Boolean, Arc::new(BooleanArray::from(vec![true, true]))),
        (DataType::Float64, Arc::new(Float64Array::from(vec![f64::NAN, f64::NAN]))),
        (DataType::Decimal(5, 2), Arc::new(decimals)),
        (DataType::Text, Arc::new(StringArray::from(vec!["k", "k"]))),
        (DataType::Bytes, Arc::new(BinaryArray::from(vec![&b"k"[..], b"k"]))),
        (DataType::Date, Arc::new(Date32Array::from(vec![1, 1]))),
        (DataType::Timestamp, Arc::new(zoned)),
        (DataType::Json, Arc::new(StringArray::from(vec!["[1]", "[ 1 ]"]))),
    ];
    for (index, (data_type, keys)) in cases.into_iter().enumerate() {
        let name = format!("t{index}");
        let schema = stream(&name, &[("k", data_type), ("n", DataType::Int64)], 1);
        let rows = batch(&schema, vec![keys, Arc::new(Int64Array::from(vec![1, 2]))]);
        for _ in 0..2 {
            place.load(&schema, WriteMode::Merge, std::slice::from_ref(&rows)).unwrap();
        }
        assert_eq!(place.query(&format!("SELECT n FROM {name}")), ["2"], "{data_type}");
    }
}

#[test]
fn readers_see_the_old_rows_until_a_replacement_succeeds() {
    let Some(place) = Place::new() else { return };
    place.load(&people(0), WriteMode::Replace, &[rows(&[(1, Some("old"))])]).unwrap();
    let mut storage = place.open();
    let table = put(&mut storage, &people(0), WriteMode::Replace, &rows(&[(2, Some("new"))]));
    storage.commit(&changes(&[("t", Some("2")), ("t/part", Some("3")), ("table", Some("4"))])).unwrap();
    storage.write(table, &rows(&[(3, Some("new"))])).unwrap();
    assert_eq!(place.query(PEOPLE), ["1 old"]);
    assert_eq!(place.state(), state(&[("table", "4")]));
    let history = "SELECT rows, commits FROM _ow_runs ORDER BY id DESC LIMIT 1";
    assert_eq!(place.query(history), ["{\"t\":0} 1"]);
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(place.query(PEOPLE), ["2 new", "3 new"]);
    assert_eq!(place.state().len(), 3);
    assert_eq!(place.query(history), ["{\"t\":2} 2"]);
}

#[test]
fn a_replacement_that_fails_leaves_everything() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Replace, &[rows(&[(1, Some("old"))])]).unwrap();
    for outcome in [Outcome::Failed, Outcome::Interrupted] {
        let mut storage = place.open();
        put(&mut storage, &people(1), WriteMode::Replace, &rows(&[(2, Some("new"))]));
        storage.commit(&changes(&[("t", Some("2"))])).unwrap();
        storage.finish(outcome, &none(), Some("the source broke")).unwrap();
        assert_eq!(place.query(PEOPLE), ["1 old"]);
        assert_eq!(place.state(), BTreeMap::new());
    }
    assert_eq!(
        place.query("SELECT status, error, rows FROM _ow_runs ORDER BY id"),
        [
            "succeeded null {\"t\":1}",
            "failed the source broke {\"t\":0}",
            "interrupted the source broke {\"t\":0}"
        ]
    );
}

#[test]
fn a_replacement_without_rows_empties_the_table() {
    let Some(place) = Place::new() else { return };
    place.load(&people(0), WriteMode::Replace, &[rows(&[(1, None)])]).unwrap();
    place.load(&people(0), WriteMode::Replace, &[]).unwrap();
    assert_eq!(place.query(PEOPLE), [""; 0]);
}

#[test]
fn a_replacement_keeps_the_last_row_of_a_key() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Replace, &[rows(&[(1, Some("a")), (1, Some("b"))])]).unwrap();
    assert_eq!(place.query(PEOPLE), ["1 b"]);
    // Merging goes on from there.
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("c"))])]).unwrap();
    assert_eq!(place.query(PEOPLE), ["1 c"]);
}

#[test]
fn grants_views_indexes_and_triggers_outlive_a_replacement() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Replace, &[rows(&[(1, Some("a"))])]).unwrap();
    place.execute(
        "CREATE INDEX by_name ON t (name); CREATE VIEW v AS SELECT name FROM t;
         CREATE TABLE log (id bigint);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log VALUES (old.id); RETURN old; END';
         CREATE TRIGGER note AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
         GRANT INSERT ON log TO loader; GRANT SELECT ON t TO PUBLIC;",
    );
    place.load(&people(1), WriteMode::Replace, &[rows(&[(2, Some("b"))])]).unwrap();
    place.load_as(&refresh("r"), &people(1), WriteMode::Merge, &[rows(&[(3, Some("c"))])]).unwrap();
    assert_eq!(place.query("SELECT * FROM v"), ["c"]);
    assert_eq!(place.query("SELECT id FROM log"), ["1", "2"]);
    assert_eq!(
        place.query("SELECT indexname FROM pg_indexes WHERE tablename = 't' ORDER BY 1"),
        ["by_name", "t_pkey"]
    );
    assert_eq!(place.query("SELECT has_table_privilege('pg_monitor', 't', 'SELECT')"), ["t"]);
    // A column that a view shows cannot go.
    let narrow = stream("t", &[("id", DataType::Int64)], 1);
    let error = place.load(&narrow, WriteMode::Replace, &[]).unwrap_err();
    assert!(matches!(error, StorageError::Refused { .. }));
    assert!(
        error.to_string().contains("view v depends on column name of table t")
            && error.to_string().contains("create it again after the run"),
        "{error}"
    );
    assert_eq!(place.query(PEOPLE), ["3 c"]);
}

#[test]
fn rows_of_other_tables_are_never_changed_by_a_replacement() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    place.execute(
        "CREATE TABLE orders (who bigint REFERENCES t (id) ON DELETE CASCADE); INSERT INTO orders VALUES (1)",
    );
    let error = place.load(&people(1), WriteMode::Replace, &[rows(&[(1, Some("b"))])]).unwrap_err();
    assert!(error.to_string().contains("foreign key `orders_who_fkey` of table `orders`"), "{error}");
    assert_eq!(place.query("SELECT * FROM orders"), ["1"]);
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("b"))])]).unwrap();
    assert_eq!(place.query(PEOPLE), ["1 b"]);
}

#[test]
fn a_reader_is_not_blocked_by_a_replacement_and_sees_one_state() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Replace, &[rows(&[(1, Some("old"))])]).unwrap();
    // A reader's transaction that began before, in another program.
    let mut server =
        super::super::connection::Server::new(target(place.params.clone(), Path::new("/")).unwrap()).unwrap();
    let session = server.connect("reader").unwrap();
    let read = |server: &mut super::super::connection::Server| -> String {
        server.wait(async { Ok(session.row("SELECT name FROM t", &[]).await?.try_get(0)?) }).unwrap()
    };
    server.wait(session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ")).unwrap();
    assert_eq!(read(&mut server), "old");
    place.load(&people(1), WriteMode::Replace, &[rows(&[(1, Some("new"))])]).unwrap();
    assert_eq!(read(&mut server), "old");
    server.wait(session.batch("COMMIT")).unwrap();
    assert_eq!(read(&mut server), "new");
}

#[test]
fn a_full_refresh_replaces_rows_and_state_at_its_end() {
    let Some(place) = Place::new() else { return };
    let mut storage = place.open();
    put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, Some("old"))]));
    storage.finish(Outcome::Succeeded, &changes(&[("t", Some("1")), ("u", Some("1"))]), None).unwrap();

    let mut storage = place.open_as(&refresh("r2"));
    assert_eq!(storage.state().unwrap().len(), 2);
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(2, Some("a"))]));
    storage.commit(&changes(&[("t", Some("2")), ("gone", Some("1"))])).unwrap();
    storage.write(table, &rows(&[(2, Some("b")), (3, None)])).unwrap();
    storage.commit(&changes(&[("gone", None)])).unwrap();
    assert_eq!(place.query(PEOPLE), ["1 old"]);
    assert_eq!(place.state().len(), 2);
    storage.finish(Outcome::Succeeded, &changes(&[("v", Some("3"))]), None).unwrap();
    assert_eq!(place.query(PEOPLE), ["2 b", "3 null"]);
    assert_eq!(place.state(), state(&[("t", "2"), ("v", "3")]));
}

#[test]
fn a_full_refresh_that_fails_or_dies_leaves_rows_and_state() {
    let Some(place) = Place::new() else { return };
    let mut storage = place.open();
    put(&mut storage, &people(0), WriteMode::Append, &rows(&[(1, Some("old"))]));
    storage.finish(Outcome::Succeeded, &changes(&[("t", Some("1"))]), None).unwrap();
    for dies in [false, true] {
        let mut storage = place.open_as(&refresh("r2"));
        put(&mut storage, &people(0), WriteMode::Append, &rows(&[(2, Some("new"))]));
        storage.commit(&changes(&[("t", Some("2"))])).unwrap();
        if dies {
            drop(storage);
        } else {
            storage.finish(Outcome::Failed, &none(), Some("no")).unwrap();
        }
        assert_eq!(place.query(PEOPLE), ["1 old"]);
        assert_eq!(place.state(), state(&[("t", "1")]));
    }
    drop(place.open());
    assert_eq!(
        place.query("SELECT status FROM _ow_runs ORDER BY id"),
        ["succeeded", "failed", "crashed", "running"]
    );
}

#[test]
fn a_full_refresh_takes_any_shape() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    let other = stream("t", &[("name", DataType::Bytes), ("n", DataType::Float64)], 1);
    place.load_as(&refresh("r2"), &other, WriteMode::Merge, &[]).unwrap();
    let shape = "SELECT attname, format_type(atttypid, NULL), attnotnull FROM pg_attribute
                 WHERE attrelid = 't'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    assert_eq!(place.query(shape), ["name bytea t", "n double precision f"]);
    place.load(&other, WriteMode::Merge, &[]).unwrap();
    // Back again: another key, and none.
    place.load_as(&refresh("r3"), &people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap();
    assert_eq!(place.query(shape), ["name text f", "id bigint t"]);
    place.load_as(&refresh("r4"), &people(0), WriteMode::Append, &[rows(&[(1, None), (1, None)])]).unwrap();
    assert_eq!(place.query(shape), ["name text f", "id bigint f"]);
    assert_eq!(
        place.query("SELECT column_name, data_type FROM _ow_columns ORDER BY 1"),
        ["id int64", "name text"]
    );
    place.load(&people(0), WriteMode::Append, &[rows(&[(2, None)])]).unwrap();
    assert_eq!(place.query("SELECT count(*) FROM t"), ["3"]);
}

#[test]
fn a_backfill_keeps_the_state() {
    let Some(place) = Place::new() else { return };
    place.open().finish(Outcome::Succeeded, &changes(&[("t", Some("1"))]), None).unwrap();
    let mut storage = place.open_as(&RunInfo { keep_state: true, ..run("r2") });
    put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None)]));
    storage.commit(&changes(&[("t", Some("2"))])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[("t", None), ("u", Some("3"))]), None).unwrap();
    assert_eq!(place.state(), state(&[("t", "1")]));
    assert_eq!(place.query("SELECT id FROM t"), ["1"]);
}

#[test]
fn rows_state_and_history_are_committed_together() {
    let Some(place) = Place::new() else { return };
    let mut storage = place.open();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, None), (2, None)]));
    assert_eq!(place.state(), BTreeMap::new());
    storage.commit(&changes(&[("t", Some("{\"page\":1}")), ("u", Some("1"))])).unwrap();
    let seen = "SELECT (SELECT count(*) FROM t), (SELECT value FROM _ow_state WHERE key = 't'), rows, status, commits, run_id, connector, run_type FROM _ow_runs";
    let expected =
        |status: &str| [format!("2 {{\"page\":1}} {{\"t\":2}} {status} 1 r1 probe 1.0.0 INCREMENTAL")];
    assert_eq!(place.query(seen), expected("running"));
    storage.write(table, &rows(&[(3, None)])).unwrap();
    storage.finish(Outcome::Failed, &changes(&[("t", Some("lost"))]), Some("broke")).unwrap();
    assert_eq!(place.query(seen), expected("failed"));
    let schema =
        place.query("SELECT schema->'t'->>'mode', schema->'t'->'table'->'fields'->1->>'name' FROM _ow_runs");
    assert_eq!(schema, ["merge name"]);
    assert_eq!(storage.commit(&none()).unwrap_err().to_string(), "the run has ended already");
    let mut storage = place.open();
    storage.finish(Outcome::Succeeded, &changes(&[("t", None)]), None).unwrap();
    assert_eq!(place.state(), state(&[("u", "1")]));
}

#[test]
fn state_belongs_to_its_data_mart() {
    let Some(place) = Place::new() else { return };
    place.open().finish(Outcome::Succeeded, &changes(&[("k", Some("1"))]), None).unwrap();
    let other = RunInfo { data_mart_id: "other ' mart".into(), ..run("r2") };
    let mut storage = place.open_as(&other);
    assert_eq!(storage.state().unwrap(), BTreeMap::new());
    storage.finish(Outcome::Succeeded, &changes(&[("k", Some("2"))]), None).unwrap();
    assert_eq!(place.state(), state(&[("k", "1")]));
    let read = Postgres.read_state(place.params.clone(), Path::new("/"), "other ' mart").unwrap();
    assert_eq!(read, state(&[("k", "2")]));
}

#[test]
fn more_rows_than_memory_holds_are_staged_on_the_way() {
    let Some(place) = Place::new() else { return };
    let text = "x".repeat(1 << 20);
    let big: Vec<_> = (0..40).map(|id| rows(&[(id, Some(&text))])).collect();
    for mode in [WriteMode::Merge, WriteMode::Replace] {
        let mut storage = place.open();
        let tables: Vec<_> = ["t", "u", "v", "w", "x"]
            .map(|name| storage.open_table(&TableSchema { name: name.into(), ..people(1) }, mode).unwrap())
            .into();
        for batch in &big {
            for table in &tables {
                storage.write(*table, batch).unwrap();
            }
            assert!(storage.bytes_for_test() < 20 << 20);
        }
        if mode == WriteMode::Merge {
            assert_eq!(
                place.query("SELECT to_regclass('t')"),
                ["null"],
                "nothing is there before the commit"
            );
        }
        assert_eq!(place.query("SELECT count(*) FROM pg_locks WHERE relation = to_regclass('t')"), ["0"]);
        storage.commit(&none()).unwrap();
        storage.finish(Outcome::Succeeded, &none(), None).unwrap();
        for table in ["t", "x"] {
            let read = place.query(&format!("SELECT count(*), sum(length(name)) FROM {table}"));
            assert_eq!(read, [format!("40 {}", 40 << 20)]);
        }
    }
}

#[test]
fn the_quarantine_takes_rows_in_a_full_refresh_too() {
    let Some(place) = Place::new() else { return };
    let quarantine = TableSchema { name: "_ow_quarantine".into(), ..people(0) };
    let params = place.with("TablePrefix", "ads_");
    for id in 1..=2 {
        let mut storage = open(&params, &refresh("r")).unwrap();
        let table = storage.open_quarantine(&quarantine).unwrap();
        assert_eq!(storage.open_quarantine(&quarantine).unwrap(), table);
        storage.write(table, &rows(&[(id, None)])).unwrap();
        storage.commit(&none()).unwrap();
        storage.finish(Outcome::Failed, &none(), Some("no")).unwrap();
    }
    assert_eq!(place.query("SELECT id FROM _ow_quarantine ORDER BY id"), ["1", "2"]);
    let mut storage = place.open();
    storage.open_quarantine(&quarantine).unwrap();
    let error = storage.open_table(&quarantine, WriteMode::Append).unwrap_err();
    assert!(matches!(error, StorageError::Refused { .. }), "{error}");
}
