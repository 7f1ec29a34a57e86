//! The world around a simulated run: a clock that jumps, attempts under way, and what the code observes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use bowline_model::{BoxFuture, Clock, Entry, EntryKind, Payload, Result, ScopePath, Verdict};
use jiff::Timestamp;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{
    disk::{Disk, Unseen},
    interpreter::Counted,
    program::Program,
    remote::{NOTHING, Remote, What},
};
use crate::loops::{DeadItems, Summary};

/// What the code saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Observed {
    Value(u64),
    Failure(String),
    Drawn(String, u64),
    Slept,
    TimedOut,
    /// A loop that ended: done, dead, again.
    Looped(u64, u64, u64),
}

impl Observed {
    /// What the code must see of a delivered entry.
    pub(super) fn of(entry: &Entry) -> Self {
        if let Some(failure) = &entry.meta.failure {
            return Self::Failure(failure.message.clone());
        }
        match entry.kind {
            EntryKind::Timer => return Self::Slept,
            EntryKind::Message if entry.payload.is_none() => return Self::TimedOut,
            _ => {}
        }
        let payload = entry.payload.as_ref().expect("a delivered entry has a value or a failure");
        if entry.kind == EntryKind::Looped {
            let Summary { done, dead, again, .. } = payload.decode().expect("a summary");
            return Self::Looped(done, dead, again);
        }
        match entry.key.name.as_str() {
            "race" => Self::Drawn("race".into(), decoded(payload)),
            _ if entry.kind == EntryKind::State => {
                Self::Value(payload.decode::<Counted>().expect("a count").value)
            }
            "now" => {
                let time: Timestamp = payload.decode().expect("a time");
                Self::Drawn("now".into(), time.as_nanosecond() as u64)
            }
            "random" => Self::Drawn("random".into(), decoded(payload)),
            _ => Self::Value(decoded(payload)),
        }
    }
}

fn decoded(payload: &Payload) -> u64 {
    payload.decode().expect("a number")
}

/// See the [module](self).
pub(super) struct World {
    pub(super) program: Arc<Program>,
    state: Mutex<WorldState>,
}

/// An attempt's answer, once it is given, and who waits for it.
type UnderWay = (Option<Verdict<u64>>, Option<Waker>);

pub(super) struct WorldState {
    pub(super) rng: StdRng,
    pub(super) now: Timestamp,
    /// In the order in which they went to sleep, and are woken: a seed leads to one program's life only.
    sleepers: BTreeMap<u64, (Timestamp, Waker)>,
    sleeps: u64,
    /// Attempts without an answer yet, by their numbers.
    under_way: HashMap<usize, UnderWay>,
    /// What the code observed in this life, with the loop's item that it is in.
    pub(super) observed: Vec<(ScopePath, Observed)>,
    /// Items whose code runs, by their loops.
    running: BTreeMap<ScopePath, usize>,
    /// Loops that an item has stopped in this life.
    stopped: BTreeSet<ScopePath>,
    pub(super) disk: Disk,
    pub(super) remote: Remote,
    /// Whether nothing may be sent at all.
    pub(super) silent: bool,
}

impl World {
    pub(super) fn new(
        program: &Arc<Program>,
        seed: u64,
        now: Timestamp,
        disk: Disk,
        remote: Remote,
    ) -> Arc<Self> {
        let state = Mutex::new(WorldState {
            rng: StdRng::seed_from_u64(seed),
            now,
            sleepers: BTreeMap::new(),
            sleeps: 0,
            under_way: HashMap::new(),
            observed: vec![],
            running: BTreeMap::new(),
            stopped: BTreeSet::new(),
            disk,
            remote,
            silent: false,
        });
        Arc::new(Self { program: program.clone(), state })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, WorldState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn chance(&self) -> u32 {
        self.lock().rng.random()
    }

    /// True once in `n` times.
    pub(super) fn one_in(&self, n: u32) -> bool {
        self.lock().rng.random_range(0..n) == 0
    }

    pub(super) fn pick(&self, n: usize) -> usize {
        self.lock().rng.random_range(0..n)
    }

    /// The items, if the program says so in another order in every life.
    pub(super) fn shuffled(&self, items: &[u64]) -> Vec<u64> {
        let mut items = items.to_vec();
        if self.program.shuffles {
            items.shuffle(&mut self.lock().rng);
        }
        items
    }

    /// A value that is used once, so that one in a wrong place is seen. It fits a double.
    pub(super) fn unique(&self) -> u64 {
        self.lock().rng.random::<u64>() >> 12
    }

    pub(super) fn observe(&self, item: &ScopePath, what: Observed) {
        self.lock().observed.push((item.clone(), what));
    }

    /// The code of a loop's item begins; it runs until the guard is dropped.
    pub(super) fn begin_item(self: &Arc<Self>, item: &ScopePath) -> impl Drop + Send + use<> {
        let looped = around(item);
        let has_stopped = {
            let stopped = &mut self.lock().stopped;
            // An item that came again goes over its own loops again.
            stopped.retain(|inside| !item.encloses(inside));
            stopped.contains(&looped)
        };
        assert!(!has_stopped, "{} begins although its loop has stopped", item.as_str());
        let mut state = self.lock();
        state.disk.begin_item(item);
        *state.running.entry(looped.clone()).or_default() += 1;
        drop(state);
        Running(self.clone(), looped)
    }

    /// The code of a loop's item came to its end.
    pub(super) fn end_item(&self, item: &ScopePath, ends_well: bool) {
        let mut state = self.lock();
        state.disk.ran.insert(item.clone());
        let looped = around(item);
        let stops = !ends_well && self.program.shape_of(&looped).policy == DeadItems::Stop;
        // In a later life those that were under way before come to their end.
        if stops && state.disk.is_first_life() {
            state.stopped.insert(looped);
        }
    }

    /// The process died: nobody waits for answers any more.
    pub(super) fn forget_life(&self) {
        let mut state = self.lock();
        state.under_way.clear();
        state.sleepers.clear();
        state.observed.clear();
        state.stopped.clear();
        state.remote.undos_answered.clear();
        state.disk.begin_life();
    }

    pub(super) fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// Goes on to that time and wakes whoever slept until then.
    pub(super) fn advance_to(&self, time: Timestamp) {
        let mut state = self.lock();
        state.now = state.now.max(time);
        let now = state.now;
        let due: Vec<Waker> =
            state.sleepers.extract_if(.., |_, (at, _)| *at <= now).map(|(_, (_, waker))| waker).collect();
        drop(state);
        due.into_iter().for_each(Waker::wake);
    }

    /// The earliest time at which somebody who sleeps wakes.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.lock().sleepers.values().map(|(at, _)| *at).min()
    }

