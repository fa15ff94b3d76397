//! Batches, streams and state.

use crate::{Attack, Storage};

crate::attacks! { $ each_stream_attack:
    giant_batch => Attack {
        tries: "hand over a giant batch, or one that claims rows that it does not have",
        stopped_by: "limits `batch_rows` and `call_bytes`: `host/src/bridge/mod.rs`; lengths are checked before anything is allocated: `host/src/bridge/columns.rs`, `host/src/bridge/json_lines.rs`",
        cases: &["claimed", "claimed_nulls", "rows", "bytes", "lines", "blank_lines", "open_brackets"],
        storage: Storage::Sqlite,
        outcome: &["?"],
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
        outcome: &["?"],
        ..Attack::RUN
    };

    million_tiny_batches => Attack {
        tries: "write a million batches of one row",
        stopped_by: "a bounded queue to the storage, in which the guest waits: `storage/src/worker.rs`; limit `cpu_time`: `host/src/sandbox/control.rs`",
        flags: &["--cpu-time", "2s"],
        storage: Storage::Discard,
        outcome: &["?"],
        ..Attack::RUN
    };

    million_streams => Attack {
        tries: "open a million streams",
        stopped_by: "limit `tables`: `host/src/bridge/mod.rs`",
        storage: Storage::Discard,
        outcome: &["?"],
        ..Attack::RUN
    };

    wide_stream => Attack {
        tries: "open as many streams with as many columns with names as long as there may be",
        stopped_by: "4 MiB of names and descriptions a run: `host/src/bridge/mod.rs`",
        storage: Storage::Discard,
        outcome: &["?"],
        ..Attack::RUN
    };

    million_declared => Attack {
        tries: "declare a million streams",
        stopped_by: "limit `call_bytes`: `host/src/sandbox/guest.rs`; ten thousand streams: `host/src/run/ask.rs`",
        function: "million_declared",
        storage: Storage::Discard,
        full_refresh: true,
        outcome: &["?"],
        ..Attack::RUN
    };

    many_declared => Attack {
        tries: "declare more streams than a connector may have",
        stopped_by: "ten thousand streams: `host/src/run/ask.rs`",
        storage: Storage::Discard,
        full_refresh: true,
        outcome: &["?"],
        ..Attack::RUN
    };

    million_state_keys => Attack {
        tries: "set a million state keys",
        stopped_by: "limit `state_keys`: `host/src/bridge/state.rs`",
        outcome: &["?"],
        ..Attack::RUN
    };

    state_of_1_gb => Attack {
        tries: "keep a gigabyte of state",
        stopped_by: "limit `state_bytes`: `host/src/bridge/state.rs`",
        outcome: &["?"],
        ..Attack::RUN
    };
}
