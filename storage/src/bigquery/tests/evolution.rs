//! Tables that are made, and how they change.

use super::*;
use arrow_array::Decimal128Array;

#[test]
fn tables_are_partitioned_and_clustered_and_described() {
    let place = place!();
    let fields: Vec<_> = [
        ("day", DataType::Date),
        ("f", DataType::Float64),
        ("a", DataType::Text),
        ("b", DataType::Int64),
        ("c", DataType::Boolean),
        ("d", DataType::Timestamp),
        ("e", DataType::Decimal(10, 2)),
        ("x", DataType::Json),
    ]
    .to_vec();
    let mut schema = stream("t", &fields, 7);
    schema.partition_field = Some("day".into());
    schema.description = Some("it's a \"table\"".into());
    schema.fields[2].description = Some("a \\ b".into());
    for refreshed in [false, true] {
        let run = if refreshed { refresh("r") } else { run("r") };
        if refreshed {
            // Another shape, so that the table is made by SQL.
            schema.fields.remove(7);
        }
        place.load_as(&run, &schema, WriteMode::Merge, &[]).unwrap();
        let table = place.fake.table("t");
        assert_eq!(table["timePartitioning"], json!({"type": "DAY", "field": "day"}));
        assert_eq!(table["clustering"]["fields"], json!(["a", "b", "c", "d"]));
        assert_eq!(table["description"], "it's a \"table\"");
        assert_eq!(table["schema"]["fields"][2]["description"], "a \\ b");
        assert_eq!(table["labels"]["ow-host"], "1");
        let types: Vec<_> = table["schema"]["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["type"].as_str().unwrap())
            .collect();
        let expected = ["DATE", "FLOAT", "STRING", "INTEGER", "BOOLEAN", "TIMESTAMP", "NUMERIC", "JSON"];
        assert_eq!(types, expected[..types.len()]);
    }
}

#[test]
fn a_timestamp_partitions_too_and_text_does_not() {
    let place = place!();
    for (data_type, is) in [(DataType::Timestamp, true), (DataType::Text, false)] {
        let mut schema = stream(&data_type.to_string(), &[("p", data_type), ("n", DataType::Int64)], 0);
        schema.partition_field = Some("p".into());
        place.load(&schema, WriteMode::Append, &[]).unwrap();
        let made = place.fake.table(&schema.name);
        assert_eq!(made["timePartitioning"]["field"] == "p", is, "{made}");
        schema.fields.truncate(1);
        place.load_as(&refresh("r"), &schema, WriteMode::Append, &[]).unwrap();
        assert_eq!(place.fake.table(&schema.name)["timePartitioning"]["field"] == "p", is);
    }
}

#[test]
fn new_columns_are_added_and_missing_ones_kept() {
    let place = place!();
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, Some("a"))])]).unwrap();
    let wide = stream("t", &[("id", DataType::Int64), ("age", DataType::Int64), ("j", DataType::Json)], 1);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(Int64Array::from(vec![7, 8])),
        Arc::new(StringArray::from(vec!["{}", "[]"])),
    ];
    place.load(&wide, WriteMode::Merge, &[batch(&wide, columns)]).unwrap();
    assert_eq!(place.query("SELECT id, name, age, j FROM `p.d.t` ORDER BY id"), ["1 a 7 {}", "2 null 8 []"]);
    place.load(&people(1), WriteMode::Merge, &[rows(&[(2, Some("b"))])]).unwrap();
    assert_eq!(place.query("SELECT id, name, age, j FROM `p.d.t` ORDER BY id"), ["1 a 7 {}", "2 b 8 []"]);
    let mut storage = place.open();
    let found = storage.columns("t").unwrap().unwrap();
    let found: Vec<_> = found.iter().map(|field| (field.name.as_str(), field.data_type)).collect();
    let expected =
        [("id", DataType::Int64), ("name", DataType::Text), ("age", DataType::Int64), ("j", DataType::Json)];
    assert_eq!(found, expected);
    assert_eq!(storage.columns("nothing").unwrap(), None);
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
}

#[test]
fn numbers_widen_in_place_and_take_narrower_rows() {
    let place = place!();
    let of = |data_type| stream("t", &[("id", DataType::Int64), ("n", data_type)], 1);
    let ints = |id: i64, n: i64| {
        batch(
            &of(DataType::Int64),
            vec![Arc::new(Int64Array::from(vec![id])), Arc::new(Int64Array::from(vec![n]))],
        )
    };
    place.load(&of(DataType::Int64), WriteMode::Merge, &[ints(1, i64::MAX)]).unwrap();
    let wide = of(DataType::Decimal(12, 4));
    let decimal = Decimal128Array::from(vec![12_345]).with_precision_and_scale(12, 4).unwrap();
    let rows = batch(&wide, vec![Arc::new(Int64Array::from(vec![2])), Arc::new(decimal)]);
    place.load(&wide, WriteMode::Merge, &[rows]).unwrap();
    // A table that is wider takes narrower rows.
    place.load(&of(DataType::Int64), WriteMode::Merge, &[ints(3, 5)]).unwrap();
    let found = place.query("SELECT CAST(n AS STRING) FROM `p.d.t` ORDER BY id");
    let found: Vec<_> = found.iter().map(|text| plain(text)).collect();
    assert_eq!(found, ["9223372036854775807", "1.2345", "5"]);
    let field = &place.fake.table("t")["schema"]["fields"][1];
    assert_eq!((field["precision"].as_str(), field["scale"].as_str()), (Some("23"), Some("4")));
}

