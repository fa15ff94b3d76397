//! Isolated runs need a kernel that can lock a process in. Where it cannot, their
//! tests are skipped.

use std::io::Write as _;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use test_servers::{Missing, is_set, skip};

use crate::{build, lab};

/// What this kernel lacks.
static MISSING: LazyLock<Option<Missing>> = LazyLock::new(|| {
    let output = Command::new(build::host())
        .args(["inspect", "--isolation", "process", "--output", "json", "--cache-dir"])
        .args([lab::cache().as_path(), build::test_guest()])
        .output()
        .unwrap();
    let inspection: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let why = inspection["failure"]["message"].as_str()?;
    why.contains("cannot be locked in").then(|| Missing {
        what: "this kernel cannot lock a worker in (Landlock)".to_owned(),
        required: is_set("OW_TEST_REQUIRE_ISOLATION"),
    })
});

/// Whether runs cannot be isolated here. Then the test names itself as skipped, or
/// fails where it must not be.
pub fn is_missing() -> bool {
    MISSING.as_ref().inspect(|missing| skip(missing)).is_some()
}

/// Ends this process, all of whose tests are about isolated runs, where there can be
/// none.
pub(crate) fn or_exit() {
    let Some(Missing { what, required }) = &*MISSING else { return };
    assert!(!required, "this has to be tested here, but {what}");
    let _ = writeln!(std::io::stderr(), "skipped all tests of isolated runs: {what}");
    std::process::exit(0);
}
