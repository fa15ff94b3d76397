//! The component itself: what it is, says and declares.

use crate::{Attack, Component};

crate::attacks! { $ each_component_attack:
    truncated_component => Attack {
        tries: "be a file that ends too early",
        stopped_by: "validation before anything is compiled: `host/src/sandbox/component.rs`",
        function: "nothing",
        component: Component::Cut(60),
        tests: &["tests/e2e/tests/it/bad_input.rs::files_that_are_no_component"],
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the file is truncated: failed to parse WebAssembly module: wasm component contains an invalid module section: section range [RANGE] is out of bounds",
            "hint: fetch or build it again",
        ],
        ..Attack::RUN
    };

    damaged_component => Attack {
        tries: "be a file with wrong bytes in it",
        stopped_by: "validation before anything is compiled: `host/src/sandbox/component.rs`",
        function: "nothing",
        component: Component::Damaged,
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: it is not a valid component: failed to parse WebAssembly module: malformed section id (at offset [PLACE])",
            "hint: build it again with current tools, or report it to its author",
        ],
        ..Attack::RUN
    };

    forged_sections => Attack {
        tries: "bring hundreds of custom sections that say it is another component",
        stopped_by: "the host asks the component itself and reads no custom section: `host/src/run/ask.rs`",
        function: "nothing",
        component: Component::Sections("component-name", 300),
        outcome: &[
            "0 succeeded",
        ],
        ..Attack::RUN
    };

    forged_name_with_escapes => Attack {
        tries: "have a name with line breaks and escapes",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(1),
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the connector's own description is unsound: name: 'open-holidays\\n\\u{1b}[31m' is no name",
            "hint: report it to the connector's author",
        ],
        ..Attack::RUN
    };

    forged_version => Attack {
        tries: "have a version with escapes",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(2),
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the connector's own description is unsound: version: '1.0.0\\u{1b}]0;title\\u{7}' is no version",
            "hint: report it to the connector's author",
        ],
        ..Attack::RUN
    };

    forged_title => Attack {
        tries: "have a title that clears the terminal",
        stopped_by: "the title is made plain where it is shown: `host/src/cli/output.rs`",
        function: "nothing",
        component: Component::Spec(3),
        outcome: &[
            "0 succeeded",
        ],
        ..Attack::RUN
    };

    name_of_another => Attack {
        tries: "have the name of another connector",
        stopped_by: "names prove nothing: the SHA-256 pin does, `connector.sha256`: `host/src/sandbox/component.rs`",
        function: "nothing",
        component: Component::Spec(14),
        tests: &["tests/e2e/tests/it/bad_input.rs::a_pinned_digest_must_be_the_files"],
        outcome: &[
            "0 succeeded",
        ],
        ..Attack::RUN
    };

    huge_title => Attack {
        tries: "have a title of 20 MiB",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(4),
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the connector's own description is unsound: title: has more than 200 characters",
            "hint: report it to the connector's author",
        ],
        ..Attack::RUN
    };

    forged_documentation => Attack {
        tries: "have a script as the address of its documentation",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(5),
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the connector's own description is unsound: documentation-url: 'javascript:alert(1)' is no web address",
            "hint: report it to the connector's author",
        ],
        ..Attack::RUN
    };

    deep_schema => Attack {
        tries: "have a schema half a million levels deep",
        stopped_by: "a bound on depth: `host/src/config/json.rs`",
        function: "nothing",
        component: Component::Spec(6),
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the connector's own description is unsound: config-schema is no JSON: line 1, column 128: is nested too deeply; 128 levels are the most",
            "hint: report it to the connector's author",
        ],
        ..Attack::RUN
    };

    nested_schema => Attack {
        tries: "have subschemas ten thousand levels deep",
        stopped_by: "a bound on depth: `host/src/config/json.rs`",
        function: "nothing",
        component: Component::Spec(7),
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the connector's own description is unsound: config-schema is no JSON: line 1, column 1212: is nested too deeply; 128 levels are the most",
            "hint: report it to the connector's author",
        ],
        ..Attack::RUN
    };

    looping_schema => Attack {
        tries: "have a schema that refers to itself for ever",
        stopped_by: "a budget of steps: `host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(8),
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the connector's own description is unsound: config-schema: its subschemas refer to each other too often",
            "hint: report it to the connector's author",
        ],
        ..Attack::RUN
    };

    slow_patterns => Attack {
        tries: "have regular expressions that take for ever or very much memory",
        stopped_by: "expressions in linear time with a bound on their size: `host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(9),
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the connector's own description is unsound: config-schema: is no valid JSON Schema: /properties/Case/pattern: \"(x{1000}){1000}\" is not a \"regex\"",
            "hint: report it to the connector's author",
        ],
        ..Attack::RUN
    };

    branching_schema => Attack {
        tries: "have a schema whose check doubles with each level",
        stopped_by: "a budget of steps: `host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(10),
        tests: &["host/src/config/spec.rs::schemas_that_would_take_forever_are_refused_at_once"],
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the connector's own description is unsound: config-schema: its subschemas refer to each other too often",
            "hint: report it to the connector's author",
        ],
        ..Attack::RUN
    };

    thousands_of_origins => Attack {
        tries: "ask for a hundred thousand origins",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(11),
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the connector's own description is unsound: network: asks for more than 1000 origins",
            "hint: report it to the connector's author",
        ],
        ..Attack::RUN
    };

    every_origin => Attack {
        tries: "ask for every host there is",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(16),
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the connector's own description is unsound: network[0]: 'https://*' would let the connector send data to anybody: name the hosts, or a domain as *.example.com",
            "hint: report it to the connector's author",
        ],
        ..Attack::RUN
    };

    huge_schema => Attack {
        tries: "have a schema of 20 MiB",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(15),
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: the connector's own description is unsound: config-schema has 20971554 bytes, 1048576 are the most",
            "hint: report it to the connector's author",
        ],
        ..Attack::RUN
    };

    memory_bomb_in_spec => Attack {
        tries: "take memory for ever when asked what it is",
        stopped_by: "limit `memory`: `host/src/sandbox/limiter.rs`",
        function: "nothing",
        component: Component::Spec(13),
        flags: &["--memory", "64MiB"],
        outcome: &[
            "4 component: [DIR]/attack/run/hostile.wasm: asked what it is, the component failed: the connector was refused memory beyond 64MiB (it asked for [N] bytes in all) and stopped",
            "hint: raise it with --memory, or `memory` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    large_component => Attack {
        tries: "be larger than the host reads",
        stopped_by: "limit `component_bytes`: `host/src/sandbox/component.rs`",
        function: "nothing",
        flags: &["--component-bytes", "256KiB"],
        outcome: &[
            "6 limit: [DIR]/attack/run/hostile.wasm: the file is larger than 256KiB",
            "hint: raise it with --component-bytes, or `component_bytes` in the configuration's sandbox section",
        ],
        ..Attack::RUN
    };

    act_while_asked => Attack {
        tries: "do something while it is only asked what it is",
        stopped_by: "an instance without capabilities: `host/src/run/ask.rs`",
        function: "nothing",
        component: Component::Spec(17),
        tests: &["tests/e2e/tests/it/bad_input.rs::a_connector_has_nothing_while_it_describes_itself"],
        outcome: &["0 succeeded"],
        ..Attack::RUN
    };

    poisoned_cache => Attack {
        tries: "have other machine code loaded than was compiled here: by another owner, by changed bytes, by links, by swapped entries",
        stopped_by: "owner, mode, digest of key and code, no links: `host/src/sandbox/cache.rs`",
        tests: &[
            "host/src/sandbox/cache.rs::what_others_could_have_written_is_not_used",
            "tests/e2e/tests/it/bad_input.rs::a_damaged_cache_entry_is_made_anew",
        ],
        ..Attack::RUN
    };
}
