//! What each client may take of the door: requests at once, and requests per time.
//!
//! The table has a fixed size. An address of IPv4 is a source; of IPv6 a /64 is, since whoever has one address there has
//! all of them. A source at rest is forgotten at no loss; where more are active than there is room for, the one that is
//! nearest to rest is forgotten, which can only let it send more.

use std::{
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Sets of places; a source has its place in one of them, by its hash.
const SETS: usize = 1024;
/// Places in a set.
const WAYS: usize = 8;
/// The part of an IPv6 address that one client may be expected to have.
const NETWORK_BITS: u32 = 64;

/// How many requests a client may send to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimit {
    /// Under way at once.
    pub at_once_max: u32,
    /// Requests…
    pub requests: u32,
    /// …in that time, evenly…
    pub per: Duration,
    /// …but for so many at once after a rest.
    pub burst: u32,
}

impl Default for ClientLimit {
    /// More than any sender of webhooks that we know sends: it stops only what has gone wild.
    fn default() -> Self {
        Self { at_once_max: 256, requests: 1000, per: Duration::from_secs(1), burst: 10_000 }
    }
}

impl ClientLimit {
    /// So many requests in that time, all at once if the client likes.
    pub fn of(requests: u32, per: Duration) -> Self {
        Self { requests: requests.max(1), per, burst: requests.max(1), ..Self::default() }
    }

    fn interval(&self) -> Duration {
        self.per / self.requests.max(1)
    }
}

/// One client at one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    /// A route's path, as a number.
    route: u64,
    network: u128,
}

impl Source {
    pub(crate) fn new(route: &str, client: IpAddr) -> Self {
        let mut hasher = DefaultHasher::new();
        route.hash(&mut hasher);
        Self { route: hasher.finish(), network: network(client) }
    }
}

/// The address, or of IPv6 its network.
pub(crate) fn network(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => {
            address.to_bits() >> (u128::BITS - NETWORK_BITS) << (u128::BITS - NETWORK_BITS)
        }
    }
}

/// The table.
pub(crate) struct Sources {
    sets: Mutex<Vec<[Option<Entry>; WAYS]>>,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    source: Source,
    at_once: u32,
    /// When it would be at rest again if nothing more came (GCRA's theoretical arrival time).
    rests_at: Duration,
}

/// Why a client has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany {
    pub(crate) wait: Duration,
}

/// A request of a source that is under way, until it is dropped.
pub(crate) struct Guest {
    sources: Arc<Sources>,
    source: Source,
}

impl Sources {
    pub(crate) fn new() -> Self {
        Self { sets: Mutex::new(vec![[None; WAYS]; SETS]), hasher: RandomState::new() }
    }

    /// Lets in one more request of that source; `None` if there is no room to remember it.
    pub(crate) fn admit(
        self: &Arc<Self>,
        source: Source,
        limit: &ClientLimit,
        now: Duration,
    ) -> Result<Option<Guest>, TooMany> {
        let mut sets = self.lock();
        let set = &mut sets[self.place(&source)];
        let Some(entry) = entry_of(set, source, now) else { return Ok(None) };
        if entry.at_once >= limit.at_once_max {
            return Err(TooMany { wait: limit.interval() });
        }
        let interval = limit.interval();
        let rests_at = entry.rests_at.max(now);
        let burst = interval.saturating_mul(limit.burst.max(1) - 1);
        if let Some(wait) = rests_at.checked_sub(now + burst).filter(|wait| !wait.is_zero()) {
            return Err(TooMany { wait });
        }
        entry.rests_at = rests_at + interval;
        entry.at_once += 1;
        Ok(Some(Guest { sources: Arc::clone(self), source }))
    }

    fn place(&self, source: &Source) -> usize {
        // Keyed: nobody can choose addresses that meet in one set.
        usize::try_from(self.hasher.hash_one(source) % SETS as u64).expect("a place is small")
    }

    fn lock(&self) -> MutexGuard<'_, Vec<[Option<Entry>; WAYS]>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The source's own entry, or a new one in place of who is nearest to rest and has nothing under way.
fn entry_of(set: &mut [Option<Entry>; WAYS], source: Source, now: Duration) -> Option<&mut Entry> {
    let known = set.iter().position(|entry| entry.is_some_and(|entry| entry.source == source));
    let place = known.or_else(|| {
        let free = set.iter().enumerate().filter(|(_, entry)| entry.is_none_or(|entry| entry.at_once == 0));
        free.min_by_key(|(_, entry)| entry.map(|entry| entry.rests_at.max(now))).map(|(place, _)| place)
    })?;
    if known.is_none() {
        set[place] = Some(Entry { source, at_once: 0, rests_at: now });
    }
    set[place].as_mut()
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut sets = self.sources.lock();
        let set = &mut sets[self.sources.place(&self.source)];
        if let Some(entry) = set.iter_mut().flatten().find(|entry| entry.source == self.source) {
            entry.at_once = entry.at_once.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn source(address: &str) -> Source {
        Source::new("/a", address.parse().unwrap())
    }

    #[test]
    fn a_client_has_its_burst_and_then_its_rate() {
        let sources = Arc::new(Sources::new());
        let limit = ClientLimit { burst: 3, ..ClientLimit::of(2, SECOND) };
        let ask =
            |at: Duration| sources.admit(source("192.0.2.1"), &limit, at).map(drop).map_err(|no| no.wait);
        for _ in 0..3 {
            assert_eq!(ask(SECOND), Ok(()));
        }
        assert_eq!(ask(SECOND), Err(SECOND / 2));
        assert_eq!(ask(SECOND + SECOND / 4), Err(SECOND / 4), "who was refused has used nothing");
        assert_eq!((ask(SECOND * 3 / 2), ask(SECOND * 3 / 2)), (Ok(()), Err(SECOND / 2)));
        assert!(sources.admit(source("192.0.2.2"), &limit, SECOND).is_ok(), "another client");
        assert!(sources.admit(Source::new("/b", "192.0.2.1".parse().unwrap()), &limit, SECOND).is_ok());
        assert_eq!([0; 3].map(|_| ask(SECOND * 60)), [Ok(()); 3], "after a rest");
    }

    #[test]
    fn so_many_are_under_way_at_once_and_no_more() {
        let sources = Arc::new(Sources::new());
        let limit = ClientLimit { at_once_max: 2, ..ClientLimit::default() };
        let ask = || sources.admit(source("192.0.2.1"), &limit, SECOND);
        let (first, _second) = (ask().unwrap(), ask().unwrap());
        assert!(ask().is_err());
        drop(first);
        assert!(ask().is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_an_address_of_ipv4_is() {
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
    }

    #[test]
    fn a_million_networks_take_no_more_room_and_drive_out_nobody_who_is_at_work() {
        let sources = Arc::new(Sources::new());
        let limit = ClientLimit { burst: 1, at_once_max: 1, ..ClientLimit::of(1, SECOND) };
        let at_work = sources.admit(source("192.0.2.1"), &limit, SECOND).unwrap();
        for network in 0..1_000_000_u128 {
            let address = IpAddr::from(std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) + (network << 64)));
            assert!(sources.admit(Source::new("/a", address), &limit, SECOND).is_ok());
        }
        assert_eq!(sources.lock().iter().flatten().count(), SETS * WAYS);
        assert!(sources.admit(source("192.0.2.1"), &limit, SECOND).is_err(), "it is remembered");
        drop(at_work);
    }
}
