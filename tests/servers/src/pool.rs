//! Fakes that tests use one after another: starting one takes longer than most
//! tests.

use std::ops::Deref;
use std::sync::Mutex;

use crate::{Control, Missing, Server, start_fake};

/// Fakes that nobody uses, each with what it was started by.
static IDLE: Mutex<Vec<(Vec<String>, Server)>> = Mutex::new(Vec::new());

/// A fake that one test has to itself. When the test has passed, the next one
/// gets it, wiped.
#[derive(Debug)]
pub struct Loan {
    command: Vec<String>,
    server: Option<Server>,
}

/// A fake of `tests/cloud` for one test.
pub fn borrow_fake(script: &str, arguments: &[&str]) -> Result<Loan, Missing> {
    let command: Vec<String> = [script].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
    let mut idle = IDLE.lock().unwrap();
    let found = idle.iter().position(|(started_by, _)| *started_by == command);
    let found = found.map(|index| idle.swap_remove(index).1);
    drop(idle);
    let server = match found {
        Some(server) => server,
        None => start_fake(script, arguments)?,
    };
    Ok(Loan { command, server: Some(server) })
}

impl Deref for Loan {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.server.as_ref().expect("a server until the loan ends")
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // What a failed test leaves behind may fail the next one too.
        if let Some(server) = self.server.take()
            && !std::thread::panicking()
        {
            Control::new(&server.address).reset();
            IDLE.lock().unwrap().push((std::mem::take(&mut self.command), server));
        }
    }
}
