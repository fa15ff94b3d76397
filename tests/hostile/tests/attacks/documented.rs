//! The table in the document is the one in the code, and names what is there.

use std::collections::BTreeSet;

use hostile::document::{DOCUMENT, END, START, root, table};
use hostile::table::all;

#[test]
fn the_document_has_the_table_of_the_code() {
    let path = root().join(DOCUMENT);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(START).unwrap_or_else(|| panic!("{DOCUMENT} has no {START}"));
    let (old, after) = rest.split_once(END).unwrap_or_else(|| panic!("{DOCUMENT} has no {END}"));
    let new = format!("\n{}\n", table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{START}{new}{END}{after}")).unwrap();
        return;
    }
    assert!(
        old == new,
        "the table in {DOCUMENT} is not the one of tests/hostile/src/table: run \
         `UPDATE_DOCS=1 cargo test -p hostile documented` and look at what changed"
    );
}

#[test]
fn every_attack_says_what_stops_it_and_which_test_proves_it() {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for (name, attack) in all() {
        if !names.insert(name) {
            problems.push(format!("there are two attacks '{name}'"));
        }
        if attack.tries.is_empty()
            || !attack.stopped_by.contains(".rs`") && !attack.stopped_by.contains("engine")
        {
            problems.push(format!("{name}: says too little"));
        }
        if !attack.runs_here() && attack.tests.is_empty() {
            problems.push(format!("{name}: no test runs it"));
        }
        let files = attack.stopped_by.split('`').filter(|code| code.ends_with(".rs"));
        for code in files.chain(attack.tests.iter().copied()) {
            let (path, test) = code.split_once("::").unwrap_or((code, ""));
            let text = std::fs::read_to_string(root().join(path)).unwrap_or_default();
            if text.is_empty() || !test.is_empty() && !text.contains(&format!("fn {test}(")) {
                problems.push(format!("{name}: there is no `{code}`"));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}
