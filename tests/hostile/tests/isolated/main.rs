//! Every attack again, by a connector in a process of its own: what comes of it
//! is the same, to the letter.

#![cfg(target_os = "linux")]

#[path = "../attacks/main.rs"]
mod attacks;

use attacks::check;
