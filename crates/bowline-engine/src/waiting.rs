//! What a workflow waits for: a time, a signal, a callback.

use std::{
    any::type_name,
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    time::Duration,
};

use bowline_model::{BoxFuture, DeadReason, Family, Payload, Result};
use bowline_store::{MailboxKind, NewMailbox, mail::SIGNAL_PREFIX};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::{
    Context,
    asking::Asking,
    board::{Address, Board, NewLeaf, NewWork, Opened},
    wait::{From, MailWait, StaysOpen, Until, Wait, at_most},
    workflow::without_value,
};

impl Context {
    /// Sleeps that long. Days cost no memory: a run that only waits is a row on disk.
    ///
    /// # Durability
    /// The end is recorded when the run first comes to rest, or before its next effect: a run that sleeps when the
    /// process dies wakes at the same time. After a crash before that the sleep begins anew.
    pub async fn sleep(&self, wait: Duration) {
        self.timer(Until::In(wait)).await;
    }

    /// Sleeps until that time; a time that has passed ends at once. See [`sleep`](Self::sleep).
    pub async fn sleep_until(&self, time: Timestamp) {
        self.timer(Until::At(time)).await;
    }

    async fn timer(&self, until: Until) {
        let work =
            NewWork::Wait(Box::new(move |_| Wait { until: Some(until), mail: None, why: until.why() }));
        let leaf = self.wait_leaf("sleep", Family::Timer, "sleep", "()", work);
        match Asking::ask(self.board(), leaf).await {
            Ok(leaf) => {
                leaf.outcome().await;
            }
            // A sleep cannot fail: the run is stopped instead.
            Err(error) => {
                self.board().stop(DeadReason::Mismatch, error.to_string());
                std::future::pending().await
            }
        }
    }

    /// Waits for the signal of that name: a message that another program or a person sends to this run
    /// (`POST /api/runs/RUN/signals/NAME`, `signal RUN NAME`).
    ///
    /// Signals of one name come in the order in which they were sent, one to each wait; one that comes before its wait
    /// is kept. `T` is read from its JSON.
    ///
    /// # Durability
    /// A signal that was answered `202` is on disk, and is taken in the commit that records it. Whether it or the
    /// timeout came first is decided in one transaction; what comes later is told so (`410`).
    ///
    /// ```no_run
    /// # async fn code(cx: bowline_engine::Context) -> bowline_model::Result<()> {
    /// use std::time::Duration;
    ///
    /// let amount: u64 = cx.signal("paid").await?;
    /// let packed: Option<String> = cx.signal("packed").timeout(Duration::from_secs(3600)).await?;
    /// # Ok(()) }
    /// ```
    pub fn signal<T: DeserializeOwned>(&self, name: &str) -> Signal<'_, T> {
        let (name, old_names) = (name.to_owned(), vec![]);
        Signal { cx: self, name, old_names, stays_open: StaysOpen::UntilTimeout, value: PhantomData }
    }

    /// Makes an address to which another system can send one message, once: hand [`Callback::url`] to it in a step,
    /// then await the callback.
    ///
    /// The address cannot be guessed, and is a secret: whoever has it can answer. A second message is refused (`409`),
    /// and so is one that comes when nobody waits any more (`410`): when its time is over, or when the code has gone on
    /// and dropped the callback, awaited or not.
    ///
    /// # Durability
    /// The address is on disk before the next effect: what a step sends can be answered after any crash.
    ///
    /// ```no_run
    /// # async fn code(cx: bowline_engine::Context) -> bowline_model::Result<()> {
    /// let scanned = cx.callback("scanned");
    /// let url = scanned.url().to_owned();
    /// cx.step("scan", async || { let _ask_the_scanner = &url; Ok(()) }).await?;
    /// let report: serde_json::Value = scanned.await?;
    /// # Ok(()) }
    /// ```
    pub fn callback<T: DeserializeOwned>(&self, name: &str) -> Callback<'_, T> {
        let address = self.board().open_callback(name, self.item());
        let url = self.board().callback_url(&address);
        let address = Unawaited { board: self.board(), address: Some(address) };
        Callback { cx: self, name: name.to_owned(), old_names: vec![], address, url, value: PhantomData }
    }

    pub(crate) fn wait_leaf<'a>(
        &self,
        verb: &'static str,
        family: Family,
        name: &str,
        output_type: &'static str,
        work: NewWork<'a>,
    ) -> NewLeaf<'a> {
        NewLeaf {
            verb,
            family,
            name: name.to_owned(),
            old_names: vec![],
            key: None,
            item: self.item().clone(),
            output_type,
            work,
        }
    }
}

