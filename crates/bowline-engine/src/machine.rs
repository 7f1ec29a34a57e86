//! One run, decided: what its code does next, without IO.
//!
//! [`Machine::next`] polls the code, hands it one outcome at a time, and says what the driver must do: write, wait,
//! rest or finish. The rules it keeps, live and on recovery alike:
//!
//! * one outcome between two polls, so that `join!` and `select!` see the same order again;
//! * recorded outcomes first, the lowest that a leaf asks for; an effect starts only when none can be delivered;
//! * no effect starts before everything delivered is written;
//! * control (a mismatch, a shutdown) never reaches the code: its leaves stay pending and it is dropped.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bowline_model::{
    Attempt, BoxFuture, Certainty, DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Error, Failure,
    Payload, Result, Verdict, effect::Tried,
};
use jiff::Timestamp;

use crate::{
    board::{Board, BoardState, Leaf, LeafId, Outcome, Phase, Stop},
    settle::{Attempts, Settled, settle},
    waker::{OwnWaker, RunWaker},
};

/// The code of a run: the workflow's future, its output encoded.
pub(crate) type Code = BoxFuture<'static, Result<Payload>>;

/// How often in a row code may wake itself before outcomes and effects go on.
const REPOLLS_MAX: u32 = 1000;
/// How often a run that somebody unknown might wake is looked at again.
const STRANGER_CHECK: Duration = Duration::from_secs(1);

/// What the driver must do.
#[derive(Debug)]
pub(crate) enum Next {
    /// Wait until the run is woken, or until then.
    Idle { until: Option<Timestamp> },
    /// Write these, then ask again.
    Write(Vec<Entry>),
    /// Every leaf waits for a time: write these, give the slot back, and ask again then.
    Rest { entries: Vec<Entry>, due: Timestamp },
    /// Shutting down, and no attempt is under way: write these and give the run back.
    Release { entries: Vec<Entry> },
    /// Write these and the end, in one commit.
    Finish { entries: Vec<Entry>, end: End },
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    Dead { reason: DeadReason, summary: String },
}

/// See the [module](self).
pub(crate) struct Machine {
    board: Arc<Board>,
    code: Option<Code>,
    waker: OwnWaker,
    must_poll: bool,
    /// Whether the journal may still hold what the code will ask for.
    recovering: bool,
    /// When effects in flight at a crash left at the earliest, until recovery has found which they are.
    in_flight_since: Option<Timestamp>,
    draining: bool,
    /// Polls in a row in which the code woke itself.
    repolls: u32,
}

enum Polled {
    Pending,
    Ready(Result<Payload>),
    Panicked(String),
}

