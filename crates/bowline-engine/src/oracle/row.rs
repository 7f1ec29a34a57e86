//! The row of a simulated run, and what operators do to it while nobody drives it.

use bowline_dashboard::commands::{
    Operator, discard, retry,
    settle::{self, Outcome},
};
use bowline_model::{
    BuildId, DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Epoch, EventId, Failure, Run, RunId,
    RunState, Seq,
};
use bowline_store::Operation;
use jiff::Timestamp;

use super::{
    disk::Disk,
    remote::Remote,
    sim::{SEED, Sim},
    world::World,
};
use crate::{cancel::decide_at_rest, undo};

/// The build of all that is simulated.
pub(super) const BUILD: &str = "sim";

/// How often an operator lets a run go on that failed.
const RETRIES_MAX: u32 = 2;

/// What of a run's row matters.
#[derive(Clone)]
pub(super) struct Row {
    created_at: Timestamp,
    /// When the run was first claimed since it last gave its slot back.
    unsure_since: Option<Timestamp>,
    crashes: u32,
    retries: u32,
    /// Whether it ended as one that failed.
    pub(super) failed: bool,
}

impl Row {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { created_at: now, unsure_since: None, crashes: 0, retries: 0, failed: false }
    }

    pub(super) fn claimed(&mut self, now: Timestamp) {
        self.unsure_since.get_or_insert(now);
    }

    /// Its slot is given back, and nothing was under way.
    pub(super) fn rests(&mut self) {
        (self.unsure_since, self.crashes) = (None, 0);
    }

    /// Its process died, if it had one.
    pub(super) fn died(&mut self) {
        self.crashes = u32::from(self.unsure_since.is_some());
    }

    pub(super) fn run(&self, now: Timestamp, journal_len: i64) -> Run {
        Run {
            id: RunId(1),
            event: EventId(1),
            workflow: BUILD.into(),
            key: None,
            priority: 0,
            parent: None,
            replay_of: None,
            build: BuildId::from(BUILD),
            state: RunState::Running,
            due: None,
            owner: None,
            epoch: Epoch(1),
            key_seed: SEED,
            crashes: self.crashes,
            crashes_alone: 0,
            journal_len,
            created_at: self.created_at,
            claimed_at: Some(now),
            unsure_since: self.unsure_since,
            changed_at: now,
            dead_reason: None,
            summary: None,
        }
    }

    /// The end of a run whose code is not asked.
    pub(super) fn dead(&self, reason: DeadReason, failure: Failure, world: &World) -> Entry {
        let state = world.lock();
        let note = Some(reason.as_str().to_owned());
        Entry {
            seq: Seq(state.disk.len + 1),
            kind: EntryKind::DeadLettered,
            key: EntryKey::run(),
            at: state.now,
            build: BuildId::from(BUILD),
            meta: EntryMeta { failure: Some(failure), note, ..EntryMeta::default() },
            payload: None,
        }
    }
}

impl Sim {
    /// A person looks at the dead letter, and says how it goes on; `false`: it stays one.
    pub(super) fn operate(&mut self, reason: DeadReason) -> bool {
        self.row.rests();
        self.row.failed = !matches!(reason, DeadReason::Undo | DeadReason::Stale);
        let moment =
            bowline_dashboard::commands::Moment { now: self.world.now(), build: BuildId::from(BUILD) };
        let len = self.world.lock().disk.len;
        let run =
            Run { state: RunState::DeadLettered, dead_reason: Some(reason), ..self.row.run(moment.now, len) };
        let by = Operator::default();
        let operation = match reason {
            DeadReason::Undo => {
                let mut state = self.world.lock();
                let state = &mut *state;
                match undo_by_hand(&state.disk, &mut state.remote) {
                    Some(key) => {
                        settle::decide(&run, &state.disk.entries, &key, &Outcome::NotDone, &by, &moment)
                    }
                    None => retry::decide(&run, &state.disk.entries, &by, &moment),
                }
            }
            DeadReason::Stale if !self.world.one_in(5) => {
                let may_retry = self.world.one_in(2);
                let mut state = self.world.lock();
                let state = &mut *state;
                match look(&state.disk, &mut state.remote) {
                    (_, Outcome::NotDone) if may_retry => {
                        retry::decide(&run, &state.disk.entries, &by, &moment)
                    }
                    (key, outcome) => settle::decide(&run, &state.disk.entries, &key, &outcome, &by, &moment),
                }
            }
            DeadReason::Stale if self.world.one_in(2) => return false,
            DeadReason::Stale => discard::decide_undo(&run, &by, &moment),
            _ if self.row.retries < RETRIES_MAX && !self.world.one_in(3) => {
                self.row.retries += 1;
                retry::decide(&run, &self.world.lock().disk.entries, &by, &moment)
            }
            _ if self.world.one_in(3) => discard::decide_undo(&run, &by, &moment),
            _ => return false,
        };
        self.write_operation(operation.expect("it can be decided"));
        true
    }

    fn write_operation(&mut self, operation: Operation) {
        {
            let mut state = self.world.lock();
            let state = &mut *state;
            assert_eq!(operation.expect_journal_len, state.disk.len);
            state.disk.commit(operation.entries, &[], &state.remote, &self.program);
        }
        self.take_snapshot();
    }

    /// Somebody cancels the run while it waits on disk. `None`: it is undone already.
    pub(super) fn end_at_rest(&mut self) -> Option<EntryKind> {
        let now = self.world.now();
        let (entries, len) = {
            let state = self.world.lock();
            (state.disk.entries.clone(), state.disk.len)
        };
        let run = self.row.run(now, len);
        let (entry, _) = decide_at_rest(&run, &entries, "by hand", now, &BuildId::from(BUILD))?;
        let kind = entry.kind;
        let mut state = self.world.lock();
        let state = &mut *state;
        state.disk.commit(vec![entry], &[], &state.remote, &self.program);
        Some(kind)
    }
}

/// What the run asks a person to do: looks at the remote, undoes what of a step is there, and names it.
fn undo_by_hand(disk: &Disk, remote: &mut Remote) -> Option<String> {
    let key = undo::unknown(&disk.entries).into_iter().next()?;
    for sent in disk.keys_of(&key) {
        if let Some(made) = remote.made.get(&sent) {
            remote.by_hand.insert(made.value);
        }
    }
    Some(key.to_string())
}

/// What a person finds at the remote of the step that is never sent twice without one.
fn look(disk: &Disk, remote: &mut Remote) -> (String, Outcome) {
    let dead = disk.entries.last().expect("a dead letter says why");
    let key = dead.meta.caused_by.as_ref().expect("it names the step");
    let sent = disk.keys_of(key).last().expect("the one that counts");
    let outcome = match remote.made.get(&sent) {
        Some(made) => Outcome::Done(made.value.into()),
        None => {
            remote.rule_out(&sent);
            Outcome::NotDone
        }
    };
    (key.to_string(), outcome)
}
