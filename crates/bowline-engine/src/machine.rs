//! One run, decided: what its code does next, without IO.
//!
//! [`Machine::next`] polls the code, hands it one outcome at a time, and says what the driver must do: write, wait,
//! rest or finish. The rules it keeps, live and on recovery alike:
//!
//! * one outcome between two polls, so that `join!` and `select!` see the same order again;
//! * recorded outcomes first, the lowest that a leaf asks for; an effect starts only when none can be delivered;
//! * no effect starts before everything delivered is written;
//! * control (a mismatch, a shutdown) never reaches the code: its leaves stay pending and it is dropped.

mod attempts;
mod ending;
mod recovery;
mod rehearse;
mod undoing;
mod waits;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bowline_model::{BoxFuture, DeadReason, Event, Payload, Result, Run};
use jiff::Timestamp;

use self::{
    attempts::{note_starts, refusal, start_attempts},
    ending::panic_message,
    recovery::Recovery,
    waits::Deciding,
};
use crate::{
    board::{Board, BoardState, Stop, Unwritten},
    journal::earliest,
    leaf::Leaf,
    waker::{OwnWaker, RunWaker},
};

pub(crate) use self::{recovery::left_over, rehearse::Rehearsed, undoing::Stage, waits::Decided};

/// The code of a run: the workflow's future, its output encoded.
pub(crate) type Code = BoxFuture<'static, Result<Payload>>;

/// How often in a row code may wake itself before outcomes and effects go on.
const REPOLLS_MAX: u32 = 100;
/// How often a run that somebody unknown might wake is looked at again.
const STRANGER_CHECK: Duration = Duration::from_secs(1);
/// How long recovery waits for a stranger before it calls the journal unfit.
const STRANGER_PATIENCE: Duration = Duration::from_secs(300);

/// What the driver must do.
#[derive(Debug)]
pub(crate) enum Next {
    /// Wait until the run is woken, or until then.
    Idle { until: Option<Timestamp> },
    /// Write this, then ask again.
    Write(Unwritten),
    /// Write this, and tell [`Machine::decided`] what came of it: only then is its last entry's outcome known.
    Decide(Unwritten),
    /// Every leaf waits for a time or a message: write this, give the slot back, and ask again then.
    Rest { unwritten: Unwritten, due: Option<Timestamp> },
    /// Shutting down, and no attempt is under way: write this and give the run back.
    Release { unwritten: Unwritten },
    /// Write this: from then on the run is undone.
    Undo { unwritten: Unwritten },
    /// Write this: what was unknown is settled, as far as it can be, and what was done can be undone.
    Settled { unwritten: Unwritten },
    /// Write this and the end, in one commit.
    Finish { unwritten: Unwritten, end: End },
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    /// The run goes on as another one, that the same commit starts.
    Continued,
    /// Undone, for that reason.
    Undone {
        why: String,
    },
    Dead {
        reason: DeadReason,
        summary: String,
    },
}

/// See the [module](self).
pub(crate) struct Machine {
    board: Arc<Board>,
    code: Option<Code>,
    waker: OwnWaker,
    must_poll: bool,
    /// Whether the journal may still hold what the code will ask for.
    recovering: bool,
    /// When effects in flight at a crash left at the earliest, until the code sees something new.
    in_flight_since: Option<Timestamp>,
    /// Whether steps have noted that they may have been in flight.
    in_flight_noted: bool,
    /// Since when recovery has found nothing to deliver although required entries are left.
    unfit_since: Option<Timestamp>,
    draining: bool,
    /// Polls in a row in which the code woke itself.
    repolls: u32,
    /// What the store is asked to decide.
    deciding: Option<Deciding>,
    stage: Stage,
}

enum Polled {
    Pending,
    Ready(Result<Payload>),
    Panicked(String),
}

impl Machine {
    pub(crate) fn new(board: Arc<Board>, code: Code) -> Self {
        let unsure_since = board.run.unsure_since.filter(|_| board.run.crashes > 0);
        let in_flight_since = earliest(unsure_since, board.lock().journal.in_flight_since());
        let waker = OwnWaker::new();
        Self {
            board,
            code: Some(code),
            waker,
            must_poll: true,
            recovering: true,
            in_flight_since,
            draining: false,
            repolls: 0,
            unfit_since: None,
            in_flight_noted: false,
            deciding: None,
            stage: Stage::Forward,
        }
    }

