//! HTTP: to where it may not go, past the gate, and answers without end.

use crate::Attack;

crate::attacks! { $ each_network_attack:
    loopback_notations => Attack {
        tries: "reach this machine in every notation: decimal, octal, hexadecimal, short, IPv4 in IPv6, `0.0.0.0`, trailing dots, credentials, look-alikes, zones",
        stopped_by: "one form of each host, before grants are looked at: `host/src/sandbox/http/target.rs`, `host/src/sandbox/http/address.rs`",
        function: "forbidden_origins",
        cases: &[
            "plain",
            "decimal",
            "octal",
            "hexadecimal",
            "overflowing",
            "in_ipv6",
            "unspecified",
            "trailing_dots",
            "userinfo",
            "idn",
            "zones",
            "subdomains",
        ],
        flags: &["--allow-net", "https://api.example.org"],
        tests: &["host/src/sandbox/http/tests.rs::every_notation_of_a_refused_address_is_refused"],
        outcome: &["?"],
        ..Attack::RUN
    };

    private_notations => Attack {
        tries: "reach private addresses",
        stopped_by: "`host/src/sandbox/http/target.rs`, `host/src/sandbox/http/address.rs`",
        function: "forbidden_origins",
        cases: &["private"],
        flags: &["--allow-net", "https://api.example.org"],
        tests: &["host/src/sandbox/http/address.rs::every_special_address_has_its_reason"],
        outcome: &["?"],
        ..Attack::RUN
    };

    link_local_notations => Attack {
        tries: "reach link-local and metadata addresses",
        stopped_by: "`host/src/sandbox/http/target.rs`, `host/src/sandbox/http/address.rs`",
        function: "forbidden_origins",
        cases: &["link_local"],
        flags: &["--allow-net", "https://api.example.org"],
        outcome: &["?"],
        ..Attack::RUN
    };

    names_that_lead_inside => Attack {
        tries: "reach this machine by a granted name that leads to it",
        stopped_by: "the address is judged after resolution, and needs a grant of its own: `host/src/sandbox/http/dns.rs`",
        tests: &[
            "host/src/sandbox/http/tests.rs::a_name_that_leads_to_refused_addresses_is_denied_with_the_reason",
            "host/src/sandbox/http/dns.rs::a_granted_address_is_reached_by_name_on_its_own_port_only",
        ],
        ..Attack::RUN
    };

    dns_rebinding => Attack {
        tries: "change what a name resolves to between check and connection",
        stopped_by: "the address that was judged is the one that is connected to: `host/src/sandbox/http/connect.rs`",
        tests: &[
            "host/src/sandbox/http/tests.rs::a_name_that_changes_between_check_and_connection_leads_nowhere_else",
        ],
        ..Attack::RUN
    };

    redirects => Attack {
        tries: "be redirected to forbidden places",
        stopped_by: "redirects are answers; each hop passes the gate: `host/src/sandbox/http/gate.rs`",
        flags: &["--allow-net", "{server}"],
        outcome: &["?"],
        ..Attack::RUN
    };

    smuggle => Attack {
        tries: "smuggle a second request, a header or another host through headers, paths and authorities",
        stopped_by: "the engine's and the gate's parsers, and one length: `host/src/sandbox/http/gate.rs`, `host/src/sandbox/http/target.rs`",
        cases: &["headers", "paths", "authority"],
        flags: &["--allow-net", "{server}"],
        outcome: &["?"],
        ..Attack::RUN
    };

    host_override => Attack {
        tries: "name another `Host`, or speak for the connection or a proxy",
        stopped_by: "the gate writes these headers itself: `host/src/sandbox/http/gate.rs`",
        function: "forbidden_headers",
        flags: &["--allow-net", "{server}"],
        outcome: &["?"],
        ..Attack::RUN
    };

    methods => Attack {
        tries: "open a tunnel by `CONNECT`, have the request shown by `TRACE`, use other schemes and broken methods",
        stopped_by: "`host/src/sandbox/http/gate.rs`",
        flags: &["--allow-net", "{server}"],
        outcome: &["?"],
        ..Attack::RUN
    };

    proxies => Attack {
        tries: "reach forbidden addresses through the operator's proxy",
        stopped_by: "the same rules beside a proxy: `host/src/sandbox/http/connect.rs`",
        tests: &[
            "host/src/sandbox/http/tests.rs::a_proxy_is_no_way_to_addresses_that_are_refused_here",
            "host/src/sandbox/http/tests.rs::this_machine_is_not_reached_through_a_proxy",
        ],
        ..Attack::RUN
    };

    other_connections => Attack {
        tries: "use another run's connections or sessions",
        stopped_by: "a pool for each run: `host/src/sandbox/http/client.rs`",
        tests: &[
            "host/src/sandbox/http/tests.rs::a_connection_is_used_again_within_a_run_and_never_by_another",
            "host/src/sandbox/http/tests.rs::tls_sessions_are_resumed_within_a_run_and_never_by_another",
        ],
        ..Attack::RUN
    };

    compressed_bombs => Attack {
        tries: "receive a small answer that unpacks to a huge one, once and twice",
        stopped_by: "bodies are counted after decompression, limit `http_response_bytes`: `host/src/sandbox/http/limited_body.rs`",
        function: "fetch",
        cases: &["bomb", "bomb-in-bomb"],
        flags: &["--allow-net", "{server}", "--http-response-bytes", "8MiB"],
        outcome: &["?"],
        ..Attack::RUN
    };

    endless_body => Attack {
        tries: "receive a body in chunks without an end",
        stopped_by: "limit `http_response_bytes`: `host/src/sandbox/http/limited_body.rs`",
        function: "fetch",
        cases: &["endless"],
        flags: &["--allow-net", "{server}", "--http-response-bytes", "8MiB"],
        outcome: &["?"],
        ..Attack::RUN
    };

    slow_body => Attack {
        tries: "receive a body a byte at a time, for days",
        stopped_by: "limit `timeout`: `host/src/sandbox/control.rs`",
        function: "fetch",
        cases: &["dripping"],
        flags: &["--allow-net", "{server}", "--timeout", "600ms"],
        outcome: &["?"],
        ..Attack::RUN
    };

    hold_requests => Attack {
        tries: "begin a hundred requests and end none",
        stopped_by: "limit `http_concurrency`: `host/src/sandbox/http/gate.rs`",
        flags: &["--allow-net", "{server}", "--http-first-byte-timeout", "500ms", "--http-concurrency", "4"],
        outcome: &["?"],
        ..Attack::RUN
    };
}
