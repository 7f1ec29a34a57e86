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
    board::{
        Board, BoardState, ENTRIES_MAX, Leaf, LeafId, Outcome, PAYLOAD_BYTES_MAX, Phase, Stop,
        too_many_entries,
    },
    journal::earliest,
    settle::{Attempts, Settled, settle},
    waker::{OwnWaker, RunWaker},
};

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
    /// When effects in flight at a crash left at the earliest, until the code sees something new.
    in_flight_since: Option<Timestamp>,
    /// Whether steps have noted that they may have been in flight.
    in_flight_noted: bool,
    /// Since when recovery has found nothing to deliver although required entries are left.
    unfit_since: Option<Timestamp>,
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
            self.set_aside_unpolled();
            if let Some(stop) = self.stopped() {
                return self.finish_stopped(stop);
            }
            if self.deliver_recorded() {
                continue;
            }
            if self.recovering {
                match self.end_recovery(now) {
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
            return Some(self.give_back(&mut state));
        }
        self.note_in_flight(&mut state);
        let ready = state.leaves.values().any(|leaf| leaf.wants_attempt(now));
        if !state.unwritten.is_empty() && (ready || state.has_attempts()) {
            // The barrier: what the code has seen is on disk before it acts on it.
            return Some(Next::Write(std::mem::take(&mut state.unwritten)));
        }
        if ready {
            match refusal(&state, now) {
                Some(stop) => state.stop = Some(stop),
                None => start_attempts(&mut state, now),
            }
            self.must_poll = state.stop.is_none();
            return None;
        }
        let due = state.leaves.values().filter_map(Leaf::due).min();
        if state.has_attempts() {
            return Some(Next::Idle { until: due });
        }
        let stranger = self.may_have_stranger(&state);
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
        let mut state = board.lock();
        self.hand_on_in_flight(&mut state);
        std::mem::take(&mut state.unwritten)
    }

    /// Whether an attempt is under way.
    pub(crate) fn has_attempts(&self) -> bool {
        self.board.lock().has_attempts()
    }

    /// Whether the code waits for something that the engine does not know.
    pub(crate) fn waits_for_stranger(&self) -> bool {
        let state = self.board.lock();
        !state.has_attempts() && self.may_have_stranger(&state)
    }

    fn poll_code(&mut self) -> Polled {
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

    fn stopped(&self) -> Option<Stop> {
        self.board.lock().stop.clone()
    }

    /// Hands out the lowest recorded entry that a leaf asks for.
    fn deliver_recorded(&mut self) -> bool {
        if !self.recovering {
            return false;
        }
        let mut state = self.board.lock();
        let Some((id, entry)) = state.take_asked() else { return false };
        state.last_seen_at = Some(entry.at);
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
    fn end_recovery(&mut self, now: Timestamp) -> Recovery {
        let state = self.board.lock();
        if let Some(left) = state.journal.first_required() {
            let since = *self.unfit_since.get_or_insert(now);
            let patient = since.checked_add(STRANGER_PATIENCE).is_ok_and(|end| now < end);
            if patient && self.may_have_stranger(&state) {
                return Recovery::WaitsForStranger;
            }
            return Recovery::Misfit(left_over(left, &self.board, state.leaves.values()));
        }
        self.unfit_since = None;
        // Optional entries stay reachable, for a branch that asks for them later.
        self.recovering = state.journal.has_recorded();
        Recovery::Over
    }

    /// Shutting down: what is under way may end, then the run goes back.
    fn give_back(&self, state: &mut BoardState) -> Next {
        if state.has_attempts() {
            return match state.unwritten.is_empty() {
                true => Next::Idle { until: None },
                false => Next::Write(std::mem::take(&mut state.unwritten)),
            };
        }
        self.hand_on_in_flight(state);
        Next::Release { entries: std::mem::take(&mut state.unwritten) }
    }

    /// The run is given back before it is known which steps were in flight at the last crash: the next claim must know.
    fn hand_on_in_flight(&self, state: &mut BoardState) {
        // Where steps have notes of their own, those are what counts.
        if let Some(since) = self.in_flight_since.filter(|_| !self.in_flight_noted) {
            let meta = EntryMeta { unknown_since: Some(since), ..EntryMeta::default() };
            self.board.append(state, EntryKind::InFlight, EntryKey::run(), meta, None);
        }
    }

    /// What was in flight at a crash was asked for by leaves that see nothing but what is recorded: those that are there
    /// before the first new outcome. Each is noted, so that no later crash or retry forgets since when it is unknown.
    fn note_in_flight(&mut self, state: &mut BoardState) {
        let Some(since) = self.in_flight_since else { return };
        let mut notes = Vec::new();
        for leaf in state.leaves.values_mut().filter(|leaf| leaf.started.is_none() && !leaf.in_flight_noted) {
            leaf.in_flight_noted = true;
            let sent = leaf.asked_after.map_or(since, |at| at.max(since));
            leaf.unknown_since = match std::mem::take(&mut leaf.consented) {
                // The operator's consent was to what came before.
                true => Some(sent),
                false => leaf.unknown_since.or(Some(sent)),
            };
            notes.push(leaf.note());
        }
        self.in_flight_noted |= !notes.is_empty();
        for (key, meta) in notes {
            self.board.append(state, EntryKind::InFlight, key, meta, None);
        }
    }

    /// A leaf that was told to start and that the code did not poll starts nothing later: by then the code may have seen
    /// what is not on disk.
    fn set_aside_unpolled(&self) {
        let mut state = self.board.lock();
        for id in std::mem::take(&mut state.starting) {
            let Some(leaf) = state.leaves.get_mut(&id) else { continue };
            if let Phase::Starting(_) = leaf.phase {
                leaf.phase = Phase::Asked;
                leaf.attempts -= 1;
                leaf.set_aside = true;
            }
        }
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
                self.in_flight_since = None;
                board.append(&mut state, EntryKind::StepDone, key, meta, Some(value.clone()));
                hand_out(&mut state, id, Outcome::Done(value));
                self.must_poll = true;
            }
            Settled::Failed(kind, failure) => {
                self.in_flight_since = None;
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

    /// Whether somebody other than a leaf may wake this run.
    ///
    /// Attempts hold wakers too: ask only when none is under way. A combinator such as `FuturesUnordered` gives what is
    /// inside it wakers of its own: behind those nobody can be told apart, so there may be a stranger.
    fn may_have_stranger(&self, state: &BoardState) -> bool {
        let mut leaves = state.leaves.values().filter_map(|leaf| leaf.waker.as_ref());
        let own = leaves.clone().count();
        own == 0
            || self.waker.clones_elsewhere() > own
            || leaves.any(|waker| !waker.will_wake(self.waker.waker()))
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
            Ok(output) if output.as_bytes().len() > PAYLOAD_BYTES_MAX => {
                drop(state);
                let message = format!(
                    "the workflow's output has {} bytes (limit {PAYLOAD_BYTES_MAX}); return what is needed, and keep the \
                     rest elsewhere",
                    output.as_bytes().len()
                );
                self.finish_dead(DeadReason::Limit, message)
            }
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

/// Why nothing may be sent now: an effect may no longer be repeated, or could no longer be recorded.
fn refusal(state: &BoardState, now: Timestamp) -> Option<Stop> {
    let mut wanting = state.leaves.values().filter(|leaf| leaf.wants_attempt(now));
    if state.journal.len() + state.leaves.len() as i64 >= ENTRIES_MAX {
        return Some(too_many_entries());
    }
    wanting.find(|leaf| leaf.is_stale(now)).map(stale)
}

/// Lets every leaf that wants an attempt start one.
fn start_attempts(state: &mut BoardState, now: Timestamp) {
    for (id, leaf) in state.leaves.iter_mut().filter(|(_, leaf)| leaf.wants_attempt(now)) {
        if std::mem::take(&mut leaf.consented) {
            // Sent again by an operator's will: from here on it is unknown since then.
            leaf.unknown_since = None;
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
        state.starting.push(*id);
        if let Some(waker) = leaf.waker.take() {
            waker.wake();
        }
    }
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
            Phase::Asked => !self.set_aside,
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
