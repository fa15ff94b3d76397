//! What a parameter's value means, whichever way it is written.
//!
//! | written | means |
//! |---|---|
//! | `{"value": X}` | `X` |
//! | `{"value": "oauth2", "items": {…}}` (OWOX's choice) | `{"oauth2": {…}}` |
//! | `{"oauth2": {"Token": {"value": "x"}}}` (its short form) | `{"oauth2": {"Token": "x"}}` |
//! | `{"env": "NAME"}` | the text of the environment variable |
//! | `{"file": "path"}` | the text of the file, without one newline at its end |
//!
//! Inside `value` an object is what it is; only `env` and `file` are looked up.
//! Texts are not trimmed, unlike in OWOX, because a separator or a password may
//! be or begin with a blank; where a number or a boolean is wanted, blanks
//! around it do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::exposure;
use super::json::reason;
use super::problem::{Problem, clip};
use super::secret::Secrets;

/// The largest file that is a value: credentials are far smaller.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Looks up an environment variable.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Normalises values and looks up what comes from elsewhere.
pub(crate) struct Reader<'a> {
    /// The environment.
    pub(crate) env: Env<'a>,
    /// What relative paths start at.
    pub(crate) base_dir: &'a Path,
    /// Takes every value that came from a variable or a file.
    pub(crate) secrets: &'a mut Secrets,
    /// JSON Pointers of the values that came from a variable or a file.
    pub(crate) external: BTreeSet<String>,
    /// JSON Pointers of the values that could not be had.
    pub(crate) failed: BTreeSet<String>,
    /// The files of values that others than their owner can get at, by JSON Pointer.
    pub(crate) exposed: BTreeMap<String, PathBuf>,
    /// What went wrong, by JSON Pointer.
    pub(crate) problems: Vec<(String, Problem)>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(env: Env<'a>, base_dir: &'a Path, secrets: &'a mut Secrets) -> Self {
        let (external, failed) = (BTreeSet::new(), BTreeSet::new());
        Self { env, base_dir, secrets, external, failed, exposed: BTreeMap::new(), problems: Vec::new() }
    }

    /// All parameters of a section.
    pub(crate) fn parameters(&mut self, section: &Map<String, Value>) -> Map<String, Value> {
        let values =
            section.iter().map(|(name, value)| (name.clone(), self.value(value, &step("", name), false)));
        values.collect()
    }

    /// `literal`: inside a `{"value": …}`, where an object is what it is.
    fn value(&mut self, value: &Value, at: &str, literal: bool) -> Value {
        match value {
            Value::Object(object) => self.object(object, at, literal),
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items.map(|(i, item)| self.value(item, &step(at, &i.to_string()), true)).collect()
            }
            plain => plain.clone(),
        }
    }

    fn object(&mut self, object: &Map<String, Value>, at: &str, literal: bool) -> Value {
        let entry = |key| object.get(key);
        match (object.len(), entry("env"), entry("file")) {
            (1, Some(Value::String(name)), _) => return self.variable(name, at),
            (1, _, Some(Value::String(path))) => return self.file(path, at),
            _ => {}
        }
        if !literal {
            match (object.len(), entry("value"), entry("items")) {
                (1, Some(value), _) => return self.value(value, at, true),
                (2, Some(Value::String(choice)), Some(Value::Object(items))) => {
                    let items = self.entries(items, &step(at, choice), false);
                    return Value::Object(Map::from_iter([(choice.clone(), Value::Object(items))]));
                }
                _ => {}
            }
        }
        Value::Object(self.entries(object, at, literal))
    }

    fn entries(&mut self, object: &Map<String, Value>, at: &str, literal: bool) -> Map<String, Value> {
        let entries = object.iter();
        entries.map(|(key, value)| (key.clone(), self.value(value, &step(at, key), literal))).collect()
    }

    fn variable(&mut self, name: &str, at: &str) -> Value {
        match (self.env)(name) {
            Some(text) => self.found(text, at),
            None => {
                let wrong = format!("the environment variable '{}' is not set", clip(name));
                self.fail(at, wrong, "set it, or write the value another way")
            }
        }
    }

    fn file(&mut self, path: &str, at: &str) -> Value {
        let file = self.base_dir.join(path);
        match read_text(&file) {
            Ok((text, exposed)) => {
                if exposed {
                    self.exposed.insert(at.to_owned(), file);
                }
                self.found(text, at)
            }
            Err(why) => {
                let wrong = format!("the file '{}' cannot be used: {why}", clip(path));
                self.fail(at, wrong, "relative paths start at the configuration's folder")
            }
        }
    }

    fn found(&mut self, text: String, at: &str) -> Value {
        if !text.trim().eq_ignore_ascii_case("true") && !text.trim().eq_ignore_ascii_case("false") {
            self.secrets.hide(&text);
        }
        self.external.insert(at.to_owned());
        Value::String(text)
    }

    fn fail(&mut self, at: &str, wrong: String, hint: &str) -> Value {
        self.failed.insert(at.to_owned());
        self.problems.push((at.to_owned(), Problem::new("", wrong).hint(hint)));
        Value::Null
    }
}

