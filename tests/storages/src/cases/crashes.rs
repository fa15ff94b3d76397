//! Writers that die, and services that fail: afterwards each row is there once,
//! and the state tells of exactly these rows.

use std::time::Instant;

use serde_json::{Value, json};

use crate::Place;
use crate::known::{self, Load};
use crate::proxy::{Cut, Proxy};
use crate::writer::{Writer, check, recover};
use test_servers::is_set;
use test_servers::wait_until;

/// Small, for cases that load once for each request.
const SMALL: Load = Load { rows: 6, batches: 2 };
/// Large enough that a kill hits in the middle of writing.
const LARGE: Load = Load { rows: 4_000, batches: 4 };
/// How many moments of a load are tried.
const MOMENTS: u32 = 16;
/// How many steps of a load are tried where each costs two runs and more; all of
/// them with `OW_TEST_EVERY_STEP=1`.
const STOPS: usize = 24;
/// Seconds that a request is held at the most.
const HOLD: u32 = 60;

/// Nothing happens: what the other cases rely on.
pub fn an_undisturbed_load(place: &Place) {
    Writer::start(place, SMALL, 1, None).finish().unwrap();
    check(place, SMALL, "undisturbed");
    // A load that is done is left as it is.
    recover(place, SMALL, "undisturbed, again");
}

/// SIGKILL between any two calls of the storage.
pub fn killed_between_any_two_calls(place: &Place) {
    for line in known::lines() {
        let place = place.another().in_a_hurry();
        let mut writer = Writer::start(&place, SMALL, 1, Some(&line));
        writer.wait_for(&line);
        writer.kill();
        recover(&place, SMALL, &format!("killed after `{line}`"));
    }
}

/// SIGKILL at moments that are spread over a load.
pub fn killed_at_any_moment(place: &Place) {
    let mut writer = Writer::start(place, LARGE, 1, None);
    writer.wait_for("start 0");
    let start = Instant::now();
    writer.finish().unwrap();
    let whole = start.elapsed();
    for moment in 0..MOMENTS {
        let place = place.another().in_a_hurry();
        let mut writer = Writer::start(&place, LARGE, 1, None);
        writer.wait_for("start 0");
        std::thread::sleep(whole * (2 * moment + 1) / (2 * MOMENTS));
        writer.kill();
        recover(&place, LARGE, &format!("killed at moment {moment} of {MOMENTS}"));
    }
}

/// Steps that are spread over a load, the first and the last among them.
fn stops(steps: usize) -> Vec<usize> {
    if is_set("OW_TEST_EVERY_STEP") || steps <= STOPS {
        return (0..steps).collect();
    }
    (0..STOPS).map(|stop| stop * (steps - 1) / (STOPS - 1)).collect()
}

/// The requests of an undisturbed load, by their operation.
fn requests(place: &Place) -> Vec<String> {
    let control = place.control();
    control.forget();
    Writer::start(place, SMALL, 1, None).finish().unwrap();
    let operations = control.operations();
    check(place, SMALL, "undisturbed");
    assert!(operations.len() > 10, "{operations:?}");
    operations
}

/// SIGKILL when the service has done what was asked and not answered yet, for
/// each request of a load.
pub fn killed_at_each_request(place: &Place) {
    let place = place.with_a_server_of_its_own().in_a_hurry();
    let control = place.control();
    let requests = requests(&place);
    for number in stops(requests.len()) {
        let operation = &requests[number];
        let place = place.another().in_a_hurry();
        control.arm(&json!({ "skip": number, "drop": "response", "hold": HOLD }));
        let mut writer = Writer::start(&place, SMALL, 1, None);
        assert!(wait_until(|| control.held() > 0 || writer.has_ended()));
        writer.kill();
        control.disarm();
        control.release();
        assert!(wait_until(|| control.held() == 0));
        recover(&place, SMALL, &format!("killed at request {number}, {operation}"));
    }
}

/// The answer to each request of a load is lost: the load goes on or fails, and
/// succeeds when it is tried again.
pub fn each_answer_is_lost_once(place: &Place) {
    each_request_meets(place, &json!({ "drop": "response" }), "its answer was lost");
}

/// The service answers 503 to each request of a load.
pub fn each_request_is_refused_once(place: &Place) {
    each_request_meets(place, &json!({ "status": 503 }), "it was answered with 503");
}

fn each_request_meets(place: &Place, fault: &Value, what: &str) {
    let place = place.with_a_server_of_its_own().in_a_hurry();
    let control = place.control();
    let requests = requests(&place);
    for number in stops(requests.len()) {
        let operation = &requests[number];
        let place = place.another().in_a_hurry();
        let mut rule = fault.clone();
        rule["skip"] = json!(number);
        control.arm(&rule);
        let first = Writer::start(&place, SMALL, 1, None).finish();
        control.disarm();
        let after = format!("request {number}, {operation}: {what}; the run said {first:?}");
        match first {
            Ok(()) => check(&place, SMALL, &after),
            Err(_) => recover(&place, SMALL, &after),
        }
    }
}

/// SIGKILL when the server has done what one message asked, for each message of
/// a load. (That it never got the next one is the same to the server.)
pub fn killed_at_each_message(place: &Place) {
    each_message_meets(place, &[Cut::After], |proxy, writer| {
        assert!(wait_until(|| proxy.is_reached() || writer.has_ended()));
        writer.kill();
    });
}

/// The connection is cut after each message of a load.
pub fn cut_at_each_message(place: &Place) {
    each_message_meets(place, &[Cut::Before, Cut::After], |proxy, writer| {
        assert!(wait_until(|| proxy.is_reached() || writer.has_ended()));
        proxy.go_on();
        assert!(wait_until(|| writer.has_ended()));
    });
}

fn each_message_meets(place: &Place, cuts: &[Cut], meet: impl Fn(&Proxy, &mut Writer)) {
    let server = place.server_address();
    let count = {
        let place = place.another().in_a_hurry();
        let proxy = Proxy::start(&server, None);
        Writer::start(&place.through(proxy.address()), SMALL, 1, None).finish().unwrap();
        check(&place, SMALL, "undisturbed");
        proxy.messages()
    };
    assert!(count > 10);
    for number in stops(count) {
        for cut in cuts {
            let place = place.another();
            let proxy = Proxy::start(&server, Some((number, *cut)));
            let mut writer = Writer::start(&place.through(proxy.address()), SMALL, 1, None);
            meet(&proxy, &mut writer);
            let message = proxy.cut_message();
            drop(proxy);
            recover(&place, SMALL, &format!("{cut:?} message {number} of {count}, {message:?}"));
        }
    }
}