impl Machine {
    pub(crate) fn new(board: Arc<Board>, code: Code) -> Self {
        let in_flight_since = board.run.unsure_since.filter(|since| Some(*since) < board.run.claimed_at);
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
        }
    }

    pub(crate) fn waker(&self) -> &Arc<RunWaker> {
        self.waker.run()
    }

    /// From now on no effect starts; the run is given back when those under way have ended.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    /// The last sequence number of the journal, unwritten entries included.
    pub(crate) fn journal_len(&self) -> i64 {
        self.board.lock().journal.len()
    }

    /// What to do now.
    pub(crate) fn next(&mut self, now: Timestamp) -> Next {
        loop {
            if self.waker.run().take() || self.must_poll {
                self.must_poll = false;
                match self.poll_code() {
                    // A combinator that wakes itself has not looked at all of its branches yet: what they ask for and
                    // draw comes before the next outcome, and before anything is sent.
                    Polled::Pending if self.repoll() => continue,
                    Polled::Pending => {}
                    Polled::Ready(result) => return self.finish(result),
                    Polled::Panicked(message) => return self.finish_dead(DeadReason::Panicked, message),
                }
            }
            self.repolls = 0;
            if let Some(stop) = self.stopped() {
                return self.finish_stopped(stop);
            }
            if self.deliver_recorded() {
                continue;
            }
            if self.recovering {
                match self.end_recovery() {
                    Recovery::Over => {}
                    Recovery::WaitsForStranger => {
                        return Next::Idle { until: now.checked_add(STRANGER_CHECK).ok() };
                    }
                    Recovery::Misfit(message) => return self.finish_dead(DeadReason::Mismatch, message),
                }
            }
            if self.deliver_arrival() {
                continue;
            }
            if let Some(next) = self.go_on(now) {
                return next;
            }
        }
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
            return Some(drain(&mut state));
        }
        let ready = state.leaves.values().any(|leaf| leaf.wants_attempt(now));
        if !state.unwritten.is_empty() && (ready || state.has_attempts()) {
            // The barrier: what the code has seen is on disk before it acts on it.
            return Some(Next::Write(std::mem::take(&mut state.unwritten)));
        }
        if ready {
            start_attempts(&mut state, now);
            self.must_poll = true;
            return None;
        }
        let due = state.leaves.values().filter_map(Leaf::due).min();
        if state.has_attempts() {
            return Some(Next::Idle { until: due });
        }
        let stranger = self.has_stranger(&state);
        match due {
            Some(due) if !stranger => Some(Next::Rest { entries: std::mem::take(&mut state.unwritten), due }),
            _ if !state.unwritten.is_empty() => Some(Next::Write(std::mem::take(&mut state.unwritten))),
            Some(due) => {
                Some(Next::Idle { until: Some(due.min(now.checked_add(STRANGER_CHECK).unwrap_or(due))) })
            }
            None => Some(Next::Idle { until: None }),
        }
    }

    /// Drops the code where it stands and returns what must still be written: attempts under way are noted, because
    /// they may have had their effect.
    pub(crate) fn abandon(&mut self, why: &str) -> Vec<Entry> {
        let board = self.board.clone();
        let now = board.clock.now();
        {
            let mut state = board.lock();
            state.ended = true;
            let under_way = state.leaves.values().filter(|leaf| leaf.is_under_way());
            let notes: Vec<_> = under_way.map(|leaf| (leaf.note(), leaf.started)).collect();
            for ((key, mut meta), started) in notes {
                meta.unknown_since = meta.unknown_since.or(started);
                meta.failure = Some(Failure::unknown(why));
                meta.next_at = Some(now);
                board.append(&mut state, EntryKind::AttemptFailed, key, meta, None);
            }
        }
        self.drop_code();
        std::mem::take(&mut board.lock().unwritten)
    }

    /// Whether the code waits for something that the engine does not know.
    pub(crate) fn waits_for_stranger(&self) -> bool {
        let state = self.board.lock();
        !state.has_attempts() && self.has_stranger(&state)
    }

    fn poll_code(&mut self) -> Polled {
        let code = self.code.as_mut().expect("the machine is not asked again after an end");
        let _polling = self.board.begin_poll();
        let mut cx = Context::from_waker(self.waker.waker());
        match catch_unwind(AssertUnwindSafe(|| code.as_mut().poll(&mut cx))) {
            Ok(Poll::Pending) => Polled::Pending,
            Ok(Poll::Ready(result)) => Polled::Ready(result),
            Err(panic) => Polled::Panicked(panic_message(&*panic)),
        }
    }

    fn stopped(&self) -> Option<Stop> {
        self.board.lock().stop.clone()
    }

    /// Hands out the lowest recorded entry that a leaf asks for.
    fn deliver_recorded(&mut self) -> bool {
        if !self.recovering {
            return false;
        }
        let mut state = self.board.lock();
        let asked = state.leaves.iter().filter(|(_, leaf)| matches!(leaf.phase, Phase::Asked));
        let lowest = asked.filter_map(|(id, leaf)| Some((state.journal.get(&leaf.key)?.seq, *id))).min();
        let Some((_, id)) = lowest else { return false };
        let key = state.leaves[&id].key.clone();
        let entry = state.journal.take(&key).expect("it was just found");
        let outcome = match (entry.payload, entry.meta.failure) {
            (Some(value), None) => Outcome::Done(value),
            (_, Some(failure)) => Outcome::Failed(failure),
            (None, None) => Outcome::Done(Payload::from_stored("null")),
        };
        hand_out(&mut state, id, outcome);
        self.must_poll = true;
        true
    }

    /// Nothing recorded can be delivered. Either all is, or the code does not fit, or it waits for a stranger first.
    fn end_recovery(&mut self) -> Recovery {
        let mut state = self.board.lock();
        if let Some(left) = state.journal.first_required() {
            if self.has_stranger(&state) {
                return Recovery::WaitsForStranger;
            }
            return Recovery::Misfit(left_over(left, &self.board, state.leaves.values()));
        }
        // Optional entries stay reachable, for a branch that asks for them later.
        self.recovering = state.journal.has_recorded();
        if let Some(since) = self.in_flight_since.take() {
            // What was in flight was asked for by exactly these leaves; it had left no earlier than one attempt's time
            // before the last thing that was recorded.
            let last = state.journal.last_delivered_at();
            for leaf in state.leaves.values_mut() {
                let before_last = last.and_then(|last| last.checked_sub(leaf.options.attempt_timeout).ok());
                leaf.unknown_since.get_or_insert(before_last.map_or(since, |at| at.max(since)));
            }
        }
        Recovery::Over
    }

    /// Looks at one attempt that ended; says whether anything changed.
    fn deliver_arrival(&mut self) -> bool {
        let board = &self.board;
        // Not the time at which the code was polled: the attempt may have ended long after.
        let now = board.clock.now();
        let mut state = board.lock();
        let Some(id) = state.arrivals.pop_front() else { return false };
        let chance = board.clock.random();
        let Some(leaf) = state.leaves.get_mut(&id) else { return true };
        let Phase::Arrived(verdict) = std::mem::replace(&mut leaf.phase, Phase::Asked) else { return true };
        if matches!(verdict, Verdict::Wait { .. }) {
            // Nothing was sent: it was no attempt.
            leaf.attempts = leaf.attempts.saturating_sub(1);
        }
        let settled = settle(verdict, &leaf.attempts(), now, chance);
        let (key, mut meta) = leaf.note();
        match settled {
            Settled::Done(value) => {
                board.append(&mut state, EntryKind::StepDone, key, meta, Some(value.clone()));
                hand_out(&mut state, id, Outcome::Done(value));
                self.must_poll = true;
            }
            Settled::Failed(kind, failure) => {
                if failure.certainty == Certainty::Unknown {
                    meta.unknown_since = leaf.unknown_since.or(leaf.started);
                }
                meta.failure = Some(failure.clone());
                board.append(&mut state, kind, key, meta, None);
                hand_out(&mut state, id, Outcome::Failed(failure));
                self.must_poll = true;
            }
            Settled::Again(failure, due) => {
                if failure.certainty == Certainty::Unknown {
                    leaf.unknown_since = leaf.unknown_since.or(leaf.started);
                    meta.unknown_since = leaf.unknown_since;
                }
                leaf.phase = Phase::Backoff { due };
                meta.failure = Some(failure);
                meta.next_at = Some(due);
                board.append(&mut state, EntryKind::AttemptFailed, key, meta, None);
            }
            Settled::Pause(due) => leaf.phase = Phase::Backoff { due },
        }
        true
    }

    /// Whether somebody holds a waker of this run who is neither a leaf nor a combinator around one.
    ///
    /// Attempts hold wakers too: ask only when none is under way. A combinator such as `FuturesUnordered` holds one
    /// clone and wraps the wakers of the leaves inside; each wrapped leaf accounts for at most one such clone.
    fn has_stranger(&self, state: &BoardState) -> bool {
        let leaves = state.leaves.values().filter(|leaf| leaf.waker.is_some()).count();
        leaves == 0 || self.waker.clones_elsewhere() > leaves
    }

    fn finish(&mut self, result: Result<Payload>) -> Next {
        self.board.lock().ended = true;
        self.drop_code();
        let board = self.board.clone();
        let mut state = board.lock();
        if let Some(stop) = state.stop.clone() {
            drop(state);
            return self.finish_stopped(stop);
        }
        if let Some(left) = state.journal.first_required() {
            let message = left_over(left, &board, std::iter::empty());
            drop(state);
            return self.finish_dead(DeadReason::Mismatch, message);
        }
        match result {
            Ok(output) => {
                board.append(
                    &mut state,
                    EntryKind::Completed,
                    EntryKey::run(),
                    EntryMeta::default(),
                    Some(output),
                );
                Next::Finish { entries: std::mem::take(&mut state.unwritten), end: End::Completed }
            }
            Err(error) => {
                drop(state);
                self.finish_failed(DeadReason::Failed, error)
            }
        }
    }

    fn finish_stopped(&mut self, stop: Stop) -> Next {
        let error = Error::permanent(stop.message);
        let error = match stop.entry {
            Some(key) => error.from_entry(key),
            None => error,
        };
        self.finish_failed(stop.reason, error)
    }

    fn finish_dead(&mut self, reason: DeadReason, message: String) -> Next {
        self.finish_failed(reason, Error::permanent(message))
    }

    fn finish_failed(&mut self, reason: DeadReason, error: Error) -> Next {
        let entries = self.abandon("the run ended while this attempt was under way");
        let board = self.board.clone();
        let mut state = board.lock();
        state.unwritten = entries;
        let summary = summary(&error.to_string());
        let meta = EntryMeta {
            caused_by: error.entry().cloned(),
            failure: Some(error.into_failure()),
            note: Some(reason.as_str().to_owned()),
            ..EntryMeta::default()
        };
        board.append(&mut state, EntryKind::DeadLettered, EntryKey::run(), meta, None);
        Next::Finish { entries: std::mem::take(&mut state.unwritten), end: End::Dead { reason, summary } }
    }

    /// Drops the code; a panic in a destructor is as good as none here.
    fn drop_code(&mut self) {
        if let Some(code) = self.code.take() {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(code)));
        }
    }
}

