//! How far a run is that is undone: what is undone already, and what is left.

use std::collections::{BTreeMap, HashSet};

use bowline_model::{Entry, EntryKey, EntryKind, Family, Seq};
use serde::{Deserialize, Serialize};

use super::step_name;
use crate::commands::{replay::is_read, retry::forgotten};

/// Most steps that each list names; the others are counted.
pub const UNDOS_MAX: usize = 50;

/// A run that is undone, or was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoView {
    /// Why.
    pub why: String,
    /// Steps that are undone, in the order in which it was done.
    pub undone: Steps,
    /// Steps that are left to undo, in the order in which they will be.
    pub left: Steps,
    /// Steps that happened and that nothing undoes: no undo was given for them.
    pub kept: Steps,
}

/// Steps, the first [`UNDOS_MAX`] by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// Their names.
    pub names: Vec<String>,
    /// How many more there are.
    #[serde(default)]
    pub more: usize,
}

impl Steps {
    fn of<'a>(steps: impl Iterator<Item = &'a EntryKey>) -> Self {
        let mut names: Vec<String> = steps.map(|key| step_name(&key.undone_step())).collect();
        let more = names.len().saturating_sub(UNDOS_MAX);
        names.truncate(UNDOS_MAX);
        Self { names, more }
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.names.len() + self.more
    }
}

/// What a journal says of it; `None` if the run is not undone.
pub(super) fn of(journal: &[Entry]) -> Option<UndoView> {
    let undoing = journal.iter().rev().find(|entry| entry.kind == EntryKind::Undoing)?;
    let gone = forgotten(journal);
    let counts = |entry: &&Entry| !gone.contains(&entry.seq);
    let (mut undos, mut undone): (BTreeMap<&EntryKey, Seq>, Vec<&EntryKey>) = Default::default();
    let (mut happened, mut seen): (Vec<&EntryKey>, HashSet<&EntryKey>) = Default::default();
    for entry in journal.iter().filter(counts) {
        let is_done = entry.kind == EntryKind::StepDone || entry.is_settled_as_done();
        match entry.key.family {
            Family::Undo if entry.kind == EntryKind::Undo => {
                undos.insert(&entry.key, entry.seq);
            }
            Family::Undo if is_done && seen.insert(&entry.key) => undone.push(&entry.key),
            Family::Step if is_done && !is_read(entry) && seen.insert(&entry.key) => {
                happened.push(&entry.key);
            }
            Family::Undo
            | Family::Step
            | Family::Run
            | Family::Value
            | Family::Timer
            | Family::Message
            | Family::Child
            | Family::Branch
            | Family::State
            | Family::Transaction => {}
        }
    }
    let mut left: Vec<(Seq, &EntryKey)> =
        undos.iter().filter(|(key, _)| !seen.contains(**key)).map(|(key, seq)| (*seq, *key)).collect();
    left.sort_unstable_by_key(|(seq, _)| std::cmp::Reverse(*seq));
    let reversible: HashSet<EntryKey> = undos.keys().map(|key| key.undone_step()).collect();
    Some(UndoView {
        why: undoing.meta.note.clone().unwrap_or_default(),
        undone: Steps::of(undone.into_iter()),
        left: Steps::of(left.into_iter().map(|(_, key)| key)),
        kept: Steps::of(happened.into_iter().filter(|key| !reversible.contains(*key))),
    })
}
