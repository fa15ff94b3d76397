//! Batches, streams and state.

use crate::{Attack, Storage};

crate::attacks! { $ each_stream_attack:
    giant_batch => Attack {
        tries: "hand over a giant batch, or one that claims rows that it does not have",
        stopped_by: "limits `batch_rows` and `call_bytes`: `host/src/bridge/mod.rs`; lengths are checked before anything is allocated: `host/src/bridge/columns.rs`, `host/src/bridge/json_lines.rs`",
        cases: &["claimed", "claimed_nulls", "rows", "bytes", "lines", "blank_lines", "open_brackets"],
        storage: Storage::Sqlite,
        outcome: &[
            "[claimed]",
            "1 connector: the connector went on although 1 of its batches were refused: a batch of the stream 'ids' has 4294967295 rows; the limit is 1000000 (raise it with --batch-rows)",
            "hint: the refused rows are missing; report it to the connector's author",
            "[claimed_nulls]",
            "1 connector: the connector went on although 1 of its batches were refused: the column 'id' of the stream 'ids' has 0 bytes of validity, but 999999 rows need 125000",
            "hint: the refused rows are missing; report it to the connector's author",
            "[rows]",
            "1 connector: the connector went on although 1 of its batches were refused: a batch of the stream 'ids' has 1500000 rows; the limit is 1000000 (raise it with --batch-rows)",
            "hint: the refused rows are missing; report it to the connector's author",
            "[bytes]",
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
            "[lines]",
            "1 connector: the connector went on although 1 of its batches were refused: a batch of the stream 'ids' has more than 1000000 rows (raise it with --batch-rows)",
            "hint: the refused rows are missing; report it to the connector's author",
            "[blank_lines]",
            "0 succeeded",
            "saw blank_lines: done",
            "[open_brackets]",
            "1 connector: the connector went on although 1 of its batches were refused: line 1 of a batch of JSON lines for the stream 'ids': the field 'id' is int64, but the value is an array (column 7)",
            "hint: the refused rows are missing; report it to the connector's author",
        ],
        ..Attack::RUN
    };

    broken_batch => Attack {
        tries: "hand over columns whose parts contradict each other",
        stopped_by: "`host/src/bridge/columns.rs`",
        cases: &[
            "offsets_beyond",
            "offsets_descending",
            "no_offsets",
            "no_text",
            "no_columns",
            "more_columns",
            "other_type",
            "short_validity",
        ],
        tests: &["host/src/bridge/columns.rs::hostile_offsets_are_refused"],
        outcome: &[
            "[offsets_beyond]",
            "1 connector: [connector] the column 'text' of the stream 'broken' has offsets that end at 4294967295, but 2 bytes of data",
            "[offsets_descending]",
            "1 connector: [connector] the column 'text' of the stream 'broken' has offsets that do not start at 0",
            "[no_offsets]",
            "1 connector: [connector] the column 'text' of the stream 'broken' has 0 offsets, but 1 rows need 2",
            "[no_text]",
            "1 connector: [connector] the column 'text' of the stream 'broken' holds text that is not UTF-8 in row 0",
            "[no_columns]",
            "1 connector: [connector] a batch of the stream 'broken' has 0 columns, but the stream has 1 fields",
            "[more_columns]",
            "1 connector: [connector] a batch of the stream 'broken' has 2 columns, but the stream has 1 fields",
            "[other_type]",
            "1 connector: [connector] the column 'text' of the stream 'broken' holds dates, but the field is text",
            "[short_validity]",
            "1 connector: [connector] the column 'text' of the stream 'broken' has 0 bytes of validity, but 1 rows need 1",
        ],
        ..Attack::RUN
    };

    absent_keys => Attack {
        tries: "have a few bytes of JSON become gigabytes of columns",
        stopped_by: "what the columns of a batch take is bounded: `host/src/bridge/json_lines.rs`; a bounded queue: `storage/src/worker.rs`",
        storage: Storage::Discard,
        outcome: &[
            "1 connector: the connector went on although 1 of its batches were refused: a batch of JSON lines for the stream 'absent' takes more than 256 MiB in columns; write smaller batches",
            "hint: the refused rows are missing; report it to the connector's author",
        ],
        ..Attack::RUN
    };

    million_tiny_batches => Attack {
        tries: "write a million batches of one row",
        stopped_by: "a bounded queue to the storage, in which the guest waits: `storage/src/worker.rs`; limit `cpu_time`: `host/src/sandbox/control.rs`",
        flags: &["--cpu-time", "2s"],
        storage: Storage::Discard,
        outcome: &[
            "6 limit: the connector used more than 2s of processor time",
            "hint: raise it with --cpu-time, or `cpu_time` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    million_streams => Attack {
        tries: "open a million streams",
        stopped_by: "limit `tables`: `host/src/bridge/mod.rs`",
        storage: Storage::Discard,
        outcome: &[
            "6 limit: [connector] the run has 1000 tables open, as many as it may (raise it with --tables)",
        ],
        ..Attack::RUN
    };

    wide_stream => Attack {
        tries: "open as many streams with as many columns with names as long as there may be",
        stopped_by: "4 MiB of names and descriptions a run: `host/src/bridge/mod.rs`",
        storage: Storage::Discard,
        outcome: &[
            "6 limit: [connector] the names and descriptions of the run's tables are larger than 4194304 bytes",
        ],
        ..Attack::RUN
    };

    million_declared => Attack {
        tries: "declare a million streams",
        stopped_by: "limit `call_bytes`: `host/src/sandbox/guest.rs`; ten thousand streams: `host/src/bridge/schema.rs`",
        function: "million_declared",
        storage: Storage::Discard,
        full_refresh: true,
        outcome: &[
            "6 limit: the connector handed more than 32MiB to the host in one call",
            "hint: raise it with --call-bytes, or `call_bytes` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    many_declared => Attack {
        tries: "declare more streams than a connector may have",
        stopped_by: "ten thousand streams: `host/src/bridge/schema.rs`",
        storage: Storage::Discard,
        full_refresh: true,
        outcome: &[
            "6 limit: [connector] the connector declares 12000 streams; the limit is 10000",
        ],
        ..Attack::RUN
    };

    million_state_keys => Attack {
        tries: "set a million state keys",
        stopped_by: "limit `state_keys`: `host/src/bridge/state.rs`",
        outcome: &[
            "6 limit: [connector] the state would have more than 10000 keys (raise it with --state-keys)",
        ],
        ..Attack::RUN
    };

    state_of_1_gb => Attack {
        tries: "keep a gigabyte of state",
        stopped_by: "limit `state_bytes`: `host/src/bridge/state.rs`",
        outcome: &[
            "6 limit: [connector] the state would be larger than 16MiB (raise it with --state-bytes)",
        ],
        ..Attack::RUN
    };
}
