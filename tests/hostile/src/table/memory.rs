//! Memory: of the guest, in one piece and in many.

use crate::{Attack, Component};

/// Grows until growth is refused, and traps.
const GROWING_TABLE: &str = "(module (table $t 1 funcref) (func $f (loop $more
    (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1))))
    unreachable) (start $f))";
const GROWING_MEMORY: &str = "(module (memory 1) (func $f (loop $more
    (br_if $more (i32.ne (memory.grow (i32.const 64)) (i32.const -1))))
    unreachable) (start $f))";

crate::attacks! { $ each_memory_attack:
    memory_bomb => Attack {
        tries: "take memory for ever",
        stopped_by: "limit `memory`: `host/src/sandbox/limiter.rs`",
        flags: &["--memory", "64MiB"],
        outcome: &[
            "6 limit: the connector was refused memory beyond 64MiB (it asked for [N] bytes in all) and stopped",
            "hint: raise it with --memory, or `memory` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    memory_until_refused => Attack {
        tries: "take memory until it is refused, and go on",
        stopped_by: "limit `memory`: `host/src/sandbox/limiter.rs`",
        flags: &["--memory", "64MiB"],
        outcome: &[
            "0 succeeded",
            "saw memory: refused at last",
        ],
        ..Attack::RUN
    };

    many_memories => Attack {
        tries: "spread memory over many memories",
        stopped_by: "all memories count together: `host/src/sandbox/limiter.rs`",
        function: "nothing",
        component: Component::Beside("(module (memory 128))", 200),
        flags: &["--memory", "64MiB"],
        outcome: &[
            "6 limit: the connector was refused memory beyond 64MiB (it asked for [N] bytes in all) and stopped",
            "hint: raise it with --memory, or `memory` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    table_bomb => Attack {
        tries: "declare large tables, many times",
        stopped_by: "tables count like memories: `host/src/sandbox/limiter.rs`",
        function: "nothing",
        component: Component::Beside("(module (table 1000000 funcref))", 100),
        flags: &["--memory", "64MiB"],
        outcome: &[
            "6 limit: the connector was refused memory beyond 64MiB (it asked for [N] bytes in all) and stopped",
            "hint: raise it with --memory, or `memory` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    growing_table => Attack {
        tries: "grow a table for ever",
        stopped_by: "tables count like memories: `host/src/sandbox/limiter.rs`",
        function: "nothing",
        component: Component::Beside(GROWING_TABLE, 1),
        flags: &["--memory", "64MiB"],
        outcome: &[
            "6 limit: the connector was refused memory beyond 64MiB (it asked for [N] bytes in all) and stopped",
            "hint: raise it with --memory, or `memory` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    growing_memory_at_start => Attack {
        tries: "grow a memory before anything is called",
        stopped_by: "limit `memory`: `host/src/sandbox/limiter.rs`",
        function: "nothing",
        component: Component::Beside(GROWING_MEMORY, 1),
        flags: &["--memory", "64MiB"],
        outcome: &[
            "6 limit: the connector was refused memory beyond 64MiB (it asked for [N] bytes in all) and stopped",
            "hint: raise it with --memory, or `memory` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    instance_bomb => Attack {
        tries: "instantiate thousands of modules",
        stopped_by: "the engine's bound on instances, and limit `memory`: `host/src/sandbox/limiter.rs`",
        function: "nothing",
        component: Component::Beside("(module (memory 0) (table 0 funcref))", 20000),
        flags: &["--memory", "64MiB"],
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: it is not a valid component: failed to parse WebAssembly module: instances count exceeds limit of 1000 (at offset [PLACE])",
            "hint: build it again with current tools, or report it to its author",
        ],
        ..Attack::RUN
    };
}
