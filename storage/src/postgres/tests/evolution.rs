//! Tables that change: columns that appear, types that widen, what is refused.

use arrow_array::{BooleanArray, Date32Array, Decimal128Array, Float64Array, TimestampMicrosecondArray};

use super::*;

type Column = (DataType, ArrayRef);

/// A table `t(id, c)` that held one type and now gets another.
fn widened(place: &Place<'_>, old: Column, new: Column) -> Result<Vec<String>, StorageError> {
    place.execute("DROP TABLE IF EXISTS t");
    for (id, (data_type, values)) in [(1, old), (2, new)] {
        let schema = stream("t", &[("id", DataType::Int64), ("c", data_type)], 1);
        let rows = batch(&schema, vec![Arc::new(Int64Array::from(vec![id])), values]);
        place.load(&schema, WriteMode::Merge, &[rows])?;
    }
    Ok(place.query("SELECT c FROM t ORDER BY id"))
}

fn text(value: &str) -> Column {
    (DataType::Text, Arc::new(StringArray::from(vec![value])))
}

fn json(value: &str) -> Column {
    (DataType::Json, Arc::new(StringArray::from(vec![value])))
}

fn int(value: i64) -> Column {
    (DataType::Int64, Arc::new(Int64Array::from(vec![value])))
}

fn boolean(value: bool) -> Column {
    (DataType::Boolean, Arc::new(BooleanArray::from(vec![value])))
}

fn decimal(value: i128, precision: u8, scale: u8) -> Column {
    let array = Decimal128Array::from(vec![value]);
    let array = array.with_precision_and_scale(precision, i8::try_from(scale).unwrap()).unwrap();
    (DataType::Decimal(precision, scale), Arc::new(array))
}

fn date(day: i32) -> Column {
    (DataType::Date, Arc::new(Date32Array::from(vec![day])))
}

fn timestamp(micros: i64) -> Column {
    (DataType::Timestamp, Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC")))
}

fn float(value: f64) -> Column {
    (DataType::Float64, Arc::new(Float64Array::from(vec![value])))
}

#[test]
fn types_widen_in_both_directions_alike() {
    let Some(place) = Place::new() else { return };
    type Case = (Column, Column, &'static str, [&'static str; 2]);
    let cases: [Case; 12] = [
        (int(-7), decimal(150, 10, 2), "decimal(21, 2)", ["-7.00", "1.50"]),
        (int(i64::MIN), decimal(5, 38, 0), "decimal(38, 0)", ["-9223372036854775808", "5"]),
        (decimal(-15, 3, 1), decimal(1234, 10, 3), "decimal(10, 3)", ["-1.500", "1.234"]),
        (decimal(7, 3, 0), decimal(1, 2, 2), "decimal(5, 2)", ["7.00", "0.01"]),
        (decimal(7, 3, 0), decimal(8, 20, 0), "decimal(20, 0)", ["7", "8"]),
        (date(0), timestamp(1), "timestamp", ["1970-01-01 00:00:00+00", "1970-01-01 00:00:00.000001+00"]),
        (int(5), text("x"), "text", ["5", "x"]),
        (boolean(true), text("x"), "text", ["true", "x"]),
        (decimal(-1250, 9, 2), text("x"), "text", ["-12.50", "x"]),
        (timestamp(0), text("x"), "text", ["1970-01-01T00:00:00.000000Z", "x"]),
        (date(-719_162), text("x"), "text", ["0001-01-01", "x"]),
        (json("[1]"), text("x"), "text", ["[1]", "x"]),
    ];
    for (old, new, expected, [first, second]) in cases {
        let logical = "SELECT data_type FROM _ow_columns WHERE table_name = 't' AND column_name = 'c'";
        assert_eq!(widened(&place, old.clone(), new.clone()).unwrap(), [first, second]);
        assert_eq!(place.query(logical), [expected]);
        assert_eq!(widened(&place, new, old).unwrap(), [second, first]);
        assert_eq!(place.query(logical), [expected]);
    }
}

