//! What is on disk of a simulated run, whatever happens to its processes; and what each write, and whatever is sent, is held
//! to.
//!
//! Ended items of loops leave the journal. What has to be known of all that was ever written is kept beside it.

use std::collections::{BTreeMap, HashMap, HashSet};

use bowline_model::{Entry, EntryKey, EntryKind, Family, Position, ScopePath, Seq};

use super::{
    office::Office,
    program::{LOOP, Program},
    remote::{Remote, Sent, SimPage, What},
    seen::Log,
    sim::SEED,
    world::Observed,
};
use crate::{board::PAGE_STEP, key::idempotency_key};

pub(super) use super::seen::Unseen;

/// See the [module](self).
#[derive(Clone, Default)]
pub(super) struct Disk {
    /// What the journal holds.
    pub(super) entries: Vec<Entry>,
    /// Its last number.
    pub(super) len: i64,
    /// What the store knows of messages and counters.
    pub(super) post: Office,
    /// Items of loops whose code came to an end in any life.
    pub(super) ran: HashSet<ScopePath>,
    /// Whether a process died before the run was undone: anything that the code asked for may have been in flight.
    pub(super) crashed: bool,
    /// Whatever an entry was about.
    told: HashSet<EntryKey>,
    /// Under which idempotency key each step was sent, by its generation.
    keys: HashMap<(EntryKey, u32), String>,
    generations: HashMap<EntryKey, u32>,
    /// Idempotency keys whose outcome was recorded, and counts.
    outcomes: HashMap<String, EntryKey>,
    /// Those of them that were recorded as done.
    done: HashSet<String>,
    /// Idempotency keys of which a person said that nothing happened.
    never: HashSet<String>,
    /// What pages held that were recorded, by their loops; and whether more follow.
    pub(super) listed: BTreeMap<ScopePath, Vec<u64>>,
    pub(super) more: BTreeMap<ScopePath, bool>,
    /// What a person said of steps, where the item that they were in has ended.
    passed: HashSet<Seq>,
    /// What a life may observe.
    log: Log,
    /// Its last number as this life began.
    begun_at: i64,
    /// The last of the undos that were sent in this life.
    undoing_at: Option<Seq>,
}

impl Disk {
    /// A process begins with what is there.
    pub(super) fn begin_life(&mut self) {
        self.log = Log::of(&self.entries, &self.passed);
        self.undoing_at = None;
        self.begun_at = self.len;
    }

    /// Whether nothing was there when this life began.
    pub(super) fn is_first_life(&self) -> bool {
        self.begun_at == 0
    }

