//! Append, merge, replace, full refresh, backfill.

use super::*;

fn name_only(rows: &[(i64, &str)]) -> RecordBatch {
    super::rows(&rows.iter().map(|(id, name)| (*id, Some(*name))).collect::<Vec<_>>())
}

fn wide() -> TableSchema {
    stream("t", &[("id", DataType::Int64), ("a", DataType::Text), ("b", DataType::Text)], 1)
}

/// Rows of [`wide`] with some of its columns.
fn some(columns: &[&str], rows: &[(i64, &str)]) -> RecordBatch {
    let fields =
        wide().fields.into_iter().filter(|field| field.name == "id" || columns.contains(&&*field.name));
    let schema = TableSchema { fields: fields.collect(), ..wide() };
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(id, _)| *id)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, text)| *text)));
    let mut arrays = vec![ids];
    arrays.extend(columns.iter().map(|_| Arc::clone(&texts)));
    batch(&schema, arrays)
}

#[test]
fn appending_keeps_what_is_there() {
    let folder = Folder::new();
    for id in 0..3 {
        folder.load(&people(0), WriteMode::Append, &[rows(&[(id, Some("x"))])]).unwrap();
    }
    assert_eq!(folder.rows("t"), ["{id: 0, name: \"x\"}", "{id: 1, name: \"x\"}", "{id: 2, name: \"x\"}"]);
    assert_eq!(folder.files("t").len(), 1, "small files are written anew, not one more a commit");
}

