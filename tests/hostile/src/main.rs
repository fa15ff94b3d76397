//! The host process of one attack: `hostile FOLDER GUEST NEIGHBOUR CACHE ATTACK`
//! performs it in an empty folder and prints what came of it as JSON.

use std::path::PathBuf;
use std::process::ExitCode;

use hostile::{Stage, table};

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the answer of a program of the tests")]
fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ow_host::isolation::WORKER) {
        return ow_host::isolation::worker::main();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, guest, neighbour, cache, name] = arguments.as_slice() else {
        eprintln!("usage: hostile FOLDER GUEST NEIGHBOUR CACHE ATTACK");
        return ExitCode::from(2);
    };
    let Some(attack) = table::find(name) else {
        eprintln!("there is no attack '{name}'");
        return ExitCode::from(2);
    };
    let guest = match std::fs::read(guest) {
        Ok(guest) => guest,
        Err(error) => {
            eprintln!("{guest}: {error}");
            return ExitCode::from(2);
        }
    };
    let stage = Stage::new(PathBuf::from(folder), guest, PathBuf::from(neighbour), PathBuf::from(cache));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let performed = runtime.map(|runtime| {
        let performed = runtime.block_on(hostile::perform(&stage, name, attack));
        // Nothing that an attack left behind may keep the process from ending.
        runtime.shutdown_timeout(std::time::Duration::from_secs(10));
        performed
    });
    match performed.map(|performed| serde_json::to_string(&performed)) {
        Ok(Ok(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}
