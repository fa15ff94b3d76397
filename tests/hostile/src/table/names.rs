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
        outcome: &[
            "7 storage: table `CASE` is open already in this run, with another name in SQLite's eyes, other fields or another mode",
        ],
        ..Attack::RUN
    };

    path_names => Attack {
        tries: "leave the folder of the storage through names of streams",
        stopped_by: "names become safe folder names: `storage/src/local_files/name.rs`",
        tests: &["storage/src/local_files/name.rs::names_become_safe_folders"],
        storage: Storage::LocalFiles,
        outcome: &[
            "3 config: storage.config.Format: `Format` has to be one of `parquet`, `csv`, `jsonl`",
            "at: Format",
        ],
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
        outcome: &[
            "7 storage: the name of table `_ow_state` starts with `_ow_`, which ow-host keeps for its own tables; rename the stream, or change `TablePrefix`",
        ],
        ..Attack::RUN
    };

    state_key_names => Attack {
        tries: "inject through state keys and values that are no JSON",
        stopped_by: "keys are parameters of statements, values are parsed: `host/src/bridge/state.rs`",
        outcome: &[
            "0 succeeded",
            "saw key \"x\\\"; DROP TABLE seen; --\": done",
            "saw key \"x'; DROP TABLE seen; --\": done",
            "saw key \"x`); DROP TABLE seen; --\": done",
            "saw key \"x]; DROP TABLE seen; --\": done",
            "saw key \"\\\"\\\"\": done",
            "saw key \"%s ? $1 :name @name\": done",
            "saw key \"select\": done",
            "saw key \"x\\\\\": done",
            "saw key \"../escaped\": done",
            "saw key \"\": ErrorKind::InvalidData: the name of a state key is empty: ''",
            "saw key \"a\\0b\": ErrorKind::InvalidData: the name of a state key holds a control character: 'ab'",
            "saw key \"seen/../../x\": done",
            "saw key \"\\u{1b}[31m\": ErrorKind::InvalidData: the name of a state key holds a control character: ''",
            "saw value \"\": ErrorKind::InvalidData: the value of the state key 'value' is no JSON: EOF while parsing a value at line 1 column 0",
            "saw value \"{\": ErrorKind::InvalidData: the value of the state key 'value' is no JSON: EOF while parsing an object at line 1 column 1",
            "saw value \"nul\": ErrorKind::InvalidData: the value of the state key 'value' is no JSON: EOF while parsing a value at line 1 column 3",
            "saw value \"[\": ErrorKind::InvalidData: the value of the state key 'value' is no JSON: EOF while parsing a list at line 1 column 1",
            "saw value \"1 2\": ErrorKind::InvalidData: the value of the state key 'value' is no JSON: trailing characters at line 1 column 3",
            "saw value \"\\u{feff}1\": ErrorKind::InvalidData: the value of the state key 'value' is no JSON: expected value at line 1 column 1",
            "saw value \"\\\"\\\\ud800\\\"\": done",
            "saw value \"1e999\": done",
            "saw deep: ErrorKind::InvalidData: the value of the state key 'deep' is no JSON: EOF while parsing a list at line 1 column 1048576",
            "saw kept: 1",
        ],
        ..Attack::RUN
    };
}
