//! The items of one array in a JSON document, found while the document arrives.

use std::{mem, ops::Range};

use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{
    Error, ITEM_BYTES_MAX, Split,
    grammar::{Fault, Scan, is_space},
    input::Input,
    path::Path,
};

/// Most arrays and objects that may be open at a time around the items and beside them. (Within an item, what reads it
/// has a limit of its own: `serde_json` stops at 128.)
pub const LEVELS_MAX: usize = 128;
/// Most names of an object that an error tells.
const NAMES_MAX: usize = 8;
/// The longest name that an error tells, in bytes as it is written in the document.
const NAME_BYTES_MAX: usize = 64;
/// Most bytes of the document for each byte of a name: `\u0061` is an `a`.
const ESCAPED_BYTES_MAX: usize = 6;

/// Splits a JSON document into the items of one array, and builds nothing else.
///
/// The path names the objects to enter, outermost first: `data.items`; the empty path is the document itself. Names
/// that hold a dot are written as a JSON Pointer (RFC 6901): `/data/items.v2`. A path leads through objects only.
///
/// The whole document must be JSON (RFC 8259), what is skipped and what follows the array included. An item is checked
/// and handed on; what it means is up to its type. A name of the path that occurs twice is an error, since JSON does
/// not say which one is meant.
///
/// Memory: the chunks that were fed and not read yet, and one item that spans chunks.
///
/// # Items in chunks
/// ```
/// use bowline_client::stream::{JsonItems, Split};
///
/// let mut items = JsonItems::at("data.items")?;
/// items.feed(r#"{"total": 2, "data": {"items": [{"id": 1}, {"i"#.into());
/// assert_eq!(items.next_bytes()?.as_deref(), Some(&br#"{"id": 1}"#[..]));
/// assert_eq!(items.next_bytes()?, None, "more is needed");
/// items.feed(r#"d": 2}]}}"#.into());
/// items.end();
/// assert_eq!(items.next_bytes()?.as_deref(), Some(&br#"{"id": 2}"#[..]));
/// assert_eq!(items.next_bytes()?, None, "the document is complete");
/// # Ok::<(), bowline_client::stream::Error>(())
/// ```
#[derive(Debug)]
pub struct JsonItems {
    path: Path,
    item_bytes_max: usize,
    input: Input,
    place: Place,
    scan: Scan,
    /// How many objects of the path are open, or were found where the array is.
    level: usize,
    /// For each of them, whether its name of the path was found.
    found: Vec<bool>,
    /// The name that is being read or was read last, as it is written, and no longer than is of use.
    name: Vec<u8>,
    /// The first names of the innermost open object.
    names: Vec<Vec<u8>>,
    item: Item,
    failed: Option<Error>,
}

/// Where in the document the input stands, as far as the path knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before what the path led to so far.
    Value,
    /// In an object of the path.
    FirstName,
    Name,
    InName,
    Colon,
    /// Before or in what the path does not lead to.
    Skipped,
    AfterMember,
    /// In the array.
    FirstItem,
    Item,
    InItem,
    AfterItem,
    /// Behind the document.
    End,
}

/// The item that is being read or was read last.
#[derive(Debug, Default)]
struct Item {
    /// Counted from 0, once there is one.
    count: u64,
    /// Of its first byte, in the document.
    offset: u64,
    /// What earlier chunks had of it.
    begun: Vec<u8>,
    /// Where it began in the current piece.
    start: usize,
    /// How long the last one was: what fits a chunk is read where it lies.
    usual_bytes: usize,
}

/// A complete item.
enum Found {
    /// It lies in one piece of the input.
    Whole(Range<usize>),
    /// It was put together from several.
    Joined,
}

impl JsonItems {
    /// Items of the array at that path.
    ///
    /// # Errors
    /// [`Error::Path`] if it is not one.
    pub fn at(path: &str) -> Result<Self, Error> {
        Path::parse(path).map(Self::on)
    }

