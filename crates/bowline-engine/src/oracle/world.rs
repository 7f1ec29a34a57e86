//! The world around a simulated run: a clock that jumps, remotes that answer when and how chance wills, and a memory of
//! everything that was sent and observed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use bowline_model::{
    Attempt, BoxFuture, Clock, Effect, Entry, EntryKind, Failure, Family, Fingerprint, Payload, Repeat,
    Shape, Verdict,
};
use jiff::Timestamp;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{office::Office, program::Counted};

/// What the code saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Observed {
    Value(u64),
    Failure(String),
    Drawn(String, u64),
    Slept,
    TimedOut,
}

impl Observed {
    /// The same of an entry about a step, delivered or a failed attempt.
    fn of_step(entry: &Entry) -> Option<Self> {
        let about = entry.kind.is_delivered() || entry.kind == EntryKind::AttemptFailed;
        (about && entry.key.family == Family::Step).then(|| Self::of(entry))
    }

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
    state: Mutex<WorldState>,
}

pub(super) struct WorldState {
    rng: StdRng,
    now: Timestamp,
    sleepers: HashMap<u64, (Timestamp, Waker)>,
    sleeps: u64,
    /// Attempts without an answer yet: each with its answer, once it is given, and who waits for it.
    under_way: HashMap<u64, (Option<Verdict<u64>>, Option<Waker>)>,
    attempts: u64,
    /// What the code observed in this life.
    pub(super) observed: Vec<Observed>,
    /// What is on disk.
    pub(super) durable: Vec<Entry>,
    /// The idempotency key of every attempt, over all lives, by the attempt's number.
    pub(super) sent: Vec<String>,
    /// Attempts that came to a limit first: nothing left.
    pub(super) unsent: HashSet<u64>,
    /// Which attempt yielded a value.
    yielded: HashMap<u64, u64>,
    /// Whether anything may be sent at all.
    pub(super) silent: bool,
    /// What the store knows of messages and counters.
    pub(super) post: Office,
}

impl World {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(WorldState {
                rng: StdRng::seed_from_u64(seed),
                now: Timestamp::from_second(1_790_000_000).expect("a time"),
                sleepers: HashMap::new(),
                sleeps: 0,
                under_way: HashMap::new(),
                attempts: 0,
                observed: vec![],
                durable: vec![],
                sent: vec![],
                unsent: HashSet::new(),
                yielded: HashMap::new(),
                silent: false,
                post: Office::default(),
            }),
        })
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

    /// A value that is used once, so that one in a wrong place is seen. It fits a double.
    pub(super) fn unique(&self) -> u64 {
        self.lock().rng.random::<u64>() >> 12
    }

    pub(super) fn observe(&self, what: Observed) {
        self.lock().observed.push(what);
    }

    /// The process died: nobody waits for answers any more.
    pub(super) fn forget_life(&self) {
        let mut state = self.lock();
        state.under_way.clear();
        state.sleepers.clear();
        state.observed.clear();
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
            state.sleepers.extract_if(|_, (at, _)| *at <= now).map(|(_, (_, waker))| waker).collect();
        drop(state);
        due.into_iter().for_each(Waker::wake);
    }

    /// The earliest time at which somebody who sleeps wakes.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.lock().sleepers.values().map(|(at, _)| *at).min()
    }

    /// Answers one attempt under way, if there is one and chance wills it.
    pub(super) fn answer_one(&self) -> bool {
        let mut state = self.lock();
        let mut open: Vec<u64> =
            state.under_way.iter().filter(|(_, (answer, _))| answer.is_none()).map(|(id, _)| *id).collect();
        open.sort_unstable();
        // Now and then the remote hangs, until the attempt's time is over.
        if open.is_empty() || state.rng.random_range(0..12) == 0 {
            return false;
        }
        let id = open[state.rng.random_range(0..open.len())];
        let verdict = state.verdict(id);
        let (answer, waker) = state.under_way.get_mut(&id).expect("it was just listed");
        *answer = Some(verdict);
        let waker = waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        true
    }
}

impl WorldState {
    /// The idempotency key under which the attempt left that an entry is about; `None` if it is about none.
    pub(super) fn key_behind(&self, entry: &Entry) -> Option<&String> {
        let id = match Observed::of_step(entry)? {
            Observed::Value(value) => *self.yielded.get(&value)?,
            Observed::Failure(message) => message.split(' ').nth(1)?.parse().ok()?,
            Observed::Drawn(..) | Observed::Slept | Observed::TimedOut => return None,
        };
        self.sent.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    /// Every value and message is used once, so that one in a wrong place is seen.
    fn verdict(&mut self, id: u64) -> Verdict<u64> {
        let unique: u64 = self.rng.random();
        match self.rng.random_range(0..20) {
            0..12 => {
                self.yielded.insert(unique, id);
                Verdict::Done(unique)
            }
            12 | 13 => Verdict::RetryAfter(Failure::refused(format!("busy {id} {unique}"))),
            14..17 => Verdict::Unknown(Failure::unknown(format!("lost {id} {unique}"))),
            17 => {
                self.unsent.insert(id);
                Verdict::Wait { wait: Duration::from_secs(2), why: "a limit".into() }
            }
            18 => Verdict::Refused(Failure::refused(format!("no {id} {unique}")).permanent()),
            _ => Verdict::Unknown(Failure::unknown(format!("odd {id} {unique}")).permanent()),
        }
    }

    /// Rules 2, 3 and the memory for rule 4: checked at the moment in which an attempt leaves.
    fn send(&mut self, name: &str, key: &str) -> u64 {
        assert!(!self.silent, "{name} was sent although the journal is complete");
        let delivered: Vec<Observed> =
            self.durable.iter().filter(|entry| entry.kind.is_delivered()).map(Observed::of).collect();
        assert!(
            delivered.starts_with(&self.observed),
            "{name} was sent while not all that the code has observed is on disk:\nobserved {:?}\non disk {delivered:?}",
            self.observed
        );
        assert_eq!(
            delivered.len(),
            self.observed.len(),
            "{name} was sent before recovery had delivered what is on disk"
        );
        self.sent.push(key.to_owned());
        self.attempts += 1;
        self.under_way.insert(self.attempts, (None, None));
        self.attempts
    }
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

/// A call to the simulated remote.
pub(super) struct SimCall {
    world: Arc<World>,
    name: String,
}

impl SimCall {
    pub(super) fn new(world: Arc<World>, name: &str) -> Self {
        Self { world, name: name.to_owned() }
    }
}

impl Effect for SimCall {
    type Output = u64;

    fn shape(&self) -> Shape {
        let fingerprint = Fingerprint {
            api: "world".into(),
            method: "POST".into(),
            path: format!("/{}", self.name),
            query: String::new(),
            body: String::new(),
        };
        Shape {
            fingerprint: Some(fingerprint),
            repeat: Repeat::Keyed { lifetime: Duration::from_secs(86_400) },
        }
    }

    async fn attempt(&self, attempt: Attempt) -> Verdict<u64> {
        let id = self.world.lock().send(&self.name, attempt.key());
        std::future::poll_fn(|cx| {
            let mut state = self.world.lock();
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
}
