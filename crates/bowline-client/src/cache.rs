//! Good answers to equal GETs, kept for a while, and asked for once.
//!
//! What comes in: answers that could be read, clean of secrets. What goes out: the same answers, and to whom asks while
//! one is on its way, that one. What must never happen here: an answer of another credential (each configured Api has a
//! cache of its own), one that its remote forbids to keep, or a caller who waits longer than it wants to.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bowline_model::BoxFuture;
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{Method, header::CACHE_CONTROL};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{call::Request, verdict::Answer};

/// All that one Api keeps; past it the oldest go.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A larger answer is not kept.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// What an answer takes beside its body, and a header beside its own bytes.
const ANSWER_OVERHEAD_BYTES: usize = 512;
const HEADER_OVERHEAD_BYTES: usize = 96;

/// What makes two requests equal, as a hash: method, path, query, and the call's own headers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// The key of a request whose answer may be kept.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        if request.method != Method::GET || request.body.is_some() {
            return None;
        }
        let mut headers: Vec<_> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        headers.sort_unstable();
        let query = request.query.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        };
        add(request.path.as_bytes());
        add(&request.query.len().to_le_bytes());
        for (name, value) in query.chain(headers) {
            add(name.as_bytes());
            add(value);
        }
        Some(Self(hash.finalize().into()))
    }
}

/// The answers of one Api.
pub(crate) struct Cache {
    ttl: Duration,
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: HashMap<Key, Kept>,
    /// Oldest first.
    order: BTreeMap<u64, Key>,
    next: u64,
    bytes: usize,
    /// Requests under way, for those who ask the same meanwhile.
    flights: HashMap<Key, watch::Receiver<Option<Landed>>>,
}

struct Kept {
    answer: Arc<Answer>,
    since: Timestamp,
    number: u64,
    bytes: usize,
}

/// How a flight ended: with an answer that others can use, or without.
type Landed = Option<Arc<Answer>>;

/// What there is for a request.
pub(crate) enum Found<'c> {
    Answer(Arc<Answer>),
    /// Send it; others who ask the same wait for this flight.
    Flight(Flight<'c>),
    /// Send it: the flight that was waited for brought nothing that can be used here.
    Nothing,
    /// The caller's time was over before another's request was answered.
    TimedOut,
}

enum Place<'c> {
    Kept(Arc<Answer>),
    First(Flight<'c>),
    Next(watch::Receiver<Option<Landed>>),
}

impl Cache {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, bytes_max: KEPT_BYTES_MAX, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for an answer; waits, until `deadline` ends, for one that is on its way.
    pub(crate) async fn find(
        &self,
        key: Key,
        now: Timestamp,
        deadline: &mut BoxFuture<'static, ()>,
    ) -> Found<'_> {
        loop {
            let mut landing = match self.place(key, now) {
                Place::Kept(answer) => return Found::Answer(answer),
                Place::First(flight) => return Found::Flight(flight),
                Place::Next(landing) => landing,
            };
            let landed = tokio::select! {
                biased;
                landed = landing.wait_for(Option::is_some) => landed,
                () = &mut *deadline => return Found::TimedOut,
            };
            match landed.as_deref() {
                Ok(Some(Some(answer))) => return Found::Answer(answer.clone()),
                // Not waited for again: what is never kept would make equal requests go one by one.
                Ok(Some(None) | None) => return Found::Nothing,
                // Whoever sent it was dropped before its answer came: one of those who wait is the next.
                Err(_) => {}
            }
        }
    }

    fn place(&self, key: Key, now: Timestamp) -> Place<'_> {
        let mut state = self.lock();
        if let Some(kept) = state.kept.get(&key).filter(|kept| self.is_fresh(kept, now)) {
            return Place::Kept(kept.answer.clone());
        }
        if let Some(landing) = state.flights.get(&key) {
            return Place::Next(landing.clone());
        }
        let (tell, landing) = watch::channel(None);
        state.flights.insert(key, landing);
        Place::First(Flight { cache: self, key, tell })
    }

    /// An answer from the future is one from before the clock was set back.
    fn is_fresh(&self, kept: &Kept, now: Timestamp) -> bool {
        kept.since <= now && kept.since.checked_add(self.ttl).is_ok_and(|end| now < end)
    }

    /// Keeps a good answer, if it may be kept; what of it others can use.
    pub(crate) fn keep(&self, key: Key, answer: &Answer, now: Timestamp) -> Option<Arc<Answer>> {
        if !may_be_kept(answer) {
            return None;
        }
        // A body may be a small part of a large buffer, which it would keep.
        let body = Bytes::copy_from_slice(&answer.body);
        let answer = Arc::new(Answer { body, ..answer.clone() });
        let bytes = memory_bytes(&answer);
        let mut state = self.lock();
        state.remove(key);
        let number = state.next;
        state.next += 1;
        state.order.insert(number, key);
        state.bytes += bytes;
        state.kept.insert(key, Kept { answer: answer.clone(), since: now, number, bytes });
        while let Some(oldest) = state.order.first_entry().map(|first| *first.get())
            && (state.bytes > self.bytes_max || !self.is_fresh(&state.kept[&oldest], now))
        {
            state.remove(oldest);
        }
        Some(answer)
    }
}

