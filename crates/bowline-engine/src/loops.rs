//! Loops over thousands of items: some side by side, each with a scope of its own, resumed at the item.
//!
//! | Module | Story |
//! |---|---|
//! | `source`, `list`, `stream` | what a loop goes over: a list, pages, a stream |
//! | `going` | the loop under way: which items run, what happens when one ends |
//! | `progress` | how far it is, as the journal has it |

mod going;
mod list;
pub(crate) mod progress;
mod source;
mod stream;

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    sync::Arc,
};

use bowline_model::{BoxFuture, Result};
use serde::{Deserialize, Serialize};

use self::going::going;
pub use self::{
    source::{IntoSource, Source, ViaList, ViaPages, ViaStream},
    stream::{FromCode, stream, stream_from},
};
use crate::Context;

/// Most items of a loop side by side.
pub const LIMIT_MAX: usize = 1_000;
/// Most dead items of a loop: one more stops it, whatever its policy.
pub const DEAD_ITEMS_MAX: u64 = 10_000;
/// How many failed items a [`Summary`] names.
pub const FAILED_NAMED_MAX: usize = 10;

/// What becomes of a loop when an item of it fails for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeadItems {
    /// The loop stops: no further item is begun, those under way come to their end, and the loop fails with the item's
    /// error.
    #[default]
    Stop,
    /// The item is left for a person, and the loop goes on.
    Skip,
    /// So many items are left for a person; one more stops the loop.
    UpTo(u64),
}

impl DeadItems {
    fn most(self) -> u64 {
        match self {
            Self::Stop => 0,
            Self::Skip => DEAD_ITEMS_MAX,
            Self::UpTo(most) => most.min(DEAD_ITEMS_MAX),
        }
    }
}

/// What came of a loop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Items that are done.
    pub done: u64,
    /// Items that failed for good, and are left for a person.
    pub dead: u64,
    /// Items that came again while the first of their key was there, and were left out.
    #[serde(default)]
    pub again: u64,
    /// The first few that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedItem>,
}

/// An item that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailedItem {
    /// Its key.
    pub item: String,
    /// Why.
    pub why: String,
}

impl Context {
    /// Goes over `items`, at most `limit` of them side by side (1 to 1,000), begun in their order: a `Vec`, pages or a
    /// stream that a client reads, or any [`stream`]. Each item runs `item` with a `cx` of its own, in a scope of its own: steps of two items do not meet.
    ///
    /// An item that fails is a dead letter by itself: [`ForEach::on_dead`] says what becomes of the loop. A run that leaves
    /// dead items becomes a dead letter when its code has ended; an operator's retry runs just those items again, at most
    /// `limit` of them side by side, in the order in which they failed.
    ///
    /// Items of a list are told apart by their places, unless they are [`keyed`](ForEach::keyed); those of pages and streams have to be.
    /// A key that comes twice is left out the second time while the first is there; later it runs again, and its steps
    /// send the same idempotency keys as the first time.
    ///
    /// # Durability
    /// What each item has recorded is recorded; a run that crashes goes on with the items that have not ended, whatever
    /// today's limit is, and whatever the order of a keyed list. Items that have ended leave no entries behind but those
    /// that an undo or a person needs, and the loop's progress in one note: journal and memory do not grow with the number
    /// of items. Of items that have ended at most `limit` are not in that note yet.
    ///
    /// # Panics
    /// A panic of one item ends the run, as any panic of its code does.
    ///
    /// # Errors
    /// Awaiting it fails if an item fails and the policy says to stop, or if a page cannot be read; first the items that
    /// are under way come to their end.
    ///
    /// # Thousands of records
    /// ```no_run
    /// # use bowline_engine::{Context, loops::DeadItems};
    /// # #[derive(Clone)] struct Record { id: u64 }
    /// # async fn code(cx: Context, records: Vec<Record>) -> bowline_model::Result<()> {
    /// let summary = cx
    ///     .for_each("sync", records, 16, async |cx, record| {
    ///         cx.step("patch", async || Ok(record.id)).await?;
    ///         Ok(())
    ///     })
    ///     .keyed(|record| record.id)
    ///     .on_dead(DeadItems::UpTo(20))
    ///     .await?;
    /// println!("{} done, {} left for a person", summary.done, summary.dead);
    /// # Ok(()) }
    /// ```
    pub fn for_each<'a, Via, S, F, Fut>(
        &'a self,
        name: &'a str,
        items: S,
        limit: usize,
        item: F,
    ) -> ForEach<'a, S::Item, S::Keys>
    where
        S: IntoSource<'a, Via>,
        F: Fn(Context, S::Item) -> Fut + Send + 'a,
        Fut: Future<Output = Result<()>> + Send + 'a,
    {
        let item: ItemCode<'a, S::Item> = Box::new(move |cx, value| Box::pin(item(cx, value)));
        let limit = limit.clamp(1, LIMIT_MAX);
        let spec = Spec { cx: self, name, limit, key: None, most_dead: 0, item };
        ForEach { spec, source: items.into_source(self), keys: PhantomData }
    }
}

