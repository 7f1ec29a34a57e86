//! Undoing a run: what its journal says of it, and the code that does it.
//!
//! What comes in: a run whose journal says that it is undone. What goes out, in two parts: first what is unknown is settled
//! (the workflow's code runs again, and only steps that may have happened and can be undone are sent, under their keys);
//! then what was noted to undo is sent, newest first, each under a key of its own. A crash continues both.
//!
//! What must never happen here: something of the workflow that goes forward.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use bowline_model::{
    DeadReason, Entry, EntryKey, EntryKind, Error, Event, Failure, Family, Payload, Recall, Result,
    RetryPolicy, Run, Seq, Verdict, entry::Role,
};

use crate::{
    Context,
    action::EFFECT_TIMEOUT,
    asking::Asking,
    board::{Asked, Board, Turn},
    engine::Shared,
    journal::Journal,
    leaf::Outcome,
    machine::{Code, Machine, Stage},
    sending::{Doubt, LeafOptions},
};

/// Most steps that a message names.
const NAMED_MAX: usize = 5;

/// Why the run is undone, if it is.
pub(crate) fn reason(entries: &[Entry]) -> Option<String> {
    let undoing = entries.iter().rev().find(|entry| entry.kind == EntryKind::Undoing)?;
    Some(undoing.meta.note.clone().unwrap_or_default())
}

/// Whether the run is undone, and all that its code could find out for that is known.
pub(crate) fn needs_no_code(entries: &[Entry]) -> bool {
    reason(entries).is_some() && unknown(entries).is_empty()
}

/// Whether a run with that journal has something to undo, or to find out before.
pub(crate) fn may_be_needed(run: &Run, entries: &[Entry]) -> bool {
    let in_flight = run.unsure_since.is_some() && run.crashes > 0;
    in_flight || entries.iter().any(is_about_undo)
}

/// Whether an undo belongs to the step of that entry.
pub(crate) fn is_about_undo(entry: &Entry) -> bool {
    entry.meta.reversible || entry.kind.role() == Role::Undo
}

/// The machine of a run that is undone: of its first part, or of its second if this build has no code for the first.
///
/// # Errors
/// Why the second part cannot begin.
pub(crate) fn machine(
    shared: &Shared,
    run: &Run,
    event: &Arc<Event>,
    batch: &Arc<[Event]>,
    entries: Vec<Entry>,
) -> Result<Machine, Failure> {
    let why = reason(&entries).unwrap_or_default();
    let workflow = shared.workflows.get(&run.workflow);
    let board = with_journal(board(shared, run, event, batch), Journal::read(entries.clone()));
    let code = workflow
        .and_then(|workflow| Some((workflow, workflow.input(event, batch).ok()?)))
        .and_then(|(workflow, input)| workflow.start(Context::new(board.clone()), &input).ok());
    match code {
        Some(code) => Ok(settling(board, code, why)),
        None => undoing(shared, run, event, batch, entries),
    }
}

/// The machine of the second part.
///
/// # Errors
/// If it is not known of every step whether it happened.
pub(crate) fn undoing(
    shared: &Shared,
    run: &Run,
    event: &Arc<Event>,
    batch: &Arc<[Event]>,
    entries: Vec<Entry>,
) -> Result<Machine, Failure> {
    Ok(plan(entries)?.machine(board(shared, run, event, batch), shared.recall.clone()))
}

/// The machine of the first part, of that code.
pub(crate) fn settling(board: Arc<Board>, code: Code, why: String) -> Machine {
    Machine::at(board, code, Stage::Settle { why })
}

/// The second part, as the journal has it.
pub(crate) struct Plan {
    why: String,
    /// What is recorded of undos.
    journal: Journal,
    steps: Vec<(EntryKey, Payload)>,
}

/// What is to be undone.
///
/// # Errors
/// If it is not known of every step whether it happened.
pub(crate) fn plan(entries: Vec<Entry>) -> Result<Plan, Failure> {
    let unknown = unknown(&entries);
    if !unknown.is_empty() {
        return Err(Failure::unknown(unsettled(&unknown)).permanent());
    }
    let why = reason(&entries).unwrap_or_default();
    let done = done(&entries);
    let steps = steps(&entries, &done);
    let counts = |entry: &Entry| match entry.key.family {
        Family::Run => true,
        Family::Undo => !done.contains(&entry.key),
        Family::Step
        | Family::Value
        | Family::Timer
        | Family::Message
        | Family::Child
        | Family::Branch
        | Family::State
        | Family::Transaction => false,
    };
    Ok(Plan { why, journal: Journal::read_where(entries, counts), steps })
}

impl Plan {
    /// The machine that does it, on a board without a journal.
    pub(crate) fn machine(self, board: Board, recall: Option<Arc<dyn Recall>>) -> Machine {
        let Self { why, journal, steps } = self;
        let board = with_journal(board, journal);
        let code = undo_all(board.clone(), recall, steps);
        Machine::at(board, code, Stage::Undo { why })
    }
}

fn board(shared: &Shared, run: &Run, event: &Arc<Event>, batch: &Arc<[Event]>) -> Board {
    let board = Board::new(run.clone(), event.clone(), vec![], shared.build.clone(), shared.clock.clone());
    board.of_batch(batch.clone()).counted_by(shared.activity.clone()).reached_at(shared.public_url.clone())
}

