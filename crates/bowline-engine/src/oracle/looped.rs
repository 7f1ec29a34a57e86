//! What a loop's end, and the journal of one under way, are held to.

use std::collections::{BTreeMap, BTreeSet};

use bowline_model::{Entry, EntryKind, Family, ScopePath};

use super::{
    disk::{Disk, is_page, items_around},
    program::{LoopShape, Over, Program},
    world::around,
};
use crate::loops::{DeadItems, Summary};

/// How many times a loop's limit of items may have entries: those that run, those that have ended since the last note, and
/// those that recovery finds besides.
const ITEMS_RECORDED_MAX: usize = 3;

impl Program {
    /// The loop of that scope.
    pub(super) fn shape_of(&self, looped: &ScopePath) -> &LoopShape {
        let name = looped.as_str().rsplit('/').next().unwrap_or_default();
        &self.loops[name]
    }
}

impl Disk {
    /// A loop that did not fail has gone over all its items, and says how each ended.
    pub(super) fn check_looped(&self, entry: &Entry, program: &Program) {
        let scope = entry.key.loop_scope();
        let summary: Summary = entry.payload.as_ref().expect("a summary").decode().expect("a summary");
        let Summary { done, dead, again, .. } = summary;
        let forgotten = self.forgotten();
        let is_dead = |note: &&Entry| note.kind == EntryKind::ItemDead && !forgotten.contains(&note.seq);
        let notes = self.entries.iter().filter(is_dead).filter(|note| around(&note.key.scope) == scope);
        assert_eq!(dead, notes.count() as u64, "{} says how many items are dead", scope.as_str());
        if entry.meta.failure.is_some() {
            return;
        }
        let shape = program.shape_of(&scope);
        let most = match shape.policy {
            DeadItems::Stop => 0,
            DeadItems::UpTo(most) => most,
            DeadItems::Skip => u64::MAX,
        };
        assert!(dead <= most, "{} leaves {dead} dead items: {:?}", scope.as_str(), shape.policy);
        let listed: Vec<u64> = match &shape.over {
            Over::Places(items) => (0..*items as u64).collect(),
            Over::Keys(keys) => keys.clone(),
            Over::Pages => self.listed.get(&scope).cloned().unwrap_or_default(),
        };
        assert_ne!(self.more.get(&scope), Some(&true), "{} has not read its last page", scope.as_str());
        let keys: BTreeSet<u64> = listed.iter().copied().collect();
        for key in &keys {
            let item = scope.child(&key.to_string());
            assert!(self.ran.contains(&item), "{} was left out", item.as_str());
        }
        let (told, all) = (done + dead + again, listed.len() as u64);
        // Of an item that is dead nobody counts how often it comes again.
        let is_exact = match dead {
            0 if self.is_strict() => told == all,
            _ => told <= all && done + dead >= keys.len() as u64,
        };
        assert!(is_exact, "{} has {all} items: {done} done, {dead} dead, {again} again", scope.as_str());
        if dead == 0 {
            // A refusal that was taken back raised its key's generation: that stays known.
            let is_left = |left: &&Entry| {
                left.kind.is_delivered() && scope.encloses(&left.key.scope) && !forgotten.contains(&left.seq)
            };
            let left = self.entries.iter().find(is_left);
            assert!(left.is_none(), "{} has ended and leaves {left:?}", scope.as_str());
        }
    }

    /// At most so many items go side by side. One that came before, and left something unknown, is found again by that.
    pub(super) fn check_limit(&self, looped: &ScopePath, running: usize, program: &Program) {
        let listed = self.listed.get(looped).map_or(&[][..], |listed| &listed[..]);
        let again = listed.len() - listed.iter().collect::<BTreeSet<_>>().len();
        let limit = program.shape_of(looped).limit;
        assert!(running <= limit + again, "{running} items of {} run, its limit is {limit}", looped.as_str());
    }

    /// Ended items leave the journal.
    pub(super) fn check_size(&self, program: &Program) {
        if !self.is_strict() {
            return;
        }
        let of_kind = |kind| self.entries.iter().filter(move |entry| entry.kind == kind);
        let closed: Vec<ScopePath> = of_kind(EntryKind::ItemDead)
            .map(|entry| entry.key.scope.clone())
            .chain(of_kind(EntryKind::Looped).map(|entry| entry.key.loop_scope()))
            .collect();
        let mut recorded: BTreeMap<ScopePath, BTreeSet<&str>> = BTreeMap::new();
        let counts =
            |entry: &&Entry| entry.kind.is_delivered() && entry.key.family != Family::Undo && !is_page(entry);
        for entry in self.entries.iter().filter(counts) {
            if closed.iter().any(|scope| scope.encloses(&entry.key.scope)) {
                continue;
            }
            for (looped, item) in items_around(&entry.key.scope) {
                recorded.entry(looped).or_default().insert(item);
            }
        }
        for (looped, items) in recorded {
            let most = program.shape_of(&looped).limit * ITEMS_RECORDED_MAX;
            assert!(items.len() <= most, "{} has entries of items {items:?}", looped.as_str());
        }
        let mut notes = BTreeSet::new();
        for note in of_kind(EntryKind::Items) {
            assert!(notes.insert(&note.key), "a later note of {} replaces the one before", note.key);
        }
    }
}
