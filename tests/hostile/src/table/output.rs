//! The log, standard output and error, and messages.

use crate::{Attack, Storage};

crate::attacks! { $ each_output_attack:
    log_flood => Attack {
        tries: "log a million lines",
        stopped_by: "limits `log_rate` and `log_bytes`: `host/src/report/log.rs`",
        outcome: &["?"],
        ..Attack::RUN
    };

    log_fields_flood => Attack {
        tries: "log lines with ten thousand values beside them",
        stopped_by: "32 values a line, limits `log_line` and `log_bytes`: `host/src/report/log.rs`",
        storage: Storage::Discard,
        outcome: &["?"],
        ..Attack::RUN
    };

    progress_flood => Attack {
        tries: "report progress a thousand times, in units of a megabyte",
        stopped_by: "the unit is cut and made plain: `host/src/bridge/mod.rs`; progress is told four times a second: `host/src/run/execute.rs`",
        outcome: &["?"],
        ..Attack::RUN
    };

    stdout_flood => Attack {
        tries: "write 256 MiB to standard output without a line break",
        stopped_by: "limit `log_line`: `host/src/sandbox/stdio.rs`",
        shows_log: true,
        outcome: &["?"],
        ..Attack::RUN
    };

    stderr_junk => Attack {
        tries: "write bytes that are no text, and escapes that clear, recolour, retitle and reprogram a terminal",
        stopped_by: "`host/src/report/text.rs`",
        tests: &["tests/e2e/tests/it/output.rs::nothing_a_guest_says_reaches_the_terminal_as_an_escape"],
        shows_log: true,
        outcome: &["?"],
        ..Attack::RUN
    };

    imitate_host => Attack {
        tries: "write lines that look like the host's",
        stopped_by: "each line says whose it is, and has no line breaks: `host/src/report/log.rs`, `host/src/report/text.rs`",
        shows_log: true,
        outcome: &["?"],
        ..Attack::RUN
    };

    error_message => Attack {
        tries: "fail with escapes, line breaks and the host's own words in the message, for its parameter and by a panic",
        stopped_by: "messages are made plain and cut: `host/src/run/ask.rs`, `host/src/report/log.rs`",
        cases: &["escapes", "lines", "limit", "denied", "interrupted", "parameter", "long", "panic"],
        outcome: &["?"],
        ..Attack::RUN
    };

    exit_code => Attack {
        tries: "end the process with exit code 0 before it is done",
        stopped_by: "leaving is a failure: `host/src/sandbox/control.rs`",
        outcome: &["?"],
        ..Attack::RUN
    };
}
