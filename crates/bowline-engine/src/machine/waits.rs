//! Waits: what is begun, which message or time ends one, and what the store must decide.

use bowline_model::{EntryKey, EntryKind, EntryMeta, Failure, MessageId, Payload};
use bowline_store::Message;
use jiff::Timestamp;

use super::{Machine, Next, attempts::hand_out};
use crate::{
    board::{BoardState, Unwritten},
    leaf::{Leaf, LeafId, Outcome, Phase, Work},
    wait::{From, StaysOpen, Wait},
};

/// A write whose outcome decides what the code receives.
pub(super) struct Deciding {
    leaf: LeafId,
    /// What was to be written before the decision: written again if it was refused.
    before: Unwritten,
    /// The attempts that it notes as under way: one entry each.
    noted: Vec<LeafId>,
}

/// What came of a decision.
pub(crate) enum Decided {
    /// It is on disk, with what the store answered.
    Made(Option<Payload>),
    /// Nothing was written: what was asked for failed.
    Failed(Failure),
    /// Nothing was written: a message came first, and was read.
    Overtaken,
}

impl Machine {
    /// Messages of the run came, all that are there by their ids.
    pub(crate) fn take_mail(&self, mail: Vec<Message>) {
        self.board.take_mail(mail);
    }

    /// Why the run is to be cancelled, if its mail says so and it is not undone already.
    pub(crate) fn told_to_cancel(&self) -> Option<String> {
        self.board.lock().told_to_cancel.clone().filter(|_| !self.is_undoing())
    }

    /// The last message that was seen here.
    pub(crate) fn mail_seen(&self) -> Option<MessageId> {
        self.board.lock().mail_seen
    }

    /// Begins the waits that the code asked for, and ends one whose message or time has come; says whether it did.
    pub(super) fn deliver_wait(&mut self, now: Timestamp) -> bool {
        let board = self.board.clone();
        let mut state = board.lock();
        self.begin_waits(&mut state, now);
        while let Some((id, message)) = state.take_message() {
            match misfit(&state.leaves[&id], &message.body) {
                Some(why) => self.return_message(&mut state, id, &message, why),
                None => {
                    self.deliver_message(&mut state, id, message);
                    return true;
                }
            }
        }
        let Some((due, id)) = state.due_timer(now) else { return false };
        // Where several times passed unseen, the earlier counts first; that of a message the store decides.
        if state.due_message_wait(now).is_some_and(|(earlier, _)| earlier < due) {
            return false;
        }
        let (key, meta) = state.leaves[&id].note();
        board.append(&mut state, EntryKind::Timer, key, meta, None);
        hand_out(&mut state, id, Outcome::Done(Payload::from_stored("null")));
        self.delivered();
        true
    }

    fn delivered(&mut self) {
        self.in_flight_since = None;
        self.must_poll = true;
    }

    fn begin_waits(&self, state: &mut BoardState, now: Timestamp) {
        let mut begun = Vec::new();
        for leaf in state.leaves.values_mut() {
            let (Phase::Asked, Work::Wait(wait)) = (&leaf.phase, &mut leaf.work) else { continue };
            let due = wait.until.map(|until| until.time(now));
            let (opens, starts) = wait
                .mail
                .as_mut()
                .map(|mail| (std::mem::take(&mut mail.opens), mail.starts.take()))
                .unwrap_or_default();
            let meta = EntryMeta { next_at: due, note: Some(wait.why.clone()), ..EntryMeta::default() };
            leaf.phase = Phase::Waiting { due };
            begun.push((leaf.key.clone(), meta, opens, starts));
        }
        for (key, meta, opens, starts) in begun {
            let until = meta.next_at;
            self.board.append(state, EntryKind::Awaited, key, meta, None);
            let also = &mut state.unwritten.also;
            also.opens.extend(opens.into_iter().map(|mut opens| {
                opens.until = until;
                opens
            }));
            also.starts.extend(starts);
        }
    }

    fn deliver_message(&mut self, state: &mut BoardState, id: LeafId, message: Message) {
        let leaf = &state.leaves[&id];
        let (key, mut meta) = leaf.note();
        meta.message = Some(message.id);
        let (kind, outcome) = match mail_of(leaf) {
            Some(From::Child) => (EntryKind::Child, child_outcome(&key, &message.body)),
            Some(From::World) | None => (EntryKind::Message, Outcome::Done(message.body)),
        };
        let payload = match &outcome {
            Outcome::Done(value) => Some(value.clone()),
            Outcome::Failed(failure) => {
                meta.failure = Some(failure.clone());
                None
            }
            Outcome::TimedOut => None,
        };
        self.board.append(state, kind, key, meta, payload);
        state.unwritten.also.consumes.push(message.id);
        hand_out(state, id, outcome);
        self.delivered();
    }

