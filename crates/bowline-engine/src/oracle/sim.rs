//! Lives of one simulated run: each drives the machine from what is on disk, until the run ends or the process dies.

use std::sync::Arc;

use bowline_model::{BuildId, DeadReason, EntryKind, Event, EventId, Failure, KeySeed, MessageId, Payload};
use bowline_store::Answered;
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    commits::Snapshot,
    disk::{Disk, Unseen},
    office::Filed,
    program::Program,
    remote::{Remote, SimRecall},
    row::{BUILD, Row},
    world::{SimClock, World},
};
use crate::{
    Context,
    board::{Board, Unwritten},
    journal::Journal,
    machine::{Code, Decided, End, Machine, Next},
    undo,
};

/// More turns than any program needs: one that does not end is stuck.
const TURNS_MAX: u32 = 20_000;

/// More lives, operators' retries included, than any program needs.
const LIVES_MAX: u32 = 2_000;

/// What the idempotency keys of the run derive from.
pub(super) const SEED: KeySeed = KeySeed(7);

/// How often something may come before a run that rests is woken by it.
const LOOKS_MAX: u32 = 1000;

/// Why a run may become a dead letter, whose code is as it was.
const BY_ITSELF: [DeadReason; 4] =
    [DeadReason::Failed, DeadReason::Items, DeadReason::Undo, DeadReason::Stale];

pub(super) struct Sim {
    pub(super) program: Arc<Program>,
    pub(super) world: Arc<World>,
    pub(super) row: Row,
    /// What of a run that is undone comes next in this process.
    part: Part,
    /// In which turn of which life somebody cancels the run.
    cancelled_at: Option<u32>,
    turns: u32,
    /// Some of the moments after a commit, each as likely.
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) commits: usize,
}

/// Which machine drives a run that is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    First,
    Second,
}

/// How a life ended.
enum Life {
    Ended(End),
    Cancelled,
    /// It goes on as a run that is undone, or with the second part of that.
    Undoing(Part),
    /// Its code is in memory no more: nothing was under way.
    Evicted,
    Died,
}

impl Sim {
    pub(super) fn new(program: &Arc<Program>, seed: u64) -> Self {
        let now = Timestamp::from_second(1_790_000_000).expect("a time");
        let begun = Snapshot { row: Row::new(now), now, disk: Disk::default(), remote: Remote::default() };
        Self::at(program, seed, begun)
    }

    /// From that moment on.
    pub(super) fn at(program: &Arc<Program>, seed: u64, moment: Snapshot) -> Self {
        let Snapshot { row, now, disk, remote } = moment;
        let world = World::new(program, seed.wrapping_mul(0x2545_F491_4F6C_DD1D), now, disk, remote);
        let cancelled_at = world.one_in(6).then(|| world.pick(150) as u32);
        Self {
            program: program.clone(),
            world,
            row,
            part: Part::First,
            cancelled_at,
            turns: 0,
            snapshots: vec![],
            commits: 0,
        }
    }

    /// The process died in that moment.
    pub(super) fn die(&mut self) {
        self.row.died();
        let disk = &mut self.world.lock().disk;
        disk.crashed |= !disk.is_undoing();
    }

    /// Lives from what is there on, dying now and then, until the run ends for good.
    pub(super) fn live_until_end(&mut self) {
        for _ in 0..LIVES_MAX {
            // Where a process died when the end was on disk, nobody lives on.
            let life = self.ended().unwrap_or_else(|| self.live());
            self.part = Part::First;
            match life {
                Life::Died => self.die(),
                Life::Evicted => {}
                Life::Undoing(part) => self.part = part,
                Life::Ended(End::Dead { reason, summary }) => {
                    assert!(BY_ITSELF.contains(&reason), "the run was parked: {reason} {summary}");
                    if !self.operate(reason) {
                        return self.check_end(false);
                    }
                }
                Life::Ended(End::Completed) => {
                    self.row.failed = false;
                    return self.check_end(false);
                }
                Life::Ended(End::Continued) => unreachable!("no program goes on as another"),
                Life::Ended(End::Undone { .. }) | Life::Cancelled => return self.check_end(true),
            }
        }
        panic!("it lives for ever: {:?}", self.program);
    }