#[test]
fn types_that_do_not_fit_are_refused() {
    let Some(place) = Place::new() else { return };
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
        let error = widened(&place, old, new).unwrap_err();
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
    let Some(place) = Place::new() else { return };
    let none: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    assert_eq!(widened(&place, (DataType::Int64, none), text("x")).unwrap(), ["null", "x"]);
}

#[test]
fn a_key_widens_with_its_rows() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    let wide = stream("t", &[("id", DataType::Text), ("name", DataType::Text)], 1);
    let row = |id, name| {
        batch(&wide, vec![Arc::new(StringArray::from(vec![id])), Arc::new(StringArray::from(vec![name]))])
    };
    place.load(&wide, WriteMode::Merge, &[row("1", "b"), row("x", "c")]).unwrap();
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("d")), (1, Some("e"))])]).unwrap();
    assert_eq!(place.query("SELECT * FROM t ORDER BY id"), ["1 e", "x c"]);
}

#[test]
fn columns_that_appear_are_added_and_those_that_vanish_stay() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    let mut grown = stream("t", &[("id", DataType::Int64), ("size", DataType::Float64)], 1);
    grown.fields[1].description = Some("it's in cm\0".into());
    let row = batch(&grown, vec![Arc::new(Int64Array::from(vec![1])), float(2.5).1]);
    place.load(&grown, WriteMode::Merge, &[row]).unwrap();
    assert_eq!(place.query("SELECT id, name, size FROM t"), ["1 a 2.5"]);
    assert_eq!(place.query("SELECT col_description('t'::regclass, 3)"), ["it's in cm\u{fffd}"]);
    let mut storage = place.open();
    let fields = storage.columns("t").unwrap().unwrap();
    let seen: Vec<_> =
        fields.iter().map(|field| (field.name.as_str(), field.data_type, field.nullable)).collect();
    assert_eq!(
        seen,
        [("id", DataType::Int64, false), ("name", DataType::Text, true), ("size", DataType::Float64, true)]
    );
    assert_eq!(storage.columns("nothing").unwrap(), None);
    // A description that changes is told, and one that stays costs no lock.
    grown.fields[1].description = Some("in inches".into());
    place_description(&mut storage, &grown);
    assert_eq!(place.query("SELECT col_description('t'::regclass, 3)"), ["in inches"]);
}

fn place_description(storage: &mut PostgresStorage, schema: &TableSchema) {
    storage.open_table(schema, WriteMode::Merge).unwrap();
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
}

#[test]
fn another_primary_key_is_refused() {
    let Some(place) = Place::new() else { return };
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
fn tables_of_others_take_rows_only_where_they_surely_fit() {
    let Some(place) = Place::new() else { return };
    let named = |name: &str, keys| TableSchema { name: name.into(), ..people(keys) };
    place.execute(
        "CREATE TABLE narrow (id integer, name text);
         CREATE TABLE short (id bigint);
         CREATE TABLE keyed (id bigint PRIMARY KEY, name text);
         CREATE TABLE fits (name text, id numeric(20,0) PRIMARY KEY, note text DEFAULT 'mine');
         CREATE TABLE made (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
         CREATE VIEW v AS SELECT 1; CREATE SEQUENCE s; CREATE MATERIALIZED VIEW m AS SELECT 1;
         GRANT ALL ON ALL TABLES IN SCHEMA public TO loader; INSERT INTO fits VALUES ('old', 1)",
    );
    for (name, keys, expected) in [
        ("narrow", 0, "its column `id` is integer, which does not surely hold int64"),
        ("short", 0, "lacks column `name`"),
        ("keyed", 0, "has primary key (\"id\"), the stream has no primary key"),
        ("made", 1, "PostgreSQL makes the values of column `id`"),
        ("v", 0, "has a view named `v`"),
        ("m", 0, "has a materialized view named `m`"),
        ("s", 0, "has a sequence named `s`"),
    ] {
        let error = place.load(&named(name, keys), WriteMode::Append, &[]).unwrap_err();
        assert!(matches!(error, StorageError::Refused { .. }));
        assert!(error.to_string().contains(expected), "{error}");
    }
    place.load(&named("fits", 1), WriteMode::Merge, &[rows(&[(1, Some("a")), (2, Some("b"))])]).unwrap();
    assert_eq!(place.query("SELECT id, name, note FROM fits ORDER BY id"), ["1 a mine", "2 b mine"]);
    for result in [
        place.load(&named("fits", 1), WriteMode::Replace, &[]),
        place.load_as(&refresh("r"), &named("fits", 1), WriteMode::Merge, &[]),
    ] {
        let error = result.unwrap_err();
        assert!(
            error.to_string().contains("was not created by ow-host, and its rows are not replaced"),
            "{error}"
        );
    }
    assert_eq!(place.query("SELECT count(*) FROM fits"), ["2"]);
}

#[test]
fn columns_of_others_are_left_alone() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    place.execute("ALTER TABLE t ADD COLUMN note text; UPDATE t SET note = 'mine'");
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("b"))])]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 b mine"]);
    let grown = stream("t", &[("id", DataType::Int64), ("note", DataType::Text)], 1);
    for result in [
        place.load(&grown, WriteMode::Merge, &[]),
        place.load_as(&refresh("r"), &grown, WriteMode::Merge, &[]),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("column `note` of table `t` was not created by ow-host"), "{error}");
    }
    // Widening changes the table in place, whatever else is in it.
    let wide = stream("t", &[("id", DataType::Text), ("name", DataType::Text)], 1);
    place.load(&wide, WriteMode::Merge, &[]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 b mine"]);
    place.load_as(&refresh("r"), &people(1), WriteMode::Merge, &[rows(&[(5, None)])]).unwrap();
    assert_eq!(place.query("SELECT id, name, note FROM t"), ["5 null null"]);
}

