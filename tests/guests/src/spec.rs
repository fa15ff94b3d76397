//! What the guest says of itself. It has no configuration when it is asked, so
//! that tests choose by changing the two digits of `MODE` in the file.

use crate::bindings::exports::ow::connector::connector::ConnectorSpec;

/// Found and changed by the tests: a text that stands in the file once.
static MODE: [u8; 20] = *b"test-guest-spec-m=00";

const SCHEMA: &str = r#"{
    "type": "object",
    "required": ["Behaviour"],
    "additionalProperties": true,
    "properties": {
        "Behaviour": { "type": "string", "description": "What the run does." },
        "Password": { "type": "string", "description": "A secret that the guest does not see.", "writeOnly": true },
        "SigningKey": { "type": "string", "description": "A secret that the guest asks to see.", "writeOnly": true },
        "StartDate": { "type": "string", "format": "date", "default": "2024-01-01", "x-backfill": true },
        "Rows": { "type": "integer", "minimum": 0, "x-backfill": true },
        "Colour": { "enum": ["red", "green"] }
    }
}"#;

pub(crate) fn spec() -> ConnectorSpec {
    let mut spec = ConnectorSpec {
        name: "test-guest".into(),
        version: "1.2.3".into(),
        title: "Test guest".into(),
        description: "Does whatever its configuration says.".into(),
        documentation_url: Some("https://docs.example.com/test-guest".into()),
        config_schema: SCHEMA.into(),
        network: vec!["https://api.example.com".into()],
        plain_secrets: vec!["SigningKey".into()],
    };
    // The compiler must not know what stands there.
    let mode = std::hint::black_box(&MODE);
    match &mode[18..] {
        b"00" => {}
        b"01" => spec.name = "no name\u{1b}[31m".into(),
        b"02" => spec.version = "newest".into(),
        b"03" => spec.config_schema = "{\"type\": \"object\",".into(),
        b"04" => {
            spec.config_schema =
                "{\"type\": \"object\", \"properties\": {\"A\": {\"pattern\": \"(\"}}}".into()
        }
        b"05" => {
            spec.config_schema =
                format!("{{\"type\": \"object\", \"description\": \"{}\"}}", "x".repeat(2 << 20))
        }
        b"06" => spec.network = vec!["https://*".into()],
        b"07" => spec.plain_secrets = vec!["SigningKye".into()],
        b"08" => panic!("no spec today"),
        b"09" => {
            spec.config_schema =
                "{\"$ref\": \"https://evil.example/schema.json\", \"type\": \"object\"}".into()
        }
        b"10" => spec.description = "reaches nothing".into(),
        b"11" => spec.config_schema = "[]".into(),
        other => panic!("there is no spec {other:?}"),
    }
    if mode[18..] == *b"10" {
        // Nothing is there before the run: no configuration, no folder, no storage.
        let variables = std::env::vars().count();
        let table = crate::rows::saw("spec", "spec").map_err(|error| error.message);
        spec.description = format!("{variables} variables, {table:?}");
    }
    spec
}