    fn on(path: Path) -> Self {
        let found = vec![false; path.len()];
        Self {
            path,
            item_bytes_max: ITEM_BYTES_MAX,
            input: Input::default(),
            place: Place::Value,
            scan: Scan::new(),
            level: 0,
            found,
            name: vec![],
            names: vec![],
            item: Item::default(),
            failed: None,
        }
    }

    /// The largest item, in bytes: 16 MiB unless said.
    ///
    /// # Small items
    /// ```
    /// let items = bowline_client::stream::JsonItems::at("data")?.item_bytes_max(64 * 1024);
    /// # Ok::<(), bowline_client::stream::Error>(())
    /// ```
    pub fn item_bytes_max(mut self, bytes: usize) -> Self {
        self.item_bytes_max = bytes;
        self
    }

    /// Reads on to the end of the next item. `None`: the input is used up.
    fn find(&mut self) -> Result<Option<Found>, Error> {
        loop {
            if self.place == Place::InItem {
                if let Some(found) = self.scan_item()? {
                    return Ok(Some(found));
                }
            } else if self.input.rest().is_empty() {
                if !self.input.advance()? {
                    return self.out_of_input();
                }
            } else {
                self.step()?;
            }
            if self.place == Place::InItem && self.input.rest().is_empty() {
                self.keep_begun();
                if !self.input.advance()? {
                    return self.out_of_input();
                }
                self.item.start = 0;
            }
        }
    }

    /// One token, or what a token's worth of the input holds. There is at least a byte.
    fn step(&mut self) -> Result<(), Error> {
        match self.place {
            Place::InName => return self.read_name(),
            Place::Skipped => return self.skip(),
            Place::Value
            | Place::FirstName
            | Place::Name
            | Place::Colon
            | Place::AfterMember
            | Place::FirstItem
            | Place::Item
            | Place::InItem
            | Place::AfterItem
            | Place::End => {}
        }
        let spaces = self.input.rest().iter().take_while(|byte| is_space(**byte)).count();
        self.input.skip(spaces);
        let Some(&byte) = self.input.rest().first() else { return Ok(()) };
        match (self.place, byte) {
            (Place::Value, _) => return self.enter(byte),
            (Place::FirstName, b'}') | (Place::AfterMember, b'}') => self.leave_object()?,
            (Place::FirstName | Place::Name, b'"') => {
                self.name.clear();
                self.scan.begin_text();
                self.place = Place::InName;
            }
            (Place::Colon, b':') => self.after_colon()?,
            (Place::AfterMember, b',') => self.place = Place::Name,
            (Place::FirstItem | Place::AfterItem, b']') => self.leave(),
            (Place::AfterItem, b',') => self.place = Place::Item,
            (Place::FirstItem | Place::Item, _) => {
                self.begin_item();
                return Ok(());
            }
            (
                Place::FirstName
                | Place::Name
                | Place::InName
                | Place::Colon
                | Place::Skipped
                | Place::AfterMember
                | Place::InItem
                | Place::AfterItem
                | Place::End,
                _,
            ) => return Err(self.unexpected(0)),
        }
        self.input.skip(1);
        Ok(())
    }

    /// The value at the path so far.
    fn enter(&mut self, byte: u8) -> Result<(), Error> {
        let leads_on = self.level < self.path.len();
        let found = match byte {
            b'{' if leads_on => {
                self.names.clear();
                self.place = Place::FirstName;
                self.input.skip(1);
                return Ok(());
            }
            b'[' if !leads_on => {
                self.place = Place::FirstItem;
                self.input.skip(1);
                return Ok(());
            }
            b'{' => "an object",
            b'[' => "an array",
            b'"' => "a string",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            b'-' | b'0'..=b'9' => "a number",
            _ => return Err(self.unexpected(0)),
        };
        let expected = if leads_on { "an object" } else { "an array" };
        Err(Error::Other { at: self.path.prefix(self.level), expected, found, offset: self.input.offset() })
    }

