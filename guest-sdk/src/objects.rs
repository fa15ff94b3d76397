//! JSON objects straight into columns: which key belongs to which column, found
//! by position where objects look alike and by hash where they do not.

use std::collections::HashMap;

use crate::columns::Slots;
use crate::convert::{Epoch, Scratch};
use crate::error::{Error, Result};
use crate::json::{self, Pointer, Scanner, Token};
use crate::record::Cell;
use crate::stream::{DataType, Field};

/// Keys whose order is remembered, and the longest of them: what a source may
/// make us keep.
const ORDER: usize = 1024;
const LONGEST_KEY: usize = 256;

/// Names of keys without a column that are told.
const EXTRAS: usize = 20;

/// Bytes of a value that a message quotes.
const QUOTED: usize = 100;

/// How objects are read: what [`Open`](crate::Open) says of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    pub(crate) places: Vec<(String, String)>,
    pub(crate) null_texts: Vec<String>,
    pub(crate) epoch: Option<Epoch>,
    /// Whether keys without a column are told.
    pub(crate) tell_extras: bool,
}

/// Where the values of a table's objects go.
pub(crate) struct Objects {
    /// The levels of the objects in which columns are found; the first is the
    /// object itself.
    levels: Vec<Level>,
    columns: HashMap<String, usize>,
    /// Columns that take the value of another one's place, too: the other, then
    /// they.
    twins: Vec<(usize, usize)>,
    marks: Vec<Mark>,
    row: u64,
    null_texts: Vec<String>,
    epoch: Option<Epoch>,
    scratch: Scratch,
    key: String,
    /// Keys of the objects themselves that have no column, if they are to be told.
    extras: Option<Vec<Box<str>>>,
}

/// What is known of the keys of one level.
struct Level {
    /// Where in the object it lies, for messages.
    path: String,
    keys: HashMap<String, Target>,
    /// Whether it was `null` in an object.
    was_null: bool,
    /// The keys in the order of the first object, in their quotes.
    order: Vec<(Box<str>, Option<Target>)>,
}

/// Where the value of a key goes: to a column, to a level of its own, or both.
#[derive(Debug, Clone, Copy, Default)]
struct Target {
    column: Option<usize>,
    level: Option<usize>,
}

/// What happened to a column.
#[derive(Clone, Copy, Default)]
struct Mark {
    /// The last row that has a value of it.
    row: u64,
    /// Whether the connector gave it, and not the object.
    given: bool,
    /// Whether any object had it.
    seen: bool,
}

