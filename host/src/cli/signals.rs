//! SIGINT (Ctrl-C) and SIGTERM end a run in good order; a second one at once.

use tokio::signal::unix::{SignalKind, signal};

use crate::cancel::Cancel;
use crate::failure::{Failure, FailureClass};

/// Raises the flag at the first signal, and ends the process at the second.
pub(super) fn cancel_on_signal(cancel: &Cancel) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::new(FailureClass::Internal, error.to_string()));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let cancel = cancel.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if cancel.is_cancelled() {
                // The storage drops what is not committed, as after SIGKILL.
                std::process::exit(FailureClass::Interrupted.exit_code().into());
            }
            cancel.cancel();
        }
    });
    Ok(())
}
