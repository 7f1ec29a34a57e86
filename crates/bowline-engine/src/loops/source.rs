//! What a loop goes over.

use std::sync::Arc;

use bowline_model::{BoxFuture, DeadReason, Effect, Listing, Payload, Recorded, Result, Streaming};
use serde::de::DeserializeOwned;

use super::{
    ByPlace, KeyOf, NeedsKeyed,
    stream::{Held, Mark, ReadChunk},
};
use crate::{Context, board::PAGE_STEP};

/// What [`Context::for_each`] goes over: a `Vec`, a [`Listing`] such as the pages that a client reads, or what arrives one by
/// one ([`Streaming`]).
///
/// `Via` tells them apart for the compiler; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a loop can go over",
    label = "neither a list, nor pages, nor a stream",
    note = "a loop takes a `Vec`, or pages as in `self.crm.get(\"/contacts\").pages::<Contact>(\"results\", Paging::link_header())`,",
    note = "or a stream as in `self.shop.get(\"/prices.csv\").streaming::<Price, _>(CsvRecords::new())` or `loops::stream(async || ..)`"
)]
pub trait IntoSource<'a, Via> {
    /// One item.
    type Item: Send + 'a;
    /// How its items are told apart unless the loop says so.
    type Keys;

    #[doc(hidden)]
    fn into_source(self, cx: &'a Context) -> Source<'a, Self::Item>;
}

/// Marks a list.
#[derive(Debug)]
pub struct ViaList;
/// Marks what is read in pages.
#[derive(Debug)]
pub struct ViaPages;
/// Marks what arrives one by one.
#[derive(Debug)]
pub struct ViaStream;

/// What a loop goes over, whatever it is.
#[doc(hidden)]
pub struct Source<'a, T>(pub(super) Kind<'a, T>);

pub(super) enum Kind<'a, T> {
    List(Vec<T>),
    Pages(Pages<'a, T>),
}

/// Pages, or chunks of a stream, read by steps.
pub(super) struct Pages<'a, T> {
    pub(super) read: ReadPage<'a, T>,
    /// An item as a dead letter keeps it, and back.
    pub(super) encode: fn(&T) -> Result<Payload, serde_json::Error>,
    pub(super) decode: fn(&Payload) -> Result<T, String>,
}

/// Reads the page of that number, at that cursor.
type ReadPage<'a, T> =
    Box<dyn Fn(u64, Option<Payload>, &KeyOf<'a, T>) -> BoxFuture<'a, Result<PageRead<T>>> + Send + 'a>;

/// A page that was read.
pub(super) struct PageRead<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<Payload>,
}

impl<'a, T: Send + 'a> IntoSource<'a, ViaList> for Vec<T> {
    type Item = T;
    type Keys = ByPlace;

    fn into_source(self, _: &'a Context) -> Source<'a, T> {
        Source(Kind::List(self))
    }
}

impl<'a, L> IntoSource<'a, ViaPages> for L
where
    L: Listing<Item: 'a, Page: 'a> + 'a,
{
    type Item = L::Item;
    type Keys = NeedsKeyed;

    fn into_source(self, cx: &'a Context) -> Source<'a, L::Item> {
        let listing = Arc::new(self);
        let read: ReadPage<'a, L::Item> = Box::new(move |page, cursor, _| {
            let listing = listing.clone();
            Box::pin(async move {
                let cursor = read_cursor(cx, page, cursor).await?;
                let read = cx.step(PAGE_STEP, listing.page(cursor.as_ref())).key(page).await?;
                page_of::<L>(read)
            })
        });
        Source(Kind::Pages(Pages::of(read)))
    }
}

impl<'a, S> IntoSource<'a, ViaStream> for S
where
    S: Streaming<Item: 'a, Items: 'a> + 'a,
{
    type Item = S::Item;
    type Keys = NeedsKeyed;

    fn into_source(self, cx: &'a Context) -> Source<'a, S::Item> {
        let held = Arc::new(Held::new(self));
        let read: ReadPage<'a, S::Item> = Box::new(move |page, cursor, key_of| {
            let (held, key_of) = (held.clone(), key_of.clone());
            Box::pin(async move {
                let mark: Mark = read_cursor(cx, page, cursor).await?.unwrap_or_default();
                let clock = &*cx.board().clock;
                let chunk = ReadChunk { held: &held, mark: mark.clone(), key_of: key_of.clone(), clock };
                let chunk = cx.step(PAGE_STEP, chunk).key(page).await?;
                let last = chunk.items.last().map(|item| key_of(item)).or(mark.last);
                let next = Mark { at: mark.at + chunk.items.len() as u64, last };
                let next = chunk.more.then(|| Payload::encode(&next)).transpose()?;
                Ok(PageRead { items: chunk.items, next })
            })
        });
        Source(Kind::Pages(Pages::of(read)))
    }
}

impl<'a, T: Recorded> Pages<'a, T> {
    fn of(read: ReadPage<'a, T>) -> Self {
        Self {
            read,
            encode: |item| Payload::encode(item),
            decode: |item| item.decode().map_err(|error| error.to_string()),
        }
    }
}

fn page_of<L: Listing>(read: <L::Page as Effect>::Output) -> Result<PageRead<L::Item>> {
    let (items, next) = L::split(read);
    let next = next.map(|next| Payload::encode(&next)).transpose()?;
    Ok(PageRead { items, next })
}

/// The cursor as it was recorded. One that today's code does not read parks the run: then this never returns.
async fn read_cursor<C: DeserializeOwned>(
    cx: &Context,
    page: u64,
    cursor: Option<Payload>,
) -> Result<Option<C>> {
    let error = match cursor.as_ref().map(Payload::decode).transpose() {
        Ok(cursor) => return Ok(cursor),
        Err(error) => error,
    };
    let message =
        format!("the cursor of page {page} was recorded in a form that today's code does not read: {error}");
    cx.board().stop(DeadReason::Mismatch, message);
    std::future::pending().await
}

impl<T> std::fmt::Debug for Source<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}
