//! What is wrong with a configuration: every problem with its place and what to
//! write instead.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Failure, FailureClass};

/// Problems that a message lists; what is over is counted. A broken generator
/// can make a file with a problem on each of a million lines.
const LISTED: usize = 50;

/// The longest piece of somebody else's text that a message repeats.
const SHOWN_CHARS: usize = 60;

/// Whether a value is wrong or a grant is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// Something is written wrongly.
    Invalid,
    /// What the connector needs was not granted.
    Denied,
}

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where: `source.config.StartDate`, `line 3, column 5`; empty for the
    /// whole file.
    pub place: String,
    /// What is wrong: lower case, no full stop, never a secret's value.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The connector's parameter at fault, where it is one.
    pub parameter: Option<String>,
    /// Whether a value is wrong or a grant is missing.
    pub kind: ProblemKind,
}

impl Problem {
    /// A problem at a place.
    pub(crate) fn new(place: impl ToString, message: impl Into<String>) -> Self {
        Self {
            place: place.to_string(),
            message: message.into(),
            hint: None,
            parameter: None,
            kind: ProblemKind::Invalid,
        }
    }

    /// Says what to write instead.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the connector's parameter at fault.
    #[must_use]
    pub(crate) fn parameter(mut self, name: impl Into<String>) -> Self {
        self.parameter = Some(name.into());
        self
    }

    /// Makes it a grant that is missing.
    #[must_use]
    pub(crate) fn denied(mut self) -> Self {
        self.kind = ProblemKind::Denied;
        self
    }

