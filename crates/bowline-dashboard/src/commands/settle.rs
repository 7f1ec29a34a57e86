//! Settle: an operator looked at the remote, and records what became of a step whose outcome is not known.
//!
//! What must never happen here: an outcome that is known changed by hand, or a second step sent again because the first
//! was settled.

use std::collections::{HashMap, HashSet};

use bowline_model::{
    DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Family, Payload, Run, RunId, RunState, Seq,
    entry::Role,
};
use bowline_store::Operation;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Commands, Error, Moment, Operator, changed_meanwhile, entry,
    retry::{forgets, forgotten},
};
use crate::view::step_name;

/// Largest value of a step that is settled: 1 MiB as JSON.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It happened; the code receives this value.
    Done(Value),
    /// It did not happen: it is sent again, under a new idempotency key.
    NotDone,
}

impl Outcome {
    fn words(&self) -> &'static str {
        match self {
            Self::Done(_) => "settled as done",
            Self::NotDone => "settled as not done",
        }
    }
}

/// What a settlement did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The run; it is queued now.
    pub run: RunId,
    /// The step.
    pub step: String,
    /// What the journal says of it.
    pub note: String,
    /// Failed steps that are forgotten and will be tried again, this one left out.
    pub forgotten: Vec<String>,
}

/// Decides what a settlement writes: one entry that says what became of the step, and the run queued again.
///
/// As a retry it takes back the failure that ended the run and those after it, and no success. Where it happened, the
/// value is delivered as the step's own outcome would be; a value that does not fit the step's type parks the run, and
/// can be settled again. Where it did not, the step is sent under the next generation of its key. To send what else is
/// unknown again nobody consented by it.
///
/// # Errors
/// If the run is not a dead letter, has no such step, or its outcome is known.
pub fn decide(
    run: &Run,
    journal: &[Entry],
    step: &str,
    outcome: &Outcome,
    operator: &Operator,
    moment: &Moment,
) -> Result<Operation, Error> {
    match run.state {
        RunState::DeadLettered => {}
        RunState::Queued
        | RunState::Running
        | RunState::Waiting
        | RunState::Completed
        | RunState::Cancelled => return Err(Error::not_dead(run)),
    }
    let unknown = unknown_steps(run, journal);
    let Some((key, settled)) = unknown.iter().find(|(key, _)| is_called(key, step)) else {
        return Err(no_such_step(run, journal, step, &unknown));
    };
    let payload = match outcome {
        Outcome::Done(value) => {
            let payload = Payload::encode(value).expect("a JSON value encodes as JSON");
            if payload.as_bytes().len() > VALUE_BYTES_MAX {
                let message = format!(
                    "the value has {} bytes; a settled one has at most {VALUE_BYTES_MAX}",
                    payload.as_bytes().len()
                );
                return Err(Error::wrong_state(message, "settle what the run needs of it".to_owned()));
            }
            Some(payload)
        }
        Outcome::NotDone => None,
    };
    let mut forgets = forgets(run, journal);
    forgets.extend(*settled);
    forgets.sort_unstable();
    forgets.dedup();
    let before = journal.iter().rev().filter(|entry| entry.key == *key);
    let known = before.clone().find(|entry| entry.meta.fingerprint.is_some());
    let meta = EntryMeta {
        forgets,
        note: Some(operator.note(outcome.words())),
        // What the code asks is compared with it, as with any outcome.
        fingerprint: known.and_then(|entry| entry.meta.fingerprint.clone()),
        reversible: before.clone().any(|entry| entry.meta.reversible),
        attempts: before.map(|entry| entry.meta.attempts).max().unwrap_or(0),
        ..EntryMeta::default()
    };
    let entry = Entry { key: key.clone(), payload, ..entry(run, EntryKind::Settled, moment, meta) };
    Ok(Operation {
        run: run.id,
        expect: RunState::DeadLettered,
        expect_journal_len: run.journal_len,
        now: moment.now,
        entries: vec![entry],
        to: RunState::Queued,
        ruled: None,
    })
}

