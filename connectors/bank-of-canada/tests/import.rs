//! The connector against answers in the shape of the API's.

use bank_of_canada::BankOfCanada;
use ow_connector::ErrorKind;
use ow_connector::testing::{Request, Response, TestHost};
use serde_json::json;

const TABLE: &str = "bank_of_canada_exchange_rates";

fn api(request: &Request) -> Response {
    assert_eq!(request.path(), "/valet/observations/group/FX_RATES_DAILY/json");
    Response::json(json!({
        "terms": {"url": "https://www.bankofcanada.ca/terms/"},
        "groupDetail": {"label": "Daily exchange rates"},
        "seriesDetail": {"FXUSDCAD": {"label": "USD/CAD"}},
        "observations": [
            {"d": "2024-03-13", "FXUSDCAD": {"v": "1.3474"}, "FXVNDCAD": {"v": "0.000055"}},
            {"d": "2024-03-14", "FXUSDCAD": {"v": "1.3534"}, "FXRUBCAD": {"v": ""}, "FXVNDCAD": {}},
        ],
    }))
}

fn host() -> TestHost {
    TestHost::new().now("2024-03-15T10:00:00Z").http(api)
}

#[test]
fn imports_one_row_a_day_and_pair() {
    let run = host().run::<BankOfCanada>();
    run.assert_ok();
    assert_eq!(
        run.requests()[0].url(),
        "https://www.bankofcanada.ca/valet/observations/group/FX_RATES_DAILY/json\
         ?start_date=2024-02-01&end_date=2024-03-15"
    );
    assert_eq!(
        run.rows(TABLE),
        [
            json!({"date": "2024-03-13", "label": "USDCAD", "rate": "1.3474"}),
            json!({"date": "2024-03-13", "label": "VNDCAD", "rate": "0.000055"}),
            json!({"date": "2024-03-14", "label": "USDCAD", "rate": "1.3534"}),
        ]
    );
    assert_eq!(run.state(TABLE), Some(&json!({"date": "2024-03-15"})));
}

#[test]
fn the_next_run_looks_back_and_merges() {
    let first = host().run::<BankOfCanada>();
    let second = host().now("2024-03-16T10:00:00Z").after(&first).run::<BankOfCanada>();
    second.assert_ok();
    assert_eq!(second.requests()[0].query("start_date").as_deref(), Some("2024-03-13"));
    assert_eq!(second.rows(TABLE).len(), 3);
}

#[test]
fn an_error_page_is_no_data() {
    let answers = [
        (
            Response::json(json!({"message": "start_date is invalid"})).with_status(400),
            "status 400: start_date is invalid",
        ),
        (Response::text("<html>maintenance</html>"), "it starts <html>maintenance</html>"),
        (
            Response::json(json!({"observations": [{"d": "2024-03-13", "FXUSDCAD": {"v": "n/a"}}]})),
            "`n/a` is not a decimal",
        ),
    ];
    for (answer, message) in answers {
        let mut answer = Some(answer);
        let run = host().http(move |_| answer.take().unwrap()).run::<BankOfCanada>();
        let error = run.error().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        assert!(error.message().contains(message), "{error}");
        assert_eq!((run.rows(TABLE).len(), run.state(TABLE)), (0, None));
    }
}

#[test]
fn the_key_is_imported_whatever_is_chosen() {
    let run = host().config(json!({"Fields": "observations/group rate"})).run::<BankOfCanada>();
    assert_eq!(run.stream(TABLE).unwrap().fields.len(), 3);
    let error = host().config(json!({"Fields": "observations/groups rate"})).run::<BankOfCanada>();
    let error = error.error().unwrap().to_string();
    assert_eq!(error, "there is no node `observations/groups`; did you mean `observations/group`?");
}

#[test]
fn the_table_can_have_another_name() {
    let config = json!({"DestinationTableNameOverride": "observations/group our_rates"});
    let run = host().config(config).run::<BankOfCanada>();
    run.assert_ok();
    assert_eq!((run.rows("our_rates").len(), run.stream(TABLE)), (3, None));
    assert_eq!(run.state("our_rates"), Some(&json!({"date": "2024-03-15"})));
}
