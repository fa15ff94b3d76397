//! The connector against folders that are made for each test.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption must fail the test at once"
)]

use std::io::Write;
use std::path::Path;

use files::Files;
use ow_connector::prelude::*;
use ow_connector::testing::{TestHost, TestRun};
use serde_json::{Value, json};

/// A folder with files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self
    }

    /// Brings a file of the test data in.
    fn take(&self, name: &str) -> &Self {
        self.write(name, std::fs::read(data(name)).unwrap())
    }

    fn host(&self, parameters: Value) -> TestHost {
        TestHost::new().config(json!({"Directory": self.0.path()})).config(parameters)
    }

    fn run(&self, parameters: Value) -> TestRun {
        self.host(parameters).run::<Files>()
    }

    /// The error of a run with these parameters.
    fn error(&self, parameters: Value) -> String {
        self.run(parameters).error().expect("the run went well").message().to_owned()
    }
}

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn stream(parameters: Value) -> Value {
    let mut stream = json!({"Name": "t", "Path": "*"});
    stream.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
    json!({ "Streams": [stream] })
}

fn types(run: &TestRun, name: &str) -> Vec<String> {
    let stream = run.stream(name).unwrap_or_else(|| panic!("no stream {name}: {:?}", run.error()));
    stream.fields.iter().map(|field| format!("{} {:?}", field.name, field.data_type)).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn real_files_are_streams_named_after_them() {
    let folder = Folder::new();
    folder.take("stocks.csv").take("cars.json");
    let run = folder.run(json!({}));
    run.assert_ok();
    assert_eq!(types(&run, "stocks"), ["symbol Text", "date Text", "price Float64"]);
    assert_eq!(run.rows("stocks").len(), 560);
    assert_eq!(run.rows("stocks")[0], json!({"symbol": "MSFT", "date": "Jan 1 2000", "price": 39.81}));
    assert_eq!(
        types(&run, "cars"),
        [
            "Name Text",
            "Miles_per_Gallon Float64",
            "Cylinders Int64",
            "Displacement Float64",
            "Horsepower Int64",
            "Weight_in_lbs Int64",
            "Acceleration Float64",
            "Year Date",
            "Origin Text",
        ]
    );
    assert_eq!(run.rows("cars").len(), 406);
    assert_eq!(run.rows("cars").iter().filter(|car| car["Horsepower"].is_null()).count(), 6);
    assert_eq!(run.commits(), 3, "one a file, and the host's at the end");

    let streams = folder.host(json!({})).discover::<Files>().unwrap();
    assert_eq!(streams, [run.stream("cars").unwrap().clone(), run.stream("stocks").unwrap().clone()]);
}

#[test]
fn a_folder_is_a_stream_with_all_below_it() {
    let folder = Folder::new();
    folder
        .write("orders/2024/a.csv", "id\n1\n")
        .write("orders/b.jsonl", "{\"id\": 2}")
        .write("other.csv", "x\n1\n");
    folder
        .write("orders/_unfinished.csv", "id\nx")
        .write(".hidden.csv", "id\nx")
        .write("readme.txt", "no data");
    let run = folder.run(json!({}));
    run.assert_ok();
    assert_eq!(run.rows("orders"), [json!({"id": 1}), json!({"id": 2})]);
    assert_eq!(run.rows("other"), [json!({"x": 1})]);

    folder.write("orders.csv", "id\n1\n");
    assert_eq!(
        folder.error(json!({})),
        "`orders.csv` and `orders/` would both be the stream `orders`; say in `Streams` which files are which stream"
    );
}

#[test]
fn new_and_changed_files_only() {
    let folder = Folder::new();
    let keyed = || stream(json!({"PrimaryKey": ["id"]}));
    folder.write("a.csv", "id,v\n1,x\n").write("b.csv", "id,v\n2,y\n");
    let first = folder.run(keyed());
    first.assert_ok();
    assert_eq!(first.written("t"), 2);

    let after = |before: &TestRun| {
        let run = folder.host(keyed()).after(before).run::<Files>();
        run.assert_ok();
        run
    };
    let second = after(&first);
    assert_eq!((second.written("t") - first.written("t"), second.commits()), (0, 1));

    // Written anew with the content that it had, changed, new, and gone.
    std::fs::remove_file(folder.0.path().join("b.csv")).unwrap();
    folder.write("a.csv", "id,v\n1,x\n").write("c.csv", "id,v\n3,z\n");
    let third = after(&second);
    assert_eq!(third.written("t") - second.written("t"), 1);
    let names = |run: &TestRun| {
        let parts = (0..64).filter_map(|part| run.state(&format!("t/{part:02x}")).cloned());
        let mut names: Vec<String> = parts
            .flat_map(|part| {
                part.as_object().into_iter().flat_map(|part| part.keys().cloned()).collect::<Vec<_>>()
            })
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&first), ["a.csv", "b.csv"]);
    assert_eq!(names(&third), ["a.csv", "c.csv"]);
    folder.write("a.csv", "id,v\n1,changed\n").write("b.csv", "id,v\n2,again\n");
    let fourth = after(&third);
    assert_eq!(fourth.written("t") - third.written("t"), 2);
    let mut rows = fourth.rows("t").to_vec();
    rows.sort_by_key(|row| row["id"].as_i64());
    assert_eq!(
        rows,
        [json!({"id": 1, "v": "changed"}), json!({"id": 2, "v": "again"}), json!({"id": 3, "v": "z"})]
    );

    for run_type in ["MANUAL_BACKFILL", "FULL_REFRESH"] {
        let again = folder.host(keyed()).after(&fourth).run_type(run_type).run::<Files>();
        again.assert_ok();
        assert_eq!(again.written("t") - fourth.written("t"), 3, "{run_type}");
    }
}

