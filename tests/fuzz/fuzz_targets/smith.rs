//! Components that wasm-smith makes of the input, under limits: connectors whose
//! code is generated, and components of any shape.

#![no_main]

use arbitrary::Unstructured;

#[path = "../../smith/generate.rs"]
mod generate;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let mut input = Unstructured::new(bytes);
    if kind & 1 == 0 {
        if let Ok(wasm) = generate::connector(&mut input) {
            ow_host::fuzz::connector(&wasm);
        }
    } else if let Ok(wasm) = generate::component(&mut input) {
        ow_host::fuzz::generated(&wasm);
    }
});
