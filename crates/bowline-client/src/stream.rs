//! The items of an answer that is too large to hold, one by one as its bytes arrive.
//!
//! What comes in: chunks of bytes, cut anywhere. What goes out: items, in memory that depends on the largest item and
//! the largest chunk, and not on the document. What must never happen here: a document that is accepted though it
//! is not complete, or not what its format says; an outcome that depends on where chunks end.
//!
//! | | |
//! |---|---|
//! | [`json_items`], [`json_lines`] | a stream of chunks as a stream of items |
//! | [`Split`] | the same without a stream: chunks are fed, items are asked for |
//! | [`JsonItems`] | the items of one array in a JSON document |
//! | [`JsonLines`] | one JSON value per line |
//! | [`CsvRecords`] | the records of a CSV document |
//! | `XmlElements` (feature `xml`) | the elements at a path of an XML document |
//!
//! Calls have them too: [`Call::stream_json`](crate::Call::stream_json) and those beside it.
//!
//! These are for use alone, where nothing records which item was the last. Inside a run a loop goes over
//! [`Call::streaming`](crate::Call::streaming).

mod csv;
mod error;
mod grammar;
mod input;
mod items;
mod json;
mod lines;
mod path;
mod record;
mod utf8;
#[cfg(feature = "xml")]
mod xml;

pub use csv::{CsvRecords, FIELDS_MAX};
pub use error::{Error, Stopped};
pub use items::{Items, json_items, json_lines};
pub use json::{JsonItems, LEVELS_MAX};
pub use lines::JsonLines;
#[cfg(feature = "xml")]
pub use xml::XmlElements;

use bytes::Bytes;
use serde::de::DeserializeOwned;

/// The largest item unless said otherwise, in bytes.
pub const ITEM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Finds items in bytes that arrive in chunks.
///
/// Whatever the chunks, items and errors are the same.
///
/// # Chunks in, items out
/// ```
/// use bowline_client::stream::{JsonItems, Split};
///
/// let mut items = JsonItems::at("ids")?;
/// let mut found = vec![];
/// for chunk in [r#"{"ids": [1, 2"#, "2, 3]}"] {
///     items.feed(chunk.into());
///     while let Some(item) = items.next_item::<u32>()? {
///         found.push(item);
///     }
/// }
/// items.end();
/// assert_eq!(items.next_bytes()?, None);
/// assert_eq!(found, [1, 22, 3]);
/// let again = items.anew();
/// # Ok::<(), bowline_client::stream::Error>(())
/// ```
pub trait Split {
    /// What is read, as people call it: `JSON`.
    const FORMAT: &'static str;

    /// The same before its first byte: for an answer that comes again.
    #[must_use]
    fn anew(&self) -> Self;

    /// Takes a chunk. What is fed is held until it is read: ask for items until there is none before feeding more.
    fn feed(&mut self, chunk: Bytes);

    /// Says that nothing more will be fed.
    fn end(&mut self);

    /// The next item's own bytes; they share the chunk's memory if it holds all of the item. `None`: feed more; after
    /// [`end`](Split::end): it was the last one, and the whole input is good.
    ///
    /// # Errors
    /// [`Error`]; the same again on every further call.
    fn next_bytes(&mut self) -> Result<Option<Bytes>, Error>;

    /// The next item, read as what its format says; else as [`next_bytes`](Split::next_bytes).
    ///
    /// # Errors
    /// [`Error`]; after [`Error::Item`] the next item can be asked for.
    fn next_item<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error>;
}
