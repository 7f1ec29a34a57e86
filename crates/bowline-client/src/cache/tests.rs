use futures_util::FutureExt;
use reqwest::header::HeaderMap;
use url::Url;

use super::*;
use crate::{settings::Settings, verdict::BodyEnd};

const TTL: Duration = Duration::from_secs(100);
/// Some time of the clock that nobody sets.
const MIDNIGHT: Duration = Duration::ZERO;

/// A clock that has stopped.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        at(0)
    }

    fn monotonic(&self) -> Duration {
        MIDNIGHT
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn random(&self) -> u64 {
        0
    }
}

fn settings() -> Settings {
    Settings::new("a".into(), bowline_model::Variables::new(|_| None))
}

fn url(path: &str) -> Url {
    format!("https://a.example{path}").parse().unwrap()
}

/// The key of a GET of that path.
fn key_of(path: &str) -> Key {
    key::key(&settings(), 0, &HeaderMap::new(), &url(path))
}

fn key(number: u8) -> Key {
    key_of(&format!("/{number}"))
}

fn answer(bytes: usize) -> Answer {
    let (headers, body) = (HeaderMap::new(), Bytes::from(vec![b'x'; bytes]));
    Answer { status: 200, headers, body, end: BodyEnd::Complete, url: url("/") }
}