#[test]
fn a_changed_file_without_a_key_is_added_again_and_told() {
    let folder = Folder::new();
    folder.write("a.csv", "id\n1\n");
    let first = folder.run(json!({}));
    folder.write("a.csv", "id\n1\n2\n");
    let second = folder.host(json!({})).after(&first).run::<Files>();
    second.assert_ok();
    assert_eq!(second.rows("a").len(), 3);
    assert!(
        second
            .logs()
            .iter()
            .any(|log| log.message.starts_with("a.csv: it has changed; the stream has no primary key"))
    );
}

#[test]
fn rows_without_a_key_are_told_apart_by_file_and_number() {
    let folder = Folder::new();
    let settings = || stream(json!({"FileField": "file", "RowField": "row", "PrimaryKey": ["file", "row"]}));
    folder.write("a.csv", "v\nx\ny\n").write("b.json", "[{\"v\": \"z\"}]");
    let first = folder.run(settings());
    first.assert_ok();
    assert_eq!(
        first.rows("t"),
        [
            json!({"v": "x", "file": "a.csv", "row": 1}),
            json!({"v": "y", "file": "a.csv", "row": 2}),
            json!({"v": "z", "file": "b.json", "row": 1}),
        ]
    );
    folder.write("a.csv", "v\nx\nchanged\n");
    let second = folder.host(settings()).after(&first).run::<Files>();
    assert_eq!((second.rows("t").len(), &second.rows("t")[1]["v"]), (3, &json!("changed")));
}

#[test]
fn broken_files_are_named_leave_nothing_and_keep_nobody() {
    let folder = Folder::new();
    let good: String = (0..200_000).map(|id| format!("{id}\n")).collect();
    folder.write("a.csv", format!("id\n{good}oops\n"));
    folder.write("b.csv", "id\n1\n").write("c.csv", "id,id\n1,2\n").write("d.csv.gz", b"\x1f\x8bnonsense");
    folder.write("e.json", "[{\"id\": 1},").write("f.csv", "id\n1,2\n").write("g.csv", b"id\n\xff\n");
    folder.write("h.parquet", "PAR1").write("i.csv", b"\xff\xfei\0d\0").write("j.csv", "id\n2\n");
    folder.write("k.json", "{\"id\": 1, \"id\": 2}").write("l.csv", "id\n\"x");
    let run = folder.run(stream(json!({"Fields": [{"Name": "id", "Type": "int64"}]})));
    assert_eq!(run.rows("t"), [json!({"id": 1}), json!({"id": 2})]);
    assert_eq!((run.uncommitted("t"), run.commits()), (0, 2));
    assert_eq!(run.error().unwrap().kind(), ErrorKind::InvalidData);
    let message = run.error().unwrap().message().to_owned();
    assert!(message.starts_with("10 of 12 files are broken (the others were read): "), "{message}");
    for part in [
        "a.csv: line 200002, column `id`: `oops` does not fit the type int64; ",
        "c.csv: line 1: two columns have the name `id`; correct the file, or set `Header` of the stream to false",
        "d.csv.gz: it cannot be unpacked as gzip: ",
        "e.json: line 1: the file ends here in the middle; it is cut off; ",
        "f.csv: line 2: the row has 2 values, but the first line has 1; ",
        "g.csv: line 2: value 1 is not UTF-8; convert the file to UTF-8; ",
        "h.parquet: it is no Parquet file, or is cut off: ",
        "i.csv: it is UTF-16; convert it to UTF-8; ",
        "k.json: line 1: the key `id` stands twice (character ",
        "l.csv: line 2: a quote opens in this row and is never closed; ",
    ] {
        assert!(message.contains(part), "{part}\n{message}");
    }
}

