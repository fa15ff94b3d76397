//! What a guest sees of the file system: its scratch folder and the mounts.

use e2e::Lab;
use insta::assert_snapshot;
use serde_json::{Value, json};

fn step(behaviour: &str, path: &str) -> Value {
    json!({ "Behaviour": behaviour, "Path": path })
}

fn with(behaviour: &str, path: &str, name: &str, value: &str) -> Value {
    json!({ "Behaviour": behaviour, "Path": path, name: value })
}

#[test]
fn a_mount_is_read_only_unless_it_says_otherwise() {
    let lab = Lab::new();
    lab.write("in/greeting.txt", "hello");
    let steps = || {
        json!([
            step("list", "/in"),
            step("read", "/in/greeting.txt"),
            with("save", "/in/greeting.txt", "Text", "changed"),
            with("save", "/in/new.txt", "Text", "new"),
            with("append_file", "/in/greeting.txt", "Text", "!"),
            step("truncate", "/in/greeting.txt"),
            with("rename", "/in/greeting.txt", "To", "/in/other.txt"),
            with("link", "/in/other.txt", "To", "/in/linked.txt"),
            with("symlink", "/in/pointer", "To", "greeting.txt"),
            step("folder", "/in/folder"),
            step("delete", "/in/other.txt"),
        ])
    };
    lab.script(steps(), &["--mount", "in:/in"]).expect_success();
    assert_snapshot!(lab.seen(), @r"
    list /in|greeting.txt
    read /in/greeting.txt|hello
    save /in/greeting.txt|refused: PermissionDenied
    save /in/new.txt|refused: PermissionDenied
    append_file /in/greeting.txt|refused: PermissionDenied
    truncate /in/greeting.txt|refused: PermissionDenied
    rename /in/greeting.txt|refused: PermissionDenied
    link /in/other.txt|refused: PermissionDenied
    symlink /in/pointer|refused: not-permitted
    folder /in/folder|refused: PermissionDenied
    delete /in/other.txt|refused: PermissionDenied
    ");
    assert_eq!(lab.read("in/greeting.txt"), "hello");
    assert_eq!(lab.path("in").read_dir().unwrap().count(), 1);

    let lab = Lab::new();
    lab.write("in/greeting.txt", "hello");
    lab.script(steps(), &["--mount", "in:/in:rw"]).expect_success();
    assert_snapshot!(lab.seen(), @r"
    list /in|greeting.txt
    read /in/greeting.txt|hello
    save /in/greeting.txt|done
    save /in/new.txt|done
    append_file /in/greeting.txt|done
    truncate /in/greeting.txt|done
    rename /in/greeting.txt|done
    link /in/other.txt|done
    symlink /in/pointer|done
    folder /in/folder|done
    delete /in/other.txt|done
    ");
    assert_eq!(lab.read("in/new.txt"), "new");
}

#[test]
fn nothing_leads_out_of_a_mount() {
    let lab = Lab::new();
    lab.write("in/inside.txt", "inside");
    lab.write("secret.txt", "outside");
    std::os::unix::fs::symlink("../secret.txt", lab.path("in/relative")).unwrap();
    std::os::unix::fs::symlink(lab.path("secret.txt"), lab.path("in/absolute")).unwrap();
    std::os::unix::fs::symlink("..", lab.path("in/up")).unwrap();
    let steps = json!([
        step("read", "/in/relative"),
        step("read", "/in/absolute"),
        step("read", "/in/up/secret.txt"),
        step("read", "/in/../secret.txt"),
        step("read", "/in/./inside.txt"),
        step("read", "/in/\u{0}/inside.txt"),
        step("read", "/etc/passwd"),
        step("read", "/proc/self/environ"),
        step("read", "/../../../etc/passwd"),
        step("list", "/"),
        step("list", "."),
        with("symlink", "/work/etc", "To", "/etc"),
        with("symlink", "/work/up", "To", "../../../../../../../../etc"),
        step("read", "/work/up/passwd"),
        step("read", "/work/etc/passwd"),
        with("save", "/in/../escaped.txt", "Text", "x"),
        with("save", "/work/../escaped.txt", "Text", "x"),
        with("rename", "/in/inside.txt", "To", "/work/../escaped.txt"),
    ]);
    lab.script(steps, &["--mount", "in:/in:rw"]).expect_success();
    assert_snapshot!(lab.seen(), @r"
    read /in/relative|refused: PermissionDenied
    read /in/absolute|refused: PermissionDenied
    read /in/up/secret.txt|refused: PermissionDenied
    read /in/../secret.txt|refused: PermissionDenied
    read /in/./inside.txt|inside
    read /in/\0/inside.txt|refused: InvalidInput
    read /etc/passwd|refused: NotFound
    read /proc/self/environ|refused: NotFound
    read /../../../etc/passwd|refused: NotFound
    list /|refused: NotFound
    list .|refused: NotFound
    symlink /work/etc|refused: not-permitted
    symlink /work/up|refused: not-permitted
    read /work/up/passwd|refused: NotFound
    read /work/etc/passwd|refused: NotFound
    save /in/../escaped.txt|refused: PermissionDenied
    save /work/../escaped.txt|refused: PermissionDenied
    rename /in/inside.txt|refused: PermissionDenied
    ");
    assert!(!lab.path("escaped.txt").exists());
    assert!(!lab.path("tmp/escaped.txt").exists());
}

#[test]
fn the_scratch_folder_is_fresh_and_is_removed() {
    let lab = Lab::new();
    let steps = json!([
        step("list", "/work"),
        with("save", "/work/note.txt", "Text", "kept for the run"),
        step("read", "/work/note.txt"),
        step("folder", "/work/deep"),
        with("rename", "/work/note.txt", "To", "/work/deep/note.txt"),
        step("list", "/work/deep"),
    ]);
    for _ in 0..2 {
        lab.script(steps.clone(), &[]).expect_success();
        assert_eq!(lab.path("tmp").read_dir().unwrap().count(), 0, "the scratch folder was left behind");
    }
    assert_snapshot!(lab.seen(), @r"
    list /work|
    save /work/note.txt|done
    read /work/note.txt|kept for the run
    folder /work/deep|done
    rename /work/note.txt|done
    list /work/deep|note.txt
    list /work|
    save /work/note.txt|done
    read /work/note.txt|kept for the run
    folder /work/deep|done
    rename /work/note.txt|done
    list /work/deep|note.txt
    ");

    let failing =
        json!([with("save", "/work/note.txt", "Text", "x"), { "Behaviour": "panic", "Message": "oh" }]);
    assert_eq!(lab.script(failing, &[]).code, Some(1));
    assert_eq!(lab.path("tmp").read_dir().unwrap().count(), 0, "the scratch folder was left behind");
}

#[test]
fn mounts_of_the_configuration_start_at_its_folder() {
    let lab = Lab::new();
    lab.write("conf/data/a.txt", "A");
    let mut config = e2e::lab::configuration(&json!({ "Behaviour": "read", "Path": "/in/a.txt" }));
    config["sandbox"] = json!({ "mounts": ["data:/in"] });
    config["storage"]["config"]["Path"] = json!({ "value": "../out.db" });
    lab.write("conf/cfg.json", config.to_string());
    lab.ow_host(&["run", "guest.wasm", "--config", "conf/cfg.json"]).expect_success();
    assert_snapshot!(lab.seen(), @"read /in/a.txt|A");
}

#[test]
fn mounts_that_cannot_be_made() {
    let lab = Lab::new();
    lab.write("file", "");
    let failure = |mount: &str| lab.run_with("nothing", json!({}), &["--mount", mount]).failure();
    assert_snapshot!(failure("missing:/in"), @r"
    3 config: cannot mount missing: no such folder
    hint: create the folder, or change the mount 'missing:/in:ro' (--mount, or `mounts` in the configuration's sandbox section)
    ");
    assert_snapshot!(failure("file:/in"), @r"
    3 config: cannot mount file: it is not a folder
    hint: create the folder, or change the mount 'file:/in:ro' (--mount, or `mounts` in the configuration's sandbox section)
    ");
    let usage =
        |mount: &str| lab.ow_host(&["run", "guest.wasm", "--config", "cfg.json", "--mount", mount]).text();
    assert_snapshot!(usage("in:/work"), @r"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'in:/work' for '--mount <DIR:/guest[:ro|:rw]>': the guest path '/work' is taken by the scratch folder: choose another

    For more information, try '--help'.
    ");
    assert_snapshot!(usage("in:relative"), @r"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'in:relative' for '--mount <DIR:/guest[:ro|:rw]>': the guest path 'relative' must be absolute, without '.', '..' and empty parts: write DIR:/guest, DIR:/guest:ro or DIR:/guest:rw

    For more information, try '--help'.
    ");
}

#[test]
fn the_environment_has_the_four_variables() {
    let lab = Lab::new();
    lab.configure(&json!({ "Behaviour": "environment" }));
    let arguments = ["run", "guest.wasm", "--config", "cfg.json", "--run-id", "run-7", "--output", "json"];
    let outcome = lab.command(&arguments).env("HOST_SECRET", "do not look").start().wait();
    outcome.expect_success();
    assert_snapshot!(lab.seen(), @r#"
    OW_CONFIG|{"name":"mart","source":{"config":{"Behaviour":{"value":"environment"},"StartDate":{"value":"2024-01-01"}},"name":"Test"},"storage":{"name":"Sqlite"}}
    OW_RUN_CONFIG|{"type":"INCREMENTAL","data":[],"state":{}}
    OW_DATAMART_ID|mart
    OW_RUN_ID|run-7
    "#);
}

#[test]
fn sockets_are_refused() {
    let lab = Lab::new();
    let outcome = lab.run("sockets", json!({})).success();
    assert_snapshot!(outcome.denied(), @r"
    1 x look up localhost: connectors get no sockets and no name lookups, only HTTP; -
    2 x open a TCP socket (IPv4): connectors get no sockets and no name lookups, only HTTP; -
    1 x open a UDP socket (IPv4): connectors get no sockets and no name lookups, only HTTP; -
    ");
    assert_snapshot!(lab.seen(), @r"
    tcp connect|refused: PermissionDenied
    tcp listen|refused: PermissionDenied
    udp bind|refused: PermissionDenied
    lookup|refused: Uncategorized
    ");
}
