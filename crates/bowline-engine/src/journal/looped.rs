//! What is recorded of loops: their notes, dead items, and which entries go when an item has ended.

use std::collections::{BTreeMap, HashMap, HashSet};

use bowline_model::{
    Entry, EntryKey, EntryKind, EntryMeta, Failure, Family, Payload, Position, ScopePath, Seq, entry::Role,
};

/// An entry inside a loop that is on disk.
#[derive(Debug)]
struct Logged {
    seq: Seq,
    kind: EntryKind,
    key: EntryKey,
    /// Whether it is a person's word that the step happened.
    is_settled_as_done: bool,
    /// What is known of a step whose effect is not.
    unknown: Option<Box<EntryMeta>>,
}

/// A dead item, as its note says it.
#[derive(Debug, Clone)]
pub(crate) struct DeadNote {
    seq: Seq,
    pub(crate) payload: Option<Payload>,
    pub(crate) failure: Failure,
    /// The step that it came from.
    pub(crate) caused_by: Option<EntryKey>,
    /// Whether an operator's retry took it back: the item runs again.
    pub(crate) forgotten: bool,
}

/// What went out of the run: its entries go too.
#[derive(Debug)]
pub(crate) enum Gone {
    /// An item that ended, or a loop.
    Scope(ScopePath),
    /// A page of that loop, all of whose items have ended.
    Page(ScopePath, Position),
    /// An item that is a dead letter: what is recorded of it stays.
    Dead(ScopePath),
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Looped {
    /// Loops that the journal tells of.
    scopes: HashSet<ScopePath>,
    /// Their entries on disk, by scope. Those of dead items stay, and are not here.
    logged: BTreeMap<ScopePath, Vec<Logged>>,
    /// The last note of each loop's progress.
    notes: HashMap<ScopePath, (Seq, Option<Payload>)>,
    /// Dead items, by their scopes.
    dead: BTreeMap<ScopePath, DeadNote>,
    /// What ended since the last write.
    gone: Vec<Gone>,
    /// Notes in whose place later ones are.
    replaced: Vec<Seq>,
    /// Entries up to that one were told of: what a run's end takes over once more is not new.
    told: i64,
}

impl Looped {
    /// Reads what a journal tells of loops.
    pub(super) fn read(entries: &[Entry]) -> Self {
        let mut looped = Self::default();
        let forgotten: HashSet<Seq> = entries.iter().flat_map(|entry| &entry.meta.forgets).copied().collect();
        for entry in entries {
            if matches!(entry.kind, EntryKind::Items | EntryKind::Looped) {
                looped.open(entry.key.loop_scope());
            } else if entry.kind == EntryKind::ItemDead {
                looped.is_dead(entry, forgotten.contains(&entry.seq));
            }
        }
        // A refusal that was taken back raised its key's generation: who asks under that key again must find it.
        let stays = |entry: &&Entry| !(entry.kind.is_failure() && forgotten.contains(&entry.seq));
        entries.iter().filter(stays).for_each(|entry| looped.log(entry));
        looped
    }

    /// A loop begins there.
    pub(crate) fn open(&mut self, scope: ScopePath) {
        self.scopes.insert(scope);
    }

    /// Whether any loop is known.
    pub(crate) fn is_used(&self) -> bool {
        !self.scopes.is_empty()
    }

    /// An item dies: what is recorded of it stays.
    pub(crate) fn dies(&mut self, entry: &Entry) {
        self.is_dead(entry, false);
        // In its turn: what ended inside it before goes.
        self.gone.push(Gone::Dead(entry.key.scope.clone()));
    }

    fn is_dead(&mut self, entry: &Entry, forgotten: bool) {
        let failure =
            entry.meta.failure.clone().unwrap_or_else(|| Failure::unknown("its note does not say why"));
        let caused_by = entry.meta.caused_by.clone();
        let note = DeadNote { seq: entry.seq, payload: entry.payload.clone(), failure, caused_by, forgotten };
        self.dead.insert(entry.key.scope.clone(), note);
    }