#[test]
fn what_comes_after_the_sample_is_an_error_with_a_way_out() {
    let folder = Folder::new();
    folder.write("a.csv", "id,zip\n1,1000\n2,A-1010\n");
    let sampled = |more: Value| {
        let mut parameters = json!({"SampleRows": 1});
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parameters
    };
    assert_eq!(
        folder.error(sampled(json!({}))),
        "1 of 1 files are broken (the others were read): a.csv: line 3, column `zip`: `A-1010` does not fit the type \
         int64; that type was inferred from the first rows: set `Types` of the stream `a` to {\"zip\": \"text\"}, or \
         raise `SampleRows`"
    );
    let run = folder.run(sampled(stream(json!({"Types": {"zip": "text"}}))));
    run.assert_ok();
    assert_eq!(run.rows("t")[0], json!({"id": 1, "zip": "1000"}));
    let run = folder.run(json!({}));
    assert_eq!(run.rows("a")[1], json!({"id": 2, "zip": "A-1010"}));

    folder.write("a.csv", "id\n1\n").write("b.json", "[{\"id\": 1}, {\"id\": 1, \"more\": 2}]");
    assert_eq!(
        folder.error(sampled(stream(json!({})))),
        "1 of 2 files are broken (the others were read): b.json: line 1: the column `more` was not in the \
         rows and files from which columns were inferred: declare `Fields` of the stream `t`, or raise `SampleRows` \
         and `SampleFiles`"
    );
}

#[test]
fn types_widen_over_files_and_a_column_may_be_missing() {
    let folder = Folder::new();
    folder.write("a.csv", "n,d,x\n1,2024-02-29,1\n").write("b.csv", "n,d\n2.5,2024-02-29T10:00:00Z\n");
    folder.write("c.csv", "n,d,x\n3,,abc\n");
    let run = folder.run(stream(json!({})));
    run.assert_ok();
    assert_eq!(types(&run, "t"), ["n Float64", "d Timestamp", "x Text"]);
    assert_eq!(
        run.rows("t"),
        [
            json!({"n": 1.0, "d": "2024-02-29T00:00:00Z", "x": "1"}),
            json!({"n": 2.5, "d": "2024-02-29T10:00:00Z", "x": null}),
            json!({"n": 3.0, "d": null, "x": "abc"}),
        ]
    );
}

#[test]
fn a_new_file_cannot_narrow_what_the_ones_before_it_were() {
    let folder = Folder::new();
    folder.write("a.jsonl", "{\"n\": 1.5, \"raw\": [1], \"none\": null}\n");
    let first = folder.run(stream(json!({})));
    assert_eq!(types(&first, "t"), ["n Float64", "raw Json", "none Text"]);
    std::fs::remove_file(folder.0.path().join("a.jsonl")).unwrap();
    folder.write("b.jsonl", "{\"raw\": 1, \"n\": 2, \"new\": true}\n");
    let second = folder.host(stream(json!({}))).after(&first).run::<Files>();
    second.assert_ok();
    assert_eq!(types(&second, "t"), ["n Float64", "raw Json", "none Text", "new Boolean"]);
    assert_eq!(second.rows("t")[1], json!({"raw": 1, "n": 2, "new": true}), "lines pass unchanged");
    let anew = folder.host(stream(json!({}))).after(&second).run_type("FULL_REFRESH").run::<Files>();
    anew.assert_ok();
    assert_eq!(types(&anew, "t"), ["raw Int64", "n Int64", "new Boolean"]);
}

