//! The items of an answer, as a call's own stream.

use std::{
    convert::Infallible,
    fmt,
    future::poll_fn,
    marker::PhantomData,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bowline_model::{Attempt, BoxFuture, Error, Failure, Verdict};
use bytes::Bytes;
use futures_util::Stream;
use serde::de::DeserializeOwned;

#[cfg(feature = "xml")]
use crate::stream::XmlElements;
use crate::{
    Api, Call,
    flow::Flow,
    send::Schedule,
    stream::{self, CsvRecords, JsonItems, JsonLines, Split},
};

impl Api {
    /// Largest body that is read as it flows, decoded: items of a stream, a download. 64 GiB unless set.
    ///
    /// A compressed one, moreover, may not grow beyond a thousand times its size, its first MiB aside: no document does.
    ///
    /// # A gigabyte
    /// ```
    /// use bowline_client::Api;
    ///
    /// let crm = Api::new("crm").base_url("https://crm.example.com").stream_bytes_max(1 << 30);
    /// ```
    pub fn stream_bytes_max(self, bytes: u64) -> Self {
        self.with(|settings| settings.stream_bytes_max = bytes)
    }

    /// How long a body that flows may pause between two chunks. 30 s unless set. Until its first byte the time of an
    /// attempt counts ([`attempt_timeout`](Api::attempt_timeout)); how long it takes as a whole has no limit.
    ///
    /// # A slow export
    /// ```
    /// use std::time::Duration;
    ///
    /// use bowline_client::Api;
    ///
    /// let crm = Api::new("crm").base_url("https://crm.example.com").stream_idle_timeout(Duration::from_secs(90));
    /// ```
    pub fn stream_idle_timeout(self, longest: Duration) -> Self {
        self.with(|settings| settings.stream_idle_timeout = longest)
    }
}

impl<U> Call<U> {
    /// Sends the call, and yields the items of a JSON array in its answer as they arrive: of the array at that path
    /// ([`JsonItems`]). See [`stream_with`](Call::stream_with) for the rest.
    ///
    /// # Durability
    /// None: a crash forgets which item was the last. In a run: [`streaming`](Call::streaming).
    ///
    /// # Errors
    /// The path is not one, or the last attempt's failure.
    ///
    /// # An export, item by item
    /// ```no_run
    /// # async fn f(crm: bowline_client::Api) -> Result<(), bowline_model::Error> {
    /// # #[derive(serde::Deserialize)] struct Contact { email: String }
    /// let mut contacts = crm.get("/export").stream_json::<Contact>("data.contacts").await?;
    /// while let Some(contact) = contacts.next().await {
    ///     println!("{}", contact?.email);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn stream_json<T: DeserializeOwned>(self, path: &str) -> Result<Streamed<T, JsonItems>, Error> {
        let items = JsonItems::at(path).map_err(Error::permanent)?;
        self.stream_with(items).await
    }

    /// As [`stream_json`](Call::stream_json), for an answer with one JSON value per line ([`JsonLines`]).
    ///
    /// # Durability
    /// None.
    ///
    /// # Errors
    /// The last attempt's failure.
    ///
    /// # Lines of events
    /// ```no_run
    /// # async fn f(crm: bowline_client::Api) -> Result<(), bowline_model::Error> {
    /// let mut events = crm.get("/events.ndjson").stream_ndjson::<serde_json::Value>().await?;
    /// while let Some(event) = events.next().await {
    ///     println!("{}", event?["type"]);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn stream_ndjson<T: DeserializeOwned>(self) -> Result<Streamed<T, JsonLines>, Error> {
        self.stream_with(JsonLines::new()).await
    }

    /// As [`stream_json`](Call::stream_json), for CSV with commas, below a header ([`CsvRecords`]). For other forms:
    /// `.stream_with(CsvRecords::new().delimiter(b';').no_header())`.
    ///
    /// # Durability
    /// None.
    ///
    /// # Errors
    /// The last attempt's failure.
    ///
    /// # A price list
    /// ```no_run
    /// # async fn f(shop: bowline_client::Api) -> Result<(), bowline_model::Error> {
    /// # #[derive(serde::Deserialize)] struct Price { sku: String, price: f64 }
    /// let mut prices = shop.get("/prices.csv").stream_csv::<Price>().await?;
    /// while let Some(price) = prices.next().await {
    ///     let Price { sku, price } = price?;
    ///     println!("{sku}: {price}");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn stream_csv<T: DeserializeOwned>(self) -> Result<Streamed<T, CsvRecords>, Error> {
        self.stream_with(CsvRecords::new()).await
    }

    /// As [`stream_json`](Call::stream_json), for the elements at a path of an XML document ([`XmlElements`]).
    ///
    /// # Durability
    /// None.
    ///
    /// # Errors
    /// The path is not one, or the last attempt's failure.
    ///
    /// # A feed
    /// ```no_run
    /// # async fn f(blog: bowline_client::Api) -> Result<(), bowline_model::Error> {
    /// # #[derive(serde::Deserialize)] struct Entry { title: String }
    /// let mut entries = blog.get("/feed.atom").stream_xml::<Entry>("feed.entry").await?;
    /// while let Some(entry) = entries.next().await {
    ///     println!("{}", entry?.title);
    /// }
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "xml")]
    pub async fn stream_xml<T: DeserializeOwned>(
        self,
        path: &str,
    ) -> Result<Streamed<T, XmlElements>, Error> {
        let elements = XmlElements::at(path).map_err(Error::permanent)?;
        self.stream_with(elements).await
    }

    /// Sends the call, and yields what that splitter finds in its answer, as it arrives.
    ///
    /// Until the first item (or the end of an answer that has none) it is a call as any other: its status is judged,
    /// and it is sent again by the Api's schedule. After that an error is told and not retried: what was read cannot
    /// be taken back.
    ///
    /// The answer's body is decoded, and read no faster than items are taken. While it is read, the call counts as
    /// under way where the Api's concurrency is limited; dropping the stream ends it.
    ///
    /// Items are handed on as they are: unlike a whole answer they are not searched for the Api's secrets. Errors are.
    ///
    /// # Durability
    /// None: a crash forgets which item was the last.
    ///
    /// # Errors
    /// The last attempt's failure.
    ///
    /// # CSV as spreadsheets write it in half of Europe
    /// ```no_run
    /// use bowline_client::stream::CsvRecords;
    ///
    /// # async fn f(shop: bowline_client::Api) -> Result<(), bowline_model::Error> {
    /// let csv = CsvRecords::new().delimiter(b';').no_header();
    /// let mut prices = shop.get("/prices.csv").stream_with::<(String, f64), _>(csv).await?;
    /// while let Some(price) = prices.next().await {
    ///     let (sku, price) = price?;
    ///     println!("{sku}: {price}");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn stream_with<T, P>(self, splitter: P) -> Result<Streamed<T, P>, Error>
    where
        T: DeserializeOwned,
        P: Split,
    {
        let mut schedule = Schedule::new(self.api(), self.repeat());
        loop {
            let attempt = schedule.attempt();
            let verdict = Streamed::open(&self, &attempt, splitter.anew()).await;
            if let Some(streamed) = schedule.after(verdict).await? {
                return Ok(streamed);
            }
        }
    }
}

