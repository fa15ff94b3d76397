use std::collections::HashMap;

use arrow_array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, TimestampMicrosecondArray,
};

use super::*;

const DAY: i64 = 86_400_000_000;

fn everything() -> TableSchema {
    stream(
        "every",
        &[
            ("n", DataType::Int64),
            ("b", DataType::Boolean),
            ("f", DataType::Float64),
            ("d", DataType::Decimal(38, 10)),
            ("s", DataType::Text),
            ("y", DataType::Bytes),
            ("day", DataType::Date),
            ("at", DataType::Timestamp),
            ("j", DataType::Json),
        ],
        0,
    )
}

#[test]
fn values_at_their_edges_come_back() {
    let place = place!();
    let schema = everything();
    let long = "ä🎉".repeat(300_000);
    let nines = 10_i128.pow(38) - 1;
    let rows = batch(
        &schema,
        vec![
            Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(3), Some(i64::MAX), Some(i64::MIN)])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, None, None])),
            Arc::new(Float64Array::from(vec![
                Some(f64::NAN),
                Some(f64::NEG_INFINITY),
                Some(5e-324),
                Some(f64::MAX),
                None,
            ])),
            Arc::new(
                Decimal128Array::from(vec![Some(nines), Some(-nines), Some(1), Some(0), None])
                    .with_precision_and_scale(38, 10)
                    .unwrap(),
            ),
            Arc::new(StringArray::from(vec![
                Some(""),
                Some("it's \"x\" \\ | \n\t;--"),
                Some(long.as_str()),
                Some("null"),
                None,
            ])),
            Arc::new(BinaryArray::from_opt_vec(vec![Some(b""), Some(b"\x00\xff'"), None, None, None])),
            Arc::new(Date32Array::from(vec![Some(-719_162), Some(2_932_896), Some(0), Some(-141_428), None])),
            Arc::new(
                TimestampMicrosecondArray::from(vec![
                    Some(-719_162 * DAY),
                    Some(2_932_897 * DAY - 1),
                    Some(-1),
                    Some(1_704_067_200_000_001),
                    None,
                ])
                .with_timezone("UTC"),
            ),
            Arc::new(StringArray::from(vec![
                Some("{\"a\":1}"),
                Some("[]"),
                Some("null"),
                Some("1e400"),
                None,
            ])),
        ],
    );
    place.load(&run("r1"), &schema, WriteMode::Append, &[rows]).unwrap();
    let script = r#"
import sys, json
from pyiceberg.catalog.glue import GlueCatalog
url, db = sys.argv[1:3]
a = {"endpoint": url, "region": "us-east-1", "access-key-id": "a", "secret-access-key": "b"}
t = GlueCatalog("g", **{k + "." + n.replace("secret-access", "secret-access"): v for k in ("glue", "s3") for n, v in a.items()}).load_table((db, "every"))
print(json.dumps({"types": {f.name: str(f.field_type) for f in t.schema().fields}, "doc": t.schema().fields[0].doc,
  "rows": sorted(([str(r["n"])] + [repr(v) if not isinstance(v, str) else v if len(v) < 99 else len(v) for v in list(r.values())[1:]] for r in t.scan().to_arrow().to_pylist()), key=lambda r: int(r[0]))}))
"#;
    let read: Value =
        serde_json::from_str(&place.cloud.python(script, &[&place.service.place.database])).unwrap();
    let types: HashMap<String, String> = serde_json::from_value(read["types"].clone()).unwrap();
    for (name, expected) in [
        ("n", "long"),
        ("b", "boolean"),
        ("f", "double"),
        ("d", "decimal(38, 10)"),
        ("s", "string"),
        ("y", "binary"),
        ("day", "date"),
        ("at", "timestamp"),
        ("j", "string"),
    ] {
        assert_eq!(types[name], expected, "{name}");
    }
    assert_eq!(read["doc"], "it’s, / described");
    let expected = serde_json::json!([
        ["-9223372036854775808", "None", "None", "None", "None", "None", "None", "None", "None"],
        [
            "1",
            "True",
            "nan",
            "Decimal('9999999999999999999999999999.9999999999')",
            "",
            "b''",
            "datetime.date(1, 1, 1)",
            "datetime.datetime(1, 1, 1, 0, 0)",
            "{\"a\":1}"
        ],
        [
            "2",
            "False",
            "-inf",
            "Decimal('-9999999999999999999999999999.9999999999')",
            "it's \"x\" \\ | \n\t;--",
            "b\"\\x00\\xff'\"",
            "datetime.date(9999, 12, 31)",
            "datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)",
            "[]"
        ],
        [
            "3",
            "None",
            "5e-324",
            "Decimal('1E-10')",
            600_000,
            "None",
            "datetime.date(1970, 1, 1)",
            "datetime.datetime(1969, 12, 31, 23, 59, 59, 999999)",
            "null"
        ],
        [
            "9223372036854775807",
            "None",
            "1.7976931348623157e+308",
            "Decimal('0E-10')",
            "null",
            "None",
            "datetime.date(1582, 10, 15)",
            "datetime.datetime(2024, 1, 1, 0, 0, 0, 1)",
            "1e400"
        ],
    ]);
    assert_eq!(read["rows"], expected);
    // What the columns mean is known again.
    let mut storage = place.open(&run("r2"));
    assert_eq!(storage.columns("every").unwrap().unwrap(), schema.fields);
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
}

#[test]
fn values_that_cannot_be_kept_are_refused() {
    let place = place!();
    let refuse = |ty: DataType, keys: usize, array: ArrayRef, expected: &str| {
        let schema = stream("v", &[("v", ty)], keys);
        let error = RecordBatch::try_from_iter([("v", array)])
            .map(|rows| place.load(&refresh("r"), &schema, WriteMode::Merge, &[rows]).unwrap_err());
        let error = error.unwrap();
        assert!(matches!(error, StorageError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    let at = |micros: i64| Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"));
    refuse(
        DataType::Timestamp,
        1,
        at(-719_162 * DAY - 1),
        "the value of `v` in row 1 of table `v` is not in the years 1 to 9999",
    );
    refuse(DataType::Timestamp, 1, at(2_932_897 * DAY), "years 1 to 9999");
    refuse(DataType::Date, 1, Arc::new(Date32Array::from(vec![i32::MAX])), "years 1 to 9999");
    refuse(
        DataType::Float64,
        1,
        Arc::new(Float64Array::from(vec![1.0, f64::NAN])),
        "in row 2 of table `v` is NaN",
    );
    refuse(
        DataType::Int64,
        1,
        Arc::new(Int64Array::from(vec![Some(1), None])),
        "row 2 of table `v` has no value for `v`",
    );
    let wide = Decimal128Array::from(vec![1000]).with_precision_and_scale(3, 0).unwrap();
    refuse(DataType::Decimal(3, 0), 1, Arc::new(wide), "more digits");
}
