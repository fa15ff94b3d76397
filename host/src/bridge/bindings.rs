//! The contract's Rust face, generated from `wit/`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code; the WIT files document every item"
)]

wasmtime::component::bindgen!({
    inline: "
        package ow:host;

        world host-side {
            import ow:connector/storage@0.1.0;
            import ow:connector/state@0.1.0;
            import ow:connector/report@0.1.0;
            export ow:connector/connector@0.1.0;
        }
    ",
    path: "../wit",
    world: "ow:host/host-side",
    imports: {
        default: trappable,
        "ow:connector/storage@0.1.0.open": async | trappable,
        "ow:connector/storage@0.1.0.[method]writer.write": async | trappable,
        "ow:connector/state@0.1.0.get": async | trappable,
        "ow:connector/state@0.1.0.set": async | trappable,
        "ow:connector/state@0.1.0.commit": async | trappable,
        "ow:connector/report@0.1.0.progress": async | trappable,
    },
    exports: { default: async },
    with: {
        "ow:connector/storage@0.1.0.writer": super::imports::Writer,
    },
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
    require_store_data_send: true,
});
