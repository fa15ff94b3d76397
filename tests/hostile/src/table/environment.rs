//! What a guest can learn of the machine, and sockets.

use crate::Attack;

crate::attacks! { $ each_environment_attack:
    snoop => Attack {
        tries: "read the host's environment, arguments, folders and standard input",
        stopped_by: "everything is built, nothing inherited: `host/src/run/execute.rs`, `host/src/sandbox/guest.rs`",
        outcome: &[
            "0 succeeded",
            "saw variables: OW_CONFIG OW_RUN_CONFIG OW_DATAMART_ID OW_RUN_ID",
            "saw values of the host: false",
            "saw arguments: []",
            "saw current folder: None",
            "saw folders: /work",
            "saw standard input: Ok(0)",
            "saw terminal: false",
        ],
        ..Attack::RUN
    };

    clocks => Attack {
        tries: "abuse clocks: times that overflow, hundreds of timers",
        stopped_by: "limit `handles`: `host/src/sandbox/guest.rs`; the engine's clocks",
        outcome: &[
            "0 succeeded",
            "saw timers: 300",
            "saw wall clock: true",
        ],
        ..Attack::RUN
    };

    random => Attack {
        tries: "ask for as much randomness as there is",
        stopped_by: "limit `random_bytes`: `host/src/sandbox/guest.rs`",
        cases: &["secure", "insecure", "often"],
        outcome: &[
            "[secure]",
            "6 limit: the connector asked for more than 1MiB of random bytes in one call",
            "hint: raise it with --random-bytes, or `random_bytes` in the configuration's sandbox section",
            "[insecure]",
            "6 limit: the connector asked for more than 1MiB of random bytes in one call",
            "hint: raise it with --random-bytes, or `random_bytes` in the configuration's sandbox section",
            "[often]",
            "0 succeeded",
            "saw random: 2048000",
            "saw predictable: false",
        ],
        ..Attack::RUN
    };

    sockets => Attack {
        tries: "open TCP and UDP sockets",
        stopped_by: "refused and counted: `host/src/sandbox/sockets.rs`; refused in the WASI context too: `host/src/sandbox/guest.rs`",
        outcome: &[
            "0 succeeded",
            "saw tcp connect: refused: PermissionDenied",
            "saw tcp listen: refused: PermissionDenied",
            "saw udp bind: refused: PermissionDenied",
            "saw lookup: refused: Uncategorized",
            "denied 1 x look up localhost: connectors get no sockets and no name lookups, only HTTP",
            "denied 2 x open a TCP socket (IPv4): connectors get no sockets and no name lookups, only HTTP",
            "denied 1 x open a UDP socket (IPv4): connectors get no sockets and no name lookups, only HTTP",
        ],
        ..Attack::RUN
    };

    lookup => Attack {
        tries: "send data to a DNS server in names",
        stopped_by: "refused and counted: `host/src/sandbox/sockets.rs`; refused in the WASI context too: `host/src/sandbox/guest.rs`",
        outcome: &[
            "0 succeeded",
            "saw localhost: Err(Uncategorized)",
            "saw example.com: Err(Uncategorized)",
            "saw metadata.google.internal: Err(Uncategorized)",
            "saw secret.exfiltrated.example: Err(Uncategorized)",
            "denied 1 x look up example.com: connectors get no sockets and no name lookups, only HTTP",
            "denied 1 x look up localhost: connectors get no sockets and no name lookups, only HTTP",
            "denied 1 x look up metadata.google.internal: connectors get no sockets and no name lookups, only HTTP",
            "denied 1 x look up secret.exfiltrated.example: connectors get no sockets and no name lookups, only HTTP",
        ],
        ..Attack::RUN
    };
}
