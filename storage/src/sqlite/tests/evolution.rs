//! Tables that change: columns that appear, types that widen, what is refused.

use arrow_array::{BooleanArray, Date32Array, Decimal128Array, TimestampMicrosecondArray};

use super::*;

/// A table `t(id, c)` that held one type and now gets another.
fn widened(
    old: (DataType, ArrayRef),
    new: (DataType, ArrayRef),
) -> Result<(Place, Vec<String>), StorageError> {
    let place = Place::new();
    for (id, (data_type, values)) in [(1, old), (2, new)] {
        let schema = stream("t", &[("id", DataType::Int64), ("c", data_type)], 1);
        let rows = batch(&schema, vec![Arc::new(Int64Array::from(vec![id])), values]);
        let result = place.load(&schema, WriteMode::Merge, &[rows]);
        result?;
    }
    let read = place.query("SELECT c FROM t ORDER BY id");
    Ok((place, read))
}

fn text(value: &str) -> (DataType, ArrayRef) {
    (DataType::Text, Arc::new(StringArray::from(vec![value])))
}

fn json(value: &str) -> (DataType, ArrayRef) {
    (DataType::Json, Arc::new(StringArray::from(vec![value])))
}

fn int(value: i64) -> (DataType, ArrayRef) {
    (DataType::Int64, Arc::new(Int64Array::from(vec![value])))
}

fn boolean(value: bool) -> (DataType, ArrayRef) {
    (DataType::Boolean, Arc::new(BooleanArray::from(vec![value])))
}

fn decimal(value: i128, precision: u8, scale: u8) -> (DataType, ArrayRef) {
    let array = Decimal128Array::from(vec![value]);
    let array = array.with_precision_and_scale(precision, i8::try_from(scale).unwrap()).unwrap();
    (DataType::Decimal(precision, scale), Arc::new(array))
}

fn date(day: i32) -> (DataType, ArrayRef) {
    (DataType::Date, Arc::new(Date32Array::from(vec![day])))
}

fn timestamp(micros: i64) -> (DataType, ArrayRef) {
    (DataType::Timestamp, Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC")))
}

fn float(value: f64) -> (DataType, ArrayRef) {
    (DataType::Float64, Arc::new(arrow_array::Float64Array::from(vec![value])))
}

#[test]
fn types_widen_in_both_directions_alike() {
    type Case = ((DataType, ArrayRef), (DataType, ArrayRef), &'static str, [&'static str; 2]);
    let cases: [Case; 11] = [
        (int(-7), decimal(150, 10, 2), "decimal(21, 2)", ["'-7.00'", "'1.50'"]),
        (int(i64::MIN), decimal(5, 38, 0), "decimal(38, 0)", ["'-9223372036854775808'", "'5'"]),
        (decimal(-15, 3, 1), decimal(1234, 10, 3), "decimal(10, 3)", ["'-1.500'", "'1.234'"]),
        (decimal(7, 3, 0), decimal(1, 2, 2), "decimal(5, 2)", ["'7.00'", "'0.01'"]),
        (decimal(7, 3, 0), decimal(8, 20, 0), "decimal(20, 0)", ["'7'", "'8'"]),
        (
            date(0),
            timestamp(1),
            "timestamp",
            ["'1970-01-01T00:00:00.000000Z'", "'1970-01-01T00:00:00.000001Z'"],
        ),
        (int(5), text("x"), "text", ["'5'", "'x'"]),
        (boolean(true), text("x"), "text", ["'true'", "'x'"]),
        (decimal(-1250, 9, 2), text("x"), "text", ["'-12.50'", "'x'"]),
        (timestamp(0), text("x"), "text", ["'1970-01-01T00:00:00.000000Z'", "'x'"]),
        (json("[1]"), text("x"), "text", ["'[1]'", "'x'"]),
    ];
    for (old, new, expected, [first, second]) in cases {
        let logical = "SELECT data_type FROM _ow_columns WHERE column_name = 'c'";
        let (place, read) = widened(old.clone(), new.clone()).unwrap();
        assert_eq!(read, [first, second]);
        assert_eq!(place.query(logical), [format!("'{expected}'")]);
        let (place, read) = widened(new, old).unwrap();
        assert_eq!(read, [second, first]);
        assert_eq!(place.query(logical), [format!("'{expected}'")]);
    }
}

#[test]
fn types_that_do_not_fit_are_refused() {
    let cases = [
        (int(1), float(1.5)),
        (float(1.5), text("x")),
        (text("x"), float(1.5)),
        (boolean(true), int(1)),
        (int(1), json("1")),
        (int(1), decimal(1, 38, 30)),
        (date(1), int(1)),
    ];
    for (old, new) in cases {
        let (a, b) = (old.0, new.0);
        let error = widened(old, new).map(|(_, read)| read).unwrap_err();
        assert!(matches!(error, StorageError::Refused { .. }));
        assert_eq!(
            error.to_string(),
            format!(
                "column `c` of table `t` is {a} and the stream has {b}, and no type holds both without a loss; run a full refresh, which builds the table anew, or give the field a new name"
            )
        );
    }
}

