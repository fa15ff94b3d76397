//! Who signed a component, and that nothing of it is touched before that is known.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use e2e::Lab;
use insta::assert_snapshot;
use serde_json::{Value, json};

/// A folder with a key pair, `key.pem` and `key.pub.pem`, and a guest of its own that
/// may be changed.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.ow_host(&["keygen", "key.pem"]).expect_success();
    let guest = std::fs::read(lab.path("guest.wasm")).unwrap();
    std::fs::remove_file(lab.path("guest.wasm")).unwrap();
    lab.write("guest.wasm", guest);
    lab.configure(&json!({ "Behaviour": "nothing" }));
    lab
}

fn signed() -> Lab {
    let lab = lab();
    lab.ow_host(&["sign", "guest.wasm", "--key", "key.pem"]).expect_success();
    lab
}

fn run(lab: &Lab, flags: &[&str]) -> String {
    lab.run_component("guest.wasm", flags).failure()
}

const REQUIRED: [&str; 2] = ["--require-signature", "key.pub.pem"];

#[test]
fn a_signed_component_runs_and_the_report_says_by_which_key() {
    let lab = signed();
    let report = lab.run_component("guest.wasm", &REQUIRED).success().report();
    assert_eq!(report["audit"]["signed_by"], "key.pub.pem");
    for command in ["validate", "discover", "preview"] {
        let arguments = [&[command, "guest.wasm", "--config", "cfg.json"][..], &REQUIRED].concat();
        lab.ow_host(&arguments).expect_success();
    }
    // Nobody asked, so nobody knows.
    let report = lab.run_component("guest.wasm", &[]).success().report();
    assert_eq!(report["audit"]["signed_by"], Value::Null);
}