fn tagged() -> Answer {
    Answer {
        headers: [("etag".parse().unwrap(), "\"7\"".parse().unwrap())].into_iter().collect(),
        ..answer(1)
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn keep(cache: &Cache, key: Key, answer: &Answer, now: Timestamp) {
    cache.ask(key).0.keep(answer, now, now);
    whole(cache);
}

/// Which of the first keys have an answer.
fn fresh(cache: &Cache, now: Timestamp) -> Vec<u8> {
    (0..9).filter(|number| matches!(cache.turn(key(*number), now, MIDNIGHT), Turn::Kept(_))).collect()
}

fn whole(cache: &Cache) {
    let state = cache.lock();
    let slots = || state.kept.values().flat_map(HashMap::values);
    assert_eq!(slots().count(), state.order.len());
    assert_eq!(slots().map(|slot| slot.bytes).sum::<usize>(), state.bytes);
    assert!(state.kept.values().all(|slots| !slots.is_empty()));
}

fn idle(cache: &Cache) {
    let state = cache.lock();
    assert!(state.asked.is_empty() && state.flights.is_empty());
}

#[test]
fn the_oldest_go_when_it_is_full() {
    let mut cache = Cache::new(Caching::For(TTL));
    cache.bytes_max = 3 * (ANSWER_OVERHEAD_BYTES + 1000);
    for number in [0, 1, 2, 0, 3] {
        keep(&cache, key(number), &answer(1000), at(0));
    }
    assert_eq!(fresh(&cache, at(0)), [0, 2, 3], "0 came again, so 1 was the oldest");
    keep(&cache, key(4), &answer(3500), at(0));
    assert_eq!(fresh(&cache, at(0)), [4]);
    keep(&cache, key(5), &answer(10_000), at(0));
    assert_eq!(fresh(&cache, at(0)), [0; 0], "larger than all the room");
    idle(&cache);
}

#[test]
fn what_is_over_is_neither_given_nor_kept_longer() {
    let cache = Cache::new(Caching::For(TTL));
    keep(&cache, key(0), &answer(1), at(10));
    assert_eq!(fresh(&cache, at(109)), [0]);
    assert_eq!(fresh(&cache, at(110)), [0; 0]);
    assert_eq!(fresh(&cache, at(9)), [0; 0], "the clock was set back");
    keep(&cache, key(1), &answer(1), at(110));
    assert_eq!(cache.lock().order.len(), 1);
}

#[test]
fn what_can_be_asked_about_is_kept_for_longer_than_it_is_given() {
    let cache = Cache::new(Caching::For(TTL));
    keep(&cache, key(0), &tagged(), at(0));
    keep(&cache, key(1), &answer(1), at(1000));
    assert!(matches!(cache.turn(key(0), at(1000), MIDNIGHT), Turn::First(_, Some(_))));
    let told = Cache::new(Caching::AsTold);
    keep(&told, key(0), &answer(1), at(0));
    assert_eq!(told.lock().order.len(), 0, "of no use");
    keep(&told, key(0), &tagged(), at(0));
    assert!(matches!(told.turn(key(0), at(0), MIDNIGHT), Turn::First(_, Some(_))));
}

#[test]
fn a_change_ends_what_is_kept_of_its_path_and_what_was_asked_before_it_ended() {
    let cache = Cache::new(Caching::For(TTL));
    let paths = ["/a", "/a?x=1", "/b", "/a/7"];
    for path in paths {
        keep(&cache, key_of(path), &answer(1), at(0));
    }
    let kept =
        |cache: &Cache| paths.map(|path| matches!(cache.turn(key_of(path), at(0), MIDNIGHT), Turn::Kept(_)));
    let place = Place::of(&url("/a"));
    cache.change(place).did_nothing();
    assert_eq!(kept(&cache), [true; 4]);
    let before = [cache.ask(key_of("/a")).0, cache.ask(key_of("/b")).0];
    let change = cache.change(place);
    let meanwhile = cache.ask(key_of("/a?x=1")).0;
    assert_eq!(kept(&cache), [true; 4]);
    drop(change);
    whole(&cache);
    assert_eq!(kept(&cache), [false, false, true, true]);
    assert!(
        before[0].keep(&answer(1), at(0), at(0)).is_none()
            && meanwhile.keep(&answer(1), at(0), at(0)).is_none()
    );
    assert!(before[1].keep(&answer(1), at(0), at(0)).is_some());
    assert_eq!(kept(&cache), [false, false, true, true]);
    drop((before, meanwhile));
    idle(&cache);
}

#[test]
fn who_asks_after_a_change_does_not_wait_for_what_was_asked_before() {
    let cache = Cache::new(Caching::For(TTL));
    let Turn::First(first, _) = cache.turn(key(0), at(0), MIDNIGHT) else { panic!("nobody was here before") };
    drop(cache.change(key(0).place));
    let Turn::First(second, _) = cache.turn(key(0), at(0), MIDNIGHT) else {
        panic!("the first may be too old")
    };
    drop(first);
    assert!(
        matches!(cache.turn(key(0), at(0), MIDNIGHT), Turn::Next(_)),
        "the first took the second's place with it"
    );
    drop(second);
    idle(&cache);
}

#[test]
fn a_dropped_flight_leaves_nothing_behind() {
    let cache = Cache::new(Caching::For(TTL));
    let find = |deadline: &mut BoxFuture<'static, ()>| {
        cache.find(key(0), &Stopped, deadline).now_or_never().is_some()
    };
    let mut never: BoxFuture<'static, ()> = Box::pin(std::future::pending());
    let Turn::First(flight, None) = cache.turn(key(0), at(0), MIDNIGHT) else {
        panic!("nobody was here before")
    };
    assert!(!find(&mut never), "another is on its way");
    drop(flight);
    idle(&cache);
    assert!(find(&mut never));
}

#[test]
fn after_a_long_wait_in_vain_nobody_waits_for_the_next() {
    let cache = Cache::new(Caching::For(TTL));
    let is_alone = |now| match cache.turn(key(0), at(0), now) {
        Turn::First(asking, _) => asking.tell.is_none(),
        Turn::Next(_) | Turn::Kept(_) => panic!("nobody is asking"),
    };
    for (took, alone) in [(Duration::from_millis(999), false), (Duration::from_secs(1), true)] {
        let Turn::First(flight, None) = cache.turn(key(0), at(0), MIDNIGHT) else {
            panic!("nobody was here")
        };
        flight.was_in_vain(took);
        flight.land(None);
        assert_eq!(is_alone(took), alone, "who was here longer than a second went away, and comes back");
    }
    assert!(!is_alone(Duration::from_secs(1) + IN_VAIN_FOR));
    cache.ask(key(1)).0.was_in_vain(Duration::from_secs(60));
    assert!(cache.lock().in_vain.is_empty(), "what is over is forgotten");
    idle(&cache);
}