#[test]
fn nulls_stay_null_when_a_column_widens() {
    let none: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    let (_, read) = widened((DataType::Int64, none), text("x")).unwrap();
    assert_eq!(read, ["null", "'x'"]);
}

#[test]
fn a_key_widens_with_its_rows() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    let wide = stream("t", &[("id", DataType::Text), ("name", DataType::Text)], 1);
    let row = |id, name| {
        batch(&wide, vec![Arc::new(StringArray::from(vec![id])), Arc::new(StringArray::from(vec![name]))])
    };
    place.load(&wide, WriteMode::Merge, &[row("1", "b"), row("x", "c")]).unwrap();
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("d"))])]).unwrap();
    assert_eq!(place.query("SELECT * FROM t ORDER BY id"), ["'1' 'd'", "'x' 'c'"]);
}

#[test]
fn columns_that_appear_are_added_and_those_that_vanish_stay() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    let grown = stream("t", &[("id", DataType::Int64), ("size", DataType::Float64)], 1);
    let (_, size) = float(2.5);
    let row = batch(&grown, vec![Arc::new(Int64Array::from(vec![1])), size]);
    place.load(&grown, WriteMode::Merge, &[row]).unwrap();
    assert_eq!(place.query("SELECT id, name, size FROM t"), ["1 'a' 2.5"]);
    let columns =
        place.query("SELECT column_name, data_type, key_position FROM _ow_columns ORDER BY position");
    assert_eq!(columns, ["'id' 'int64' 0", "'name' 'text' null", "'size' 'float64' null"]);
}

#[test]
fn another_primary_key_is_refused() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Merge, &[]).unwrap();
    let error = place.load(&people(2), WriteMode::Merge, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table `t` has primary key (\"id\"), the stream has primary key (\"id\", \"name\"); run a full refresh, which builds the table anew"
    );
    let error = place.load(&people(0), WriteMode::Append, &[]).unwrap_err();
    assert!(error.to_string().contains("the stream has no primary key"), "{error}");
}

#[test]
fn tables_of_others_are_refused() {
    let place = Place::new();
    place.execute(
        "CREATE TABLE t (id INTEGER, name TEXT); CREATE VIEW u AS SELECT 1; CREATE TABLE Vip (id INTEGER);",
    );
    for mode in [WriteMode::Append, WriteMode::Replace] {
        let error = place.load(&people(0), mode, &[]).unwrap_err();
        assert!(error.to_string().starts_with("table `t` was not created by ow-host"), "{error}");
    }
    let named = |name: &str| TableSchema { name: name.into(), ..people(0) };
    let error = place.load(&named("u"), WriteMode::Append, &[]).unwrap_err();
    assert!(error.to_string().contains("has a view named `u`"), "{error}");
    let error = place.load(&named("vip"), WriteMode::Append, &[]).unwrap_err();
    assert!(error.to_string().contains("differs from `vip` in case only"), "{error}");
    assert_eq!(place.query("SELECT count(*) FROM t"), ["0"]);
}

#[test]
fn columns_of_others_are_left_alone() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    place.execute("ALTER TABLE t ADD COLUMN note TEXT; UPDATE t SET note = 'mine'");
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("b"))])]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 'b' 'mine'"]);
    let grown = stream("t", &[("id", DataType::Int64), ("Note", DataType::Text)], 1);
    let error = place.load(&grown, WriteMode::Merge, &[]).unwrap_err();
    assert!(error.to_string().contains("column `note` of table `t` was not created by ow-host"), "{error}");
    let wide = stream("t", &[("id", DataType::Text), ("name", DataType::Text)], 1);
    let error = place.load(&wide, WriteMode::Merge, &[]).unwrap_err();
    assert!(
        error.to_string().contains("would drop columns that ow-host did not create (\"note\")"),
        "{error}"
    );
}

#[test]
fn a_table_that_the_user_dropped_is_created_again() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    place.execute("DROP TABLE t");
    place.load(&people(1), WriteMode::Merge, &[rows(&[(2, Some("b"))])]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["2 'b'"]);
    place.execute("ALTER TABLE t DROP COLUMN name");
    place.load(&people(1), WriteMode::Merge, &[rows(&[(3, Some("c"))])]).unwrap();
    assert_eq!(place.query("SELECT id, name FROM t"), ["2 null", "3 'c'"]);
}

