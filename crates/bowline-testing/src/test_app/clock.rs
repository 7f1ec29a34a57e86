//! A clock that stands still until a test moves it.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bowline_model::{BoxFuture, Clock};
use jiff::Timestamp;

use super::wall::Wall;
use crate::pulse::Pulse;

/// Where the time of every test begins: 2026-09-21T12:00:00Z.
const START_S: i64 = 1_789_992_000;
/// Odd, so that no two of the first 2³² draws are equal in their low halves.
const DRAW_SPREAD: u32 = 0x9E37_79B1;
/// As many numbers, as a power of two, are there for each thing that the test does.
const PART_BITS: u32 = 16;
/// Half way through any jitter: waits do not depend on who drew first.
const DRAW_HIGH: u64 = 0x7fff_ffff;

/// The clock of one test's world.
pub(crate) struct StillClock {
    state: Mutex<State>,
    pulse: Arc<Pulse>,
    wall: Arc<Wall>,
}

struct State {
    now: Timestamp,
    sleepers: BTreeMap<(Timestamp, u64), Sleeper>,
    next_sleeper: u64,
    /// Numbers drawn so far, and how many of them may be known outside the process: on disk, or at a remote.
    draws: u32,
    draws_kept: u32,
}

struct Sleeper {
    waker: Waker,
    manner: Manner,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// A span: deadlines and pauses.
    Span,
    /// A point in time: what the store says is due.
    Point,
}

impl StillClock {
    pub(crate) fn new(pulse: Arc<Pulse>) -> Arc<Self> {
        let now = Timestamp::from_second(START_S).expect("a time");
        let state = State { now, sleepers: BTreeMap::new(), next_sleeper: 0, draws: 0, draws_kept: 0 };
        Arc::new(Self { state: Mutex::new(state), pulse, wall: Arc::new(Wall::new(now)) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the app's process sees of it beside the engine: the wall clock.
    pub(crate) fn wall(&self) -> &Arc<Wall> {
        &self.wall
    }

    /// The time it shows.
    pub(crate) fn time(&self) -> Timestamp {
        self.lock().now
    }

    /// Shows that time from now on, and wakes whose time has come. Never goes back.
    pub(crate) fn set(&self, to: Timestamp) {
        let mut state = self.lock();
        state.now = state.now.max(to);
        let now = state.now;
        self.wall.set(now);
        let later = state.sleepers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.sleepers, later);
        drop(state);
        due.into_values().for_each(|sleeper| sleeper.waker.wake());
        self.pulse.beat();
    }

    /// When the next sleeper wakes.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        self.lock().sleepers.keys().next().map(|(at, _)| *at)
    }

    /// When the next one wakes who sleeps until a point in time.
    pub(crate) fn next_point(&self) -> Option<Timestamp> {
        let state = self.lock();
        let mut points = state.sleepers.iter().filter(|(_, sleeper)| sleeper.manner == Manner::Point);
        points.next().map(|((at, _), _)| *at)
    }

    /// How many sleep for a span of time.
    pub(crate) fn spans(&self) -> usize {
        self.lock().sleepers.values().filter(|sleeper| sleeper.manner == Manner::Span).count()
    }

    /// The test does the next thing: what is drawn from here on does not depend on how much was drawn before.
    pub(crate) fn begin_draws(&self) {
        let mut state = self.lock();
        state.draws = (state.draws >> PART_BITS).wrapping_add(1) << PART_BITS;
        state.draws_kept = state.draws;
    }

    /// What was drawn until now may be known outside the process.
    pub(crate) fn keep_draws(&self) {
        let mut state = self.lock();
        state.draws_kept = state.draws;
    }

    /// The process died: what it drew and nobody kept is drawn again.
    pub(crate) fn forget_draws(&self) {
        let mut state = self.lock();
        state.draws = state.draws_kept;
    }
}

/// The clock as the app holds it.
#[derive(Clone)]
pub(crate) struct ClockHandle(pub(crate) Arc<StillClock>);

impl ClockHandle {
    fn sleeping(&self, until: Timestamp, manner: Manner) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { clock: self.0.clone(), until, manner, place: None })
    }
}

