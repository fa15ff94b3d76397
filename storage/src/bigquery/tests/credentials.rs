//! Who asks, and where.

use super::super::auth::{OAuth, Refresh};
use super::*;

fn oauth(place: &Place, token: Option<&str>, refresh: bool) -> Credentials {
    let refresh = refresh.then(|| Refresh {
        token: "refresh".into(),
        client_id: "id".into(),
        client_secret: "secret".into(),
        url: format!("{}/token", place.fake.url),
    });
    Credentials::OAuth(OAuth { token: token.map(str::to_owned), expires: None, refresh })
}

#[test]
fn a_token_that_expires_is_renewed_in_the_middle_of_a_run() {
    let mut place = place!(&["--require-auth", "--token-ttl", "1"]);
    place.settings.credentials = oauth(&place, Some("expired long ago"), true);
    let mut storage = place.open();
    for page in 0..3 {
        let table = put(&mut storage, &people(1), WriteMode::Merge, &rows(&[(page, None)]));
        std::thread::sleep(Duration::from_millis(1200));
        storage.write(table, &rows(&[(page, Some("x"))])).unwrap();
        storage.commit(&changes(&[("t", Some(&page.to_string()))])).unwrap();
    }
    storage.finish(Outcome::Succeeded, &none(), None).unwrap();
    assert!(place.fake.requests("token").len() >= 3);
    assert_eq!(place.state(), state(&[("t", "2")]));
}

#[test]
fn credentials_that_are_not_accepted_are_told() {
    let mut place = place!(&["--require-auth"]);
    place.settings.credentials = oauth(&place, Some("ya29.wrong-token"), false);
    let error = place.try_open(&run("r")).err().unwrap();
    assert!(matches!(error, StorageError::Config { .. }), "{error}");
    assert!(error.to_string().contains("BigQuery does not accept the credentials"), "{error}");
    assert!(!error.to_string().contains("wrong-token"), "{error}");
    place.settings.credentials = oauth(&place, None, true);
    place
        .fake
        .fault(json!({"op": "token", "status": 400, "raw": "{\"error\": \"invalid_grant\"}", "times": 0}));
    let error = place.try_open(&run("r")).err().unwrap();
    assert!(
        error.to_string().starts_with("`OAuthRefreshToken` gives no access token: invalid_grant"),
        "{error}"
    );
}

#[test]
fn a_service_account_signs_its_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.json");
    let key_path = key.to_str().unwrap().to_owned();
    // The key names the port.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = free.to_string();
    let mut place = place!(&["--port", &port, "--require-auth", "--service-account-key", &key_path]);
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&key).unwrap()).unwrap();
    place.settings.credentials = Credentials::ServiceAccount(json.clone());
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap();
    // Another key: signed, and not by this account.
    let mut wrong = json;
    wrong["private_key"] = json!("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    place.settings.credentials = Credentials::ServiceAccount(wrong);
    let error = place.try_open(&run("r")).err().unwrap();
    assert!(matches!(error, StorageError::Config { .. }), "{error}");
    assert!(!error.to_string().contains("AAAA"), "{error}");
}

#[test]
fn a_dataset_is_made_where_it_is_to_be_and_found_there() {
    let mut place = place!();
    place.settings.location = Some("europe-west1".into());
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap();
    let dataset = place.fake.call("GET", "/bigquery/v2/projects/p/datasets/d", &serde_json::Value::Null);
    assert_eq!(dataset["location"], "europe-west1");
    // Jobs there are found only by their location.
    place.settings.location = None;
    place.load(&people(1), WriteMode::Merge, &[rows(&[(2, None)])]).unwrap();
    assert_eq!(place.query("SELECT COUNT(*) FROM `p.d.t`"), ["2"]);
    place.settings.location = Some("US".into());
    let error = place.try_open(&run("r")).err().unwrap();
    assert_eq!(
        error.to_string(),
        "dataset `p.d` is in location europe-west1 and `DestinationLocation` says US, and a dataset cannot be moved; set `DestinationLocation` to europe-west1, or choose another dataset"
    );
}
