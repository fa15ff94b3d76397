use serde_json::json;

use super::*;
use crate::registry::{parameters_schema, validate};

fn owox() -> Params {
    let value = json!({
        "AWSRegion": "eu-central-1", "AWSAccessKeyId": "key-of-nobody", "AWSSecretAccessKey": "secret-of-nobody",
        "S3BucketName": "example-bucket", "S3Prefix": "ads_", "AthenaDatabaseName": "Marketing",
        "DestinationTableName": "ads_", "AthenaOutputLocation": "s3://example-bucket/results", "MaxBufferSize": "500"
    });
    value.as_object().unwrap().clone()
}

#[test]
fn configurations_of_owox_are_taken_as_they_are() {
    assert_eq!(validate("AWS_ATHENA", &owox()), []);
    let mut params = owox();
    params.insert("MaxBufferSize".into(), json!(250));
    let params = Parameters::parse(params).unwrap();
    let place = params.place();
    assert_eq!((place.prefix.as_str(), place.database.as_str()), ("ads_/", "marketing"));
    assert_eq!(place.output.as_deref(), Some("s3://example-bucket/results"));
}

#[test]
fn secrets_are_marked() {
    let schema = parameters_schema("AwsAthena").unwrap();
    for name in ["AWSSecretAccessKey", "AWSSessionToken"] {
        assert_eq!(schema["properties"][name]["writeOnly"], json!(true), "{name}");
    }
    assert_eq!(schema["required"], json!(["AWSRegion", "S3BucketName", "S3Prefix", "AthenaDatabaseName"]));
    for (name, property) in schema["properties"].as_object().unwrap() {
        assert!(property["description"].is_string(), "{name}");
    }
}

#[test]
fn wrong_parameters_are_told() {
    for (name, value, expected) in [
        ("AWSRegion", json!("eu central"), "has to be a region"),
        ("S3BucketName", json!("s3://bucket/x"), "without `s3://`"),
        ("AthenaDatabaseName", json!("a\"b"), "letters, digits"),
        ("S3Prefix", json!("a'b"), "a folder in the bucket"),
        ("AthenaOutputLocation", json!("results"), "start with `s3://`"),
        ("AWSSecretAccessKey", json!(null), "given without"),
        ("Endpoint", json!("localhost:4566"), "an address"),
        ("TablePrefix", json!("_ow_x"), "keeps for its own tables"),
    ] {
        let mut params = owox();
        params.insert(name.to_owned(), value);
        let problems = validate("AwsAthena", &params);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].0.as_deref(), Some(name));
        assert!(problems[0].1.contains(expected), "{problems:?}");
    }
    let mut params = owox();
    params.remove("AWSAccessKeyId");
    params.remove("AWSSecretAccessKey");
    assert_eq!(validate("AwsAthena", &params), []);
    params.insert("AWSSessionToken".into(), json!("t"));
    assert_eq!(validate("AwsAthena", &params).len(), 1);
}
