//! A stream that a loop goes over: read in chunks, each a step; found again after a crash by counting.
//!
//! What comes in: something that can be opened ([`Streaming`]). What goes out: chunks of what has arrived, recorded. What
//! must never happen here: a place in the stream that is taken for another because the stream has changed.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bowline_model::{
    Attempt, Clock, Effect, Error, Opened, Recorded, Repeat, Result, Shape, Streaming, Verdict,
};
use futures_util::{FutureExt, Stream, StreamExt, future::Either, future::select};
use serde::{Deserialize, Serialize};

use super::KeyOf;
use crate::action::{CLOSURE_TIMEOUT, EFFECT_TIMEOUT};

/// Most items of a chunk.
const CHUNK_ITEMS_MAX: usize = 256;
/// A chunk that has so many bytes, as it is recorded, takes no further item.
const CHUNK_BYTES: usize = 512 * 1024;
/// How long reading a chunk may take, with finding the place in a stream that was opened again.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(3600);

/// A stream, and the place where it is open.
pub(super) struct Held<S: Streaming> {
    source: S,
    open: Mutex<Option<Open<S::Items>>>,
}

/// A stream that is open.
struct Open<I> {
    items: Pin<Box<I>>,
    /// The place of the item that comes next.
    at: u64,
}

/// A place in a stream, as it is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// How many items are before it.
    pub(super) at: u64,
    /// The key of the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<String>,
}

/// What has arrived, as it is recorded.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "T: Recorded")]
pub(super) struct Chunk<T> {
    pub(super) items: Vec<T>,
    pub(super) more: bool,
}

/// Reads the chunk at that mark.
pub(super) struct ReadChunk<'a, 'h, S: Streaming> {
    pub(super) held: &'h Held<S>,
    pub(super) mark: Mark,
    pub(super) key_of: KeyOf<'a, S::Item>,
    pub(super) clock: &'h dyn Clock,
}

impl<S: Streaming> Held<S> {
    pub(super) fn new(source: S) -> Self {
        Self { source, open: Mutex::new(None) }
    }

    /// The open stream, if it is there. Another one is closed.
    fn take(&self, at: u64) -> Option<Open<S::Items>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|open| open.at == at)
    }

    fn keep(&self, open: Open<S::Items>) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
    }
}

impl<S: Streaming> Effect for ReadChunk<'_, '_, S> {
    type Output = Chunk<S::Item>;

    fn shape(&self) -> Shape {
        Shape { repeat: Repeat::Safe, ..self.held.source.shape() }
    }

    fn attempt_timeout(&self) -> Option<Duration> {
        Some(CHUNK_TIMEOUT)
    }

    async fn attempt(&self, attempt: Attempt) -> Verdict<Chunk<S::Item>> {
        let mut open = match self.held.take(self.mark.at) {
            Some(open) => open,
            None => match self.open(&attempt).await {
                Ok(open) => open,
                Err(verdict) => return verdict.map(|never: Infallible| match never {}),
            },
        };
        match open.chunk().await {
            Ok(chunk) => {
                if chunk.more {
                    self.held.keep(open);
                }
                Verdict::Done(chunk)
            }
            Err(error) => Err(error).into(),
        }
    }
}

impl<S: Streaming> ReadChunk<'_, '_, S> {
    /// Opens the stream, and goes to the mark.
    async fn open(&self, attempt: &Attempt) -> Result<Open<S::Items>, Verdict<Infallible>> {
        // The item before the mark is read again: it shows whether this is still the same stream.
        let from = self.mark.at.saturating_sub(1);
        let timeout = self.held.source.open_timeout().unwrap_or(EFFECT_TIMEOUT).min(attempt.timeout());
        let attempt = Attempt::new(attempt.key(), attempt.number(), timeout);
        let opening = Box::pin(self.held.source.open(from, &attempt));
        let opened = match select(opening, self.clock.sleep(timeout)).await {
            Either::Left((Verdict::Done(opened), _)) => opened,
            Either::Left((verdict, _)) => {
                return Err(verdict.map(|_| unreachable!("Done was looked at first")));
            }
            Either::Right(_) => {
                let late = format!("the stream was not open within {} ms", timeout.as_millis());
                return Err(Err(Error::retryable(late)).into());
            }
        };
        if opened.begins_at > from {
            let Opened { begins_at, .. } = opened;
            let skipped =
                format!("the stream was asked to begin at item {from}, and begins at item {begins_at}");
            return Err(Err(Error::permanent(skipped)).into());
        }
        let mut open = Open { items: Box::pin(opened.items), at: opened.begins_at };
        let mut before = None;
        while open.at < self.mark.at {
            match open.items.next().await {
                Some(Ok(item)) => before = Some(item),
                Some(Err(error)) => return Err(Err(error).into()),
                None => return Err(Err(self.changed("is gone")).into()),
            }
            open.at += 1;
        }
        match before.map(|item| (self.key_of)(&item)) {
            Some(now) if self.mark.last.as_ref().is_some_and(|last| *last != now) => {
                Err(Err(self.changed(&format!("is now {now}"))).into())
            }
            Some(_) | None => Ok(open),
        }
    }

