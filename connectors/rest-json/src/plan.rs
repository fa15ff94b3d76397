//! The streams as they are to be imported: checked, in the order of their
//! parents, with the operator's choice of columns.

use std::collections::BTreeSet;
use std::rc::Rc;

use ow_connector::prelude::*;

use crate::format::Format;
use crate::settings::{Column, Method, Pagination, RecordsAre, Settings, StreamSettings};
use crate::template::{Name, Row, Scope, Template, texts};

/// A stream, checked.
pub(crate) struct Source {
    pub(crate) settings: StreamSettings,
    pub(crate) path: Template,
    /// The stream that it is a child of, and its own children.
    pub(crate) parent: Option<usize>,
    pub(crate) children: Vec<usize>,
    /// The fields of a parent's record that it wants.
    pub(crate) names: BTreeSet<String>,
    /// The fields of its own records that its children want.
    pub(crate) wanted: BTreeSet<String>,
    /// How its times and days are written.
    pub(crate) format: Option<Format>,
    /// The columns that the operator chose; nothing where the stream was not
    /// chosen, all where the list is empty.
    pub(crate) chosen: Option<Vec<String>>,
}

/// All streams.
pub(crate) struct Plan {
    pub(crate) sources: Vec<Rc<Source>>,
}

fn wrong(message: impl std::fmt::Display) -> Error {
    Error::config(format!("`Streams`: {message}")).parameter("Streams")
}

impl Plan {
    /// Checks the configuration.
    pub(crate) fn new(config: &Settings) -> Result<Self> {
        for (parameter, values) in [("Headers", &config.headers), ("Query", &config.query)] {
            for (name, value) in values {
                let check = || known_names(&Template::parse(&value.0)?, config, None);
                check().map_err(|error| error.context(format_args!("`{name}`")).parameter(parameter))?;
            }
        }
        for (index, rule) in config.errors.iter().enumerate() {
            if let Some(problem) = rule.problem() {
                return Err(
                    Error::config(format!("`Errors`: rule {}: {problem}", index + 1)).parameter("Errors")
                );
            }
        }
        let mut sources = Vec::new();
        for settings in &config.streams {
            let source = Source::new(settings, config);
            sources.push(source.map_err(|error| wrong(format_args!("`{}`: {error}", settings.name)))?);
        }
        relate(&mut sources)?;
        choose(&mut sources, &config.fields)?;
        Ok(Self { sources: sources.into_iter().map(Rc::new).collect() })
    }

    /// The streams that are nobody's children.
    pub(crate) fn roots(&self) -> impl Iterator<Item = usize> {
        self.sources.iter().enumerate().filter(|(_, source)| source.parent.is_none()).map(|(index, _)| index)
    }

    pub(crate) fn source(&self, index: usize) -> Result<Rc<Source>> {
        self.sources.get(index).cloned().ok_or_else(|| Error::internal("there is no such stream"))
    }

    /// Whether a stream or one below it was chosen.
    pub(crate) fn is_needed(&self, index: usize) -> bool {
        self.sources.get(index).is_some_and(|source| {
            source.chosen.is_some() || source.children.iter().any(|child| self.is_needed(*child))
        })
    }
}

