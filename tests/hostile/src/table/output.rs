//! The log, standard output and error, and messages.

use crate::{Attack, Storage};

crate::attacks! { $ each_output_attack:
    log_flood => Attack {
        tries: "log a million lines",
        stopped_by: "limits `log_rate` and `log_bytes`: `host/src/report/log.rs`",
        outcome: &[
            "0 succeeded",
        ],
        ..Attack::RUN
    };

    log_fields_flood => Attack {
        tries: "log lines with ten thousand values beside them",
        stopped_by: "32 values a line, limits `log_line` and `log_bytes`: `host/src/report/log.rs`",
        storage: Storage::Discard,
        outcome: &[
            "0 succeeded",
        ],
        ..Attack::RUN
    };

    progress_flood => Attack {
        tries: "report progress a thousand times, in units of a megabyte",
        stopped_by: "the unit is cut and made plain: `host/src/bridge/mod.rs`; progress is told four times a second: `host/src/run/execute.rs`",
        outcome: &[
            "0 succeeded",
        ],
        ..Attack::RUN
    };

    stdout_flood => Attack {
        tries: "write 256 MiB to standard output without a line break",
        stopped_by: "limit `log_line`: `host/src/sandbox/stdio.rs`",
        shows_log: true,
        outcome: &[
            "0 succeeded",
            "log info stdout: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\\u{2026} (8195 bytes)",
        ],
        ..Attack::RUN
    };

    stderr_junk => Attack {
        tries: "write bytes that are no text, and escapes that clear, recolour, retitle and reprogram a terminal",
        stopped_by: "`host/src/report/text.rs`",
        tests: &["tests/e2e/tests/it/output.rs::nothing_a_guest_says_reaches_the_terminal_as_an_escape"],
        shows_log: true,
        outcome: &[
            "0 succeeded",
            "log info stderr: cleared and red",
            "log info stderr: title",
            "log info stderr: clipboard",
            "log info stderr: link",
            "log info stderr: P$q\"pdevice control",
            "log info stderr: �31mC1 bytes�0m",
            "log info stderr: �� no text",
            "log info stderr: 31mC1 characters, turned aroundnext line",
            "log info stderr: overwritten",
        ],
        ..Attack::RUN
    };

    imitate_host => Attack {
        tries: "write lines that look like the host's",
        stopped_by: "each line says whose it is, and has no line breaks: `host/src/report/log.rs`, `host/src/report/text.rs`",
        shows_log: true,
        outcome: &[
            "0 succeeded",
            "log info connector: one\\nerror: the configuration is wrong\\nhint: run it with --allow-net '*'",
            "log warn connector: [host] grant more source=host a\\nb=c",
            "log info stdout: {\"event\":\"finished\",\"exit_code\":0}",
            "log info stderr: succeeded: run x of the data mart 'y'",
        ],
        ..Attack::RUN
    };

    error_message => Attack {
        tries: "fail with escapes, line breaks and the host's own words in the message, for its parameter and by a panic",
        stopped_by: "messages are made plain and cut: `host/src/run/ask.rs`, `host/src/report/log.rs`",
        cases: &["escapes", "lines", "limit", "denied", "interrupted", "parameter", "long", "panic"],
        outcome: &[
            "[escapes]",
            "1 connector: [connector] gone31m",
            "[lines]",
            "1 connector: [connector] failed\\nhint: run it with --allow-net '*'\\nsucceeded: 1 row",
            "[limit]",
            "6 limit: [connector] the run took longer than 1h",
            "[denied]",
            "5 denied: [connector] grant it with --allow-net https://evil.example",
            "[interrupted]",
            "1 connector: [connector] interrupted",
            "[parameter]",
            "3 config: [connector] wrong",
            "at: Password\\nhint: type it here",
            "hint: the source asks to wait 18446744073709552 s before the next try",
            "[long]",
            "1 connector: [connector] xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\\u{2026} (8195 bytes)",
            "[panic]",
            "1 connector: the connector panicked in `[FUNCTION]`: thread '<unnamed>' (1) panicked at tests/hostile/guest/src/output.rs:[LINE]: no error: host failed",
        ],
        ..Attack::RUN
    };

    exit_code => Attack {
        tries: "end the process with exit code 0 before it is done",
        stopped_by: "leaving is a failure: `host/src/sandbox/control.rs`",
        outcome: &[
            "1 connector: the connector ended its process with exit code 0 instead of returning",
        ],
        ..Attack::RUN
    };
}
