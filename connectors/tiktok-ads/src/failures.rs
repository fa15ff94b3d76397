use ow_connector::prelude::*;
pub(crate) struct Failures(Vec<(String, Error)>);
impl Failures {
    pub(crate) fn new() -> Self { Self(Vec::new()) }
    pub(crate) fn attempt<T>(&mut self, name: impl std::fmt::Display, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        match work() { Ok(v) => Ok(Some(v)), Err(e) if matches!(e.kind(), ErrorKind::Cancelled|ErrorKind::Denied|ErrorKind::LimitExceeded) => Err(e), Err(e) => { self.0.push((name.to_string(), e)); Ok(None) } }
    }
    pub(crate) fn finish(self) -> Result<()> {
        match self.0.into_iter().next() { None => Ok(()), Some((n, e)) => Err(e.context(n)) }
    }
}