    /// Answers one attempt under way, if there is one and chance wills it.
    pub(super) fn answer_one(&self) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut open: Vec<usize> =
            state.under_way.iter().filter(|(_, (answer, _))| answer.is_none()).map(|(id, _)| *id).collect();
        open.sort_unstable();
        // Now and then the remote hangs, until the attempt's time is over.
        if open.is_empty() || state.rng.random_range(0..12) == 0 {
            return false;
        }
        let id = open[state.rng.random_range(0..open.len())];
        let verdict = state.remote.answer(id, &mut state.rng);
        let (answer, waker) = state.under_way.get_mut(&id).expect("it was just listed");
        *answer = Some(verdict);
        let waker = waker.take();
        drop(guard);
        waker.into_iter().for_each(Waker::wake);
        true
    }

    /// What became of the step of that key, asked of a remote that knows no keys.
    pub(super) fn find(
        self: &Arc<Self>,
        key: String,
        reversible: bool,
    ) -> impl Future<Output = Result<Option<u64>>> + Send + use<> {
        let world = self.clone();
        async move {
            match world.call(What::Find { reversible }, &key).await {
                Verdict::Done(NOTHING) => Ok(None),
                Verdict::Done(value) => Ok(Some(value)),
                Verdict::RetryAfter(failure) | Verdict::Refused(failure) | Verdict::Unknown(failure) => {
                    Err(failure.into())
                }
                Verdict::Wait { .. } => unreachable!("who looks waits for no limit"),
            }
        }
    }

    /// An attempt: sent as it is first polled.
    pub(super) async fn call(&self, what: What, key: &str) -> Verdict<u64> {
        let is_keyed = !matches!(what, What::Step { keyed: false, .. } | What::Find { .. });
        let id = self.send(what, key);
        // Where nothing tells two of them apart, one that nobody waits for any more does nothing later.
        let _cut_off = (!is_keyed).then(|| CutOff(self, id));
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            let Some((answer, waker)) = state.under_way.get_mut(&id) else { return Poll::Pending };
            match answer.take() {
                Some(verdict) => {
                    state.under_way.remove(&id);
                    Poll::Ready(verdict)
                }
                None => {
                    *waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// What may be sent is checked at the moment in which it leaves.
    fn send(&self, what: What, key: &str) -> usize {
        let mut state = self.lock();
        let state = &mut *state;
        assert!(!state.silent, "{what:?} was sent although nothing may be");
        state.disk.check_send(&what, key, &state.remote);
        if !state.disk.is_undoing() {
            state.disk.check_seen(&state.observed, Unseen::Nothing, &format!("{what:?} was sent"));
            for (looped, running) in &state.running {
                state.disk.check_limit(looped, *running, &self.program);
            }
        }
        let id = state.remote.arrive(what, key, &mut state.rng);
        state.under_way.insert(id, (None, None));
        id
    }
}

struct CutOff<'a>(&'a World, usize);

impl Drop for CutOff<'_> {
    fn drop(&mut self) {
        self.0.lock().under_way.remove(&self.1);
    }
}

struct Running(Arc<World>, ScopePath);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(running) = self.0.lock().running.get_mut(&self.1) {
            *running -= 1;
        }
    }
}

/// The scope that an item's scope is in: that of its loop.
pub(super) fn around(item: &ScopePath) -> ScopePath {
    let (looped, _) = item.as_str().rsplit_once('/').expect("an item is in a loop");
    ScopePath::from_stored(looped)
}

/// The world as a run's clock.
pub(super) struct SimClock(pub(super) Arc<World>);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.0.now().as_nanosecond() as u64)
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let (world, until) = (self.0.clone(), self.0.now() + wait);
        let id = {
            let mut state = world.lock();
            state.sleeps += 1;
            state.sleeps
        };
        Box::pin(std::future::poll_fn(move |cx| {
            let mut state = world.lock();
            if state.now >= until {
                return Poll::Ready(());
            }
            state.sleepers.insert(id, (until, cx.waker().clone()));
            Poll::Pending
        }))
    }

    fn random(&self) -> u64 {
        self.0.lock().rng.random()
    }
}