/// The items of one answer, as they arrive: a [`Stream`], and [`next`](Streamed::next) without one's trait at hand.
///
/// After an error about one item the next one follows; after any other error nothing does
/// ([`is_over`](Streamed::is_over) tells them apart).
///
/// # Items that do not fit are left out
/// ```no_run
/// # async fn f(crm: bowline_client::Api) -> Result<(), bowline_model::Error> {
/// let mut ids = crm.get("/ids").stream_json::<u64>("").await?;
/// while let Some(id) = ids.next().await {
///     match id {
///         Ok(id) => println!("{id}"),
///         Err(error) if ids.is_over() => return Err(error),
///         Err(error) => eprintln!("left out: {error}"),
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Streamed<T, P> {
    splitter: P,
    source: Source,
    /// It was read to know that there is one.
    first: Option<Result<T, Error>>,
    has_begun: bool,
    /// The item's type is asked for, not held.
    item: PhantomData<fn() -> T>,
}

/// The next chunk on its way; what it flows from comes back with it.
type Reading = BoxFuture<'static, (Box<Flow>, Result<Option<Bytes>, Failure>)>;

enum Source {
    /// Nobody asks for more.
    Idle(Box<Flow>),
    Reading(Reading),
    /// The body was read; the splitter may hold more.
    Ended(Box<Flow>),
    Over,
}

impl<T: DeserializeOwned, P: Split> Streamed<T, P> {
    /// One attempt, up to its first item.
    pub(crate) async fn open<U>(call: &Call<U>, attempt: &Attempt, splitter: P) -> Verdict<Self> {
        let good = |status| (200..300).contains(&status);
        let flow = match Flow::open(call.api(), call.request(), attempt, good).await {
            Ok(flow) => Box::new(flow),
            Err(verdict) => return verdict.map(|never: Infallible| match never {}),
        };
        let mut streamed =
            Self { splitter, source: Source::Idle(flow), first: None, has_begun: false, item: PhantomData };
        match streamed.next().await {
            Some(Err(error)) if streamed.is_over() => Verdict::Unknown(error.into_failure()),
            first => {
                streamed.first = first;
                Verdict::Done(streamed)
            }
        }
    }

