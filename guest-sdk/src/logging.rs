//! The `log` facade, connected to the host: `log::info!("…")` in a connector, or
//! in a library that it uses, is a line in the run's log.

use log::kv::{Error, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};

struct HostLog;

static LOGGER: HostLog = HostLog;

/// Connects the facade; later calls change nothing.
pub(crate) fn install() {
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

impl Log for HostLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut fields = Fields(Vec::new());
        // Collecting into a vector does not fail.
        let _ = record.key_values().visit(&mut fields);
        let fields: Vec<(&str, &str)> =
            fields.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        match record.args().as_str() {
            Some(message) => crate::host::log(record.level(), message, &fields),
            None => crate::host::log(record.level(), &record.args().to_string(), &fields),
        }
    }

    fn flush(&self) {}
}

struct Fields(Vec<(String, String)>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}
