//! What is recorded of a run, and whether its code still fits it.
//!
//! Recovery takes entries out of here in the order in which the machine delivers them. What is left when nothing more
//! can be delivered tells that the code changed.

pub(crate) mod looped;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
};

use bowline_model::{
    BuildId, Entry, EntryKey, EntryKind, Family, Fingerprint, ScopePath, Seq,
    entry::Role,
    generation::{Generations, Key},
};
use jiff::Timestamp;

use self::looped::Looped;
use crate::undo::is_about_undo;

/// The recorded part of a journal that the code has not asked for yet.
#[derive(Default)]
pub(crate) struct Journal {
    recorded: BTreeMap<Seq, Entry>,
    by_key: HashMap<EntryKey, Seq>,
    /// What is recorded of items that will run again and have not begun: nobody can ask for it yet.
    set_aside: BTreeMap<ScopePath, Vec<Entry>>,
    tried: HashMap<EntryKey, TriedBefore>,
    /// Waits that were begun, also those whose end is recorded: what they waited for is held against what is asked.
    awaited: HashMap<EntryKey, Awaited>,
    generations: Generations,
    /// Entries between a failure that an operator's retry took back and that retry, and those of a run that is undone: the
    /// code may no longer ask for them.
    optional: Vec<Range<Seq>>,
    /// Steps of which an operator said what became of them, and where that was said last.
    settled: HashMap<EntryKey, Seq>,
    /// Where it was said of which that they happened.
    settled_at: BTreeMap<Seq, ScopePath>,
    /// Steps that an entry says were begun, with the time of the first: what became of the attempt no entry says.
    begun: HashMap<EntryKey, Timestamp>,
    /// Whether something of the run can be undone.
    has_undos: bool,
    /// Steps with a note of what undoes them.
    undos: HashSet<EntryKey>,
    /// A dead letter was made of this run without a look at what was in flight: since when that may have been sent.
    in_flight_since: Option<Timestamp>,
    /// When an operator retried the run last.
    retried_at: Option<Timestamp>,
    /// Whether the run is undone.
    is_undone: bool,
    last_seq: i64,
    /// Entries that the journal holds: fewer than its last number where ended items of loops were compacted.
    live: i64,
    /// What is recorded of loops.
    pub(crate) looped: Looped,
}

/// A wait that was begun.
#[derive(Clone)]
pub(crate) struct Awaited {
    pub(crate) due: Option<Timestamp>,
    pub(crate) why: Option<String>,
    pub(crate) build: BuildId,
}

/// What notes say of a step that has no outcome yet.
#[derive(Clone)]
pub(crate) struct TriedBefore {
    pub(crate) attempts: u32,
    pub(crate) first_sent: Timestamp,
    pub(crate) next_at: Option<Timestamp>,
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Whether the code went on without it.
    is_dropped: bool,
}

impl Journal {
    /// Reads a run's entries, in order.
    ///
    /// Entries that an operator's retry forgot are left out.
    pub(crate) fn read(entries: Vec<Entry>) -> Self {
        // Undos are no part of what the workflow's code does.
        Self::read_where(entries, |entry| entry.key.family != Family::Undo || entry.kind == EntryKind::Undo)
    }

    /// As [`read`](Self::read), of those entries only.
    pub(crate) fn read_where(entries: Vec<Entry>, counts: impl Fn(&Entry) -> bool) -> Self {
        let mut journal = Self { looped: Looped::read(&entries), ..Self::default() };
        for entry in entries {
            journal.last_seq = entry.seq.0;
            journal.live += 1;
            journal.has_undos |= is_about_undo(&entry);
            if !counts(&entry) {
                continue;
            }
            journal.generations.add(&entry);
            journal.read_entry(entry);
        }
        journal
    }

