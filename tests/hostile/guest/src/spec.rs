//! What the guest says of itself. It has no configuration when it is asked, so
//! that tests choose by changing the two digits of `MODE` in the file.

use crate::bindings::exports::ow::connector::connector::ConnectorSpec;
use crate::bindings::ow::connector::storage::{self, WriteMode};
use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{Fields, OutgoingRequest};
use crate::rows;

/// Found and changed by the tests: a text that stands in the file once.
static MODE: [u8; 20] = *b"hostile-spec-mode=00";

const SCHEMA: &str = r#"{
    "type": "object",
    "required": ["Attack"],
    "additionalProperties": true,
    "properties": {
        "Attack": { "type": "string", "description": "What the run does." },
        "Case": { "type": "string", "description": "Which of its cases." },
        "Password": { "type": "string", "description": "A secret that the guest does not see.", "writeOnly": true }
    }
}"#;

pub(crate) fn spec() -> ConnectorSpec {
    let mut spec = ConnectorSpec {
        name: "hostile-guest".into(),
        version: "0.1.0".into(),
        title: "Hostile guest".into(),
        description: "Attacks its host.".into(),
        documentation_url: None,
        config_schema: SCHEMA.into(),
        network: vec![],
        plain_secrets: vec![],
    };
    // The compiler must not know what stands there.
    let mode = std::hint::black_box(&MODE);
    match &mode[18..] {
        b"00" => {}
        b"01" => spec.name = "open-holidays\n\u{1b}[31m".into(),
        b"02" => spec.version = "1.0.0\u{1b}]0;title\u{7}".into(),
        b"03" => spec.title = "\u{1b}[2J\u{202e}title\nerror: no".into(),
        b"04" => spec.title = "x".repeat(20 << 20),
        b"05" => spec.documentation_url = Some("javascript:alert(1)".into()),
        b"06" => spec.config_schema = format!("{}1{}", "[".repeat(500_000), "]".repeat(500_000)),
        b"07" => {
            spec.config_schema =
                format!("{}{{}}{}", "{\"properties\":{\"a\":".repeat(10_000), "}}".repeat(10_000));
        }
        b"08" => {
            spec.config_schema =
                r##"{"type":"object","$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##.into();
        }
        b"09" => {
            spec.config_schema =
                r#"{"type":"object","properties":{"Attack":{"pattern":"^((a+)+)+$"},"Case":{"pattern":"(x{1000}){1000}"}}}"#
                    .into();
        }
        b"10" => {
            // Each level refers to the next twice: 2^60 steps.
            let levels: Vec<String> = (0..60)
                .map(|n| format!("\"d{n}\":{{\"allOf\":[{{\"$ref\":\"#/$defs/d{0}\"}},{{\"$ref\":\"#/$defs/d{0}\"}}]}}", n + 1))
                .collect();
            spec.config_schema = format!(
                "{{\"type\":\"object\",\"allOf\":[{{\"$ref\":\"#/$defs/d0\"}}],\"$defs\":{{{},\"d60\":{{}}}}}}",
                levels.join(",")
            );
        }
        b"11" => spec.network = vec!["https://a.example".into(); 100_000],
        b"12" => loop {
            std::hint::black_box(mode);
        },
        b"13" => {
            let mut kept = Vec::new();
            loop {
                kept.push(std::hint::black_box(vec![1_u8; 4 << 20]));
            }
        }
        b"14" => spec.name = "open-holidays".into(),
        b"15" => {
            spec.config_schema =
                format!("{{\"type\":\"object\",\"description\":\"{}\"}}", "x".repeat(20 << 20));
        }
        b"16" => spec.network = vec!["https://*".into()],
        b"17" => has_nothing(),
        b"18" => spec.plain_secrets = vec!["Password".into()],
        other => panic!("there is no spec {other:?}"),
    }
    spec
}

/// Panics with what it got hold of.
fn has_nothing() {
    let variables: Vec<_> = std::env::vars().collect();
    assert!(variables.is_empty(), "it has variables: {variables:?}");
    for path in ["/", "/in"] {
        assert!(std::fs::read_dir(path).is_err(), "it has {path}");
    }
    assert!(storage::open(&rows::seen(), WriteMode::Append).is_err(), "it has a storage");
    let request = OutgoingRequest::new(Fields::new());
    request.set_authority(Some("127.0.0.1")).unwrap();
    let answer = outgoing_handler::handle(request, None).map(|answer| {
        answer.subscribe().block();
        answer.get()
    });
    assert!(!matches!(answer, Ok(Some(Ok(Ok(_))))), "it has the network");
}
