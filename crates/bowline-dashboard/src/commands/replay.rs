//! Replay: a new run from a stored event. Everything is done again, under new keys unless asked otherwise.

use std::collections::HashSet;

use bowline_ingress::accept::{accept_replay, draw_key_seed};
use bowline_model::{
    Entry, EntryKey, EntryKind, EntryMeta, EventId, KeySeed, NewRun, Payload, Run, RunId, RunState, Seq,
    entry::Role, generation::Generations,
};
use serde::{Deserialize, Serialize};

use super::{Commands, Error, Moment, Operator};
use crate::view::step_name;

/// Which idempotency keys a replay's effects carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// New ones: each effect happens again.
    #[default]
    New,
    /// The old run's: a remote that still knows a key answers as it did then, and does nothing.
    Same,
}

/// What a replay did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// The run that was replayed; it stays as it is.
    pub run: RunId,
    /// The new run; it is queued.
    pub new_run: RunId,
    /// Which keys its effects carry.
    pub keys: Keys,
    /// What the old run did, or may have done, that the new one will do again if the code still asks for it.
    pub repeats: Vec<Repeat>,
}

/// An effect that will happen again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    /// The step.
    pub step: String,
    /// What it called, or what else it is; `None` for closures.
    pub call: Option<String>,
    /// Whether the old run knows that it happened; else it may have.
    pub happened: bool,
}

/// What a replay creates.
#[derive(Debug, Clone)]
pub struct Decision {
    /// From which event.
    pub event: EventId,
    /// The new run.
    pub run: NewRun,
    /// See [`Replayed::repeats`].
    pub repeats: Vec<Repeat>,
}

/// Decides what a replay creates: a run like the old one, with `new_seed` unless the keys stay the same. Then the new
/// journal begins with the generations of the old run's keys, so that each step sends exactly the key it sent last.
///
/// # Errors
/// If the run has not ended: a replay beside it would do everything twice.
pub fn decide(
    run: &Run,
    journal: &[Entry],
    keys: Keys,
    new_seed: KeySeed,
    moment: &Moment,
) -> Result<Decision, Error> {
    match run.state {
        RunState::Completed | RunState::Cancelled | RunState::DeadLettered => {}
        RunState::Queued | RunState::Running | RunState::Waiting => return Err(Error::not_ended(run)),
    }
    let new_run = NewRun {
        workflow: run.workflow.clone(),
        key: run.key.clone(),
        priority: run.priority,
        parent: None,
        replay_of: Some(run.id),
        build: moment.build.clone(),
        key_seed: match keys {
            Keys::New => new_seed,
            Keys::Same => run.key_seed,
        },
        due: None,
        flow: Default::default(),
        journal: match keys {
            Keys::New => vec![],
            Keys::Same => inherited(journal, moment),
        },
    };
    Ok(Decision { event: run.event, run: new_run, repeats: repeats(journal) })
}

fn inherited(journal: &[Entry], moment: &Moment) -> Vec<Entry> {
    let keys = Generations::read(journal).inheritance();
    if keys.is_empty() {
        return vec![];
    }
    vec![Entry {
        seq: Seq(1),
        kind: EntryKind::Inherited,
        key: EntryKey::run(),
        at: moment.now,
        build: moment.build.clone(),
        meta: EntryMeta::default(),
        payload: Some(Payload::encode(&keys).expect("keys, numbers and times encode as JSON")),
    }]
}

/// Every effect that happened or may have, once, in order.
pub(super) fn repeats(journal: &[Entry]) -> Vec<Repeat> {
    let mut seen: HashSet<&EntryKey> = HashSet::new();
    let mut repeats = vec![];
    // Backwards, so that the last outcome of a step that an operator retried is the one that tells.
    for entry in journal.iter().rev() {
        let Some(happened) = happened(entry) else { continue };
        let is_last_word = seen.insert(&entry.key);
        let (Happened::Surely | Happened::Perhaps) = happened else { continue };
        if is_read(entry) || !is_last_word {
            continue;
        }
        let call = entry.meta.fingerprint.as_ref().map(|call| {
            let mut call = call.clone();
            // For people: which bytes were sent is no matter here.
            call.body.clear();
            call.to_string()
        });
        let call = call.or_else(|| other_than_a_step(entry.kind).map(str::to_owned));
        let happened = happened == Happened::Surely;
        repeats.push(Repeat { step: step_name(&entry.key), call, happened });
    }
    repeats.reverse();
    repeats
}

/// What an effect that is no step is called.
fn other_than_a_step(kind: EntryKind) -> Option<&'static str> {
    let others = [
        (EntryKind::Child, "child run"),
        (EntryKind::Transaction, "transaction"),
        (EntryKind::Looped, "loop"),
    ];
    others.into_iter().find(|(other, _)| *other == kind).map(|(_, words)| words)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Happened {
    Surely,
    Perhaps,
    /// An operator says so: whatever was unknown before.
    Never,
}

/// What an entry says of an effect that may have been; `None` if it says nothing of it. (A refusal says nothing of the
/// attempts before an earlier retry.)
fn happened(entry: &Entry) -> Option<Happened> {
    if entry.kind == EntryKind::StepDone || entry.kind.role() == Role::Work || entry.is_settled_as_done() {
        Some(Happened::Surely)
    } else if entry.kind == EntryKind::StepUnknown {
        Some(Happened::Perhaps)
    } else {
        (entry.kind == EntryKind::Settled).then_some(Happened::Never)
    }
}

/// Whether the call only reads (RFC 9110 § 9.2.1): repeating it changes nothing.
pub(crate) fn is_read(entry: &Entry) -> bool {
    let method = entry.meta.fingerprint.as_ref().map(|call| call.method.as_str());
    matches!(method, Some("GET" | "HEAD" | "OPTIONS"))
}

impl Commands {
    /// Starts a new run of the same workflow from the same stored event. The old run stays as it is.
    ///
    /// # Durability
    /// The new run is on disk when this returns. After a crash before that there may be one or none: `runs` tells.
    ///
    /// # Errors
    /// If the run or its event is not there, the run has not ended, or the store does not answer.
    pub async fn replay(&self, run: RunId, keys: Keys, operator: &Operator) -> Result<Replayed, Error> {
        let (run, journal) = self.load(run).await?;
        let seed = draw_key_seed(&*self.clock);
        let Decision { event, run: new, repeats } = decide(&run, &journal, keys, seed, &self.moment())?;
        let new_run = accept_replay(&*self.store, &self.rules, event, new).await?;
        tracing::info!(
            run = run.id.0,
            new_run = new_run.0,
            ?keys,
            note = operator.note("replayed"),
            "replayed"
        );
        (self.poke)();
        Ok(Replayed { run: run.id, new_run, keys, repeats })
    }
}