impl State {
    fn remove(&mut self, key: Key) {
        if let Some(kept) = self.kept.remove(&key) {
            self.order.remove(&kept.number);
            self.bytes -= kept.bytes;
        }
    }
}

/// A request under way that others wait for. Dropped before it landed, it lets one of them go next.
pub(crate) struct Flight<'c> {
    cache: &'c Cache,
    key: Key,
    tell: watch::Sender<Option<Landed>>,
}

impl Flight<'_> {
    /// Tells those who wait.
    pub(crate) fn land(self, answer: Landed) {
        self.tell.send_replace(Some(answer));
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.cache.lock().flights.remove(&self.key);
    }
}

/// RFC 9111 §5.2.2.5; and a 202 says that the answer is not ready yet.
fn may_be_kept(answer: &Answer) -> bool {
    let directives = answer.headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = directives.flat_map(|value| value.split(','));
    answer.status != 202
        && answer.body.len() <= ANSWER_BYTES_MAX
        && !directives.any(|directive| directive.trim().eq_ignore_ascii_case("no-store"))
}

fn memory_bytes(answer: &Answer) -> usize {
    let headers = answer.headers.iter();
    let headers = headers.map(|(name, value)| HEADER_OVERHEAD_BYTES + name.as_str().len() + value.len());
    ANSWER_OVERHEAD_BYTES + answer.body.len() + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use reqwest::header::HeaderMap;

    use super::*;
    use crate::verdict::BodyEnd;

    fn key(number: u8) -> Key {
        Key([number; 32])
    }

    fn answer(bytes: usize) -> Answer {
        let url = "https://a.example/".parse().unwrap();
        let (headers, body) = (HeaderMap::new(), Bytes::from(vec![b'x'; bytes]));
        Answer { status: 200, headers, body, end: BodyEnd::Complete, url }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn kept(cache: &Cache, now: Timestamp) -> Vec<u8> {
        (0..9).filter(|number| matches!(cache.place(key(*number), now), Place::Kept(_))).collect()
    }

    fn whole(cache: &Cache) {
        let state = cache.lock();
        assert_eq!(state.kept.len(), state.order.len());
        assert_eq!(state.bytes, state.kept.values().map(|kept| kept.bytes).sum::<usize>());
    }

    #[test]
    fn the_oldest_go_when_it_is_full() {
        let mut cache = Cache::new(Duration::from_secs(100));
        cache.bytes_max = 3 * (ANSWER_OVERHEAD_BYTES + 1000);
        for number in [0, 1, 2, 0, 3] {
            cache.keep(key(number), &answer(1000), at(0));
            whole(&cache);
        }
        assert_eq!(kept(&cache, at(0)), [0, 2, 3], "0 came again, so 1 was the oldest");
        cache.keep(key(4), &answer(3500), at(0));
        assert_eq!(kept(&cache, at(0)), [4]);
        cache.keep(key(5), &answer(10_000), at(0));
        assert_eq!(kept(&cache, at(0)), [0; 0], "larger than all the room");
        whole(&cache);
    }

    #[test]
    fn what_is_over_is_neither_given_nor_kept_longer() {
        let cache = Cache::new(Duration::from_secs(100));
        cache.keep(key(0), &answer(1), at(10));
        assert_eq!(kept(&cache, at(109)), [0]);
        assert_eq!(kept(&cache, at(110)), [0; 0]);
        assert_eq!(kept(&cache, at(9)), [0; 0], "the clock was set back");
        cache.keep(key(1), &answer(1), at(110));
        assert_eq!(cache.lock().kept.len(), 1);
        whole(&cache);
    }

    #[test]
    fn a_dropped_flight_leaves_nothing_behind() {
        let cache = Cache::new(Duration::from_secs(100));
        let find = |deadline: &mut BoxFuture<'static, ()>| {
            cache.find(key(0), at(0), deadline).now_or_never().is_some()
        };
        let mut never: BoxFuture<'static, ()> = Box::pin(std::future::pending());
        let Place::First(flight) = cache.place(key(0), at(0)) else { panic!("nobody was here before") };
        assert!(!find(&mut never), "another is on its way");
        drop(flight);
        assert!(cache.lock().flights.is_empty());
        assert!(find(&mut never));
    }
}
