//! Memory. Bombs in many memories and tables are components of their own.

use crate::behaviours::act;
use crate::{Outcome, Parameters};

fn behaviour(name: &str) -> Outcome {
    act(name, &Parameters::of(serde_json::json!({})))
}

pub(crate) fn bomb() -> Outcome {
    behaviour("memory")
}

pub(crate) fn until_refused() -> Outcome {
    behaviour("memory_refused")
}
