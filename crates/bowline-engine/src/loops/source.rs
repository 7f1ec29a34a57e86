//! What a loop goes over.

use std::sync::Arc;

use bowline_model::{BoxFuture, DeadReason, Effect, Listing, Payload, Result};

use super::{ByPlace, NotKeyed};
use crate::{Context, board::PAGE_STEP};

/// What [`Context::for_each`] goes over: a `Vec`, or a [`Listing`], such as the pages that a client reads.
///
/// `Via` tells them apart for the compiler; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a loop can go over",
    label = "neither a list, nor pages, nor a stream",
    note = "a loop takes a `Vec`, or pages as in `self.crm.get(\"/contacts\").pages::<Contact>(\"results\", Paging::link_header())`"
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

/// What a loop goes over, whatever it is.
#[doc(hidden)]
pub struct Source<'a, T>(pub(super) Kind<'a, T>);

pub(super) enum Kind<'a, T> {
    List(Vec<T>),
    Pages(Pages<'a, T>),
}

/// Pages, read by steps.
pub(super) struct Pages<'a, T> {
    pub(super) read: ReadPage<'a, T>,
    /// An item as a dead letter keeps it, and back.
    pub(super) encode: fn(&T) -> Result<Payload, serde_json::Error>,
    pub(super) decode: fn(&Payload) -> Result<T, String>,
}

/// Reads the page of that number, at that cursor.
type ReadPage<'a, T> = Box<dyn Fn(u64, Option<Payload>) -> BoxFuture<'a, Result<PageRead<T>>> + Send + 'a>;

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
    type Keys = NotKeyed;

    fn into_source(self, cx: &'a Context) -> Source<'a, L::Item> {
        let listing = Arc::new(self);
        let read: ReadPage<'a, L::Item> = Box::new(move |page, cursor| {
            let listing = listing.clone();
            Box::pin(async move {
                let cursor = match cursor.as_ref().map(Payload::decode).transpose() {
                    Ok(cursor) => cursor,
                    Err(error) => return Err(stop_at_cursor(cx, page, &error.to_string()).await),
                };
                let read = cx.step(PAGE_STEP, listing.page(cursor.as_ref())).key(page).await?;
                page_of::<L>(read)
            })
        });
        Source(Kind::Pages(Pages {
            read,
            encode: |item| Payload::encode(item),
            decode: |item| item.decode().map_err(|error| error.to_string()),
        }))
    }
}

fn page_of<L: Listing>(read: <L::Page as Effect>::Output) -> Result<PageRead<L::Item>> {
    let (items, next) = L::split(read);
    let next = next.map(|next| Payload::encode(&next)).transpose()?;
    Ok(PageRead { items, next })
}

/// A cursor that today's code does not read: the run is parked, and this never returns.
async fn stop_at_cursor(cx: &Context, page: u64, error: &str) -> bowline_model::Error {
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