/// SHA-256 of a callback's token: all that is kept of it outside the run's journal.
pub(crate) fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A wait for a signal. Made by [`Context::signal`].
#[must_use = "a wait does nothing until it is awaited"]
pub struct Signal<'a, T> {
    cx: &'a Context,
    name: String,
    old_names: Vec<String>,
    stays_open: StaysOpen,
    value: PhantomData<fn() -> T>,
}

/// An address for one message, and the wait for it. Made by [`Context::callback`].
#[must_use = "a wait does nothing until it is awaited"]
pub struct Callback<'a, T> {
    cx: &'a Context,
    name: String,
    old_names: Vec<String>,
    address: Unawaited<'a>,
    url: String,
    value: PhantomData<fn() -> T>,
}

/// An address at which nobody has waited yet: dropping it tells the board.
struct Unawaited<'a> {
    board: &'a Board,
    address: Option<Address>,
}

impl Drop for Unawaited<'_> {
    fn drop(&mut self) {
        if let Some(address) = &self.address {
            self.board.let_go(address);
        }
    }
}

/// A wait that ends at its time: it yields `None` then. Made by the `timeout` of a wait.
#[must_use = "a wait does nothing until it is awaited"]
pub struct WaitUntil<'a, T> {
    wait: BoxFuture<'a, Result<Option<T>>>,
}

impl<'a, T: DeserializeOwned + Send + 'a> Signal<'a, T> {
    /// Waits that long at most; then yields `None`, and a signal that comes later is refused.
    pub fn timeout(self, wait: Duration) -> WaitUntil<'a, T> {
        WaitUntil { wait: Box::pin(self.wait(Some(Until::In(wait)))) }
    }

    /// When the wait's time is over, signals that come later are kept for the next wait instead of being refused: for
    /// waits in a loop.
    pub fn keep_late(mut self) -> Self {
        self.stays_open = StaysOpen::Always;
        self
    }

    /// The signal's name in builds before this one: runs under way keep what they recorded, and what is sent under either
    /// name ends the wait, in the order in which it was sent. Call it again for a still older name.
    pub fn was(mut self, old_name: impl Into<String>) -> Self {
        self.old_names.push(old_name.into());
        self
    }

    async fn wait(self, until: Option<Until>) -> Result<Option<T>> {
        let stays_open = self.stays_open;
        let mailbox = format!("{SIGNAL_PREFIX}{}", self.name);
        let before: Vec<_> = self.old_names.iter().map(|name| format!("{SIGNAL_PREFIX}{name}")).collect();
        let why = at_most(format!("waits for signal {}", self.name), until);
        let names = std::iter::once(&mailbox).chain(&before);
        let opens = names.map(|name| NewMailbox::new(name.clone(), MailboxKind::Signal)).collect();
        let make = move |_: &Opened<'_>| {
            let mail = MailWait {
                mailbox,
                before,
                from: From::World,
                at_address: false,
                opens,
                starts: None,
                check: fits::<T>,
                stays_open,
            };
            Wait { until, mail: Some(mail), why }
        };
        mail(self.cx, "signal", &self.name, self.old_names, Box::new(make)).await
    }
}

