//! A loop under way: which of its items run, and what happens when one has ended.
//!
//! Items are polled with the run's own waker, so that a run all of whose items wait on disk can rest.
//!
//! | Module | Story |
//! |---|---|
//! | `turns` | which item begins next |
//! | `pages` | which page is read when, and which items are on it |
//! | `end` | dead items, and the loop's end |

mod end;
mod pages;
mod turns;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context as Polled, Poll},
};

use bowline_model::{Error, Payload, Position, Result, ScopePath};
use serde_json::value::RawValue;

use self::{
    end::recorded_end,
    pages::{Page, Reading, ToRead},
    turns::{Retried, RetriedValue},
};
use super::{
    FailedItem, Source, Spec, Summary,
    list::Listed,
    progress::{DeadItem, NextPage, OpenPage, Progress},
    source::{Kind, Pages},
};
use crate::{
    asking::Asking,
    board::{BegunLoop, Board, LoopStart, NAME_BYTES_MAX, Scoped, Stop, too_long},
    journal::looped::Gone,
    leaf::LeafId,
};

/// Runs a loop to its end, or hands out its recorded end.
pub(super) async fn going<'a, T: Send + 'a>(spec: Spec<'a, T>, source: Source<'a, T>) -> Result<Summary> {
    let (cx, name, most_dead) = (spec.cx, spec.name, spec.most_dead);
    match cx.board().begin_loop(spec.name, cx.item()) {
        LoopStart::Misplaced(error) => Err(error),
        LoopStart::Stopped => std::future::pending().await,
        LoopStart::Ended(ended) => recorded_end(cx, name, most_dead, ended).await,
        LoopStart::Begun(begun) => {
            let mut going = Going::new(spec, begun);
            match going.begin(source) {
                Ok(()) => {
                    let (leaf, result) = poll_fn(|polled| going.poll(polled)).await;
                    // The code receives it as recovery will hand it out.
                    let key = going.begun.key.clone();
                    Asking { board: cx.board(), id: leaf, key }.outcome().await;
                    result
                }
                Err(stop) => {
                    cx.board().lock().stop.get_or_insert(stop);
                    std::future::pending().await
                }
            }
        }
    }
}

/// An item that was not begun.
pub(super) struct Queued<T> {
    pub(super) key: String,
    /// The page that it is on, and its place there.
    pub(super) at: (u64, usize),
    pub(super) value: T,
}

/// An item that runs.
struct Running<'a> {
    key: String,
    /// `None` for one that runs again after its page went.
    at: Option<(u64, usize)>,
    scope: ScopePath,
    /// The item, as a dead letter keeps it.
    kept: Option<Payload>,
    code: Scoped<'a, Result<()>>,
}

/// See the [module](self).
struct Going<'a, T> {
    spec: Spec<'a, T>,
    begun: BegunLoop,
    pages: Option<Pages<'a, T>>,
    progress: Progress,
    /// How many ran side by side before a crash.
    limit_before: usize,
    running: Vec<Running<'a>>,
    /// Whether what was recorded before this life has been handed out.
    is_live: bool,
    /// Dead items that run again, in the order in which they failed: before all others.
    retried: VecDeque<Retried<T>>,
    queue: VecDeque<Queued<T>>,
    open: BTreeMap<u64, Page>,
    /// Pages that were read in an earlier life, and have items left.
    again: VecDeque<ToRead>,
    next: Option<ToRead>,
    reading: Option<Reading<'a, T>>,
    /// The page that could not be read: a retry reads it again.
    broken: Option<ToRead>,
    /// Keys of dead items, and of those that run again.
    set_apart: HashSet<String>,
    failed_items: Vec<FailedItem>,
    /// Items that ended since the last note, and what goes with the next one.
    unnoted: usize,
    gone: Vec<Gone>,
    failed: Option<Error>,
}

