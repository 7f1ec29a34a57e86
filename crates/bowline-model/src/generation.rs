//! Under which key a step sends: what operators' retries, lost answers and inherited keys make of it.
//!
//! An idempotency key has a **generation**. It rises only when an operator takes a definite refusal back, because some
//! remotes keep their refusal under the key. While an outcome is unknown the generation stays, so that a remote that
//! did act recognises the key.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DeadReason, Entry, EntryKey, EntryKind, Seq, entry::Role};

/// What is known of the keys of a run's steps: the ones that are not in generation 0 with nothing unknown.
#[derive(Debug, Clone, Default)]
pub struct Generations {
    keys: HashMap<EntryKey, Key>,
    failed: HashMap<Seq, (EntryKey, EntryKind, Option<Timestamp>)>,
    stale: Option<EntryKey>,
}

/// What is known of one step's key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Key {
    /// How many definite refusals were taken back.
    pub generation: u32,
    /// Since when an effect under this generation may have happened.
    pub unknown_since: Option<Timestamp>,
    /// Whether an operator decided that it may be sent again although the remote may have forgotten the key.
    pub consented: bool,
}

/// A key that a run takes over from another: an element of the payload of [`EntryKind::Inherited`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InheritedKey {
    /// The step.
    pub key: EntryKey,
    /// See [`Key::generation`].
    pub generation: u32,
    /// See [`Key::unknown_since`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<Timestamp>,
}

impl Generations {
    /// Reads a whole journal.
    pub fn read<'a>(journal: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut generations = Self::default();
        for entry in journal {
            generations.add(entry);
        }
        generations
    }

    /// Takes the next entry of the journal into account.
    pub fn add(&mut self, entry: &Entry) {
        match entry.kind.role() {
            Role::Outcome => self.ended(entry),
            Role::Attempt if entry.kind == EntryKind::Started => self.begun_again(&entry.key),
            Role::Attempt => self.unknown(entry),
            Role::Operator if entry.kind == EntryKind::Settled => self.settled(entry),
            Role::Operator => {
                self.take_back(&entry.meta.forgets);
                if let Some(key) = self.stale.take() {
                    self.keys.entry(key).or_default().consented = true;
                }
            }
            Role::Inherited => self.inherit(entry),
            Role::End if entry.kind == EntryKind::DeadLettered => {
                let stale = entry.meta.note.as_deref() == Some(DeadReason::Stale.as_str());
                self.stale = entry.meta.caused_by.clone().filter(|_| stale);
            }
            Role::End
            | Role::Answer
            | Role::Waited
            | Role::Work
            | Role::Progress
            | Role::Waiting
            | Role::Undo => {}
        }
    }

    fn ended(&mut self, entry: &Entry) {
        if entry.kind.is_failure() {
            self.unknown(entry);
            self.failed.insert(entry.seq, (entry.key.clone(), entry.kind, entry.meta.unknown_since));
        } else if let Some(key) = self.keys.get_mut(&entry.key) {
            // It is known now. The generation stays: a replay under the same keys needs it.
            key.unknown_since = None;
        }
    }

    /// Sent again by an operator's will: that covers what was unknown before, and nothing after.
    fn begun_again(&mut self, key: &EntryKey) {
        if let Some(key) = self.keys.get_mut(key).filter(|key| key.consented) {
            *key = Key { generation: key.generation, ..Key::default() };
        }
    }

    /// What is known of that step's key.
    pub fn get(&self, key: &EntryKey) -> Key {
        self.keys.get(key).copied().unwrap_or_default()
    }

    /// Whether anything is known of that step's key.
    pub fn knows(&self, key: &EntryKey) -> bool {
        self.keys.contains_key(key)
    }

    /// What a replay under the same keys must take over, in a stable order.
    pub fn inheritance(&self) -> Vec<InheritedKey> {
        let known = self.keys.iter().filter(|(_, key)| key.generation > 0 || key.unknown_since.is_some());
        let mut keys: Vec<_> = known
            .map(|(entry, key)| InheritedKey {
                key: entry.clone(),
                generation: key.generation,
                unknown_since: key.unknown_since,
            })
            .collect();
        keys.sort_by(|a, b| a.key.cmp(&b.key));
        keys
    }

    fn unknown(&mut self, entry: &Entry) {
        let Some(since) = entry.meta.unknown_since else { return };
        let key = self.keys.entry(entry.key.clone()).or_default();
        if std::mem::take(&mut key.consented) {
            // The consent was for what was unknown then; it has been sent again since.
            key.unknown_since = Some(since);
        } else {
            key.unknown_since.get_or_insert(since);
        }
    }

    fn take_back(&mut self, forgets: &[Seq]) {
        for seq in forgets {
            let Some((key, kind, unknown_since)) = self.failed.remove(seq) else { continue };
            let key = self.keys.entry(key).or_default();
            if kind == EntryKind::StepRefused {
                *key = Key { generation: key.generation + 1, ..Key::default() };
            } else {
                key.unknown_since = key.unknown_since.or(unknown_since);
            }
        }
    }

    /// An operator knows what became of the step. What else was unknown stays so: nobody consented to sending it again.
    fn settled(&mut self, entry: &Entry) {
        self.take_back(&entry.meta.forgets);
        self.stale.take_if(|stale| *stale == entry.key);
        let key = self.keys.entry(entry.key.clone()).or_default();
        // What did not happen is sent under a new key: the remote may have kept something under the old one.
        let generation = if entry.payload.is_some() { key.generation } else { key.generation + 1 };
        *key = Key { generation, ..Key::default() };
    }

    fn inherit(&mut self, entry: &Entry) {
        let keys = entry.payload.as_ref().and_then(|payload| payload.decode::<Vec<InheritedKey>>().ok());
        for InheritedKey { key, generation, unknown_since } in keys.into_iter().flatten() {
            self.keys.insert(key, Key { generation, unknown_since, consented: false });
        }
    }
}
