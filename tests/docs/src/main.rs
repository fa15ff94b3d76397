//! The command `ow-host`, as the tests of the documents run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    ow_host::cli::main()
}
