//! A journal as people read it: steps with their attempts, notes, and the end.

use std::collections::{HashMap, HashSet};

use bowline_model::{
    CallFailure, Certainty, DeadReason, Entry, EntryKey, EntryKind, Failure, Family, Payload, Run, Seq,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{PAYLOAD_BYTES_MAX, Payloads, step_name};
use crate::wording::number;

/// The most items of a timeline: the last ones are shown.
pub const ITEMS_MAX: usize = 2000;

/// How much of a failure's message a view shows.
const MESSAGE_BYTES_MAX: usize = 2000;

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Item {
    /// A step, or another thing whose outcome the code received.
    Step(StepView),
    /// Something that people should know.
    Note(NoteView),
    /// The run's end. After a dead letter's, an operator's retry may follow.
    End(EndView),
}

/// A step with its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// The journal's entry of its outcome, or the latest entry about it.
    pub seq: Seq,
    /// Its name as people read it.
    pub name: String,
    /// What it is.
    pub kind: StepKind,
    /// How it stands.
    pub state: StepState,
    /// What it calls: `POST crm /contacts/17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// When it began, in milliseconds after the run was accepted.
    pub began_ms: i64,
    /// When its outcome was recorded, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    /// Attempts so far.
    pub attempts: u32,
    /// The attempts that failed and were followed by another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedAttempt>,
    /// When it goes on, if it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// What it waits for, while it does: `waits for signal paid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// An operator's retry made this outcome count no longer.
    #[serde(default)]
    pub forgotten: bool,
    /// The size of what it yielded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<usize>,
    /// What it yielded, if asked for: JSON, cut at [`PAYLOAD_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// What a [`StepView`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A step.
    Step,
    /// A recorded time, random number or id.
    Value,
    /// A durable timer.
    Timer,
    /// A signal, callback or approval.
    Message,
    /// Another run.
    Child,
    /// A decision which branch won.
    Race,
    /// A loop.
    Loop,
    /// A value kept between runs.
    State,
    /// Whether a change of the code applies.
    Changed,
    /// A user's transaction.
    Transaction,
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

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It happened.
    Done,
    /// It did not happen.
    Refused,
    /// It may have happened.
    Unknown,
    /// An attempt failed, and another follows.
    Retrying,
    /// It began, and nothing more is recorded.
    Began,
    /// It waits for a time, a message or another run.
    Waiting,
    /// The code no longer waited for it.
    Dropped,
}

/// An attempt that was followed by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Which, from 1.
    pub number: u32,
    /// When it had failed, in milliseconds after the run was accepted.
    pub at_ms: i64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// When the next one was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureView {
    /// Fact, value, hint.
    pub message: String,
    /// Whether it may have happened all the same.
    pub certainty: Certainty,
    /// Whether another attempt may help.
    pub retryable: bool,
    /// The remote's status, if it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The remote's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The beginning of the remote's answer, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// Something that people should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteView {
    /// Its entry.
    pub seq: Seq,
    /// When, in milliseconds after the run was accepted.
    pub at_ms: i64,
    /// What kind of entry it is.
    pub kind: EntryKind,
    /// What it says.
    pub text: String,
}

/// A run's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndView {
    /// Its entry.
    pub seq: Seq,
    /// When, in milliseconds after the run was accepted.
    pub at_ms: i64,
    /// What kind of end it is.
    pub kind: EntryKind,
    /// Why, if it is the dead letter that the run is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DeadReason>,
    /// What is said of it: a failure or an operator's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The step that the error came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<String>,
    /// The size of the run's output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<usize>,
    /// The run's output, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// The last [`ITEMS_MAX`] items of a run's timeline, and how many older ones there are.
pub(super) fn build(run: &Run, journal: &[Entry], payloads: Payloads) -> (Vec<Item>, usize) {
    let mut builder = Builder {
        run,
        payloads,
        last_end: journal.iter().rev().find(|entry| is_end(entry.kind)).map(|entry| entry.seq),
        items: Vec::new(),
        open: HashMap::new(),
        loops: HashMap::new(),
    };
    for entry in journal {
        builder.add(entry);
    }
    let mut items = builder.items;
    let left_out = items.len().saturating_sub(ITEMS_MAX);
    items.drain(..left_out);
    (items, left_out)
}

fn is_end(kind: EntryKind) -> bool {
    kind.code() >= EntryKind::Completed.code()
}

