//! What the code of a simulated run may observe: the delivered entries, in their order.
//!
//! The order is that of each loop's item by itself: items have ended that recovery need not wait for.

use std::collections::{BTreeMap, HashSet};

use bowline_model::{Entry, EntryKind, Family, ScopePath, Seq};

use super::{
    disk::{is_page, item_around},
    world::Observed,
};

/// What of a write's outcomes the code has not observed when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unseen {
    Nothing,
    /// Its last: the store decides it.
    Decision,
    /// The run ends or turns back, be it before its code was recovered.
    Anything,
    /// The run is undone: what its code draws and comes to besides is not written.
    Undoing,
}

/// What is there to observe in one life.
#[derive(Clone, Default)]
pub(super) struct Log {
    seen: Vec<Seen>,
    /// How much of it was there when the life began.
    begun: usize,
    /// Dead items that an operator took back, and that have not begun in this life: nothing is observed of them before.
    retried: HashSet<ScopePath>,
}

#[derive(Clone)]
struct Seen {
    item: ScopePath,
    what: Observed,
    /// Whether the code must come to it: an operator took back nothing before it.
    is_required: bool,
}

impl Log {
    /// Of a life that begins with that journal, `passed` left out.
    pub(super) fn of(entries: &[Entry], passed: &HashSet<Seq>) -> Self {
        let forgotten: HashSet<Seq> = entries.iter().flat_map(|entry| &entry.meta.forgets).copied().collect();
        let counts = |entry: &&Entry| !forgotten.contains(&entry.seq) && !passed.contains(&entry.seq);
        let optional: Vec<_> = entries
            .iter()
            .filter_map(|entry| Some(entry.meta.forgets.iter().min().copied()?..entry.seq))
            .collect();
        // What is found out while the run is undone is not handed to the code.
        let undone = entries.iter().find(|entry| entry.kind == EntryKind::Undoing);
        let undone = undone.map_or(Seq(i64::MAX), |entry| entry.seq);
        // Dead items and loops that ended are entered no more.
        let closed: Vec<ScopePath> = entries
            .iter()
            .filter(counts)
            .filter_map(|entry| match entry.kind {
                EntryKind::ItemDead => Some(entry.key.scope.clone()),
                EntryKind::Looped => Some(entry.key.loop_scope()),
                _ => None,
            })
            .collect();
        let open = |entry: &&Entry| !closed.iter().any(|scope| scope.encloses(&entry.key.scope));
        let seen = entries.iter().filter(counts).filter(open).filter_map(|entry| {
            let is_required = !optional.iter().any(|range| range.contains(&entry.seq)) && entry.seq < undone;
            Seen::of(entry, is_required)
        });
        let seen: Vec<_> = seen.collect();
        let is_retried = |entry: &&Entry| entry.kind == EntryKind::ItemDead && forgotten.contains(&entry.seq);
        let retried = entries.iter().filter(is_retried).map(|entry| entry.key.scope.clone()).collect();
        Self { begun: seen.len(), seen, retried }
    }

    /// The code of a loop's item begins.
    pub(super) fn begin_item(&mut self, item: &ScopePath) {
        self.retried.remove(item);
    }

    /// An entry was written in this life.
    pub(super) fn add(&mut self, entry: &Entry) {
        self.seen.extend(Seen::of(entry, true));
    }

    pub(super) fn check(&self, observed: &[(ScopePath, Observed)], how: Unseen, when: &str) {
        let seen = match (how, self.seen.split_last()) {
            (Unseen::Decision, Some((_, before))) => before,
            (Unseen::Undoing, _) => &self.seen[..self.begun],
            (Unseen::Nothing | Unseen::Decision | Unseen::Anything, _) => &self.seen[..],
        };
        let mut items: BTreeMap<&ScopePath, (Vec<&Observed>, Vec<&Seen>)> = BTreeMap::new();
        observed.iter().for_each(|(item, what)| items.entry(item).or_default().0.push(what));
        seen.iter().for_each(|seen| items.entry(&seen.item).or_default().1.push(seen));
        for (item, (observed, seen)) in items {
            if observed.is_empty() && self.retried.iter().any(|retried| retried.encloses(item)) {
                continue;
            }
            let fits = match seen.iter().all(|seen| seen.is_required) {
                true => is_in_order(&observed, &seen, how),
                false => is_all_there(&observed, &seen, how),
            };
            let on_disk: Vec<_> = seen.iter().map(|seen| &seen.what).collect();
            assert!(
                fits,
                "{when} ({how:?}), and {:?} has observed\n{observed:?}, of this on disk:\n{on_disk:?}",
                item.as_str()
            );
        }
    }
}

impl Seen {
    fn of(entry: &Entry, is_required: bool) -> Option<Self> {
        if !(entry.kind.is_delivered() || entry.is_settled_as_done())
            || entry.key.family == Family::Undo
            || is_page(entry)
        {
            return None;
        }
        Some(Self { item: item_around(&entry.key.scope), what: Observed::of(entry), is_required })
    }
}

fn is_in_order(observed: &[&Observed], seen: &[&Seen], how: Unseen) -> bool {
    // What is drawn while a run is undone is not written.
    let counts = |what: &&&Observed| how != Unseen::Undoing || !matches!(what, Observed::Drawn(..));
    let observed: Vec<_> = observed.iter().filter(counts).collect();
    let seen: Vec<_> = seen.iter().filter(|seen| counts(&&&seen.what)).collect();
    let is_prefix = seen.iter().zip(&observed).all(|(seen, observed)| seen.what == ***observed);
    match how {
        Unseen::Nothing | Unseen::Decision => is_prefix && observed.len() == seen.len(),
        Unseen::Anything => is_prefix && observed.len() <= seen.len(),
        Unseen::Undoing => is_prefix,
    }
}

/// After an operator's retry the code may take another way: what it observes is on disk, and what it must come to it did.
fn is_all_there(observed: &[&Observed], seen: &[&Seen], how: Unseen) -> bool {
    let mut left: Vec<&&Seen> = seen.iter().collect();
    for what in observed {
        // What must be observed goes first, so that what is left over is what need not be.
        let found =
            |required: bool| left.iter().position(|seen| seen.is_required == required && seen.what == **what);
        match found(true).or_else(|| found(false)) {
            Some(at) => left.remove(at),
            None => return how == Unseen::Undoing,
        };
    }
    matches!(how, Unseen::Anything | Unseen::Undoing) || left.iter().all(|seen| !seen.is_required)
}
