//! Listings that a remote gives in pages: as a stream, or page by page in a run.
//!
//! What comes in: a call, where its items are, and how the remote cuts the listing ([`Paging`]). What goes out: items,
//! pages, and cursors that can be recorded. What must never happen here: a listing that ends early and says nothing,
//! one that goes round for ever, or a next URL that takes credentials to another host.
//!
//! | Module | Story |
//! |---|---|
//! | `paging` | the styles, as a remote's documents name them |
//! | `cursor` | where a page is |
//! | `turn` | from one page to the next, purely |
//! | `place`, `link` | places in a JSON document; links in a header |
//! | `read` | how an answer becomes a page |
//! | `items` | the streams |

mod cursor;
mod items;
mod link;
mod paging;
pub(crate) mod place;
mod read;
pub(crate) mod turn;

use std::{fmt, marker::PhantomData};

use bowline_model::{Listing, Recorded};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

pub use self::{
    cursor::Cursor,
    items::{Items, PageStream},
    paging::Paging,
};
use self::{read::Reader, turn::Turned};
use crate::{
    Call,
    body::Body,
    call::{BodyKind, Request, Typed},
};

/// Most pages of one listing, unless said otherwise.
///
/// # The default
/// ```
/// assert_eq!(bowline_client::page::PAGES_MAX, 10_000);
/// ```
pub const PAGES_MAX: u64 = 10_000;
/// Pages that are read while the one before is worked on, unless said otherwise.
const AHEAD: usize = 1;
/// Most pages that can be read ahead.
const AHEAD_MAX: usize = 100;

/// One page of a listing. It can be recorded.
///
/// # As a journal keeps it
/// ```
/// use bowline_client::Page;
///
/// let page: Page<u8> = serde_json::from_str(r#"{"items":[1,2],"next":{"page":2,"at":{"text":"c2"}}}"#)?;
/// assert_eq!((page.items, page.next.unwrap().page()), (vec![1, 2], 2));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// Its items. None does not mean that it is the last one.
    pub items: Vec<T>,
    /// Where the next one is; `None` after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
}

/// A listing: what [`Call::pages`] makes of a call.
///
/// [`items`](Pages::items) and [`pages`](Pages::pages) are streams for use alone; [`page`](Pages::page) is one page as a
/// call, for a loop in a run that goes on at its page after a crash.
///
/// | Option | Default |
/// |---|---|
/// | [`ahead`](Pages::ahead) | 1 page is read while the one before is worked on |
/// | [`pages_max`](Pages::pages_max) | 10,000 |
/// | [`start_at`](Pages::start_at) | the first page |
/// | [`may_lack_items`](Pages::may_lack_items) | an answer without the items is an error |
///
/// # All contacts
/// ```no_run
/// # async fn f(crm: bowline_client::Api) -> Result<(), bowline_model::Error> {
/// use bowline_client::Paging;
///
/// let paging = Paging::cursor("paging.next.after", "after");
/// let mut contacts =
///     crm.get("/contacts").query("limit", 100).pages::<serde_json::Value>("results", paging).items();
/// while let Some(contact) = contacts.next().await {
///     println!("{}", contact?["email"]);
/// }
/// # Ok(()) }
/// ```
#[must_use = "a listing is only a description: ask it for items or pages"]
pub struct Pages<T> {
    call: Call,
    reader: Reader,
    ahead: usize,
    pages_max: u64,
    first: Cursor,
    items: PhantomData<fn() -> T>,
}

impl Call {
    /// The listing whose first page this call asks for. `items` is where an answer has them: `results`, `data.items`,
    /// or `""` where the answer is the array itself.
    ///
    /// # Pages with numbers
    /// ```
    /// use bowline_client::{Api, Cursor, Paging};
    /// use bowline_model::Effect;
    ///
    /// let api = Api::new("tracker").base_url("https://tracker.example.com");
    /// let pages = api.get("/issues").pages::<serde_json::Value>("", Paging::page_number("page"));
    /// let shape = pages.page(&Cursor::first()).shape();
    /// assert_eq!(shape.fingerprint.unwrap().to_string(), "GET tracker /issues?page=1");
    /// ```
    pub fn pages<T: DeserializeOwned + Send + 'static>(self, items: &str, paging: Paging) -> Pages<T> {
        let base = self.api().base();
        let cursor = Cursor::first();
        let reader = Reader { items: items.to_owned(), may_lack_items: false, paging, base, cursor };
        let (ahead, pages_max, first) = (AHEAD, PAGES_MAX, Cursor::first());
        Pages { call: self, reader, ahead, pages_max, first, items: PhantomData }
    }
}

