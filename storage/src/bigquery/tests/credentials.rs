//! Who asks, and where.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;

use super::super::auth::{Auth, OAuth, Refresh};
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

/// Whether this is the process that [`machine_token`] started.
const ASKED: &str = "OW_TEST_MACHINE_TOKEN";

/// The token that a machine with these variables gives: a test asks for it in a
/// process of its own, since variables belong to a process.
fn machine_token(test: &str, variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("bigquery::tests::credentials::{test}"), "--nocapture"]);
    command.env_remove("GOOGLE_APPLICATION_CREDENTIALS").env("HOME", folder.path()).env(ASKED, "yes");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let token = said.lines().find_map(|line| line.strip_prefix("token: ").map(str::to_owned));
    token.unwrap_or_else(|| panic!("{}: {said}", output.status))
}

/// In the process that was started: says the token.
fn say_token() -> bool {
    let is_asked = std::env::var_os(ASKED).is_some();
    if is_asked {
        rustls::crypto::ring::default_provider().install_default().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (auth, http) = (Auth::new(Credentials::Machine), reqwest::Client::new());
        match runtime.block_on(auth.token(&http)) {
            Ok(token) => eprintln!("token: {}", token.unwrap_or_default()),
            Err(trouble) => eprintln!("{trouble:?}"),
        }
    }
    is_asked
}

#[test]
fn the_machines_credentials_may_be_a_file() {
    if say_token() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.json").to_str().unwrap().to_owned();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut place = place!(&["--port", &free, "--require-auth", "--service-account-key", &key]);
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", key.as_str())];
    let token = machine_token("the_machines_credentials_may_be_a_file", &variables);
    // The fake checks who signed it.
    place.settings.credentials = oauth(&place, Some(&token), false);
    place.load(&people(1), WriteMode::Merge, &[rows(&[(1, None)])]).unwrap();
}

#[test]
fn the_machines_credentials_may_come_from_its_metadata_server() {
    if say_token() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let request: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let is_asked = request[0].contains("/computeMetadata/v1/instance/service-accounts/default/token")
                && request.iter().any(|line| line.eq_ignore_ascii_case("metadata-flavor: google"));
            let (status, body) = match is_asked {
                true => {
                    ("200 OK", r#"{"access_token":"of-the-machine","expires_in":3600,"token_type":"Bearer"}"#)
                }
                false => ("404 Not Found", "{}"),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nmetadata-flavor: Google\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            (&stream).write_all(answer.as_bytes()).unwrap();
        }
    });
    let variables = [("GCE_METADATA_HOST", host.as_str())];
    let token = machine_token("the_machines_credentials_may_come_from_its_metadata_server", &variables);
    assert_eq!(token, "of-the-machine");
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
