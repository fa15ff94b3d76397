//! What becomes of records: declared columns, columns that are found out, chosen
//! columns; and what is wrong with a configuration.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails the test"
)]

use ow_connector::testing::{Response, TestHost, TestRun, spec};
use ow_connector::{DataType, ErrorKind};
use rest_json::RestJson;
use serde_json::{Value, json};

fn host(streams: Value) -> TestHost {
    TestHost::new()
        .config(json!({"BaseUrl": "https://api.example.com", "Streams": streams}))
        .now("2024-05-15T10:00:00Z")
}

fn run(stream: Value, answer: Value) -> TestRun {
    host(json!([stream])).http(move |_| Response::json(answer.clone())).run::<RestJson>()
}

fn columns(run: &TestRun, stream: &str) -> String {
    let stream = run.stream(stream).unwrap();
    let field = |field: &ow_connector::Field| {
        format!("{} {}{}", field.name, field.data_type, if field.nullable { "" } else { "!" })
    };
    stream.fields.iter().map(field).collect::<Vec<_>>().join(", ")
}

#[test]
fn declared_columns() {
    let stream = json!({
        "Name": "orders", "Path": "/orders", "Records": "/data", "PrimaryKey": ["id"],
        "Schema": {
            "id": "int64", "total": "decimal(10, 2)", "at": "timestamp", "day": "date", "tags": "json",
            "city": {"Type": "text", "From": "/address/city", "Required": true}, "note": "text", "n": "float64",
        },
        "NullTexts": ["", "-"], "Epoch": "seconds",
    });
    let run = run(
        stream,
        json!({"data": [
            {"id": "7", "total": 12.5, "at": 1_715_767_200, "day": "2024-02-29", "tags": ["a"], "address": {"city": "Kyiv"}, "note": "", "n": "-", "extra": 1},
            {"id": 8, "total": "1.10", "at": "2024-05-15T12:00:00+02:00", "day": null, "address": {"city": "Lviv"}, "n": 1},
        ]}),
    );
    run.assert_ok();
    assert_eq!(
        columns(&run, "orders"),
        "id int64!, at timestamp, city text!, day date, n float64, note text, tags json, total decimal(10, 2)"
    );
    let rows = run.rows("orders");
    assert_eq!(
        rows[0],
        json!({"id": 7, "total": "12.5", "at": "2024-05-15T10:00:00Z", "day": "2024-02-29", "tags": ["a"], "city": "Kyiv", "note": "", "n": null})
    );
    assert_eq!((&rows[1]["at"], &rows[1]["tags"]), (&json!("2024-05-15T10:00:00Z"), &Value::Null));
}

#[test]
fn a_value_that_does_not_fit_is_told_with_the_way_out() {
    let declared = json!({"Name": "a", "Path": "/a", "Schema": {"n": "int64"}});
    let failed = run(declared, json!([{"n": 1}, {"n": "many"}]));
    assert_eq!(failed.error().unwrap().kind(), ErrorKind::InvalidData);
    assert_eq!(
        failed.error().unwrap().message(),
        "1 of 1 failed: stream `a`: GET https://api.example.com/a: record 2 of ``: stream `a`: field `n` (int64) cannot \
         hold `\"many\"`; change its type in `Schema`: `text` and `json` hold anything"
    );
    let learned = json!({"Name": "a", "Path": "/a", "InferRecords": 1, "Pagination": {"page": {}}});
    let failed = host(json!([learned]))
        .http(|request| match request.query("page").unwrap().as_str() {
            "1" => Response::json(json!([{"n": 1}])),
            _ => Response::json(json!([{"n": "many"}])),
        })
        .run::<RestJson>();
    let message = failed.error().unwrap().message();
    assert!(
        message.contains("field `n` (int64) cannot hold `\"many\"`; the type comes from the first records"),
        "{message}"
    );
}