#[test]
fn a_table_that_changes_during_a_run_is_seen() {
    let place = Place::new();
    let mut storage = place.open();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, Some("a"))]));
    storage.commit(&none()).unwrap();
    let wide = stream("t", &[("id", DataType::Text), ("name", DataType::Text)], 1);
    let other = RunInfo { data_mart_id: "other".into(), ..run("r2") };
    place.load_as(&other, &wide, WriteMode::Merge, &[]).unwrap();
    storage.write(table, &rows(&[(1, Some("b"))])).unwrap();
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["'1' 'b'"]);
}

#[test]
fn any_name_is_quoted() {
    let place = Place {
        params: SqliteParams { table_prefix: "pre \"fix ".into(), ..Place::new().params },
        ..Place::new()
    };
    let place = Place {
        params: SqliteParams { path: place.folder.path().join("ö 'db'.sqlite"), ..place.params.clone() },
        ..place
    };
    let names = ["select", "a\"b", "🎉", "order by 1; --", "Gruppe ä", "rowid", "'x'", "[y]", "`z`", " "];
    let fields: Vec<_> = names.iter().map(|name| (*name, DataType::Text)).collect();
    for (name, keys) in [("table", 1), ("x\"; DROP TABLE t; --", 2), ("表", 9)] {
        let schema = stream(name, &fields, keys);
        let row = |value: &str| {
            let column: ArrayRef = Arc::new(StringArray::from(vec![value]));
            batch(&schema, vec![column; names.len()])
        };
        for mode in [WriteMode::Merge, WriteMode::Replace] {
            place.load(&schema, mode, &[row("a"), row("b"), row("b")]).unwrap();
            let table = identifier::quote(&format!("pre \"fix {name}"));
            assert_eq!(
                place.query(&format!("SELECT \"a\"\"b\", \"🎉\" FROM {table}")),
                ["'a' 'a'", "'b' 'b'"]
            );
        }
    }
}

#[test]
fn a_table_called_like_a_function_of_sqlite_disturbs_no_other() {
    let place = Place::new();
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    // Whoever may open streams may call one so; a table hides the function.
    for name in ["pragma_table_xinfo", "pragma_table_info", "json_each", "count"] {
        let hostile = stream(name, &[("name", DataType::Text)], 0);
        let column: ArrayRef = Arc::new(StringArray::from(vec!["forged"]));
        let mallory = RunInfo { data_mart_id: "mallory".into(), ..run("m") };
        place.load_as(&mallory, &hostile, WriteMode::Append, &[batch(&hostile, vec![column])]).unwrap();
    }
    place.load(&people(1), WriteMode::Merge, &[rows(&[(2, Some("b"))])]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 'a'", "2 'b'"]);
}

#[test]
fn names_that_sqlite_cannot_hold_are_refused() {
    let place = Place::new();
    let named = |name: &str| TableSchema { name: name.into(), ..people(0) };
    for name in ["sqlite_x", "SQLITE_stat1", "_ow_state", "_OW_x", "a\0b"] {
        let error = place.load(&named(name), WriteMode::Append, &[]).unwrap_err();
        assert!(matches!(error, StorageError::Refused { .. }), "{name}");
        assert!(error.to_string().contains("change `TablePrefix`"), "{error}");
    }
    let twins = stream("t", &[("id", DataType::Int64), ("ID", DataType::Int64)], 0);
    let error = place.load(&twins, WriteMode::Append, &[]).unwrap_err();
    assert!(error.to_string().contains("columns `id` and `ID` of table `t` differ in case"), "{error}");
    place.load(&people(0), WriteMode::Append, &[]).unwrap();
    let shouted = stream("t", &[("ID", DataType::Int64)], 0);
    let error = place.load(&shouted, WriteMode::Append, &[]).unwrap_err();
    assert!(
        error.to_string().contains("column `id` of table `t` differs from field `ID` in case only"),
        "{error}"
    );
}

#[test]
fn too_many_columns_are_refused() {
    let place = Place::new();
    let names: Vec<_> = (0..2001).map(|number| format!("c{number}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (name.as_str(), DataType::Int64)).collect();
    let error = place.load(&stream("t", &fields, 0), WriteMode::Append, &[]).unwrap_err();
    assert_eq!(error.to_string(), "table `t` has 2001 columns, and SQLite holds 2000 at most");
    place.load(&stream("t", &fields[..2000], 1), WriteMode::Merge, &[]).unwrap();
}

#[test]
fn a_table_is_opened_twice_only_in_the_same_way() {
    let place = Place::new();
    let mut storage = place.open();
    let table = storage.open_table(&people(1), WriteMode::Merge).unwrap();
    assert_eq!(storage.open_table(&people(1), WriteMode::Merge).unwrap(), table);
    let error = storage.open_table(&people(1), WriteMode::Append).unwrap_err();
    assert!(error.to_string().contains("is open already in this run"), "{error}");
}