type ItemCode<'a, T> = Box<dyn Fn(Context, T) -> BoxFuture<'a, Result<()>> + Send + 'a>;
type KeyOf<'a, T> = Arc<dyn Fn(&T) -> String + Send + Sync + 'a>;

/// A loop as it was written.
struct Spec<'a, T> {
    cx: &'a Context,
    name: &'a str,
    limit: usize,
    key: Option<KeyOf<'a, T>>,
    most_dead: u64,
    item: ItemCode<'a, T>,
}

/// A loop, described; awaiting it runs it. Made by [`Context::for_each`].
#[must_use = "a loop does nothing until it is awaited"]
pub struct ForEach<'a, T, Keys> {
    spec: Spec<'a, T>,
    source: Source<'a, T>,
    keys: PhantomData<fn() -> Keys>,
}

/// Items are told apart by their places in a list.
#[derive(Debug)]
pub struct ByPlace;
/// Items are told apart by their keys.
#[derive(Debug)]
pub struct ByKey;
/// Nobody said how the items are told apart: `.keyed(|item| item.id)` is missing. Pages and streams can change while a run
/// goes over them, so that places tell nothing.
///
/// The compiler names this type where such a loop is awaited: it "is not a future" yet.
#[derive(Debug)]
pub struct NeedsKeyed;

/// How a loop tells its items apart: what must be said before it can be awaited.
pub trait TellsApart {}
impl TellsApart for ByPlace {}
impl TellsApart for ByKey {}

impl<'a, T, Keys> ForEach<'a, T, Keys> {
    /// Tells items apart by what they are, such as a record's id (at most 512 bytes), instead of by their places: the same
    /// item has the same idempotency keys wherever it is listed.
    pub fn keyed<K: fmt::Display>(
        mut self,
        key: impl Fn(&T) -> K + Send + Sync + 'a,
    ) -> ForEach<'a, T, ByKey> {
        self.spec.key = Some(Arc::new(move |item| key(item).to_string()));
        ForEach { spec: self.spec, source: self.source, keys: PhantomData }
    }

    /// What becomes of the loop when an item of it fails for good: [`DeadItems::Stop`] unless set.
    pub fn on_dead(mut self, policy: DeadItems) -> Self {
        self.spec.most_dead = policy.most();
        self
    }
}

impl<'a, T: Send + 'a, Keys: TellsApart> IntoFuture for ForEach<'a, T, Keys> {
    type Output = Result<Summary>;
    type IntoFuture = BoxFuture<'a, Result<Summary>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(going(self.spec, self.source))
    }
}

impl<T, Keys> fmt::Debug for ForEach<'_, T, Keys> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForEach")
            .field("name", &self.spec.name)
            .field("limit", &self.spec.limit)
            .finish_non_exhaustive()
    }
}
