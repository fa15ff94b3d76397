//! Files: out of a mount, into what is read-only, beyond the quota.

use crate::Attack;

crate::attacks! { $ each_file_attack:
    path_escape => Attack {
        tries: "leave a mount by `..`, absolute paths, trailing slashes, strange bytes",
        stopped_by: "preopened folders of wasmtime-wasi and cap-std: `host/src/sandbox/guest.rs`",
        cases: &["dots", "absolute", "trailing_slashes", "strange", "writes", "removals"],
        flags: &["--mount", "in:/in:rw", "--mount", "ro:/ro"],
        outcome: &[
            "[dots]",
            "0 succeeded",
            "saw read /in/../outside/secret.txt: refused: PermissionDenied",
            "saw read /in/sub/../../outside/secret.txt: refused: PermissionDenied",
            "saw read /in/./../outside/secret.txt: refused: PermissionDenied",
            "saw read /in//..//outside//secret.txt: refused: PermissionDenied",
            "saw read /in/sub/../../../../../../../../etc/passwd: refused: PermissionDenied",
            "saw read /work/../outside/secret.txt: refused: PermissionDenied",
            "saw read /in/..: refused: PermissionDenied",
            "saw read /in/..\\outside\\secret.txt: refused: NotFound",
            "saw read /in/%2e%2e/outside/secret.txt: refused: NotFound",
            "[absolute]",
            "0 succeeded",
            "saw read /etc/passwd: refused: NotFound",
            "saw read //etc/passwd: refused: NotFound",
            "saw read /proc/self/environ: refused: NotFound",
            "saw read /proc/1/root/etc/passwd: refused: NotFound",
            "saw read /dev/mem: refused: NotFound",
            "saw read /: refused: NotFound",
            "saw read .: refused: NotFound",
            "[trailing_slashes]",
            "0 succeeded",
            "saw read /in/inside.txt/: refused: NotADirectory",
            "saw read /in/to-secret/: refused: PermissionDenied",
            "saw read /in/to-outside/: refused: PermissionDenied",
            "saw read /in/to-outside/secret.txt/: refused: PermissionDenied",
            "saw read /in/../: refused: PermissionDenied",
            "[strange]",
            "0 succeeded",
            "saw read : refused: NotFound",
            "saw read /in/\\u{0}: refused: InvalidInput",
            "saw read /in/inside.txt\\u{0}/../../outside/secret.txt: refused: InvalidInput",
            "saw read /in/\\u{a}: refused: NotFound",
            "saw read CON: refused: NotFound",
            "saw read C:\\: refused: NotFound",
            "[writes]",
            "0 succeeded",
            "saw save /in/../outside/new.txt: refused: PermissionDenied",
            "saw save /in/to-outside/new.txt: refused: PermissionDenied",
            "saw save /in/to-secret: refused: PermissionDenied",
            "saw save /in/absolute: refused: PermissionDenied",
            "saw save /new.txt: refused: NotFound",
            "[removals]",
            "0 succeeded",
            "saw delete /in/../outside/secret.txt: refused: PermissionDenied",
            "saw delete /in/to-outside/secret.txt: refused: PermissionDenied",
        ],
        ..Attack::RUN
    };

    links_inside => Attack {
        tries: "leave a mount by symbolic and hard links, found there or made",
        stopped_by: "preopened folders of wasmtime-wasi and cap-std: `host/src/sandbox/guest.rs`",
        flags: &["--mount", "in:/in:rw", "--mount", "ro:/ro"],
        outcome: &[
            "0 succeeded",
            "saw read /in/to-secret: refused: PermissionDenied",
            "saw read /in/to-outside/secret.txt: refused: PermissionDenied",
            "saw read /in/absolute: refused: PermissionDenied",
            "saw read /in/loop: refused: FilesystemLoop",
            "saw read /in/proc/environ: refused: PermissionDenied",
            "saw symlink /in/mine: done",
            "saw read /in/mine: refused: PermissionDenied",
            "saw symlink /in/mine-absolute: refused: not-permitted",
            "saw read /in/mine-absolute: refused: NotFound",
            "saw symlink /work/mine: refused: not-permitted",
            "saw symlink /in/mine-again: done",
            "saw read /in/mine-again: refused: PermissionDenied",
            "saw link /in/to-secret: done",
            "saw read /in/hard: refused: PermissionDenied",
            "saw link /in/to-outside/secret.txt: refused: PermissionDenied",
            "saw link /in/../outside/secret.txt: refused: PermissionDenied",
            "saw link /in/inside.txt: refused: PermissionDenied",
            "saw rename /in/inside.txt: refused: PermissionDenied",
            "saw rename /in/inside.txt: refused: PermissionDenied",
            "saw rename /in/../outside/secret.txt: refused: PermissionDenied",
        ],
        ..Attack::RUN
    };

    race_of_links => Attack {
        tries: "leave a mount through a folder that somebody else swaps with a link between check and use",
        stopped_by: "each part of a path is opened below its parent, without following links: cap-std, `host/src/sandbox/guest.rs`",
        flags: &["--mount", "in:/in:rw", "--mount", "ro:/ro"],
        swaps_links: true,
        outcome: &[
            "0 succeeded",
            "saw race: nothing from outside",
        ],
        ..Attack::RUN
    };

    write_read_only => Attack {
        tries: "change a read-only mount in every way",
        stopped_by: "the preopen's permissions: `host/src/sandbox/guest.rs`",
        flags: &["--mount", "in:/in:rw", "--mount", "ro:/ro"],
        outcome: &[
            "0 succeeded",
            "saw save /ro/file.txt: refused: PermissionDenied",
            "saw save /ro/new.txt: refused: PermissionDenied",
            "saw append_file /ro/file.txt: refused: PermissionDenied",
            "saw truncate /ro/file.txt: refused: PermissionDenied",
            "saw delete /ro/file.txt: refused: PermissionDenied",
            "saw rename /ro/file.txt: refused: PermissionDenied",
            "saw rename /ro/file.txt: refused: PermissionDenied",
            "saw link /ro/file.txt: refused: PermissionDenied",
            "saw link /ro/file.txt: refused: PermissionDenied",
            "saw symlink /ro/pointer: refused: not-permitted",
            "saw folder /ro/folder: refused: PermissionDenied",
            "saw save /in/inside.txt: done",
            "saw touch /ro/file.txt: Err(PermissionDenied)",
            "saw remove /ro: Err(ErrorCode { code: 31, name: \"not-permitted\", message: \"Operation not permitted, similar to `EPERM` in POSIX.\" })",
        ],
        ..Attack::RUN
    };

    scratch_flood => Attack {
        tries: "fill the disk through the scratch folder: by bytes, by many files, by holes, by files in no folder, by deep folders, by long names",
        stopped_by: "limits `scratch` and `scratch_files`, 64 folders deep: `host/src/sandbox/quota.rs`",
        cases: &["bytes", "files", "sparse", "far_write", "unlinked", "folders", "long_names"],
        flags: &["--scratch", "16MiB", "--scratch-files", "500"],
        outcome: &[
            "[bytes]",
            "6 limit: the connector wanted more than 16MiB in its scratch folder",
            "hint: raise it with --scratch, or `scratch` in the configuration's sandbox section",
            "[files]",
            "6 limit: the connector wanted more than 500 files in its scratch folder",
            "hint: raise it with --scratch-files, or `scratch_files` in the configuration's sandbox section",
            "[sparse]",
            "6 limit: the connector wanted more than 16MiB in its scratch folder",
            "hint: raise it with --scratch, or `scratch` in the configuration's sandbox section",
            "[far_write]",
            "6 limit: the connector wanted more than 16MiB in its scratch folder",
            "hint: raise it with --scratch, or `scratch` in the configuration's sandbox section",
            "[unlinked]",
            "6 limit: the connector wanted more than 16MiB in its scratch folder",
            "hint: raise it with --scratch, or `scratch` in the configuration's sandbox section",
            "[folders]",
            "0 succeeded",
            "saw folders: 64 deep: InvalidFilename",
            "[long_names]",
            "6 limit: the connector wanted more than 500 files in its scratch folder",
            "hint: raise it with --scratch-files, or `scratch_files` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    other_scratch => Attack {
        tries: "look into the scratch folders of other runs",
        stopped_by: "preopened folders of wasmtime-wasi and cap-std: `host/src/sandbox/guest.rs`; a folder that this user alone may enter: `host/src/sandbox/scratch.rs`",
        outcome: &[
            "0 succeeded",
            "saw list /work/..: refused: PermissionDenied",
            "saw list /work/../: refused: PermissionDenied",
            "saw list /work/../..: refused: PermissionDenied",
            "saw list /: refused: NotFound",
            "saw list /tmp: refused: NotFound",
            "saw list /work/./..: refused: PermissionDenied",
            "saw list /work: marker",
            "saw symlink /work/up: refused: not-permitted",
            "saw rename /work/marker: refused: PermissionDenied",
        ],
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
