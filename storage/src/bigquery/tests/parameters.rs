//! Parameters, through the registry as the host uses it.

use super::*;
use crate::registry;

fn problems(params: serde_json::Value) -> Vec<String> {
    let problems = registry::validate("GoogleBigQuery", params.as_object().unwrap());
    problems.into_iter().map(|(name, message)| format!("{}: {message}", name.unwrap_or_default())).collect()
}

const KEY: &str = r#"{"type": "service_account", "client_email": "a@b", "private_key": "SECRET"}"#;

#[test]
fn owox_configurations_are_taken_as_they_are() {
    assert_eq!(
        problems(json!({
            "DestinationDatasetID": "my-project.ads", "DestinationProjectID": "my-project",
            "DestinationDatasetName": "ads", "ProjectID": "billing", "DestinationLocation": "US",
            "DestinationTableName": "Data", "MaxBufferSize": "250", "ServiceAccountJson": KEY,
            "OAuthAccessToken": null, "OAuthRefreshToken": "", "OAuthClientId": null,
            "OAuthClientSecret": null, "OAuthAccessTokenExpiry": "1700000000000",
        })),
        [""; 0]
    );
    assert_eq!(problems(json!({"DestinationDatasetID": "example.com:old.ads"})), [""; 0]);
    let parsed: Parameters = driver::parse(
        json!({"DestinationDatasetID": "my-project.ads", "ServiceAccountJson": KEY})
            .as_object()
            .unwrap()
            .clone(),
    )
    .unwrap();
    let settings = parsed.settings().ok().unwrap();
    assert_eq!(
        (settings.project.as_str(), settings.dataset_project.as_str(), settings.dataset.as_str()),
        ("my-project", "my-project", "ads")
    );
}

#[test]
fn every_problem_of_the_parameters_is_told() {
    assert_eq!(
        problems(json!({})),
        ["DestinationDatasetID: storage GoogleBigQuery needs parameter `DestinationDatasetID`"]
    );
    assert_eq!(
        problems(json!({
            "DestinationDatasetID": "ads", "TablePrefix": "_OW_x", "Endpoint": "http://example.com",
            "OAuthRefreshToken": "r", "ClaimSeconds": 1, "RequestTimeout": 0, "OAuthTokenUri": "http://example.com",
        })),
        [
            "DestinationDatasetID: `DestinationDatasetID` has to be a project and a dataset with a dot between them, such as `my-project.ads`",
            "OAuthRefreshToken: `OAuthRefreshToken` needs `OAuthClientId` and `OAuthClientSecret`",
            "OAuthTokenUri: `OAuthTokenUri` has to start with `https://`",
            "Endpoint: `Endpoint` starts with `http://`, and credentials would be readable on the way; use `https://`",
            "TablePrefix: `TablePrefix` starts with `_ow_`, which ow-host keeps for its own tables; choose another one",
            "ClaimSeconds: `ClaimSeconds` has to be from 2 to 86400",
            "RequestTimeout: `RequestTimeout` has to be from 1 to 3600 seconds",
        ]
    );
    for id in ["p.a-b", "p.a`b", "p/x.d", "p.", ".d"] {
        assert_eq!(problems(json!({ "DestinationDatasetID": id })).len(), 1, "{id}");
    }
    let text = problems(
        json!({"DestinationDatasetID": "p.d", "ServiceAccountJson": "{\"private_key\": \"SECRET\""}),
    );
    assert!(text.len() == 1 && !text[0].contains("SECRET"), "{text:?}");
}

#[test]
fn secrets_are_marked() {
    let schema = registry::parameters_schema("GOOGLE_BIGQUERY").unwrap();
    let properties = schema["properties"].as_object().unwrap();
    let secret: Vec<_> = properties
        .iter()
        .filter(|(_, value)| value["writeOnly"] == true)
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(secret, ["OAuthAccessToken", "OAuthClientSecret", "OAuthRefreshToken", "ServiceAccountJson"]);
    assert!(properties.values().all(|value| value["description"].is_string()));
}

#[test]
fn reach_tells_what_is_there_and_makes_nothing() {
    let place = place!();
    let params =
        json!({"DestinationDatasetID": "p.d", "Endpoint": place.fake.url, "DestinationLocation": "EU"});
    let reach = || registry::reach("GoogleBigQuery", params.as_object().unwrap(), Path::new("."));
    assert_eq!(reach().unwrap(), "dataset p.d will be created in EU");
    assert!(
        place.fake.call("GET", "/bigquery/v2/projects/p/datasets/d", &serde_json::Value::Null)["error"]
            .is_object()
    );
    let params_map = params.as_object().unwrap();
    let (mut storage, name) =
        registry::open("GoogleBigQuery", params_map, Path::new("."), &run("r")).unwrap();
    assert_eq!(name, "GoogleBigQuery (p.d)");
    storage.finish(Outcome::Succeeded, &changes(&[("k", Some("v"))]), None).unwrap();
    assert_eq!(reach().unwrap(), "dataset p.d is in EU");
    let found = registry::read_state("GoogleBigQuery", params_map, Path::new("."), "dm").unwrap();
    assert_eq!(found, state(&[("k", "v")]));
    place.fake.fault(
        json!({"op": "jobs.insert", "status": 403, "reason": "accessDenied", "message": "Access Denied"}),
    );
    assert!(reach().unwrap_err().to_string().contains("BigQuery Job User"));
}
