//! The port between loops and what they go over: a listing that a remote gives in pages.

use crate::{Effect, Recorded};

/// Something that is read page by page: what a client makes of a call, and a loop in a run goes over.
///
/// Each page is one effect, whose recorded outcome holds its items and where the next page is.
pub trait Listing: Send + Sync {
    /// What it lists.
    type Item: Recorded;
    /// Where a page is. It is recorded.
    type Cursor: Recorded;
    /// Reads one page.
    type Page: Effect;

    /// The page at that cursor; without one the first.
    fn page(&self, cursor: Option<&Self::Cursor>) -> Self::Page;

    /// The items of a page that was read, and where the next one is; `None` after the last.
    fn split(page: <Self::Page as Effect>::Output) -> (Vec<Self::Item>, Option<Self::Cursor>);
}
