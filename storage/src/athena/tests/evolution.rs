use arrow_array::{BooleanArray, Date32Array, Decimal128Array};

use super::*;

fn one(schema: &TableSchema, column: ArrayRef) -> RecordBatch {
    batch(schema, vec![Arc::new(Int64Array::from(vec![7])), column])
}

fn decimal(value: i128, precision: u8, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap())
}

#[test]
fn tables_get_columns_and_wider_ones() {
    let place = place!();
    let of = |ty| stream("t", &[("id", DataType::Int64), ("v", ty)], 0);
    let narrow = of(DataType::Decimal(10, 2));
    place.load(&run("r1"), &narrow, WriteMode::Append, &[one(&narrow, decimal(125, 10, 2))]).unwrap();
    // Wider at the same scale, by decimals and by integers.
    let wider = of(DataType::Decimal(12, 2));
    place
        .load(&run("r2"), &wider, WriteMode::Append, &[one(&wider, decimal(999_999_999_999, 12, 2))])
        .unwrap();
    let whole = of(DataType::Int64);
    place
        .load(
            &run("r3"),
            &whole,
            WriteMode::Append,
            &[one(&whole, Arc::new(Int64Array::from(vec![i64::MAX])))],
        )
        .unwrap();
    assert_eq!(
        place.query("SELECT CAST(v AS varchar) FROM t"),
        ["1.25", "9223372036854775807.00", "9999999999.99"]
    );
    // A narrower stream is written in the table's type.
    let small = of(DataType::Decimal(5, 1));
    place.load(&run("r4"), &small, WriteMode::Append, &[one(&small, decimal(15, 5, 1))]).unwrap();
    // A new column; and a stream that lacks one.
    let more = stream("t", &[("id", DataType::Int64), ("new", DataType::Boolean)], 0);
    place
        .load(&run("r5"), &more, WriteMode::Append, &[one(&more, Arc::new(BooleanArray::from(vec![true])))])
        .unwrap();
    assert_eq!(
        place.query("SELECT CAST(v AS varchar), new FROM t"),
        ["1.25 null", "1.50 null", "9223372036854775807.00 null", "9999999999.99 null", "null true"]
    );
    // What Athena cannot do is refused before anything is written.
    for (ty, expected) in [
        (
            DataType::Decimal(14, 4),
            "column `v` of table `t` is decimal(21, 2) and would have to be decimal(23, 4)",
        ),
        (DataType::Text, "which Athena cannot change; run a full refresh"),
        (DataType::Boolean, "no type holds both without a loss"),
    ] {
        let schema = of(ty);
        let error = place.load(&run("r6"), &schema, WriteMode::Append, &[]).unwrap_err();
        assert!(matches!(error, StorageError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = place.load(&run("r7"), &people(1), WriteMode::Merge, &[]).unwrap_err();
    assert!(error.to_string().contains("no primary key, the stream has primary key (`id`)"), "{error}");
}

#[test]
fn narrower_values_are_written_as_the_table_has_them() {
    let place = place!();
    let of = |ty| stream("t", &[("id", DataType::Int64), ("v", ty)], 0);
    let text = of(DataType::Text);
    place
        .load(&run("r1"), &text, WriteMode::Append, &[one(&text, Arc::new(StringArray::from(vec!["a"])))])
        .unwrap();
    let times = arrow_array::TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC");
    for (ty, column) in [
        (DataType::Boolean, Arc::new(BooleanArray::from(vec![true])) as ArrayRef),
        (DataType::Int64, Arc::new(Int64Array::from(vec![-5]))),
        (DataType::Decimal(10, 2), decimal(-1250, 10, 2)),
        (DataType::Date, Arc::new(Date32Array::from(vec![-719_162]))),
        (DataType::Timestamp, Arc::new(times)),
        (DataType::Json, Arc::new(StringArray::from(vec!["{}"]))),
    ] {
        let schema = of(ty);
        place.load(&run("r2"), &schema, WriteMode::Append, &[one(&schema, column)]).unwrap();
    }
    assert_eq!(
        place.query("SELECT v FROM t"),
        ["-12.50", "-5", "0001-01-01", "1970-01-01T00:00:00.000001Z", "a", "true", "{}"]
    );
    let at = stream("at", &[("id", DataType::Int64), ("v", DataType::Timestamp)], 0);
    place.load(&run("r3"), &at, WriteMode::Append, &[]).unwrap();
    let day = stream("at", &[("id", DataType::Int64), ("v", DataType::Date)], 0);
    place
        .load(&run("r4"), &day, WriteMode::Append, &[one(&day, Arc::new(Date32Array::from(vec![1])))])
        .unwrap();
    assert_eq!(place.query("SELECT v FROM \"at\""), ["1970-01-02 00:00:00.000"]);
}

#[test]
fn hostile_and_reserved_names_are_only_names() {
    let place = place!();
    let schema = stream(
        "Select",
        &[
            ("Group", DataType::Int64),
            ("a\"; DROP TABLE t; --", DataType::Text),
            ("`b`') LOCATION 's3://x", DataType::Text),
            ("ow_row", DataType::Text),
            ("../../x", DataType::Text),
            ("c0", DataType::Text),
        ],
        1,
    );
    let text = || Arc::new(StringArray::from(vec!["x"])) as ArrayRef;
    let rows =
        batch(&schema, vec![Arc::new(Int64Array::from(vec![1])), text(), text(), text(), text(), text()]);
    for run_id in ["r1", "r2"] {
        place.load(&run(run_id), &schema, WriteMode::Merge, &[rows.clone()]).unwrap();
    }
    let names =
        "\"group\", \"a___drop_table_t____\", \"_b____location__s3___x\", \"ow_row\", \"______x\", \"c0\"";
    assert_eq!(place.query(&format!("SELECT {names} FROM \"select\"")), ["1 x x x x x"]);
    let mut storage = place.open(&run("r3"));
    assert_eq!(storage.columns("Select").unwrap().unwrap(), schema.fields);
    drop(storage);
    place.load(&run("r4"), &schema, WriteMode::Replace, &[rows.clone()]).unwrap();
    // A column by column, all in one set more.
    let part = rows.project(&[0, 2]).unwrap();
    place.load(&run("r5"), &schema, WriteMode::Merge, &[part, rows]).unwrap();
    assert_eq!(place.query("SELECT count(*) FROM \"select\""), ["1"]);
    // Each table has a place of its own.
    place.load(&run("r6"), &people(0), WriteMode::Append, &[]).unwrap();
    let places: std::collections::BTreeSet<_> = place
        .keys("/metadata/")
        .iter()
        .map(|key| key.split("/metadata/").next().unwrap().to_owned())
        .collect();
    assert_eq!(places.len(), 2, "{places:?}");
    for (name, fields, expected) in [
        ("_OW_runs", &["a"][..], "starts with `_ow_`"),
        ("日本", &["a"], "cannot be a table of Athena"),
        ("", &["a"], "cannot be a table of Athena"),
        ("x", &["größe", "gr-ße"], "would both be column `gr__e`"),
        ("y", &[""], "has no name"),
        (&"z".repeat(300), &["a"], "cannot be a table of Athena"),
    ] {
        let fields: Vec<_> = fields.iter().map(|name| (*name, DataType::Text)).collect();
        let schema = stream(name, &fields, 0);
        let error = place.load(&run("r7"), &schema, WriteMode::Append, &[]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    // Two streams of one run that are one table.
    let mut storage = place.open(&run("r8"));
    storage.open_table(&people(0), WriteMode::Append).unwrap();
    assert_eq!(storage.open_table(&people(0), WriteMode::Append).unwrap(), TableId(0));
    let twin = TableSchema { name: "T".into(), ..people(0) };
    let error = storage.open_table(&twin, WriteMode::Append).unwrap_err();
    assert!(error.to_string().contains("open already"), "{error}");
}

#[test]
fn tables_of_others_are_written_if_they_fit() {
    let place = place!();
    let database = &place.service.place.database;
    place.load(&run("r0"), &people(0), WriteMode::Append, &[]).unwrap();
    place.execute(&format!(
        "CREATE EXTERNAL TABLE {database}.hive (id bigint) STORED AS PARQUET LOCATION 's3://{database}/hive/'"
    ));
    let hive = TableSchema { name: "hive".into(), ..people(0) };
    let error = place.load(&run("r1"), &hive, WriteMode::Append, &[]).unwrap_err();
    assert!(error.to_string().contains("no Iceberg table"), "{error}");
    // As OWOX made it, and somebody's narrower type beside.
    place.execute(&format!("CREATE TABLE {database}.theirs (id int, name string, more double) LOCATION 's3://{database}/elsewhere' TBLPROPERTIES ('table_type'='ICEBERG')"));
    place.execute(&format!("INSERT INTO {database}.theirs VALUES (1, 'a', 1.5)"));
    let theirs = TableSchema { name: "theirs".into(), ..people(1) };
    place.load(&run("r2"), &theirs, WriteMode::Merge, &[rows(&[(1, Some("b")), (i64::MAX, None)])]).unwrap();
    assert_eq!(place.query("SELECT * FROM theirs"), ["1 b 1.5", "9223372036854775807 null null"]);
    // Not built anew at a place that others may share.
    let text = stream("theirs", &[("id", DataType::Text)], 0);
    let error = place.load(&refresh("r3"), &text, WriteMode::Append, &[]).unwrap_err();
    assert!(error.to_string().contains("is not in `S3Prefix`"), "{error}");
}

#[test]
fn a_hundred_columns_and_many_sets_fit_one_statement() {
    let place = place!();
    let names: Vec<String> = (0..100).map(|number| format!("column_number_{number}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (name.as_str(), DataType::Int64)).collect();
    let schema = stream("wide", &fields, 1);
    let columns = (0..100).map(|_| Arc::new(Int64Array::from(vec![1])) as ArrayRef).collect();
    let whole = batch(&schema, columns);
    let mut batches: Vec<_> = (1..100).map(|column| whole.project(&[0, column]).unwrap()).collect();
    place.load(&run("r1"), &schema, WriteMode::Merge, &batches).unwrap();
    assert_eq!(
        place.query("SELECT count(*), sum(column_number_99), sum(column_number_1) FROM wide"),
        ["1 1 1"]
    );
    // A statement that would be too long is refused before the commit.
    for size in 2..30 {
        for first in 1..(100 - size) {
            let columns: Vec<_> = std::iter::once(0).chain(first..first + size).collect();
            batches.push(whole.project(&columns).unwrap());
        }
    }
    let error = place.load(&run("r2"), &schema, WriteMode::Merge, &batches).unwrap_err();
    assert!(error.to_string().contains("different sets"), "{error}");
}