    fn read_name(&mut self) -> Result<(), Error> {
        let rest = self.input.rest();
        let bytes_max = (self.path.name(self.level).len() * ESCAPED_BYTES_MAX).max(NAME_BYTES_MAX);
        let ends = self.scan.run(rest).map_err(|(at, _)| self.unexpected(at))?;
        let read = ends.unwrap_or(rest.len());
        // One more than is of use tells a name that is too long; the closing quote is none of it.
        let kept = (read - usize::from(ends.is_some())).min((bytes_max + 1).saturating_sub(self.name.len()));
        self.name.extend_from_slice(&rest[..kept]);
        if ends.is_some() {
            self.place = Place::Colon;
        }
        self.input.skip(read);
        Ok(())
    }

    /// The name is complete: does the path lead on behind it?
    fn after_colon(&mut self) -> Result<(), Error> {
        let quoted = [b"\"", &self.name[..], b"\""].concat();
        let leads_on =
            serde_json::from_slice::<String>(&quoted).is_ok_and(|name| name == self.path.name(self.level));
        if !leads_on {
            if self.names.len() < NAMES_MAX {
                self.name.truncate(NAME_BYTES_MAX);
                self.names.push(mem::take(&mut self.name));
            }
            // The objects of the path are open around it.
            self.scan.begin(LEVELS_MAX.saturating_sub(self.level + 1));
            self.place = Place::Skipped;
            return Ok(());
        }
        if mem::replace(&mut self.found[self.level], true) {
            let offset = self.input.offset();
            return Err(Error::Repeated { at: self.path.prefix(self.level + 1), offset });
        }
        self.level += 1;
        self.place = Place::Value;
        Ok(())
    }

    fn skip(&mut self) -> Result<(), Error> {
        let rest = self.input.rest();
        let ends = self.scan.run(rest).map_err(|(at, fault)| match fault {
            Fault::Unexpected => self.unexpected(at),
            Fault::TooDeep => {
                Error::TooDeep { offset: self.input.offset() + at as u64, levels_max: LEVELS_MAX }
            }
        })?;
        if ends.is_some() {
            self.place = Place::AfterMember;
        }
        self.input.skip(ends.unwrap_or(rest.len()));
        Ok(())
    }

    fn leave_object(&mut self) -> Result<(), Error> {
        if !self.found[self.level] {
            let names = self.names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            return Err(Error::Missing {
                path: self.path.given().to_owned(),
                within: self.path.prefix(self.level),
                names,
                offset: self.input.offset(),
            });
        }
        self.leave();
        Ok(())
    }

    /// Behind an array or an object of the path.
    fn leave(&mut self) {
        match self.level.checked_sub(1) {
            Some(level) => {
                self.level = level;
                self.place = Place::AfterMember;
            }
            None => self.place = Place::End,
        }
    }

    fn begin_item(&mut self) {
        self.item.offset = self.input.offset();
        self.item.start = self.input.at;
        self.item.begun.clear();
        // Each level takes a bit, and an item's size has a limit.
        self.scan.begin(usize::MAX);
        self.place = Place::InItem;
    }

    /// Reads on in the item, and not beyond the limit: so that its error does not depend on where chunks end.
    fn scan_item(&mut self) -> Result<Option<Found>, Error> {
        let rest = self.input.rest();
        let before = self.item.begun.len() + self.input.at - self.item.start;
        // A number needs to see what follows it.
        let window = &rest[..rest.len().min((self.item_bytes_max - before).saturating_add(1))];
        let ends = self.scan.run(window).map_err(|(at, _)| self.unexpected(at))?;
        let read = ends.unwrap_or(window.len());
        if before + read > self.item_bytes_max {
            return Err(self.too_large());
        }
        self.input.skip(read);
        Ok(ends.map(|_| {
            let whole = self.item.start..self.input.at;
            if self.item.begun.is_empty() {
                self.complete(whole.len());
                return Found::Whole(whole);
            }
            self.item.begun.extend_from_slice(&self.input.piece()[whole]);
            self.complete(self.item.begun.len());
            Found::Joined
        }))
    }

    fn complete(&mut self, bytes: usize) {
        self.place = Place::AfterItem;
        self.item.usual_bytes = bytes;
        self.item.count += 1;
    }

    /// The piece ends within the item.
    fn keep_begun(&mut self) {
        self.item.begun.extend_from_slice(&self.input.piece()[self.item.start..]);
        self.item.start = self.input.piece().len();
    }

