//! How a remote cuts a listing into pages.

use std::time::Duration;

use jiff::Timestamp;

/// How a remote cuts a listing into pages, and how it is asked for the next one.
///
/// | Style | As at |
/// |---|---|
/// | [`link_header`](Paging::link_header) | GitHub |
/// | [`next_url`](Paging::next_url): a URL in the body | Microsoft Graph |
/// | [`cursor`](Paging::cursor): a cursor in the body, sent in the query | Slack, HubSpot |
/// | [`cursor_in_header`](Paging::cursor_in_header): a cursor in a header, sent in the query | |
/// | [`body_cursor`](Paging::body_cursor): a cursor in the body, sent in the body of a POST | HubSpot's search |
/// | [`page_number`](Paging::page_number) | Xero |
/// | [`offset`](Paging::offset) and limit | Jira |
/// | [`last_id`](Paging::last_id): the id of the last item | Stripe |
/// | [`graphql`](Paging::graphql): a connection with its `pageInfo` | Linear, GitHub |
/// | [`windows`](Paging::windows) of time, each with pages of its own | |
///
/// Paths (`paging.next.after`, or a JSON Pointer) lead to a place in the answer. A listing ends where the remote says
/// so: no next link or cursor; where pages or items are counted, an empty page. A page that is shorter than asked for
/// ends nothing: many remotes cap what they give. [`more`](Paging::more), [`total`](Paging::total) and
/// [`last_page`](Paging::last_page) spare the empty page.
///
/// # Charges
/// ```
/// use bowline_client::{Api, Paging};
///
/// let stripe = Api::new("stripe").base_url("https://api.stripe.com/v1");
/// let paging = Paging::last_id("id", "starting_after").more("has_more");
/// let charges = stripe.get("/charges").query("limit", 100).pages::<serde_json::Value>("data", paging);
/// # let _ = charges;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    pub(super) style: Style,
    /// Where the answer says whether there is more.
    pub(super) more: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Style {
    Link,
    NextUrl { path: String },
    Token { from: From, to: To },
    Number { parameter: String, first: u64, last: Option<String> },
    Offset { parameter: String, limit: Option<(String, u64)>, total: Option<String> },
    LastId { path: String, to: To },
    Connection { path: String, variable: String },
    Windows(Box<Windows>),
}