    /// Whether nothing of the run goes forward any more.
    pub(super) fn is_undoing(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == EntryKind::Undoing)
    }

    /// Whether no operator has let the run go on.
    pub(super) fn is_strict(&self) -> bool {
        !self.entries.iter().any(|entry| entry.kind == EntryKind::OperatorRetry)
    }

    /// Entries that no longer count.
    pub(super) fn forgotten(&self) -> HashSet<Seq> {
        self.entries.iter().flat_map(|entry| &entry.meta.forgets).copied().collect()
    }

    /// The code of a loop's item begins.
    pub(super) fn begin_item(&mut self, item: &ScopePath) {
        self.log.begin_item(item);
    }

    /// What the code observed is what it may.
    pub(super) fn check_seen(&self, observed: &[(ScopePath, Observed)], how: Unseen, when: &str) {
        self.log.check(observed, how, when);
    }

    /// A commit: those entries come, those go.
    pub(super) fn commit(
        &mut self,
        entries: Vec<Entry>,
        compact: &[Seq],
        remote: &Remote,
        program: &Program,
    ) {
        assert!(
            entries.iter().zip(self.len + 1..).all(|(entry, seq)| entry.seq.0 == seq),
            "after {}, a gap in the journal: {entries:?}",
            self.len
        );
        assert!(compact.is_empty() || !self.is_undoing(), "a run that is undone goes on with its loops");
        self.len += entries.len() as i64;
        if super::variable("BOWLINE_ORACLE_SEED").is_some() {
            tell(&entries, compact);
        }
        let mut ended = vec![];
        for entry in entries {
            self.note(&entry, remote);
            if entry.kind == EntryKind::Looped {
                ended.push(entry.clone());
            }
            self.entries.push(entry);
        }
        let gone: HashSet<&Seq> = compact.iter().collect();
        let there: HashSet<&Seq> = self.entries.iter().map(|entry| &entry.seq).collect();
        let absent: Vec<_> = compact.iter().filter(|seq| !there.contains(seq)).collect();
        assert!(absent.is_empty(), "entries {absent:?} are removed, and are not there");
        assert_eq!(gone.len(), compact.len(), "entries are removed twice: {compact:?}");
        self.pass_settled(&gone);
        self.entries.retain(|entry| !gone.contains(&entry.seq));
        for entry in ended {
            self.check_looped(&entry, program);
        }
        self.check_size(program);
    }

    /// What an item did goes when it ends, but not a person's word.
    fn pass_settled(&mut self, gone: &HashSet<&Seq>) {
        let of_item =
            |entry: &&Entry| gone.contains(&entry.seq) && entry.kind != EntryKind::Items && !is_page(entry);
        let ended: HashSet<ScopePath> =
            self.entries.iter().filter(of_item).map(|entry| item_around(&entry.key.scope)).collect();
        let settled = self.entries.iter().filter(|entry| entry.is_settled_as_done());
        let passed = settled.filter(|entry| ended.iter().any(|item| item.encloses(&entry.key.scope)));
        self.passed.extend(passed.map(|entry| entry.seq));
    }

    fn note(&mut self, entry: &Entry, remote: &Remote) {
        self.told.insert(entry.key.clone());
        self.take_back(entry);
        let generation = self.generation(&entry.key);
        let key = idempotency_key(SEED, &entry.key, &entry.key.name, generation);
        if let Some(sent) = key_behind(entry, remote) {
            let known = self.keys.entry((entry.key.clone(), generation)).or_insert_with(|| sent.clone());
            assert_eq!(known, sent, "step {} was sent under two keys", entry.key);
            assert_eq!(&key, sent, "step {} was sent under another step's key", entry.key);
        }
        let is_outcome =
            matches!(entry.kind, EntryKind::StepDone | EntryKind::StepRefused | EntryKind::StepUnknown);
        if is_outcome || entry.is_settled_as_done() {
            if !entry.kind.is_failure() {
                self.done.insert(key.clone());
            }
            self.outcomes.insert(key, entry.key.clone());
        }
        if let Some(page) = page_of(entry) {
            let listed = self.listed.entry(entry.key.scope.clone()).or_default();
            // An item that came again goes over its own listings once more.
            if entry.key.position == Position::Key("1".to_owned()) {
                listed.clear();
            }
            listed.extend(page.items);
            self.more.insert(entry.key.scope.clone(), page.next.is_some());
        }
        self.log.add(entry);
    }

    /// What an operator's entry takes back.
    fn take_back(&mut self, entry: &Entry) {
        for seq in &entry.meta.forgets {
            let Some(of) = self.entries.iter().find(|of| of.seq == *seq).filter(|of| of.kind.is_failure())
            else {
                continue;
            };
            let (key, kind) = (of.key.clone(), of.kind);
            let sent = idempotency_key(SEED, &key, &key.name, self.generation(&key));
            self.outcomes.remove(&sent);
            if kind == EntryKind::StepRefused {
                *self.generations.entry(key).or_default() += 1;
            }
        }
        if entry.kind == EntryKind::Settled {
            if entry.is_settled_as_done() {
                return;
            }
            let next = self.generation(&entry.key) + 1;
            let nevers = if self.is_undoing() { next + 1 } else { next };
            for generation in 0..nevers {
                self.never.insert(idempotency_key(SEED, &entry.key, &entry.key.name, generation));
            }
            self.generations.insert(entry.key.clone(), next);
        }
    }

    fn generation(&self, key: &EntryKey) -> u32 {
        self.generations.get(key).copied().unwrap_or(0)
    }

    /// The idempotency keys that the step may have been sent under.
    pub(super) fn keys_of<'a>(&'a self, key: &'a EntryKey) -> impl Iterator<Item = String> + 'a {
        (0..=self.generation(key)).map(|generation| idempotency_key(SEED, key, &key.name, generation))
    }

    /// What may be sent now, whatever was written and observed.
    pub(super) fn check_send(&mut self, what: &What, key: &str, remote: &Remote) {
        assert!(!self.never.contains(key), "{what:?} was sent, and a person had said that it did not happen");
        if let Some(of) = self.outcomes.get(key) {
            assert!(self.comes_again(&of.scope), "{what:?} was sent, and its outcome is on disk: {of}");
        }
        match (what, self.is_undoing()) {
            (What::Undo(value), true) => self.check_undo(*value, key, remote),
            (What::Undo(_), false) => panic!("{what:?} was sent, and nobody said that the run is undone"),
            (What::Page(_), true) => panic!("{what:?} was sent, and the run is undone"),
            (What::Find { reversible }, true) => {
                assert!(*reversible, "{what:?} was asked, and the run is undone");
            }
            (What::Step { reversible, .. }, true) => {
                assert!(*reversible, "{what:?} was sent, and the run is undone");
                assert!(
                    self.crashed || remote.was_sent(key),
                    "{what:?} was sent for the first time, and the run is undone"
                );
            }
            (What::Step { .. } | What::Page(_) | What::Find { .. }, false) => {}
        }
        if let What::Step { keyed: false, .. } | What::Find { .. } = what {
            self.check_without_keys(what, key, remote);
        }
    }

    /// A remote that knows no keys is sent what the disk says that it begins, and again only what did not happen.
    fn check_without_keys(&self, what: &What, key: &str, remote: &Remote) {
        let is_it = |of: &&EntryKey| self.keys_of(of).any(|under| under == key);
        if let What::Find { .. } = what {
            assert!(self.told.iter().any(|of| is_it(&of)), "it is asked for {key}, and nothing tells of it");
            return;
        }
        // Or that it may have: it was asked about, and is asked about again after a crash.
        let begins = |entry: &&Entry| entry.kind == EntryKind::Started || entry.meta.unknown_since.is_some();
        let of = self.entries.iter().filter(begins).map(|entry| &entry.key).find(is_it);
        let of = of.unwrap_or_else(|| panic!("{what:?} was sent, and the disk does not say that it begins"));
        let mut before = remote.sent.iter().filter(|sent| sent.key == key && sent.may_have_happened());
        // An item that a listing names again is done again.
        if !self.comes_again(&of.scope) {
            assert_eq!(before.next().map(|sent| &sent.what), None, "sent again, and may have happened");
        }
    }

    /// Newest first, each when what it was told of is on disk, and after it is known of every step whether it happened.
    fn check_undo(&mut self, value: u64, key: &str, remote: &Remote) {
        let undos = self.entries.iter().filter(|entry| entry.kind == EntryKind::Undo);
        let noted = |entry: &Entry| entry.payload.as_ref().and_then(|data| data.decode::<u64>().ok());
        let noted: HashMap<u64, Seq> = undos.filter_map(|entry| Some((noted(entry)?, entry.seq))).collect();
        let at = noted[&value];
        assert!(
            self.undoing_at.is_none_or(|before| at <= before),
            "{value} is newer than what was undone before"
        );
        self.undoing_at = Some(at);
        for (made_under, standing) in remote.standing() {
            assert!(
                noted.contains_key(&standing),
                "{value} is undone before it is known that {standing} was made under {made_under}"
            );
        }
        for before in remote.undos_answered.iter().filter(|before| *before != key) {
            assert!(
                self.outcomes.contains_key(before),
                "an undo began before that under {before} was on disk"
            );
        }
    }

    /// Whether an item around that scope was listed twice: then it may run again, under its keys.
    fn comes_again(&self, scope: &ScopePath) -> bool {
        items_around(scope).any(|(looped, item)| {
            let listed = self.listed.get(&looped).into_iter().flatten();
            listed.filter(|listed| listed.to_string() == item).count() > 1
        })
    }

    /// Whatever was sent, the journal told of it: by an outcome, or by a note that it may have happened.
    pub(super) fn check_told(&self, remote: &Remote) {
        // A run that is cancelled before it is known what was in flight at a crash says so of the whole.
        let of_whole = |entry: &Entry| entry.key == EntryKey::run() && entry.meta.unknown_since.is_some();
        if self.entries.iter().any(of_whole) {
            return;
        }
        let told: HashSet<String> = self.told.iter().flat_map(|key| self.keys_of(key)).collect();
        // To read a page twice harms nobody.
        let counts = |sent: &&Sent| !sent.unsent && !matches!(sent.what, What::Page(_));
        for sent in remote.sent.iter().filter(counts) {
            assert!(told.contains(&sent.key), "{:?} was sent, and the journal never told of it", sent.what);
        }
    }

    /// Steps that may have had their effect although nobody knows, and that the journal has not forgotten.
    pub(super) fn check_unknown(&self, remote: &Remote) {
        let of_whole = |entry: &Entry| entry.key == EntryKey::run() && entry.meta.unknown_since.is_some();
        if self.entries.iter().any(of_whole) {
            return;
        }
        let is_unknown =
            |entry: &&Entry| entry.meta.unknown_since.is_some() || entry.kind == EntryKind::Started;
        let unknown = self.entries.iter().filter(is_unknown);
        let known: HashSet<String> = unknown.flat_map(|entry| self.keys_of(&entry.key)).collect();
        for (key, made) in remote.made.iter().filter(|(_, made)| !made.is_page) {
            let is_told = known.contains(key) || self.done.contains(key) || self.never.contains(key);
            assert!(is_told, "{} was made under {key}, and nothing in the journal tells of it", made.value);
        }
    }
}

