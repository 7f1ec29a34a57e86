//! The elements at one path of an XML document, found while the document arrives.

mod tag;

use std::mem;

use bytes::Bytes;
use memchr::{memchr, memchr3};
use serde::de::DeserializeOwned;

use self::tag::{Kind, Tag, check_instruction, is_called};
use super::{Error, ITEM_BYTES_MAX, LEVELS_MAX, Split, input::Input, path::Path};

/// Most names of elements that an error tells.
const NAMES_MAX: usize = 8;
/// What a document may begin with: a mark that it is UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();
const COMMENT: &[u8] = b"!--";
const CDATA: &[u8] = b"![CDATA[";

/// Splits an XML document into the elements at one path, and builds nothing else.
///
/// The path names elements from the root on: `feed.entry` are all `entry` directly in the root `feed`. Names that hold
/// a dot are separated by slashes: `/feed/entry.v2`. There may be other elements before, between and behind. None at all
/// is no error, for XML does not tell an empty list from one that is left out; but what the path leads through must be
/// there.
///
/// A name of the path without a prefix stands for that name with any prefix or none; one with a prefix (`soap:Body`) for
/// exactly what is written. Namespaces themselves are not looked at.
///
/// An element is read into a type as `quick-xml` does it: attributes as `@name`, text as `$text`, children by their names
/// without prefix, one that repeats as a `Vec`. Its prefixes may be declared around it: they are not looked up.
///
/// Refused are document type declarations, and with them entities (but for the five that XML has, and characters by
/// number), encodings other than UTF-8, and more than [`LEVELS_MAX`] elements within each other. Of what is skipped,
/// tags are checked, text is not.
///
/// Memory: the chunks that were fed and not read yet, and one element that spans chunks.
///
/// # Entries of a feed
/// ```
/// use bowline_client::stream::{Split, XmlElements};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, PartialEq, Debug)]
/// struct Entry { #[serde(rename = "@id")] id: u32, title: String }
///
/// let mut entries = XmlElements::at("feed.entry")?;
/// entries.feed(r#"<a:feed xmlns:a="urn:a"><a:updated/><a:entry id="1"><a:title>R &amp; D</a:ti"#.into());
/// assert_eq!(entries.next_item::<Entry>()?, None, "more is needed");
/// entries.feed("tle></a:entry></a:feed>".into());
/// entries.end();
/// assert_eq!(entries.next_item()?, Some(Entry { id: 1, title: "R & D".into() }));
/// assert_eq!(entries.next_item::<Entry>()?, None, "the document is complete");
/// # Ok::<(), bowline_client::stream::Error>(())
/// ```
#[derive(Debug)]
pub struct XmlElements {
    path: Path,
    item_bytes_max: usize,
    input: Input,
    place: Place,
    /// The names of all open elements, one behind the other, and where each begins.
    names: Vec<u8>,
    open: Vec<usize>,
    /// How many of the open elements are those of the path.
    level: usize,
    /// The most that there ever were, and the first names beside the path's own next to them.
    deepest: usize,
    others: Vec<String>,
    held: Held,
    /// Where the markup that is being read begins in what is held.
    markup: usize,
    count: u64,
    failed: Option<Error>,
}

/// Where in the document the input stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// So many bytes of a mark were seen.
    Mark(usize),
    Text,
    /// Behind `<`.
    Markup,
    /// So many bytes of a comment's or CDATA's beginning were seen.
    Begun(&'static [u8], usize),
    Tag {
        quote: Option<u8>,
    },
    /// Up to two of a byte and a `>`; so many of them were just seen.
    Comment(usize),
    CData(usize),
    Instruction(usize),
}

/// Markup or an item, from its first byte on.
#[derive(Debug, Default)]
struct Held {
    is_held: bool,
    /// Of its first byte.
    offset: u64,
    /// What earlier pieces had of it.
    begun: Vec<u8>,
    /// Where it began in the current piece.
    start: usize,
}

impl Held {
    fn bytes(&self, at: usize) -> usize {
        if self.is_held { self.begun.len() + at - self.start } else { 0 }
    }
}

impl XmlElements {
    /// The elements at that path.
    ///
    /// # Errors
    /// [`Error::Path`] if it is not one.
    pub fn at(path: &str) -> Result<Self, Error> {
        if path.is_empty() {
            return Err(Error::Path { path: String::new(), problem: "it names the root at least" });
        }
        Path::parse(path).map(Self::on)
    }