    /// A key that is not known, with the nearest that is.
    pub(crate) fn unknown_key<'a>(
        parent: &Place,
        key: &str,
        known: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Self {
        let problem = Self::new(parent.key(key), "no such key");
        problem.hint(match nearest(key, known.clone()) {
            Some(near) => format!("did you mean '{near}'?"),
            // What is old or for editors alone is not recommended.
            None => format!(
                "the keys here are {}",
                list(known.into_iter().filter(|key| !matches!(*key, "$schema" | "integration")))
            ),
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Every problem of a configuration, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigProblems {
    /// The file that has them, where it is a file.
    pub file: Option<PathBuf>,
    /// The problems, in the order in which they stand.
    pub problems: Vec<Problem>,
}

impl ConfigProblems {
    /// Nothing if there are no problems, else all of them.
    pub(crate) fn check(file: Option<&Path>, problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { file: file.map(Path::to_owned), problems }) }
    }

    /// A single problem.
    pub(crate) fn one(file: Option<&Path>, problem: Problem) -> Self {
        Self { file: file.map(Path::to_owned), problems: vec![problem] }
    }

    /// Whether each of them is a grant that is missing.
    #[must_use]
    pub fn all_denied(&self) -> bool {
        self.problems.iter().all(|problem| problem.kind == ProblemKind::Denied)
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("the configuration")?,
        }
        match self.problems.len() {
            1 => f.write_str(": 1 problem")?,
            n => write!(f, ": {n} problems")?,
        }
        for problem in self.problems.iter().take(LISTED) {
            write!(f, "\n  {problem}")?;
        }
        match self.problems.len().checked_sub(LISTED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for ConfigProblems {}

impl From<ConfigProblems> for Failure {
    fn from(problems: ConfigProblems) -> Self {
        let class = if problems.all_denied() { FailureClass::Denied } else { FailureClass::Config };
        let [problem] = problems.problems.as_slice() else {
            return Self::new(class, problems.to_string());
        };
        let mut message = problems.file.map(|file| format!("{}: ", file.display())).unwrap_or_default();
        if !problem.place.is_empty() {
            message += &format!("{}: ", problem.place);
        }
        message += &problem.message;
        let failure = Self::new(class, message).with_parameter(problem.parameter.clone());
        match &problem.hint {
            Some(hint) => failure.with_hint(hint.clone()),
            None => failure,
        }
    }
}

/// A place in a file, as people write it: `source.config.Ids[2]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(String);

impl Place {
    /// The place of this name, at the top of the file.
    pub(crate) fn of(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The place of a key in the object here.
    pub(crate) fn key(&self, key: &str) -> Self {
        let plain = !key.is_empty()
            && key.len() <= SHOWN_CHARS
            && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'));
        let key = if plain { key.to_owned() } else { format!("\"{}\"", clip(key)) };
        Self(if self.0.is_empty() { key } else { format!("{}.{key}", self.0) })
    }

    /// The place of an item in the array here.
    pub(crate) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The known name that is most like `name`, if one is like it at all.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing is quadratic in the length: nobody means a long name.
    if name.len() > 128 {
        return None;
    }
    let lower = name.to_lowercase();
    let scored = known.into_iter().filter(|known| known.len() <= 128).map(|known| {
        let known_lower = known.to_lowercase();
        let score = strsim::damerau_levenshtein(&lower, &known_lower);
        (score, known_lower.chars().count(), known)
    });
    let (score, length, best) = scored.min_by_key(|(score, ..)| *score)?;
    // A third of it may be wrong, as in `cargo` and `rustc`.
    (score <= length.max(3) / 3).then_some(best)
}

/// Names as a list for a message, in quotes; long lists are cut.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 20;
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(MOST).map(|name| format!("'{}'", clip(name))).collect();
    match (shown.is_empty(), names.count()) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Somebody else's text as a message may show it: cut, control characters
/// escaped.
pub(crate) fn clip(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).flat_map(escape).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// A whole message that repeats what somebody wrote, on one line.
pub(crate) fn one_line(message: &str) -> String {
    message.chars().take(400).flat_map(escape).collect()
}

fn escape(c: char) -> impl Iterator<Item = char> {
    // Direction marks and other invisible characters could make a message say
    // something else than it does; `escape_debug` knows them.
    let keep = matches!(c, '\'' | '"' | '\\');
    let plain = keep.then_some(c);
    plain.into_iter().chain((!keep).then(|| c.escape_debug()).into_iter().flatten())
}

/// What stands there, in words: `the text 'abc'`, `an object`. `hidden` values
/// are told by their kind alone.
pub(crate) fn found(value: &Value, hidden: bool) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) if hidden => "true or false".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(_) if hidden => "a number".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        Value::String(_) if hidden => "a text".to_owned(),
        Value::String(text) => format!("the text '{}'", clip(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(n: usize) -> ConfigProblems {
        let problems = (0..n)
            .map(|i| Problem::new(Place::of("source").key("config").key(&format!("P{i}")), "is wrong"))
            .collect();
        ConfigProblems { file: Some("cfg.json".into()), problems }
    }

    #[test]
    fn problems_are_one_line_each_and_long_lists_are_cut() {
        let mut problems = sample(2);
        problems.problems[1].hint = Some("write it right".into());
        insta::assert_snapshot!(problems.to_string(), @r"
        cfg.json: 2 problems
          source.config.P0: is wrong
          source.config.P1: is wrong; write it right
        ");
        assert_eq!(sample(60).to_string().lines().count(), 52);
        assert!(sample(60).to_string().ends_with("and 10 more"));
    }

    #[test]
    fn a_failure_names_the_parameter_and_keeps_the_hint() {
        let problem = Problem::new("a.b", "is wrong").hint("write 5").parameter("b");
        let failure = Failure::from(ConfigProblems::one(Some(Path::new("cfg.json")), problem));
        assert_eq!(failure.class, FailureClass::Config);
        assert_eq!(failure.message, "cfg.json: a.b: is wrong");
        assert_eq!(failure.hint.as_deref(), Some("write 5"));
        assert_eq!(failure.parameter.as_deref(), Some("b"));
    }

    #[test]
    fn only_denied_problems_make_a_denied_failure() {
        let denied = Problem::new("a", "not granted").denied();
        let mut problems = ConfigProblems { file: None, problems: vec![denied.clone(), denied] };
        assert_eq!(Failure::from(problems.clone()).class, FailureClass::Denied);
        problems.problems.push(Problem::new("b", "is wrong"));
        assert_eq!(Failure::from(problems).class, FailureClass::Config);
    }

    #[test]
    fn places_and_texts_cannot_forge_a_message() {
        assert_eq!(Place::of("a").key("b.c\n").index(2).to_string(), "a.\"b.c\\n\"[2]");
        assert_eq!(clip("a\u{1b}[31m\u{202e}'\""), "a\\u{1b}[31m\\u{202e}'\"");
        assert_eq!(clip(&"x".repeat(100)).chars().count(), SHOWN_CHARS + 1);
    }

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["StartDate", "EndDate", "AccessToken"];
        assert_eq!(nearest("startdate", known), Some("StartDate"));
        assert_eq!(nearest("StratDate", known), Some("StartDate"));
        assert_eq!(nearest("Colour", known), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), known), None);
    }
}
