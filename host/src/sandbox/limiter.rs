//! Bounds the memory of a guest: all its memories and tables together.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::control::Control;

/// What a table's element takes in the host.
const TABLE_ELEMENT: usize = 16;

/// Counts what the guest's memories and tables take, and refuses growth beyond
/// the limit. The engine's own limiter counts each memory for itself, so that a
/// guest with many would multiply the limit.
#[derive(Debug)]
pub(crate) struct MemoryLimiter(pub(crate) Arc<Control>);

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.0.grow_memory(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.0.grow_memory(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT)))
    }
}
