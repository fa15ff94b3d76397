//! Components out of bytes, by wasm-smith. The build script of this folder and
//! the fuzz target `smith` share it.

use arbitrary::{Result, Unstructured};
use wasm_smith::{Component, Config, Module};

/// The smallest connector, assembled from `connector.wat`.
const CONNECTOR: &[u8] = include_bytes!("../fuzz/seeds/component/connector.wasm");
/// A section that holds a core module.
const CORE_MODULE: u8 = 1;
/// A section that holds a component.
const COMPONENT: u8 = 4;

/// A connector by its exports whose code is generated: it describes itself with
/// whatever that code returns, if it returns.
pub(crate) fn connector(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let (_, inner) = section(CONNECTOR, COMPONENT);
    let (_, code) = section(inner, CORE_MODULE);
    let config = Config { exports: Some(code.to_vec()), ..config() };
    let code = Module::new(config, input)?.to_bytes();
    Ok(with_section(CONNECTOR, COMPONENT, &with_section(inner, CORE_MODULE, &code)))
}

/// A component of any shape, that knows nothing of the contract.
pub(crate) fn component(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(Component::new(config(), input)?.to_bytes())
}

/// What the engine is set to run.
fn config() -> Config {
    Config {
        max_imports: 0,
        max_memories: 4,
        max_memory32_bytes: 64 << 20,
        allow_start_export: true,
        bulk_memory_enabled: true,
        custom_page_sizes_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        multi_value_enabled: true,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        shared_everything_threads_enabled: false,
        simd_enabled: true,
        tail_call_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    }
}

/// Where the first section of this kind stands, and its content.
fn section(wasm: &[u8], kind: u8) -> (std::ops::Range<usize>, &[u8]) {
    let mut at = 8;
    loop {
        let start = at;
        let id = wasm[at];
        let (mut size, mut shift) = (0, 0);
        loop {
            at += 1;
            size |= usize::from(wasm[at] & 0x7f) << shift;
            shift += 7;
            if wasm[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1;
        if id == kind {
            return (start..at + size, &wasm[at..at + size]);
        }
        at += size;
    }
}

/// The component with another content of the first section of this kind.
fn with_section(wasm: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
    let (range, _) = section(wasm, kind);
    let mut replaced = wasm[..range.start].to_vec();
    replaced.push(kind);
    let mut size = content.len();
    while size > 0x7f {
        replaced.push(u8::try_from(size & 0x7f).unwrap_or_default() | 0x80);
        size >>= 7;
    }
    replaced.push(u8::try_from(size).unwrap_or_default());
    replaced.extend_from_slice(content);
    replaced.extend_from_slice(&wasm[range.end..]);
    replaced
}