#[test]
fn a_column_that_a_view_shows_is_not_widened() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    place.execute("CREATE VIEW v AS SELECT id FROM t");
    let wide = stream("t", &[("id", DataType::Text), ("name", DataType::Text)], 1);
    let error = place.load(&wide, WriteMode::Merge, &[]).unwrap_err();
    assert!(matches!(error, StorageError::Refused { .. }));
    assert!(
        error
            .to_string()
            .starts_with("table `t` cannot be changed: cannot alter type of a column used by a view"),
        "{error}"
    );
    assert!(error.to_string().contains("view v"), "{error}");
}

#[test]
fn a_table_that_the_user_changed_is_seen() {
    let Some(place) = Place::new() else { return };
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    place.execute("DROP TABLE t");
    place.load(&people(1), WriteMode::Merge, &[rows(&[(2, Some("b"))])]).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["2 b"]);
    place.execute("ALTER TABLE t DROP COLUMN name");
    place.load(&people(1), WriteMode::Merge, &[rows(&[(3, Some("c"))])]).unwrap();
    assert_eq!(place.query("SELECT id, name FROM t ORDER BY id"), ["2 null", "3 c"]);
    place.execute("ALTER TABLE t ALTER COLUMN name TYPE varchar(5)");
    let error = place.load(&people(1), WriteMode::Merge, &[]).unwrap_err();
    assert!(
        error.to_string().contains("is character varying(5) by now, which ow-host does not write"),
        "{error}"
    );
}

#[test]
fn a_table_that_changes_during_a_run_is_seen() {
    let Some(place) = Place::new() else { return };
    let mut storage = place.open();
    let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(1, Some("a"))]));
    storage.commit(&none()).unwrap();
    let wide = stream("t", &[("id", DataType::Text), ("name", DataType::Text)], 1);
    let other = RunInfo { data_mart_id: "other".into(), ..run("r2") };
    place.load_as(&other, &wide, WriteMode::Merge, &[]).unwrap();
    storage.write(table, &rows(&[(1, Some("b"))])).unwrap();
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert_eq!(place.query("SELECT * FROM t"), ["1 b"]);
}