    /// How the run ended, as the disk has it; `None` if it is open.
    fn ended(&self) -> Option<Life> {
        let state = self.world.lock();
        let last = state.disk.entries.last()?;
        Some(match last.kind {
            EntryKind::Completed => Life::Ended(End::Completed),
            EntryKind::Cancelled => Life::Cancelled,
            EntryKind::DeadLettered => {
                let note = last.meta.note.as_deref();
                let reason = BY_ITSELF.into_iter().find(|reason| note == Some(reason.as_str()));
                let reason = reason.unwrap_or_else(|| panic!("the run was parked: {:?}", last.meta));
                let summary = last.meta.failure.as_ref().map(ToString::to_string).unwrap_or_default();
                Life::Ended(End::Dead { reason, summary })
            }
            _ => return None,
        })
    }

    /// What holds of a run that ended for good.
    fn check_end(&self, is_cancelled: bool) {
        let state = self.world.lock();
        state.disk.check_told(&state.remote);
        state.disk.check_unknown(&state.remote);
        state.remote.check_undone();
        if is_cancelled || self.program.undo_on_failure && self.row.failed {
            let standing: Vec<_> = state.remote.standing().collect();
            assert!(standing.is_empty(), "left of a run that was undone: {standing:?}");
        } else {
            assert!(state.remote.undone.is_empty(), "undone of a run that was not");
        }
    }

    /// A life from a whole journal, its end left out, in which nothing may be sent: it ends the same.
    pub(super) fn replay_without_effects(&mut self) {
        let last = {
            let mut state = self.world.lock();
            let last = state.disk.entries.pop().expect("the end is an entry");
            state.disk.len -= 1;
            // Where a person is waited for, the code has not come to its end.
            let is_stale = last.meta.note.as_deref() == Some(DeadReason::Stale.as_str());
            if last.kind == EntryKind::Cancelled || is_stale || state.disk.is_undoing() {
                return;
            }
            state.silent = true;
            last
        };
        self.row.rests();
        self.world.forget_life();
        let Ok(mut machine) = self.begin() else { panic!("a run that is not undone begins") };
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
        let mut machine = match self.begin() {
            Ok(machine) => machine,
            Err(failure) => return self.bury(failure),
        };
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
            self.turns += 1;
            if self.cancelled_at.is_some_and(|at| at <= self.turns) {
                self.cancelled_at = None;
                if let Some(life) = self.cancel(&mut machine) {
                    return life;
                }
            }
            match machine.next(self.world.now()) {
                Next::Idle { until } => {
                    let settles = machine.is_undoing() && self.part == Part::First;
                    assert!(
                        !settles || machine.attempts_under_way() > 0,
                        "a run that is undone waits for what nobody gives it"
                    );
                    self.let_time_pass(until, &machine);
                }
                Next::Write(unwritten) => {
                    let how = if machine.is_undoing() { Unseen::Undoing } else { Unseen::Nothing };
                    if self.write(unwritten, how).is_none() {
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
                    let how = if machine.is_undoing() { Unseen::Undoing } else { Unseen::Nothing };
                    if self.write_and_rest(unwritten, how).is_none() {
                        return Life::Died;
                    }
                    if let Some(life) = self.rest(due, seen, &machine) {
                        return life;
                    }
                }
                Next::Release { .. } => unreachable!("nobody drains it"),
                Next::Undo { unwritten } => return self.turn_back(unwritten),
                Next::Settled { unwritten } => {
                    if !unwritten.is_empty() && self.write(unwritten, Unseen::Undoing).is_none() {
                        return Life::Died;
                    }
                    return Life::Undoing(Part::Second);
                }
                Next::Finish { unwritten, end } => {
                    let how = match machine.is_undoing() {
                        true => Unseen::Undoing,
                        false => Unseen::Nothing,
                    };
                    return match self.write(unwritten, how) {
                        Some(_) => Life::Ended(end),
                        None => Life::Died,
                    };
                }
            }
        }
        panic!("the run does not end: {:?}", self.program);
    }

    /// From that write on the run is undone.
    fn turn_back(&mut self, unwritten: Unwritten) -> Life {
        match self.write(unwritten, Unseen::Anything) {
            Some(_) => Life::Undoing(Part::First),
            None => Life::Died,
        }
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
        let mail = self.world.lock().disk.post.unread();
        machine.take_mail(mail);
    }

