//! Builds the command and the guests, once a process, into the target folder
//! that the tests themselves were built into.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The target of components.
const GUEST_TARGET: &str = "wasm32-wasip2";

/// The connectors of the folder `connectors`.
const CONNECTORS: [&str; 10] = [
    "payments-directory",
    "files",
    "open-holidays",
    "bank-of-canada",
    "open-exchange-rates",
    "github",
    "google-ads",
    "facebook-marketing",
    "tiktok-ads",
    "rest-json",
];

/// The command `ow-host`, built with the profile of the tests.
#[must_use]
pub fn host() -> &'static Path {
    static HOST: LazyLock<PathBuf> = LazyLock::new(|| {
        let profile = profile();
        // With this package, so that dependencies get the same features and are not built twice.
        cargo(&["build", "--quiet", "-p", "e2e", "-p", "ow-host", "--bin", "ow-host", "--profile", &profile]);
        let folder = if profile == "dev" { "debug" } else { &profile };
        kept(&target_folder().join(folder).join("ow-host"))
    });
    &HOST
}

/// The connector that does whatever its configuration says.
#[must_use]
pub fn test_guest() -> &'static Path {
    static GUEST: LazyLock<PathBuf> = LazyLock::new(|| guests(&["test-guest"]).remove(0));
    &GUEST
}

/// The connector that attacks its host: `tests/hostile/guest`.
#[must_use]
pub fn hostile_guest() -> &'static Path {
    static GUEST: LazyLock<PathBuf> = LazyLock::new(|| guests(&["hostile-guest"]).remove(0));
    &GUEST
}

/// A connector of the folder `connectors`, by its package's name.
#[must_use]
pub fn connector(package: &str) -> PathBuf {
    static BUILT: LazyLock<Vec<PathBuf>> = LazyLock::new(|| guests(&CONNECTORS));
    let index = CONNECTORS.iter().position(|known| *known == package);
    BUILT[index.unwrap_or_else(|| panic!("there is no connector '{package}'"))].clone()
}

/// Whether these tests are those of isolated runs: the binary `isolated`.
#[must_use]
pub fn is_isolated() -> bool {
    let test = std::env::current_exe().unwrap();
    test.file_stem().is_some_and(|name| name.to_string_lossy().starts_with("isolated"))
}

/// A folder for what the tests keep from process to process.
#[must_use]
pub fn kept_folder() -> PathBuf {
    let folder = target_folder().join("tmp").join("e2e");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Builds guests beside all connectors, so that what they share gets the same features
/// each time and is built once.
pub fn guests(packages: &[&str]) -> Vec<PathBuf> {
    let mut arguments = vec!["build", "--quiet", "--locked", "--target", GUEST_TARGET, "--profile", "guest"];
    let others = CONNECTORS.iter().filter(|connector| !packages.contains(connector));
    arguments.extend(others.chain(packages).flat_map(|package| ["-p", package]));
    cargo(&arguments);
    let folder = target_folder().join(GUEST_TARGET).join("guest");
    packages.iter().map(|package| kept(&folder.join(format!("{}.wasm", package.replace('-', "_"))))).collect()
}

/// A link of one's own to what was built: a build that goes on beside the tests
/// may replace the file.
fn kept(path: &Path) -> PathBuf {
    let folder = kept_folder().join(std::process::id().to_string());
    std::fs::create_dir_all(&folder).unwrap();
    let kept = folder.join(path.file_name().unwrap());
    let _ = std::fs::remove_file(&kept);
    std::fs::hard_link(path, &kept)
        .or_else(|_| std::fs::copy(path, &kept).map(drop))
        .unwrap_or_else(|error| panic!("{} was not built: {error}", path.display()));
    remove_abandoned();
    kept
}

/// Removes the links of processes that have ended.
fn remove_abandoned() {
    for entry in kept_folder().read_dir().into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().parse::<i32>().ok();
        let gone = pid
            .and_then(rustix::process::Pid::from_raw)
            .is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH));
        if gone {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn cargo(arguments: &[&str]) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", target_folder());
    // What cargo tells the tests of this crate would make the build of some others
    // start anew, and of all that use them.
    let told = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
        cargo.env_remove(name);
    }
    let output = cargo.output().expect("cargo cannot be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}:\n{errors}", arguments.join(" "));
}

/// The profile of the tests: the folder that they stand in, above `deps`.
fn profile() -> String {
    let folder = test_folder().file_name().unwrap().to_string_lossy().into_owned();
    if folder == "debug" { "dev".to_owned() } else { folder }
}

fn target_folder() -> PathBuf {
    test_folder().parent().unwrap().to_owned()
}

/// `target/debug` of `target/debug/deps/it-0123`.
fn test_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().to_owned()
}
