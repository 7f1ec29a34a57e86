//! Fork: a new run that takes what an ended one recorded before a step, and goes on from there by itself.

mod obstacles;

use std::collections::{BTreeMap, HashMap};

use bowline_ingress::accept::{accept_replay, draw_key_seed};
use bowline_model::{
    Entry, EntryKey, EntryKind, EntryMeta, EventId, Family, KeySeed, NewRun, Payload, Run, RunId, RunState,
    Seq, WorkflowName, entry::Role,
};
use serde::{Deserialize, Serialize};

use self::obstacles::Obstacles;
use super::{Commands, Error, Moment, Operator, replay::Repeat, replay::repeats};
use crate::view::step_name;

/// Most steps that an error names.
const NAMED_MAX: usize = 5;

/// What a fork did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forked {
    /// The run that was forked; it stays as it is.
    pub run: RunId,
    /// The new run; it is queued.
    pub new_run: RunId,
    /// The step from which on it does everything itself.
    pub from: String,
    /// Records that it takes: nothing of these is done or computed again.
    pub taken: usize,
    /// What the old run did, or may have done, that the new one will do again, under new keys, if the code still asks for it.
    pub repeats: Vec<Repeat>,
}

/// What a fork creates.
#[derive(Debug, Clone)]
pub struct Decision {
    /// From which event.
    pub event: EventId,
    /// The new run.
    pub run: NewRun,
    /// See [`Forked::taken`].
    pub taken: usize,
    /// See [`Forked::repeats`].
    pub repeats: Vec<Repeat>,
}

/// Decides what a fork creates: a run with the records before the first one of that step. What comes after is sent under
/// keys of `new_seed`.
///
/// # Errors
/// If the run has not ended or was undone, has no such step, or what comes before the step cannot be taken exactly: an effect
/// of which it is not known whether it happened, the address of a callback, a loop that is under way.
pub fn decide(
    run: &Run,
    journal: &[Entry],
    from: &str,
    new_seed: KeySeed,
    note: String,
    moment: &Moment,
) -> Result<Decision, Error> {
    match run.state {
        RunState::Completed | RunState::Cancelled | RunState::DeadLettered => {}
        RunState::Queued | RunState::Running | RunState::Waiting => return Err(Error::not_ended(run)),
    }
    // That a step can be undone is no undo.
    if journal.iter().any(|entry| entry.kind == EntryKind::Undoing) {
        return Err(Error::undone(run));
    }
    let (cut, step) = cut(run, journal, from)?;
    let (before, after): (Vec<&Entry>, Vec<&Entry>) = journal.iter().partition(|entry| entry.seq < cut);
    let mut obstacles = Obstacles::of(run, journal);
    before.iter().for_each(|entry| obstacles.pass(entry));
    if let Some(why) = obstacles.why(step) {
        return Err(Error::not_forkable(run, from, &why));
    }
    let entries = taken(&before, step, note, moment);
    let after: Vec<Entry> = after.into_iter().cloned().collect();
    let new_run = NewRun {
        workflow: run.workflow.clone(),
        key: run.key.clone(),
        priority: run.priority,
        parent: None,
        replay_of: Some(run.id),
        build: moment.build.clone(),
        key_seed: new_seed,
        due: None,
        flow: Default::default(),
        journal: entries,
    };
    let taken = new_run.journal.iter().filter(|entry| entry.kind.is_delivered()).count();
    Ok(Decision { event: run.event, run: new_run, taken, repeats: repeats(&after) })
}

/// Where the records of that step begin: at its first outcome, or else at the first that was tried of it.
fn cut<'a>(run: &Run, journal: &'a [Entry], from: &str) -> Result<(Seq, &'a EntryKey), Error> {
    let from = from.trim();
    let is_asked = |key: &EntryKey| is_of_step(key) && (step_name(key) == from || key.to_string() == from);
    let of_step = || journal.iter().filter(|entry| is_asked(&entry.key));
    let outcome = of_step().find(|entry| entry.kind.is_delivered());
    let first = outcome.or_else(|| of_step().next());
    let first = first.ok_or_else(|| Error::no_such_step(run, from, &namesakes(journal, from)))?;
    Ok((begin(journal, first), &first.key))
}

/// Where the records of the step of that entry begin. Those of a loop begin with the first of its items: its end comes last,
/// and the notes before it may be gone.
fn begin(journal: &[Entry], first: &Entry) -> Seq {
    if !is_of_loop(first) {
        return first.seq;
    }
    let scope = first.key.loop_scope();
    let is_of_it = |entry: &&Entry| entry.key == first.key || scope.encloses(&entry.key.scope);
    journal.iter().find(is_of_it).map_or(first.seq, |entry| entry.seq)
}

fn is_of_loop(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::Items | EntryKind::Looped)
}

/// Steps of that name in branches and items, each once, in order.
fn namesakes(journal: &[Entry], name: &str) -> Vec<String> {
    let mut found = vec![];
    for entry in journal.iter().filter(|entry| is_of_step(&entry.key) && entry.key.name == name) {
        let step = step_name(&entry.key);
        if found.len() < NAMED_MAX && !found.contains(&step) {
            found.push(step);
        }
    }
    found
}