#[test]
fn csv_in_all_its_dialects() {
    let read = |name: &str, bytes: &[u8], parameters: Value| {
        let folder = Folder::new();
        folder.write(name, bytes);
        let run = folder.run(stream(parameters));
        run.assert_ok();
        run.rows("t").to_vec()
    };
    let expected = [json!({"a": 1, "b": "x, \"y\"\nz"}), json!({"a": 2, "b": null})];
    assert_eq!(read("t.csv", b"a,b\n1,\"x, \"\"y\"\"\nz\"\n2,\n", json!({})), expected);
    assert_eq!(read("t.csv", b"\xef\xbb\xbfa;b\r\n1;\"x, \"\"y\"\"\nz\"\r\n2;\r\n", json!({})), expected);
    assert_eq!(read("t.tsv", b"a\tb\n1\t\"x, \"\"y\"\"\nz\"\n2\t", json!({})), expected);
    assert_eq!(read("t.CSV.GZ", &gzip(b"a,b\n1,\"x, \"\"y\"\"\nz\"\n2,\n"), json!({})), expected);
    assert_eq!(
        read("t.txt", b"a#b\n1#\"x, \"\"y\"\"\nz\"\n2#", json!({"Format": "csv", "Delimiter": "#"})),
        expected
    );
    assert_eq!(
        read("t.csv", b"1, x \nNA,NA\n", json!({"Header": false, "Trim": true, "NullValues": ["NA"]})),
        [json!({"column_1": 1, "column_2": "x"}), json!({"column_1": null, "column_2": null})]
    );
    let fields = json!([{"Name": "id", "Type": "int64"}, {"Name": "price", "Type": "decimal(8,2)"}]);
    assert_eq!(
        read("t.csv", b"1,2.50,x\n", json!({"Header": false, "Fields": fields})),
        [json!({"id": 1, "price": "2.50"})]
    );
    let fields = json!([{"Name": "price", "Type": "decimal(8,2)", "From": "Price (EUR)"}, {"Name": "seen", "Type": "timestamp"}]);
    assert_eq!(
        read("t.csv", b"seen,other,Price (EUR)\n2024-02-29 12:00,x,2.50\n", json!({"Fields": fields})),
        [json!({"price": "2.50", "seen": "2024-02-29T12:00:00Z"})]
    );
    // Quotes inside of a value without quotes are text.
    assert_eq!(read("t.csv", b"a,b\n1,5\" pipe\n", json!({})), [json!({"a": 1, "b": "5\" pipe"})]);
    assert_eq!(read("t.csv", b"a,b\n", json!({})), Vec::<Value>::new());
    assert_eq!(read("t.csv", b"", json!({})), Vec::<Value>::new());
}

#[test]
fn a_quote_that_is_never_closed_takes_no_rows() {
    let read = |text: String| {
        let folder = Folder::new();
        folder.write("t.csv", text);
        let run = folder.run(stream(json!({})));
        assert!(run.rows("t").is_empty());
        run.error().unwrap().message().to_owned()
    };
    let rows = |from: usize, to: usize| (from..to).map(|id| format!("{id}\n")).collect::<String>();
    let message = read(format!("name\n{}\"stray\n{}", rows(0, 3), rows(0, 1000)));
    assert!(message.contains("t.csv: line 5: a quote opens in this row and is never closed"), "{message}");
    // Far behind what is read at once, and before as much.
    let message = read(format!("name\n{}\"stray\n{}", rows(100_000, 200_000), rows(100_000, 200_000)));
    assert!(message.contains("t.csv: line 100002: a quote opens"), "{message}");
    let message = read("a,b\n1,2\n3,\"4\n5,6\n".to_owned());
    assert!(message.contains("t.csv: line 3: a quote opens"), "{message}");
}