/// The board with what is recorded of a run that is undone.
pub(crate) fn with_journal(board: Board, journal: Journal) -> Arc<Board> {
    board.lock().journal = journal;
    Arc::new(board)
}

/// Undos that were made, or that a person says were.
fn done(entries: &[Entry]) -> HashSet<EntryKey> {
    let undos = entries.iter().filter(|entry| entry.key.family == Family::Undo);
    let made = undos.filter(|entry| entry.kind == EntryKind::StepDone || entry.is_settled_as_done());
    made.map(|entry| entry.key.clone()).collect()
}

/// What is to be undone, newest first.
fn steps(entries: &[Entry], done: &HashSet<EntryKey>) -> Vec<(EntryKey, Payload)> {
    let mut newest: BTreeMap<&EntryKey, (Seq, &Payload)> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Undo && !done.contains(&entry.key)) {
        if let Some(data) = &entry.payload {
            newest.insert(&entry.key, (entry.seq, data));
        }
    }
    let mut steps: Vec<_> = newest.into_iter().collect();
    steps.sort_by_key(|(_, (seq, _))| std::cmp::Reverse(*seq));
    steps.into_iter().map(|(key, (_, data))| (key.clone(), data.clone())).collect()
}

/// Steps that can be undone, and of which nobody knows whether they happened or how to undo them, in the order of the
/// journal.
pub(crate) fn unknown(entries: &[Entry]) -> Vec<EntryKey> {
    let mut unknown: Vec<&EntryKey> = vec![];
    for entry in entries.iter().filter(|entry| entry.key.family == Family::Step) {
        let is_unknown = match (entry.kind.role(), entry.kind) {
            (Role::Outcome, kind) => kind == EntryKind::StepUnknown,
            (Role::Attempt, EntryKind::Started | EntryKind::InFlight) => true,
            (Role::Attempt, _) => entry.meta.unknown_since.is_some(),
            // What undoes it the code says, when it receives the outcome: it never came to that.
            (Role::Operator, _) => entry.is_settled_as_done(),
            (
                Role::Answer
                | Role::Waited
                | Role::Work
                | Role::Progress
                | Role::Waiting
                | Role::Undo
                | Role::Inherited
                | Role::End,
                _,
            ) => continue,
        };
        unknown.retain(|key| **key != entry.key);
        if is_unknown && entry.meta.reversible {
            unknown.push(&entry.key);
        }
    }
    // What is noted to undo has happened, under that very key.
    let noted: HashSet<EntryKey> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Undo)
        .map(|entry| entry.key.undone_step())
        .collect();
    unknown.into_iter().filter(|key| !noted.contains(*key)).cloned().collect()
}

fn unsettled(unknown: &[EntryKey]) -> String {
    let mut named: Vec<_> = unknown.iter().take(NAMED_MAX).map(|key| format!("step {key}")).collect();
    if unknown.len() > NAMED_MAX {
        named.push(format!("{} more", unknown.len() - NAMED_MAX));
    }
    format!(
        "it is not known whether {} happened, so the run cannot be undone yet; look at the remote, undo by hand what \
         happened there, then `settle` each as not done",
        named.join(", ")
    )
}

fn undo_all(board: Arc<Board>, recall: Option<Arc<dyn Recall>>, steps: Vec<(EntryKey, Payload)>) -> Code {
    Box::pin(async move {
        for (key, data) in steps {
            undo(&board, recall.as_deref(), key, &data).await?;
        }
        Ok(Payload::from_stored("null"))
    })
}

/// One undo: a step of its own, run by the same rules.
async fn undo(board: &Board, recall: Option<&dyn Recall>, key: EntryKey, data: &Payload) -> Result<()> {
    let nothing = || Error::permanent("this program has no Apis to call");
    let effect = match recall.ok_or_else(nothing).and_then(|recall| recall.effect(data)) {
        Ok(effect) => effect,
        Err(error) => {
            board.stop(DeadReason::Undo, format!("step {key} cannot be undone: {error}"));
            std::future::pending().await
        }
    };
    let options = LeafOptions {
        doubt: Doubt::Repeat,
        reversible: false,
        policy: RetryPolicy::default(),
        timeout: None,
        attempt_timeout: effect.attempt_timeout().unwrap_or(EFFECT_TIMEOUT),
    };
    let leaf = match board.ask_undo(key, effect.shape(), options) {
        Asked::Leaf(id, key) => Asking { board, id, key },
        Asked::Misplaced(error) => return Err(error),
        Asked::Stopped => std::future::pending().await,
    };
    loop {
        match leaf.turn().await {
            Turn::Start(attempt) => {
                let verdict: Verdict<()> = leaf.attempt(&attempt, effect.attempt(attempt.clone())).await;
                board.arrive(leaf.id, verdict.map(|()| Payload::from_stored("null")));
            }
            Turn::Take(Outcome::Done(_)) => return Ok(()),
            Turn::Take(Outcome::Failed(failure)) => {
                return Err(Error::from(failure).from_entry(leaf.key.clone()));
            }
            // An undo asks nobody, and has no time of its own.
            Turn::Recheck(_) | Turn::Take(Outcome::TimedOut) => {}
        }
    }
}