impl<'a, T: DeserializeOwned + Send + 'a> Callback<'a, T> {
    /// The callback's name in builds before this one: runs under way keep the address that they made. Say it before
    /// [`url`](Self::url) is asked for; again for a still older name.
    pub fn was(mut self, old_name: impl Into<String>) -> Self {
        let old_name = old_name.into();
        let board = self.cx.board();
        if let Some(today) = self.address.address.take() {
            let address = board.renamed_callback(today, &old_name, self.cx.item());
            self.url = board.callback_url(&address);
            self.address.address = Some(address);
        }
        self.old_names.push(old_name);
        self
    }

    /// The address to send one message to: `POST`, JSON. A secret.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits that long at most, from now; then yields `None`, and a message that comes later is refused.
    pub fn timeout(self, wait: Duration) -> WaitUntil<'a, T> {
        WaitUntil { wait: Box::pin(self.wait(Some(Until::In(wait)))) }
    }

    async fn wait(mut self, until: Option<Until>) -> Result<Option<T>> {
        let why = at_most(format!("waits for callback {}", self.name), until);
        // From here on the wait says whether anybody waits.
        let Some(Address { mailbox, .. }) = self.address.address.take() else { return Ok(None) };
        let make = move |_: &Opened<'_>| {
            let mail = MailWait {
                mailbox,
                before: vec![],
                from: From::World,
                at_address: true,
                opens: vec![],
                starts: None,
                check: fits::<T>,
                stays_open: StaysOpen::WhileAwaited,
            };
            Wait { until, mail: Some(mail), why }
        };
        mail(self.cx, "callback", &self.name, self.old_names, Box::new(make)).await
    }
}

/// Waits for a message. One that does not fit the type is its sender's mistake: it is noted, and the wait goes on.
pub(crate) async fn mail<T: DeserializeOwned>(
    cx: &Context,
    verb: &'static str,
    name: &str,
    old_names: Vec<String>,
    make: Box<dyn FnOnce(&Opened<'_>) -> Wait + Send + '_>,
) -> Result<Option<T>> {
    let leaf = cx.wait_leaf(verb, Family::Message, name, type_name::<T>(), NewWork::Wait(make));
    let leaf = NewLeaf { old_names, ..leaf };
    Asking::ask(cx.board(), leaf).await?.value().await
}

/// Whether a message's body is a `T`. The words hold none of its values.
pub(crate) fn fits<T: DeserializeOwned>(body: &Payload) -> Result<(), String> {
    body.decode::<T>().map(drop).map_err(|error| {
        let what = without_value(&error.inner().to_string());
        format!("it does not fit {}: at `{}`: {what}", type_name::<T>(), error.path())
    })
}

/// A wait without a timeout has a message when it ends.
pub(crate) async fn untimed<T>(wait: impl Future<Output = Result<Option<T>>>) -> Result<T> {
    match wait.await? {
        Some(value) => Ok(value),
        None => std::future::pending().await,
    }
}

impl<'a, T: DeserializeOwned + Send + 'a> IntoFuture for Signal<'a, T> {
    type Output = Result<T>;
    type IntoFuture = BoxFuture<'a, Result<T>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(untimed(self.wait(None)))
    }
}

impl<'a, T: DeserializeOwned + Send + 'a> IntoFuture for Callback<'a, T> {
    type Output = Result<T>;
    type IntoFuture = BoxFuture<'a, Result<T>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(untimed(self.wait(None)))
    }
}

impl<'a, T> IntoFuture for WaitUntil<'a, T> {
    type Output = Result<Option<T>>;
    type IntoFuture = BoxFuture<'a, Result<Option<T>>>;

    fn into_future(self) -> Self::IntoFuture {
        self.wait
    }
}

impl<'a, T> WaitUntil<'a, T> {
    pub(crate) fn new(wait: BoxFuture<'a, Result<Option<T>>>) -> Self {
        Self { wait }
    }
}

impl<T> fmt::Debug for Signal<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Without its address, which is a secret.
impl<T> fmt::Debug for Callback<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for WaitUntil<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitUntil").finish_non_exhaustive()
    }
}