#[test]
fn json_in_all_its_forms() {
    let read = |name: &str, text: &str, parameters: Value| {
        let folder = Folder::new();
        folder.write(name, text);
        let run = folder.run(stream(parameters));
        run.assert_ok();
        run.rows("t").to_vec()
    };
    let expected = [json!({"a": 1, "b": {"x": [1.5]}}), json!({"a": 2, "b": null})];
    assert_eq!(read("t.json", "[{\"a\": 1, \"b\": {\"x\": [1.5]}}, {\"a\": 2}]", json!({})), expected);
    assert_eq!(
        read("t.jsonl", "{\"a\": 1, \"b\": {\"x\": [1.5]}}\n\n{\"b\": null, \"a\": 2}", json!({})),
        expected
    );
    assert_eq!(read("t.ndjson", "{\"a\": 1,\n\"b\": {\"x\": [1.5]}}{\"a\": 2}", json!({})), expected);
    assert_eq!(read("t.json", "{\"a\": 1}", json!({})), [json!({"a": 1})]);
    assert_eq!(
        read("t.jsonl", "{\"a\": 1}\n{\"a\": \"x\"}\n{\"a\": [1]}", json!({})),
        [json!({"a": 1}), json!({"a": "x"}), json!({"a": [1]})],
        "what has no other type is kept as JSON"
    );
    let fields = json!([{"Name": "id", "Type": "int64", "From": "a"}, {"Name": "b", "Type": "text"}]);
    assert_eq!(
        read("t.jsonl", "{\"a\": \"7\", \"b\": 1.50, \"c\": 0}\n{\"a\": 8.0}", json!({"Fields": fields})),
        [json!({"id": 7, "b": "1.50"}), json!({"id": 8, "b": null})]
    );
}

#[test]
fn lines_go_through_unchanged_where_nothing_is_to_be_changed() {
    let folder = Folder::new();
    let lines = "{\"id\": 1, \"raw\": {\"z\": 1.50,  \"a\": 2}}\n{\"id\": 2, \"raw\": null}\n";
    folder.write("t.jsonl", lines).write("u.jsonl.gz", gzip(lines.as_bytes()));
    let run = folder.run(stream(json!({"PrimaryKey": ["id"]})));
    run.assert_ok();
    assert_eq!(run.rows("t"), [json!({"id": 1, "raw": {"z": 1.5, "a": 2}}), json!({"id": 2, "raw": null})]);
    // An object that lacks a key has null there, also where a row is merged.
    folder.write("v.jsonl", "{\"id\": 1}\n");
    let second = folder.host(stream(json!({"PrimaryKey": ["id"]}))).after(&run).run::<Files>();
    second.assert_ok();
    assert_eq!(second.rows("t")[0], json!({"id": 1, "raw": null}));
}

#[test]
fn parquet_of_every_type() {
    let folder = Folder::new();
    folder.take("types.parquet");
    let run = folder.run(json!({}));
    run.assert_ok();
    assert_eq!(
        types(&run, "types"),
        [
            "boolean Boolean",
            "small Int64",
            "large Int64",
            "unsigned Decimal { precision: 20, scale: 0 }",
            "single Float64",
            "money Decimal { precision: 12, scale: 2 }",
            "text Text",
            "bytes Bytes",
            "day Date",
            "seconds Timestamp",
            "nanos Timestamp",
            "time Text",
            "list Json",
            "struct Json",
            "map Json",
            "dictionary Text",
        ]
    );
    let mut nulls = run.rows("types")[1].clone();
    assert!(nulls.as_object_mut().unwrap().values().all(Value::is_null), "{nulls}");
    assert_eq!(
        run.rows("types")[0],
        json!({
            "boolean": true, "small": -1, "large": i64::MAX, "unsigned": "18446744073709551615", "single": 0.5,
            "money": "1234567.89", "text": "grün \"q\"", "bytes": "AP8=", "day": "2024-02-29",
            "seconds": "2024-02-29T12:00:00Z", "nanos": "2024-02-29T12:00:00.123456Z", "time": "01:02:03.5",
            "list": [1, null, 3], "struct": {"a": 1.5, "b": "x\"y", "c": [1.1]}, "map": {"k": 1}, "dictionary": "d",
        })
    );
}

#[test]
fn parquet_with_several_row_groups_and_codecs() {
    let cars: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(data("cars.json")).unwrap()).unwrap();
    for name in ["cars-none.parquet", "cars-snappy.parquet", "cars-zstd.parquet", "cars-v2.parquet"] {
        let folder = Folder::new();
        folder.take(name);
        let fields = json!([{"Name": "Name", "Type": "text"}, {"Name": "power", "Type": "float64", "From": "Horsepower"}]);
        let run = folder.run(stream(json!({"Fields": fields})));
        run.assert_ok();
        let expected: Vec<Value> = cars
            .iter()
            .take(40)
            .map(|car| json!({"Name": car["Name"], "power": car["Horsepower"].as_f64()}))
            .collect();
        assert_eq!(run.rows("t"), expected, "{name}");
    }
}

