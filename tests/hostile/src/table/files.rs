//! Files: out of a mount, into what is read-only, beyond the quota.

use crate::Attack;

crate::attacks! { $ each_file_attack:
    path_escape => Attack {
        tries: "leave a mount by `..`, absolute paths, trailing slashes, strange bytes",
        stopped_by: "preopened folders of wasmtime-wasi and cap-std: `host/src/sandbox/guest.rs`",
        cases: &["dots", "absolute", "trailing_slashes", "strange", "writes", "removals"],
        flags: &["--mount", "in:/in:rw", "--mount", "ro:/ro"],
        outcome: &["?"],
        ..Attack::RUN
    };

    links_inside => Attack {
        tries: "leave a mount by symbolic and hard links, found there or made",
        stopped_by: "preopened folders of wasmtime-wasi and cap-std: `host/src/sandbox/guest.rs`",
        flags: &["--mount", "in:/in:rw", "--mount", "ro:/ro"],
        outcome: &["?"],
        ..Attack::RUN
    };

    race_of_links => Attack {
        tries: "leave a mount through a folder that somebody else swaps with a link between check and use",
        stopped_by: "each part of a path is opened below its parent, without following links: cap-std, `host/src/sandbox/guest.rs`",
        flags: &["--mount", "in:/in:rw", "--mount", "ro:/ro"],
        swaps_links: true,
        outcome: &["?"],
        ..Attack::RUN
    };

    write_read_only => Attack {
        tries: "change a read-only mount in every way",
        stopped_by: "the preopen's permissions: `host/src/sandbox/guest.rs`",
        flags: &["--mount", "in:/in:rw", "--mount", "ro:/ro"],
        outcome: &["?"],
        ..Attack::RUN
    };

    scratch_flood => Attack {
        tries: "fill the disk through the scratch folder: by bytes, by many files, by holes, by files in no folder, by deep folders, by long names",
        stopped_by: "limits `scratch` and `scratch_files`, 64 folders deep: `host/src/sandbox/quota.rs`",
        cases: &["bytes", "files", "sparse", "far_write", "unlinked", "folders", "long_names"],
        flags: &["--scratch", "16MiB", "--scratch-files", "500"],
        outcome: &["?"],
        ..Attack::RUN
    };

    other_scratch => Attack {
        tries: "look into the scratch folders of other runs",
        stopped_by: "preopened folders of wasmtime-wasi and cap-std: `host/src/sandbox/guest.rs`; a folder that this user alone may enter: `host/src/sandbox/scratch.rs`",
        outcome: &["?"],
        ..Attack::RUN
    };

    leave_files => Attack {
        tries: "leave files behind",
        stopped_by: "a locked folder of the run's own: `host/src/sandbox/scratch.rs`",
        tests: &[
            "host/src/sandbox/scratch.rs::abandoned_folders_are_removed_and_others_stay",
            "tests/e2e/tests/it/files.rs::the_scratch_folder_is_fresh_and_is_removed",
        ],
        ..Attack::RUN
    };
}