    fn too_large(&self) -> Error {
        Error::TooLarge { index: self.item.count, offset: self.item.offset, bytes_max: self.item_bytes_max }
    }

    /// Reads an item where it lies, without a look for its end beforehand: what reads it finds that as well. `None`
    /// leaves everything as it was: it does not fit, or is not all there.
    fn read_in_place<T: DeserializeOwned>(&mut self) -> Option<T> {
        let rest = self.input.rest_as_text();
        if rest.len() <= self.item.usual_bytes {
            return None;
        }
        let mut reader = serde_json::Deserializer::from_str(rest);
        let value = T::deserialize(&mut reader).ok()?;
        let bytes = reader.into_iter::<IgnoredAny>().byte_offset();
        // A number may go on in the next chunk; a type that is content with anything may have read too little.
        let ends =
            rest.bytes().skip(bytes).find(|byte| !is_space(*byte)).is_some_and(|byte| b",]".contains(&byte));
        if bytes == 0 || !ends || bytes > self.item_bytes_max {
            return None;
        }
        self.input.skip(bytes);
        self.complete(bytes);
        Some(value)
    }

    /// At the beginning of an item's first byte, with input.
    fn is_before_item(&mut self) -> Result<bool, Error> {
        while self.place != Place::InItem {
            if self.input.rest().is_empty() {
                if !self.input.advance()? {
                    return Ok(false);
                }
            } else {
                self.step()?;
            }
        }
        Ok(self.item.begun.is_empty() && self.item.start == self.input.at && !self.input.rest().is_empty())
    }

    fn unexpected(&self, at: usize) -> Error {
        let found = self.input.rest()[at];
        Error::Syntax { offset: self.input.offset() + at as u64, expected: self.expected(), found }
    }

    fn expected(&self) -> &'static str {
        match self.place {
            Place::Value => "a value",
            Place::FirstName => "a name in quotes or `}`",
            Place::Name => "a name in quotes",
            Place::Colon => "`:`",
            Place::AfterMember => "`,` or `}`",
            Place::FirstItem => "a value or `]`",
            Place::Item => "a value",
            Place::AfterItem => "`,` or `]`",
            Place::InName | Place::Skipped | Place::InItem => self.scan.expected(),
            Place::End => "nothing more",
        }
    }

    fn out_of_input(&self) -> Result<Option<Found>, Error> {
        if !self.input.ended {
            Ok(None)
        } else if self.place != Place::End {
            Err(Error::Truncated { offset: self.input.fed, expected: self.expected() })
        } else if self.input.is_within_a_character() {
            Err(Error::NotUtf8 { offset: self.input.offset() })
        } else {
            Ok(None)
        }
    }

    /// Nothing follows an error, whatever is fed.
    fn or_failed<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| self.failed = Some(error.clone()))
    }
}

impl Split for JsonItems {
    const FORMAT: &'static str = "JSON";

    fn anew(&self) -> Self {
        Self::on(self.path.clone()).item_bytes_max(self.item_bytes_max)
    }

    fn feed(&mut self, chunk: Bytes) {
        self.input.feed(chunk);
    }

    fn end(&mut self) {
        self.input.ended = true;
    }

    fn next_bytes(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let found = self.find();
        Ok(self.or_failed(found)?.map(|found| match found {
            Found::Whole(range) => self.input.piece().slice(range),
            Found::Joined => mem::take(&mut self.item.begun).into(),
        }))
    }

    fn next_item<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let before = self.is_before_item();
        if self.or_failed(before)?
            && let Some(value) = self.read_in_place()
        {
            return Ok(Some(value));
        }
        let found = self.find();
        let Some(found) = self.or_failed(found)? else { return Ok(None) };
        let bytes = match &found {
            Found::Whole(range) => &self.input.piece()[range.clone()],
            Found::Joined => &self.item.begun[..],
        };
        let value = serde_json::from_slice(bytes);
        value.map(Some).map_err(|error| Error::item(self.item.count - 1, self.item.offset, &error))
    }
}
