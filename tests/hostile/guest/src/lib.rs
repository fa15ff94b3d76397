//! The connector that attacks its host: one module a family, one function an
//! attack, chosen by the parameter `Attack`; some attacks have several cases.
//!
//! What an attack finds out goes into the stream `seen`. An attack that is not
//! stopped returns, so that the test sees what it got.

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

mod calls;
mod environment;
mod escapes;
mod memory;
mod names;
mod network;
mod output;
mod secrets;
mod spec;
mod streams;
mod time;

// What the connector of the other tests can do as well.
#[allow(dead_code, reason = "each of the two guests uses a part of it")]
#[path = "../../../guests/src/attacks.rs"]
mod behaviours;
#[allow(dead_code, reason = "each of the two guests uses a part of it")]
#[path = "../../../guests/src/files.rs"]
mod files;
#[allow(dead_code, reason = "each of the two guests uses a part of it")]
#[path = "../../../guests/src/net.rs"]
mod net;
#[allow(dead_code, reason = "each of the two guests uses a part of it")]
#[path = "../../../guests/src/parameters.rs"]
mod parameters;
#[allow(dead_code, reason = "each of the two guests uses a part of it")]
#[path = "../../../guests/src/rows.rs"]
mod rows;
#[allow(dead_code, reason = "each of the two guests uses a part of it")]
#[path = "../../../guests/src/words.rs"]
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
        path: "../../../wit",
        world: "ow:connector/source",
        generate_all,
    });
}

use bindings::exports::ow::connector::connector::{ConnectorSpec, Guest};
use bindings::ow::connector::types::{Error, ErrorKind, Stream};
use parameters::Parameters;
use words::{mode, plain, sleep};

struct Hostile;

type Outcome = Result<(), Error>;

impl Guest for Hostile {
    fn spec() -> ConnectorSpec {
        spec::spec()
    }

    fn check() -> Outcome {
        Ok(())
    }

    fn discover() -> Result<Vec<Stream>, Error> {
        Ok(streams::declared(&Parameters::of_run().text("Attack")))
    }

    fn run() -> Outcome {
        // Proof for the test that this run's scratch folder is removed.
        let _ = std::fs::write("/work/marker", "");
        let parameters = Parameters::of_run();
        attack(&parameters.text("Attack"), &parameters.text("Case"), &parameters)
    }
}

/// The exports of the component.
#[allow(unsafe_code, reason = "generated code")]
mod exports {
    use super::{Hostile, bindings};

    bindings::export!(Hostile with_types_in bindings);
}

fn attack(name: &str, case: &str, p: &Parameters) -> Outcome {
    match name {
        // What is wrong is the component, or what it declares.
        "nothing" | "million_declared" | "many_declared" => Ok(()),

        "memory_bomb" => memory::bomb(),
        "memory_until_refused" => memory::until_refused(),

        "endless_loop" => time::endless_loop(),
        "endless_recursion" => time::endless_recursion(),
        "sleep_for_ever" => time::sleep_for_ever(),
        "ignore_the_interrupt" => {
            println!("begun");
            time::endless_loop()
        }

        "log_flood" => output::log_flood(),
        "log_fields_flood" => output::log_fields_flood(),
        "progress_flood" => output::progress_flood(),
        "stdout_flood" => output::stdout_flood(),
        "stderr_junk" => output::stderr_junk(),
        "imitate_host" => output::imitate_host(),
        "error_message" => output::error_message(case),
        "exit_code" => output::exit_code(),

        "million_handles" => calls::million_handles(case),
        "host_buffers" => calls::host_buffers(case),
        "header_flood" => calls::header_flood(case),
        "huge_argument" => calls::huge_argument(case),

        "giant_batch" => streams::giant_batch(case),
        "absent_keys" => streams::absent_keys(),
        "million_tiny_batches" => streams::million_tiny_batches(),
        "million_streams" => streams::million_streams(),
        "wide_stream" => streams::wide_stream(),
        "million_state_keys" => streams::million_state_keys(),
        "state_of_1_gb" => streams::state_of_1_gb(),
        "broken_batch" => streams::broken_batch(case),

        "path_escape" => escapes::path_escape(case),
        "links_inside" => escapes::links_inside(),
        "race_of_links" => escapes::race_of_links(),
        "write_read_only" => escapes::write_read_only(),
        "scratch_flood" => escapes::scratch_flood(case),
        "leave_files" => escapes::leave_files(),
        "other_scratch" => escapes::other_scratch(),

        "snoop" => environment::snoop(),
        "clocks" => environment::clocks(),
        "random" => environment::random(case),
        "sockets" => net::sockets(),
        "lookup" => environment::lookup(),

        "forbidden_origins" => network::forbidden_origins(case, p),
        "names_that_lead_inside" => network::names_that_lead_inside(p),
        "dns_rebinding" => network::dns_rebinding(p),
        "redirects" => network::redirects(p),
        "smuggle" => network::smuggle(case, p),
        "forbidden_headers" => network::forbidden_headers(p),
        "methods" => network::methods(p),
        "fetch" => network::fetch(case, p),
        "hold_requests" => network::hold_requests(p),

        "leak_secret" => secrets::leak(case, p),
        "secret_to_another_origin" => secrets::to_another_origin(p),
        "echoed_secret" => secrets::echoed(p),

        "strange_names" => names::strange_names(case),
        "path_names" => names::path_names(),
        "own_tables" => names::own_tables(case),
        "state_key_names" => names::state_key_names(),
        other => Err(plain(ErrorKind::Internal, &format!("there is no attack {other}"))),
    }
}

/// What was told to an attack that is not stopped by it.
fn told(result: Result<(), Error>) -> String {
    result.map_or_else(|error| format!("{:?}: {}", error.kind, error.message), |()| "done".to_owned())
}