    /// A dead item runs again.
    pub(crate) fn lives(&mut self, item: &ScopePath) {
        self.dead.remove(item);
    }

    /// The dead items of a loop, in the order in which they failed.
    pub(crate) fn dead_of(&self, scope: &ScopePath) -> Vec<(ScopePath, DeadNote)> {
        let of = |item: &ScopePath| item_of(scope, item).as_ref() == Some(item);
        let dead = self.dead.iter().filter(|(item, _)| of(item));
        let mut dead: Vec<_> = dead.map(|(item, note)| (item.clone(), note.clone())).collect();
        dead.sort_by_key(|(_, note)| note.seq);
        dead
    }

    /// What the last note says of the progress of that loop.
    pub(crate) fn progress_of(&self, scope: &ScopePath) -> Option<Payload> {
        self.notes.get(scope)?.1.clone()
    }

    /// An item, a page or a loop has ended: its entries go with the next write.
    pub(crate) fn ends(&mut self, gone: Gone) {
        self.gone.push(gone);
    }

    /// What ended stays: how far its loop is will not be written.
    pub(crate) fn forget_ended(&mut self) {
        self.gone.clear();
    }

    /// Entries are on their way to disk.
    pub(crate) fn log(&mut self, entry: &Entry) {
        if entry.seq.0 <= self.told {
            return;
        }
        self.told = entry.seq.0;
        if entry.kind == EntryKind::Items {
            let note = (entry.seq, entry.payload.clone());
            if let Some((before, _)) = self.notes.insert(entry.key.loop_scope(), note) {
                self.unlog(&entry.key.scope, before);
                self.replaced.push(before);
            }
        }
        if entry.key.family == Family::Undo {
            return;
        }
        let scope = &entry.key.scope;
        let dies =
            |at: &ScopePath| self.gone.iter().any(|gone| matches!(gone, Gone::Dead(scope) if scope == at));
        let dead = |at: &ScopePath| self.dead.get(at).is_some_and(|note| !note.forgotten) && !dies(at);
        if !around(scope).any(|at| self.scopes.contains(&at)) || around(scope).any(|at| dead(&at)) {
            return;
        }
        let logged = Logged {
            seq: entry.seq,
            kind: entry.kind,
            key: entry.key.clone(),
            is_settled_as_done: entry.is_settled_as_done(),
            unknown: entry.meta.unknown_since.map(|_| Box::new(entry.meta.clone())),
        };
        self.logged.entry(scope.clone()).or_default().push(logged);
    }

    fn unlog(&mut self, scope: &ScopePath, seq: Seq) {
        if let Some(logged) = self.logged.get_mut(scope) {
            logged.retain(|entry| entry.seq != seq);
        }
    }

    /// Entries after that one were not written.
    pub(crate) fn take_back(&mut self, last: i64) {
        self.told = self.told.min(last);
        self.logged.values_mut().for_each(|logged| logged.retain(|entry| entry.seq.0 <= last));
    }

    /// The entries that go with the write under way, whose entries are logged.
    pub(crate) fn compact(&mut self) -> Vec<Seq> {
        let mut compact = std::mem::take(&mut self.replaced);
        for gone in std::mem::take(&mut self.gone) {
            match gone {
                Gone::Scope(scope) => {
                    compact.extend(removable(&self.take_logged(&scope)));
                    self.scopes.retain(|at| !scope.encloses(at));
                    if let Some((note, _)) = self.notes.remove(&scope) {
                        compact.push(note);
                        // Where the loop is itself in an item, it would go with that once more.
                        self.unlog(&outside(&scope), note);
                    }
                    self.notes.retain(|at, _| !scope.encloses(at));
                }
                Gone::Dead(scope) => drop(self.take_logged(&scope)),
                Gone::Page(scope, position) => {
                    let Some(logged) = self.logged.get_mut(&scope) else { continue };
                    let page: Vec<_> =
                        logged.extract_if(.., |entry| entry.key.position == position).collect();
                    compact.extend(removable(&page));
                }
            }
        }
        compact
    }