#[test]
fn parquet_that_is_broken_in_the_middle() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(data("cars-zstd.parquet")).unwrap();
    for byte in bytes.iter_mut().take(600).skip(100) {
        *byte = 0xaa;
    }
    folder.write("a.parquet", bytes).take("cars-none.parquet");
    let run = folder.run(stream(json!({})));
    let message = run.error().unwrap().message();
    assert!(
        message.starts_with("1 of 2 files are broken (the others were read): a.parquet: after row "),
        "{message}"
    );
    assert_eq!(run.rows("t").len(), 40);
}

#[test]
fn wrong_settings_are_told() {
    let folder = Folder::new();
    folder.write("a.csv", "id,Name\n1,x\n").write("b.txt", "x");
    for (parameters, expected) in [
        (json!({"Streams": [{"Name": "t", "Path": ""}]}), "stream `t`: it needs a name and a path"),
        (
            json!({"Streams": [{"Name": "t", "Path": "a*"}, {"Name": "T", "Path": "b*"}]}),
            "stream `T`: it is declared twice; one pattern can fit several folders",
        ),
        (
            stream(json!({})),
            "stream `t`: the name of `b.txt` does not tell its format; set `Format`, or a `Path` that leaves it out",
        ),
        (
            stream(json!({"Path": "a.csv", "PrimaryKey": ["name"]})),
            "stream `t`: `PrimaryKey` names `name`; did you mean `Name`?",
        ),
        (
            stream(json!({"Path": "a.csv", "Types": {"price": "text"}})),
            "stream `t`: `Types` names `price`; there are `id`, `Name`",
        ),
        (
            stream(json!({"Path": "a.csv", "Types": {"id": "integer"}})),
            "stream `t`: `integer` is no type for `id`: write boolean, int64, float64, decimal(12,2), text, date, timestamp, json or bytes",
        ),
        (
            stream(json!({"Path": "a.csv", "Delimiter": "::"})),
            "stream `t`: the delimiter `::` is not one ASCII character or `tab`",
        ),
        (
            stream(json!({"Path": "a.csv", "Fields": [{"Name": "nam", "Type": "text"}]})),
            "1 of 1 files are broken (the others were read): a.csv: it has no column `nam`; did you mean `Name`?",
        ),
        (
            json!({"Streams": [{"Name": "t", "Path": "a.csv", "FileField": "ID"}]}),
            "stream `t`: the columns `id` and `ID` are the same for a table; declare `Fields` with `From`",
        ),
    ] {
        assert_eq!(folder.error(parameters.clone()), expected, "{parameters}");
    }
    let error = TestHost::new().config(json!({"Directory": "/nowhere"})).check::<Files>().unwrap_err();
    assert_eq!(
        error.message(),
        "the folder `/nowhere` cannot be read (there is none); mount one there with `--mount DIR:/nowhere`"
    );
    assert_eq!(error.parameter_name(), Some("Directory"));
}

#[test]
fn a_key_must_have_a_value() {
    let folder = Folder::new();
    folder.write("a.csv", "id,v\n1,x\n,y\n").write("b.jsonl", "{\"id\": 2, \"v\": \"z\"}\n{\"v\": \"z\"}");
    let run = folder.run(stream(json!({"PrimaryKey": ["id"]})));
    assert_eq!(
        run.error().unwrap().message(),
        "2 of 2 files are broken (the others were read): a.csv: line 3, column `id`: there is no value, but the column \
         is part of the primary key; b.jsonl: line 2, column `id`: there is no value, but the column is part of the primary key"
    );
    assert_eq!(run.rows("t"), Vec::<Value>::new());
}

#[test]
fn a_run_that_is_cancelled_keeps_what_it_committed() {
    let folder = Folder::new();
    folder.write("a.csv", "id\n1\n").write("b.csv", "id\n2\n").write("c.csv", "id\n3\n");
    let run = folder.host(stream(json!({}))).cancel_after_commits(1).run::<Files>();
    assert_eq!(run.error().unwrap().kind(), ErrorKind::Cancelled);
    assert_eq!(run.rows("t").len(), 1);
    let rest = folder.host(stream(json!({}))).after(&run).run::<Files>();
    rest.assert_ok();
    assert_eq!(rest.rows("t"), [json!({"id": 1}), json!({"id": 2}), json!({"id": 3})]);
}
