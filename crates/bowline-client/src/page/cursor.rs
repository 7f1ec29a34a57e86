//! Where a page is, as a value that can be recorded.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How much of a hash is kept: enough to tell two pages of one listing apart.
const HASH_BYTES: usize = 8;

/// Where a page of a listing is: a plain value, recorded with the step that read the page before.
///
/// It holds no secret: the credentials in a next URL's query are left out of it. What it shows (`Display`) is short, the
/// same for the same page, and made for `.key(&cursor)`.
///
/// # As a journal keeps it
/// ```
/// use bowline_client::Cursor;
///
/// let cursor = Cursor::first();
/// assert_eq!((cursor.page(), cursor.to_string().as_str()), (1, "page 1"));
/// let recorded = serde_json::to_string(&cursor).unwrap();
/// assert_eq!(serde_json::from_str::<Cursor>(&recorded).unwrap(), cursor);
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// From 1.
    page: u64,
    #[serde(default, skip_serializing_if = "Place::is_first")]
    at: Place,
    /// An earlier page, so that a listing that goes round is noticed (Brent's algorithm: the page whose number is the
    /// last power of two).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<Mark>,
    /// The hash of the items of the page before, where every page has its number: a remote that does not know the
    /// parameter gives the same page for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    page: u64,
    hash: String,
}

/// What the remote is told to get there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// Nothing.
    #[default]
    First,
    /// Path and query below the base URL.
    Url(String),
    /// What it gave for it: a cursor, a token, an id.
    Text(String),
    /// The page's number, or the offset of its first item.
    Number(u64),
    /// A span of time, and a page within it.
    Window {
        from: Timestamp,
        to: Timestamp,
        #[serde(default, skip_serializing_if = "Place::is_first_boxed")]
        at: Box<Place>,
    },
}

impl Place {
    pub(super) fn is_first(&self) -> bool {
        *self == Self::First
    }

    #[allow(clippy::borrowed_box, reason = "the signature serde's `skip_serializing_if` asks for")]
    fn is_first_boxed(place: &Box<Self>) -> bool {
        place.is_first()
    }

    fn hash(&self) -> String {
        hash(serde_json::to_string(self).expect("texts and numbers are JSON").as_bytes())
    }
}

/// A short hash, in hex.
pub(super) fn hash(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..HASH_BYTES])
}

impl Cursor {
    /// The cursor of the first page.
    pub fn first() -> Self {
        Self { page: 1, at: Place::First, mark: None, items: None }
    }

    /// Which page it leads to, counted from 1.
    pub fn page(&self) -> u64 {
        self.page
    }

    pub(super) fn at(&self) -> &Place {
        &self.at
    }

    /// Whether those items are the ones of the page before, though it had another number.
    pub(super) fn repeats(&self, items: &str) -> bool {
        self.items.as_deref() == Some(items)
    }

    /// The cursor of the next page, which is at that place.
    ///
    /// # Errors
    /// The number of the page that it would lead back to.
    pub(super) fn next(&self, at: Place, items: Option<String>) -> Result<Self, u64> {
        let (own, next) = (self.at.hash(), at.hash());
        if own == next {
            return Err(self.page);
        }
        let mark = match &self.mark {
            Some(mark) if !self.page.is_power_of_two() => mark.clone(),
            Some(_) | None => Mark { page: self.page, hash: own },
        };
        if mark.hash == next {
            return Err(mark.page);
        }
        Ok(Self { page: self.page + 1, at, mark: Some(mark), items })
    }
}

impl Default for Cursor {
    fn default() -> Self {
        Self::first()
    }
}

/// Short, and the same for the same page.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_BYTES_MAX: usize = 100;
        write!(f, "page {}", self.page)?;
        let mut place = &self.at;
        while let Place::Window { from, to, at } = place {
            write!(f, " from {from} to {to}")?;
            place = at;
        }
        match place {
            Place::Url(text) | Place::Text(text) if text.len() <= SHOWN_BYTES_MAX => write!(f, " at {text}"),
            Place::Url(text) | Place::Text(text) => {
                let start = &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)];
                write!(f, " at {start}…{}", hash(text.as_bytes()))
            }
            Place::Number(number) => write!(f, " at {number}"),
            Place::First | Place::Window { .. } => Ok(()),
        }
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pages read before a listing is told to go round, and the page it is said to lead back to.
    fn round(cursors: impl Fn(u64) -> u64) -> (u64, u64) {
        let mut cursor = Cursor::first();
        loop {
            assert!(cursor.page < 1000, "nobody noticed");
            match cursor.next(Place::Text(cursors(cursor.page).to_string()), None) {
                Ok(next) => cursor = next,
                Err(page) => return (cursor.page, page),
            }
        }
    }

    #[test]
    fn a_listing_that_goes_round_is_noticed_soon() {
        assert_eq!(round(|_| 7), (2, 2), "the same cursor twice");
        assert_eq!(round(|page| page % 2), (3, 2), "two that alternate");
        for length in 1..50 {
            for tail in 0..20 {
                let (read, back) =
                    round(|page| if page <= tail { 1000 + page } else { (page - tail) % length });
                assert!(
                    read <= 3 * (tail + length) + 4,
                    "{tail} pages, then {length} again and again: {read}"
                );
                assert!(back <= read && back > tail, "{back}");
            }
        }
    }

    #[test]
    fn a_listing_that_ends_is_never_said_to_go_round() {
        let mut cursor = Cursor::first();
        for page in 1..5000 {
            cursor = cursor.next(Place::Text(format!("c{page}")), None).unwrap();
        }
        assert_eq!(cursor.page(), 5000);
    }

    #[test]
    fn is_equal_after_the_journal_and_small() {
        let window =
            |at| Place::Window { from: Timestamp::UNIX_EPOCH, to: Timestamp::UNIX_EPOCH, at: Box::new(at) };
        for place in [
            Place::Url("/x?a=b".into()),
            Place::Text("é\"".into()),
            Place::Number(7),
            window(Place::First),
            window(Place::Number(1)),
        ] {
            let cursor = Cursor::first().next(place, Some("00".into())).unwrap();
            let recorded = serde_json::to_string(&cursor).unwrap();
            assert_eq!(serde_json::from_str::<Cursor>(&recorded).unwrap(), cursor, "{recorded}");
            assert!(recorded.len() < 200, "{recorded}");
        }
        assert_eq!(serde_json::to_string(&Cursor::first()).unwrap(), r#"{"page":1}"#);
    }

    #[test]
    fn shows_the_place_shortly_and_never_two_alike() {
        let shown = |at: Place| Cursor::first().next(at, None).unwrap().to_string();
        assert_eq!(shown(Place::Text("abc".into())), "page 2 at abc");
        assert_eq!(shown(Place::Number(100)), "page 2 at 100");
        let long = |end: &str| shown(Place::Text(format!("{}{end}", "x".repeat(500))));
        assert!(long("a").len() < 150);
        assert_ne!(long("a"), long("b"));
    }
}