/// The text of a file that is a value, and whether others than its owner can get
/// at it.
fn read_text(path: &Path) -> Result<(String, bool), String> {
    let file = std::fs::File::open(path).map_err(|error| reason(&error))?;
    let exposed = exposure::is_exposed(&file);
    // As large as the file at once: what the bytes moved from would not be wiped.
    let size = file.metadata().map_or(0, |metadata| metadata.len().min(MAX_FILE_BYTES));
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1)));
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is no UTF-8 text".to_owned())?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    Ok((text.to_owned(), exposed))
}

/// The JSON Pointer of a key or an item.
pub(crate) fn step(at: &str, key: &str) -> String {
    if key.contains(['~', '/']) {
        return format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    }
    format!("{at}/{key}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> (Value, Vec<String>) {
        let env = |name: &str| (name == "TOKEN").then(|| "from-the-env".to_owned());
        let mut secrets = Secrets::new();
        let mut reader = Reader::new(&env, Path::new("."), &mut secrets);
        let parameters = reader.parameters(value.as_object().unwrap());
        let problems = reader.problems.iter().map(|(at, problem)| format!("{at}: {problem}")).collect();
        (Value::Object(parameters), problems)
    }

    #[test]
    fn every_way_to_write_a_value_means_the_same() {
        let choice = json!({"oauth2": {"AccessToken": "x", "Nested": {"a": {"B": 1}}}});
        for written in [
            json!({"oauth2": {"AccessToken": {"value": "x"}, "Nested": {"a": {"B": {"value": 1}}}}}),
            json!({"oauth2": {"AccessToken": "x", "Nested": {"a": {"B": 1}}}}),
            json!({"value": "oauth2", "items": {
                "AccessToken": {"value": "x"},
                "Nested": {"value": "a", "items": {"B": {"value": 1}}},
            }}),
        ] {
            assert_eq!(read(json!({ "AuthType": written })), (json!({ "AuthType": choice }), vec![]));
        }
    }

    #[test]
    fn an_object_inside_value_is_what_it_is() {
        let written =
            json!({"A": {"value": {"filter": {"value": 5}}}, "B": {"value": [{"value": 1}]}, "C": 1});
        let meant = json!({"A": {"filter": {"value": 5}}, "B": [{"value": 1}], "C": 1});
        assert_eq!(read(written).0, meant);
    }

    #[test]
    fn variables_are_looked_up_everywhere() {
        let (value, problems) = read(json!({
            "A": {"env": "TOKEN"},
            "B": {"value": {"env": "TOKEN"}},
            "C": {"value": "oauth2", "items": {"Token": {"env": "TOKEN"}}},
            "D": ["x", {"env": "TOKEN"}],
            "E": {"env": "NO_SUCH"},
            "F": {"env": "TOKEN", "file": "x"},
        }));
        let text = "from-the-env";
        assert_eq!(
            value,
            json!({
                "A": text, "B": text, "C": {"oauth2": {"Token": text}}, "D": ["x", text], "E": null,
                "F": {"env": "TOKEN", "file": "x"},
            })
        );
        insta::assert_snapshot!(problems.join("\n"));
    }

    #[test]
    fn files_are_read_bounded_and_lose_one_newline() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "line\n\n").unwrap();
        std::fs::write(folder.path().join("big"), vec![b'x'; (1 << 20) + 1]).unwrap();
        std::fs::write(folder.path().join("binary"), [0xff, 0xfe]).unwrap();
        let mut secrets = Secrets::new();
        let mut reader = Reader::new(&|_| None, folder.path(), &mut secrets);
        let written = json!({"A": {"file": "token"}, "B": {"file": "big"}, "C": {"file": "binary"}, "D": {"file": "no"}});
        let values = reader.parameters(written.as_object().unwrap());
        assert_eq!(values.get("A"), Some(&json!("line\n")));
        let problems: Vec<String> =
            reader.problems.iter().map(|(at, p)| format!("{at}: {}", p.message)).collect();
        insta::assert_snapshot!(problems.join("\n"));
        assert_eq!(secrets.redact("a line"), "a ***");
    }
}