/// Where the next cursor stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    Body(String),
    Header(String),
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum To {
    Query(String),
    Body(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Windows {
    pub(super) from: (String, Timestamp),
    pub(super) to: (String, Timestamp),
    pub(super) span: Duration,
    pub(super) look_back: Duration,
    pub(super) unique: Option<String>,
    pub(super) written: Written,
    pub(super) within: Option<Paging>,
}

/// How a remote reads a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Rfc3339,
    UnixSeconds,
}

impl Paging {
    fn new(style: Style) -> Self {
        Self { style, more: None }
    }

    /// The next page is a link in the header `Link` (RFC 8288), with the relation `next`.
    ///
    /// # Issues
    /// ```
    /// # use bowline_client::{Api, Paging};
    /// let github = Api::new("github").base_url("https://api.github.com");
    /// let issues = github.get("/repos/a/b/issues").pages::<serde_json::Value>("", Paging::link_header());
    /// # let _ = issues;
    /// ```
    pub fn link_header() -> Self {
        Self::new(Style::Link)
    }

    /// The next page's URL is in the body, at that path. It must be below the base URL: credentials stay home.
    ///
    /// # OData
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::next_url("@odata.nextLink");
    /// ```
    pub fn next_url(path: &str) -> Self {
        Self::new(Style::NextUrl { path: path.into() })
    }

    /// The cursor at that path of the body goes into that parameter of the query.
    ///
    /// # Slack
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::cursor("response_metadata.next_cursor", "cursor");
    /// ```
    pub fn cursor(path: &str, parameter: &str) -> Self {
        Self::new(Style::Token { from: From::Body(path.into()), to: To::Query(parameter.into()) })
    }

    /// The cursor in that header goes into that parameter of the query.
    ///
    /// # A header that names the next page
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::cursor_in_header("x-next-page", "page");
    /// ```
    pub fn cursor_in_header(header: &str, parameter: &str) -> Self {
        Self::new(Style::Token { from: From::Header(header.into()), to: To::Query(parameter.into()) })
    }

    /// The cursor at the one path of the answer goes to the other path of the request's JSON body.
    ///
    /// # A search
    /// ```
    /// # use bowline_client::{Api, Paging};
    /// let crm = Api::new("crm").base_url("https://api.hubapi.com");
    /// let found = crm
    ///     .post("/crm/v3/objects/contacts/search")
    ///     .json(&serde_json::json!({"query": "jane", "limit": 100}))
    ///     .pages::<serde_json::Value>("results", Paging::body_cursor("paging.next.after", "after"));
    /// # let _ = found;
    /// ```
    pub fn body_cursor(path: &str, into: &str) -> Self {
        Self::new(Style::Token { from: From::Body(path.into()), to: To::Body(into.into()) })
    }

    /// Pages have numbers, from 1; see [`first`](Paging::first), [`last_page`](Paging::last_page).
    ///
    /// # Up to the last page
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::page_number("page").last_page("pagination.pageCount");
    /// ```
    pub fn page_number(parameter: &str) -> Self {
        Self::new(Style::Number { parameter: parameter.into(), first: 1, last: None })
    }

    /// The number of items before the page goes into that parameter. It grows by what came, not by what was asked for.
    ///
    /// # Up to a total
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::offset("startAt").limit("maxResults", 100).total("total");
    /// ```
    pub fn offset(parameter: &str) -> Self {
        Self::new(Style::Offset { parameter: parameter.into(), limit: None, total: None })
    }

    /// The id of the last item (at that path within it) goes into that parameter of the query.
    ///
    /// # The last charge
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::last_id("id", "starting_after").more("has_more");
    /// ```
    pub fn last_id(path: &str, parameter: &str) -> Self {
        Self::new(Style::LastId { path: path.into(), to: To::Query(parameter.into()) })
    }

    /// A GraphQL connection at that path of the data: the query asks for its `pageInfo { hasNextPage endCursor }` and
    /// its `nodes` (or `edges { node }`), and takes the cursor as the variable `$after`.
    /// [`GraphQl::pages`](crate::GraphQl::pages) is the short way.
    ///
    /// # Another variable
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::graphql("repository.issues").variable("cursor");
    /// ```
    pub fn graphql(path: &str) -> Self {
        Self::new(Style::Connection { path: path.into(), variable: "after".into() })
    }

    /// Spans of time, asked for one after the other: from `from` to `to`, each as long as `span`, the beginning in one
    /// parameter of the query and the end in the other, as RFC 3339 unless [`unix_seconds`](Paging::unix_seconds).
    ///
    /// In a run, take `to` from `cx.now()`: it is the same after a crash. For a remote that cuts a window into pages,
    /// [`within`](Paging::within); for one that shows changes late, [`look_back`](Paging::look_back).
    ///
    /// # Days, with five minutes for late changes
    /// ```
    /// # use std::time::Duration;
    /// # use bowline_client::Paging;
    /// # let (since, now) = (jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::UNIX_EPOCH);
    /// let day = Duration::from_secs(24 * 3600);
    /// let paging = Paging::windows(("updated_after", since), ("updated_before", now), day)
    ///     .within(Paging::cursor("next", "cursor"))
    ///     .look_back(Duration::from_secs(300), "id");
    /// ```
    pub fn windows(from: (&str, Timestamp), to: (&str, Timestamp), span: Duration) -> Self {
        Self::new(Style::Windows(Box::new(Windows {
            from: (from.0.into(), from.1),
            to: (to.0.into(), to.1),
            span,
            look_back: Duration::ZERO,
            unique: None,
            written: Written::Rfc3339,
            within: None,
        })))
    }

    /// Where the answer says whether there is more: the listing ends when it does not.
    ///
    /// # A flag
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::last_id("id", "starting_after").more("has_more");
    /// ```
    pub fn more(mut self, path: &str) -> Self {
        self.more = Some(path.into());
        self
    }

    /// The number of the first page, where it is not 1. For [`page_number`](Paging::page_number).
    ///
    /// # From zero
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::page_number("page").first(0);
    /// ```
    pub fn first(mut self, number: u64) -> Self {
        if let Style::Number { first, .. } = &mut self.style {
            *first = number;
        }
        self
    }

    /// Where the answer has the number of the last page. For [`page_number`](Paging::page_number).
    ///
    /// # A count of pages
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::page_number("page").last_page("meta.pages");
    /// ```
    pub fn last_page(mut self, path: &str) -> Self {
        if let Style::Number { last, .. } = &mut self.style {
            *last = Some(path.into());
        }
        self
    }

    /// The parameter for the most items of a page. For [`offset`](Paging::offset).
    ///
    /// # Fifty at a time
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::offset("offset").limit("limit", 50);
    /// ```
    pub fn limit(mut self, parameter: &str, items_max: u64) -> Self {
        if let Style::Offset { limit, .. } = &mut self.style {
            *limit = Some((parameter.into(), items_max));
        }
        self
    }

    /// Where the answer has the number of all items. For [`offset`](Paging::offset).
    ///
    /// # A count of items
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::offset("offset").total("meta.total");
    /// ```
    pub fn total(mut self, path: &str) -> Self {
        if let Style::Offset { total, .. } = &mut self.style {
            *total = Some(path.into());
        }
        self
    }

    /// The variable for the cursor, where it is not `after`. For [`graphql`](Paging::graphql).
    ///
    /// # A variable called `$cursor`
    /// ```
    /// # use bowline_client::Paging;
    /// let paging = Paging::graphql("issues").variable("cursor");
    /// ```
    pub fn variable(mut self, name: &str) -> Self {
        if let Style::Connection { variable, .. } = &mut self.style {
            *variable = name.into();
        }
        self
    }

    /// How the remote cuts one window into pages. For [`windows`](Paging::windows).
    ///
    /// # Hours with numbered pages
    /// ```
    /// # use std::time::Duration;
    /// # use bowline_client::Paging;
    /// # let (since, now) = (jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::UNIX_EPOCH);
    /// let paging = Paging::windows(("from", since), ("to", now), Duration::from_secs(3600)).within(Paging::page_number("page"));
    /// ```
    pub fn within(self, paging: Paging) -> Self {
        self.in_windows(|windows| windows.within = Some(paging))
    }

    /// Begins each window that much earlier, for remotes that show a change some time after the moment it is dated at.
    /// What comes twice by that is told by the id at that path within the item: [`Pages::items`](crate::Pages::items)
    /// yields it once. A durable loop over pages gives its items keys (`for_each`) for the same purpose. For
    /// [`windows`](Paging::windows).
    ///
    /// # Five minutes
    /// ```
    /// # use std::time::Duration;
    /// # use bowline_client::Paging;
    /// # let (since, now) = (jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::UNIX_EPOCH);
    /// let hours = Paging::windows(("from", since), ("to", now), Duration::from_secs(3600));
    /// let paging = hours.look_back(Duration::from_secs(300), "id");
    /// ```
    pub fn look_back(self, time: Duration, id: &str) -> Self {
        self.in_windows(|windows| (windows.look_back, windows.unique) = (time, Some(id.into())))
    }

    /// Times as whole seconds since 1970. For [`windows`](Paging::windows).
    ///
    /// # Seconds
    /// ```
    /// # use std::time::Duration;
    /// # use bowline_client::Paging;
    /// # let (since, now) = (jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::UNIX_EPOCH);
    /// let paging = Paging::windows(("from", since), ("to", now), Duration::from_secs(3600)).unix_seconds();
    /// ```
    pub fn unix_seconds(self) -> Self {
        self.in_windows(|windows| windows.written = Written::UnixSeconds)
    }

    fn in_windows(mut self, change: impl FnOnce(&mut Windows)) -> Self {
        if let Style::Windows(windows) = &mut self.style {
            change(windows);
        }
        self
    }

    /// Where an item's id is, if items can come twice by design.
    pub(super) fn unique(&self) -> Option<&str> {
        match &self.style {
            Style::Windows(windows) => windows.unique.as_deref(),
            Style::Link
            | Style::NextUrl { .. }
            | Style::Token { .. }
            | Style::Number { .. }
            | Style::Offset { .. }
            | Style::LastId { .. }
            | Style::Connection { .. } => None,
        }
    }
}
