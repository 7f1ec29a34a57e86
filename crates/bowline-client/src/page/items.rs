//! A listing as a stream: pages are read ahead, so many and no more.

use std::{
    collections::HashSet,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

use bowline_model::Error;
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Cursor, Page, Pages, cursor::Place, read::Id};

/// Most ids that are kept to tell what came twice in windows that overlap.
const OVERLAP_IDS_MAX: usize = 1_000_000;

/// A page as it was read, and the cursor that led to it.
type Turned<T> = Result<(Cursor, Page<T>), (Cursor, Error)>;

/// The pages of a listing, one after the other: [`Pages::pages`].
///
/// A [`Stream`], with [`next`](PageStream::next) of its own. Dropped, it reads no further.
///
/// # Page by page
/// ```no_run
/// # async fn f(crm: bowline_client::Api) -> Result<(), bowline_model::Error> {
/// # use bowline_client::Paging;
/// let mut pages = crm.get("/contacts").pages::<u8>("", Paging::link_header()).pages();
/// while let Some(page) = pages.next().await {
///     println!("{} items", page?.items.len());
/// }
/// # Ok(()) }
/// ```
pub struct PageStream<T> {
    state: State<T>,
    at: Cursor,
}

enum State<T> {
    Described(Box<Pages<T>>),
    Reading(BoxStream<'static, Turned<T>>),
    Over,
}

impl<T: DeserializeOwned + Send + 'static> PageStream<T> {
    pub(super) fn new(pages: Pages<T>) -> Self {
        Self { at: pages.first.clone(), state: State::Described(Box::new(pages)) }
    }

    /// The next page; `None` after the last one, and after an error.
    ///
    /// # Errors
    /// As [`Call::send`](crate::Call::send); the message says which page, and where to go on.
    pub async fn next(&mut self) -> Option<Result<Page<T>, Error>> {
        StreamExt::next(self).await
    }

    /// The cursor of the page that was yielded last, or that failed: [`Pages::start_at`] goes on there.
    pub fn cursor(&self) -> &Cursor {
        &self.at
    }
}

impl<T: DeserializeOwned + Send + 'static> Stream for PageStream<T> {
    type Item = Result<Page<T>, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Described(pages) => this.state = State::Reading(read((**pages).clone())),
                State::Reading(pages) => {
                    let (at, page) = match ready!(pages.poll_next_unpin(cx)) {
                        Some(Ok((at, page))) => (at, Ok(page)),
                        Some(Err((at, error))) => {
                            this.state = State::Over;
                            (at, Err(error))
                        }
                        None => {
                            this.state = State::Over;
                            return Poll::Ready(None);
                        }
                    };
                    this.at = at;
                    return Poll::Ready(Some(page));
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

/// Reads pages, ahead or as they are asked for.
fn read<T: DeserializeOwned + Send + 'static>(pages: Pages<T>) -> BoxStream<'static, Turned<T>> {
    let ahead = pages.ahead;
    let mut reading = Reading { next: Some(pages.first.clone()), pages, overlap: Overlap::default() };
    if ahead == 0 {
        return stream::unfold(reading, async |mut reading| Some((reading.turn().await?, reading))).boxed();
    }
    let (give, mut take) = mpsc::channel(ahead);
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        // The place first, then the page: no more than `ahead` pages are there or on their way.
        while let Ok(place) = give.reserve().await {
            let Some(page) = reading.turn().await else { break };
            place.send(page);
        }
    }));
    stream::poll_fn(move |cx| {
        let _until_dropped = &task;
        take.poll_recv(cx)
    })
    .boxed()
}

/// A listing that is being read.
struct Reading<T> {
    pages: Pages<T>,
    next: Option<Cursor>,
    overlap: Overlap,
}

