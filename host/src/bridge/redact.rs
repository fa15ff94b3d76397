//! Secrets in what a guest writes: a placeholder in its state is refused, and
//! where the operator asks for it (`redact_rows`), values in rows and state become
//! `***`.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray};
use serde_json::Value;

use super::bindings::ow::connector::types::Error;
use super::refusal::invalid;
use crate::config::problem::clip;
use crate::config::secret::Secrets;
use crate::report::Level;
use crate::report::log::RunLog;
use crate::storage::{DataType, TableSchema};

/// What stands in a JSON value that would be none without it.
const REDACTED_JSON: &str = "\"***\"";

/// Keeps secrets out of what one run writes, and tells at its end how many there
/// were.
pub(super) struct Redaction {
    log: Arc<RunLog>,
    found: AtomicU64,
}

impl Redaction {
    pub(super) fn new(log: Arc<RunLog>) -> Self {
        Self { log, found: AtomicU64::new(0) }
    }

    fn secrets(&self) -> &Secrets {
        self.log.secrets()
    }

    fn wanted(&self) -> bool {
        self.secrets().rules().redact_rows
    }

    /// The batch without values of secrets, if that is wanted.
    pub(super) fn batch(&self, table: &TableSchema, batch: RecordBatch) -> Result<RecordBatch, Error> {
        if !self.wanted() {
            return Ok(batch);
        }
        let schema = batch.schema();
        let mut changed = false;
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            let field = table.fields.iter().find(|known| known.name == *field.name());
            let replaced = field.and_then(|field| self.column(field.data_type, column));
            changed |= replaced.is_some();
            replaced.unwrap_or_else(|| Arc::clone(column))
        });
        let columns: Vec<ArrayRef> = columns.collect();
        if !changed {
            return Ok(batch);
        }
        RecordBatch::try_new(schema, columns).map_err(|error| {
            invalid(format!("a batch of the stream '{}' cannot be used: {error}", table.name))
        })
    }

    /// The column without values; nothing if it has none.
    fn column(&self, data_type: DataType, column: &ArrayRef) -> Option<ArrayRef> {
        if let Some(texts) = column.as_any().downcast_ref::<StringArray>() {
            let redact = |text| match data_type {
                DataType::Json => self.json(text),
                _ => self.text(text),
            };
            let first = texts.iter().position(|text| text.is_some_and(|text| is_changed(&redact(text))))?;
            let mut builder = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
            for (row, text) in texts.iter().enumerate() {
                builder.append_option(
                    text.map(|text| if row < first { text.into() } else { self.counted(redact(text)) }),
                );
            }
            return Some(Arc::new(builder.finish()));
        }
        let values = column.as_any().downcast_ref::<BinaryArray>()?;
        let first = values.iter().position(|value| value.is_some_and(|value| self.bytes(value).is_some()))?;
        let mut builder = BinaryBuilder::with_capacity(values.len(), values.value_data().len());
        for (row, value) in values.iter().enumerate() {
            let replaced = value.filter(|_| row >= first).and_then(|value| self.bytes(value));
            if replaced.is_some() {
                self.count();
            }
            builder.append_option(replaced.as_deref().or(value));
        }
        Some(Arc::new(builder.finish()))
    }

    fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.secrets().redact(text)
    }

    fn bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.secrets().redact_bytes(bytes)
    }

    /// A JSON value, which can spell a text in many ways: in the shortest, secrets are
    /// found.
    fn json<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let redacted = self.secrets().redact(text);
        let redacted = if text.contains('\\') {
            let shortest = serde_json::from_str::<Value>(&redacted).map(|value| value.to_string());
            match shortest.as_ref().map(|shortest| self.secrets().redact(shortest)) {
                Ok(again) if is_changed(&again) => Cow::Owned(again.into_owned()),
                Ok(_) => redacted,
                Err(_) => Cow::Borrowed(REDACTED_JSON),
            }
        } else {
            redacted
        };
        let is_json = || serde_json::from_str::<serde::de::IgnoredAny>(&redacted).is_ok();
        if is_changed(&redacted) && !is_json() { Cow::Owned(REDACTED_JSON.to_owned()) } else { redacted }
    }

    fn counted<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        if is_changed(&text) {
            self.count();
        }
        text
    }

    fn count(&self) {
        self.found.fetch_add(1, Ordering::Relaxed);
    }

    /// The value of a state key without secrets, if that is wanted.
    ///
    /// # Errors
    ///
    /// If it holds a placeholder: in the next run that would stand for nothing.
    pub(super) fn state(&self, key: &str, value: String) -> Result<String, Error> {
        let placeholder = self.secrets().in_text(&value).or_else(|| self.secrets().in_text(key));
        if let Some(secret) = placeholder {
            return Err(invalid(format!(
                "the state key '{}' holds the placeholder of the secret '{}', which means nothing in the next run",
                clip(&self.log.clean(key)),
                clip(&secret.name)
            )));
        }
        if !self.wanted() {
            return Ok(value);
        }
        Ok(match self.counted(self.json(&value)) {
            Cow::Owned(redacted) => redacted,
            Cow::Borrowed(_) => value,
        })
    }
}

#[expect(clippy::ptr_arg, reason = "whether it is owned is what counts")]
fn is_changed(text: &Cow<'_, str>) -> bool {
    matches!(text, Cow::Owned(_))
}