    /// The next item; `None` when all were read, or after an error that ended the stream.
    ///
    /// May be dropped before it is done: nothing is lost.
    ///
    /// # Errors
    /// An item that does not fit its type; a document that is not what was expected; an answer that broke off. The
    /// last may be another time's luck ([`Error::is_retryable`]).
    ///
    /// # One by one
    /// ```no_run
    /// # async fn f(crm: bowline_client::Api) -> Result<(), bowline_model::Error> {
    /// let mut ids = crm.get("/ids").stream_json::<u64>("").await?;
    /// let first = ids.next().await.transpose()?;
    /// # Ok(()) }
    /// ```
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        loop {
            if let Source::Reading(reading) = &mut self.source {
                let (flow, chunk) = ready!(reading.as_mut().poll(cx));
                self.source = Source::Idle(flow);
                if let Some(failure) = self.take_in(chunk) {
                    self.source = Source::Over;
                    return Poll::Ready(Some(Err(failure.into())));
                }
            }
            if matches!(self.source, Source::Over) {
                return Poll::Ready(None);
            }
            match self.splitter.next_item() {
                Ok(Some(item)) => {
                    self.has_begun = true;
                    return Poll::Ready(Some(Ok(item)));
                }
                Ok(None) => match mem::replace(&mut self.source, Source::Over) {
                    Source::Idle(flow) => self.source = Source::Reading(read(flow)),
                    Source::Reading(_) | Source::Ended(_) | Source::Over => return Poll::Ready(None),
                },
                Err(error) => return Poll::Ready(Some(Err(self.unfit(&error).into()))),
            }
        }
    }

    fn take_in(&mut self, chunk: Result<Option<Bytes>, Failure>) -> Option<Failure> {
        match chunk {
            Ok(Some(chunk)) => self.splitter.feed(chunk),
            Ok(None) => {
                self.splitter.end();
                if let Source::Idle(flow) = mem::replace(&mut self.source, Source::Over) {
                    self.source = Source::Ended(flow);
                }
            }
            Err(failure) => return Some(failure),
        }
        None
    }

    /// What is told of content that cannot be read.
    fn unfit(&mut self, error: &stream::Error) -> Failure {
        if let (true, Source::Idle(flow) | Source::Ended(flow)) = (error.is_item(), &self.source) {
            self.has_begun = true;
            return flow.failure(&format!(", but {error}")).permanent();
        }
        let (Source::Idle(flow) | Source::Ended(flow)) = mem::replace(&mut self.source, Source::Over) else {
            return Failure::unknown(error.to_string()).permanent();
        };
        let what = if self.has_begun {
            None
        } else if flow.read == 0 {
            Some(format!("is empty where {} was expected", P::FORMAT))
        } else {
            flow.not_in_format(P::FORMAT)
        };
        match what {
            Some(what) => flow.failure(&format!(", but its body {what}")).permanent(),
            None if error.is_truncated() => flow.failure(&format!(", but {error}")),
            None => flow.failure(&format!(", but its body is of no use: {error}")).permanent(),
        }
    }
}

impl<T, P> Streamed<T, P> {
    /// See [`Flow::is_read_among_calls`].
    pub(crate) fn is_read_among_calls(&mut self) {
        if let Source::Idle(flow) = &mut self.source {
            flow.is_read_among_calls();
        }
    }

    /// Whether nothing follows any more: all items were read, or an error ended the stream.
    ///
    /// # An error that ends a stream
    /// ```no_run
    /// # async fn f(crm: bowline_client::Api) -> Result<(), bowline_model::Error> {
    /// let mut ids = crm.get("/ids").stream_json::<u64>("").await?;
    /// while let Some(id) = ids.next().await {
    ///     if id.is_err() && ids.is_over() {
    ///         eprintln!("the answer broke off");
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn is_over(&self) -> bool {
        self.first.is_none() && matches!(self.source, Source::Over)
    }
}

fn read(mut flow: Box<Flow>) -> Reading {
    Box::pin(async move {
        let chunk = flow.chunk().await;
        (flow, chunk)
    })
}

/// Nothing in it is pinned.
impl<T, P> Unpin for Streamed<T, P> {}

impl<T: DeserializeOwned, P: Split> Stream for Streamed<T, P> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(cx)
    }
}

/// Shows no items: they may hold personal data.
impl<T, P> fmt::Debug for Streamed<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}
