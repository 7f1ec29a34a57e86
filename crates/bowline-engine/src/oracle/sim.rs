//! Lives of one simulated run: each drives the machine from what is on disk, until the run ends or the process dies.

use std::{collections::HashMap, sync::Arc};

use bowline_model::{
    BuildId, DeadReason, Entry, EntryKey, Epoch, Event, EventId, KeySeed, Payload, Run, RunId, RunState,
};
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    program::Program,
    world::{Observed, SimClock, World},
};
use crate::{
    Context,
    board::{Board, Unwritten},
    machine::{End, Machine, Next},
};

/// More turns than any program needs: one that does not end is stuck.
const TURNS_MAX: u32 = 20_000;

pub(super) struct Sim {
    program: Arc<Program>,
    world: Arc<World>,
    /// Under which idempotency key each step was sent.
    keys: HashMap<EntryKey, String>,
    /// When the run was first claimed since it last gave its slot back.
    unsure_since: Option<Timestamp>,
}

/// How a life ended.
enum Life {
    Ended(End),
    Died,
}

impl Sim {
    pub(super) fn new(program: &Arc<Program>, seed: u64) -> Self {
        let world = World::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D));
        Self { program: program.clone(), world, keys: HashMap::new(), unsure_since: None }
    }

    /// Lives from that journal on, dying now and then, until the run ends. Returns the whole journal.
    pub(super) fn live_until_end(&mut self, journal: Vec<Entry>) -> Vec<Entry> {
        self.world.lock().durable = journal;
        loop {
            if let Life::Ended(end) = self.live() {
                let by_itself = matches!(end, End::Completed | End::Dead { reason: DeadReason::Failed, .. });
                assert!(by_itself, "the run was parked: {end:?}");
                return std::mem::take(&mut self.world.lock().durable);
            }
        }
    }

    /// A life from a whole journal, its end included, in which nothing may be sent: it ends the same.
    pub(super) fn replay_without_effects(&mut self, whole: &[Entry]) {
        let (last, before) = whole.split_last().expect("the end is an entry");
        {
            let mut state = self.world.lock();
            (state.durable, state.silent) = (before.to_vec(), true);
        }
        let mut machine = self.begin();
        let Next::Finish { unwritten: Unwritten { entries, .. }, .. } = machine.next(self.world.now()) else {
            panic!("the journal is complete, and the run does not end");
        };
        let output = entries.last().expect("the end is an entry");
        assert_eq!((output.kind, &output.payload), (last.kind, &last.payload), "another output");
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
            let next = machine.next(self.world.now());
            match next {
                Next::Idle { until } => self.let_time_pass(until),
                Next::Write(unwritten) => {
                    if self.write(unwritten.entries).is_none() {
                        return Life::Died;
                    }
                }
                Next::Decide(_) => unreachable!("no program asks the store"),
                Next::Rest { unwritten, due } => {
                    let due = due.expect("no program waits for a message");
                    if self.write(unwritten.entries).is_none() {
                        return Life::Died;
                    }
                    self.unsure_since = None;
                    self.world.advance_to(due);
                    if self.world.one_in(3) {
                        // Evicted, not dead: nothing was under way.
                        return Life::Died;
                    }
                    self.unsure_since = Some(self.world.now());
                }
                Next::Release { .. } => unreachable!("nobody drains it"),
                Next::Finish { unwritten, end } => {
                    return match self.write(unwritten.entries) {
                        Some(()) => Life::Ended(end),
                        None => Life::Died,
                    };
                }
            }
        }
        panic!("the run does not end: {:?}", self.program);
    }

    /// Writes, or dies before or after the commit. What the code observed is a prefix of what is then on disk.
    fn write(&mut self, entries: Vec<Entry>) -> Option<()> {
        if self.world.one_in(40) {
            return None;
        }
        let mut state = self.world.lock();
        let next = state.durable.last().map_or(1, |last| last.seq.0 + 1);
        assert!(
            entries.iter().zip(next..).all(|(entry, seq)| entry.seq.0 == seq),
            "a gap in the journal: {entries:?}"
        );
        for entry in &entries {
            let Some(key) = state.key_behind(entry) else { continue };
            let known = self.keys.entry(entry.key.clone()).or_insert_with(|| key.clone());
            assert_eq!(known, key, "step {} was sent under two keys", entry.key);
        }
        state.durable.extend(entries);
        let delivered: Vec<Observed> =
            state.durable.iter().filter(|entry| entry.kind.is_delivered()).map(Observed::of).collect();
        assert_eq!(state.observed, delivered, "the code observed something else than the journal holds");
        drop(state);
        (!self.world.one_in(40)).then_some(())
    }

    fn let_time_pass(&self, until: Option<Timestamp>) {
        if self.world.answer_one() {
            return;
        }
        let next = [until, self.world.next_wake()].into_iter().flatten().min();
        match next {
            Some(next) => self.world.advance_to(next),
            None => panic!("nothing can happen any more: {:?}", self.program),
        }
    }

    fn begin(&mut self) -> Machine {
        let now = self.world.now();
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
        let journal = self.world.lock().durable.clone();
        let run = run(now, unsure_since, &journal);
        let clock = Arc::new(SimClock(self.world.clone()));
        let board = Arc::new(Board::new(run, Arc::new(event), journal, BuildId::from("sim"), clock));
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
        key_seed: KeySeed(7),
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