    /// The machine of a run that is so far.
    pub(crate) fn at(board: Arc<Board>, code: Code, stage: Stage) -> Self {
        let mut machine = Self::new(board, code);
        if let Stage::Settle { .. } = stage {
            // What was in flight before is noted beside the word that the run is undone. From then on only steps were sent
            // that were noted as unknown before: a crash leaves nothing else in doubt.
            machine.in_flight_since = machine.board.lock().journal.in_flight_since();
        }
        Self { stage, ..machine }
    }

    /// The run's event.
    pub(crate) fn event(&self) -> &Arc<Event> {
        &self.board.event
    }

    pub(crate) fn batch(&self) -> &Arc<[Event]> {
        &self.board.batch
    }

    pub(crate) fn waker(&self) -> &Arc<RunWaker> {
        self.waker.run()
    }

    /// The run as it was claimed.
    pub(crate) fn run(&self) -> &Run {
        &self.board.run
    }

    /// From now on no effect starts; the run is given back when those under way have ended.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    /// The last sequence number of the journal, unwritten entries included.
    pub(crate) fn journal_len(&self) -> i64 {
        self.board.lock().journal.last_seq()
    }

    /// What to do now.
    pub(crate) fn next(&mut self, now: Timestamp) -> Next {
        if let Stage::Settle { .. } = self.stage {
            return self.settle_next(now);
        }
        loop {
            if let Some(next) = self.past_deadline(now) {
                return next;
            }
            if self.waker.run().take() || self.must_poll {
                self.must_poll = false;
                match self.poll_code() {
                    // A combinator that wakes itself has not looked at all of its branches yet: what they ask for and
                    // draw comes before the next outcome, and before anything is sent.
                    Polled::Pending if self.repoll() => continue,
                    Polled::Pending => {}
                    Polled::Ready(result) => return self.finish_code(result),
                    Polled::Panicked(message) => return self.finish_dead(DeadReason::Panicked, message),
                }
            }
            self.repolls = 0;
            self.set_aside_unpolled();
            if let Some(stop) = self.stopped() {
                return self.finish_stopped(stop);
            }
            if let Some(input) = self.continues() {
                return self.finish_continued(input);
            }
            if self.deliver_recorded() {
                continue;
            }
            if self.recovering {
                match self.end_recovery(now) {
                    Recovery::Over => {}
                    // Shutting down: the next start may wait for it.
                    Recovery::WaitsForStranger if self.draining => {}
                    Recovery::WaitsForStranger => {
                        return self.look_again(now);
                    }
                    Recovery::Misfit(message) => return self.finish_dead(DeadReason::Mismatch, message),
                }
            }
            // Before anything new is delivered: from then on it is not known what was in flight.
            self.note_in_flight();
            self.board.lock().is_live = true;
            if self.deliver_ending_loop() || self.deliver_arrival() || self.deliver_wait(now) {
                continue;
            }
            if let Some(next) = self.go_on(now) {
                return next;
            }
        }
    }

    fn look_again(&self, now: Timestamp) -> Next {
        Next::Idle { until: now.checked_add(STRANGER_CHECK).ok() }
    }

    /// Whether the code woke itself while it was polled. Code that does so for ever is let go on now and then.
    fn repoll(&mut self) -> bool {
        self.repolls += 1;
        self.repolls < REPOLLS_MAX && self.waker.run().is_woken()
    }

    /// With nothing left to deliver: starts effects, or says what to wait for. `None`: effects may start, poll again.
    fn go_on(&mut self, now: Timestamp) -> Option<Next> {
        let board = self.board.clone();
        let mut state = board.lock();
        if self.draining {
            return Some(self.give_back(&mut state));
        }
        if state.is_held_back && !board.is_paused() {
            // Resumed: the code is asked again what it wants.
            state.is_held_back = false;
            state.wake_loops();
            self.must_poll = true;
            return None;
        }
        if let Some(next) = self.decide(&mut state, now) {
            return Some(next);
        }
        let ready = state.leaves.values().any(|leaf| leaf.wants_attempt(now));
        if ready {
            if let Some(stop) = refusal(&state, now) {
                state.stop = Some(stop);
                return None;
            }
            state.tell_build(&board);
            note_starts(&board, &mut state, now);
        }
        if !state.unwritten.is_empty() && (ready || state.has_attempts() || state.unwritten.urgent) {
            // The barrier: what the code has seen is on disk before it acts on it.
            self.must_poll = state.unwritten.urgent;
            return Some(Next::Write(state.hand_over()));
        }
        if ready {
            start_attempts(&mut state, now);
            self.must_poll = true;
            return None;
        }
        Some(self.wait(&mut state, now))
    }

