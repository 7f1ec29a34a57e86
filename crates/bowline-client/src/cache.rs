//! Good answers to equal GETs, kept for a while, and asked for once.
//!
//! What comes in: answers that could be read, clean of secrets. What goes out: the same answers; to whom asks while
//! one is on its way, that one; and after an answer's time, the question whether it still holds. What must never happen
//! here: an answer of another credential (each account of each configured Api has a cache of its own), one that its
//! remote forbids to keep, one from before a call that changed it, or a caller who waits longer than it wants to.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use bowline_model::{BoxFuture, Clock};
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{CONTENT_LOCATION, LOCATION};
use tokio::sync::watch;

mod ask;
mod condition;
mod key;
mod terms;

pub(crate) use self::terms::Caching;
use self::{
    condition::conditions,
    key::{Key, Place},
    terms::Terms,
};
use crate::{Api, policy::waits_for_another, verdict::Answer};

/// All that one account keeps; past it the oldest go.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A larger answer is not kept.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// What an answer takes beside its body, and a header beside its own bytes.
const ANSWER_OVERHEAD_BYTES: usize = 512;
const HEADER_OVERHEAD_BYTES: usize = 96;
/// After an answer that is of use to nobody else, all who waited for it ask side by side; the last of them comes so late.
const IN_VAIN_FOR: Duration = Duration::from_secs(11);

/// Answers that are kept.
impl Api {
    /// Keeps good answers to GETs in memory, for that long by the Api's clock: an equal GET is answered from there and
    /// sends nothing. Equal GETs at the same time are sent once; the others wait for that answer, longer than a second as
    /// a durable wait.
    ///
    /// After that time an answer with an `ETag` or `Last-Modified` is not fetched again but asked about: a 304 makes it
    /// good for as long again. With [`Duration::ZERO`] that is so at each call.
    ///
    /// **How long is your word, whether is the remote's.** Frameworks send `max-age=0` with everything, so that `max-age`,
    /// `must-revalidate` and `Expires` do not shorten the time; [`cache_as_told`](Api::cache_as_told) heeds them. An
    /// answer with `no-store` or `Vary: *` is never kept, one with `no-cache` is asked about at each call.
    ///
    /// Equal are calls with the same path, query and own headers, of one account of one configured `Api` and its clones;
    /// an Api with another setting keeps its own answers. Not kept: what could not be read as the call wanted it, failures,
    /// a 202 or 206, and answers over 1 MiB; beyond 16 MiB in all the oldest go.
    ///
    /// A POST, PUT, PATCH or DELETE that succeeds, or may have, ends all that is kept for its path, whatever the query, and
    /// for those in the `Location` and `Content-Location` of its answer.
    /// A call with the header `Cache-Control: no-cache` asks the remote, and renews what is kept; with `no-store`, a
    /// `Range` or a condition of its own it has nothing to do with it. Where the remote allows it (`stale-if-error`,
    /// RFC 5861), an old answer stands in while there is no connection, no answer, or a 500, 502, 503 or 504.
    ///
    /// # A guess that holds for a week
    /// ```
    /// use std::time::Duration;
    /// use bowline_client::Api;
    ///
    /// let day = Duration::from_secs(24 * 3600);
    /// let agify = Api::new("agify").base_url("https://api.agify.io").cache(7 * day);
    /// ```
    ///
    /// # Durability
    /// The cache is this process's own: the next process begins without. A step that is answered from it records that
    /// answer as any other, and after a crash receives the recorded one.
    pub fn cache(self, ttl: Duration) -> Self {
        self.with(|settings| settings.caching = Some(Caching::For(ttl)))
    }

    /// As [`cache`](Api::cache), for as long as the remote says of each answer (RFC 9111, as a cache of one user):
    /// `Cache-Control: max-age`, else `Expires`, less the `Age`. An answer of which nothing is said is asked about at
    /// each call, if it has an `ETag` or `Last-Modified`, and else not kept.
    ///
    /// Whether an answer is kept at all, and which calls are equal, is as there.
    ///
    /// # Answers that cost nothing if they did not change
    /// ```
    /// use bowline_client::Api;
    ///
    /// // Answers with an ETag: unchanged ones do not count against the rate limit.
    /// let github = Api::new("github").base_url("https://api.github.com").cache_as_told();
    /// ```
    ///
    /// # Durability
    /// As [`cache`](Api::cache).
    pub fn cache_as_told(self) -> Self {
        self.with(|settings| settings.caching = Some(Caching::AsTold))
    }
}

/// The answers to one account.
pub(crate) struct Cache {
    caching: Caching,
    bytes_max: usize,
    state: Mutex<State>,
    /// Whether people know that the remote does not allow what the author asked for.
    told_forbidden: AtomicBool,
}