#[test]
fn columns_are_found_out_and_kept() {
    let stream = json!({"Name": "a", "Path": "/a", "PrimaryKey": ["id"], "Pagination": {"page": {}}});
    let answer = |more: Value| {
        move |request: &ow_connector::testing::Request| match request.query("page").unwrap().as_str() {
            "1" => Response::json(
                json!([{"id": 1, "n": 1, "day": "2024-01-01", "o": {"x": 1}, "nothing": null}]),
            ),
            "2" => Response::json(json!([{"id": 2, "n": 2.5, "day": "2024-01-02", "yes": true}, more])),
            _ => Response::json(json!([])),
        }
    };
    let first = host(json!([stream])).http(answer(json!({"id": 3}))).run::<RestJson>();
    first.assert_ok();
    assert_eq!(columns(&first, "a"), "day date, id int64!, n float64, nothing text, o json, yes boolean");
    assert_eq!(first.rows("a")[0]["o"], json!({"x": 1}));
    assert_eq!(first.state("columns:a").unwrap()["n"], "float64");

    // A later run keeps the types, and takes what is new.
    let later = host(json!([stream]))
        .after(&first)
        .http(answer(json!({"id": 3, "nothing": 5, "new": 1})))
        .run::<RestJson>();
    later.assert_ok();
    assert_eq!(
        columns(&later, "a"),
        "day date, id int64!, n float64, nothing text, o json, yes boolean, new int64"
    );
    assert_eq!(later.rows("a")[2]["nothing"], "5");
}

#[test]
fn fields_that_come_too_late_are_told() {
    let stream = json!({"Name": "a", "Path": "/a", "InferRecords": 1, "Pagination": {"page": {}}});
    let run = host(json!([stream]))
        .http(|request| match request.query("page").unwrap().as_str() {
            "1" => Response::json(json!([{"id": 1}])),
            "2" => Response::json(json!([{"id": 2, "late": 1}])),
            _ => Response::json(json!([])),
        })
        .run::<RestJson>();
    run.assert_ok();
    let told = run.logs().iter().any(|log| log.message == "stream `a`: the table has no column for `late`");
    assert!(told, "{:?}", run.logs());
}

#[test]
fn some_columns_declared_and_others_found_out() {
    let stream = json!({"Name": "a", "Path": "/a", "Schema": {"n": "text"}, "Infer": true});
    let run = run(stream, json!([{"id": 1, "n": 7}]));
    run.assert_ok();
    assert_eq!(columns(&run, "a"), "n text, id int64");
    assert_eq!(run.rows("a"), [json!({"id": 1, "n": "7"})]);
}

#[test]
fn nothing_comes_of_nothing() {
    let run = run(json!({"Name": "a", "Path": "/a"}), json!([]));
    run.assert_ok();
    assert!(run.stream("a").is_none());
}

#[test]
fn one_object_and_lists_that_are_left_out() {
    let object = run(
        json!({"Name": "a", "Path": "/a", "Records": "/me", "RecordsAre": "object"}),
        json!({"me": {"id": 1}}),
    );
    object.assert_ok();
    assert_eq!(object.rows("a"), [json!({"id": 1})]);
    let left_out = json!({"Name": "a", "Path": "/a", "Records": "/items", "RecordsAre": "optional_list", "Schema": {"id": "int64"}});
    let empty = run(left_out.clone(), json!({"ok": true}));
    empty.assert_ok();
    assert_eq!(run(left_out, json!({"items": [{"id": 1}]})).rows("a").len(), 1);
}

#[test]
fn chosen_streams_and_columns() {
    let streams = json!([
        {"Name": "a", "Path": "/a", "PrimaryKey": ["id"], "Schema": {"id": "int64", "n": "text", "m": "text"}},
        {"Name": "b", "Path": "/b"},
        {"Name": "c", "Path": "/c"},
    ]);
    let choose = |fields: &str| {
        host(streams.clone())
            .config(json!({"Fields": fields}))
            .http(|_| Response::json(json!([{"id": 1, "n": "x", "m": "y"}])))
            .run::<RestJson>()
    };
    let run = choose("a m, b n");
    run.assert_ok();
    assert_eq!(run.rows("a"), [json!({"id": 1, "m": "y"})]);
    assert_eq!(run.rows("b"), [json!({"n": "x"})]);
    assert!(run.stream("c").is_none());
    assert_eq!(run.requests().len(), 2);
    assert_eq!(choose("c").rows("c").len(), 1);
    let told = |fields: &str| choose(fields).error().unwrap().message().to_owned();
    assert_eq!(told("a total"), "`a` has no field `total`; there is `id`, `m`, `n`");
    assert!(told("d").starts_with("there is no node `d`"), "{}", told("d"));
    assert!(told("b nn").contains("`b` has no field `nn`; did you mean `n`?"), "{}", told("b nn"));
}