#[test]
fn text_takes_every_type_that_it_can_hold() {
    let place = place!();
    place.load(&stream("t", &[("v", DataType::Text)], 0), WriteMode::Append, &[]).unwrap();
    let decimal = Decimal128Array::from(vec![-1250]).with_precision_and_scale(10, 2).unwrap();
    let time = arrow_array::TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
    let values: [(DataType, ArrayRef); 6] = [
        (DataType::Boolean, Arc::new(arrow_array::BooleanArray::from(vec![true]))),
        (DataType::Int64, Arc::new(Int64Array::from(vec![-7]))),
        (DataType::Decimal(10, 2), Arc::new(decimal)),
        (DataType::Date, Arc::new(arrow_array::Date32Array::from(vec![0]))),
        (DataType::Timestamp, Arc::new(time)),
        (DataType::Json, Arc::new(StringArray::from(vec!["{}"]))),
    ];
    for (data_type, array) in values {
        let schema = stream("t", &[("v", data_type)], 0);
        place.load(&schema, WriteMode::Append, &[batch(&schema, vec![array])]).unwrap();
    }
    let mut found = place.query("SELECT v FROM `p.d.t`");
    found.sort();
    assert_eq!(found, ["-12.50", "-7", "1970-01-01", "1970-01-01T00:00:00.000000Z", "true", "{}"]);
}

#[test]
fn a_timestamp_column_takes_dates_as_midnight() {
    let place = place!();
    place.load(&stream("t", &[("v", DataType::Timestamp)], 0), WriteMode::Append, &[]).unwrap();
    let schema = stream("t", &[("v", DataType::Date)], 0);
    let rows = batch(&schema, vec![Arc::new(arrow_array::Date32Array::from(vec![1]))]);
    place.load(&schema, WriteMode::Append, &[rows]).unwrap();
    assert_eq!(place.query("SELECT UNIX_MICROS(v) FROM `p.d.t`"), ["86400000000"]);
}

#[test]
fn what_would_lose_data_is_refused_by_column() {
    let place = place!();
    let of = |name: &str, data_type, keys| stream("t", &[("id", DataType::Int64), (name, data_type)], keys);
    place.load(&of("n", DataType::Int64, 1), WriteMode::Merge, &[]).unwrap();
    for (schema, expected) in [
        (of("n", DataType::Float64, 1), "column `n` of table `t` is int64 and the stream has float64"),
        (of("n", DataType::Text, 1), "column `n` of table `t` is int64 and would have to become text"),
        (of("N", DataType::Int64, 1), "column `n` of table `t` differs from field `N` in case only"),
        (
            of("n", DataType::Int64, 2),
            "table `t` was made with another primary key, the stream has primary key (`id`, `n`)",
        ),
        (
            of("n", DataType::Int64, 0),
            "table `t` was made with another primary key, the stream has no primary key",
        ),
    ] {
        let error = place.load(&schema, WriteMode::Append, &[]).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(matches!(error, StorageError::Refused { .. }));
        assert!(error.to_string().contains("full refresh"), "{error}");
    }
    let json = stream("u", &[("k", DataType::Json)], 1);
    let error = place.load(&json, WriteMode::Merge, &[]).unwrap_err();
    assert!(error.to_string().contains("BigQuery cannot compare that"), "{error}");
}

#[test]
fn a_table_of_somebody_else_is_used_where_it_fits() {
    let place = place!();
    place.load(&stream("other", &[("a", DataType::Int64)], 0), WriteMode::Append, &[]).unwrap();
    // As OWOX makes them: JSON in text, a key that is not enforced.
    place.query(
        "CREATE TABLE `p.d.t` (id INT64, name STRING, extra GEOGRAPHY, PRIMARY KEY (id) NOT ENFORCED)",
    );
    let schema = stream("t", &[("id", DataType::Int64), ("name", DataType::Json)], 1);
    let values: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["{\"a\": 1}"]))];
    let rows = batch(&schema, values);
    place.load(&schema, WriteMode::Merge, std::slice::from_ref(&rows)).unwrap();
    place.load_as(&refresh("r"), &schema, WriteMode::Merge, std::slice::from_ref(&rows)).unwrap();
    assert_eq!(place.query("SELECT id, name FROM `p.d.t`"), ["1 {\"a\": 1}"]);
    for (sql, expected) in [
        (
            "CREATE OR REPLACE TABLE `p.d.t` (id INT64, name DATETIME)",
            "column `name` of table `t` is DATETIME",
        ),
        (
            "CREATE OR REPLACE TABLE `p.d.t` (id INT64, name JSON, must STRING NOT NULL)",
            "column `must` of table `t` may not be null",
        ),
        ("DROP TABLE `p.d.t`; CREATE VIEW `p.d.t` AS SELECT 1 AS id", "the dataset has a view named `t`"),
    ] {
        place.query(sql);
        for run in [run("r"), refresh("r")] {
            let error = place.load_as(&run, &schema, WriteMode::Merge, &[]).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
