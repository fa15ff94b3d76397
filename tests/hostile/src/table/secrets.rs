//! Secrets: every way out.

use crate::{Attack, Component};

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
        outcome: &[
            "[log]",
            "0 succeeded",
            "log info connector: [PLACEHOLDER] [PLACEHOLDER]=[PLACEHOLDER]",
            "log info stdout: [PLACEHOLDER]",
            "log info stderr: [PLACEHOLDER]",
            "[row]",
            "0 succeeded",
            "saw row: [PLACEHOLDER]",
            "[state]",
            "1 connector: [connector] the state key '[PLACEHOLDER]' holds the placeholder of the secret 'Password', which means nothing in the next run",
            "[error]",
            "1 connector: [connector] [PLACEHOLDER]",
            "at: [PLACEHOLDER]",
            "hint: check the credentials in the configuration",
            "[panic]",
            "1 connector: the connector panicked in `[FUNCTION]`: thread '<unnamed>' (1) panicked at tests/hostile/guest/src/secrets.rs:[LINE]: [PLACEHOLDER]",
            "log info stderr: thread '<unnamed>' (1) panicked at tests/hostile/guest/src/secrets.rs:[LINE]:",
            "log info stderr: [PLACEHOLDER]",
            "log info stderr: note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
            "[file]",
            "0 succeeded",
            "[stream_name]",
            "0 succeeded",
            "table [PLACEHOLDER]",
            "[other_origin]",
            "0 succeeded",
            "saw other_origin: refused: HttpRequestDenied",
            "saw other_origin: refused: HttpRequestDenied",
            "denied 1 x GET http://127.0.0.1:[FORBIDDEN]: loopback address",
            "denied 1 x GET http://[placeholder].evil.example: origin not granted",
            "[header_name]",
            "0 succeeded",
            "saw header_name: 200 ok",
            "arrived GET / [placeholder]=1",
            "[encoded]",
            "0 succeeded",
            "saw encoded: 200 ok",
            "saw encoded: 200 ok",
            "saw encoded: 200 ok",
            "saw encoded: 200 ok",
            "arrived GET /?key=[REVERSED PLACEHOLDER] x-key=[REVERSED PLACEHOLDER]",
            "arrived GET /?key=[PLACEHOLDER IN HEXADECIMAL] x-key=[PLACEHOLDER IN HEXADECIMAL]",
            "arrived GET /?key=[placeholder] x-key=[placeholder]",
            "arrived GET /?key=[SPLIT PLACEHOLDER] x-key=[SPLIT PLACEHOLDER]",
            "log info connector: [REVERSED PLACEHOLDER]",
            "log info connector: [PLACEHOLDER IN HEXADECIMAL]",
            "log info connector: [placeholder]",
            "log info connector: [SPLIT PLACEHOLDER]",
        ],
        ..Attack::RUN
    };

    secret_to_another_origin => Attack {
        tries: "send a secret to a granted origin other than its own: query, path, header, Basic, body",
        stopped_by: "a secret that is bound goes to its origins alone: `host/src/config/secret/rules.rs`",
        flags: &[
            "--allow-net",
            "{server}",
            "--allow-net",
            "https://own.example",
            "--secret-origin",
            "Password=https://own.example",
        ],
        tests: &["tests/e2e/tests/it/secrets.rs::a_secret_that_is_bound_goes_nowhere_else"],
        outcome: &[
            "0 succeeded",
            "saw query: refused: HttpRequestDenied",
            "saw path: refused: HttpRequestDenied",
            "saw header: refused: HttpRequestDenied",
            "saw basic: refused: HttpRequestDenied",
            "saw body: refused: HttpRequestDenied",
            "denied 4 x GET http://127.0.0.1:[PORT]: the secret 'Password' may go to other origins only",
            "denied 1 x POST http://127.0.0.1:[PORT]: the secret 'Password' may go to other origins only",
        ],
        ..Attack::RUN
    };

    echoed_secret => Attack {
        tries: "have a granted server send the secret back, and log it",
        stopped_by: "the gate puts the placeholder back into answers: `host/src/sandbox/http/answer.rs`",
        flags: &["--allow-net", "{server}"],
        tests: &["host/src/config/secret.rs::values_are_redacted_in_every_spelling"],
        shows_log: true,
        outcome: &[
            "1 connector: [connector] the source said 200 [PLACEHOLDER]",
            "hint: check the credentials in the configuration",
            "arrived GET /echo x-key=[SECRET]",
            "log debug host: GET http://127.0.0.1:[PORT]/\\u{2026}: the answer holds the value of the secret 'Password', and the connector sees a placeholder there; if that value is data as well, --allow-echo Password shows it",
            "log info connector: 200 [PLACEHOLDER]",
            "log info stdout: 200 [PLACEHOLDER]",
            "log info stderr: 200 [PLACEHOLDER]",
        ],
        ..Attack::RUN
    };

    secret_in_clear => Attack {
        tries: "get a secret in clear without a grant",
        stopped_by: "asked for in the spec and granted by name: `host/src/config/resolve.rs`",
        function: "nothing",
        component: Component::Spec(18),
        tests: &["host/src/config/resolve.rs::a_secret_is_shown_only_when_asked_for_and_granted"],
        outcome: &[
            "5 denied: source.config.Password: the connector has to see the value of this secret, which is not granted",
            "at: Password",
            "hint: if you trust it with the value, grant it: --reveal-secret Password",
        ],
        ..Attack::RUN
    };
}
