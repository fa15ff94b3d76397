//! The connector `files`, from a folder to a table: every format, unpacked by
//! code that runs in the sandbox.

use std::path::Path;

use e2e::{Lab, Outcome, build};
use insta::assert_snapshot;
use serde_json::{Value, json};

fn lab(parameters: &Value) -> Lab {
    let lab = Lab::new();
    lab.take(&build::connector("files"), "connector.wasm");
    lab.configure(parameters);
    lab
}

fn run(lab: &Lab) -> Outcome {
    lab.run_component("connector.wasm", &["--mount", "in:/data"])
}

/// A file of the connector's test data.
fn data(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors/files/tests/data");
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn every_format_and_nothing_twice() {
    let lab = lab(&json!({}));
    lab.write("in/stocks.csv", data("stocks.csv"));
    lab.write("in/cars.json", data("cars.json"));
    lab.write(
        "in/lines.jsonl",
        "{\"id\": 1, \"raw\": {\"b\": 1.50, \"a\": 2}}\n{\"id\": 2, \"raw\": [1,  2]}\n",
    );
    lab.write("in/types.parquet", data("types.parquet"));
    let outcome = run(&lab).success();
    let rows: Vec<String> = outcome.report()["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| format!("{} {} {}", stream["stream"], stream["rows"], stream["mode"]))
        .collect();
    assert_eq!(
        rows,
        [
            r#""cars" 406 "append""#,
            r#""lines" 2 "append""#,
            r#""stocks" 560 "append""#,
            r#""types" 2 "append""#
        ]
    );
    assert_snapshot!(lab.query("SELECT * FROM stocks LIMIT 1"), @"MSFT|Jan 1 2000|39.81");
    assert_snapshot!(lab.query("SELECT * FROM cars LIMIT 1"), @"chevrolet chevelle malibu|18.0|8|307.0|130|3504|12.0|1970-01-01|USA");
    assert_snapshot!(lab.query("SELECT * FROM lines"), @r#"
    1|{"b": 1.50, "a": 2}
    2|[1,  2]
    "#);
    assert_snapshot!(lab.query("SELECT * FROM types"), @r#"
    1|-1|9223372036854775807|18446744073709551615|0.5|1234567.89|grün "q"|x'00ff'|2024-02-29|2024-02-29T12:00:00.000000Z|2024-02-29T12:00:00.123456Z|01:02:03.5|[1,null,3]|{"a":1.5,"b":"x\"y","c":[1.10]}|{"k":1}|d
    NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL
    "#);

    assert_eq!(run(&lab).success().report()["streams"], json!([]), "nothing changed");
    lab.write("in/lines.jsonl", "{\"id\": 3, \"raw\": 1}\n");
    let outcome = run(&lab).success();
    assert_eq!(outcome.report()["streams"][0]["rows"], 1);
    assert_snapshot!(outcome.log(), @r"
    info connector: new or changed files: 1
    warn connector: lines.jsonl: it has changed; the stream has no primary key, so its rows were added again
    ");
    assert_eq!(lab.query("SELECT count(*) FROM lines"), "3");
}

#[test]
fn every_codec_of_parquet() {
    let lab = lab(&json!({ "Streams": [{ "Name": "cars", "Path": "*.parquet", "FileField": "file" }] }));
    for codec in ["none", "snappy", "gzip", "lz4", "brotli", "zstd", "v2"] {
        lab.write(&format!("in/{codec}.parquet"), data(&format!("cars-{codec}.parquet")));
    }
    run(&lab).expect_success();
    assert_eq!(lab.query("SELECT count(*), count(DISTINCT file) FROM cars"), "280|7");
    // The same rows seven times.
    let different = "SELECT count(*) FROM (SELECT DISTINCT Name, Miles_per_Gallon, Cylinders, Displacement, \
                     Horsepower, Weight_in_lbs, Acceleration, Year, Origin FROM cars)";
    let one = format!("{different} ").replace("FROM cars)", "FROM cars WHERE file = 'none.parquet')");
    assert_eq!(lab.query(different), lab.query(&one));
    assert_eq!(
        lab.query("SELECT sum(Horsepower) FROM cars GROUP BY file")
            .lines()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        1
    );
}

#[test]
fn a_broken_file_is_named_and_the_others_are_read() {
    let lab = lab(&json!({}));
    lab.write("in/stocks/a.csv", "id,price\n1,2.5\n");
    lab.write("in/stocks/b.csv", "id,price\n2,2.5\n3\n");
    lab.write("in/stocks/c.csv", "id,price\n4,2.5\n");
    assert_snapshot!(run(&lab).failure(), @"1 connector: 1 of 3 files are broken (the others were read): stocks/b.csv: line 3: the row has 1 values, but the first line has 2");
    assert_eq!(lab.query("SELECT group_concat(id) FROM stocks"), "1,4");
    lab.write("in/stocks/b.csv", "id,price\n2,2.5\n3,\n");
    assert_eq!(run(&lab).success().report()["streams"][0]["rows"], 2, "what was mended, and nothing else");
    assert_eq!(lab.query("SELECT group_concat(id) FROM (SELECT id FROM stocks ORDER BY id)"), "1,2,3,4");
}

#[test]
fn a_large_file_does_not_stay_in_memory() {
    let lab = lab(&json!({}));
    let row = format!("{},{}\n", "1".repeat(15), "x".repeat(1000));
    lab.write("in/large.csv", format!("id,text\n{}", row.repeat(60_000)));
    let lines = format!("{{\"id\": 1, \"text\": \"{}\"}}\n", "x".repeat(1000));
    lab.write("in/lines.jsonl", lines.repeat(60_000));
    let array = format!("{{\"id\": 1, \"text\": \"{}\"}},\n", "x".repeat(1000));
    lab.write("in/array.json", format!("[{}{{\"id\": 2}}]", array.repeat(60_000)));
    let report =
        lab.run_component("connector.wasm", &["--mount", "in:/data", "--memory", "48MiB"]).success().report();
    assert_eq!(lab.query("SELECT count(*) FROM large"), "60000");
    assert_eq!(lab.query("SELECT count(*) FROM array"), "60001");
    assert!(report["peak_memory"].as_u64().unwrap() < 48 << 20);
}

#[test]
fn the_first_rows_of_a_file_need_not_wait_for_its_end() {
    let lab = lab(&json!({}));
    lab.write("in/a.csv", "id\n1\n2\n3\n");
    let arguments =
        ["preview", "connector.wasm", "--config", "cfg.json", "--mount", "in:/data", "--limit", "2"];
    let outcome = lab.command(&arguments).env("COLUMNS", "60").start().wait().success();
    assert_snapshot!(outcome.stdout, @r"
    a (append-only): the first 2 rows
       id
    int64
    ─────
        1
        2
    ");
}