impl Drop for Redaction {
    fn drop(&mut self) {
        let found = *self.found.get_mut();
        if found > 0 {
            let values = if found == 1 { "1 value" } else { &format!("{found} values") };
            self.log.host_line(
                Level::Warn,
                &format!("{values} in rows or state held a secret, which stands there as *** (redact_rows)"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use arrow_array::Int64Array;

    use super::*;
    use crate::config::secret::rules::SecretRules;
    use crate::report::{Event, Sink};
    use crate::sandbox::Limits;
    use crate::storage::Field;

    type Lines = Arc<Mutex<Vec<String>>>;

    fn redaction(redact_rows: bool) -> (Redaction, Lines, String) {
        let mut secrets = Secrets::new();
        let key = secrets.add("Key", "hunter2\"hunter2");
        secrets.hide("47114711");
        secrets.set_rules(SecretRules { redact_rows, ..SecretRules::default() });
        let lines = Lines::default();
        let seen = Arc::clone(&lines);
        let sink: Sink = Arc::new(move |event| {
            if let Event::Log { level, message, .. } = event {
                seen.lock().unwrap().push(format!("{level:?} {message}"));
            }
        });
        let log = RunLog::new(Some(sink), Arc::new(secrets), &Limits::default());
        (Redaction::new(log), lines, key)
    }

    fn table(types: &[DataType]) -> TableSchema {
        let field = |(index, data_type): (usize, &DataType)| Field {
            name: format!("f{index}"),
            data_type: *data_type,
            nullable: true,
            description: None,
        };
        TableSchema {
            name: "t".into(),
            description: None,
            fields: types.iter().enumerate().map(field).collect(),
            primary_key: vec![],
            cursor_field: None,
            partition_field: None,
        }
    }

    fn batch() -> (TableSchema, RecordBatch) {
        let table = table(&[DataType::Text, DataType::Json, DataType::Bytes, DataType::Int64]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![Some("plain"), None, Some("my hunter2\"hunter2!")])),
            Arc::new(StringArray::from(vec![
                Some(r#"{"a":"hunter2\u0022hunter2"}"#),
                Some(r#"[47114711, "x"]"#),
                Some(r#"{"a":"C:\\x"}"#),
            ])),
            Arc::new(BinaryArray::from(vec![Some(&b"\xffhunter2\"hunter2\xff"[..]), None, Some(b"\xff")])),
            Arc::new(Int64Array::from(vec![Some(47_114_711), None, Some(1)])),
        ];
        let batch = RecordBatch::try_new(table.arrow(), columns).unwrap();
        (table, batch)
    }

    fn texts(batch: &RecordBatch, column: usize) -> Vec<Option<String>> {
        let array = batch.column(column).as_any().downcast_ref::<StringArray>().unwrap();
        array.iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn values_in_texts_json_and_bytes_are_replaced_and_counted() {
        let (redaction, lines, _) = redaction(true);
        let (table, batch) = batch();
        let redacted = redaction.batch(&table, batch).unwrap();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(texts(&redacted, 0), [some("plain"), None, some("my ***!")]);
        let json = [some(r#"{"a":"***"}"#), some("\"***\""), some(r#"{"a":"C:\\x"}"#)];
        assert_eq!(texts(&redacted, 1), json);
        let bytes = redacted.column(2).as_any().downcast_ref::<BinaryArray>().unwrap();
        assert_eq!(bytes.iter().collect::<Vec<_>>(), [Some(&b"\xff***\xff"[..]), None, Some(b"\xff")]);
        // Numbers are no texts.
        let numbers = redacted.column(3).as_any().downcast_ref::<Int64Array>().unwrap();
        assert_eq!(numbers.value(0), 47_114_711);
        assert_eq!(redaction.state("k", "{\"a\":\"47114711\"}".into()).unwrap(), "{\"a\":\"***\"}");
        assert!(lines.lock().unwrap().is_empty());
        drop(redaction);
        assert_eq!(
            *lines.lock().unwrap(),
            ["Warn 5 values in rows or state held a secret, which stands there as *** (redact_rows)"]
        );
    }

    #[test]
    fn rows_stay_as_they_are_where_it_is_not_asked_for() {
        let (redaction, lines, _) = redaction(false);
        let (table, batch) = batch();
        assert_eq!(redaction.batch(&table, batch.clone()).unwrap(), batch);
        assert_eq!(redaction.state("k", "\"47114711\"".into()).unwrap(), "\"47114711\"");
        drop(redaction);
        assert!(lines.lock().unwrap().is_empty());
    }

    #[test]
    fn a_placeholder_in_the_state_is_refused() {
        let (redaction, _, key) = redaction(false);
        let refused =
            redaction.state("cursor", format!("{{\"next\":\"https://a.example/?k={key}\"}}")).unwrap_err();
        assert_eq!(
            refused.message,
            "the state key 'cursor' holds the placeholder of the secret 'Key', which means nothing in the next run"
        );
        assert!(redaction.state(&key, "1".into()).is_err());
        // What only looks like one is a text.
        let other = format!("\"OWSECRET{}\"", "0".repeat(32));
        assert_eq!(redaction.state("cursor", other.clone()).unwrap(), other);
    }
}
