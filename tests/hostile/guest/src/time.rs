//! Time: to hold a thread, a stack, or the run for ever.

use std::time::Duration;

use crate::behaviours::act;
use crate::{Outcome, Parameters};

fn behaviour(name: &str) -> Outcome {
    act(name, &Parameters::of(serde_json::json!({})))
}

pub(crate) fn endless_loop() -> Outcome {
    behaviour("loop")
}

pub(crate) fn endless_recursion() -> Outcome {
    behaviour("recursion")
}

pub(crate) fn sleep_for_ever() -> Outcome {
    loop {
        std::thread::sleep(Duration::from_secs(1 << 30));
    }
}