impl Clock for ClockHandle {
    fn now(&self) -> Timestamp {
        self.0.time()
    }

    fn monotonic(&self) -> Duration {
        let start = Timestamp::from_second(START_S).expect("a time");
        Duration::try_from(self.now().duration_since(start)).unwrap_or_default()
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        self.sleeping(self.now().checked_add(wait).unwrap_or(Timestamp::MAX), Manner::Span)
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        self.sleeping(until, Manner::Point)
    }

    fn random(&self) -> u64 {
        let mut state = self.0.lock();
        state.draws = state.draws.wrapping_add(1);
        DRAW_HIGH << 32 | u64::from(state.draws.wrapping_mul(DRAW_SPREAD))
    }
}

struct Sleep {
    clock: Arc<StillClock>,
    until: Timestamp,
    manner: Manner,
    place: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut state = clock.lock();
        if state.now >= self.until {
            return Poll::Ready(());
        }
        let place = self.place.unwrap_or_else(|| {
            state.next_sleeper += 1;
            state.next_sleeper
        });
        let sleeper = Sleeper { waker: cx.waker().clone(), manner: self.manner };
        let known = state.sleepers.insert((self.until, place), sleeper);
        self.place = Some(place);
        drop(state);
        if known.is_none() {
            clock.pulse.beat();
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let left = self.clock.lock().sleepers.remove(&(self.until, place));
            drop(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn clock() -> ClockHandle {
        ClockHandle(StillClock::new(Pulse::new()))
    }

    fn is_ready(future: &mut BoxFuture<'static, ()>) -> bool {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_sleeper_wakes_at_its_time_and_not_before() {
        let clock = clock();
        let mut sleep = clock.sleep(Duration::from_secs(5));
        assert!(!is_ready(&mut sleep));
        clock.0.set(clock.now() + Duration::from_millis(4_999));
        assert!(!is_ready(&mut sleep));
        assert_eq!(clock.0.next_wake(), Some(clock.now() + Duration::from_millis(1)));
        clock.0.set(clock.now() + Duration::from_millis(1));
        assert!(is_ready(&mut sleep));
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
    }

    #[test]
    fn whoever_stops_sleeping_leaves_nothing_behind() {
        let clock = clock();
        let mut spans: Vec<_> = (1..=3).map(|s| clock.sleep(Duration::from_secs(s))).collect();
        spans.iter_mut().for_each(|sleep| assert!(!is_ready(sleep)));
        let mut point = clock.sleep_until(clock.now() + Duration::from_secs(9));
        assert!(!is_ready(&mut point));
        assert_eq!(clock.0.spans(), 3);
        drop(spans);
        assert_eq!((clock.0.spans(), clock.0.next_wake()), (0, Some(clock.now() + Duration::from_secs(9))));
    }

    #[test]
    fn what_a_dead_process_drew_and_nobody_kept_is_drawn_again() {
        let clock = clock();
        let first = clock.random();
        clock.0.keep_draws();
        let lost = clock.random();
        assert_ne!(first, lost);
        clock.0.forget_draws();
        assert_eq!(clock.random(), lost);
    }

    #[test]
    fn what_is_drawn_next_does_not_depend_on_how_much_was_drawn_before() {
        let (one, other) = (clock(), clock());
        other.random();
        one.0.begin_draws();
        other.0.begin_draws();
        assert_eq!(one.random(), other.random());
        assert_ne!(one.random(), one.random());
    }

    #[test]
    fn time_never_goes_back() {
        let clock = clock();
        let start = clock.now();
        clock.0.set(start - Duration::from_secs(1));
        assert_eq!(clock.now(), start);
        assert_eq!(Arc::strong_count(&clock.0), 1);
    }
}