    /// Nothing can start: waits for attempts, for what is on disk, or for a stranger.
    fn wait(&self, state: &mut BoardState, now: Timestamp) -> Next {
        let due = state.leaves.values().filter_map(Leaf::due).chain(self.deadline(state)).min();
        if state.has_attempts() {
            return Next::Idle { until: due };
        }
        if state.is_held_back && !self.has_stranger(state) {
            // What is under way has come to its end, or waits on disk. The store lets nobody claim it before it is resumed.
            return self.give_back(state);
        }
        let rests = state.leaves.values().any(Leaf::is_durable_wait);
        if rests && !self.may_have_stranger(state) {
            return Next::Rest { unwritten: state.hand_over(), due };
        }
        if !state.unwritten.is_empty() {
            return Next::Write(state.hand_over());
        }
        let look = now.checked_add(STRANGER_CHECK).ok().filter(|_| rests);
        Next::Idle { until: [due, look].into_iter().flatten().min() }
    }

    /// Whether an attempt is under way.
    pub(crate) fn has_attempts(&self) -> bool {
        self.board.lock().has_attempts()
    }

    #[cfg(test)]
    pub(crate) fn attempts_under_way(&self) -> usize {
        self.board.lock().leaves.values().filter(|leaf| leaf.is_under_way()).count()
    }

    /// Whether the code waits for something that the engine does not know.
    pub(crate) fn waits_for_stranger(&self) -> bool {
        let state = self.board.lock();
        !state.has_attempts() && self.may_have_stranger(&state)
    }

    /// Ends when a run that its workflow's pause holds back may go on; never if nothing holds it back.
    pub(crate) fn until_resumed(&self) -> impl Future<Output = ()> + Send + use<> {
        let held_back = self.board.paused.clone().filter(|_| self.board.lock().is_held_back);
        async {
            match held_back {
                Some(paused) => paused.until_resumed().await,
                None => std::future::pending().await,
            }
        }
    }

    fn poll_code(&mut self) -> Polled {
        let polled = self.poll_once();
        if let Polled::Pending = polled {
            self.board.close_let_go();
        }
        polled
    }

    fn poll_once(&mut self) -> Polled {
        let code = self.code.as_mut().expect("the machine is not asked again after an end");
        let _polling = self.board.begin_poll();
        let mut cx = Context::from_waker(self.waker.waker());
        match catch_unwind(AssertUnwindSafe(|| code.as_mut().poll(&mut cx))) {
            Ok(Poll::Pending) => Polled::Pending,
            Ok(Poll::Ready(result)) => Polled::Ready(result),
            Err(panic) => {
                let message = panic_message(&*panic);
                // What was thrown may itself panic when it is dropped.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(panic)));
                Polled::Panicked(message)
            }
        }
    }

    fn continues(&self) -> Option<Payload> {
        self.board.lock().continues.take()
    }

    fn stopped(&self) -> Option<Stop> {
        self.board.lock().stop.clone()
    }

    /// Whether somebody other than a leaf may wake this run.
    ///
    /// Attempts hold wakers too: ask only when none is under way. A combinator such as `FuturesUnordered` gives what is
    /// inside it wakers of its own: behind those nobody can be told apart, so there may be a stranger.
    fn may_have_stranger(&self, state: &BoardState) -> bool {
        state.leaves.values().all(|leaf| leaf.waker.is_none()) || self.has_stranger(state)
    }

    /// As [`may_have_stranger`](Self::may_have_stranger), where it is known why no leaf is there.
    fn has_stranger(&self, state: &BoardState) -> bool {
        let mut leaves = state.leaves.values().filter_map(|leaf| leaf.waker.as_ref());
        let own = |waker: &&Waker| waker.will_wake(self.waker.waker());
        let loops = state.waiting_loops.iter().filter(own).count();
        self.waker.clones_elsewhere() > leaves.clone().count() + loops
            || leaves.any(|waker| !waker.will_wake(self.waker.waker()))
    }
}

impl BoardState {
    fn has_attempts(&self) -> bool {
        self.leaves.values().any(Leaf::is_under_way)
    }
}