impl Source {
    fn new(settings: &StreamSettings, config: &Settings) -> Result<Self> {
        let path = Template::parse(&settings.path)?;
        let mut names: BTreeSet<String> =
            settings.parent.iter().flat_map(|parent| parent.columns.values()).cloned().collect();
        let mut used = Vec::new();
        let values = settings.query.values().chain(settings.headers.values());
        let mut all: Vec<&str> = values.map(|value| value.0.as_str()).collect();
        all.push(&settings.path);
        if let Some(body) = &settings.body {
            texts(body, &mut all);
        }
        let of_all = config.query.values().chain(config.headers.values()).map(|value| value.0.as_str());
        for text in all.into_iter().chain(of_all) {
            let template = Template::parse(text)?;
            known_names(&template, config, Some(settings))?;
            used.extend(template.names().cloned());
        }
        names.extend(used.iter().filter_map(|name| match name {
            Name::Parent(field) => Some(field.clone()),
            _ => None,
        }));
        check_shape(settings)?;
        let format = check_time(settings, &used)?;
        let (settings, parent) = (settings.clone(), None);
        Ok(Self {
            settings,
            path,
            parent,
            children: Vec::new(),
            names,
            wanted: BTreeSet::new(),
            format,
            chosen: Some(Vec::new()),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether columns are found out from the records.
    pub(crate) fn is_learned(&self) -> bool {
        self.settings.infer.unwrap_or(self.settings.schema.is_empty())
    }

    pub(crate) fn is_optional(&self) -> bool {
        self.settings.records_are == RecordsAre::OptionalList
    }

    /// Under which key the state says how far it got: one for each record of its parent.
    pub(crate) fn key(&self, parent: Option<&Row>) -> String {
        let values = parent.iter().flat_map(|row| self.names.iter().filter_map(|name| row.get(name)));
        let values: Vec<String> =
            values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
        if values.is_empty() {
            self.name().to_owned()
        } else {
            format!("{}/{}", self.name(), values.join(","))
        }
    }

    /// The parameters of days and of what changed since.
    pub(crate) fn parameters(&self, scope: &Scope<'_>) -> Vec<(&str, String)> {
        let (window, incremental) = (self.settings.window.as_ref(), self.settings.incremental.as_ref());
        let pairs = [
            (window.and_then(|window| window.start_parameter.as_deref()), scope.start),
            (window.and_then(|window| window.end_parameter.as_deref()), scope.end),
            (incremental.and_then(|incremental| incremental.parameter.as_deref()), scope.cursor),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name?, value?.to_owned()))).collect()
    }

    /// The declared columns in their order: the key first.
    pub(crate) fn declared(&self) -> impl Iterator<Item = (&str, &Column)> {
        let key = |name: &String| self.settings.primary_key.contains(name);
        let schema = || self.settings.schema.iter();
        let first = schema().filter(move |(name, _)| key(name));
        first
            .chain(schema().filter(move |(name, _)| !key(name)))
            .map(|(name, column)| (name.as_str(), column))
    }

    /// Whether a column holds a field of the parent's record.
    pub(crate) fn of_parent(&self, column: &str) -> bool {
        self.settings.parent.as_ref().is_some_and(|parent| parent.columns.contains_key(column))
    }
}

/// Fails for names that mean nothing here.
fn known_names(template: &Template, config: &Settings, stream: Option<&StreamSettings>) -> Result<()> {
    let needs = |what: &str, section: &str| Err(Error::config(format!("`{{{what}}}` needs `{section}`")));
    for name in template.names() {
        match (name, stream) {
            (Name::Secret(name), _) if !config.secrets.contains_key(name) => {
                let known: Vec<String> = config.secrets.keys().map(|name| format!("`{name}`")).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Error::config(format!("there is no secret `{name}` in `Secrets`, but {known}")));
            }
            (Name::Parent(_) | Name::Start | Name::End | Name::Cursor, None) => {
                return Err(Error::config("only `{secrets.NAME}` may stand in what all requests share"));
            }
            (Name::Parent(field), Some(stream)) if stream.parent.is_none() => {
                return needs(&format!("parent.{field}"), "Parent");
            }
            (Name::Start, Some(stream)) if stream.window.is_none() => return needs("start", "Window"),
            (Name::End, Some(stream)) if stream.window.is_none() => return needs("end", "Window"),
            (Name::Cursor, Some(stream)) if stream.incremental.is_none() => {
                return needs("cursor", "Incremental");
            }
            _ => {}
        }
    }
    Ok(())
}

/// What does not fit together in one stream.
fn check_shape(settings: &StreamSettings) -> Result<()> {
    let fail = |message: String| Err(Error::config(message));
    if settings.name.is_empty() || settings.name.contains(|c: char| c.is_whitespace() || c == ',') {
        return fail("a name has no blanks and no commas".to_owned());
    }
    if settings.body.is_some() && settings.method == Method::Get {
        return fail("a GET request has no `Body`; say `\"Method\": \"POST\"`".to_owned());
    }
    let window = settings.window.iter().flat_map(|window| [&window.start_parameter, &window.end_parameter]);
    let mut parameters =
        window.chain(settings.incremental.iter().map(|incremental| &incremental.parameter)).flatten();
    if settings.method == Method::Get
        && let Some(place) = parameters.find(|name| name.starts_with('/'))
    {
        return fail(format!("`{place}` is a place in a body, which a GET request has none of"));
    }
    let counted = matches!(settings.pagination, Some(Pagination::Page { .. } | Pagination::Offset { .. }));
    if settings.records_are == RecordsAre::Object && counted {
        return fail("pages of one object have no end; count pages of a list".to_owned());
    }
    if let Some(Pagination::Page { size, size_parameter, .. }) = &settings.pagination
        && size.is_some() != size_parameter.is_some()
    {
        return fail("`Size` and `SizeParameter` go together".to_owned());
    }
    let mut places = BTreeSet::new();
    for (name, column) in &settings.schema {
        let place = column.in_full().from.clone().unwrap_or_else(|| format!("/{}", escaped(name)));
        if !places.insert(place.clone()) {
            return fail(format!("two columns are found at `{place}`"));
        }
    }
    let inferred = settings.infer.unwrap_or(settings.schema.is_empty());
    let parents = settings.parent.iter().flat_map(|parent| parent.columns.keys());
    let known: BTreeSet<&String> = settings.schema.keys().chain(parents).collect();
    match settings.primary_key.iter().find(|name| !inferred && !known.contains(name)) {
        Some(name) => fail(format!("`{name}` of the `PrimaryKey` is no column; name it in `Schema`")),
        None => Ok(()),
    }
}

