//! Handles, and what calls hand over: memory of the host.

use crate::Attack;

crate::attacks! { $ each_call_attack:
    million_handles => Attack {
        tries: "hold a million files, folders, timers, header lists, requests and writers",
        stopped_by: "limit `handles`: `host/src/sandbox/guest.rs`",
        cases: &["open_files", "folders", "pollables", "header_fields", "requests", "writers"],
        flags: &["--memory", "64MiB"],
        outcome: &["?"],
        ..Attack::RUN
    };

    host_buffers => Attack {
        tries: "hang as much of the host's memory on each handle as it can have: headers, file buffers, bodies",
        stopped_by: "limit `handles`, whose default keeps the sum below 256 MiB: `host/src/sandbox/limits.rs`; limit `http_header_bytes`: `host/src/sandbox/http/gate.rs`",
        cases: &["headers", "small_headers", "file_streams", "request_bodies"],
        flags: &["--memory", "256MiB"],
        outcome: &["?"],
        ..Attack::RUN
    };

    header_flood => Attack {
        tries: "send more headers than a server reads",
        stopped_by: "limit `http_header_bytes`: `host/src/sandbox/http/gate.rs`",
        cases: &["many", "one_name", "large"],
        flags: &["--memory", "64MiB"],
        outcome: &["?"],
        ..Attack::RUN
    };

    answer_header_flood => Attack {
        tries: "receive more headers than the host keeps",
        stopped_by: "limit `http_header_bytes`: `host/src/sandbox/http/gate.rs`",
        function: "fetch",
        cases: &["headers"],
        flags: &["--allow-net", "{server}"],
        outcome: &["?"],
        ..Attack::RUN
    };

    huge_argument => Attack {
        tries: "hand a list or a text of 33 MiB and more to each import",
        stopped_by: "limit `call_bytes`: `host/src/sandbox/guest.rs`",
        cases: &[
            "log_message",
            "log_fields",
            "progress_unit",
            "state_key",
            "state_value",
            "state_get",
            "stream_name",
            "stream_fields",
            "primary_key",
            "json_lines",
            "header_value",
            "header_list",
            "request_path",
            "file_path",
            "file_bytes",
        ],
        outcome: &["?"],
        ..Attack::RUN
    };
}