impl<'a, T: Send + 'a> Going<'a, T> {
    fn new(spec: Spec<'a, T>, mut begun: BegunLoop) -> Self {
        let progress = begun.progress.take().unwrap_or_default();
        Self {
            limit_before: progress.limit,
            progress,
            pages: None,
            running: Vec::new(),
            is_live: false,
            retried: VecDeque::new(),
            queue: VecDeque::new(),
            open: BTreeMap::new(),
            again: VecDeque::new(),
            next: None,
            reading: None,
            broken: None,
            set_apart: HashSet::new(),
            failed_items: Vec::new(),
            unnoted: 0,
            gone: Vec::new(),
            failed: None,
            spec,
            begun,
        }
    }

    fn board(&self) -> &'a Board {
        self.spec.cx.board()
    }

    /// Takes up what the notes say.
    fn begin(&mut self, source: Source<'a, T>) -> Result<(), Stop> {
        let is_new = self.limit_before == 0;
        self.progress.limit = self.spec.limit;
        let again = self.take_dead();
        match source.0 {
            Kind::List(list) => {
                let listed = Listed::new(&self.spec, list, &self.progress, is_new)?;
                self.take_list(listed, again);
            }
            Kind::Pages(pages) => {
                self.take_pages(is_new);
                let noted = again.into_iter().map(|(key, value)| {
                    let value = value.unwrap_or_else(|| Payload::from_stored("null"));
                    Retried { key, value: RetriedValue::Noted(value) }
                });
                self.retried.extend(noted);
                self.pages = Some(pages);
            }
        }
        if self.begun.is_undone {
            // Nothing of it goes forward: what is unknown of any of them is to be found.
            while self.begin_retried() {}
        }
        // How many go side by side is known before they do.
        if self.limit_before < self.spec.limit {
            self.note(false);
        }
        Ok(())
    }

    fn poll(&mut self, polled: &mut Polled<'_>) -> Poll<(LeafId, Result<Summary>)> {
        // An item that runs again brings back what is recorded of it alone.
        self.is_live |= self.board().is_live();
        loop {
            let mut moved = self.poll_running(polled);
            moved |= self.poll_reading(polled);
            moved |= self.begin_items();
            moved |= self.read_next();
            if self.unnoted >= self.spec.limit {
                self.note(true);
            }
            if !moved {
                break;
            }
        }
        self.board().wake_when_loops_go_on(polled.waker());
        let has_items = !self.retried.is_empty() || !self.queue.is_empty();
        let has_more = has_items || self.next.is_some() || !self.again.is_empty();
        if !self.running.is_empty() || self.reading.is_some() || (has_more && self.failed.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(self.end())
    }

    fn poll_running(&mut self, polled: &mut Polled<'_>) -> bool {
        let (mut at, before) = (0, self.running.len());
        while at < self.running.len() {
            match Pin::new(&mut self.running[at].code).poll(polled) {
                Poll::Pending => at += 1,
                Poll::Ready(result) => {
                    let item = self.running.remove(at);
                    self.ended(item, result);
                }
            }
        }
        at < before
    }

    fn ended(&mut self, item: Running<'a>, result: Result<()>) {
        let Running { key, at, scope, kept, code } = item;
        drop(code);
        let left = self.board().take_left_dead(&scope);
        let result = match (result, left) {
            // What its own loops left for a person must be found from here.
            (Ok(()), Some(left)) => Err(Error::permanent(left.join("; "))),
            (result, _) => result,
        };
        match result {
            Ok(()) => {
                self.progress.settled.extend(self.board().item_done(&scope));
                self.progress.done += 1;
                self.gone.push(Gone::Scope(scope));
            }
            Err(error) => {
                let value = kept.as_ref().map(raw);
                let dead = DeadItem { item: key.clone(), value };
                self.board().item_dead(&self.begun.key, &scope, &dead, &error);
                self.progress.dead += 1;
                self.name_failed(&key, error.failure());
                self.set_apart.insert(key.clone());
                if self.progress.dead > self.spec.most_dead {
                    let stopping = self.stopping(&key, &error);
                    self.failed.get_or_insert(stopping);
                }
            }
        }
        self.unnoted += 1;
        if let Some((page, place)) = at {
            self.mark(page, place);
        }
    }

    fn run(&mut self, key: String, at: Option<(u64, usize)>, kept: Option<Payload>, value: T) {
        if key.len() > NAME_BYTES_MAX {
            self.board().lock().stop.get_or_insert(too_long("loop's item", &key));
            return;
        }
        let (scope, place) = (self.begun.item_scope(&key), self.begun.item(&key));
        let code = (self.spec.item)(self.spec.cx.of_item(scope.clone()), value);
        let code = Scoped::new(self.spec.cx.board().clone(), place, code);
        self.running.push(Running { key, at, scope, kept, code });
    }

    /// Notes how far the loop is. Pages that have ended go with it.
    fn note(&mut self, urgent: bool) {
        let is_list = self.pages.is_none();
        let ended = self.open.extract_if(.., |_, page| page.left == 0 && !is_list);
        let scope = self.begun.scope.clone();
        self.gone.extend(ended.map(|(page, _)| Gone::Page(scope.clone(), Position::Key(page.to_string()))));
        let open = self.open.iter().map(|(page, open)| OpenPage {
            page: *page,
            cursor: open.cursor.as_ref().map(raw),
            ended: open.ended.clone(),
        });
        let (reading, next) = match self.reading.as_ref().map(|(read, _)| read).or(self.broken.as_ref()) {
            Some(read) if read.is_next => (None, Some(read)),
            Some(read) => (Some(read), self.next.as_ref()),
            None => (None, self.next.as_ref()),
        };
        self.progress.pages = open.chain(reading.into_iter().chain(&self.again).map(ToRead::open)).collect();
        self.progress.begins = self.begins();
        self.progress.next =
            next.map(|next| NextPage { page: next.page, cursor: next.cursor.as_ref().map(raw) });
        self.unnoted = 0;
        self.board().note_progress(&self.begun.key, &self.progress, std::mem::take(&mut self.gone), urgent);
    }
}

fn raw(payload: &Payload) -> Box<RawValue> {
    serde_json::from_slice(payload.as_bytes()).expect("a payload is one JSON document")
}
