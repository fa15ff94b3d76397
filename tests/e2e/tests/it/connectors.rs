//! The connectors that come with the host, from file and web server to table.

use std::time::Duration;

use e2e::{Answer, Lab, Outcome, Request, Server, build};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// A folder with a connector and its configuration.
fn lab(connector: &str, parameters: &Value) -> Lab {
    let lab = Lab::new();
    lab.take(&build::connector(connector), "connector.wasm");
    lab.configure(parameters);
    lab
}

fn backfill(lab: &Lab, server: &Server, start: &str, end: &str) -> Outcome {
    let (start, end) = (format!("StartDate={start}"), format!("EndDate={end}"));
    lab.run_component("connector.wasm", &["--allow-net", &server.origin(), "--set", &start, "--set", &end])
}

#[test]
fn payments_of_a_folder() {
    let payment = |reference: &str, status: &str| {
        format!(
            "{{\"reference\": \"{reference}\", \"created_at\": \"2024-03-01T10:00:00+01:00\", \"amount\": 1250, \
             \"asset\": \"EUR/2\", \"type\": \"PAY-IN\", \"status\": \"{status}\", \"scheme\": \"visa\", \"more\": [1.50]}}"
        )
    };
    let lab = lab("payments-directory", &json!({}));
    lab.write("in/a.json", payment("p-1", "PENDING"));
    lab.write("in/b.json", format!("[{},\n{}]", payment("p-2", "SUCCEEDED"), payment("p-3", "FAILED")));
    lab.write("in/notes.txt", "no payment");
    let run = || lab.run_component("connector.wasm", &["--mount", "in:/payments"]);
    let payments = || {
        lab.query("SELECT reference, created_at, amount, asset, type, status, scheme, file FROM payments ORDER BY 1")
    };
    run().expect_success();
    assert_snapshot!(payments(), @r"
    p-1|2024-03-01T09:00:00.000000Z|1250|EUR/2|PAY-IN|PENDING|visa|a.json
    p-2|2024-03-01T09:00:00.000000Z|1250|EUR/2|PAY-IN|SUCCEEDED|visa|b.json
    p-3|2024-03-01T09:00:00.000000Z|1250|EUR/2|PAY-IN|FAILED|visa|b.json
    ");
    assert_snapshot!(lab.query("SELECT raw FROM payments WHERE reference = 'p-2'"), @r#"{"reference": "p-2", "created_at": "2024-03-01T10:00:00+01:00", "amount": 1250, "asset": "EUR/2", "type": "PAY-IN", "status": "SUCCEEDED", "scheme": "visa", "more": [1.50]}"#);

    assert_eq!(run().success().report()["streams"], json!([]), "nothing changed");

    lab.write("in/a.json", payment("p-1", "SUCCEEDED"));
    lab.write("in/c.json", "{\"reference\": \"p-4\", \"amount\": \"many\"}");
    lab.write("in/d.json", payment("p-5", "PENDING"));
    let outcome = run();
    assert_snapshot!(outcome.failure(), @r#"1 connector: 1 of 4 files are broken (the others were read): c.json: invalid type: string "many", expected i64 at line 1 column 37"#);
    assert_snapshot!(payments(), @r"
    p-1|2024-03-01T09:00:00.000000Z|1250|EUR/2|PAY-IN|SUCCEEDED|visa|a.json
    p-2|2024-03-01T09:00:00.000000Z|1250|EUR/2|PAY-IN|SUCCEEDED|visa|b.json
    p-3|2024-03-01T09:00:00.000000Z|1250|EUR/2|PAY-IN|FAILED|visa|b.json
    p-5|2024-03-01T09:00:00.000000Z|1250|EUR/2|PAY-IN|PENDING|visa|d.json
    ");

    lab.write("in/c.json", payment("p-4", "PENDING"));
    assert_eq!(run().success().report()["streams"][0]["rows"], 1, "what was fixed, and nothing else");
    assert_eq!(lab.query("SELECT count(*) FROM payments"), "5");
}

#[test]
fn payments_without_a_mount() {
    assert_snapshot!(lab("payments-directory", &json!({})).run_component("connector.wasm", &[]).failure(), @r"
    3 config: the folder `/payments` cannot be read (there is none); mount one there with `--mount DIR:/payments`
    at: Directory
    ");
}

/// The API of the OpenHolidays project.
fn holidays(request: &Request) -> Answer {
    assert_eq!(request.path(), "/PublicHolidays");
    assert_eq!(request.query("countryIsoCode"), Some("AT"));
    let holiday = |id: &str, date: &str, name: &str| {
        json!({ "id": id, "startDate": date, "endDate": date, "type": "Public", "nationwide": true,
                "name": [{ "language": "DE", "text": name }, { "language": "EN", "text": "in English" }],
                "regionalScope": "National", "temporalScope": "FullDay", "unknown": 1 })
    };
    let all = [
        holiday("0001", "2023-01-01", "Neujahr"),
        holiday("0002", "2023-12-25", "Weihnachten"),
        holiday("0003", "2026-01-06", "Heilige Drei Könige"),
    ];
    let (from, to) = (request.query("validFrom").unwrap(), request.query("validTo").unwrap());
    let between =
        all.into_iter().filter(|holiday| (from..=to).contains(&holiday["startDate"].as_str().unwrap()));
    Answer::json(&between.collect()).gzip()
}

#[test]
fn holidays_of_several_years() {
    let server = Server::start(holidays);
    let lab = lab(
        "open-holidays",
        &json!({ "countryIsoCode": "AT", "languageIsoCode": "DE", "BaseUrl": server.origin() }),
    );
    backfill(&lab, &server, "2023-01-01", "2026-12-31").expect_success();
    let table = || lab.query("SELECT * FROM open_holidays_public_holidays ORDER BY id");
    assert_snapshot!(table(), @r"
    0001|2023-01-01|2023-01-01|Neujahr|Public|National|FullDay|1
    0002|2023-12-25|2023-12-25|Weihnachten|Public|National|FullDay|1
    0003|2026-01-06|2026-01-06|Heilige Drei Könige|Public|National|FullDay|1
    ");
    assert_eq!(server.requests().len(), 2);
    assert_eq!(lab.state(), json!({}));
    let before = table();
    backfill(&lab, &server, "2023-01-01", "2026-12-31").expect_success();
    assert_eq!(table(), before, "the same rows again change nothing");
}

#[test]
fn holidays_without_a_grant() {
    let server = Server::start(holidays);
    let lab = lab("open-holidays", &json!({ "BaseUrl": server.origin() }));
    assert_snapshot!(lab.run_component("connector.wasm", &[]).failure(), @r"
    5 denied: GET http://127.0.0.1:[PORT]/PublicHolidays: the request to 127.0.0.1:[PORT] was not granted by the operator
    hint: grant it with --allow-net http://127.0.0.1:[PORT]
    ");
    assert!(server.requests().is_empty());
}

/// The Valet API of the Bank of Canada.
fn rates(request: &Request) -> Answer {
    assert_eq!(request.path(), "/valet/observations/group/FX_RATES_DAILY/json");
    Answer::json(&json!({
        "terms": { "url": "https://www.bankofcanada.ca/terms/" },
        "seriesDetail": { "FXUSDCAD": { "label": "USD/CAD" } },
        "observations": [
            { "d": "2024-03-13", "FXUSDCAD": { "v": "1.3474" }, "FXVNDCAD": { "v": "0.000055" } },
            { "d": "2024-03-14", "FXUSDCAD": { "v": "1.3534" }, "FXRUBCAD": { "v": "" }, "FXVNDCAD": {} },
        ],
    }))
}

fn bank(server: &Server) -> Lab {
    lab("bank-of-canada", &json!({ "BaseUrl": server.origin() }))
}

#[test]
fn rates_of_two_days() {
    let server = Server::start(rates);
    let lab = bank(&server);
    let outcome = backfill(&lab, &server, "2024-03-13", "2024-03-14").success();
    assert_snapshot!(lab.query("SELECT * FROM bank_of_canada_exchange_rates ORDER BY 1, 2"), @r"
    2024-03-13|USDCAD|1.3474000000
    2024-03-13|VNDCAD|0.0000550000
    2024-03-14|USDCAD|1.3534000000
    ");
    assert_eq!(outcome.report()["requests"], 1);
    lab.run_component("connector.wasm", &["--allow-net", &server.origin()]).expect_success();
    assert_eq!(lab.query("SELECT count(*) FROM bank_of_canada_exchange_rates"), "3");
    let state = lab.state();
    assert!(state["bank_of_canada_exchange_rates"]["date"].is_string(), "{state}");
}

#[test]
fn servers_that_recover_are_asked_again() {
    let failures: [fn() -> Answer; 4] = [
        || Answer::new(500, "oh"),
        || Answer::new(429, "slow down").header("retry-after", "1"),
        || Answer::new(503, "").header("retry-after", "0"),
        || Answer::new(502, "<html>bad gateway"),
    ];
    for failure in failures {
        let count = std::sync::atomic::AtomicU32::new(0);
        let server = Server::start(move |request| {
            let first = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            if first { failure() } else { rates(request) }
        });
        let lab = bank(&server);
        backfill(&lab, &server, "2024-03-13", "2024-03-14").expect_success();
        assert_eq!(server.requests().len(), 2);
        assert_eq!(lab.query("SELECT count(*) FROM bank_of_canada_exchange_rates"), "3");
    }
}

#[test]
fn a_slow_answer_is_an_answer() {
    let server = Server::start(|request| rates(request).slow(100, Duration::from_millis(50)));
    let lab = bank(&server);
    backfill(&lab, &server, "2024-03-13", "2024-03-14").expect_success();
    assert_eq!(lab.query("SELECT count(*) FROM bank_of_canada_exchange_rates"), "3");
}

#[test]
fn servers_that_do_not_recover_are_named() {
    let failure = |answer: fn(&Request) -> Answer| {
        let server = Server::start(answer);
        let lab = bank(&server);
        let outcome = backfill(&lab, &server, "2024-03-13", "2024-03-14");
        assert_eq!(
            lab.query("SELECT count(*) FROM bank_of_canada_exchange_rates"),
            "no such table: bank_of_canada_exchange_rates"
        );
        format!("{} requests\n{}", server.requests().len(), outcome.failure())
    };
    assert_snapshot!(failure(|_| Answer::new(500, "oh")), @r"
    5 requests
    1 connector, retryable: GET http://127.0.0.1:[PORT]/valet/observations/group/FX_RATES_DAILY/json: status 500: oh
    hint: a later run may succeed without any change
    ");
    assert_snapshot!(failure(|_| Answer::new(429, "slow down").header("retry-after", "3600")), @r"
    1 requests
    1 connector, retryable: GET http://127.0.0.1:[PORT]/valet/observations/group/FX_RATES_DAILY/json: status 429: slow down
    hint: the source asks to wait 3600 s before the next try
    ");
    assert_snapshot!(failure(|request| rates(request).cut(50)), @r"
    5 requests
    1 connector, retryable: GET http://127.0.0.1:[PORT]/valet/observations/group/FX_RATES_DAILY/json (tried 5 times): the answer of 127.0.0.1:[PORT] broke off: incomplete HTTP response
    hint: a later run may succeed without any change
    ");
    assert_snapshot!(failure(|_| Answer::new(200, "<html>maintenance</html>")), @r"
    1 requests
    1 connector: GET http://127.0.0.1:[PORT]/valet/observations/group/FX_RATES_DAILY/json: the answer is not what was expected: expected a value at byte 0; it starts <html>maintenance</html>
    ");
    assert_snapshot!(failure(|_| Answer::new(200, "{\"observations\": [{\"d\": \"2024-03-13\"")), @r#"
    1 requests
    1 connector: GET http://127.0.0.1:[PORT]/valet/observations/group/FX_RATES_DAILY/json: record 1 of `/observations`: EOF while parsing an object at line 1 column 18; it starts {"d": "2024-03-13"
    "#);
    assert_snapshot!(failure(|_| Answer::new(401, "who are you?")), @r"
    1 requests
    1 connector: GET http://127.0.0.1:[PORT]/valet/observations/group/FX_RATES_DAILY/json: status 401: who are you?
    hint: check the credentials in the configuration
    ");
    assert_snapshot!(failure(|_| Answer::new(404, "{\"message\": \"no such group\"}")), @r"
    1 requests
    1 connector: GET http://127.0.0.1:[PORT]/valet/observations/group/FX_RATES_DAILY/json: status 404: no such group
    ");
}

#[test]
fn a_full_refresh_of_rates_fails_whole() {
    let server = Server::start(rates);
    let lab = bank(&server);
    backfill(&lab, &server, "2024-03-13", "2024-03-14").expect_success();
    let broken = Server::start(|_| Answer::new(200, "{}"));
    lab.configure(&json!({ "BaseUrl": broken.origin() }));
    let flags = ["--allow-net", &broken.origin(), "--type", "FULL_REFRESH"];
    assert_eq!(lab.run_component("connector.wasm", &flags).code, Some(1));
    assert_eq!(lab.query("SELECT count(*) FROM bank_of_canada_exchange_rates"), "3");
}
