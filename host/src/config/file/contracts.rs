//! `storage.contracts`: what happens when a stream brings something new.

use serde_json::{Map, Value};

use super::Reader;
use crate::config::problem::{Place, Problem, found, list, nearest};
use crate::storage::contract::{Contract, Contracts, Rule};

/// What a contract says something about.
pub(crate) const KEYS: &[&str] = &["table", "column", "type"];

/// The name that stands for every stream without an entry of its own.
pub(crate) const EVERY: &str = "*";

/// The rules that a key takes. A new table has no values that could be dropped.
pub(crate) fn rules(key: &str) -> impl Iterator<Item = Rule> + Clone {
    let is_table = key == "table";
    Rule::ALL.into_iter().filter(move |rule| !(is_table && *rule == Rule::DropValue))
}

impl Reader<'_> {
    /// The section; what an entry leaves out is as `*` has it.
    pub(super) fn contracts(&mut self, value: Option<Value>) -> Contracts {
        let place = Place::of("storage").key("contracts");
        let Some(value) = value.filter(|value| !value.is_null()) else { return Contracts::default() };
        let Some(mut object) = self.object(&place, value, "{ \"*\": { \"column\": \"freeze\" } }") else {
            return Contracts::default();
        };
        let every = match object.remove(EVERY) {
            Some(value) => self.contract(&place.key(EVERY), value, Contract::default()),
            None => Contract::default(),
        };
        let mut contracts = Contracts { every, ..Contracts::default() };
        for (stream, value) in object {
            let contract = self.contract(&place.key(&stream), value, every);
            contracts.streams.insert(stream, contract);
        }
        contracts
    }

    fn contract(&mut self, place: &Place, value: Value, otherwise: Contract) -> Contract {
        let Some(mut object) = self.object(place, value, "{ \"column\": \"freeze\" }") else {
            return otherwise;
        };
        self.unknown_keys(place, &object, KEYS, &[]);
        Contract {
            table: self.rule(place, &mut object, "table").unwrap_or(otherwise.table),
            column: self.rule(place, &mut object, "column").unwrap_or(otherwise.column),
            data_type: self.rule(place, &mut object, "type").unwrap_or(otherwise.data_type),
        }
    }

    fn rule(&mut self, place: &Place, object: &mut Map<String, Value>, key: &str) -> Option<Rule> {
        let value = object.remove(key).filter(|value| !value.is_null())?;
        let text = value.as_str().unwrap_or_default();
        if let Some(rule) = rules(key).find(|rule| rule.name() == text) {
            return Some(rule);
        }
        let names = rules(key).map(Rule::name);
        let wrong = format!("expected one of {}, found {}", list(names.clone()), found(&value, false));
        let problem = Problem::new(place.key(key), wrong);
        self.problems.push(match nearest(text, names) {
            _ if text == Rule::DropValue.name() => {
                problem.hint("a new table has no values that could be left out: write 'drop-row'")
            }
            Some(near) => problem.hint(format!("did you mean '{near}'?")),
            None => problem,
        });
        None
    }
}
