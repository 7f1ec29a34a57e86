//! Why items could not be read, as data.

use std::fmt;

use serde_json::error::Category;

/// Why a document could not be split, or one of its items not be read.
///
/// Offsets count bytes from the beginning of the document, as it was decoded from its transfer.
///
/// [`Error::Item`] is about one item: what follows it can still be read. After any other error nothing follows.
///
/// # An item that does not fit, and the next
/// ```
/// use bowline_client::stream::{JsonLines, Split};
///
/// let mut lines = JsonLines::new();
/// lines.feed("\"one\"\n2\n".into());
/// let error = lines.next_item::<u32>().unwrap_err();
/// assert!(error.is_item() && !error.is_truncated());
/// assert_eq!(lines.next_item::<u32>(), Ok(Some(2)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The path itself is not one.
    Path {
        /// The path, as it was given.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The document is not JSON.
    Syntax {
        /// Of the first byte that does not fit.
        offset: u64,
        /// What could have stood there.
        expected: &'static str,
        /// What stands there.
        found: u8,
    },
    /// The document is not what its format says.
    Malformed {
        /// `XML` or `CSV`.
        format: &'static str,
        /// Of what does not fit.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The document ends before it is complete.
    Truncated {
        /// Its length.
        offset: u64,
        /// What had to follow.
        expected: &'static str,
    },
    /// A byte that is no part of a character in UTF-8.
    NotUtf8 {
        /// Of the first byte of what should have been a character.
        offset: u64,
    },
    /// What is skipped is nested too deep.
    TooDeep {
        /// Of the bracket that opens one level too many.
        offset: u64,
        /// Most levels.
        levels_max: usize,
    },
    /// An item is larger than the limit.
    TooLarge {
        /// Counted from 0.
        index: u64,
        /// Of its first byte.
        offset: u64,
        /// The limit.
        bytes_max: usize,
    },
    /// The path leads to nothing.
    Missing {
        /// The path.
        path: String,
        /// The object in which it ends; empty for the document itself.
        within: String,
        /// The first names that this object has instead.
        names: Vec<String>,
        /// Of the object's end.
        offset: u64,
    },
    /// Something else stands where the path needs an object, or an array at its end.
    Other {
        /// The place, as a path; empty for the document itself.
        at: String,
        /// What the path needs there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
        /// Of its first byte.
        offset: u64,
    },
    /// A name of the path occurs twice in its object: which one is meant, JSON does not say.
    Repeated {
        /// The name's place, as a path.
        at: String,
        /// Of the second one.
        offset: u64,
    },
    /// One item does not fit its type; those that follow may.
    Item {
        /// Counted from 0.
        index: u64,
        /// Of its first byte.
        offset: u64,
        /// What did not fit, and where in the item.
        problem: String,
    },
}

impl Error {
    /// Whether it is about one item only, and what follows can be read.
    pub fn is_item(&self) -> bool {
        matches!(self, Self::Item { .. })
    }

    /// Whether the input ended too early: another attempt may bring all of it.
    pub fn is_truncated(&self) -> bool {
        matches!(self, Self::Truncated { .. })
    }

    pub(crate) fn item(index: u64, offset: u64, error: &serde_json::Error) -> Self {
        let kind = match error.classify() {
            Category::Data => "does not fit",
            Category::Syntax | Category::Eof | Category::Io => "cannot be read",
        };
        Self::Item { index, offset, problem: format!("{kind}: {error}") }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { path, problem } => write!(f, "the path {path:?} is not one: {problem}"),
            Self::Syntax { offset, expected, found } => {
                write!(f, "not JSON at byte {offset}: {} where {expected} was expected", Byte(*found))
            }
            Self::Malformed { format, offset, problem } => {
                write!(f, "not {format} at byte {offset}: {problem}")
            }
            Self::Truncated { offset, expected } => {
                write!(f, "the document ends early, after {offset} bytes: {expected} was expected")
            }
            Self::NotUtf8 { offset } => {
                write!(
                    f,
                    "not UTF-8 at byte {offset}; JSON between systems must be (RFC 8259, section 8.1), and "
                )?;
                f.write_str("nothing else is read here")
            }
            Self::TooDeep { offset, levels_max } => {
                write!(f, "nested deeper than {levels_max} levels at byte {offset}")
            }
            Self::TooLarge { index, offset, bytes_max } => {
                write!(
                    f,
                    "item {index}, at byte {offset}, is larger than {bytes_max} bytes; raise the limit "
                )?;
                f.write_str("if such items are expected")
            }
            Self::Missing { path, within, names, offset } => {
                write!(f, "nothing at {path:?}: {}, up to byte {offset}, has ", Place(within))?;
                if names.is_empty() { f.write_str("no names") } else { write!(f, "{}", names.join(", ")) }
            }
            Self::Other { at, expected, found, offset } => {
                write!(f, "{} is {found} (at byte {offset}), where {expected} was expected", Place(at))
            }
            Self::Repeated { at, offset } => {
                write!(f, "{at:?} occurs twice, again at byte {offset}: which one is meant is not defined")
            }
            Self::Item { index, offset, problem } => write!(f, "item {index}, at byte {offset}, {problem}"),
        }
    }
}

impl std::error::Error for Error {}

/// A place, for people.
struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("the document") } else { write!(f, "what is at {:?}", self.0) }
    }
}

/// A byte, for people.
struct Byte(u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            byte @ 0x21..=0x7e => write!(f, "`{}`", char::from(byte)),
            byte => write!(f, "byte 0x{byte:02X}"),
        }
    }
}

/// What stopped a stream of items: where the bytes come from, or what they are.
///
/// # A connection that broke
/// ```
/// use bowline_client::stream::Stopped;
///
/// let stopped = Stopped::Source(std::io::Error::other("the connection broke"));
/// assert!(!stopped.is_item());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped<E> {
    /// The source of the bytes failed.
    Source(E),
    /// The bytes are not what was expected.
    Content(Error),
}

impl<E> Stopped<E> {
    /// Whether it is about one item only, and what follows can be read.
    pub fn is_item(&self) -> bool {
        matches!(self, Self::Content(error) if error.is_item())
    }
}

impl<E: fmt::Display> fmt::Display for Stopped<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => error.fmt(f),
            Self::Content(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error> std::error::Error for Stopped<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Source(error) => error.source(),
            Self::Content(_) => None,
        }
    }
}
