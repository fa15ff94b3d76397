//! Time: of a thread, of the stack, of the run.

use crate::{Attack, Component};

crate::attacks! { $ each_time_attack:
    endless_loop => Attack {
        tries: "compute for ever",
        stopped_by: "epochs, and limit `cpu_time`: `host/src/sandbox/control.rs`, `host/src/sandbox/engine.rs`",
        flags: &["--cpu-time", "300ms"],
        outcome: &[
            "6 limit: the connector used more than 300ms of processor time",
            "hint: raise it with --cpu-time, or `cpu_time` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    endless_loop_against_the_clock => Attack {
        tries: "compute until the operator's patience ends",
        stopped_by: "limit `timeout`: `host/src/sandbox/control.rs`",
        function: "endless_loop",
        flags: &["--timeout", "400ms"],
        outcome: &[
            "6 limit: the run took longer than 400ms",
            "hint: raise it with --timeout, or `timeout` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    endless_loop_at_start => Attack {
        tries: "compute for ever before anything is called",
        stopped_by: "epochs, and limit `cpu_time`: `host/src/sandbox/control.rs`",
        function: "nothing",
        component: Component::Beside("(module (func $f (loop (br 0))) (start $f))", 1),
        flags: &["--cpu-time", "300ms"],
        outcome: &[
            "6 limit: the connector used more than 300ms of processor time",
            "hint: raise it with --cpu-time, or `cpu_time` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    endless_recursion => Attack {
        tries: "recurse for ever",
        stopped_by: "a fixed stack: `host/src/sandbox/engine.rs`",
        outcome: &[
            "6 limit: the connector's stack of 512 KiB overflowed in `[FUNCTION]`",
            "hint: this limit is fixed: endless or very deep recursion is a bug in the connector",
        ],
        ..Attack::RUN
    };

    endless_recursion_at_start => Attack {
        tries: "recurse for ever before anything is called",
        stopped_by: "a fixed stack: `host/src/sandbox/engine.rs`",
        function: "nothing",
        component: Component::Beside("(module (func $f (call $f) (call $f)) (start $f))", 1),
        outcome: &[
            "6 limit: the connector's stack of 512 KiB overflowed in `f`",
            "hint: this limit is fixed: endless or very deep recursion is a bug in the connector",
        ],
        ..Attack::RUN
    };

    sleep_for_ever => Attack {
        tries: "sleep for ever",
        stopped_by: "limit `timeout`: `host/src/sandbox/control.rs`",
        flags: &["--timeout", "400ms"],
        outcome: &[
            "6 limit: the run took longer than 400ms",
            "hint: raise it with --timeout, or `timeout` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    hang_in_http_body => Attack {
        tries: "wait for a body that stops half way",
        stopped_by: "limit `http_idle_timeout`: `host/src/sandbox/http/limited_body.rs`",
        function: "fetch",
        cases: &["stalled"],
        flags: &["--allow-net", "{server}", "--http-idle-timeout", "300ms"],
        outcome: &[
            "[stalled]",
            "0 succeeded",
            "saw stalled: refused: 200, then connection read timeout",
            "arrived GET /stalled",
        ],
        ..Attack::RUN
    };

    hang_in_http_body_against_the_clock => Attack {
        tries: "wait for a body that stops half way until the operator's patience ends",
        stopped_by: "limit `timeout`: `host/src/sandbox/control.rs`",
        function: "fetch",
        cases: &["stalled"],
        flags: &["--allow-net", "{server}", "--timeout", "600ms"],
        outcome: &[
            "[stalled]",
            "6 limit: the run took longer than 600ms",
            "hint: raise it with --timeout, or `timeout` in the configuration's sandbox section",
            "arrived GET /stalled",
        ],
        ..Attack::RUN
    };

    hang_before_the_answer => Attack {
        tries: "wait for an answer that does not begin",
        stopped_by: "limit `http_first_byte_timeout`: `host/src/sandbox/http/gate.rs`",
        function: "fetch",
        cases: &["late"],
        flags: &["--allow-net", "{server}", "--http-first-byte-timeout", "300ms"],
        outcome: &[
            "[late]",
            "0 succeeded",
            "saw late: refused: HttpResponseTimeout",
            "arrived GET /late",
        ],
        ..Attack::RUN
    };

    endless_spec => Attack {
        tries: "compute for ever when asked what it is",
        stopped_by: "limits, and at most 30 s: `host/src/run/ask.rs`",
        function: "nothing",
        component: Component::Spec(12),
        flags: &["--timeout", "400ms"],
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: asked what it is, the component failed: the run took longer than 400ms",
            "hint: raise it with --timeout, or `timeout` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    ignore_the_interrupt => Attack {
        tries: "go on after an interrupt",
        stopped_by: "limit `grace`: `host/src/sandbox/control.rs`",
        interrupted: true,
        flags: &["--grace", "100ms"],
        tests: &["tests/e2e/tests/it/cancel.rs::a_connector_that_does_not_ask_is_stopped_after_the_grace"],
        outcome: &[
            "130 interrupted, retryable: interrupted; the connector did not return within 100ms and was stopped",
        ],
        ..Attack::RUN
    };
}
