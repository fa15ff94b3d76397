//! Secrets: every way out.

use crate::Attack;

crate::attacks! { $ each_secret_attack:
    leak_secret => Attack {
        tries: "hand a secret out by log, row, state, error, panic, file, name, another origin, header name, in other encodings",
        stopped_by: "the guest has a placeholder; values enter at the gate, for granted origins: `host/src/config/secret.rs`, `host/src/sandbox/http/substitute.rs`",
        cases: &[
            "log",
            "row",
            "state",
            "error",
            "panic",
            "file",
            "stream_name",
            "other_origin",
            "header_name",
            "encoded",
        ],
        flags: &["--allow-net", "{server}", "--mount", "in:/in:rw"],
        tests: &[
            "host/src/sandbox/http/tests.rs::secrets_go_to_granted_origins_only_and_never_into_a_name",
            "tests/e2e/tests/it/http.rs::a_guest_cannot_show_a_secret",
        ],
        shows_log: true,
        outcome: &["?"],
        ..Attack::RUN
    };

    echoed_secret => Attack {
        tries: "have a granted server send the secret back, and log it",
        stopped_by: "redaction in every spelling: `host/src/config/secret.rs`",
        flags: &["--allow-net", "{server}"],
        tests: &["host/src/config/secret.rs::values_are_redacted_in_every_spelling"],
        shows_log: true,
        outcome: &["?"],
        ..Attack::RUN
    };

    secret_in_clear => Attack {
        tries: "get a secret in clear without a grant",
        stopped_by: "asked for in the spec and granted by name: `host/src/config/resolve.rs`",
        tests: &["host/src/config/resolve.rs::a_secret_is_shown_only_when_asked_for_and_granted"],
        ..Attack::RUN
    };
}
