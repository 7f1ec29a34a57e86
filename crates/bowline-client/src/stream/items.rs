//! A stream of bytes as a stream of items.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::Stream;
use serde::de::DeserializeOwned;

use super::{Error, JsonItems, JsonLines, Split, Stopped};

/// The items of a stream of chunks, read one by one as the chunks arrive: a chunk is asked for when the last one holds
/// no further item.
///
/// It ends after the first error that is not about one item ([`Stopped::is_item`]).
///
/// # Durability
/// None: items are read once, and a crash forgets how many.
///
/// # Lines of CSV from any source
/// ```
/// use bowline_client::stream::{CsvRecords, Items};
/// use futures_util::{StreamExt, TryStreamExt};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let chunks = futures_util::stream::iter(["7,A", "da\n8,Bob\n"]);
/// let chunks = chunks.map(|chunk| Ok::<_, std::io::Error>(chunk.into()));
/// let records: Items<_, _, (u32, String)> = Items::new(chunks, CsvRecords::new().no_header());
/// assert_eq!(records.try_collect::<Vec<_>>().await.unwrap().len(), 2);
/// # });
/// ```
pub struct Items<S, P, T> {
    source: S,
    splitter: P,
    state: State,
    item: PhantomData<fn() -> T>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// The source ended; the splitter may hold more.
    Ending,
    Over,
}

impl<S, P, T> Items<S, P, T> {
    /// Reads what the splitter finds in the source.
    pub fn new(source: S, splitter: P) -> Self {
        Self { source, splitter, state: State::Reading, item: PhantomData }
    }
}

/// The items of the array at that path (see [`JsonItems`]), as the chunks of its document arrive.
///
/// # Errors
/// [`Error::Path`] if it is not one.
///
/// # Items of a large document
/// ```
/// use bowline_client::stream;
/// use futures_util::{StreamExt, TryStreamExt};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let chunks = futures_util::stream::iter([r#"{"data": {"items": [1, 2"#, r#"2, 3]}}"#]);
/// let chunks = chunks.map(|chunk| Ok::<_, std::io::Error>(chunk.into()));
/// let numbers: Vec<_> = stream::json_items::<u32, _, _>(chunks, "data.items")?.try_collect().await.unwrap();
/// assert_eq!(numbers, [1, 22, 3]);
/// # Ok::<(), stream::Error>(())
/// # }).unwrap();
/// ```
pub fn json_items<T, S, E>(source: S, path: &str) -> Result<Items<S, JsonItems, T>, Error>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    T: DeserializeOwned,
{
    Ok(Items::new(source, JsonItems::at(path)?))
}

/// The values of lines of JSON (see [`JsonLines`]), as their chunks arrive.
///
/// # One value per line
/// ```
/// use bowline_client::stream;
/// use futures_util::{StreamExt, TryStreamExt};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let chunks = futures_util::stream::iter(["1\n2", "2\n\n3"]);
/// let chunks = chunks.map(|chunk| Ok::<_, std::io::Error>(chunk.into()));
/// let numbers: Vec<_> = stream::json_lines::<u32, _, _>(chunks).try_collect().await.unwrap();
/// assert_eq!(numbers, [1, 22, 3]);
/// # });
/// ```
pub fn json_lines<T, S, E>(source: S) -> Items<S, JsonLines, T>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    T: DeserializeOwned,
{
    Items::new(source, JsonLines::new())
}

impl<S, E, P, T> Stream for Items<S, P, T>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    P: Split + Unpin,
    T: DeserializeOwned,
{
    type Item = Result<T, Stopped<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.state == State::Over {
                return Poll::Ready(None);
            }
            match this.splitter.next_item() {
                Ok(Some(item)) => return Poll::Ready(Some(Ok(item))),
                Err(error) => {
                    if !error.is_item() {
                        this.state = State::Over;
                    }
                    return Poll::Ready(Some(Err(Stopped::Content(error))));
                }
                Ok(None) if this.state == State::Ending => this.state = State::Over,
                Ok(None) => match ready!(Pin::new(&mut this.source).poll_next(cx)) {
                    Some(Ok(chunk)) => this.splitter.feed(chunk),
                    Some(Err(error)) => {
                        this.state = State::Over;
                        return Poll::Ready(Some(Err(Stopped::Source(error))));
                    }
                    None => {
                        this.splitter.end();
                        this.state = State::Ending;
                    }
                },
            }
        }
    }
}

/// Shows no bytes: they may hold personal data.
impl<S, P, T> fmt::Debug for Items<S, P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("state", &self.state).finish_non_exhaustive()
    }
}
