//! What keeps a run from being forked from a step: looked for along its journal, once for all steps.

use std::collections::{BTreeMap, HashMap, HashSet};

use bowline_model::{Entry, EntryKey, EntryKind, Family, Run, ScopePath, Seq, entry::Role};

use super::is_of_loop;
use crate::{
    commands::{replay::is_read, retry::forgotten},
    view::step_name,
};

/// What stands in the way of a fork from where a walk along the journal is.
pub(super) struct Obstacles<'a> {
    /// Holds for every step of the run.
    of_run: Option<String>,
    /// Steps whose outcome is known when all is read.
    known: HashSet<&'a EntryKey>,
    steps: Standing<'a>,
    loops: Standing<'a>,
    callback: Option<&'a str>,
    /// The loops of the run, also those of whose notes nothing is left.
    inside: BTreeMap<ScopePath, &'a EntryKey>,
}

/// What the entries so far say of each key: in doubt or not, by those that count.
#[derive(Default)]
struct Standing<'a> {
    said: BTreeMap<&'a EntryKey, Vec<(Seq, IsOpen)>>,
    keys: HashMap<Seq, &'a EntryKey>,
}

type IsOpen = bool;

impl<'a> Standing<'a> {
    fn say(&mut self, entry: &'a Entry, is_open: IsOpen) {
        self.said.entry(&entry.key).or_default().push((entry.seq, is_open));
        self.keys.insert(entry.seq, &entry.key);
    }

    fn forget(&mut self, seq: Seq) {
        if let Some(said) = self.keys.remove(&seq).and_then(|key| self.said.get_mut(key)) {
            said.retain(|(of, _)| *of != seq);
        }
    }

    fn first_open(&self) -> Option<&'a EntryKey> {
        let is_open = |said: &[(Seq, IsOpen)]| said.last().is_some_and(|(_, is_open)| *is_open);
        self.said.iter().find(|(_, said)| is_open(said)).map(|(key, _)| *key)
    }
}

impl<'a> Obstacles<'a> {
    /// Before the first entry of that journal.
    pub(super) fn of(run: &Run, journal: &'a [Entry]) -> Self {
        // That a step can be undone is no undo.
        let is_undone = journal.iter().any(|entry| entry.kind == EntryKind::Undoing);
        let undone = || format!("run {} was undone: what it recorded is true no more; `replay` it", run.id);
        let forgotten = forgotten(journal);
        let counts = |entry: &&Entry| !forgotten.contains(&entry.seq);
        let known = journal.iter().filter(counts).filter(|entry| says_what_became(entry));
        Self {
            of_run: is_undone.then(undone),
            known: known.map(|entry| &entry.key).collect(),
            steps: Standing::default(),
            loops: Standing::default(),
            callback: None,
            inside: journal
                .iter()
                .filter(|entry| is_of_loop(entry))
                .map(|entry| (entry.key.loop_scope(), &entry.key))
                .collect(),
        }
    }

    /// Goes on behind that entry.
    pub(super) fn pass(&mut self, entry: &'a Entry) {
        for seq in &entry.meta.forgets {
            self.steps.forget(*seq);
            self.loops.forget(*seq);
        }
        match entry.kind.role() {
            Role::Outcome | Role::Operator if says_what_became(entry) => self.steps.say(entry, false),
            // What only reads changed nothing, whether it arrived or not.
            Role::Outcome | Role::Attempt if is_read(entry) => {}
            Role::Outcome => self.steps.say(entry, true),
            // What of it comes later is named among what the new run repeats.
            Role::Attempt if entry.meta.unknown_since.is_some() && !self.known.contains(&entry.key) => {
                self.steps.say(entry, entry.key.family != Family::Run);
            }
            Role::Progress if entry.kind == EntryKind::Items => self.loops.say(entry, true),
            Role::Work if entry.kind == EntryKind::Looped => self.loops.say(entry, false),
            Role::Answer if is_callback(&entry.key) => self.callback = Some(&entry.key.name),
            Role::Operator
            | Role::Attempt
            | Role::Progress
            | Role::Work
            | Role::Answer
            | Role::Waited
            | Role::Waiting
            | Role::Undo
            | Role::Inherited
            | Role::End => {}
        }
    }

    /// Why what is before that step, which comes next, cannot be taken exactly, if so.
    pub(super) fn why(&self, step: &EntryKey) -> Option<String> {
        if let Some(why) = &self.of_run {
            return Some(why.clone());
        }
        if let Some(name) = self.callback {
            return Some(format!(
                "before it the run made the address of a {name}, and a new run has another one"
            ));
        }
        if let Some(step) = self.steps.first_open() {
            let step = step_name(step);
            return Some(format!("before it the step {step} may have happened, and that is not known"));
        }
        let around = self.inside.iter().find(|(scope, _)| scope.encloses(&step.scope)).map(|(_, key)| *key);
        let looped = step_name(around.or_else(|| self.loops.first_open())?);
        Some(format!("it is inside the loop {looped}: fork from a step before the loop, or after it"))
    }
}

/// Whether it says for certain what became of its step.
fn says_what_became(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::StepDone | EntryKind::StepRefused | EntryKind::Settled)
}

fn is_callback(key: &EntryKey) -> bool {
    key.family == Family::Value && key.name.starts_with("callback ")
}
