//! Time: of a thread, of the stack, of the run.

use crate::{Attack, Component};

crate::attacks! { $ each_time_attack:
    endless_loop => Attack {
        tries: "compute for ever",
        stopped_by: "epochs, and limit `cpu_time`: `host/src/sandbox/control.rs`, `host/src/sandbox/engine.rs`",
        flags: &["--cpu-time", "300ms"],
        outcome: &["?"],
        ..Attack::RUN
    };

    endless_loop_against_the_clock => Attack {
        tries: "compute until the operator's patience ends",
        stopped_by: "limit `timeout`: `host/src/sandbox/control.rs`",
        function: "endless_loop",
        flags: &["--timeout", "400ms"],
        outcome: &["?"],
        ..Attack::RUN
    };

    endless_loop_at_start => Attack {
        tries: "compute for ever before anything is called",
        stopped_by: "epochs, and limit `cpu_time`: `host/src/sandbox/control.rs`",
        function: "nothing",
        component: Component::Beside("(module (func $f (loop (br 0))) (start $f))", 1),
        flags: &["--cpu-time", "300ms"],
        outcome: &["?"],
        ..Attack::RUN
    };

    endless_recursion => Attack {
        tries: "recurse for ever",
        stopped_by: "a fixed stack: `host/src/sandbox/engine.rs`",
        outcome: &["?"],
        ..Attack::RUN
    };

    endless_recursion_at_start => Attack {
        tries: "recurse for ever before anything is called",
        stopped_by: "a fixed stack: `host/src/sandbox/engine.rs`",
        function: "nothing",
        component: Component::Beside("(module (func $f (call $f) (call $f)) (start $f))", 1),
        outcome: &["?"],
        ..Attack::RUN
    };

    sleep_for_ever => Attack {
        tries: "sleep for ever",
        stopped_by: "limit `timeout`: `host/src/sandbox/control.rs`",
        flags: &["--timeout", "400ms"],
        outcome: &["?"],
        ..Attack::RUN
    };

    hang_in_http_body => Attack {
        tries: "wait for a body that stops half way",
        stopped_by: "limit `http_idle_timeout`: `host/src/sandbox/http/limited_body.rs`",
        function: "fetch",
        cases: &["stalled"],
        flags: &["--allow-net", "{server}", "--http-idle-timeout", "300ms"],
        outcome: &["?"],
        ..Attack::RUN
    };

    hang_in_http_body_against_the_clock => Attack {
        tries: "wait for a body that stops half way until the operator's patience ends",
        stopped_by: "limit `timeout`: `host/src/sandbox/control.rs`",
        function: "fetch",
        cases: &["stalled"],
        flags: &["--allow-net", "{server}", "--timeout", "600ms"],
        outcome: &["?"],
        ..Attack::RUN
    };

    hang_before_the_answer => Attack {
        tries: "wait for an answer that does not begin",
        stopped_by: "limit `http_first_byte_timeout`: `host/src/sandbox/http/gate.rs`",
        function: "fetch",
        cases: &["late"],
        flags: &["--allow-net", "{server}", "--http-first-byte-timeout", "300ms"],
        outcome: &["?"],
        ..Attack::RUN
    };

    endless_spec => Attack {
        tries: "compute for ever when asked what it is",
        stopped_by: "limits, and at most 30 s: `host/src/run/ask.rs`",
        function: "nothing",
        component: Component::Spec(12),
        flags: &["--timeout", "400ms"],
        outcome: &["?"],
        ..Attack::RUN
    };

    ignore_the_interrupt => Attack {
        tries: "go on after an interrupt",
        stopped_by: "limit `grace`: `host/src/sandbox/control.rs`",
        tests: &["tests/e2e/tests/it/cancel.rs::a_connector_that_does_not_ask_is_stopped_after_the_grace"],
        ..Attack::RUN
    };
}