/// Says what is written, where one program is looked at.
fn tell(entries: &[Entry], compact: &[Seq]) {
    for Entry { seq, kind, key, meta, payload, .. } in entries {
        let failure = meta.failure.as_ref().map(|failure| &failure.message);
        let payload = payload.as_ref().map(|payload| String::from_utf8_lossy(payload.as_bytes()));
        let note = (&meta.note, meta.unknown_since.is_some(), &meta.forgets);
        println!("{seq} {kind:?} {:?} {key} {failure:?} {payload:?} {note:?}", key.family);
    }
    println!("-- written; gone: {compact:?}");
}

/// The idempotency key under which the attempt left that an entry is about; `None` if it is about none.
fn key_behind<'a>(entry: &Entry, remote: &'a Remote) -> Option<&'a String> {
    let about =
        entry.kind == EntryKind::AttemptFailed || entry.kind.is_delivered() || entry.is_settled_as_done();
    if !about || !matches!(entry.key.family, Family::Step | Family::Undo) {
        return None;
    }
    if let Some(failure) = &entry.meta.failure {
        return remote.key_of(failure.message.split(' ').nth(1)?.parse().ok()?);
    }
    if entry.key.family == Family::Undo {
        return None;
    }
    let value = match page_of(entry) {
        Some(page) => page.value,
        None => entry.payload.as_ref()?.decode().ok()?,
    };
    remote.maker_of(value)
}

/// Whether the entry is about the reading of a page: the code sees nothing of it.
pub(super) fn is_page(entry: &Entry) -> bool {
    entry.key.family == Family::Step && entry.key.name == PAGE_STEP
}

fn page_of(entry: &Entry) -> Option<SimPage> {
    entry.payload.as_ref().filter(|_| is_page(entry))?.decode().ok()
}

/// The loops' items around a scope, outermost first: the scope of the loop, and the item's key.
pub(super) fn items_around(scope: &ScopePath) -> impl Iterator<Item = (ScopePath, &str)> {
    let segments: Vec<&str> = scope.as_str().split('/').collect();
    let at = (1..segments.len().saturating_sub(1)).filter(move |at| {
        let text = scope.as_str().split('/').nth(*at).unwrap_or_default();
        text.starts_with(LOOP)
    });
    at.map(move |at| (ScopePath::from_stored(segments[..=at].join("/")), segments[at + 1]))
}

/// The item that a scope is in; the root outside of loops.
pub(super) fn item_around(scope: &ScopePath) -> ScopePath {
    items_around(scope).last().map_or_else(ScopePath::root, |(looped, item)| looped.child(item))
}