enum Recovery {
    Over,
    WaitsForStranger,
    Misfit(String),
}

/// Gives a leaf its outcome and wakes it.
fn hand_out(state: &mut BoardState, id: LeafId, outcome: Outcome) {
    let leaf = state.leaves.get_mut(&id).expect("the machine hands out to leaves it just saw");
    leaf.phase = Phase::Delivered(outcome);
    if let Some(waker) = leaf.waker.take() {
        waker.wake();
    }
}

/// Lets every leaf that wants an attempt start one; refuses those whose effect may no longer be repeated.
fn start_attempts(state: &mut BoardState, now: Timestamp) {
    for leaf in state.leaves.values_mut().filter(|leaf| leaf.wants_attempt(now)) {
        if leaf.is_stale(now) {
            state.stop.get_or_insert(stale(leaf));
            return;
        }
        let since = *leaf.since.get_or_insert(now);
        leaf.first_sent.get_or_insert(now);
        leaf.started = Some(now);
        leaf.attempts += 1;
        let remaining = leaf.options.timeout.and_then(|whole| {
            let end = since.checked_add(whole).ok()?;
            // A step that recovery finds past its timeout still gets one attempt.
            Duration::try_from(end.duration_since(now)).ok().filter(|left| !left.is_zero())
        });
        let timeout =
            remaining.map_or(leaf.options.attempt_timeout, |left| left.min(leaf.options.attempt_timeout));
        leaf.phase = Phase::Starting(Attempt::new(leaf.idempotency_key.clone(), leaf.attempts, timeout));
        if let Some(waker) = leaf.waker.take() {
            waker.wake();
        }
    }
}