    fn on(path: Path) -> Self {
        Self {
            path,
            item_bytes_max: ITEM_BYTES_MAX,
            input: Input::default(),
            place: Place::Mark(0),
            names: vec![],
            open: vec![],
            level: 0,
            deepest: 0,
            others: vec![],
            held: Held::default(),
            markup: 0,
            count: 0,
            failed: None,
        }
    }

    /// The largest element, in bytes: 16 MiB unless said. No tag may be longer, either.
    ///
    /// # Small elements
    /// ```
    /// let entries = bowline_client::stream::XmlElements::at("feed.entry")?.item_bytes_max(64 * 1024);
    /// # Ok::<(), bowline_client::stream::Error>(())
    /// ```
    pub fn item_bytes_max(mut self, bytes: usize) -> Self {
        self.item_bytes_max = bytes;
        self
    }

    fn is_in_item(&self) -> bool {
        self.level == self.path.len()
    }

    /// Reads on to the end of the next element at the path, and takes it. `None`: the input is used up.
    fn find(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.input.rest().is_empty() {
                if self.held.is_held {
                    self.held.begun.extend_from_slice(&self.input.piece()[self.held.start..]);
                    self.held.start = self.input.piece().len();
                }
                if !self.input.advance()? {
                    return self.out_of_input();
                }
                self.held.start = 0;
                continue;
            }
            let before = self.check_size()?;
            // Not beyond the limit: so that its error does not depend on where chunks end.
            let rest = self.input.rest();
            let window = rest.len().min((self.item_bytes_max - before).saturating_add(1));
            if let Some(item) = self.step(window)? {
                return Ok(Some(item));
            }
        }
    }

    /// How much is held.
    fn check_size(&self) -> Result<usize, Error> {
        let (bytes, bytes_max) = (self.held.bytes(self.input.at), self.item_bytes_max);
        if bytes > bytes_max {
            return Err(Error::TooLarge { index: self.count, offset: self.held.offset, bytes_max });
        }
        Ok(bytes)
    }

    /// A piece of one token.
    fn step(&mut self, window: usize) -> Result<Option<Bytes>, Error> {
        let bytes = &self.input.rest()[..window];
        let first = bytes[0];
        match self.place {
            Place::Mark(seen) => self.read_mark(seen, first),
            Place::Text => self.read_text(window)?,
            Place::Markup => {
                self.place = match first {
                    b'!' if self.open.is_empty() => Place::Begun(COMMENT, 0),
                    b'!' => Place::Begun(CDATA, 0),
                    b'?' => Place::Instruction(0),
                    _ => Place::Tag { quote: None },
                };
                if !matches!(self.place, Place::Begun(..)) {
                    self.input.skip(1);
                }
                if first == b'>' {
                    return Err(self.malformed(self.markup_offset(), "a tag without a name"));
                }
            }
            Place::Begun(wanted, seen) => self.read_begun(wanted, seen, first)?,
            Place::Tag { quote } => return self.read_tag(quote, window),
            Place::Comment(tail) => self.read_until(b'-', 2, tail, window, Place::Comment)?,
            Place::CData(tail) => self.read_until(b']', 2, tail, window, Place::CData)?,
            Place::Instruction(tail) => self.read_until(b'?', 1, tail, window, Place::Instruction)?,
        }
        Ok(None)
    }

    fn read_mark(&mut self, seen: usize, byte: u8) {
        // Pieces end between characters: a mark is never in two of them.
        if byte == MARK[seen] {
            self.input.skip(1);
            self.place = if seen + 1 == MARK.len() { Place::Text } else { Place::Mark(seen + 1) };
        } else {
            self.input.at -= seen;
            self.place = Place::Text;
        }
    }

    fn read_text(&mut self, window: usize) -> Result<(), Error> {
        let bytes = &self.input.rest()[..window];
        let end = memchr(b'<', bytes).unwrap_or(window);
        if self.open.is_empty()
            && let Some(at) = bytes[..end].iter().position(|byte| !b" \t\r\n".contains(byte))
        {
            let offset = self.input.offset() + at as u64;
            return Err(self.malformed(offset, "text outside of the root element"));
        }
        let begins = end < window;
        self.input.skip(end);
        if begins {
            if !self.held.is_held {
                self.hold();
            }
            self.markup = self.held.bytes(self.input.at);
            self.input.skip(1);
            self.place = Place::Markup;
        }
        Ok(())
    }

    fn hold(&mut self) {
        self.held.is_held = true;
        self.held.offset = self.input.offset();
        self.held.begun.clear();
        self.held.start = self.input.at;
    }

    /// Lets go of what turned out to be no item.
    fn release(&mut self) {
        if !self.is_in_item() {
            self.held.is_held = false;
        }
    }

    fn read_begun(&mut self, wanted: &'static [u8], seen: usize, byte: u8) -> Result<(), Error> {
        // Both begin with `!`; the second byte tells them apart.
        let wanted = if seen == 1 && byte == COMMENT[1] { COMMENT } else { wanted };
        if byte != wanted[seen] {
            let what = if seen == 1 && byte.eq_ignore_ascii_case(&b'd') {
                "a document type declaration (DTD); those are refused, for they can declare entities"
            } else {
                "a declaration that is no comment and no CDATA"
            };
            return Err(self.malformed(self.markup_offset(), what));
        }
        self.input.skip(1);
        self.place = match seen + 1 {
            3 if wanted == COMMENT => {
                self.release();
                Place::Comment(0)
            }
            8 => {
                self.release();
                Place::CData(0)
            }
            seen => Place::Begun(wanted, seen),
        };
        Ok(())
    }

    /// Reads on to `count` times that byte and a `>`; `tail` of them were just seen.
    fn read_until(
        &mut self,
        byte: u8,
        count: usize,
        tail: usize,
        window: usize,
        place: fn(usize) -> Place,
    ) -> Result<(), Error> {
        let bytes = &self.input.rest()[..window];
        let run = |end: usize| {
            let run = bytes[..end].iter().rev().take_while(|other| **other == byte).count();
            if run == end { run + tail } else { run }
        };
        let mut ends = memchr::memchr_iter(b'>', bytes);
        let Some(end) = ends.find(|at| run(*at) >= count) else {
            self.place = place(run(window).min(count));
            self.input.skip(window);
            return Ok(());
        };
        self.input.skip(end + 1);
        self.place = Place::Text;
        if place(0) == Place::Instruction(0) {
            self.check_instruction()?;
            self.release();
        }
        Ok(())
    }

    /// The bytes of the markup that ends here.
    fn markup_bytes(&mut self) -> &[u8] {
        let held = &mut self.held;
        if self.markup < held.begun.len() {
            held.begun.extend_from_slice(&self.input.piece()[held.start..self.input.at]);
            held.start = self.input.at;
            return &held.begun[self.markup..];
        }
        &self.input.piece()[held.start + self.markup - held.begun.len()..self.input.at]
    }

    fn markup_offset(&self) -> u64 {
        self.held.offset + self.markup as u64
    }

    /// The first line may say how the document is encoded.
    fn check_instruction(&mut self) -> Result<(), Error> {
        let offset = self.markup_offset();
        let text = str::from_utf8(self.markup_bytes()).expect("the input is checked");
        let checked = check_instruction(text);
        checked.map_err(|problem| self.malformed(offset, &problem))
    }

    fn read_tag(&mut self, quote: Option<u8>, window: usize) -> Result<Option<Bytes>, Error> {
        let bytes = &self.input.rest()[..window];
        let found = match quote {
            Some(quote) => memchr(quote, bytes),
            None => memchr3(b'>', b'"', b'\'', bytes),
        };
        let Some(at) = found else {
            self.input.skip(window);
            return Ok(None);
        };
        let byte = bytes[at];
        self.input.skip(at + 1);
        if byte != b'>' || quote.is_some() {
            self.place = Place::Tag { quote: quote.is_none().then_some(byte) };
            return Ok(None);
        }
        self.place = Place::Text;
        self.end_of_tag()
    }

    fn end_of_tag(&mut self) -> Result<Option<Bytes>, Error> {
        self.check_size()?;
        let offset = self.markup_offset();
        let mut is_item = self.is_in_item();
        let tag = match Tag::read(self.markup_bytes(), !is_item) {
            Ok(tag) => tag,
            Err(problem) => return Err(self.malformed(offset, &problem)),
        };
        let (name, kind) = (tag.name.to_vec(), tag.kind);
        if kind != Kind::End {
            self.open(&name, offset)?;
            is_item = self.is_in_item();
        }
        if kind != Kind::Start {
            self.close(&name, offset)?;
        }
        if is_item && !self.is_in_item() {
            return Ok(Some(self.take_item()));
        }
        self.release();
        Ok(None)
    }

    /// Whether an element of that name, in the innermost open one, is of the path.
    fn is_on_path(&self, name: &[u8]) -> bool {
        self.level == self.open.len()
            && self.level < self.path.len()
            && is_called(name, self.path.name(self.level))
    }

    fn open(&mut self, name: &[u8], offset: u64) -> Result<(), Error> {
        if self.open.is_empty() && !self.names.is_empty() {
            return Err(self.malformed(offset, "a second root element"));
        }
        if self.open.len() == LEVELS_MAX {
            return Err(Error::TooDeep { offset, levels_max: LEVELS_MAX });
        }
        if self.is_on_path(name) {
            self.level += 1;
            if self.level > self.deepest {
                self.deepest = self.level;
                self.others.clear();
            }
        } else if self.level == self.open.len() && self.level == self.deepest && self.others.len() < NAMES_MAX
        {
            let name = String::from_utf8_lossy(name).into_owned();
            if !self.others.contains(&name) {
                self.others.push(name);
            }
        }
        self.open.push(self.names.len());
        self.names.extend_from_slice(name);
        Ok(())
    }

    fn close(&mut self, name: &[u8], offset: u64) -> Result<(), Error> {
        let Some(start) = self.open.pop() else {
            return Err(self.malformed(offset, "the end of an element that did not begin"));
        };
        if &self.names[start..] != name {
            let begun = String::from_utf8_lossy(&self.names[start..]);
            let problem = format!("</{}> where </{begun}> was expected", String::from_utf8_lossy(name));
            return Err(self.malformed(offset, &problem));
        }
        // The root's name stays: there is one root only.
        if start > 0 {
            self.names.truncate(start);
        }
        self.level = self.level.min(self.open.len());
        Ok(())
    }

    fn take_item(&mut self) -> Bytes {
        let held = &mut self.held;
        held.is_held = false;
        self.count += 1;
        if held.begun.is_empty() {
            return self.input.piece().slice(held.start..self.input.at);
        }
        held.begun.extend_from_slice(&self.input.piece()[held.start..self.input.at]);
        mem::take(&mut held.begun).into()
    }

    fn malformed(&self, offset: u64, problem: &str) -> Error {
        Error::Malformed { format: "XML", offset, problem: problem.to_owned() }
    }

    fn out_of_input(&self) -> Result<Option<Bytes>, Error> {
        if !self.input.ended {
            return Ok(None);
        }
        let truncated = |expected| Err(Error::Truncated { offset: self.input.fed, expected });
        match self.place {
            Place::Text | Place::Mark(0) if !self.open.is_empty() => truncated("the end of an element"),
            Place::Text | Place::Mark(0) if self.names.is_empty() => truncated("an element"),
            Place::Text if self.input.is_within_a_character() => {
                Err(Error::NotUtf8 { offset: self.input.offset() })
            }
            Place::Text if self.deepest + 1 < self.path.len() => Err(self.missing()),
            Place::Text => Ok(None),
            Place::Comment(_) => truncated("`-->`"),
            Place::CData(_) => truncated("`]]>`"),
            Place::Instruction(_) => truncated("`?>`"),
            Place::Mark(_) | Place::Markup | Place::Begun(..) | Place::Tag { .. } => {
                truncated("the end of a tag")
            }
        }
    }

    fn missing(&self) -> Error {
        Error::Missing {
            path: self.path.given().to_owned(),
            within: self.path.prefix(self.deepest),
            names: self.others.clone(),
            offset: self.input.fed,
        }
    }

    /// Nothing follows an error, whatever is fed.
    fn next_element(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let found = self.find();
        found.inspect_err(|error| self.failed = Some(error.clone()))
    }
}

impl Split for XmlElements {
    const FORMAT: &'static str = "XML";

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
        self.next_element()
    }

    fn next_item<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let Some(bytes) = self.next_element()? else { return Ok(None) };
        let text = str::from_utf8(&bytes).expect("the input is checked");
        quick_xml::de::from_str(text).map(Some).map_err(|error| Error::Item {
            index: self.count - 1,
            offset: self.held.offset,
            problem: format!("does not fit: {error}"),
        })
    }
}
