//! Lives of one simulated run: each drives the machine from what is on disk, until the run ends or the process dies.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bowline_model::{
    BuildId, DeadReason, Entry, EntryKey, EntryKind, Epoch, Event, EventId, KeySeed, MessageId, Payload, Run,
    RunId, RunState,
};
use bowline_store::Answered;
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    office::{Filed, Office},
    program::Program,
    world::{Observed, SimClock, World},
};
use crate::{
    Context,
    board::{Board, Unwritten},
    key::idempotency_key,
    machine::{Decided, End, Machine, Next},
};

/// More turns than any program needs: one that does not end is stuck.
const TURNS_MAX: u32 = 20_000;

/// What the idempotency keys of the run derive from.
pub(super) const SEED: KeySeed = KeySeed(7);

/// How often something may come before a run that rests is woken by it.
const LOOKS_MAX: u32 = 1000;

pub(super) struct Sim {
    program: Arc<Program>,
    world: Arc<World>,
    /// Under which idempotency key each step was sent.
    keys: HashMap<EntryKey, String>,
    /// When the run was first claimed since it last gave its slot back.
    unsure_since: Option<Timestamp>,
}

/// What of a write's outcomes the code has not observed when it is written.
#[derive(Debug, Clone, Copy)]
enum Unseen {
    Nothing,
    /// Its last: the store decides it.
    Decision,
    /// The run is cancelled, be it before its code was recovered.
    Anything,
}

/// How a life ended.
enum Life {
    Ended(End),
    Cancelled,
    Died,
}

