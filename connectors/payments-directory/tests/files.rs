//! The connector against folders of files.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::Path;

use ow_connector::ErrorKind;
use ow_connector::testing::{TestHost, TestRun, spec};
use payments_directory::PaymentsDirectory;
use serde_json::{Value, json};

fn payment(reference: &str, amount: i64) -> Value {
    json!({
        "created_at": "2019-05-15T14:00:00.000Z", "reference": reference, "amount": amount, "asset": "EUR/2",
        "type": "TRANSFER", "status": "SUCCEEDED", "scheme": "visa",
    })
}

fn host(folder: &Path) -> TestHost {
    TestHost::new().config(json!({"Directory": folder.to_str().unwrap()}))
}

fn put(folder: &Path, name: &str, content: impl ToString) {
    fs::write(folder.join(name), content.to_string()).unwrap();
}

fn references(run: &TestRun) -> Vec<&str> {
    run.rows("payments").iter().map(|row| row["reference"].as_str().unwrap()).collect()
}

#[test]
fn reads_single_payments_and_arrays_in_name_order() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "b.json", payment("single", 100));
    put(folder.path(), "a.json", json!([payment("first", 1), payment("second", 2)]));
    put(folder.path(), "c.json", "[]");
    put(folder.path(), "readme.txt", "no payment");
    fs::create_dir(folder.path().join("folder.json")).unwrap();

    let run = host(folder.path()).run::<PaymentsDirectory>();
    run.assert_ok();
    assert_eq!(references(&run), ["first", "second", "single"]);
    assert_eq!(
        run.rows("payments")[2],
        json!({
            "reference": "single", "created_at": "2019-05-15T14:00:00Z", "amount": 100, "asset": "EUR/2",
            "type": "TRANSFER", "status": "SUCCEEDED", "scheme": "visa", "file": "b.json",
            "raw": payment("single", 100),
        })
    );
    assert_eq!(run.progress().last(), Some(&(3, Some(3), "files".to_owned())));
}

#[test]
fn the_next_run_reads_new_and_changed_files_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    put(folder, "a.json", payment("a", 1));
    put(folder, "b.json", payment("b", 1));
    let first = host(folder).run::<PaymentsDirectory>();

    put(folder, "b.json", payment("b", 2));
    put(folder, "c.json", payment("c", 1));
    let second = host(folder).after(&first).run::<PaymentsDirectory>();
    second.assert_ok();
    assert_eq!(second.written("payments") - first.written("payments"), 2);
    assert_eq!(references(&second), ["a", "b", "c"]);
    assert_eq!(second.rows("payments")[1]["amount"], 2);

    fs::remove_file(folder.join("a.json")).unwrap();
    let third = host(folder).after(&second).run::<PaymentsDirectory>();
    assert_eq!(third.written("payments"), second.written("payments"));
    let parts = (0..256).filter_map(|part| third.state(&format!("payments/{part:02x}")));
    let mut known: Vec<&String> = parts.flat_map(|part| part.as_object().unwrap().keys()).collect();
    known.sort();
    assert_eq!(known, ["b.json", "c.json"]);

    let refresh = host(folder).after(&third).run_type("FULL_REFRESH").run::<PaymentsDirectory>();
    assert_eq!(refresh.written("payments") - third.written("payments"), 2);
}

#[test]
fn broken_files_are_named_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a.json", payment("a", 1));
    put(folder.path(), "b.json", "{\n  \"reference\": ,");
    put(folder.path(), "c.json", format!("[\n{},\n  {{\"reference\": \"x\"}}\n]", payment("c", 1)));
    put(folder.path(), "d.json", payment("d", 1));
    fs::write(folder.path().join("e.json"), b"\"\xff\"").unwrap();

    let run = host(folder.path()).run::<PaymentsDirectory>();
    let error = run.error().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.message(),
        "3 of 5 files are broken (the others were read): \
         b.json: expected value at line 2 column 16; \
         c.json: missing field `created_at` at line 3 column 20; \
         e.json: it is not UTF-8"
    );
    assert_eq!(references(&run), ["a", "d"]);

    put(folder.path(), "b.json", payment("b", 1));
    put(folder.path(), "c.json", payment("c", 1));
    put(folder.path(), "e.json", "[]");
    let run = host(folder.path()).after(&run).run::<PaymentsDirectory>();
    run.assert_ok();
    assert_eq!(references(&run), ["a", "d", "b", "c"]);
}

#[test]
fn a_missing_folder_is_a_matter_of_configuration() {
    let check = TestHost::new().config(json!({"Directory": "/no/such/folder"})).check::<PaymentsDirectory>();
    let run = TestHost::new().config(json!({"Directory": "/no/such/folder"})).run::<PaymentsDirectory>();
    for error in [check.unwrap_err(), run.error().unwrap().clone()] {
        assert_eq!((error.kind(), error.parameter_name()), (ErrorKind::Config, Some("Directory")));
        assert!(error.message().contains("`--mount DIR:/no/such/folder`"), "{error}");
    }
}

#[test]
fn a_cancelled_run_keeps_what_it_committed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        put(folder.path(), &format!("{name}.json"), payment(name, 1));
    }
    let run = host(folder.path()).cancel_after_commits(2).run::<PaymentsDirectory>();
    assert_eq!(run.error().unwrap().kind(), ErrorKind::Cancelled);
    assert_eq!(references(&run), ["a", "b"]);
    let run = host(folder.path()).after(&run).run::<PaymentsDirectory>();
    assert_eq!(references(&run), ["a", "b", "c"]);
}

#[test]
fn the_schema_describes_the_parameters() {
    let schema = spec::<PaymentsDirectory>().config_schema;
    assert_eq!(schema["properties"]["Directory"]["default"], "/payments");
    assert_eq!(schema["additionalProperties"], false);
}
