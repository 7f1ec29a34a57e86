//! A journal's entries, one after the other, as a timeline's items.

use std::collections::{HashMap, HashSet};

use bowline_model::{CallFailure, Entry, EntryKey, EntryKind, Failure, Family, Payload, Run, Seq};
use jiff::Timestamp;

use super::{
    EndKind, EndView, FailedAttempt, FailureView, ForkHere, ITEMS_MAX, Item, NoteView, StepKind, StepState,
    StepView,
};
use crate::{
    commands::fork,
    view::{PAYLOAD_BYTES_MAX, Payloads, step_name},
};

/// How much of a failure's message a view shows.
const MESSAGE_BYTES_MAX: usize = 2000;

/// The last [`ITEMS_MAX`] items of a run's timeline, and how many older ones there are.
pub(in crate::view) fn build(run: &Run, journal: &[Entry], payloads: Payloads) -> (Vec<Item>, usize) {
    let mut builder = Builder {
        run,
        payloads,
        last_end: journal.iter().rev().find(|entry| entry.kind.is_end()).map(|entry| entry.seq),
        items: Vec::new(),
        open: HashMap::new(),
    };
    for entry in journal {
        builder.add(entry);
    }
    let mut items = builder.items;
    show_forks(&mut items, run, journal);
    let left_out = items.len().saturating_sub(ITEMS_MAX);
    items.drain(..left_out);
    (items, left_out)
}

/// Says at each step, where it was first, whether the run can be forked from there.
fn show_forks(items: &mut [Item], run: &Run, journal: &[Entry]) {
    let places = fork::places(run, journal).into_iter();
    let mut places: HashMap<String, Option<String>> =
        places.map(|place| (place.step, place.why_not)).collect();
    for item in items {
        if let Item::Step(step) = item
            && let Some(why_not) = places.remove(&step.name)
        {
            step.fork = Some(why_not.map_or(ForkHere::Possible, ForkHere::Impossible));
        }
    }
}

/// What a wait is for, in words, without its time: that is told beside it. The engine's own words tell one wait from
/// another when the code has changed, and are longer.
fn awaited(entry: &Entry, note: &str) -> String {
    let name = &entry.key.name;
    match entry.key.family {
        Family::Timer => "sleeps".to_owned(),
        Family::Child => format!("waits for the child run \"{name}\""),
        Family::Message if note.starts_with("waits for signal ") => {
            format!("waits for the signal \"{name}\"")
        }
        Family::Message if note.starts_with("waits for callback ") => {
            format!("waits for a message to the address of callback \"{name}\"")
        }
        Family::Message => {
            let Some(rest) = note.strip_prefix(&format!("waits for approval {name}")) else {
                return note.to_owned();
            };
            // `at most 60 s` and `until … at most` follow a comma, which no approver's name needs.
            let by = rest.strip_prefix(" by ").map(|by| by.split(", ").next().unwrap_or(by));
            let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
            format!("waits for a decision{by} on \"{name}\"")
        }
        Family::Run
        | Family::Step
        | Family::Value
        | Family::Branch
        | Family::State
        | Family::Transaction
        | Family::Undo => note.to_owned(),
    }
}

struct Builder<'a> {
    run: &'a Run,
    payloads: Payloads,
    last_end: Option<Seq>,
    items: Vec<Item>,
    /// Where in `items` a step without an outcome is.
    open: HashMap<&'a EntryKey, usize>,
}

