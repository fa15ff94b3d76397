use serde_json::{Map, json};

use super::*;

fn params(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn run() -> RunInfo {
    RunInfo {
        data_mart_id: "dm".into(),
        run_id: "r".into(),
        run_type: "INCREMENTAL".into(),
        connector: "c 1.0.0".into(),
        full_refresh: false,
        keep_state: false,
    }
}

#[test]
fn names_and_aliases_are_known() {
    for (name, expected) in [("Sqlite", "Sqlite"), ("SQLITE", "Sqlite"), ("Discard", "Discard")] {
        assert_eq!(canonical_name(name).unwrap(), expected);
    }
    let message = |name| canonical_name(name).unwrap_err().to_string();
    let known = names().collect::<Vec<_>>().join(", ");
    assert_eq!(
        message("sqlit"),
        format!("there is no storage `sqlit`; did you mean `Sqlite`? (there are {known})")
    );
    assert_eq!(
        message("GoogelBigQuery"),
        format!("there is no storage `GoogelBigQuery`; did you mean `GoogleBigQuery`? (there are {known})")
    );
    for name in ["SNOWFLAKE", "AWS_REDSHIFT", "DATABRICKS"] {
        assert!(message(name).contains("yet"), "{name}");
    }
}

#[test]
fn every_problem_of_the_parameters_is_told() {
    let problems = validate("SQLITE", &params(json!({ "Pfad": "x", "path": "y", "TablePrefix": ["a"] })));
    let messages: Vec<_> = problems.iter().map(|(_, message)| message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "storage Sqlite has no parameter `Pfad`",
            "`TablePrefix` has to be text",
            "storage Sqlite has no parameter `path`; did you mean `Path`?",
            "storage Sqlite needs parameter `Path`",
        ]
    );
    assert_eq!(problems[2].0.as_deref(), Some("path"));
    let problems = validate("Sqlite", &params(json!({ "Path": "", "TablePrefix": "_OW_x" })));
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(validate("Sqlite", &params(json!({ "Path": 5, "TablePrefix": 2024 }))).is_empty());
    assert_eq!(validate("Discard", &params(json!({ "Path": "x" }))).len(), 1);
    assert_eq!(validate("Nowhere", &Map::new()).len(), 1);
}

#[test]
fn schemas_refuse_what_is_unknown() {
    let schema = parameters_schema("Sqlite").unwrap();
    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(schema["required"], json!(["Path"]));
    assert!(schema["properties"]["TablePrefix"]["description"].is_string());
    assert_eq!(parameters_schema("Discard").unwrap()["additionalProperties"], json!(false));
}

#[test]
fn storages_are_opened_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let given = params(json!({ "Path": "sub.db", "TablePrefix": 7 }));
    let (mut storage, description) = open("SQLITE", &given, folder.path(), &run()).unwrap();
    assert_eq!(description, "Sqlite (sub.db)");
    let changes = BTreeMap::from([("k".to_owned(), Some("1".to_owned()))]);
    storage.finish(crate::Outcome::Succeeded, &changes, None).unwrap();
    assert!(folder.path().join("sub.db").exists());
    assert_eq!(read_state("Sqlite", &given, folder.path(), "dm").unwrap().len(), 1);
    let (_, description) = open("Discard", &Map::new(), folder.path(), &run()).unwrap();
    assert_eq!(description, "Discard");
    let error = open("Sqlite", &Map::new(), folder.path(), &run()).err().unwrap();
    assert!(matches!(error, StorageError::Config { parameter: Some(name), .. } if name == "Path"));
}

#[test]
fn every_storage_is_listed_with_a_sound_schema() {
    let listed = list();
    assert_eq!(listed.iter().map(|storage| storage.name).collect::<Vec<_>>(), names().collect::<Vec<_>>());
    for storage in listed {
        let (name, schema) = (storage.name, &storage.parameters);
        assert!(!storage.description.is_empty(), "{name}");
        assert_eq!(schema["title"], name);
        assert_eq!((&schema["type"], &schema["additionalProperties"]), (&json!("object"), &json!(false)));
        assert_eq!(*schema, parameters_schema(storage.alias).unwrap());
        for (parameter, property) in schema["properties"].as_object().into_iter().flatten() {
            let words = property["description"].as_str().unwrap_or_default();
            assert!(!words.is_empty(), "{name}.{parameter} has no description");
            let has_type = property.get("type").or(property.get("enum")).is_some();
            assert!(has_type, "{name}.{parameter} has no type of its own: {property}");
        }
    }
}

#[test]
fn what_cannot_be_reached_says_why_and_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| reach("Sqlite", &params(json!({ "Path": path })), folder.path());
    assert!(at("new.db").unwrap().ends_with("will be created"));
    assert!(!folder.path().join("new.db").exists());
    std::fs::write(folder.path().join("no.db"), "a text that is long enough for a database").unwrap();
    for (path, why) in
        [("no.db", "is not an SQLite database"), ("missing/x.db", "does not exist"), (".", "folder")]
    {
        let error = at(path).unwrap_err();
        assert!(error.to_string().contains(why), "{path}: {error}");
        assert!(matches!(error, StorageError::Config { parameter: Some(name), .. } if name == "Path"));
    }
    open("Sqlite", &params(json!({ "Path": "a.db" })), folder.path(), &run()).unwrap();
    assert!(at("a.db").unwrap().ends_with("is a database"));
}