/// A key as a step of a JSON pointer.
pub(crate) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// How the stream's times are written, if it has a time axis that its requests
/// speak of.
fn check_time(settings: &StreamSettings, used: &[Name]) -> Result<Option<Format>> {
    match (&settings.window, &settings.incremental) {
        (Some(_), Some(_)) => Err(Error::config("a stream has a `Window` or is `Incremental`, not both")),
        (Some(window), None) => {
            if window.start_parameter.is_none() && !used.contains(&Name::Start) {
                let hint =
                    "the `Window` reaches no request: give `StartParameter`, or put `{start}` somewhere";
                return Err(Error::config(hint));
            }
            Format::parse(&window.format).map(Some)
        }
        (None, Some(incremental)) => {
            if incremental.parameter.is_none() && !used.contains(&Name::Cursor) {
                let hint = "`Incremental` reaches no request: give `Parameter`, or put `{cursor}` somewhere";
                return Err(Error::config(hint));
            }
            incremental.format.as_deref().map(Format::parse).transpose()
        }
        (None, None) => Ok(None),
    }
}

/// Finds each stream's parent and tells it what its children want.
fn relate(sources: &mut [Source]) -> Result<()> {
    let names: Vec<String> = sources.iter().map(|source| source.name().to_owned()).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.to_lowercase())) {
        return Err(wrong(format_args!("there are two streams `{twice}`")));
    }
    let mut wanted = vec![(Vec::new(), BTreeSet::new()); sources.len()];
    for (index, source) in sources.iter_mut().enumerate() {
        let Some(parent) = source.settings.parent.as_ref().map(|parent| &parent.stream) else { continue };
        let Some(at) = names.iter().position(|name| name == parent) else {
            let known: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let message = format!(
                "`{}`: there is no stream `{parent}`, but {}",
                source.settings.name,
                known.join(", ")
            );
            return Err(wrong(message));
        };
        source.parent = Some(at);
        if let Some((children, fields)) = wanted.get_mut(at) {
            children.push(index);
            fields.extend(source.names.iter().cloned());
        }
    }
    for (source, (children, fields)) in sources.iter_mut().zip(wanted) {
        (source.children, source.wanted) = (children, fields);
    }
    for source in sources.iter() {
        let mut above = source.parent;
        for _ in 0..sources.len() {
            above = above.and_then(|above| sources.get(above)?.parent);
        }
        if above.is_some() {
            return Err(wrong(format_args!("`{}` is its own parent", source.name())));
        }
    }
    Ok(())
}

/// Reads `Fields`. Which columns a stream has that learns them is known later.
fn choose(sources: &mut [Source], fields: &str) -> Result<()> {
    if fields.trim().is_empty() {
        return Ok(());
    }
    let nodes = sources.iter().map(|source| (source.name().to_owned(), stand_in(source, fields)));
    let selection = select_fields(fields, "Fields", nodes)?;
    for source in sources {
        let found = selection.iter().find(|selection| selection.node == source.name());
        source.chosen = found.map(|found| match source.is_learned() {
            true => named(fields, source.name()),
            false => found.fields.clone(),
        });
    }
    Ok(())
}

/// The columns that `Fields` names of a stream; none means all of them.
fn named(fields: &str, stream: &str) -> Vec<String> {
    let pairs = fields
        .split(',')
        .map(|pair| pair.trim().split_once(char::is_whitespace).unwrap_or((pair.trim(), "")));
    let own: Vec<&str> = pairs.filter(|(node, _)| *node == stream).map(|(_, field)| field.trim()).collect();
    if own.contains(&"") { Vec::new() } else { own.into_iter().map(str::to_owned).collect() }
}

/// A stream with its columns, or with those that `Fields` names where the others
/// are not known yet.
fn stand_in(source: &Source, fields: &str) -> Stream {
    let mut names: Vec<String> = source.settings.schema.keys().cloned().collect();
    names.extend(source.settings.parent.iter().flat_map(|parent| parent.columns.keys().cloned()));
    if source.is_learned() {
        names.extend(named(fields, source.name()));
        names.push("*".to_owned());
    }
    let stream = Stream::new(source.name()).primary_key(source.settings.primary_key.clone());
    names.into_iter().fold(stream, |stream, name| stream.field(Field::of::<String>(name)))
}
