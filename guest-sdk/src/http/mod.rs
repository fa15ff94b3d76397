//! HTTP.
/// A client.
#[derive(Debug, Clone, Default)]
pub struct Client;
impl Client {
    /// New.
    pub fn new() -> Self {
        Self
    }
}
