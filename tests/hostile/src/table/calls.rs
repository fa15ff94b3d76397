//! Handles, and what calls hand over: memory of the host.

use crate::Attack;

crate::attacks! { $ each_call_attack:
    million_handles => Attack {
        tries: "hold a million files, folders, timers, header lists, requests and writers",
        stopped_by: "limit `handles`: `host/src/sandbox/guest.rs`",
        cases: &["open_files", "folders", "pollables", "header_fields", "requests", "writers"],
        flags: &["--memory", "64MiB"],
        outcome: &[
            "[open_files]",
            "6 limit: the connector held more than 1000 resources",
            "hint: raise it with --handles, or `handles` in the configuration's sandbox section",
            "[folders]",
            "6 limit: the connector held more than 1000 resources",
            "hint: raise it with --handles, or `handles` in the configuration's sandbox section",
            "[pollables]",
            "6 limit: the connector held more than 1000 resources",
            "hint: raise it with --handles, or `handles` in the configuration's sandbox section",
            "[header_fields]",
            "6 limit: the connector held more than 1000 resources",
            "hint: raise it with --handles, or `handles` in the configuration's sandbox section",
            "[requests]",
            "6 limit: the connector held more than 1000 resources",
            "hint: raise it with --handles, or `handles` in the configuration's sandbox section",
            "[writers]",
            "6 limit: the connector held more than 1000 resources",
            "hint: raise it with --handles, or `handles` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    host_buffers => Attack {
        tries: "hang as much of the host's memory on each handle as it can have: headers, file buffers, bodies",
        stopped_by: "limit `handles`, whose default keeps the sum below 256 MiB: `host/src/sandbox/limits.rs`; limit `http_header_bytes`: `host/src/sandbox/http/gate.rs`",
        cases: &["headers", "small_headers", "file_streams", "request_bodies"],
        flags: &["--memory", "256MiB"],
        outcome: &[
            "[headers]",
            "6 limit: the connector held more than 1000 resources",
            "hint: raise it with --handles, or `handles` in the configuration's sandbox section",
            "[small_headers]",
            "6 limit: the connector held more than 1000 resources",
            "hint: raise it with --handles, or `handles` in the configuration's sandbox section",
            "[file_streams]",
            "6 limit: the connector held more than 1000 resources",
            "hint: raise it with --handles, or `handles` in the configuration's sandbox section",
            "[request_bodies]",
            "6 limit: the connector held more than 1000 resources",
            "hint: raise it with --handles, or `handles` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    header_flood => Attack {
        tries: "send more headers than a server reads",
        stopped_by: "limit `http_header_bytes`: `host/src/sandbox/http/gate.rs`",
        cases: &["many", "one_name", "large"],
        flags: &["--memory", "64MiB"],
        outcome: &[
            "[many]",
            "6 limit: the connector made headers of more than 128KiB for one request",
            "hint: raise it with --http-header-bytes, or `http_header_bytes` in the configuration's sandbox section",
            "[one_name]",
            "6 limit: the connector made headers of more than 128KiB for one request",
            "hint: raise it with --http-header-bytes, or `http_header_bytes` in the configuration's sandbox section",
            "[large]",
            "6 limit: the connector made headers of more than 128KiB for one request",
            "hint: raise it with --http-header-bytes, or `http_header_bytes` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    answer_header_flood => Attack {
        tries: "receive more headers than the host keeps",
        stopped_by: "limit `http_header_bytes`: `host/src/sandbox/http/gate.rs`",
        function: "fetch",
        cases: &["headers"],
        flags: &["--allow-net", "{server}"],
        outcome: &[
            "[headers]",
            "0 succeeded",
            "saw headers: refused: HttpResponseHeaderSectionSize(None)",
            "arrived GET /headers",
        ],
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
        outcome: &[
            "[log_message]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[log_fields]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[progress_unit]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[state_key]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[state_value]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[state_get]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[stream_name]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[stream_fields]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[primary_key]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[json_lines]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[header_value]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[header_list]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[request_path]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[file_path]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[file_bytes]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };
}