#[test]
fn any_name_is_quoted() {
    let Some(place) = Place::new() else { return };
    let mut params = place.with("Schema", "sch \"ema'; DROP SCHEMA public; --");
    params.insert("TablePrefix".to_owned(), "pre \"fix ".into());
    let names =
        ["select", "a\"b", "🎉", "order by 1; --", "Gruppe ä", "n", "'x'", "c0", "$1", " ", "\\", "%s"];
    let fields: Vec<_> = names.iter().map(|name| (*name, DataType::Text)).collect();
    for (name, keys) in [("table", 1), ("x\"; DROP TABLE t; --", 2), ("表", 9), ("a.b", 1), ("_stage", 3)] {
        let mut schema = stream(name, &fields, keys);
        schema.description = Some("'; DROP TABLE t; --\\".into());
        schema.fields[1].description = Some("\\'; DROP TABLE t; --".into());
        let row = |value: &str| {
            let column: ArrayRef = Arc::new(StringArray::from(vec![value]));
            batch(&schema, vec![column; names.len()])
        };
        for mode in [WriteMode::Merge, WriteMode::Replace] {
            let mut storage = open(&params, &RunInfo { data_mart_id: "d'; \"".into(), ..run("'r") }).unwrap();
            load(&mut storage, &schema, mode, &[row("a"), row("b"), row("b")]).unwrap();
            let table = identifier::quote(&format!("pre \"fix {name}"));
            let schema = identifier::quote("sch \"ema'; DROP SCHEMA public; --");
            assert_eq!(
                place.query(&format!("SELECT \"a\"\"b\", \"🎉\" FROM {schema}.{table} ORDER BY 1")),
                ["a a", "b b"]
            );
        }
    }
}

#[test]
fn names_that_postgres_cannot_hold_are_refused() {
    let Some(place) = Place::new() else { return };
    let named = |name: &str| TableSchema { name: name.into(), ..people(0) };
    for name in ["_ow_state", "_OW_x", "a\0b", &"x".repeat(64), &"ü".repeat(32)] {
        let error = place.load(&named(name), WriteMode::Append, &[]).unwrap_err();
        assert!(matches!(error, StorageError::Refused { .. }), "{name}");
        assert!(error.to_string().contains("change `TablePrefix`"), "{error}");
    }
    for name in ["xmin", "ctid", "a\0b", &"y".repeat(64)] {
        let error =
            place.load(&stream("t", &[(name, DataType::Text)], 0), WriteMode::Append, &[]).unwrap_err();
        assert!(matches!(error, StorageError::Refused { .. }), "{name}");
        assert!(error.to_string().contains("rename the field"), "{error}");
    }
    // Names that differ in case only are two names, and 63 bytes are a name.
    let long = "z".repeat(63);
    let fields = [("id", DataType::Int64), ("ID", DataType::Int64), (long.as_str(), DataType::Text)];
    place.load(&stream(&long, &fields, 1), WriteMode::Merge, &[]).unwrap();
    place.load(&stream(&long, &fields, 1), WriteMode::Merge, &[]).unwrap();
}

#[test]
fn wide_tables() {
    let Some(place) = Place::new() else { return };
    let names: Vec<_> = (0..1600).map(|number| format!("c{number}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (name.as_str(), DataType::Boolean)).collect();
    let error = place.load(&stream("t", &fields, 0), WriteMode::Append, &[]).unwrap_err();
    assert!(error.to_string().starts_with("table `t` has 1600 columns, and 1599 are the most"), "{error}");
    let schema = stream("t", &fields[..1599], 1);
    let column: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    place.load(&schema, WriteMode::Merge, &[batch(&schema, vec![column; 1599])]).unwrap();
    assert_eq!(place.query("SELECT c0, c1598 FROM t ORDER BY 1"), ["f f", "t t"]);
    let more = stream("t", &[fields[0], ("x", DataType::Text), ("y", DataType::Text)], 1);
    let error = place.load(&more, WriteMode::Merge, &[]).unwrap_err();
    assert!(error.to_string().contains("would have 1601 columns"), "{error}");
}

#[test]
fn a_table_is_opened_twice_only_in_the_same_way() {
    let Some(place) = Place::new() else { return };
    let mut storage = place.open();
    let table = storage.open_table(&people(1), WriteMode::Merge).unwrap();
    assert_eq!(storage.open_table(&people(1), WriteMode::Merge).unwrap(), table);
    let error = storage.open_table(&people(1), WriteMode::Append).unwrap_err();
    assert!(error.to_string().contains("is open already in this run"), "{error}");
}
