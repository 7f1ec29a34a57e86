//! When nothing can happen any more until time moves, and how time moves then.
//!
//! Nothing happens when the engine is idle, the store has answered everything, and every attempt under way is a request
//! that a mock keeps waiting by the clock. What cannot be counted (bytes between two sockets, a task of the app's own)
//! is given its chance: both runtimes run all that is ready and look at their sockets, and nothing must have stirred.

use std::time::Duration;

use bowline_model::{Clock, Run, RunState, SystemClock};
use bowline_store::{RunFilter, Store};
use jiff::Timestamp;

use super::{
    TestApp,
    life::{Life, Look},
    process::NoAnswer,
    waiting::{PATIENCE, wait_for},
};

/// How long to wait for a sign of life before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How long nothing must stir, in real time, before what is not a mock's is taken to wait for time.
const STILL_MIN: Duration = Duration::from_millis(25);
/// How far `end` lets time skip: longer than any retry schedule lasts.
pub(crate) const SKIP_MAX: Duration = Duration::from_secs(60 * 24 * 3600);

/// What the app does when it is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quiet {
    /// Nothing, until time moves.
    Idle(Look),
    /// Something that is neither a mock's nor the clock's: it was waited for, for as long as that was allowed.
    Elsewhere(Look),
}

/// Who waits for time to pass, beside the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Nobody.
    Free,
    /// A sender who waits for a run's result.
    Waited,
}

impl Door {
    fn sleepers(self) -> usize {
        match self {
            Self::Free => 0,
            Self::Waited => 1,
        }
    }
}

