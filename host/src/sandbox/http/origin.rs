//! Origins that an operator grants.

/// To be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin;