    fn read_entry(&mut self, entry: Entry) {
        match entry.kind.role() {
            Role::Outcome | Role::Answer | Role::Waited | Role::Work => self.record(entry),
            Role::Attempt => self.attempt(&entry),
            Role::Operator if entry.kind == EntryKind::Settled => self.settle(entry),
            Role::Operator => {
                self.retried_at = Some(entry.at);
                self.forget(&entry);
            }
            Role::Undo if entry.kind == EntryKind::Undo => {
                self.undos.insert(entry.key.undone_step());
            }
            // The run was given up without a look at what was in flight.
            Role::Undo | Role::End => {
                if entry.kind == EntryKind::Undoing {
                    // What was found out since was not handed to the code, which may never come to it again.
                    self.optional.push(entry.seq..Seq(i64::MAX));
                    self.is_undone = true;
                }
                self.in_flight_since = earliest(self.in_flight_since, entry.meta.unknown_since);
            }
            Role::Waiting if entry.kind == EntryKind::Awaited => {
                let Entry { key, meta, build, .. } = entry;
                self.awaited.insert(key, Awaited { due: meta.next_at, why: meta.note, build });
            }
            // For people, and for loops, which read theirs by themselves.
            Role::Waiting | Role::Progress | Role::Inherited => {}
        }
    }

    /// What is known of a step without its outcome.
    fn attempt(&mut self, entry: &Entry) {
        if entry.kind == EntryKind::Started {
            return self.begin(entry);
        }
        if entry.kind == EntryKind::InFlight {
            // From here on the steps' own notes say it.
            let whole_run = entry.key.family == Family::Run;
            if !whole_run || entry.meta.unknown_since.is_some() {
                self.in_flight_since = entry.meta.unknown_since.filter(|_| whole_run);
            }
            return;
        }
        if entry.kind == EntryKind::Dropped {
            self.awaited.remove(&entry.key);
        }
        self.note_attempt(entry);
    }

    fn record(&mut self, entry: Entry) {
        self.tried.remove(&entry.key);
        self.begun.remove(&entry.key);
        self.by_key.insert(entry.key.clone(), entry.seq);
        self.recorded.insert(entry.seq, entry);
    }

    fn begin(&mut self, entry: &Entry) {
        if let Some(tried) = self.tried.get_mut(&entry.key) {
            tried.next_at = None;
        }
        self.begun.entry(entry.key.clone()).or_insert(entry.at);
    }

    fn note_attempt(&mut self, entry: &Entry) {
        if entry.meta.unknown_since.is_none() {
            self.begun.remove(&entry.key);
        }
        let first_sent = entry.meta.first_sent.unwrap_or(entry.at);
        let tried = self.tried.entry(entry.key.clone()).or_insert(TriedBefore {
            attempts: 0,
            first_sent,
            next_at: None,
            fingerprint: None,
            is_dropped: false,
        });
        tried.is_dropped = entry.kind == EntryKind::Dropped;
        tried.attempts = entry.meta.attempts;
        tried.next_at = entry.meta.next_at;
        tried.fingerprint = entry.meta.fingerprint.clone();
    }

    fn forget(&mut self, retry: &Entry) {
        // The schedule of a step that an operator tries again starts anew.
        self.tried.clear();
        let first = retry.meta.forgets.iter().min().copied();
        self.optional.extend(first.map(|first| first..retry.seq));
        for seq in &retry.meta.forgets {
            let Some(entry) = self.recorded.remove(seq) else { continue };
            self.by_key.remove(&entry.key);
            // A child that failed: the next ask starts another one.
            self.awaited.remove(&entry.key);
        }
    }

    /// What an operator says of a step is recorded like its outcome: at its place in the order, and required.
    fn settle(&mut self, entry: Entry) {
        self.forget(&entry);
        self.begun.remove(&entry.key);
        self.settled.insert(entry.key.clone(), entry.seq);
        if entry.payload.is_some() {
            self.settled_at.insert(entry.seq, entry.key.scope.clone());
            self.record(entry);
        }
    }