    /// A message that nobody can read is noted; the wait goes on, and an address that takes one message takes another.
    fn return_message(&self, state: &mut BoardState, id: LeafId, message: &Message, why: String) {
        let (key, mut meta) = state.leaves[&id].note();
        tracing::warn!(run = %self.board.run.id, wait = %key, "a message was left out: {why}");
        meta.message = Some(message.id);
        meta.note = Some(format!("a message was left out: {why}"));
        self.board.append(state, EntryKind::Misfit, key, meta, None);
        state.unwritten.also.returns.push(message.id);
    }

    /// What the store must decide now, if anything: a wait whose time came before its message, or what the code asks
    /// the store for. What is not yet written goes with it.
    pub(super) fn decide(&mut self, state: &mut BoardState, now: Timestamp) -> Option<Next> {
        let asks = |leaf: &Leaf| matches!((&leaf.phase, &leaf.work), (Phase::Asked, Work::Ask(_)));
        let asked = state.leaves.iter().find(|(_, leaf)| asks(leaf)).map(|(id, _)| *id);
        let id = asked.or_else(|| state.due_message_wait(now).map(|(_, id)| id))?;
        let leaf = &state.leaves[&id];
        if state.journal.looped.is_used() && !state.unwritten.is_empty() {
            // What a loop has compacted cannot be taken back.
            self.must_poll = state.unwritten.urgent;
            return Some(Next::Write(state.hand_over()));
        }
        let before = state.unwritten.clone();
        // Committed before the code sees the outcome: what is under way then is known of, should this be the last write.
        let (key, mut meta) = leaf.note();
        let (kind, closes, ask) = match &leaf.work {
            Work::Ask(ask) => (ask_kind(ask), None, Some(ask.clone())),
            Work::Wait(wait) => {
                meta.note = Some("timed out".into());
                let closes = wait.mail.as_ref().map(|mail| {
                    // Another wait for the same signal goes on.
                    let others = mail.mailboxes().any(|name| state.waits_in(name) > 1);
                    let names: Vec<String> = mail.mailboxes().cloned().collect();
                    (names, others || mail.stays_open == StaysOpen::Always)
                });
                (EntryKind::Message, closes, None)
            }
            Work::Effect(_) => return None,
        };
        let noted = self.note_under_way(state);
        self.board.append(state, kind, key, meta, None);
        let mut unwritten = state.hand_over();
        if let Some((mailboxes, stays_open)) = closes {
            let also = &mut unwritten.also;
            if stays_open { &mut also.expects_none } else { &mut also.closes }.extend(mailboxes);
        }
        unwritten.also.ask = ask;
        self.deciding = Some(Deciding { leaf: id, before, noted });
        Some(Next::Decide(unwritten))
    }

    /// The code sees a decision only after its commit: until then it may drop a step that is under way, and nothing would
    /// tell a later life of it. One note tells of an attempt, however much is decided while it is under way.
    fn note_under_way(&self, state: &mut BoardState) -> Vec<LeafId> {
        let under_way = state.leaves.iter_mut().filter(|(_, leaf)| leaf.is_under_way());
        let mut notes = Vec::new();
        for (id, leaf) in under_way {
            let Some(sending) = leaf.sending_mut().filter(|sending| !sending.under_way_noted) else {
                continue;
            };
            sending.under_way_noted = true;
            let since = sending.unknown_since.or(sending.started);
            let (key, meta) = leaf.note();
            notes.push((*id, key, EntryMeta { unknown_since: since, ..meta }));
        }
        let noted = notes.iter().map(|(id, ..)| *id).collect();
        for (_, key, meta) in notes {
            self.board.append(state, EntryKind::InFlight, key, meta, None);
        }
        noted
    }

    /// What came of a [`Next::Decide`].
    pub(crate) fn decided(&mut self, decided: Decided) {
        let Some(Deciding { leaf: id, before, noted }) = self.deciding.take() else { return };
        let board = self.board.clone();
        let mut state = board.lock();
        let outcome = match decided {
            Decided::Made(Some(value)) => Outcome::Done(value),
            Decided::Made(None) => Outcome::TimedOut,
            Decided::Failed(failure) => {
                state.take_back_decision(before, &noted);
                let Some(leaf) = state.leaves.get(&id) else { return };
                let (key, mut meta) = leaf.note();
                meta.failure = Some(failure.clone());
                board.append(&mut state, EntryKind::StepRefused, key, meta, None);
                Outcome::Failed(failure)
            }
            Decided::Overtaken => {
                state.take_back_decision(before, &noted);
                return;
            }
        };
        // A future that was moved out of the run may have been dropped meanwhile: then nobody takes it.
        if state.leaves.contains_key(&id) {
            hand_out(&mut state, id, outcome);
        }
        self.delivered();
    }
}

/// Why a message cannot be read as what a leaf waits for, if so.
fn misfit(leaf: &Leaf, body: &Payload) -> Option<String> {
    match &leaf.work {
        Work::Wait(wait) => wait.mail.as_ref().and_then(|mail| (mail.check)(body).err()),
        Work::Effect(_) | Work::Ask(_) => None,
    }
}