impl<S: Send + Sync + 'static> TestApp<S> {
    /// Lets everything happen that can without time passing, or as much as it takes for `is_over`. A process that dies
    /// meanwhile is started again. Who is still for as long as `elsewhere` waits for something elsewhere; who is at work may
    /// be slow, as machines are, and gets all the patience there is.
    fn quiet(&self, door: Door, elsewhere: Duration, is_over: impl Fn() -> bool) -> Quiet {
        let begun = SystemClock.monotonic();
        let (mut last, mut still_since) = (None, Duration::ZERO);
        loop {
            let life = self.alive();
            let seen = self.world.pulse.count();
            let look = life.look(&self.world);
            let waited = SystemClock.monotonic().saturating_sub(begun);
            if last != Some((seen, look)) {
                (last, still_since) = (Some((seen, look)), waited);
            }
            let still = waited.saturating_sub(still_since);
            let is_still = || still >= STILL_MIN;
            let by_clock = || look.calls_asleep(door.sleepers()) >= look.attempts.max(1);
            let is_idle = if look.is_moving() {
                false
            } else if look.all_held() && !self.is_watched_from_outside(look) {
                // Nothing is on its way, and nobody could be at work whom the engine does not know. (Who wakes a trigger
                // does not count it.)
                (look.attempts == 0 && door == Door::Free && !life.has_triggers())
                    || self.nothing_stirs(&life, seen, look)
            } else {
                is_still() && by_clock() && self.nothing_stirs(&life, seen, look)
            };
            if (is_idle && !life.is_dead()) || is_over() {
                return Quiet::Idle(look);
            }
            // A machine that is slow or busy may have let nobody do anything meanwhile: that is no stillness.
            let is_elsewhere =
                || still >= elsewhere && !look.is_moving() && self.nothing_stirs(&life, seen, look);
            if waited >= PATIENCE || is_elsewhere() {
                return Quiet::Elsewhere(look);
            }
            self.world.pulse.wait_beyond(seen, LOOK_AGAIN);
        }
    }

    /// Whether all that is ready has run, and nothing came of it.
    fn nothing_stirs(&self, life: &Life<S>, seen: u64, look: Look) -> bool {
        match life.ping(&self.world) {
            Ok(()) => !life.is_dead() && self.world.pulse.count() == seen && life.look(&self.world) == look,
            Err(NoAnswer::Gone) => false,
            Err(NoAnswer::Late) => panic!(
                "the app's thread has been busy for {PATIENCE:?}: code of a workflow or of a step's closure blocks it; \
                 move blocking work to tokio::task::spawn_blocking\n{}",
                self.timelines()
            ),
        }
    }

    /// Whether a run waits for something that is no step: nobody knows what that is.
    fn is_watched_from_outside(&self, look: Look) -> bool {
        look.attempts == 0 && self.is_any(RunState::Running)
    }

    fn is_any(&self, state: RunState) -> bool {
        let filter = RunFilter { states: vec![state], limit: 1, ..RunFilter::default() };
        !self.read(self.world.disk.reads().runs(filter)).is_empty()
    }

    /// When the next thing happens; `None`: never.
    fn next_time(&self, look: Look, door: Door) -> Option<Timestamp> {
        let only_disk = look.attempts == 0 && look.held == 0 && door == Door::Free;
        if only_disk && !self.is_any(RunState::Running) {
            // The engine's sweeps find nothing then: time passes over them at once.
            let due = self.read(self.world.disk.reads().next_due(self.now()));
            return due.into_iter().chain(self.world.clock.next_point()).min();
        }
        self.world.clock.next_wake()
    }

    /// Lets time skip until `is_done`.
    ///
    /// # Panics
    /// If it is not within [`SKIP_MAX`] of the clock, or something does not end within [`PATIENCE`]; in an app with triggers
    /// after [`TRIGGERS_MAX`].
    #[track_caller]
    pub(crate) fn skip_until(&self, what: &str, door: Door, is_done: impl Fn() -> bool) {
        let end = self.now().checked_add(SKIP_MAX).unwrap_or(Timestamp::MAX);
        // Whether a sender was answered can be seen at once; whether a run has ended is asked of the store.
        let is_over = || door == Door::Waited && is_done();
        let begun = SystemClock.monotonic();
        loop {
            let quiet = self.quiet(door, PATIENCE, is_over);
            if is_done() {
                return;
            }
            let took = SystemClock.monotonic().saturating_sub(begun);
            if took >= TRIGGERS_MAX && self.alive().has_triggers() {
                let now = self.now();
                let shown = self.timelines();
                panic!(
                    "{what}: by {now} only the app's triggers have acted, for {took:.0?} (real time)\n{shown}"
                );
            }
            let look = match quiet {
                Quiet::Idle(look) => look,
                Quiet::Elsewhere(look) => {
                    panic!("{what}: {}\n{}", self.why_elsewhere(look), self.timelines())
                }
            };
            // A queued run that nobody takes: the engine's next sweep may.
            match self.next_time(look, door).or_else(|| self.world.clock.next_wake()) {
                Some(next) if next <= end => self.world.clock.set(next),
                Some(_) => panic!("{what} within {} days of the clock\n{}", days(SKIP_MAX), self.timelines()),
                None => panic!("{what}: nothing waits for time\n{}", self.timelines()),
            }
        }
    }

    fn why_elsewhere(&self, look: Look) -> String {
        let running = self.open_runs().into_iter().find(|run| run.state == RunState::Running);
        let run = running.map(|run| format!("run {}", run.id)).unwrap_or_else(|| "the app".to_owned());
        if look.is_moving() {
            format!("{run} has been at work for {PATIENCE:?}")
        } else if look.attempts > look.held {
            format!(
                "{run} has waited {PATIENCE:?} (real time) in a step for something that is neither a mock system nor \
                 the clock"
            )
        } else {
            format!(
                "{run} has waited {PATIENCE:?} (real time) for something outside its steps; a test cannot skip that: \
                 wait by a step's retries or timeouts, not by tokio::time"
            )
        }
    }

    /// Lets everything happen that can now.
    #[track_caller]
    pub(crate) fn come_to_rest(&self) {
        if let Quiet::Elsewhere(look) = self.quiet(Door::Free, PATIENCE, || false) {
            panic!("the app does not come to rest: {}\n{}", self.why_elsewhere(look), self.timelines());
        }
    }

    /// Lets everything happen that can now, but for what takes long elsewhere.
    pub(crate) fn pause(&self) {
        self.quiet(Door::Free, ELSEWHERE_MAX, || false);
    }

    /// Moves the clock by that much, and lets everything happen on the way at its time.
    #[track_caller]
    pub(crate) fn pass(&self, by: Duration) {
        let target = self.now().checked_add(by).unwrap_or(Timestamp::MAX);
        loop {
            let look = self.quiet_by_hand();
            match self.next_time(look, Door::Free).filter(|next| *next <= target) {
                Some(next) if self.now() < target => self.world.clock.set(next),
                _ => break,
            }
        }
        self.world.clock.set(target);
        self.quiet_by_hand();
    }

    /// Who moves the clock by hand means it, whatever is waited for elsewhere; but no time passes over who is at work.
    #[track_caller]
    fn quiet_by_hand(&self) -> Look {
        match self.quiet(Door::Free, ELSEWHERE_MAX, || false) {
            Quiet::Elsewhere(look) if look.is_moving() => {
                panic!("time cannot pass: {}\n{}", self.why_elsewhere(look), self.timelines())
            }
            Quiet::Idle(look) | Quiet::Elsewhere(look) => look,
        }
    }

    /// What the test reads of the store.
    pub(crate) fn read<T>(&self, answer: impl Future<Output = Result<T, bowline_store::StoreError>>) -> T {
        let answer = wait_for(answer, PATIENCE).expect("a store in memory answers");
        answer.unwrap_or_else(|error| panic!("the test's store cannot be read: {error}"))
    }

    pub(crate) fn open_runs(&self) -> Vec<Run> {
        let states = vec![RunState::Queued, RunState::Running, RunState::Waiting];
        self.read(self.world.disk.reads().runs(RunFilter { states, ..RunFilter::default() }))
    }
}

/// How long a wait for an end may take, in real time, where triggers always have something to do next: else a run that never
/// ends would be waited for through all that they do in 60 days.
const TRIGGERS_MAX: Duration = Duration::from_secs(180);

/// How long who moves the clock by hand waits for what is neither a mock's nor the clock's, and does not stir.
const ELSEWHERE_MAX: Duration = Duration::from_millis(500);

fn days(span: Duration) -> u64 {
    span.as_secs() / (24 * 3600)
}