/// Where a run can be forked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkPlace {
    /// The step, as people read it.
    pub step: String,
    /// Why it cannot be forked from there, if so.
    pub why_not: Option<String>,
}

/// Every step of a run that has ended, in the order of the journal, and whether the run can be forked from there. Of one
/// that has not: none.
pub fn places(run: &Run, journal: &[Entry]) -> Vec<ForkPlace> {
    if run.state.is_open() {
        return vec![];
    }
    let mut firsts: HashMap<String, &Entry> = HashMap::new();
    for entry in journal.iter().filter(|entry| is_of_step(&entry.key)) {
        let first = firsts.entry(step_name(&entry.key)).or_insert(entry);
        if entry.kind.is_delivered() && !first.kind.is_delivered() {
            *first = entry;
        }
    }
    let mut begins: HashMap<Seq, Vec<(String, &EntryKey)>> = HashMap::new();
    for (step, first) in firsts {
        begins.entry(begin(journal, first)).or_default().push((step, &first.key));
    }
    let mut obstacles = Obstacles::of(run, journal);
    let mut places = vec![];
    for entry in journal {
        for (step, key) in begins.remove(&entry.seq).into_iter().flatten() {
            places.push(ForkPlace { step, why_not: obstacles.why(key) });
        }
        obstacles.pass(entry);
    }
    places
}

/// An undo is no step of the code.
fn is_of_step(key: &EntryKey) -> bool {
    key.family != Family::Run && key.family != Family::Undo
}

/// The records of the new run: what was delivered, what decides which of it counts, and what undoes it, should the new run be
/// undone; with a note that says whose they are.
fn taken(before: &[&Entry], step: &EntryKey, note: String, moment: &Moment) -> Vec<Entry> {
    let mut entries = vec![Entry {
        seq: Seq(1),
        kind: EntryKind::Inherited,
        key: EntryKey::run(),
        at: moment.now,
        build: moment.build.clone(),
        meta: EntryMeta { note: Some(note), forked_from: Some(step.clone()), ..EntryMeta::default() },
        payload: Some(Payload::from_stored("[]")),
    }];
    let mut renumbered: BTreeMap<Seq, Seq> = BTreeMap::new();
    for entry in before.iter().filter(|entry| is_taken(entry.kind)) {
        let seq = Seq(entries.len() as i64 + 1);
        renumbered.insert(entry.seq, seq);
        let mut entry = (*entry).clone();
        entry.seq = seq;
        entry.meta.forgets =
            entry.meta.forgets.iter().filter_map(|seq| renumbered.get(seq).copied()).collect();
        entries.push(entry);
    }
    entries
}

fn is_taken(kind: EntryKind) -> bool {
    match kind.role() {
        Role::Outcome | Role::Answer | Role::Waited | Role::Work | Role::Operator | Role::Progress => true,
        Role::Undo => kind == EntryKind::Undo,
        // The old run's own: its attempts, its waits, its end.
        Role::Attempt | Role::Waiting | Role::Inherited | Role::End => false,
    }
}

/// What a fork would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The run.
    pub run: RunId,
    /// Its workflow.
    pub workflow: WorkflowName,
    /// See [`Forked::taken`].
    pub taken: usize,
    /// See [`Forked::repeats`].
    pub repeats: Vec<Repeat>,
}

impl Commands {
    /// What [`fork`](Self::fork) would do now; nothing is done.
    ///
    /// # Errors
    /// Those of [`decide`], or if the run is not there, or the store does not answer.
    pub async fn preview_fork(&self, run: RunId, from: &str) -> Result<Preview, Error> {
        let (run, journal) = self.load(run).await?;
        let Decision { taken, repeats, .. } =
            decide(&run, &journal, from, KeySeed(0), String::new(), &self.moment())?;
        Ok(Preview { run: run.id, workflow: run.workflow, taken, repeats })
    }

    /// Starts a new run that takes what the old one recorded before that step. The old run stays as it is.
    ///
    /// # Durability
    /// The new run is on disk with all that it takes when this returns. After a crash before that there may be one or none:
    /// `runs` tells.
    ///
    /// # Errors
    /// Those of [`decide`], or if the run or its event is not there, or the store does not answer.
    pub async fn fork(&self, run: RunId, from: &str, operator: &Operator) -> Result<Forked, Error> {
        let (run, journal) = self.load(run).await?;
        let seed = draw_key_seed(&*self.clock);
        let note =
            operator.note(&format!("takes what run {} recorded before {}: forked", run.id, from.trim()));
        let Decision { event, run: new, taken, repeats } =
            decide(&run, &journal, from, seed, note, &self.moment())?;
        let new_run = accept_replay(&*self.store, &self.rules, event, new).await?;
        tracing::info!(run = run.id.0, new_run = new_run.0, from, taken, "forked");
        (self.poke)();
        Ok(Forked { run: run.id, new_run, from: from.trim().to_owned(), taken, repeats })
    }
}
