//! The keys of `sandbox` that say where secrets go and what may be shown.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Reader;
use crate::config::problem::{Place, Problem};
use crate::config::secret::rules::SecretRules;
use crate::sandbox::Origin;

impl Reader<'_> {
    pub(super) fn secret_rules(&mut self, place: &Place, object: &mut Map<String, Value>) -> SecretRules {
        SecretRules {
            origins: self.secret_origins(place, object),
            allow_echo: self.texts(place, object, "allow_echo", false, "[\"AuthType.basic.Username\"]"),
            reveal_tokens: self.flag(place, object, "reveal_tokens"),
            redact_rows: self.flag(place, object, "redact_rows"),
        }
    }

    /// Origins by the name of the secret. A list without any would say that it goes
    /// nowhere, which is hardly meant.
    fn secret_origins(
        &mut self,
        place: &Place,
        object: &mut Map<String, Value>,
    ) -> BTreeMap<String, Vec<Origin>> {
        const EXAMPLE: &str = "{ \"AccessToken\": [\"https://api.example.com\"] }";
        let place = place.key("secret_origins");
        let Some(value) = object.remove("secret_origins").filter(|value| !value.is_null()) else {
            return BTreeMap::new();
        };
        let Some(mut object) = self.object(&place, value, EXAMPLE) else { return BTreeMap::new() };
        let names: Vec<String> = object.keys().cloned().collect();
        let mut origins = BTreeMap::new();
        for name in names {
            let known = self.problems.len();
            let list = self.texts(&place, &mut object, &name, true, "[\"https://api.example.com\"]");
            if list.is_empty() && self.problems.len() == known {
                let problem = Problem::new(place.key(&name), "is empty");
                self.problems
                    .push(problem.hint("name at least one origin, such as [\"https://api.example.com\"]"));
            }
            origins.insert(name, list);
        }
        origins
    }
}