fn drain(state: &mut BoardState) -> Next {
    if state.has_attempts() {
        return match state.unwritten.is_empty() {
            true => Next::Idle { until: None },
            false => Next::Write(std::mem::take(&mut state.unwritten)),
        };
    }
    Next::Release { entries: std::mem::take(&mut state.unwritten) }
}

impl BoardState {
    fn has_attempts(&self) -> bool {
        self.leaves.values().any(Leaf::is_under_way)
    }
}

impl Leaf {
    fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Starting(_) | Phase::Running | Phase::Arrived(_))
    }

    fn wants_attempt(&self, now: Timestamp) -> bool {
        match self.phase {
            Phase::Asked => true,
            Phase::Backoff { due } => due <= now,
            Phase::Starting(_) | Phase::Running | Phase::Arrived(_) | Phase::Delivered(_) => false,
        }
    }

    fn due(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Backoff { due } => Some(due),
            Phase::Asked | Phase::Starting(_) | Phase::Running | Phase::Arrived(_) | Phase::Delivered(_) => {
                None
            }
        }
    }

    fn attempts(&self) -> Attempts<'_> {
        let since = self.since.unwrap_or(Timestamp::UNIX_EPOCH);
        Attempts {
            tried: Tried { attempts: self.attempts, since },
            unknown_before: self.unknown_since.is_some(),
            policy: &self.options.policy,
            deadline: self.options.timeout.and_then(|whole| since.checked_add(whole).ok()),
        }
    }

    /// What an entry about this leaf says.
    pub(crate) fn note(&self) -> (EntryKey, EntryMeta) {
        let meta = EntryMeta {
            output_type: Some(self.output_type.to_owned()),
            attempts: self.attempts,
            first_sent: self.first_sent,
            unknown_since: self.unknown_since,
            fingerprint: self.shape.fingerprint.clone(),
            ..EntryMeta::default()
        };
        (self.key.clone(), meta)
    }
}