    /// What is logged of a scope and those in it.
    fn take_logged(&mut self, scope: &ScopePath) -> Vec<Logged> {
        let inside = self.logged.range(scope.clone()..);
        let inside = inside.take_while(|(at, _)| at.as_str().starts_with(scope.as_str()));
        let inside: Vec<_> = inside.map(|(at, _)| at).filter(|at| scope.encloses(at)).cloned().collect();
        inside.iter().filter_map(|at| self.logged.remove(at)).flatten().collect()
    }

    /// Whose outcome is unknown, of what is logged there, with what is known of it.
    pub(crate) fn unknown_in(&self, scope: &ScopePath) -> Vec<(Seq, EntryKey, EntryMeta)> {
        let inside = self.logged.range(scope.clone()..);
        let inside = inside.take_while(|(at, _)| at.as_str().starts_with(scope.as_str()));
        let inside = inside.filter(|(at, _)| scope.encloses(at)).flat_map(|(_, logged)| logged);
        let unknown = inside.filter(|entry| entry.kind == EntryKind::StepUnknown);
        unknown.filter_map(|entry| Some((entry.seq, entry.key.clone(), *entry.unknown.clone()?))).collect()
    }
}

/// The scope of the loop's item that encloses `inner`, if one does.
pub(crate) fn item_of(loop_scope: &ScopePath, inner: &ScopePath) -> Option<ScopePath> {
    let below = inner.as_str().strip_prefix(loop_scope.as_str())?.strip_prefix('/')?;
    let item = below.split('/').next()?;
    Some(ScopePath::from_stored(format!("{}/{item}", loop_scope.as_str())))
}

/// The scope that a scope is in.
fn outside(scope: &ScopePath) -> ScopePath {
    ScopePath::from_stored(scope.as_str().rsplit_once('/').map_or("", |(outside, _)| outside))
}

/// A scope and those around it.
fn around(scope: &ScopePath) -> impl Iterator<Item = ScopePath> + '_ {
    let text = scope.as_str();
    let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]).filter(|end| *end > 0);
    ends.map(|end| ScopePath::from_stored(&text[..end]))
}

/// Of the entries of something that ended, those that nobody needs any more: not what can be undone, and not what a later
/// send under the same key must know.
fn removable(logged: &[Logged]) -> Vec<Seq> {
    let is_done = |entry: &&Logged| entry.kind == EntryKind::StepDone || entry.is_settled_as_done;
    let done: HashSet<&EntryKey> = logged.iter().filter(is_done).map(|entry| &entry.key).collect();
    let goes = |entry: &&Logged| match entry.kind.role() {
        Role::Attempt => {
            entry.kind == EntryKind::Started || entry.unknown.is_none() || done.contains(&entry.key)
        }
        // What of it is unknown was noted when the item ended.
        Role::Outcome | Role::Answer | Role::Waited | Role::Work | Role::Progress | Role::Waiting => true,
        Role::Operator | Role::Undo | Role::Inherited | Role::End => false,
    };
    logged.iter().filter(goes).map(|entry| entry.seq).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_is_around_a_scope_and_which_item_it_is_in() {
        let scope = ScopePath::root().child("sync").child("a/b").child("all#1.0");
        let around: Vec<_> = around(&scope).map(|at| at.as_str().to_owned()).collect();
        assert_eq!(around, ["/sync", "/sync/a%2Fb", "/sync/a%2Fb/all#1.0"]);
        let sync = ScopePath::root().child("sync");
        assert_eq!(item_of(&sync, &scope).unwrap().as_str(), "/sync/a%2Fb");
        assert_eq!(item_of(&sync, &sync), None);
        assert_eq!(item_of(&sync, &ScopePath::root().child("sync2").child("a")), None);
    }
}
