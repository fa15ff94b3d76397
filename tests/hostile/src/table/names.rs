//! Names of streams, fields and keys.

use crate::{Attack, Storage};

crate::attacks! { $ each_name_attack:
    strange_names => Attack {
        tries: "inject SQL through names of streams and fields",
        stopped_by: "quoting: `storage/src/sqlite/identifier.rs`, `storage/src/postgres/identifier.rs`",
        cases: &["statements", "control_characters", "almost_the_same"],
        tests: &[
            "tests/e2e/tests/it/storage.rs::strange_names_are_names",
            "storage/src/postgres/identifier.rs::names_and_texts_are_quoted",
        ],
        outcome: &["?"],
        ..Attack::RUN
    };

    path_names => Attack {
        tries: "leave the folder of the storage through names of streams",
        stopped_by: "names become safe folder names: `storage/src/local_files/name.rs`",
        tests: &["storage/src/local_files/name.rs::names_become_safe_folders"],
        storage: Storage::LocalFiles,
        outcome: &["?"],
        ..Attack::RUN
    };

    own_tables => Attack {
        tries: "write the host's and the database's own tables",
        stopped_by: "reserved names: `storage/src/sqlite/run.rs`, `storage/src/sqlite/identifier.rs`",
        cases: &[
            "_ow_state",
            "_OW_STATE",
            "_ow_runs",
            "_ow_quarantine",
            "_ow_new",
            "sqlite_master",
            "SQLITE_sequence",
            "main.seen",
            "pragma_table_info",
        ],
        tests: &["tests/e2e/tests/it/contracts.rs::no_stream_can_write_to_the_quarantine"],
        outcome: &["?"],
        ..Attack::RUN
    };

    state_key_names => Attack {
        tries: "inject through state keys and values that are no JSON",
        stopped_by: "keys are parameters of statements, values are parsed: `host/src/bridge/state.rs`",
        outcome: &["?"],
        ..Attack::RUN
    };
}