#[test]
fn what_is_not_signed_is_not_even_parsed() {
    let lab = lab();
    assert_snapshot!(run(&lab, &REQUIRED), @r"
    4 component: guest.wasm: it is not signed: there is no guest.wasm.sig (a signature is required by --require-signature)
    hint: fetch the signature that belongs to it and put it there, or sign it with `ow-host sign`
    ");
    // A parser would say that this is no component.
    lab.write("guest.wasm", "no component at all");
    lab.write("guest.wasm.sig", [0; 64]);
    let told = run(&lab, &REQUIRED);
    assert!(told.contains("the signature guest.wasm.sig is not one of this file by key.pub.pem"), "{told}");
    for command in ["validate", "check", "discover", "preview", "inspect"] {
        let config: &[&str] = if command == "inspect" { &[] } else { &["--config", "cfg.json"] };
        let outcome = lab.ow_host(&[&[command, "guest.wasm"], config, &REQUIRED].concat());
        assert_eq!(outcome.code, Some(4), "{command}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("is not one of this file"), "{command}: {}", outcome.stderr);
    }
    assert!(!lab.path("out.db").exists());
}

#[test]
fn a_byte_more_or_another_key_is_refused() {
    let lab = signed();
    let mut bytes = std::fs::read(lab.path("guest.wasm")).unwrap();
    // A custom section: the component does the same.
    bytes.extend_from_slice(b"\0\x02\x01x");
    lab.write("guest.wasm", &bytes);
    lab.run_component("guest.wasm", &[]).expect_success();
    let told = run(&lab, &REQUIRED);
    assert!(told.starts_with("4 component: guest.wasm: the signature guest.wasm.sig is not one of this file by key.pub.pem: the file was changed after it was signed, or another key signed it"), "{told}");

    let lab = signed();
    lab.ow_host(&["keygen", "other.pem", "--public", "other.pub"]).expect_success();
    assert!(run(&lab, &["--require-signature", "other.pub"]).contains("by other.pub"));
    // Any of the keys of one who asks is enough.
    lab.run_component(
        "guest.wasm",
        &["--require-signature", "other.pub", "--require-signature", "key.pub.pem"],
    )
    .expect_success();
    lab.ow_host(&["verify", "guest.wasm", "--key", "other.pub", "--key", "key.pub.pem"]).expect_success();
}

#[test]
fn each_who_asks_must_be_satisfied() {
    let lab = signed();
    lab.ow_host(&["keygen", "conf/other.pem"]).failure_text("there is no such file");
    std::fs::create_dir(lab.path("conf")).unwrap();
    lab.ow_host(&["keygen", "conf/other.pem"]).expect_success();
    let config = |key: &str| {
        let mut config: Value = serde_json::from_str(&lab.read("cfg.json")).unwrap();
        config["connector"] = json!({ "path": "../guest.wasm", "signature": { "keys": [key] } });
        lab.write("conf/cfg.json", config.to_string());
    };
    let validate =
        |flags: &[&str]| lab.ow_host(&[&["validate", "--config", "conf/cfg.json"], flags].concat());
    config("../key.pub.pem");
    validate(&REQUIRED).expect_success();
    validate(&[]).expect_success();
    config("other.pub.pem");
    validate(&REQUIRED).failure_text("by `connector.signature` of the configuration");
    config("../key.pub.pem");
    let policy = lab.write("policy.json", json!({ "require_signature": ["conf/other.pub.pem"] }).to_string());
    std::fs::set_permissions(policy, Permissions::from_mode(0o644)).unwrap();
    validate(&["--policy", "policy.json"])
        .failure_text("(a signature is required by the policy policy.json)");
}

#[test]
fn keys_that_are_none_are_told_apart() {
    let lab = signed();
    lab.write("noise.pem", "no key");
    for (key, why) in [
        ("key.pem", "key.pem: this is a private key, but a public one is meant"),
        ("noise.pem", "noise.pem: this is no public key in PEM"),
        ("nosuch.pem", "nosuch.pem: the public key cannot be read: there is no such file"),
    ] {
        let told = run(&lab, &["--require-signature", key]);
        assert!(told.starts_with(&format!("4 component: {why}")), "{told}");
    }
    lab.ow_host(&["sign", "guest.wasm", "--key", "key.pub.pem"])
        .failure_text("key.pub.pem: this is a public key, but signing takes the private one");
    lab.write("core.wasm", e2e::components::core_module());
    lab.ow_host(&["sign", "core.wasm", "--key", "key.pem"])
        .failure_text("core.wasm: this is a WebAssembly core module, not a component");
    assert!(!lab.path("core.wasm.sig").exists());
    lab.write("guest.wasm.sig", [0; 63]);
    assert!(run(&lab, &REQUIRED).contains("this is no Ed25519 signature: it has 63 bytes"));
}

#[test]
fn keys_are_private_and_never_overwritten() {
    let lab = lab();
    let mode = std::fs::metadata(lab.path("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = lab.read("key.pem");
    let again = lab.ow_host(&["keygen", "key.pem"]);
    assert_eq!(again.code, Some(3));
    again.failure_text("key.pem: the key was not written: there is a file of this name already");
    assert_eq!(lab.read("key.pem"), before);
    std::fs::set_permissions(lab.path("key.pem"), Permissions::from_mode(0o644)).unwrap();
    let signed = lab.ow_host(&["sign", "guest.wasm", "--key", "key.pem"]).success();
    assert!(
        signed.stderr.contains("warning: key.pem: others can read this private key"),
        "{}",
        signed.stderr
    );
}

#[test]
fn inspect_shows_whether_a_signature_is_there() {
    let lab = lab();
    let inspect =
        |flags: &[&str]| lab.ow_host(&[&["inspect", "guest.wasm"], flags].concat()).success().stdout;
    assert!(!inspect(&[]).contains("signed:"));
    lab.ow_host(&["sign", "guest.wasm", "--key", "key.pem"]).expect_success();
    let told = inspect(&[]);
    assert!(
        told.contains("signed:  guest.wasm.sig, not verified (--require-signature PUBLIC.pem does)\n"),
        "{told}"
    );
    assert!(inspect(&REQUIRED).contains("signed:  verified with key.pub.pem\n"));
}

#[test]
fn openssl_and_ow_host_make_and_check_the_same_signatures() {
    let lab = lab();
    let openssl = |arguments: &[&str]| openssl(&lab.path(""), arguments);
    if openssl(&["version"]).is_none() {
        println!("skipped: there is no openssl");
        return;
    }
    // What ow-host makes, openssl takes.
    lab.ow_host(&["sign", "guest.wasm", "--key", "key.pem"]).expect_success();
    let check = [
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "key.pub.pem",
        "-rawin",
        "-in",
        "guest.wasm",
        "-sigfile",
        "guest.wasm.sig",
    ];
    openssl(&check).expect("openssl refuses the signature");
    // And the other way round.
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "o.pem"]).unwrap();
    openssl(&["pkey", "-in", "o.pem", "-pubout", "-out", "o.pub.pem"]).unwrap();
    openssl(&[
        "pkeyutl",
        "-sign",
        "-inkey",
        "o.pem",
        "-rawin",
        "-in",
        "guest.wasm",
        "-out",
        "guest.wasm.sig",
    ])
    .unwrap();
    lab.ow_host(&["verify", "guest.wasm", "--key", "o.pub.pem"]).expect_success();
    let theirs = std::fs::read(lab.path("guest.wasm.sig")).unwrap();
    lab.ow_host(&["sign", "guest.wasm", "--key", "o.pem"]).expect_success();
    assert_eq!(std::fs::read(lab.path("guest.wasm.sig")).unwrap(), theirs);
}

/// Runs openssl; nothing if it is not there or fails.
fn openssl(folder: &Path, arguments: &[&str]) -> Option<()> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().ok()?;
    output.status.success().then_some(())
}