fn stale(leaf: &Leaf) -> Stop {
    let what = leaf.shape.fingerprint.as_ref().map_or_else(String::new, |call| format!(" ({call})"));
    let sent = leaf.unknown_since.map_or_else(String::new, |at| format!(" at {at}"));
    let message = format!(
        "its call{what} was sent{sent} and its outcome is unknown: that is longer ago than the remote remembers \
         its idempotency key, so sending it again could do it twice; look at the remote, then `retry` the run to send it again or `discard` it"
    );
    Stop { reason: DeadReason::Stale, message, entry: Some(leaf.key.clone()) }
}

/// The message about a recorded entry that the code did not ask for.
fn left_over<'a>(left: &Entry, board: &Board, asking: impl Iterator<Item = &'a Leaf>) -> String {
    let asked: Vec<_> = asking.take(3).map(|leaf| format!("step {}", leaf.key)).collect();
    let now =
        if asked.is_empty() { "ends without it".into() } else { format!("asks for {}", asked.join(", ")) };
    let recorded = match &left.meta.fingerprint {
        Some(call) => format!("step {} ({call})", left.key),
        None if left.kind == EntryKind::Value => format!("value {}", left.key),
        None => format!("step {}", left.key),
    };
    let hint = if left.build == board.build {
        "this build recorded it, so the code is not deterministic: branch only on the event, recorded outcomes, \
         cx.now() and cx.random(), and give steps of a loop a .key(id)"
    } else {
        "the code changed since: keep the old path for runs under way, or name the old step with .was(\"old name\")"
    };
    format!("{recorded} is recorded as entry {}, and the code now {now}: {hint}", left.seq)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the workflow panicked: {}", text.unwrap_or("(no message)"))
}

/// The first line, cut at the bound of a run's row.
fn summary(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut end = line.len().min(bowline_model::run::SUMMARY_BYTES_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].to_owned()
}