impl Objects {
    pub(crate) fn new<'f>(fields: impl Iterator<Item = &'f Field>, reading: &Reading) -> Result<Self> {
        let fields: Vec<&Field> = fields.collect();
        let columns: HashMap<String, usize> =
            fields.iter().enumerate().map(|(index, field)| (field.name.clone(), index)).collect();
        let mut objects = Self {
            levels: vec![Level::new(String::new())],
            twins: Vec::new(),
            marks: vec![Mark::default(); fields.len()],
            row: 0,
            null_texts: reading.null_texts.clone(),
            epoch: reading.epoch,
            scratch: Scratch::default(),
            key: String::new(),
            extras: reading.tell_extras.then(Vec::new),
            columns,
        };
        for (name, _) in &reading.places {
            if !objects.columns.contains_key(name) {
                return Err(Error::internal(format!("there is no field `{name}`")));
            }
        }
        for (index, field) in fields.iter().enumerate() {
            let place = reading.places.iter().find(|(name, _)| *name == field.name);
            let steps = match place {
                Some((_, place)) => Pointer::parse(place)?.steps,
                None => vec![field.name.clone()],
            };
            objects.place(index, &field.name, &steps)?;
        }
        Ok(objects)
    }

    /// Lets a column take the value at a place.
    fn place(&mut self, column: usize, name: &str, steps: &[String]) -> Result<()> {
        let mut level = 0;
        let Some((last, above)) = steps.split_last() else {
            return Err(Error::internal(format!("field `{name}` cannot be the whole object")));
        };
        for step in above {
            let next = self.levels.len();
            let Some(here) = self.levels.get_mut(level) else { break };
            let path = format!("{}/{step}", here.path);
            level = *here.keys.entry(step.clone()).or_default().level.get_or_insert(next);
            if level == next {
                self.levels.push(Level::new(path));
            }
        }
        if let Some(level) = self.levels.get_mut(level) {
            let first = *level.keys.entry(last.clone()).or_default().column.get_or_insert(column);
            if first != column {
                self.twins.push((first, column));
            }
        }
        Ok(())
    }

    /// Reads one object into a row.
    pub(crate) fn read(
        &mut self,
        slots: &mut Slots<'_>,
        scanner: &mut Scanner<'_>,
        given: &[(&str, Cell<'_>)],
    ) -> Result<()> {
        self.row += 1;
        for (name, cell) in given {
            let column = self.columns.get(*name).copied();
            let column = column.ok_or_else(|| Error::internal(format!("there is no field `{name}`")))?;
            slots.put(column, *cell)?;
            if let Some(mark) = self.marks.get_mut(column) {
                *mark = Mark { row: self.row, given: true, seen: true };
            }
        }
        if scanner.peek() != Some(b'{') {
            return Err(Error::invalid_data(format!("{} is no object", quoted(scanner)?)));
        }
        self.object(0, slots, scanner)?;
        for (column, mark) in self.marks.iter().enumerate() {
            if mark.row != self.row {
                slots.absent(column)?;
            }
        }
        Ok(())
    }

    /// One level; the author's pointers bound how deep it calls itself.
    fn object(&mut self, level: usize, slots: &mut Slots<'_>, scanner: &mut Scanner<'_>) -> Result<()> {
        scanner.take(b'{');
        if scanner.take(b'}') {
            return Ok(());
        }
        let mut place = 0;
        loop {
            match self.target(level, &mut place, scanner)? {
                None => {
                    scanner.skip()?;
                }
                Some(Target { column: Some(column), level: None }) => self.value(column, slots, scanner)?,
                Some(target) => self.nested(target, slots, scanner)?,
            }
            if !scanner.another(b'}')? {
                return Ok(());
            }
        }
    }

    /// Takes the next key; answers where its value goes. `place` is how many keys
    /// were as expected.
    #[inline]
    fn target(
        &mut self,
        level: usize,
        place: &mut usize,
        scanner: &mut Scanner<'_>,
    ) -> Result<Option<Target>> {
        let Some(here) = self.levels.get_mut(level) else { return Ok(None) };
        // The key that comes now in other objects, or the one after it.
        for (skipped, (known, target)) in here.order.iter().skip(*place).take(2).enumerate() {
            if scanner.take_key(known) {
                *place += skipped + 1;
                return Ok(*target);
            }
        }
        let key = scanner.key()?;
        let name = key.decode(&mut self.key);
        let target = name.and_then(|name| here.keys.get(name).copied());
        if let (Some(extras), Some(name)) = (self.extras.as_mut(), name)
            && target.is_none()
            && level == 0
            && extras.len() < EXTRAS
            && !extras.iter().any(|known| **known == *name)
        {
            extras.push(json::start(name, LONGEST_KEY).into());
        }
        if *place == here.order.len() && *place < ORDER && key.raw.len() <= LONGEST_KEY {
            here.order.push((format!("\"{}\"", key.raw).into(), target));
            *place += 1;
        }
        Ok(target)
    }

    /// A value in which columns are found.
    fn nested(&mut self, target: Target, slots: &mut Slots<'_>, scanner: &mut Scanner<'_>) -> Result<()> {
        let mut inside = *scanner;
        let mut end = *scanner;
        end.skip()?;
        if let Some(level) = target.level {
            match inside.peek() {
                Some(b'{') => self.object(level, slots, &mut inside)?,
                Some(b'n') => self.no_object(level),
                _ => {
                    let path = self.levels.get(level).map_or("", |level| &level.path);
                    return Err(Error::invalid_data(format!(
                        "`{path}` is no object but {}",
                        quoted(&inside)?
                    )));
                }
            }
        }
        if let Some(column) = target.column {
            self.value(column, slots, scanner)?;
        }
        *scanner = end;
        Ok(())
    }

    /// A level that is `null`: the source has it, so that its columns are not
    /// told as missing.
    fn no_object(&mut self, level: usize) {
        let Some(here) = self.levels.get_mut(level).filter(|here| !here.was_null) else { return };
        here.was_null = true;
        let targets: Vec<Target> = here.keys.values().copied().collect();
        for target in targets {
            if let Some(column) = target.column {
                let twins = self.twins.iter().filter(|(first, _)| *first == column).map(|(_, twin)| *twin);
                for column in twins.chain([column]) {
                    if let Some(mark) = self.marks.get_mut(column) {
                        mark.seen = true;
                    }
                }
            }
            if let Some(below) = target.level {
                self.no_object(below);
            }
        }
    }

    /// The value of a place, for each column that takes it.
    #[inline]
    fn value(&mut self, column: usize, slots: &mut Slots<'_>, scanner: &mut Scanner<'_>) -> Result<()> {
        let start = *scanner;
        self.column(column, slots, scanner)?;
        for index in 0..self.twins.len() {
            if let Some((first, twin)) = self.twins.get(index).copied()
                && first == column
            {
                self.column(twin, slots, &mut { start })?;
            }
        }
        Ok(())
    }

    /// The value of a column.
    #[inline]
    fn column(&mut self, column: usize, slots: &mut Slots<'_>, scanner: &mut Scanner<'_>) -> Result<()> {
        let Some(mark) = self.marks.get_mut(column) else { return Ok(()) };
        if mark.row == self.row {
            if mark.given {
                scanner.skip()?;
                return Ok(());
            }
            return Err(Error::invalid_data(format!("field `{}` stands twice", slots.name(column))));
        }
        *mark = Mark { row: self.row, given: false, seen: true };
        let Some(data_type) = slots.data_type(column) else {
            scanner.skip()?;
            return Ok(());
        };
        // What most values are.
        if data_type == DataType::Int64
            && let Some(value) = scanner.short_integer()
        {
            return slots.put(column, Cell::Int(value));
        }
        if data_type == DataType::Text
            && let Some(text) = scanner.plain_text()
        {
            return slots.put(column, Cell::Text(text));
        }
        let start = *scanner;
        let token = scanner.token()?;
        if token == Token::Nested || (data_type == DataType::Json && token != Token::Null) {
            *scanner = start;
            let text = scanner.value()?;
            return match data_type {
                DataType::Json | DataType::Text => slots.put(column, Cell::Text(text)),
                _ => Err(slots.refused(column, &quoted(&start)?)),
            };
        }
        match self.scratch.cell(data_type, token, self.epoch) {
            Some(cell) => slots.put(column, cell),
            None => self.unfit(column, token, slots, &start),
        }
    }

    /// What the column cannot hold: a text that stands for nothing, or an error.
    #[cold]
    fn unfit(
        &mut self,
        column: usize,
        token: Token<'_>,
        slots: &mut Slots<'_>,
        start: &Scanner<'_>,
    ) -> Result<()> {
        if let Token::Text(text) = token
            && let Some(text) = text.decode(&mut self.key)
            && self.null_texts.iter().any(|known| known == text)
        {
            return slots.put(column, Cell::Null);
        }
        Err(slots.refused(column, &quoted(start)?))
    }

    /// The keys that had no column, as far as they are told.
    pub(crate) fn extras(&self) -> &[Box<str>] {
        self.extras.as_deref().unwrap_or_default()
    }

    /// The columns that none of the objects had, if there were any.
    pub(crate) fn never_seen(&self) -> impl Iterator<Item = usize> {
        let marks = self.marks.iter().enumerate().filter(|_| self.row > 0);
        marks.filter(|(_, mark)| !mark.seen).map(|(column, _)| column)
    }
}

impl Level {
    fn new(path: String) -> Self {
        Self { path, keys: HashMap::new(), was_null: false, order: Vec::new() }
    }
}

/// The value that begins here, for a message.
fn quoted(scanner: &Scanner<'_>) -> Result<String> {
    let mut scanner = *scanner;
    let text = scanner.value()?;
    let shown = json::start(text, QUOTED);
    Ok(format!("`{shown}{}`", if shown.len() < text.len() { "…" } else { "" }))
}

#[cfg(test)]
mod tests;
