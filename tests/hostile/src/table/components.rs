//! The component itself: what it is, says and declares.

use crate::{Attack, Component};

crate::attacks! { $ each_component_attack:
    truncated_component => Attack {
        tries: "be a file that ends too early",
        stopped_by: "validation before anything is compiled: `host/src/sandbox/component.rs`",
        function: "nothing",
        component: Component::Cut(60),
        tests: &["tests/e2e/tests/it/bad_input.rs::files_that_are_no_component"],
        outcome: &["?"],
        ..Attack::RUN
    };

    damaged_component => Attack {
        tries: "be a file with wrong bytes in it",
        stopped_by: "validation before anything is compiled: `host/src/sandbox/component.rs`",
        function: "nothing",
        component: Component::Damaged(5000),
        outcome: &["?"],
        ..Attack::RUN
    };

    forged_sections => Attack {
        tries: "bring hundreds of custom sections that say it is another component",
        stopped_by: "the host asks the component itself and reads no custom section: `host/src/run/ask.rs`",
        function: "nothing",
        component: Component::Sections("component-name", 300),
        outcome: &["?"],
        ..Attack::RUN
    };

    forged_name_with_escapes => Attack {
        tries: "have a name with line breaks and escapes",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(1),
        outcome: &["?"],
        ..Attack::RUN
    };

    forged_version => Attack {
        tries: "have a version with escapes",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(2),
        outcome: &["?"],
        ..Attack::RUN
    };

    forged_title => Attack {
        tries: "have a title that clears the terminal",
        stopped_by: "the title is made plain where it is shown: `host/src/cli/output.rs`",
        function: "nothing",
        component: Component::Spec(3),
        outcome: &["?"],
        ..Attack::RUN
    };

    name_of_another => Attack {
        tries: "have the name of another connector",
        stopped_by: "names prove nothing: the SHA-256 pin does, `connector.sha256`: `host/src/sandbox/component.rs`",
        function: "nothing",
        component: Component::Spec(14),
        tests: &["tests/e2e/tests/it/bad_input.rs::a_pinned_digest_must_be_the_files"],
        outcome: &["?"],
        ..Attack::RUN
    };

    huge_title => Attack {
        tries: "have a title of 20 MiB",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(4),
        outcome: &["?"],
        ..Attack::RUN
    };

    forged_documentation => Attack {
        tries: "have a script as the address of its documentation",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(5),
        outcome: &["?"],
        ..Attack::RUN
    };

    deep_schema => Attack {
        tries: "have a schema half a million levels deep",
        stopped_by: "a bound on depth: `host/src/config/json.rs`",
        function: "nothing",
        component: Component::Spec(6),
        outcome: &["?"],
        ..Attack::RUN
    };

    nested_schema => Attack {
        tries: "have subschemas ten thousand levels deep",
        stopped_by: "a bound on depth: `host/src/config/json.rs`",
        function: "nothing",
        component: Component::Spec(7),
        outcome: &["?"],
        ..Attack::RUN
    };

    looping_schema => Attack {
        tries: "have a schema that refers to itself for ever",
        stopped_by: "a budget of steps: `host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(8),
        outcome: &["?"],
        ..Attack::RUN
    };

    slow_patterns => Attack {
        tries: "have regular expressions that take for ever or very much memory",
        stopped_by: "expressions in linear time with a bound on their size: `host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(9),
        outcome: &["?"],
        ..Attack::RUN
    };

    branching_schema => Attack {
        tries: "have a schema whose check doubles with each level",
        stopped_by: "a budget of steps: `host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(10),
        tests: &["host/src/config/spec.rs::schemas_that_would_take_forever_are_refused_at_once"],
        outcome: &["?"],
        ..Attack::RUN
    };

    thousands_of_origins => Attack {
        tries: "ask for a hundred thousand origins",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(11),
        outcome: &["?"],
        ..Attack::RUN
    };

    every_origin => Attack {
        tries: "ask for every host there is",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(16),
        outcome: &["?"],
        ..Attack::RUN
    };

    huge_schema => Attack {
        tries: "have a schema of 20 MiB",
        stopped_by: "`host/src/config/spec.rs`",
        function: "nothing",
        component: Component::Spec(15),
        outcome: &["?"],
        ..Attack::RUN
    };

    memory_bomb_in_spec => Attack {
        tries: "take memory for ever when asked what it is",
        stopped_by: "limit `memory`: `host/src/sandbox/limiter.rs`",
        function: "nothing",
        component: Component::Spec(13),
        flags: &["--memory", "64MiB"],
        outcome: &["?"],
        ..Attack::RUN
    };

    large_component => Attack {
        tries: "be larger than the host reads",
        stopped_by: "limit `component_bytes`: `host/src/sandbox/component.rs`",
        function: "nothing",
        flags: &["--component-bytes", "256KiB"],
        outcome: &["?"],
        ..Attack::RUN
    };

    act_while_asked => Attack {
        tries: "do something while it is only asked what it is",
        stopped_by: "an instance without capabilities: `host/src/run/ask.rs`",
        tests: &["tests/e2e/tests/it/bad_input.rs::a_connector_has_nothing_while_it_describes_itself"],
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
