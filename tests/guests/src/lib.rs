//! The connector of the tests. It speaks the raw contract, not the SDK, so that
//! it can do wrong what the SDK does right.
//!
//! The parameter `Behaviour` names what it does, the other parameters say how;
//! `script` does several things one after another. What it finds out goes into
//! the stream `seen`.

#![cfg(target_family = "wasm")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a guest that fails is what the tests are about"
)]

mod attacks;
mod batches;
mod files;
mod net;
mod parameters;
mod rows;
mod spec;
mod words;

#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated code"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "ow:connector/source",
        generate_all,
    });
}

use std::time::Duration;

use bindings::exports::ow::connector::connector::{ConnectorSpec, Guest};
use bindings::ow::connector::report::{self, Level};
use bindings::ow::connector::state;
use bindings::ow::connector::types::{Error, ErrorKind, Stream};
use parameters::Parameters;
use words::{error, kind, mode, plain, sleep};

struct TestGuest;

type Outcome = Result<(), Error>;

impl Guest for TestGuest {
    fn spec() -> ConnectorSpec {
        spec::spec()
    }

    fn check() -> Outcome {
        match Parameters::of_run().nested("Check") {
            Some(step) => act(&step),
            None => Ok(()),
        }
    }

    fn discover() -> Result<Vec<Stream>, Error> {
        Ok(vec![rows::numbers("numbers", true), rows::seen()])
    }

    fn run() -> Outcome {
        act(&Parameters::of_run())
    }
}

/// The exports of the component.
#[allow(unsafe_code, reason = "generated code")]
mod exports {
    use super::{TestGuest, bindings};

    bindings::export!(TestGuest with_types_in bindings);
}

/// Does what the parameter `Behaviour` says.
fn act(p: &Parameters) -> Outcome {
    match p.text("Behaviour").as_str() {
        "nothing" => Ok(()),
        "script" => p.list("Steps").iter().try_for_each(act),
        "swallow" => swallow(p),
        "until_cancelled" => until_cancelled(),
        "sleep" => sleep(p.number("Ms", 10)),
        "sleep_for_ever" => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        "fail" => Err(error(kind(&p.text("Kind")), &p.text("Message"), p)),
        "panic" => panic!("{}", p.text("Message")),
        "exit" => std::process::exit(i32::try_from(p.number("Code", 0)).unwrap()),
        "get" => {
            rows::saw(&p.text("Key"), &state::get(&p.text("Key")).unwrap_or_else(|| "nothing".to_owned()))
        }
        "set" => state::set(&p.text("Key"), &p.text("Json")),
        "commit" => state::commit(),
        "progress" => {
            report::progress(p.number("Done", 1), p.optional_number("Total"), &p.text("Unit"));
            Ok(())
        }
        "environment" => {
            rows::saw_all(std::env::vars().chain(std::env::args().map(|arg| ("argument".into(), arg))))
        }
        "secret" => secret(p),
        "write" => rows::write(p),
        "count" => rows::count(p),
        "json_lines" => rows::json_lines(p),
        "bad_batch" => batches::bad(&p.text("Case")),
        "bad_stream" => batches::bad_stream(&p.text("Case")),
        "edges" => batches::edges(),
        "read" | "list" | "save" | "append_file" | "truncate" | "delete" | "rename" | "link" | "symlink"
        | "folder" => files::act(p),
        "scratch_bytes" => files::scratch_bytes(p.number("MiB", 1)),
        "scratch_files" => files::scratch_files(p.number("Files", 1)),
        "http" => net::http(p),
        "sockets" => net::sockets(),
        other => attacks::act(other, p),
    }
}

/// Does a step and goes on as if it had succeeded.
fn swallow(p: &Parameters) -> Outcome {
    let step = p.nested("Step").unwrap();
    if let Err(error) = act(&step) {
        report::log(Level::Info, &format!("swallowed: {:?}: {}", error.kind, error.message), &[]);
    }
    Ok(())
}

/// Works until the run is cancelled, as a good connector does.
fn until_cancelled() -> Outcome {
    report::log(Level::Info, "ready", &[]);
    while !report::cancelled() {
        std::thread::sleep(Duration::from_millis(10));
    }
    report::log(Level::Info, "saw the cancellation", &[]);
    Err(plain(ErrorKind::Cancelled, "stopped as asked"))
}

/// Puts the secret wherever a connector can put a text.
fn secret(p: &Parameters) -> Outcome {
    let (secret, plain_secret) = (p.text("Password"), p.text("SigningKey"));
    for secret in [&secret, &plain_secret] {
        report::log(Level::Info, &format!("the secret is {secret}"), &[("secret".into(), secret.clone())]);
        println!("the secret is {secret}");
        eprintln!("the secret is {secret}");
    }
    rows::saw("password", &secret)?;
    rows::saw("signing key", &plain_secret)?;
    let kept = state::set("password", &serde_json::Value::from(secret.clone()).to_string());
    rows::saw("state", &kept.map_or_else(|refused| refused.message, |()| "kept".to_owned()))?;
    match p.flag("Fail") {
        true => Err(plain(ErrorKind::Auth, &format!("the source refused {secret} and {plain_secret}"))),
        false => Ok(()),
    }
}