    /// What an operator said of the steps in that scope.
    pub(crate) fn settled_in(&self, scope: &ScopePath) -> Vec<Seq> {
        self.settled_at.iter().filter(|(_, at)| scope.encloses(at)).map(|(seq, _)| *seq).collect()
    }

    /// Nobody asks any more for that entry.
    pub(crate) fn pass(&mut self, seq: Seq) {
        let Some(entry) = self.recorded.remove(&seq) else { return };
        // Of an item that came again the step may be recorded once more.
        if self.by_key.get(&entry.key) == Some(&seq) {
            self.by_key.remove(&entry.key);
        }
    }

    /// Whether an operator said what became of that step.
    pub(crate) fn was_settled(&self, key: &EntryKey) -> bool {
        self.settled.contains_key(key)
    }

    /// Whether an operator said what became of that step after that entry.
    pub(crate) fn was_settled_after(&self, key: &EntryKey, seq: Seq) -> bool {
        self.settled.get(key).is_some_and(|settled| *settled > seq)
    }

    /// When an operator retried the run last.
    pub(crate) fn retried_at(&self) -> Option<Timestamp> {
        self.retried_at
    }

    /// Whether something of the run can be undone, or may be: its journal says so.
    pub(crate) fn has_undos(&self) -> bool {
        self.has_undos
    }

    /// An entry was appended.
    pub(crate) fn note_appended(&mut self, entry: &Entry) {
        self.has_undos |= is_about_undo(entry);
    }

    /// Whether it is noted what undoes that step.
    pub(crate) fn has_undo(&self, step: &EntryKey) -> bool {
        self.undos.contains(step)
    }

    /// The sequence number of the next entry to append.
    pub(crate) fn next_seq(&mut self) -> Seq {
        self.last_seq += 1;
        self.live += 1;
        Seq(self.last_seq)
    }

    /// The last entries that were appended are taken back: they were not written.
    pub(crate) fn take_back(&mut self, entries: usize) {
        let entries = i64::try_from(entries).expect("the entries of one run");
        self.last_seq -= entries;
        self.live -= entries;
        self.looped.take_back(self.last_seq);
    }

    /// The journal is that long on disk, whatever of its end was removed.
    pub(crate) fn at_least(&mut self, len: i64) {
        self.last_seq = self.last_seq.max(len);
    }

    /// So many entries are removed with the write under way.
    pub(crate) fn removes(&mut self, entries: usize) {
        self.live -= i64::try_from(entries).expect("the entries of one run");
    }

    /// An item will run again, and begins later: until then nobody asks for what is recorded of it.
    pub(crate) fn set_aside(&mut self, item: &ScopePath) {
        let of_item = self.recorded.extract_if(.., |_, entry| item.encloses(&entry.key.scope));
        let aside: Vec<Entry> = of_item.map(|(_, entry)| entry).collect();
        for entry in &aside {
            self.by_key.remove(&entry.key);
        }
        if !aside.is_empty() {
            self.set_aside.insert(item.clone(), aside);
        }
    }

    /// The item begins: what is recorded of it must be asked for. Says whether anything is.
    pub(crate) fn bring_back(&mut self, item: &ScopePath) -> bool {
        let Some(aside) = self.set_aside.remove(item) else { return false };
        for entry in aside {
            self.by_key.insert(entry.key.clone(), entry.seq);
            self.recorded.insert(entry.seq, entry);
        }
        true
    }

    /// Whether the run is undone.
    pub(crate) fn is_undone(&self) -> bool {
        self.is_undone
    }

    /// Nobody asks any more for what is recorded in that scope: its item or loop has ended.
    pub(crate) fn close(&mut self, scope: &ScopePath) {
        self.set_aside.retain(|item, _| !scope.encloses(item));
        self.recorded.retain(|_, entry| !scope.encloses(&entry.key.scope));
        self.by_key.retain(|key, _| !scope.encloses(&key.scope));
        self.tried.retain(|key, _| !scope.encloses(&key.scope));
        self.awaited.retain(|key, _| !scope.encloses(&key.scope));
    }