impl Sim {
    pub(super) fn new(program: &Arc<Program>, seed: u64) -> Self {
        let world = World::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D));
        Self { program: program.clone(), world, keys: HashMap::new(), unsure_since: None }
    }

    /// Lives from that journal on, dying now and then, until the run ends. Returns the whole journal.
    pub(super) fn live_until_end(&mut self, journal: Vec<Entry>) -> Vec<Entry> {
        {
            let mut state = self.world.lock();
            state.post = Office::of(&journal, SEED);
            state.durable = journal;
        }
        loop {
            match self.live() {
                Life::Died => continue,
                Life::Ended(end) => {
                    let by_itself =
                        matches!(end, End::Completed | End::Dead { reason: DeadReason::Failed, .. });
                    assert!(by_itself, "the run was parked: {end:?}");
                }
                Life::Cancelled => {}
            }
            self.check_told();
            return std::mem::take(&mut self.world.lock().durable);
        }
    }

    /// Whatever was sent, the journal tells of it: by an outcome, or by a note that it may have happened.
    fn check_told(&self) {
        let state = self.world.lock();
        let told: HashSet<String> =
            state.durable.iter().map(|entry| idempotency_key(SEED, &entry.key, &entry.key.name, 0)).collect();
        // A run that is cancelled before it is known what was in flight at a crash says so of the whole.
        let of_whole = |entry: &Entry| entry.key == EntryKey::run() && entry.meta.unknown_since.is_some();
        if state.durable.iter().any(of_whole) {
            return;
        }
        for (key, id) in state.sent.iter().zip(1..) {
            if state.unsent.contains(&id) {
                continue;
            }
            assert!(told.contains(key), "{key} was sent, and the journal does not tell: {:?}", self.program);
        }
    }

    /// A life from a whole journal, its end included, in which nothing may be sent: it ends the same.
    pub(super) fn replay_without_effects(&mut self, whole: &[Entry]) {
        let (last, before) = whole.split_last().expect("the end is an entry");
        if last.kind == EntryKind::Cancelled {
            return;
        }
        {
            let mut state = self.world.lock();
            (state.durable, state.silent) = (before.to_vec(), true);
        }
        let mut machine = self.begin();
        let Next::Finish { unwritten: Unwritten { entries, .. }, .. } = machine.next(self.world.now()) else {
            panic!("the journal is complete, and the run does not end");
        };
        let output = entries.last().expect("the end is an entry");
        assert_eq!(
            (output.kind, &output.payload),
            (last.kind, &last.payload),
            "another output: {:?} {:?}",
            output.meta,
            self.program
        );
        let same_failure = output.meta.failure.as_ref().map(|f| &f.message)
            == last.meta.failure.as_ref().map(|f| &f.message);
        assert!(same_failure, "another error: {:?} {:?}", output.meta, last.meta);
    }

    fn live(&mut self) -> Life {
        self.world.forget_life();
        let mut machine = self.begin();
        for _ in 0..TURNS_MAX {
            if self.world.one_in(60) {
                return Life::Died;
            }
            if self.world.one_in(12) {
                self.world.something_comes();
            }
            if self.world.one_in(4) {
                self.read_mail(&machine);
            }
            if self.world.one_in(1500) {
                return self.cancel(machine);
            }
            let next = machine.next(self.world.now());
            match next {
                Next::Idle { until } => self.let_time_pass(until, &machine),
                Next::Write(unwritten) => {
                    if self.write(unwritten, Unseen::Nothing).is_none() {
                        return Life::Died;
                    }
                }
                Next::Decide(unwritten) => match self.decide(unwritten) {
                    None => return Life::Died,
                    Some(Filed::Done(answer)) => {
                        machine.decided(Decided::Made(answer.map(|answer| match answer {
                            Answered::Value(value) => value,
                            Answered::Failed(_) => unreachable!("a failure is filed as one"),
                        })))
                    }
                    Some(Filed::Failed(failure)) => machine.decided(Decided::Failed(failure)),
                    Some(Filed::Overtaken) => {
                        self.read_mail(&machine);
                        machine.decided(Decided::Overtaken);
                    }
                },
                Next::Rest { unwritten, due } => {
                    let seen = machine.mail_seen();
                    if self.write(unwritten, Unseen::Nothing).is_none() {
                        return Life::Died;
                    }
                    if self.rest(due, seen, &machine) {
                        return Life::Died;
                    }
                }
                Next::Release { .. } => unreachable!("nobody drains it"),
                Next::Undo { .. } | Next::Settled { .. } => unreachable!("no program undoes"),
                Next::Finish { unwritten, end } => {
                    return match self.write(unwritten, Unseen::Nothing) {
                        Some(_) => Life::Ended(end),
                        None => Life::Died,
                    };
                }
            }
        }
        panic!("the run does not end: {:?}", self.program);
    }

    /// The moments around a decision are those in which most can go wrong: a message that comes first, a process that dies
    /// before the code sees what was decided.
    fn decide(&mut self, unwritten: Unwritten) -> Option<Filed> {
        if self.world.one_in(3) {
            self.world.something_comes();
        }
        let filed = self.write(unwritten, Unseen::Decision)?;
        (!self.world.one_in(4)).then_some(filed)
    }

    fn read_mail(&self, machine: &Machine) {
        let mail = self.world.lock().post.unread();
        machine.take_mail(mail);
    }

    /// The run waits on disk, until its time or a message. Says whether its code was evicted meanwhile.
    fn rest(&mut self, due: Option<Timestamp>, seen: Option<MessageId>, machine: &Machine) -> bool {
        self.unsure_since = None;
        for looks in 0.. {
            assert!(looks < LOOKS_MAX, "messages come, and the run sleeps through them: {:?}", self.program);
            if self.world.lock().post.has_after(seen) {
                break;
            }
            match due {
                Some(due) if !self.world.one_in(3) => {
                    self.world.advance_to(due);
                    break;
                }
                Some(_) | None => assert!(
                    due.is_some() || !self.world.waits_for_mail().is_empty(),
                    "it rests, and nothing can wake it: {:?}",
                    self.program
                ),
            }
            self.world.something_comes();
        }
        if self.world.one_in(3) {
            // Evicted, not dead: nothing was under way.
            return true;
        }
        self.unsure_since = Some(self.world.now());
        self.read_mail(machine);
        false
    }

    /// Somebody cancels the run: what is under way is named, and nothing is sent any more.
    fn cancel(&mut self, mut machine: Machine) -> Life {
        let open = machine.attempts_under_way();
        let unwritten = machine.cancel("by hand");
        let noted = unwritten.entries.iter().filter(|entry| {
            matches!(entry.kind, EntryKind::AttemptFailed | EntryKind::Dropped)
                && entry.meta.unknown_since.is_some()
        });
        assert!(noted.count() >= open, "an attempt was under way, and nothing tells of it");
        assert_eq!(unwritten.entries.last().map(|entry| entry.kind), Some(EntryKind::Cancelled));
        assert!(unwritten.also.starts.is_empty(), "a cancelled run starts a child");
        self.world.lock().silent = true;
        match self.write(unwritten, Unseen::Anything) {
            Some(_) => Life::Cancelled,
            None => {
                self.world.lock().silent = false;
                Life::Died
            }
        }
    }

    /// Writes, or dies before or after the commit. What the code observed is what is then on disk, but for the outcome of
    /// what was to be decided.
    fn write(&mut self, mut unwritten: Unwritten, undelivered: Unseen) -> Option<Filed> {
        if self.world.one_in(40) {
            return None;
        }
        let fails = self.world.one_in(6);
        let mut state = self.world.lock();
        let filed = state.post.file(&mut unwritten, fails);
        let Filed::Done(_) = filed else { return Some(filed) };
        let next = state.durable.last().map_or(1, |last| last.seq.0 + 1);
        assert!(
            unwritten.entries.iter().zip(next..).all(|(entry, seq)| entry.seq.0 == seq),
            "a gap in the journal: {:?}",
            unwritten.entries
        );
        for entry in &unwritten.entries {
            let Some(key) = state.key_behind(entry) else { continue };
            let known = self.keys.entry(entry.key.clone()).or_insert_with(|| key.clone());
            assert_eq!(known, key, "step {} was sent under two keys", entry.key);
        }
        state.durable.extend(unwritten.entries);
        let delivered: Vec<Observed> =
            state.durable.iter().filter(|entry| entry.kind.is_delivered()).map(Observed::of).collect();
        let is_seen = match undelivered {
            Unseen::Nothing => state.observed == delivered,
            Unseen::Decision => delivered.split_last().is_some_and(|(_, before)| state.observed == before),
            Unseen::Anything => delivered.starts_with(&state.observed),
        };
        assert!(
            is_seen,
            "the code observed something else than the journal holds:\n{:?}\n{delivered:?}",
            state.observed
        );
        drop(state);
        (!self.world.one_in(40)).then_some(filed)
    }

    fn let_time_pass(&self, until: Option<Timestamp>, machine: &Machine) {
        if self.world.answer_one() {
            return;
        }
        let next = [until, self.world.next_wake()].into_iter().flatten().min();
        match next {
            Some(next) if !self.world.one_in(5) => self.world.advance_to(next),
            _ => {
                assert!(
                    next.is_some() || !self.world.waits_for_mail().is_empty(),
                    "nothing can happen any more: {:?}",
                    self.program
                );
                self.world.something_comes();
                self.read_mail(machine);
            }
        }
    }

    fn begin(&mut self) -> Machine {
        let now = self.world.now();
        let crashes = u32::from(self.unsure_since.is_some());
        let unsure_since = *self.unsure_since.get_or_insert(now);
        let event = Event {
            id: EventId(1),
            source: "/sim".into(),
            provider: "sim".into(),
            kind: "sim".into(),
            dedupe_key: "1".into(),
            received_at: now,
            headers: vec![],
            body: Bytes::from_static(b"{}"),
            input_pointer: String::new(),
        };
        let (journal, mail) = {
            let state = self.world.lock();
            (state.durable.clone(), state.post.unread())
        };
        let run = Run { crashes, ..run(now, unsure_since, &journal) };
        let clock = Arc::new(SimClock(self.world.clone()));
        let board = Arc::new(Board::new(run, Arc::new(event), journal, BuildId::from("sim"), clock));
        board.take_mail(mail);
        let (program, world) = (self.program.clone(), self.world.clone());
        let output = program.run(Context::new(board.clone()), world);
        let code = Box::pin(async move { Ok(Payload::encode(&output.await?)?) });
        Machine::new(board, code)
    }
}

fn run(now: Timestamp, unsure_since: Timestamp, journal: &[Entry]) -> Run {
    Run {
        id: RunId(1),
        event: EventId(1),
        workflow: "sim".into(),
        key: None,
        priority: 0,
        parent: None,
        replay_of: None,
        build: BuildId::from("sim"),
        state: RunState::Running,
        due: None,
        owner: None,
        epoch: Epoch(1),
        key_seed: SEED,
        crashes: 0,
        crashes_alone: 0,
        journal_len: journal.len() as i64,
        created_at: now,
        claimed_at: Some(now),
        unsure_since: Some(unsure_since),
        changed_at: now,
        dead_reason: None,
        summary: None,
    }
}