#[derive(Default)]
struct State {
    kept: HashMap<Place, HashMap<Key, Slot>>,
    /// Oldest first.
    order: BTreeMap<u64, Key>,
    bytes: usize,
    next: u64,
    /// What is being asked for, by number; no longer once it was changed meanwhile, for then the answer may be older.
    asked: HashMap<u64, Key>,
    /// Those of them that others wait for.
    flights: HashMap<Key, Flight>,
    /// Those whose answer was of use to nobody else, and until when nobody waits for the next.
    in_vain: HashMap<Key, Duration>,
}

struct Slot {
    kept: Arc<Kept>,
    number: u64,
    bytes: usize,
}

/// A kept answer.
pub(crate) struct Kept {
    answer: Answer,
    terms: Terms,
}

/// A request that others wait for.
#[derive(Clone)]
struct Flight {
    number: u64,
    began: Duration,
    landing: watch::Receiver<Option<Landed>>,
}

/// How a flight ended: with an answer that others can use, or without.
type Landed = Option<Arc<Kept>>;

/// What there is for a request.
enum Found<'c> {
    /// Good as it is.
    Kept(Arc<Kept>),
    /// Ask the remote; perhaps only whether this one still holds.
    Ask(Asking<'c>, Option<Arc<Kept>>),
    /// Another's request is not answered yet. The caller is to come again.
    Later(Duration),
}

impl Cache {
    pub(crate) fn new(caching: Caching) -> Self {
        Self {
            caching,
            bytes_max: KEPT_BYTES_MAX,
            state: Mutex::default(),
            told_forbidden: AtomicBool::new(false),
        }
    }
}

enum Turn<'c> {
    Kept(Arc<Kept>),
    First(Asking<'c>, Option<Arc<Kept>>),
    Next(Flight),
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for an answer; waits a little, until `deadline` ends at most, for one that is on its way.
    async fn find(&self, key: Key, clock: &dyn Clock, deadline: &mut BoxFuture<'static, ()>) -> Found<'_> {
        loop {
            let now = clock.monotonic();
            let mut flight = match self.turn(key, clock.now(), now) {
                Turn::Kept(kept) => return Found::Kept(kept),
                Turn::First(asking, old) => return Found::Ask(asking, old),
                Turn::Next(flight) => flight,
            };
            let (held, wait) = waits_for_another(now.saturating_sub(flight.began));
            let landed = tokio::select! {
                biased;
                landed = flight.landing.wait_for(Option::is_some) => landed,
                () = &mut *deadline => return Found::Later(wait),
                () = clock.sleep(held) => return Found::Later(wait),
            };
            match landed.as_deref() {
                Ok(Some(Some(kept))) => return Found::Kept(kept.clone()),
                // Not waited for again: what is never kept would make equal requests go one by one.
                Ok(Some(None) | None) => {
                    let (asking, old) = self.ask(key);
                    return Found::Ask(asking, old);
                }
                // Whoever sent it was dropped before its answer came: one of those who wait is the next.
                Err(_) => {}
            }
        }
    }

    /// `now` by the wall, and by the clock that nobody sets.
    fn turn(&self, key: Key, wall: Timestamp, now: Duration) -> Turn<'_> {
        let mut state = self.lock();
        let kept = state.get(key);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.terms.is_fresh(wall)) {
            return Turn::Kept(kept.clone());
        }
        if let Some(flight) = state.flights.get(&key) {
            return Turn::Next(flight.clone());
        }
        let number = state.begin(key);
        // Those who went away to wait come back one by one: they are not to wait for one another.
        let tell = state.in_vain.get(&key).is_none_or(|until| *until <= now).then(|| {
            let (tell, landing) = watch::channel(None);
            state.flights.insert(key, Flight { number, began: now, landing });
            tell
        });
        Turn::First(Asking { cache: self, key, number, tell }, kept)
    }

    /// A request that nobody else waits for, and what is kept for it.
    fn ask(&self, key: Key) -> (Asking<'_>, Option<Arc<Kept>>) {
        let mut state = self.lock();
        let number = state.begin(key);
        (Asking { cache: self, key, number, tell: None }, state.get(key))
    }

    /// A request that changes what is at a place.
    fn change(&self, place: Place) -> Changing<'_> {
        Changing { cache: self, places: vec![place] }
    }
}

