//! Loops of a run, as people read them: how far each is, and which of its items need a person.

use std::collections::{HashMap, HashSet};

use bowline_model::{Entry, EntryKey, EntryKind, ScopePath};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{step_name, timeline::cut};
use crate::{commands::retry::forgotten, wording::number};

/// Most loops of one run that a view shows: the last ones.
pub const LOOPS_MAX: usize = 50;
/// Most dead items of one loop that a view names: the first ones.
pub const DEAD_ITEMS_MAX: usize = 100;
/// How much of an item's key, and of why it failed, a view shows.
const ITEM_BYTES_MAX: usize = 200;
const WHY_BYTES_MAX: usize = 500;

/// One loop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopView {
    /// Its name as people read it.
    pub name: String,
    /// Whether it has come to its end.
    pub ended: bool,
    /// Items that are done.
    pub done: u64,
    /// Items that failed for good, and wait for a person.
    pub dead: u64,
    /// Items that came again while the first of their key was there, and were left out.
    #[serde(default)]
    pub again: u64,
    /// How many there are, where that is known: a list knows, pages do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// How many go side by side, while it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Pages with items that have not ended; a list is one page.
    #[serde(default)]
    pub pages_open: usize,
    /// The number of the page that is read next, from 0; `None`: all were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page: Option<u64>,
    /// The first [`DEAD_ITEMS_MAX`] of its dead items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead_items: Vec<DeadItemView>,
}

/// An item of a loop that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadItemView {
    /// Its key, or its place in the list.
    pub item: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: Timestamp,
    /// The step that it failed at, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// The payload of [`EntryKind::Items`], as far as people read it.
#[derive(Deserialize)]
struct Progress {
    #[serde(default)]
    done: u64,
    #[serde(default)]
    again: u64,
    #[serde(default)]
    total: Option<u64>,
    #[serde(default)]
    limit: usize,
    #[serde(default)]
    pages: Vec<IgnoredAny>,
    #[serde(default)]
    next: Option<Next>,
}

#[derive(Deserialize)]
struct Next {
    page: u64,
}

/// The payload of [`EntryKind::Looped`].
#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    done: u64,
    #[serde(default)]
    again: u64,
}

/// The payload of [`EntryKind::ItemDead`], as far as people read it.
#[derive(Deserialize)]
struct DeadItem {
    item: String,
}

/// The last [`LOOPS_MAX`] loops that a journal tells of, in the order of their beginning. A clean one leaves its end only.
pub(crate) fn of(journal: &[Entry]) -> Vec<LoopView> {
    let gone = forgotten(journal);
    let mut loops = Loops::default();
    for entry in journal.iter().filter(|entry| !gone.contains(&entry.seq)) {
        loops.add(entry);
    }
    let mut loops = loops.views;
    let older = loops.len().saturating_sub(LOOPS_MAX);
    loops.drain(..older);
    loops
}

#[derive(Default)]
struct Loops {
    views: Vec<LoopView>,
    at: HashMap<ScopePath, usize>,
    /// Items that were counted: one that died again after a retry is one.
    dead: HashSet<ScopePath>,
}

impl Loops {
    fn add(&mut self, entry: &Entry) {
        if entry.kind == EntryKind::Items {
            self.goes(entry);
        } else if entry.kind == EntryKind::ItemDead {
            self.dies(entry);
        } else if entry.kind == EntryKind::Looped {
            self.ends(entry);
        }
    }

    fn goes(&mut self, entry: &Entry) {
        let Some(Progress { done, again, total, limit, pages, next }) = payload(entry) else { return };
        let view = self.of(&entry.key);
        (view.ended, view.done, view.again, view.total) = (false, done, again, total);
        view.limit = Some(limit).filter(|limit| *limit > 0);
        (view.pages_open, view.next_page) = (pages.len(), next.map(|next| next.page));
    }

    fn ends(&mut self, entry: &Entry) {
        let summary: Option<Summary> = payload(entry);
        let view = self.of(&entry.key);
        // One that stopped has no sum: its last note tells.
        if let Some(Summary { done, again }) = summary {
            (view.done, view.again) = (done, again);
        }
        view.ended = true;
        (view.limit, view.pages_open, view.next_page) = (None, 0, None);
    }

    fn dies(&mut self, entry: &Entry) {
        let Some((around, segment)) = entry.key.scope.as_str().rsplit_once('/') else { return };
        let item = payload::<DeadItem>(entry).map_or_else(|| segment.to_owned(), |dead| dead.item);
        let failure = entry.meta.failure.as_ref().map(ToString::to_string);
        let is_new = self.dead.insert(entry.key.scope.clone());
        let view = self.of(&outside(&entry.key, around));
        if !is_new {
            return;
        }
        view.dead += 1;
        if view.dead_items.len() < DEAD_ITEMS_MAX {
            view.dead_items.push(DeadItemView {
                item: cut(item, ITEM_BYTES_MAX),
                why: cut(failure.unwrap_or_else(|| "nothing says why".to_owned()), WHY_BYTES_MAX),
                at: entry.at,
                step: entry.meta.caused_by.as_ref().map(|step| step.name.clone()),
            });
        }
    }

    /// The loop of that key.
    fn of(&mut self, key: &EntryKey) -> &mut LoopView {
        let at = *self.at.entry(key.loop_scope()).or_insert_with(|| {
            self.views.push(LoopView { name: step_name(key), ..LoopView::default() });
            self.views.len() - 1
        });
        &mut self.views[at]
    }
}

/// The loop's key, of that of a dead item of it, whose scope it is in.
fn outside(item: &EntryKey, around: &str) -> EntryKey {
    let outer = around.rsplit_once('/').map_or("", |(outer, _)| outer);
    EntryKey { scope: ScopePath::from_stored(outer), ..item.clone() }
}

fn payload<T: serde::de::DeserializeOwned>(entry: &Entry) -> Option<T> {
    entry.payload.as_ref()?.decode().ok()
}

impl LoopView {
    /// `4,312 done, 2 dead of 10,000; up to 16 side by side; 3 pages open, page 12 comes next`
    pub fn words(&self) -> String {
        let mut words = format!("{} done", number(self.done));
        if self.dead > 0 {
            words.push_str(&format!(", {} dead", number(self.dead)));
        }
        if let Some(total) = self.total {
            words.push_str(&format!(" of {}", number(total)));
        }
        if self.again > 0 {
            words.push_str(&format!("; {} came again and were left out", number(self.again)));
        }
        if let Some(limit) = self.limit {
            words.push_str(&format!("; up to {limit} side by side"));
        }
        if self.total.is_none() && !self.ended {
            let pages = if self.pages_open == 1 { "page" } else { "pages" };
            words.push_str(&format!("; {} {pages} open", self.pages_open));
            words.push_str(&match self.next_page {
                // People count from 1.
                Some(page) => format!(", page {} comes next", number(page + 1)),
                None => ", all are read".to_owned(),
            });
        }
        words
    }

    /// Dead items that the view does not name.
    pub fn more_dead(&self) -> u64 {
        self.dead.saturating_sub(self.dead_items.len() as u64)
    }
}