impl<'a> Builder<'a> {
    fn add(&mut self, entry: &'a Entry) {
        match entry.kind {
            EntryKind::StepDone => self.outcome(entry, StepKind::Step, StepState::Done),
            EntryKind::StepRefused => self.outcome(entry, StepKind::Step, StepState::Refused),
            EntryKind::StepUnknown => self.outcome(entry, StepKind::Step, StepState::Unknown),
            EntryKind::Value => self.outcome(entry, StepKind::Value, StepState::Done),
            EntryKind::Timer => self.outcome(entry, StepKind::Timer, StepState::Done),
            EntryKind::Message => self.outcome(entry, StepKind::Message, StepState::Done),
            EntryKind::Child => self.outcome(entry, StepKind::Child, StepState::Done),
            EntryKind::Race => self.outcome(entry, StepKind::Race, StepState::Done),
            EntryKind::Looped => {
                let stopped = entry.meta.failure.is_some();
                let state = if stopped { StepState::Refused } else { StepState::Done };
                self.outcome(entry, StepKind::Loop, state);
            }
            EntryKind::State => self.outcome(entry, StepKind::State, StepState::Done),
            EntryKind::Changed => self.outcome(entry, StepKind::Changed, StepState::Done),
            EntryKind::Transaction => self.outcome(entry, StepKind::Transaction, StepState::Done),
            EntryKind::AttemptFailed => self.attempt_failed(entry),
            EntryKind::Started => self.touch(entry, StepKind::Step).state = StepState::Began,
            EntryKind::Awaited => {
                let step = self.touch(entry, StepKind::of(entry.key.family));
                step.state = StepState::Waiting;
                step.next_at = entry.meta.next_at;
                step.awaits =
                    entry.meta.note.as_deref().map(|note| cut(awaited(entry, note), MESSAGE_BYTES_MAX));
            }
            EntryKind::Dropped => self.dropped(entry),
            EntryKind::OperatorRetry => self.operator_retry(entry),
            EntryKind::Undo => self.undoable(entry),
            EntryKind::Settled => self.settled(entry),
            EntryKind::Items => self.touch(entry, StepKind::Loop).state = StepState::Began,
            // Dead items are in the list of their loop.
            EntryKind::ItemDead => {}
            EntryKind::InFlight if entry.key.family == Family::Run => {
                self.note(entry, "what was under way when the process died is not known");
            }
            EntryKind::Misfit => self.note(entry, "a message was left out"),
            EntryKind::Undoing => {
                self.give_up_waits();
                self.note(entry, "is undone from here on");
            }
            EntryKind::InFlight => self.note(entry, "may have been under way when the process died"),
            EntryKind::Inherited => self.note(entry, "sends the same idempotency keys as the run it replays"),
            EntryKind::Completed => self.end(entry, EndKind::Completed),
            EntryKind::DeadLettered => self.end(entry, EndKind::DeadLettered),
            EntryKind::Cancelled => self.end(entry, EndKind::Cancelled),
            EntryKind::Continued => self.end(entry, EndKind::Continued),
        }
    }

    /// The open step of that entry's key, begun now if there is none.
    fn touch(&mut self, entry: &'a Entry, kind: StepKind) -> &mut StepView {
        let at = *self.open.entry(&entry.key).or_insert_with(|| {
            self.items.push(Item::Step(begun(self.run, entry, kind)));
            self.items.len() - 1
        });
        let Item::Step(step) = &mut self.items[at] else {
            unreachable!("`open` holds the places of steps only")
        };
        step.seq = entry.seq;
        step.attempts = step.attempts.max(entry.meta.attempts);
        if let Some(call) = &entry.meta.fingerprint {
            step.call = Some(format!("{} {} {}", call.method, call.api, call.path).trim_end().to_owned());
        }
        step
    }

    /// The note follows its step's success, in the same commit.
    fn undoable(&mut self, entry: &Entry) {
        let name = step_name(&entry.key.undone_step());
        let steps = self.items.iter_mut().rev().filter_map(|item| match item {
            Item::Step(step) => Some(step),
            Item::Note(_) | Item::End(_) => None,
        });
        for step in steps.filter(|step| step.name == name).take(1) {
            step.undoable = true;
        }
    }

    fn outcome(&mut self, entry: &'a Entry, kind: StepKind, state: StepState) {
        let (run, payloads) = (self.run, self.payloads);
        let step = self.touch(entry, kind);
        step.kind = kind;
        step.state = state;
        step.ended_ms = Some(millis(run, entry.at));
        (step.next_at, step.awaits) = (None, None);
        step.failure =
            entry.meta.failure.as_ref().map(|failure| Box::new(FailureView::of(failure, payloads)));
        step.output_bytes = entry.payload.as_ref().map(|payload| payload.as_bytes().len());
        step.output = shown(entry.payload.as_ref(), payloads);
        self.open.remove(&entry.key);
    }

    fn attempt_failed(&mut self, entry: &'a Entry) {
        let (run, payloads) = (self.run, self.payloads);
        let step = self.touch(entry, StepKind::Step);
        step.state = StepState::Retrying;
        step.next_at = entry.meta.next_at;
        step.failed.push(FailedAttempt {
            number: entry.meta.attempts,
            at_ms: millis(run, entry.at),
            failure: entry.meta.failure.as_ref().map(|failure| FailureView::of(failure, payloads)),
            next_at: entry.meta.next_at,
        });
    }

    fn dropped(&mut self, entry: &'a Entry) {
        let (run, payloads) = (self.run, self.payloads);
        let step = self.touch(entry, StepKind::of(entry.key.family));
        step.state = StepState::Dropped;
        step.ended_ms = Some(millis(run, entry.at));
        step.next_at = None;
        step.failure =
            entry.meta.failure.as_ref().map(|failure| Box::new(FailureView::of(failure, payloads)));
        self.open.remove(&entry.key);
    }

    fn operator_retry(&mut self, entry: &'a Entry) {
        self.taken_back(entry);
        self.note(entry, "retried by an operator");
    }