impl State {
    fn get(&self, key: Key) -> Option<Arc<Kept>> {
        Some(self.kept.get(&key.place)?.get(&key)?.kept.clone())
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn begin(&mut self, key: Key) -> u64 {
        let number = self.number();
        self.asked.insert(number, key);
        number
    }

    fn insert(&mut self, key: Key, kept: Arc<Kept>) {
        let (number, bytes) = (self.number(), memory_bytes(&kept.answer));
        self.order.insert(number, key);
        self.bytes += bytes;
        self.kept.entry(key.place).or_default().insert(key, Slot { kept, number, bytes });
    }

    fn remove(&mut self, key: Key) {
        let Some(slots) = self.kept.get_mut(&key.place) else { return };
        if let Some(slot) = slots.remove(&key) {
            self.order.remove(&slot.number);
            self.bytes -= slot.bytes;
        }
        if slots.is_empty() {
            self.kept.remove(&key.place);
        }
    }

    /// Lets the oldest go: those that are of no use any more, and as many as there is no room for.
    fn make_room(&mut self, bytes_max: usize, now: Timestamp) {
        while let Some(oldest) = self.order.first_entry().map(|first| *first.get())
            && (self.bytes > bytes_max || self.get(oldest).is_none_or(|kept| !kept.is_of_use(now)))
        {
            self.remove(oldest);
        }
    }

    fn forget(&mut self, place: Place) {
        for slot in self.kept.remove(&place).unwrap_or_default().into_values() {
            self.order.remove(&slot.number);
            self.bytes -= slot.bytes;
        }
        self.asked.retain(|_, key| key.place != place);
        self.flights.retain(|key, _| key.place != place);
    }
}

impl Kept {
    /// Whether it can be given, at least in need, or asked about.
    fn is_of_use(&self, now: Timestamp) -> bool {
        self.terms.stands_in(now) || conditions(&self.answer.headers).next().is_some()
    }
}

/// A request under way, that others may wait for. Dropped before it landed, it lets one of them go next.
struct Asking<'c> {
    cache: &'c Cache,
    key: Key,
    number: u64,
    tell: Option<watch::Sender<Option<Landed>>>,
}

impl Asking<'_> {
    /// Keeps a good answer in the place of the former one, if it may be kept.
    fn keep(&self, answer: &Answer, asked_at: Timestamp, now: Timestamp) -> Option<Arc<Kept>> {
        let terms = Terms::of(self.cache.caching, &answer.headers, asked_at, now);
        let mut state = self.cache.lock();
        // It was changed meanwhile: who knows whether the answer is from before or after.
        if !state.asked.contains_key(&self.number) {
            return None;
        }
        state.remove(self.key);
        // A 202 says that the answer is not ready yet, a 206 is a part of it.
        if matches!(answer.status, 202 | 206) || answer.body.len() > ANSWER_BYTES_MAX {
            return None;
        }
        // A body may be a small part of a large buffer, which it would keep.
        let body = Bytes::copy_from_slice(&answer.body);
        let kept = Arc::new(Kept { answer: Answer { body, ..answer.clone() }, terms: terms? });
        if kept.is_of_use(now) {
            state.insert(self.key, kept.clone());
        }
        state.make_room(self.cache.bytes_max, now);
        Some(kept)
    }

    /// Lets go of what was kept.
    fn forget(&self) {
        self.cache.lock().remove(self.key);
    }

    /// Notes that the answer is of no use to others.
    fn was_in_vain(&self, now: Duration) {
        let mut state = self.cache.lock();
        state.in_vain.retain(|_, until| *until > now);
        let mine = state.flights.get(&self.key).filter(|flight| flight.number == self.number);
        // Shorter ones nobody went away from.
        if mine.is_some_and(|flight| waits_for_another(now.saturating_sub(flight.began)).0.is_zero()) {
            state.in_vain.insert(self.key, now + IN_VAIN_FOR);
        }
    }

    /// Tells those who wait.
    fn land(self, answer: Landed) {
        if let Some(tell) = &self.tell {
            tell.send_replace(Some(answer));
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        state.asked.remove(&self.number);
        if state.flights.get(&self.key).is_some_and(|flight| flight.number == self.number) {
            state.flights.remove(&self.key);
        }
    }
}

/// A request under way that changes things. What is kept of them ends with it, even if nobody waits for its answer any
/// more: it may have arrived.
struct Changing<'c> {
    cache: &'c Cache,
    places: Vec<Place>,
}

impl Changing<'_> {
    /// The remote said where on it what was changed is to be found, too (RFC 9111 §4.4).
    fn is_known_by(&mut self, answer: &Answer) {
        let named = [LOCATION, CONTENT_LOCATION].into_iter().filter_map(|name| answer.headers.get(name));
        let urls = named.filter_map(|url| answer.url.join(url.to_str().ok()?).ok());
        self.places.extend(urls.filter(|url| url.origin() == answer.url.origin()).map(|url| Place::of(&url)));
    }

    /// The remote said that it did nothing.
    fn did_nothing(mut self) {
        self.places.clear();
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.places.iter().for_each(|place| self.cache.lock().forget(*place));
    }
}

fn memory_bytes(answer: &Answer) -> usize {
    let headers = answer.headers.iter();
    let headers = headers.map(|(name, value)| HEADER_OVERHEAD_BYTES + name.as_str().len() + value.len());
    ANSWER_OVERHEAD_BYTES + answer.body.len() + headers.sum::<usize>()
}

#[cfg(test)]
mod tests;