impl<T: DeserializeOwned + Send + 'static> Reading<T> {
    /// The next page.
    async fn turn(&mut self) -> Option<Turned<T>> {
        let at = self.next.take()?;
        let (call, reader) = self.pages.turned(&at);
        let read = Box::pin(call.reading::<(Page<T>, Vec<Id>)>(reader).send()).await;
        let fresh = read.and_then(|(page, ids)| self.overlap.take_out(&at, page, &ids));
        Some(match fresh {
            Ok(page) => {
                self.next.clone_from(&page.next);
                Ok((at, page))
            }
            Err(error) => Err((at.clone(), located(error, &at))),
        })
    }
}

/// The same error, with which page it was, and how to go on.
fn located(error: Error, at: &Cursor) -> Error {
    let mut failure = error.into_failure();
    let resume = if at.page() > 1 { "; to go on there: .start_at(its cursor)" } else { "" };
    failure.message = format!("{at}: {}{resume}", failure.message);
    failure.into()
}

/// The ids of this window and the one before: what a look-back brings again.
#[derive(Default)]
struct Overlap {
    window: Option<Timestamp>,
    before: HashSet<Id>,
    now: HashSet<Id>,
}

impl Overlap {
    /// The page without what came before. `ids` are those of its items, or none where nothing can come twice.
    fn take_out<T>(&mut self, at: &Cursor, mut page: Page<T>, ids: &[Id]) -> Result<Page<T>, Error> {
        if ids.is_empty() {
            return Ok(page);
        }
        let window = if let Place::Window { from, .. } = at.at() { Some(*from) } else { None };
        if window != self.window {
            // The first cursor does not name its window.
            if self.window.is_some() {
                self.before = std::mem::take(&mut self.now);
            }
            self.window = window;
        }
        let mut ids = ids.iter();
        page.items.retain(|_| {
            let id = ids.next().expect("every item has its id");
            self.now.insert(*id) && !self.before.contains(id)
        });
        if self.now.len() + self.before.len() > OVERLAP_IDS_MAX {
            let kept = self.now.len() + self.before.len();
            return Err(Error::refused(format!(
                "two windows that overlap hold {kept} items (limit {OVERLAP_IDS_MAX}): make the windows shorter"
            )));
        }
        Ok(page)
    }
}

/// The items of a listing, one after the other: [`Pages::items`].
///
/// A [`Stream`], with [`next`](Items::next) of its own. Dropped, it reads no further.
///
/// # Until one fails, and from there
/// ```no_run
/// # async fn f(contacts: bowline_client::Pages<u8>) {
/// let mut items = contacts.clone().items();
/// while let Some(item) = items.next().await {
///     if let Err(error) = item {
///         println!("{error}");
///         let rest = contacts.clone().start_at(items.cursor());
///         # let _ = rest;
///     }
/// }
/// # }
/// ```
pub struct Items<T> {
    pages: PageStream<T>,
    page: vec::IntoIter<T>,
}

impl<T: DeserializeOwned + Send + 'static> Items<T> {
    pub(super) fn new(pages: PageStream<T>) -> Self {
        Self { pages, page: vec![].into_iter() }
    }

    /// The next item; `None` after the last one, and after an error.
    ///
    /// # Errors
    /// As [`PageStream::next`].
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        StreamExt::next(self).await
    }

    /// The cursor of the page that the last item was on, or that failed: [`Pages::start_at`] begins with that page's
    /// first item again.
    pub fn cursor(&self) -> &Cursor {
        self.pages.cursor()
    }
}

impl<T: DeserializeOwned + Send + 'static> Stream for Items<T> {
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(item) = this.page.next() {
                return Poll::Ready(Some(Ok(item)));
            }
            match ready!(this.pages.poll_next_unpin(cx)) {
                Some(Ok(page)) => this.page = page.items.into_iter(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

// Neither is ever pinned in place: what they hold is boxed, or plain.
impl<T> Unpin for PageStream<T> {}
impl<T> Unpin for Items<T> {}

impl<T> fmt::Debug for PageStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageStream").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("at", &self.pages.at).finish_non_exhaustive()
    }
}