struct Builder<'a> {
    run: &'a Run,
    payloads: Payloads,
    last_end: Option<Seq>,
    items: Vec<Item>,
    /// Where in `items` a step without an outcome is.
    open: HashMap<&'a EntryKey, usize>,
    /// Where in `items` the progress of a loop is.
    loops: HashMap<&'a EntryKey, usize>,
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
            EntryKind::Looped => self.outcome(entry, StepKind::Loop, StepState::Done),
            EntryKind::State => self.outcome(entry, StepKind::State, StepState::Done),
            EntryKind::Changed => self.outcome(entry, StepKind::Changed, StepState::Done),
            EntryKind::Transaction => self.outcome(entry, StepKind::Transaction, StepState::Done),
            EntryKind::AttemptFailed => self.attempt_failed(entry),
            EntryKind::Started => self.touch(entry, StepKind::Step).state = StepState::Began,
            EntryKind::Awaited => {
                let step = self.touch(entry, StepKind::of(entry.key.family));
                step.state = StepState::Waiting;
                step.next_at = entry.meta.next_at;
                step.awaits = entry.meta.note.clone().map(|note| cut(note, MESSAGE_BYTES_MAX));
            }
            EntryKind::Dropped => self.dropped(entry),
            EntryKind::OperatorRetry => self.operator_retry(entry),
            EntryKind::Undo => self.note(entry, "can be undone"),
            EntryKind::Settled => self.settled(entry),
            EntryKind::Items => self.progress(entry),
            EntryKind::InFlight if entry.key.family == Family::Run => {
                self.note(entry, "what was under way when the process died is not known");
            }
            EntryKind::Misfit => self.note(entry, "a message was left out"),
            EntryKind::Undoing => self.note(entry, "is undone from here on"),
            EntryKind::ItemDead => self.note(entry, "an item of a loop failed"),
            EntryKind::InFlight => self.note(entry, "may have been under way when the process died"),
            EntryKind::Inherited => self.note(entry, "sends the same idempotency keys as the run it replays"),
            EntryKind::Completed | EntryKind::DeadLettered | EntryKind::Cancelled | EntryKind::Continued => {
                self.end(entry);
            }
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

    fn outcome(&mut self, entry: &'a Entry, kind: StepKind, state: StepState) {
        let (run, payloads) = (self.run, self.payloads);
        let step = self.touch(entry, kind);
        step.kind = kind;
        step.state = state;
        step.ended_ms = Some(millis(run, entry.at));
        (step.next_at, step.awaits) = (None, None);
        step.failure = entry.meta.failure.as_ref().map(|failure| FailureView::of(failure, payloads));
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
        let step = self.touch(entry, StepKind::Step);
        step.state = StepState::Dropped;
        step.ended_ms = Some(millis(run, entry.at));
        step.next_at = None;
        step.failure = entry.meta.failure.as_ref().map(|failure| FailureView::of(failure, payloads));
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

    /// How far a loop is: one line for each, however often it was noted.
    fn progress(&mut self, entry: &'a Entry) {
        let text = entry.payload.as_ref().and_then(|payload| payload.decode::<Progress>().ok());
        let text = text.map_or_else(|| "progress".to_owned(), |progress| progress.words());
        let Some(Item::Note(note)) = self.loops.get(&entry.key).map(|at| &mut self.items[*at]) else {
            self.loops.insert(&entry.key, self.items.len());
            return self.note(entry, &text);
        };
        note.seq = entry.seq;
        note.at_ms = millis(self.run, entry.at);
        note.text = format!("{}: {text}", step_name(&entry.key));
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

    fn end(&mut self, entry: &Entry) {
        let failure = entry.meta.failure.as_ref().map(|failure| cut(failure.to_string(), MESSAGE_BYTES_MAX));
        for at in self.open.values() {
            // Nothing follows by itself any more.
            if let Item::Step(step) = &mut self.items[*at] {
                step.next_at = None;
            }
        }
        let is_now = self.last_end == Some(entry.seq) && entry.kind == EntryKind::DeadLettered;
        self.items.push(Item::End(EndView {
            seq: entry.seq,
            at_ms: millis(self.run, entry.at),
            kind: entry.kind,
            reason: self.run.dead_reason.filter(|_| is_now),
            text: failure.or_else(|| entry.meta.note.clone()),
            caused_by: entry.meta.caused_by.as_ref().map(step_name),
            output_bytes: entry.payload.as_ref().map(|payload| payload.as_bytes().len()),
            output: shown(entry.payload.as_ref(), self.payloads),
        }));
    }
}

/// The payload of [`EntryKind::Items`], as far as people read it.
#[derive(Deserialize)]
struct Progress {
    #[serde(default)]
    done: u64,
    #[serde(default)]
    dead: u64,
    #[serde(default)]
    total: Option<u64>,
}

impl Progress {
    /// `4,312 done, 2 dead of 10,000`
    fn words(&self) -> String {
        let mut words = format!("{} done", number(self.done));
        if self.dead > 0 {
            words.push_str(&format!(", {} dead", number(self.dead)));
        }
        if let Some(total) = self.total {
            words.push_str(&format!(" of {}", number(total)));
        }
        words
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

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}

fn millis(run: &Run, at: Timestamp) -> i64 {
    at.as_millisecond() - run.created_at.as_millisecond()
}