#[test]
fn the_last_row_of_a_key_wins() {
    let folder = Folder::new();
    for format in [Format::Parquet, Format::Csv, Format::Jsonl] {
        let folder = Folder {
            params: LocalFilesParams {
                format,
                path: folder.path().join(format.name()),
                ..folder.params.clone()
            },
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir_all(folder.path()).unwrap();
        let mut storage = folder.open();
        let table =
            put(&mut storage, &people(1), WriteMode::Merge, &name_only(&[(1, "a"), (2, "b"), (1, "c")]));
        storage.write(table, &name_only(&[(2, "d"), (3, "e")])).unwrap();
        storage.commit(&none()).unwrap();
        storage.write(table, &name_only(&[(3, "f"), (4, "g"), (4, "h")])).unwrap();
        storage.finish(Outcome::Succeeded, &none(), None).unwrap();
        match format {
            Format::Parquet => assert_eq!(
                folder.rows("t"),
                [
                    "{id: 1, name: \"c\"}",
                    "{id: 2, name: \"d\"}",
                    "{id: 3, name: \"f\"}",
                    "{id: 4, name: \"h\"}"
                ]
            ),
            Format::Csv => assert_eq!(folder.text("t"), "id,name\r\n1,c\r\n2,d\r\n3,f\r\n4,h\r\n"),
            Format::Jsonl => assert_eq!(
                folder.text("t"),
                "{\"id\":1,\"name\":\"c\"}\n{\"id\":2,\"name\":\"d\"}\n{\"id\":3,\"name\":\"f\"}\n{\"id\":4,\"name\":\"h\"}\n"
            ),
        }
        assert_eq!(folder.query("SELECT status || \"rows\" FROM _ow_runs"), ["succeeded{\"t\":8}"]);
    }
}

#[test]
fn absent_columns_keep_their_value() {
    let folder = Folder::new();
    let mut storage = folder.open();
    let table =
        put(&mut storage, &wide(), WriteMode::Merge, &some(&["a", "b"], &[(1, "x"), (2, "x"), (3, "x")]));
    storage.commit(&none()).unwrap();
    // Two sets of columns, in one commit and in two.
    storage.write(table, &some(&["a"], &[(1, "y"), (4, "y")])).unwrap();
    storage.write(table, &some(&["b"], &[(1, "z"), (4, "z")])).unwrap();
    storage.write(table, &some(&[], &[(1, ""), (5, "")])).unwrap();
    storage.commit(&none()).unwrap();
    storage.write(table, &some(&["b"], &[(3, "w"), (5, "w")])).unwrap();
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(
        folder.rows("t"),
        [
            "{id: 1, a: \"y\", b: \"z\"}",
            "{id: 2, a: \"x\", b: \"x\"}",
            "{id: 3, a: \"x\", b: \"w\"}",
            "{id: 4, a: \"y\", b: \"z\"}",
            "{id: 5, a: null, b: \"w\"}",
        ]
    );
}

#[test]
fn many_sets_of_columns_in_one_commit() {
    let fields: Vec<_> = (0..6).map(|n| format!("c{n}")).collect();
    let mut all = vec![("id", DataType::Int64)];
    all.extend(fields.iter().map(|name| (name.as_str(), DataType::Int64)));
    let schema = stream("t", &all, 1);
    let folder = Folder::new();
    let mut storage = folder.open();
    let table = storage.open_table(&schema, WriteMode::Merge).unwrap();
    for set in 0..64 {
        let kept = schema.fields.iter().enumerate().filter(|(n, _)| *n == 0 || set >> (n - 1) & 1 == 1);
        let part = TableSchema { fields: kept.map(|(_, field)| field.clone()).collect(), ..schema.clone() };
        let arrays = part.fields.iter().map(|field| -> ArrayRef {
            Arc::new(Int64Array::from(vec![if field.name == "id" { 7 } else { set }]))
        });
        storage.write(table, &batch(&part, arrays.collect())).unwrap();
    }
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(folder.rows("t"), ["{id: 7, c0: 63, c1: 63, c2: 63, c3: 63, c4: 63, c5: 63}"]);
}

#[test]
fn keys_of_several_columns_with_separators_and_quotes() {
    let schema = stream("t", &[("a", DataType::Text), ("b", DataType::Text), ("n", DataType::Int64)], 2);
    let keys = [("a,\"b", "c"), ("a", ",\"bc"), ("", "a\n"), ("a\r\n", "")];
    for format in [Format::Parquet, Format::Csv, Format::Jsonl] {
        let folder = Folder::of(format);
        for round in 0..3 {
            let a: StringArray = keys.iter().map(|(a, _)| Some(*a)).collect();
            let b: StringArray = keys.iter().map(|(_, b)| Some(*b)).collect();
            let n = Int64Array::from_iter_values((0..4).map(|n| n + round * 10));
            let rows = batch(&schema, vec![Arc::new(a), Arc::new(b), Arc::new(n)]);
            folder.load(&schema, WriteMode::Merge, &[rows]).unwrap();
        }
        assert_eq!(folder.query("SELECT \"rows\" || '' FROM _ow_files"), ["4"], "{}", format.name());
    }
}

#[test]
fn replacing_shows_the_old_rows_until_the_end() {
    let folder = Folder::new();
    folder.load(&people(1), WriteMode::Merge, &[name_only(&[(1, "old")])]).unwrap();
    let mut storage = folder.open();
    let table = put(&mut storage, &people(1), WriteMode::Replace, &name_only(&[(2, "a"), (2, "b")]));
    storage.commit(&changes(&[("t", Some("1")), ("other", Some("2"))])).unwrap();
    assert_eq!(folder.rows("t"), ["{id: 1, name: \"old\"}"]);
    assert_eq!(folder.state(), BTreeMap::from([("other".into(), "2".into())]));
    storage.write(table, &name_only(&[(2, "c"), (3, "d")])).unwrap();
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(folder.rows("t"), ["{id: 2, name: \"c\"}", "{id: 3, name: \"d\"}"]);
    assert_eq!(folder.state().len(), 2);
    assert!(folder.files("_ow/staging").is_empty());
}

#[test]
fn a_replacement_that_fails_leaves_the_old_rows() {
    let folder = Folder::new();
    folder.load(&people(1), WriteMode::Merge, &[name_only(&[(1, "old")])]).unwrap();
    let mut storage = folder.open();
    put(&mut storage, &people(1), WriteMode::Replace, &name_only(&[(2, "new")]));
    storage.commit(&changes(&[("t", Some("1"))])).unwrap();
    storage.finish(Outcome::Failed, &none(), Some("no")).unwrap();
    assert_eq!(folder.rows("t"), ["{id: 1, name: \"old\"}"]);
    assert_eq!(folder.state(), BTreeMap::new());
    assert!(folder.files("_ow/staging").is_empty());
}

#[test]
fn a_full_refresh_makes_the_table_anew() {
    let folder = Folder::new();
    folder.load(&wide(), WriteMode::Merge, &[some(&["a", "b"], &[(1, "x")])]).unwrap();
    let mut storage = folder.open();
    storage.commit(&changes(&[("t", Some("1")), ("gone", Some("1"))])).unwrap();
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    let schema = stream("t", &[("id", DataType::Text)], 0);
    let rows = batch(&schema, vec![Arc::new(StringArray::from(vec!["n", "n"]))]);
    let mut storage = folder.open_as(&refresh("r2"));
    put(&mut storage, &schema, WriteMode::Append, &rows);
    storage.commit(&changes(&[("t", Some("2"))])).unwrap();
    assert_eq!(folder.state().len(), 2);
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(folder.rows("t"), ["{id: \"n\"}", "{id: \"n\"}"]);
    assert_eq!(folder.state(), BTreeMap::from([("t".into(), "2".into())]));
    let mut storage = folder.open();
    let columns = storage.columns("t").unwrap().unwrap();
    assert_eq!(columns.len(), 1);
    assert_eq!(storage.columns("no").unwrap(), None);
    // And one without any row.
    let mut storage = {
        drop(storage);
        folder.open_as(&refresh("r3"))
    };
    storage.open_table(&people(1), WriteMode::Merge).unwrap();
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(folder.rows("t"), Vec::<String>::new());
    assert_eq!(folder.files("t").len(), 1, "readers find the columns");
}

#[test]
fn a_backfill_leaves_the_state_alone() {
    let folder = Folder::new();
    let mut storage = folder.open();
    storage.commit(&changes(&[("t", Some("5"))])).unwrap();
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    let mut storage = folder.open_as(&RunInfo { keep_state: true, ..run("b") });
    put(&mut storage, &people(1), WriteMode::Merge, &name_only(&[(1, "a")]));
    storage.commit(&changes(&[("t", Some("1"))])).unwrap();
    storage.finish(Outcome::Succeeded, &changes(&[("t", None)]), None).unwrap();
    assert_eq!(folder.state(), BTreeMap::from([("t".into(), "5".into())]));
    assert_eq!(folder.rows("t").len(), 1);
}

#[test]
fn a_merge_larger_than_memory_takes_several_steps() {
    let folder = Folder::new();
    let mut storage = folder.open();
    let schema = people(1);
    let table = storage.open_table(&schema, WriteMode::Merge).unwrap();
    // 160 MiB of rows, half of them twice.
    let text = "x".repeat(1 << 20);
    for id in (0..80).chain(0..80) {
        storage.write(table, &rows(&[(id, Some(&text))])).unwrap();
    }
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(folder.rows("t").len(), 80);
}

#[test]
fn rows_that_are_dropped_stay_away() {
    let folder = Folder::new();
    let mut storage = folder.open();
    let table = put(&mut storage, &people(0), WriteMode::Append, &name_only(&[(1, "a")]));
    storage.commit(&none()).unwrap();
    storage.write(table, &name_only(&[(2, "b")])).unwrap();
    storage.finish(Outcome::Interrupted, &none(), None).unwrap();
    assert_eq!(folder.rows("t"), ["{id: 1, name: \"a\"}"]);
    assert_eq!(folder.query("SELECT status || \"rows\" FROM _ow_runs"), ["interrupted{\"t\":1}"]);
}

#[test]
fn files_end_at_their_size() {
    let mut folder = Folder::new();
    folder.params.max_file_bytes = MIB;
    let mut storage = folder.open();
    let table = storage.open_table(&people(0), WriteMode::Append).unwrap();
    let mut seed = 1_u64;
    for id in 0..40 {
        // Text that does not compress.
        let text: String = (0..100_000)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b' ' + u8::try_from(seed >> 58).unwrap())
            })
            .collect();
        storage.write(table, &rows(&[(id, Some(&text))])).unwrap();
    }
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    let files = folder.files("t").len();
    assert!((2..8).contains(&files), "{files}");
    assert_eq!(folder.rows("t").len(), 40);
}