    /// The items of that loop of which something is recorded. What the code went on without tells nothing of whether an item
    /// was under way, and counts only where the run is undone: then it must be found out.
    pub(crate) fn items_of(&self, scope: &ScopePath) -> HashSet<ScopePath> {
        let tried =
            self.tried.iter().filter(|(_, tried)| self.is_undone || !tried.is_dropped).map(|(key, _)| key);
        let keys = self.by_key.keys().chain(tried).chain(self.awaited.keys());
        keys.filter_map(|key| looped::item_of(scope, &key.scope)).collect()
    }

    /// The number of the last entry.
    pub(crate) fn last_seq(&self) -> i64 {
        self.last_seq
    }

    /// How many entries there are, all kinds counted.
    pub(crate) fn len(&self) -> i64 {
        self.live
    }

    /// The wait of that key, if it was begun.
    pub(crate) fn awaited(&self, key: &EntryKey) -> Option<&Awaited> {
        self.awaited.get(key)
    }

    /// Whether recorded entries remain, whether the code must ask for them or not.
    pub(crate) fn has_recorded(&self) -> bool {
        !self.recorded.is_empty()
    }

    /// The first remaining entry that the code must still ask for.
    pub(crate) fn first_required(&self) -> Option<&Entry> {
        self.recorded.values().find(|entry| self.is_required(entry))
    }

    /// Whether the code must still ask for something.
    pub(crate) fn has_required(&self) -> bool {
        self.first_required().is_some()
    }

    /// A question about a change decides nothing by itself: a line that asks it may be removed.
    fn is_required(&self, entry: &Entry) -> bool {
        entry.kind != EntryKind::Changed && !self.is_optional(entry.seq)
    }

    /// The first of them in that scope.
    pub(crate) fn first_required_in(&self, scope: &ScopePath) -> Option<&Entry> {
        let mut inside = self.recorded.values().filter(|entry| scope.encloses(&entry.key.scope));
        inside.find(|entry| !self.is_optional(entry.seq))
    }

    /// The recorded entry of that key.
    pub(crate) fn get(&self, key: &EntryKey) -> Option<&Entry> {
        self.recorded.get(self.by_key.get(key)?)
    }

    /// Takes the recorded entry of that key out: it is being delivered.
    pub(crate) fn take(&mut self, key: &EntryKey) -> Option<Entry> {
        let seq = self.by_key.remove(key)?;
        self.recorded.remove(&seq)
    }

    /// What notes say of that step's attempts.
    pub(crate) fn tried(&self, key: &EntryKey) -> Option<&TriedBefore> {
        self.tried.get(key)
    }

    /// Since when an attempt of that step may have had its effect that an entry says was begun.
    pub(crate) fn begun(&self, key: &EntryKey) -> Option<Timestamp> {
        self.begun.get(key).copied()
    }

    /// Under which generation of its key the step sends, and what is unknown of it.
    pub(crate) fn key(&self, key: &EntryKey) -> Key {
        self.generations.get(key)
    }

    /// Whether anything is recorded under that key.
    pub(crate) fn knows(&self, key: &EntryKey) -> bool {
        self.get(key).is_some()
            || self.tried(key).is_some()
            || self.awaited(key).is_some()
            || self.generations.knows(key)
    }

    /// Whether that entry was made after a failure that an operator's retry took back: what the code sends there may
    /// have been worded by the failure.
    pub(crate) fn is_optional(&self, seq: Seq) -> bool {
        self.optional.iter().any(|range| range.contains(&seq))
    }

    /// Since when effects may have been sent that no entry of a step tells of.
    pub(crate) fn in_flight_since(&self) -> Option<Timestamp> {
        self.in_flight_since
    }
}

/// The earlier of both, if there is any.
pub(crate) fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    [a, b].into_iter().flatten().min()
}