    fn settled(&mut self, entry: &'a Entry) {
        self.taken_back(entry);
        self.note(entry, "settled by an operator");
    }

    fn taken_back(&mut self, entry: &'a Entry) {
        let forgets: HashSet<Seq> = entry.meta.forgets.iter().copied().collect();
        for item in &mut self.items {
            if let Item::Step(step) = item
                && forgets.contains(&step.seq)
            {
                step.forgotten = true;
            }
        }
        // What was open when the run was parked begins anew.
        self.open.clear();
    }

    fn note(&mut self, entry: &Entry, usually: &str) {
        let said = entry.meta.note.as_deref().unwrap_or(usually);
        let text = if entry.key.name.is_empty() {
            said.to_owned()
        } else {
            format!("{}: {said}", step_name(&entry.key))
        };
        let at_ms = millis(self.run, entry.at);
        self.items.push(Item::Note(NoteView { seq: entry.seq, at_ms, kind: entry.kind, text }));
    }

    /// From here on nobody waits for what was waited for.
    fn give_up_waits(&mut self) {
        for at in self.open.values() {
            if let Item::Step(step) = &mut self.items[*at]
                && step.state == StepState::Waiting
            {
                (step.state, step.next_at, step.awaits) = (StepState::Dropped, None, None);
            }
        }
    }

    fn end(&mut self, entry: &Entry, kind: EndKind) {
        let failure = entry.meta.failure.as_ref().map(|failure| cut(failure.to_string(), MESSAGE_BYTES_MAX));
        // A dead letter that is retried waits on.
        if kind != EndKind::DeadLettered {
            self.give_up_waits();
        }
        for at in self.open.values() {
            // Nothing follows by itself any more.
            if let Item::Step(step) = &mut self.items[*at] {
                step.next_at = None;
            }
        }
        let is_now = self.last_end == Some(entry.seq) && kind == EndKind::DeadLettered;
        self.items.push(Item::End(EndView {
            seq: entry.seq,
            at_ms: millis(self.run, entry.at),
            kind,
            went_on: None,
            reason: self.run.dead_reason.filter(|_| is_now),
            build: Some(entry.build.clone()),
            text: failure.or_else(|| entry.meta.note.clone()),
            caused_by: entry.meta.caused_by.as_ref().map(step_name),
            output_bytes: entry.payload.as_ref().map(|payload| payload.as_bytes().len()),
            output: shown(entry.payload.as_ref(), self.payloads),
        }));
    }
}

fn begun(run: &Run, entry: &Entry, kind: StepKind) -> StepView {
    StepView {
        seq: entry.seq,
        name: step_name(&entry.key),
        kind,
        state: StepState::Began,
        call: None,
        began_ms: millis(run, entry.meta.first_sent.unwrap_or(entry.at)),
        ended_ms: None,
        attempts: 0,
        failed: vec![],
        next_at: None,
        awaits: None,
        failure: None,
        forgotten: false,
        output_bytes: None,
        output: None,
        undoable: false,
        fork: None,
        child: None,
    }
}

impl StepKind {
    fn of(family: Family) -> Self {
        match family {
            Family::Run | Family::Step | Family::Undo => Self::Step,
            Family::Value => Self::Value,
            Family::Timer => Self::Timer,
            Family::Message => Self::Message,
            Family::Child => Self::Child,
            Family::Branch => Self::Race,
            Family::State => Self::State,
            Family::Transaction => Self::Transaction,
        }
    }
}

impl FailureView {
    fn of(failure: &Failure, payloads: Payloads) -> Self {
        let call: Option<&CallFailure> = failure.call.as_deref();
        let answer = call.and_then(|call| call.body.clone()).filter(|_| payloads == Payloads::Shown);
        Self {
            message: cut(failure.to_string(), MESSAGE_BYTES_MAX),
            certainty: failure.certainty,
            retryable: failure.retryable,
            status: call.and_then(|call| call.status),
            request_id: call.and_then(|call| call.request_id.clone()),
            answer: answer.map(|answer| cut(answer, PAYLOAD_BYTES_MAX)),
        }
    }
}

fn shown(payload: Option<&Payload>, payloads: Payloads) -> Option<String> {
    match payloads {
        Payloads::Hidden => None,
        Payloads::Shown => {
            let bytes = payload?.as_bytes();
            let start = &bytes[..bytes.len().min(PAYLOAD_BYTES_MAX + 1)];
            Some(cut(String::from_utf8_lossy(start).into_owned(), PAYLOAD_BYTES_MAX))
        }
    }
}

pub(in crate::view) fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}

fn millis(run: &Run, at: Timestamp) -> i64 {
    at.as_millisecond() - run.created_at.as_millisecond()
}