#[test]
fn a_table_is_opened_once() {
    let folder = Folder::new();
    let mut storage = folder.open();
    let table = storage.open_table(&people(1), WriteMode::Merge).unwrap();
    assert_eq!(storage.open_table(&people(1), WriteMode::Merge).unwrap(), table);
    let error = storage.open_table(&people(1), WriteMode::Append).unwrap_err();
    assert!(error.to_string().contains("is open already in this run"), "{error}");
}

#[test]
fn merging_needs_a_key() {
    let error = Folder::new().open().open_table(&people(0), WriteMode::Merge).unwrap_err();
    assert!(error.to_string().contains("cannot be merged into without a primary key"), "{error}");
}

#[test]
fn data_marts_share_the_quarantine() {
    let folder = Folder::new();
    let table = TableSchema { name: "_ow_quarantine".into(), ..people(0) };
    let other = |id: &str| RunInfo { data_mart_id: "other".into(), ..refresh(id) };
    // Twice, so that the table is there and is not.
    for round in 0..2 {
        let mut a = folder.open();
        let mut b = folder.open_as(&other("b"));
        let (in_a, in_b) = (a.open_quarantine(&table).unwrap(), b.open_quarantine(&table).unwrap());
        assert_eq!(a.open_quarantine(&table).unwrap(), in_a);
        a.write(in_a, &rows(&[(round * 10, None)])).unwrap();
        b.write(in_b, &rows(&[(round * 10 + 1, None)])).unwrap();
        a.commit(&none()).unwrap();
        // In a full refresh too a commit makes them durable.
        b.commit(&none()).unwrap();
        assert_eq!(folder.rows("_ow_quarantine").len(), usize::try_from(round * 2 + 2).unwrap());
        a.finish(Outcome::Succeeded, &none(), None).unwrap();
        b.finish(Outcome::Failed, &none(), None).unwrap();
    }
    assert_eq!(folder.rows("_ow_quarantine").len(), 4);
    assert_eq!(folder.files("_ow_quarantine").len(), 2, "each adds to its own file");
    let mut storage = folder.open();
    storage.open_quarantine(&table).unwrap();
    let error = storage.open_table(&table, WriteMode::Append).unwrap_err();
    assert!(error.to_string().contains("which ow-host keeps for its own tables"), "{error}");
}
