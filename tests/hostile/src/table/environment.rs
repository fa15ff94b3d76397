//! What a guest can learn of the machine, and sockets.

use crate::Attack;

crate::attacks! { $ each_environment_attack:
    snoop => Attack {
        tries: "read the host's environment, arguments, folders and standard input",
        stopped_by: "everything is built, nothing inherited: `host/src/run/execute.rs`, `host/src/sandbox/guest.rs`",
        outcome: &["?"],
        ..Attack::RUN
    };

    clocks => Attack {
        tries: "abuse clocks: times that overflow, hundreds of timers",
        stopped_by: "limit `handles`: `host/src/sandbox/guest.rs`; the engine's clocks",
        outcome: &["?"],
        ..Attack::RUN
    };

    random => Attack {
        tries: "ask for as much randomness as there is",
        stopped_by: "limit `random_bytes`: `host/src/sandbox/guest.rs`",
        cases: &["secure", "insecure", "often"],
        outcome: &["?"],
        ..Attack::RUN
    };

    sockets => Attack {
        tries: "open TCP and UDP sockets",
        stopped_by: "refused in the WASI context: `host/src/sandbox/guest.rs`",
        outcome: &["?"],
        ..Attack::RUN
    };

    lookup => Attack {
        tries: "send data to a DNS server in names",
        stopped_by: "refused in the WASI context: `host/src/sandbox/guest.rs`",
        outcome: &["?"],
        ..Attack::RUN
    };
}