impl<T: DeserializeOwned + Send + 'static> Pages<T> {
    /// How many pages a stream reads ahead of the one that is worked on; 0 reads a page when it is asked for. When so many
    /// are there, nothing is sent until one is taken. At most 100.
    ///
    /// # Three pages ahead
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// use bowline_client::Paging;
    ///
    /// let contacts = crm.get("/contacts").pages::<serde_json::Value>("", Paging::link_header()).ahead(3);
    /// # let _ = contacts;
    /// ```
    pub fn ahead(mut self, pages: usize) -> Self {
        self.ahead = pages.min(AHEAD_MAX);
        self
    }

    /// Most pages; the one after is an error. 10,000 unless set.
    ///
    /// # A long listing
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// use bowline_client::Paging;
    ///
    /// let contacts = crm.get("/contacts").pages::<serde_json::Value>("", Paging::link_header()).pages_max(1_000_000);
    /// # let _ = contacts;
    /// ```
    pub fn pages_max(mut self, pages: u64) -> Self {
        self.pages_max = pages;
        self
    }

    /// Where a stream begins: at a page that a cursor of this listing leads to.
    ///
    /// # Where an earlier run ended
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// use bowline_client::{Cursor, Paging};
    ///
    /// let cursor: Cursor = serde_json::from_str(r#"{"page":7,"at":{"text":"c7"}}"#)?;
    /// let rest = crm.get("/contacts").pages::<u8>("results", Paging::cursor("next", "after")).start_at(&cursor);
    /// # let _ = rest;
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn start_at(mut self, cursor: &Cursor) -> Self {
        self.first = cursor.clone();
        self
    }

    /// Takes an answer that has nothing where the items should be for an empty page, as some remotes leave out what is
    /// empty (Google's do).
    ///
    /// # Files that are not there
    /// ```
    /// # let crm = bowline_client::Api::new("crm").base_url("https://crm.example.com");
    /// use bowline_client::Paging;
    ///
    /// let files = crm.get("/files").pages::<u8>("files", Paging::cursor("nextPageToken", "pageToken")).may_lack_items();
    /// # let _ = files;
    /// ```
    pub fn may_lack_items(mut self) -> Self {
        self.reader.may_lack_items = true;
        self
    }

    /// One page, as a call.
    ///
    /// # Durability
    /// In a run, `cx.for_each("sync", contacts, 16, ..).keyed(..)` goes over the items of all pages, and records each page with
    /// the next cursor: a run that crashes goes on at its items. This is for a single page: a step that yields it.
    ///
    /// # The page after one that was kept
    /// ```no_run
    /// # use bowline_client::{Cursor, Pages};
    /// # async fn newest(contacts: Pages<serde_json::Value>, kept: Cursor) -> Result<(), bowline_model::Error> {
    /// let page = contacts.page(&kept).send().await?;
    /// println!("{} contacts, {}", page.items.len(), if page.next.is_some() { "and more" } else { "the last" });
    /// # Ok(()) }
    /// ```
    pub fn page(&self, cursor: &Cursor) -> Call<Page<T>> {
        let (call, reader) = self.turned(cursor);
        call.reading(reader)
    }

    /// The items, one after the other, whatever the pages.
    ///
    /// Each page is sent again by the Api's schedule if it fails, as [`Call::send`] does. After an error the stream is
    /// over; [`Items::cursor`] is where to go on.
    ///
    /// # Durability
    /// None: this is for use alone. In a run, [`page`](Pages::page).
    pub fn items(self) -> Items<T> {
        Items::new(self.pages())
    }

    /// The pages, one after the other; else as [`items`](Pages::items).
    ///
    /// # Page by page
    /// ```no_run
    /// # async fn f(crm: bowline_client::Api) -> Result<(), bowline_model::Error> {
    /// # use bowline_client::Paging;
    /// let mut pages = crm.get("/contacts").pages::<serde_json::Value>("", Paging::link_header()).ahead(3).pages();
    /// while let Some(page) = pages.next().await {
    ///     println!("{} contacts", page?.items.len());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn pages(self) -> PageStream<T> {
        PageStream::new(self)
    }

    /// The call for a page, and what reads it.
    fn turned(&self, cursor: &Cursor) -> (Call, Reader) {
        let (mut call, mut reader) = (self.call.clone(), self.reader.clone());
        reader.cursor = cursor.clone();
        let request = call.request_mut();
        let turned = if cursor.page() > self.pages_max {
            Err(format!(
                "page {} is past the limit of {} pages: raise .pages_max if the listing is that long",
                cursor.page(),
                self.pages_max
            ))
        } else {
            turn_request(request, &reader.paging, cursor)
        };
        if let Err(problem) = turned {
            request.problem.get_or_insert(problem);
        }
        (call, reader)
    }
}

/// What a loop in a run goes over: `cx.for_each("sync", pages, 16, ..).keyed(..)`.
impl<T: Recorded + 'static> Listing for Pages<T> {
    type Item = T;
    type Cursor = Cursor;
    type Page = Call<Page<T>>;

    fn page(&self, cursor: Option<&Cursor>) -> Self::Page {
        Pages::page(self, cursor.unwrap_or(&self.first))
    }

    fn split(page: Page<T>) -> (Vec<T>, Option<Cursor>) {
        (page.items, page.next)
    }
}

fn turn_request(request: &mut Request, paging: &Paging, cursor: &Cursor) -> Result<(), String> {
    let json = request.body.as_ref().filter(|body| body.kind == BodyKind::Json);
    let body: Option<Box<RawValue>> =
        json.and_then(|body| serde_json::from_slice(body.content.bytes()?).ok());
    let mut turned = Turned { path: &mut request.path, query: &mut request.query, body };
    turn::ask(paging, cursor.at(), &mut turned)?;
    if let Some(body) = turned.body {
        let content = Body::Bytes(body.get().to_owned().into());
        request.body = Some(Typed { content, kind: BodyKind::Json });
    }
    Ok(())
}

/// Shows the call.
impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("call", &self.call)
            .field("paging", &self.reader.paging)
            .finish_non_exhaustive()
    }
}

impl<T> Clone for Pages<T> {
    fn clone(&self) -> Self {
        Self {
            call: self.call.clone(),
            reader: self.reader.clone(),
            ahead: self.ahead,
            pages_max: self.pages_max,
            first: self.first.clone(),
            items: PhantomData,
        }
    }
}