    fn changed(&self, now: &str) -> Error {
        let Mark { at, last } = &self.mark;
        let last = last.as_deref().unwrap_or_default();
        Error::permanent(format!(
            "the stream changed while the run went over it: item {at}, the last that was read, was {last}, and {now}; `retry` \
             looks again; for what changes by itself loop over pages, or keep a copy of the export and stream that"
        ))
    }
}

impl<T: Recorded, I: Stream<Item = Result<T>> + Send> Open<I> {
    /// What has arrived, at least one item unless it was the end.
    async fn chunk(&mut self) -> Result<Chunk<T>> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        while items.len() < CHUNK_ITEMS_MAX && bytes < CHUNK_BYTES {
            let next = match items.is_empty() {
                true => self.items.next().await,
                false => match self.items.next().now_or_never() {
                    Some(next) => next,
                    None => break,
                },
            };
            match next {
                Some(Ok(item)) => {
                    bytes += written_bytes(&item);
                    items.push(item);
                }
                // What came before it is worked on first. Its place stays behind the mark: it is opened again, and then the
                // error is that of a step of its own.
                Some(Err(_)) if !items.is_empty() => return Ok(Chunk { items, more: true }),
                Some(Err(error)) => return Err(error),
                None => return Ok(Chunk { items, more: false }),
            }
        }
        self.at += items.len() as u64;
        Ok(Chunk { items, more: true })
    }
}

/// How large an item is, as it is recorded.
fn written_bytes(item: &impl Serialize) -> usize {
    struct Counted(usize);
    impl io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    // What has no JSON form is an error where it is recorded.
    let _ = serde_json::to_writer(&mut counted, item);
    counted.0
}

/// What a loop goes over when its items come one by one from anywhere: a file, a cursor of a database.
///
/// `open` is called when items are needed, and again after a crash; it yields the items from the beginning, in an order
/// that does not change. The loop finds its place by counting, and looks whether the item before it is the one it was: a
/// stream that has changed fails the loop with an error that names both. A client's answers need none of this:
/// `api.get(..).streaming::<T, _>(CsvRecords::new())`.
///
/// Items are read no faster than the loop works on them.
///
/// # Errors
/// An error of `open`, or of an item, fails the step that reads. One that is
/// [retryable](bowline_model::Error::retryable) is tried again as that of any step.
///
/// # Lines of a file
/// ```no_run
/// # use bowline_engine::{Context, loops};
/// # use bowline_model::{Error, Result};
/// # async fn code(cx: Context) -> Result<()> {
/// use futures_util::stream;
///
/// let lines = loops::stream(async || {
///     let text = tokio::fs::read_to_string("skus.txt").await?;
///     let lines: Vec<_> = text.lines().map(|line| Ok(line.to_owned())).collect();
///     Ok(stream::iter(lines))
/// });
/// cx.for_each("import", lines, 8, async |cx, sku| {
///     cx.step("look up", async || Ok(sku.len())).await?;
///     Ok(())
/// })
/// .keyed(|sku| sku.clone())
/// .await?;
/// # Ok(()) }
/// ```
pub fn stream<F, Fut, S, T>(open: F) -> FromCode<impl Fn(u64) -> Fut + Send + Sync>
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<S>> + Send,
    S: Stream<Item = Result<T>> + Send,
    T: Recorded,
{
    FromCode { open: move |_| open(), begins_anywhere: false }
}

/// As [`stream`], for what can begin anywhere: `open` gets the place (from 0) of the first item to yield, as an SQL
/// `OFFSET` takes it.
pub fn stream_from<F, Fut, S, T>(open: F) -> FromCode<F>
where
    F: Fn(u64) -> Fut + Send + Sync,
    Fut: Future<Output = Result<S>> + Send,
    S: Stream<Item = Result<T>> + Send,
    T: Recorded,
{
    FromCode { open, begins_anywhere: true }
}

/// What code opens. Made by [`stream`] and [`stream_from`].
pub struct FromCode<F> {
    open: F,
    begins_anywhere: bool,
}

impl<F, Fut, S, T> Streaming for FromCode<F>
where
    F: Fn(u64) -> Fut + Send + Sync,
    Fut: Future<Output = Result<S>> + Send,
    S: Stream<Item = Result<T>> + Send,
    T: Recorded,
{
    type Item = T;
    type Items = S;

    fn shape(&self) -> Shape {
        Shape { fingerprint: None, repeat: Repeat::Safe }
    }

    fn open_timeout(&self) -> Option<Duration> {
        Some(CLOSURE_TIMEOUT)
    }

    async fn open(&self, from: u64, _: &Attempt) -> Verdict<Opened<S>> {
        let begins_at = if self.begins_anywhere { from } else { 0 };
        (self.open)(from).await.map(|items| Opened { items, begins_at }).into()
    }
}

impl<F> fmt::Debug for FromCode<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromCode").field("begins_anywhere", &self.begins_anywhere).finish_non_exhaustive()
    }
}