    /// The run waits on disk, until its time or a message. Says how its life ended if it did.
    fn rest(&mut self, due: Option<Timestamp>, seen: Option<MessageId>, machine: &Machine) -> Option<Life> {
        for looks in 0.. {
            assert!(looks < LOOKS_MAX, "messages come, and the run sleeps through them: {:?}", self.program);
            if self.world.one_in(150) && self.cancelled_at.is_some() {
                self.cancelled_at = None;
                return Some(self.cancel_at_rest());
            }
            if self.world.lock().disk.post.has_after(seen) {
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
            return Some(Life::Evicted);
        }
        self.row.claimed(self.world.now());
        self.read_mail(machine);
        None
    }

    /// Somebody cancels the run: what is under way is named; if anything can be undone, it is, and else nothing is sent any
    /// more.
    fn cancel(&mut self, machine: &mut Machine) -> Option<Life> {
        if machine.is_undoing() {
            return None;
        }
        let open = machine.attempts_under_way();
        let is_undone = machine.may_need_undo();
        let unwritten = match is_undone {
            true => machine.begin_undo("by hand", None),
            false => machine.cancel("by hand"),
        };
        let noted = unwritten.entries.iter().filter(|entry| {
            matches!(entry.kind, EntryKind::AttemptFailed | EntryKind::Dropped)
                && entry.meta.unknown_since.is_some()
        });
        assert!(noted.count() >= open, "an attempt was under way, and nothing tells of it");
        let last = if is_undone { EntryKind::Undoing } else { EntryKind::Cancelled };
        assert_eq!(unwritten.entries.last().map(|entry| entry.kind), Some(last));
        assert!(unwritten.also.starts.is_empty(), "a cancelled run starts a child");
        if is_undone {
            return Some(self.turn_back(unwritten));
        }
        Some(match self.write(unwritten, Unseen::Anything) {
            Some(_) => Life::Cancelled,
            None => Life::Died,
        })
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

    /// The machine of a process that claims the run, or goes on with it.
    fn begin(&mut self) -> Result<Machine, Failure> {
        let now = self.world.now();
        self.row.claimed(now);
        let (entries, len, mail) = {
            let state = self.world.lock();
            (state.disk.entries.clone(), state.disk.len, state.disk.post.unread())
        };
        let (run, event) = (self.row.run(now, len), Arc::new(event(now)));
        let clock = Arc::new(SimClock(self.world.clone()));
        let board = |entries| {
            let mut board =
                Board::new(run.clone(), event.clone(), entries, BuildId::from(BUILD), clock.clone());
            board.undo_on_failure = self.program.undo_on_failure;
            board
        };
        let Some(why) = undo::reason(&entries) else {
            let board = Arc::new(board(entries));
            board.take_mail(mail);
            return Ok(Machine::new(board.clone(), self.code(&board)));
        };
        match self.part {
            Part::First => {
                let board = undo::with_journal(board(vec![]), Journal::read(entries));
                Ok(undo::settling(board.clone(), self.code(&board), why))
            }
            Part::Second => {
                let recall = Arc::new(SimRecall(self.world.clone()));
                Ok(undo::plan(entries)?.machine(board(vec![]), Some(recall)))
            }
        }
    }

    fn code(&self, board: &Arc<Board>) -> Code {
        let (program, world) = (self.program.clone(), self.world.clone());
        let output = program.run(Context::new(board.clone()), world);
        Box::pin(async move { Ok(Payload::encode(&output.await?)?) })
    }

    /// The second part of an undo cannot begin: a person must look.
    fn bury(&mut self, failure: Failure) -> Life {
        let entry = self.row.dead(DeadReason::Undo, failure.clone(), &self.world);
        let unwritten = Unwritten { entries: vec![entry], ..Unwritten::default() };
        match self.write(unwritten, Unseen::Undoing) {
            Some(_) => Life::Ended(End::Dead { reason: DeadReason::Undo, summary: failure.message }),
            None => Life::Died,
        }
    }

    /// Somebody cancels the run while it waits on disk.
    fn cancel_at_rest(&mut self) -> Life {
        match self.end_at_rest() {
            Some(EntryKind::Cancelled) => Life::Cancelled,
            Some(_) => Life::Undoing(Part::First),
            // It is undone already.
            None => Life::Evicted,
        }
    }
}

fn event(now: Timestamp) -> Event {
    Event {
        id: EventId(1),
        source: "/sim".into(),
        provider: "sim".into(),
        kind: "sim".into(),
        dedupe_key: "1".into(),
        received_at: now,
        headers: vec![],
        body: Bytes::from_static(b"{}"),
        input_pointer: String::new(),
    }
}