#[test]
fn discover_finds_columns_out() {
    let streams = json!([
        {"Name": "a", "Path": "/a"},
        {"Name": "b", "Path": "/a/{parent.id}/b", "Parent": {"Stream": "a", "Columns": {"a_id": "id"}}},
    ]);
    let found = host(streams)
        .http(|request| match request.path() {
            "/a" => Response::json(json!([{"id": 1}])),
            "/a/1/b" => Response::json(json!([{"x": true}])),
            other => panic!("{other}"),
        })
        .discover::<RestJson>()
        .unwrap();
    let fields = |index: usize| -> Vec<(&str, DataType)> {
        found[index].fields.iter().map(|field| (field.name.as_str(), field.data_type)).collect()
    };
    assert_eq!(fields(0), [("id", DataType::Int64)]);
    assert_eq!(fields(1), [("a_id", DataType::Int64), ("x", DataType::Boolean)]);
}

#[test]
fn check_looks_at_each_stream_once() {
    let streams = json!([{"Name": "a", "Path": "/a", "Pagination": {"page": {}}}, {"Name": "b", "Path": "/b", "Records": "/x"}]);
    let error = host(streams)
        .http(|request| match request.path() {
            "/a" => Response::json(json!([{"id": 1}])),
            _ => Response::json(json!({"y": []})),
        })
        .check::<RestJson>()
        .unwrap_err();
    assert!(error.message().starts_with("1 of 2 failed: stream `b`: "), "{error}");
    assert!(error.message().contains("there is no list at `/x`"), "{error}");
}

#[test]
fn says_what_is_wrong_with_the_configuration() {
    let told = |config: Value| {
        let error = TestHost::new().config(config).check::<RestJson>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        (error.parameter_name().unwrap_or_default().to_owned(), error.message().to_owned())
    };
    let with = |stream: Value| {
        let mut base = json!({"Name": "a", "Path": "/a"});
        base.as_object_mut().unwrap().extend(stream.as_object().unwrap().clone());
        told(json!({"BaseUrl": "https://h", "Streams": [base]})).1
    };
    for (stream, want) in [
        (json!({"Path": "/{parent.id}"}), "`a`: `{parent.id}` needs `Parent`"),
        (json!({"Path": "/{parnet.id}"}), "nothing is known by the name `{parnet.id}`"),
        (json!({"Query": {"x": "{start}"}}), "`{start}` needs `Window`"),
        (json!({"Query": {"x": "{secrets.key}"}}), "there is no secret `key` in `Secrets`, but none"),
        (json!({"Body": {}}), "a GET request has no `Body`"),
        (json!({"PrimaryKey": ["id"], "Schema": {"n": "text"}}), "`id` of the `PrimaryKey` is no column"),
        (
            json!({"Schema": {"n": "text", "m": {"Type": "text", "From": "/n"}}}),
            "two columns are found at `/n`",
        ),
        (json!({"Schema": {"n": "number"}}), "Streams"),
        (json!({"Window": {}}), "the `Window` reaches no request"),
        (json!({"Window": {"StartParameter": "s", "Format": "iso"}}), "`iso` is no way to write a time"),
        (json!({"Incremental": {"Field": "x"}}), "`Incremental` reaches no request"),
        (json!({"Parent": {"Stream": "b"}}), "there is no stream `b`, but `a`"),
        (json!({"Parent": {"Stream": "a"}}), "`a` is its own parent"),
        (json!({"RecordsAre": "object", "Pagination": {"page": {}}}), "pages of one object have no end"),
        (json!({"Pagination": {"page": {"Size": 10}}}), "`Size` and `SizeParameter` go together"),
        (json!({"Pagination": {"pages": {}}}), "unknown variant `pages`"),
    ] {
        let message = with(stream.clone());
        assert!(message.contains(want), "{stream}: {message}");
    }
    assert_eq!(told(json!({"Streams": []})).0, "BaseUrl");
    let twice =
        json!({"BaseUrl": "https://h", "Streams": [{"Name": "a", "Path": ""}, {"Name": "A", "Path": ""}]});
    assert!(told(twice).1.contains("there are two streams"));
    let rule =
        json!({"BaseUrl": "https://h", "Streams": [{"Name": "a", "Path": ""}], "Errors": [{"Then": "fail"}]});
    assert!(told(rule).1.contains("rule 1: it needs a condition"));
}

#[test]
fn the_schema_tells_secrets_and_choices() {
    let spec = spec::<RestJson>();
    let properties = &spec.config_schema["properties"];
    assert_eq!(properties["Secrets"]["additionalProperties"]["writeOnly"], true);
    let text = properties["Auth"].to_string();
    assert_eq!(text.matches("\"writeOnly\":true").count(), 7, "{text}");
    assert_eq!(properties["StartDate"]["x-backfill"], true);
    assert_eq!(spec.config_schema["required"], json!(["BaseUrl", "Streams"]));
    assert_eq!(spec.config_schema["additionalProperties"], false);
}