fn mail_of(leaf: &Leaf) -> Option<From> {
    match &leaf.work {
        Work::Wait(wait) => wait.mail.as_ref().map(|mail| mail.from),
        Work::Effect(_) | Work::Ask(_) => None,
    }
}

fn ask_kind(ask: &bowline_store::Ask) -> EntryKind {
    match ask {
        bowline_store::Ask::State(_) => EntryKind::State,
        bowline_store::Ask::Transaction(_) => EntryKind::Transaction,
    }
}

/// How a child run ended, as its message tells it.
#[derive(serde::Deserialize)]
struct ChildEnd<'a> {
    /// `None`: it was never started.
    #[serde(default)]
    run: Option<i64>,
    state: bowline_model::RunState,
    #[serde(borrow, default)]
    output: Option<&'a serde_json::value::RawValue>,
    #[serde(default)]
    why: Option<String>,
}

fn child_outcome(key: &EntryKey, body: &Payload) -> Outcome {
    let end: ChildEnd<'_> = match serde_json::from_slice(body.as_bytes()) {
        Ok(end) => end,
        Err(error) => {
            let message = format!("the end of child {key} cannot be read: {error}");
            return Outcome::Failed(Failure::unknown(message).permanent());
        }
    };
    if end.state == bowline_model::RunState::Completed {
        let output = end.output.map_or("null", |output| output.get());
        return Outcome::Done(Payload::from_stored(output.to_owned()));
    }
    let is_dead = end.state == bowline_model::RunState::DeadLettered;
    let how = if is_dead { "became a dead letter" } else { "was cancelled" };
    let why = end.why.unwrap_or_default();
    let message = match end.run {
        Some(run) => format!("child run {run} {how}: {why}"),
        None => format!("child {key} was not started: {why}"),
    };
    Outcome::Failed(Failure::refused(message).permanent())
}

impl BoardState {
    /// A decision was not written, and neither were the notes that went with it.
    fn take_back_decision(&mut self, before: Unwritten, noted: &[LeafId]) {
        self.journal.take_back(noted.len() + 1);
        self.unwritten = before;
        for id in noted {
            if let Some(sending) = self.leaves.get_mut(id).and_then(Leaf::sending_mut) {
                sending.under_way_noted = false;
            }
        }
    }

    /// The oldest message that a leaf waits for, with the leaf that asked for it first.
    fn take_message(&mut self) -> Option<(LeafId, Message)> {
        let found = self.mail.iter().enumerate().find_map(|(at, message)| {
            let waits = |leaf: &Leaf| match (&leaf.phase, &leaf.work) {
                (Phase::Waiting { .. }, Work::Wait(wait)) => {
                    wait.mail.as_ref().is_some_and(|mail| mail.takes_from(&message.mailbox))
                }
                _ => false,
            };
            let (id, _) = self.leaves.iter().find(|(_, leaf)| waits(leaf))?;
            Some((at, *id))
        });
        let (at, id) = found?;
        Some((id, self.mail.remove(at)))
    }

    /// The code is dropped: what it began to wait for and is not on disk yet was never begun.
    pub(super) fn withdraw_waits(&mut self) {
        for (id, leaf) in std::mem::take(&mut self.leaves) {
            if matches!(leaf.phase, Phase::Waiting { .. }) {
                self.withdraw(&leaf);
            }
            self.leaves.insert(id, leaf);
        }
    }

    /// How many leaves wait for messages of that mailbox.
    pub(crate) fn waits_in(&self, mailbox: &str) -> usize {
        let waits = |leaf: &&Leaf| match (&leaf.phase, &leaf.work) {
            (Phase::Asked | Phase::Waiting { .. }, Work::Wait(wait)) => {
                wait.mail.as_ref().is_some_and(|mail| mail.takes_from(mailbox))
            }
            _ => false,
        };
        self.leaves.values().filter(waits).count()
    }

    /// The timer whose time came first.
    fn due_timer(&self, now: Timestamp) -> Option<(Timestamp, LeafId)> {
        self.due_waits(now, |wait| wait.mail.is_none()).min()
    }

    /// The wait for a message whose time came first.
    fn due_message_wait(&self, now: Timestamp) -> Option<(Timestamp, LeafId)> {
        self.due_waits(now, |wait| wait.mail.is_some()).min()
    }

    fn due_waits(
        &self,
        now: Timestamp,
        is_such: fn(&Wait) -> bool,
    ) -> impl Iterator<Item = (Timestamp, LeafId)> {
        self.leaves.iter().filter_map(move |(id, leaf)| match (&leaf.phase, &leaf.work) {
            (Phase::Waiting { due: Some(due) }, Work::Wait(wait)) if *due <= now && is_such(wait) => {
                Some((*due, *id))
            }
            _ => None,
        })
    }
}