/// The steps whose outcome an operator may record, in the order of the journal, each with the entry that a settlement
/// replaces.
pub fn unknown_steps(run: &Run, journal: &[Entry]) -> Vec<(EntryKey, Option<Seq>)> {
    let gone = forgotten(journal);
    let taken_back = forgets(run, journal);
    // A run that is undone has to know of whatever can be undone, also of what its code went on without.
    let is_undone = journal.iter().any(|entry| entry.kind == EntryKind::Undoing);
    let must_know = |entry: &Entry| is_undone && entry.meta.reversible;
    let undos = journal.iter().filter(|entry| entry.kind == EntryKind::Undo);
    let undoable: HashSet<EntryKey> = undos.map(|entry| entry.key.undone_step()).collect();
    // What it went on without, and came to again, it stopped at: the error names it.
    let stopped_at = stopped_at(run, journal);
    let is_undo = |entry: &Entry| is_undone && entry.key.family == Family::Undo;
    let mut standing: HashMap<&EntryKey, Standing> = HashMap::new();
    for entry in journal.iter().filter(|entry| matches!(entry.key.family, Family::Step | Family::Undo)) {
        let counts = !gone.contains(&entry.seq);
        let is = match entry.kind.role() {
            // What the code received and went on with is its history.
            Role::Outcome if entry.kind == EntryKind::StepUnknown => {
                let is_history = counts && !taken_back.contains(&entry.seq) && !must_know(entry);
                if is_history { Standing::Known } else { Standing::Open(entry.seq) }
            }
            // A remote that will not undo it may be right: a person did, or does so now.
            Role::Outcome if entry.kind == EntryKind::StepRefused && is_undo(entry) => {
                Standing::Open(entry.seq)
            }
            Role::Outcome if counts => Standing::Known,
            Role::Operator if entry.kind == EntryKind::Settled => {
                // Of what happened nobody knows how to undo it, where the code did not come to it.
                let is_left = must_know(entry) && !undoable.contains(&entry.key);
                match counts && entry.payload.is_some() && (is_left || is_last(journal, entry.seq)) {
                    true => Standing::Replaced(entry.seq),
                    false => Standing::Known,
                }
            }
            Role::Attempt if entry.kind == EntryKind::Started => Standing::Open(entry.seq),
            Role::Attempt if entry.kind == EntryKind::Dropped => {
                match (must_know(entry) || stopped_at == Some(&entry.key))
                    && entry.meta.unknown_since.is_some()
                {
                    true => Standing::Open(entry.seq),
                    false => Standing::Known,
                }
            }
            Role::Attempt if entry.meta.unknown_since.is_some() => Standing::Open(entry.seq),
            Role::Outcome
            | Role::Operator
            | Role::Attempt
            | Role::Answer
            | Role::Waited
            | Role::Work
            | Role::Progress
            | Role::Waiting
            | Role::Undo
            | Role::Inherited
            | Role::End => continue,
        };
        standing.insert(&entry.key, is);
    }
    let mut open: Vec<_> = standing
        .into_iter()
        .filter_map(|(key, is)| match is {
            Standing::Known => None,
            Standing::Open(seq) => Some((seq, key.clone(), None)),
            Standing::Replaced(seq) => Some((seq, key.clone(), Some(seq))),
        })
        .collect();
    open.sort_unstable_by_key(|(seq, _, _)| *seq);
    open.into_iter().map(|(_, key, replaced)| (key, replaced)).collect()
}

/// The step that must not be sent again, if that is why the run is a dead letter.
fn stopped_at<'a>(run: &Run, journal: &'a [Entry]) -> Option<&'a EntryKey> {
    let dead = journal.iter().rfind(|entry| entry.kind == EntryKind::DeadLettered)?;
    dead.meta.caused_by.as_ref().filter(|_| run.dead_reason == Some(DeadReason::Stale))
}

/// What a journal says of a step in the end.
enum Standing {
    /// It has its outcome, or the code no longer waits for it.
    Known,
    /// It may have happened.
    Open(Seq),
    /// It was settled, and nothing has come of that yet.
    Replaced(Seq),
}

/// Whether the code has gone no further since that entry.
fn is_last(journal: &[Entry], seq: Seq) -> bool {
    let mut after = journal.iter().filter(|entry| entry.seq > seq);
    after.all(|entry| {
        matches!(entry.kind, EntryKind::DeadLettered | EntryKind::OperatorRetry | EntryKind::InFlight)
    })
}

fn is_called(key: &EntryKey, step: &str) -> bool {
    let step = step.trim();
    step_name(key) == step || key.to_string() == step
}

fn no_such_step(run: &Run, journal: &[Entry], step: &str, unknown: &[(EntryKey, Option<Seq>)]) -> Error {
    let is_step = |key: &EntryKey| matches!(key.family, Family::Step | Family::Undo);
    let is_there = journal.iter().any(|entry| is_step(&entry.key) && is_called(&entry.key, step));
    let shown = crate::wording::cut(&crate::wording::clean(step), 200);
    let message = match is_there {
        true => {
            format!("run {}: what became of the step {shown:?} is known, or nothing of it was sent", run.id)
        }
        false => format!("run {} has no step {shown:?}", run.id),
    };
    let names: Vec<_> = unknown.iter().map(|(key, _)| format!("{:?}", step_name(key))).collect();
    let hint = match names.as_slice() {
        [] => format!("nothing of it is unknown; `retry {}` lets it go on", run.id),
        names => format!("unknown is what became of {}", names.join(", ")),
    };
    Error::wrong_state(message, hint)
}

impl Commands {
    /// Records what became of a step of a dead letter, and lets the run go on.
    ///
    /// # Durability
    /// The outcome is on disk, and the run queued, when this returns; a crash before that leaves the dead letter as it
    /// was.
    ///
    /// # Errors
    /// If the run is not there, is not a dead letter, has no such step or its outcome is known; or the store does not
    /// answer.
    pub async fn settle(
        &self,
        run: RunId,
        step: &str,
        outcome: &Outcome,
        operator: &Operator,
    ) -> Result<Settled, Error> {
        let mut decisions = 0;
        loop {
            decisions += 1;
            let (run, journal) = self.load(run).await?;
            let operation = decide(&run, &journal, step, outcome, operator, &self.moment())?;
            let settled = report(run.id, &journal, &operation);
            match self.store.operate(operation).await.map_err(Error::from) {
                Ok(()) => {
                    tracing::info!(run = run.id.0, step = settled.step, "{} by an operator", outcome.words());
                    (self.poke)();
                    return Ok(settled);
                }
                Err(error) if changed_meanwhile(&error, decisions) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn report(run: RunId, journal: &[Entry], operation: &Operation) -> Settled {
    let entry = operation.entries.first().expect("a settlement is one entry");
    let others =
        journal.iter().filter(|other| entry.meta.forgets.contains(&other.seq) && other.key != entry.key);
    Settled {
        run,
        step: step_name(&entry.key),
        note: entry.meta.note.clone().unwrap_or_default(),
        forgotten: others.map(|other| step_name(&other.key)).collect(),
    }
}
