//! A loop under way: which of its items run, and what happens when one has ended.
//!
//! Items are polled with the run's own waker, so that a run all of whose items wait on disk can rest.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context as Polled, Poll},
};

use bowline_model::{Error, Failure, Payload, Position, Result, ScopePath};
use serde_json::value::RawValue;

use super::{
    FAILED_NAMED_MAX, FailedItem, Source, Spec, Summary,
    list::Listed,
    progress::{DeadItem, Ended, NextPage, OpenPage, Progress},
    source::{Kind, PageRead, Pages},
};
use crate::{
    Context,
    asking::Asking,
    board::{BegunLoop, Board, EndedLoop, LoopEnd, LoopStart, NAME_BYTES_MAX, Scoped, Stop, too_long},
    fit::mismatch,
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

async fn recorded_end(cx: &Context, name: &str, most_dead: u64, ended: EndedLoop) -> Result<Summary> {
    let EndedLoop { leaf, key, summary, caused_by } = ended;
    let board = cx.board();
    let leaf = Asking { board, id: leaf, key };
    let end = leaf.outcome().await;
    let summary = match &summary {
        Some(summary) => leaf.decode::<Summary>(summary).await?,
        None => Summary::default(),
    };
    if let Some(left) = left(name, most_dead, &summary) {
        board.leave_dead(cx.item(), left);
    }
    match end {
        crate::leaf::Outcome::Failed(failure) => Err(with_entry(failure.into(), caused_by)),
        crate::leaf::Outcome::Done(_) | crate::leaf::Outcome::TimedOut => Ok(summary),
    }
}

fn with_entry(error: Error, entry: Option<bowline_model::EntryKey>) -> Error {
    match entry {
        Some(entry) => error.from_entry(entry),
        None => error,
    }
}

/// What a loop leaves for a person, in words.
fn left(name: &str, most_dead: u64, summary: &Summary) -> Option<String> {
    if most_dead == 0 || summary.dead == 0 {
        return None;
    }
    let of = thousands(summary.done + summary.dead);
    let first = summary.failed.first().map(|first| format!(": item {}: {}", first.item, first.why));
    let dead = thousands(summary.dead);
    Some(format!("{dead} of {of} items of loop \"{name}\" failed{}", first.unwrap_or_default()))
}

/// `5,000`
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An item that was not begun.
pub(super) struct Queued<T> {
    pub(super) key: String,
    /// The page that it is on, and its place there.
    pub(super) at: (u64, usize),
    pub(super) value: T,
}

/// A dead item that an operator took back, and that was not begun again.
struct Retried<T> {
    key: String,
    value: RetriedValue<T>,
}

enum RetriedValue<T> {
    /// It is in the list.
    Listed(T),
    /// As its note has it.
    Noted(Payload),
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

/// A page that was read.
#[derive(Default)]
struct Page {
    cursor: Option<Payload>,
    keys: HashSet<String>,
    ended: Ended,
    /// How many of its items have not ended.
    left: usize,
}

/// A page that is to be read.
struct ToRead {
    page: u64,
    /// Whether nobody has read it before, as far as the notes say.
    is_next: bool,
    cursor: Option<Payload>,
    ended: Ended,
}

impl ToRead {
    fn next(page: u64, cursor: Option<Payload>) -> Self {
        Self { page, is_next: true, cursor, ended: Ended::default() }
    }

    fn open(&self) -> OpenPage {
        OpenPage { page: self.page, cursor: self.cursor.as_ref().map(raw), ended: self.ended.clone() }
    }
}

type Reading<'a, T> = (ToRead, Scoped<'a, Result<PageRead<T>>>);

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

    fn take_list(&mut self, listed: Listed<T>, again: Vec<(String, Option<Payload>)>) {
        self.progress.total = Some(listed.total as u64);
        self.progress.again = listed.again;
        self.progress.keys = listed.keys;
        let mut page = Page { ended: listed.ended, left: 0, ..Page::default() };
        let mut dead = HashMap::new();
        for queued in listed.items {
            if self.set_apart.contains(&queued.key) {
                page.ended.add(queued.at.1);
                dead.insert(queued.key, queued.value);
            } else if !page.ended.has(queued.at.1) {
                page.left += 1;
                self.queue.push_back(queued);
            }
        }
        let listed = again.into_iter().filter_map(|(key, _)| {
            let value = RetriedValue::Listed(dead.remove(&key)?);
            Some(Retried { key, value })
        });
        self.retried.extend(listed);
        self.open.insert(0, page);
        self.begin_as_noted();
        self.begin_recorded();
    }

    /// Items that may have been under way at a crash are first, in the order in which they were begun, whatever the list's
    /// order is today.
    fn begin_as_noted(&mut self) {
        let noted = self.progress.begins.iter().enumerate();
        let noted: HashMap<usize, usize> = noted.map(|(nth, place)| (*place, nth)).collect();
        let turn = |queued: &Queued<T>| noted.get(&queued.at.1).copied().unwrap_or(usize::MAX);
        self.queue.make_contiguous().sort_by_key(turn);
    }

    /// Before an item of a keyed list begins, a note says that it may.
    fn note_that_it_begins(&mut self, place: usize) {
        let is_keyed_list = self.pages.is_none() && self.spec.key.is_some();
        if is_keyed_list && !self.progress.begins.contains(&place) {
            self.note(false);
        }
    }

    /// See [`Progress::begins`].
    fn begins(&self) -> Vec<usize> {
        if self.pages.is_some() || self.spec.key.is_none() {
            return vec![];
        }
        let mut begins: Vec<_> = self.running.iter().filter_map(|running| running.at).collect();
        // As many can end before the next note as run side by side.
        let next = (self.spec.limit * 2).saturating_sub(begins.len());
        begins.extend(self.queue.iter().take(next).map(|queued| queued.at));
        begins.into_iter().map(|(_, place)| place).collect()
    }

    /// Dead items, as their notes say it; those that an operator took back, with what is needed to run them again.
    fn take_dead(&mut self) -> Vec<(String, Option<Payload>)> {
        let mut again = Vec::new();
        self.progress.dead = 0;
        let mut last = None;
        for (item, note) in std::mem::take(&mut self.begun.dead) {
            self.set_apart.insert(item.item.clone());
            if note.forgotten {
                let value = item.value.map(|value| Payload::from_stored(value.get().to_owned()));
                again.push((item.item, value));
                continue;
            }
            self.progress.dead += 1;
            self.name_failed(&item.item, &note.failure);
            last = Some((item.item, with_entry(note.failure.into(), note.caused_by)));
        }
        if let Some((item, error)) = last.filter(|_| self.progress.dead > self.spec.most_dead) {
            self.failed = Some(self.stopping(&item, &error));
        }
        again
    }

    fn take_pages(&mut self, is_new: bool) {
        let cursor = |raw: Option<Box<RawValue>>| raw.map(|raw| Payload::from_stored(raw.get().to_owned()));
        let open = std::mem::take(&mut self.progress.pages).into_iter();
        self.again = open
            .map(|open| ToRead {
                page: open.page,
                is_next: false,
                cursor: cursor(open.cursor),
                ended: open.ended,
            })
            .collect();
        self.next = match self.progress.next.take() {
            Some(next) => Some(ToRead::next(next.page, cursor(next.cursor))),
            None => is_new.then(|| ToRead::next(1, None)),
        };
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
                self.board().item_done(&scope);
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

    fn mark(&mut self, page: u64, place: usize) {
        let Some(page) = self.open.get_mut(&page) else { return };
        page.ended.add(place);
        page.left -= 1;
    }

    fn name_failed(&mut self, item: &str, failure: &Failure) {
        if self.failed_items.len() < FAILED_NAMED_MAX {
            self.failed_items.push(FailedItem { item: item.to_owned(), why: failure.to_string() });
        }
    }

    /// The error of an item, as the loop fails with it.
    fn stopping(&self, item: &str, error: &Error) -> Error {
        let mut failure = error.failure().clone();
        if error.entry().is_none() {
            failure.message = format!("item {item} of loop \"{}\": {}", self.spec.name, failure.message);
        }
        if self.spec.most_dead > 0 {
            let most = thousands(self.spec.most_dead);
            failure
                .message
                .push_str(&format!(" (past the limit of {most} dead items of loop \"{}\")", self.spec.name));
        }
        with_entry(failure.into(), error.entry().cloned())
    }

    fn poll_reading(&mut self, polled: &mut Polled<'_>) -> bool {
        let Some((_, reading)) = &mut self.reading else { return false };
        let Poll::Ready(read) = Pin::new(reading).poll(polled) else { return false };
        let Some((to_read, _)) = self.reading.take() else { return false };
        match read {
            Ok(read) => self.take_page(to_read, read),
            Err(error) => {
                self.failed.get_or_insert(error);
                self.broken = Some(to_read);
            }
        }
        true
    }

    fn take_page(&mut self, to_read: ToRead, read: PageRead<T>) {
        let ToRead { page, is_next, cursor, ended } = to_read;
        if is_next {
            self.next = read.next.map(|cursor| ToRead::next(page + 1, Some(cursor)));
        }
        let mut new = Page { cursor, ended, ..Page::default() };
        let Some(key_of) = &self.spec.key else { return };
        for (place, value) in read.items.into_iter().enumerate() {
            let key = key_of(&value);
            if new.ended.has(place) {
                new.keys.insert(key);
            } else if self.set_apart.contains(&key) {
                new.ended.add(place);
            } else if new.keys.contains(&key) || self.open.values().any(|page| page.keys.contains(&key)) {
                self.progress.again += 1;
                new.ended.add(place);
                // As after a crash, when it is one that has ended.
                new.keys.insert(key);
            } else {
                new.keys.insert(key.clone());
                new.left += 1;
                self.queue.push_back(Queued { key, at: (page, place), value });
            }
        }
        self.open.insert(page, new);
        self.begin_recorded();
    }

    /// Items of which something is recorded run whatever the limit: what is recorded must be asked for.
    fn begin_recorded(&mut self) {
        // Later on what is known of an item is from when its key came before.
        if self.begun.recorded.is_empty() || self.is_live {
            return;
        }
        for queued in std::mem::take(&mut self.queue) {
            match self.begun.recorded.contains(&self.begun.item_scope(&queued.key)) {
                true => self.run_queued(queued),
                false => self.queue.push_back(queued),
            }
        }
    }

    fn begin_items(&mut self) -> bool {
        let mut begins = false;
        while !self.retried.is_empty() || !self.queue.is_empty() {
            // Items of recorded pages that are found again have their places first.
            let waits = !self.retried.is_empty() && self.finds_pages();
            if waits || !self.may_begin() || self.board().holds_back() {
                break;
            }
            if !self.begin_retried() {
                self.begin_queued();
            }
            begins = true;
        }
        begins
    }

    fn begin_queued(&mut self) {
        let Some(place) = self.queue.front().map(|queued| queued.at.1) else { return };
        self.note_that_it_begins(place);
        if let Some(queued) = self.queue.pop_front() {
            self.run_queued(queued);
        }
    }

    /// Begins the next of the dead items that run again; says whether there was one.
    fn begin_retried(&mut self) -> bool {
        let Some(Retried { key, value }) = self.retried.pop_front() else { return false };
        self.board().item_again(&self.begun.item_scope(&key));
        match (value, &self.pages) {
            (RetriedValue::Listed(value), _) => self.run(key, None, None, value),
            (RetriedValue::Noted(noted), Some(pages)) => match (pages.decode)(&noted) {
                Ok(value) => self.run(key, None, Some(noted), value),
                Err(error) => {
                    self.board().lock().stop.get_or_insert(unreadable(&key, &error));
                }
            },
            (RetriedValue::Noted(_), None) => unreachable!("items of a list are in the list"),
        }
        true
    }

    fn may_begin(&self) -> bool {
        let board = self.board();
        // What was under way at a crash was so under the limit of then: it is found before anything new is sent.
        let is_found_again = self.limit_before > 0 && !self.is_live;
        let (limit, unnoted) = match is_found_again {
            true => {
                let limit = self.spec.limit.max(self.limit_before);
                (limit, limit * 2)
            }
            false => (self.spec.limit, self.spec.limit),
        };
        // A loop that stops begins no item; but what was under way as the process died comes to its end: beside those that
        // stopped it.
        let places = match &self.failed {
            None => limit,
            Some(_) if is_found_again && board.is_in_doubt() => {
                let stopping = self.progress.dead.saturating_sub(self.spec.most_dead);
                limit.saturating_sub(usize::try_from(stopping).unwrap_or(usize::MAX))
            }
            Some(_) => return false,
        };
        self.running.len() < places && self.unnoted < unnoted && !board.is_write_awaited()
    }

    fn run_queued(&mut self, queued: Queued<T>) {
        let kept = self.pages.as_ref().and_then(|pages| (pages.encode)(&queued.value).ok());
        self.run(queued.key, Some(queued.at), kept, queued.value);
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

    /// Whether a page is recorded whose items are not found again yet.
    fn finds_pages(&self) -> bool {
        let reading = self.reading.as_ref().map(|(to_read, _)| to_read);
        let mut unread = reading.into_iter().chain(&self.again).chain(&self.next);
        unread.any(|to_read| self.board().has_page(&self.begun.scope, to_read.page))
    }

    /// Reads a page when no item is left to begin, or when it is recorded.
    fn read_next(&mut self) -> bool {
        if self.reading.is_some() || self.broken.is_some() {
            return false;
        }
        let Some(pages) = &self.pages else { return false };
        let board = self.spec.cx.board();
        let is_recorded = |to_read: &ToRead| board.has_page(&self.begun.scope, to_read.page);
        let has_items = !self.retried.is_empty() || !self.queue.is_empty();
        let may_read = self.failed.is_none() && !board.holds_back();
        let again = self.again.pop_front_if(|again| may_read || is_recorded(again));
        let is_wanted = |next: &mut ToRead| may_read && !has_items || is_recorded(next);
        let Some(to_read) = again.or_else(|| self.next.take_if(is_wanted)) else { return false };
        let Some(key_of) = &self.spec.key else { return false };
        let read = (pages.read)(to_read.page, to_read.cursor.clone(), key_of);
        let read = Scoped::new(self.spec.cx.board().clone(), self.begun.inside(), read);
        self.reading = Some((to_read, read));
        true
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

    fn end(&mut self) -> (LeafId, Result<Summary>) {
        let Progress { done, dead, again, .. } = self.progress;
        let summary = Summary { done, dead, again, failed: std::mem::take(&mut self.failed_items) };
        let failed = self.failed.take();
        if failed.is_some() || dead > 0 {
            self.note(false);
        }
        let end = LoopEnd {
            payload: Payload::encode(&summary).ok(),
            failure: failed.as_ref().map(|error| (error.failure().clone(), error.entry().cloned())),
            left: left(self.spec.name, self.spec.most_dead, &summary),
            is_clean: failed.is_none() && dead == 0,
        };
        let leaf = self.board().end_loop(&self.begun, end);
        (leaf, failed.map_or(Ok(summary), Err))
    }
}

fn raw(payload: &Payload) -> Box<RawValue> {
    serde_json::from_slice(payload.as_bytes()).expect("a payload is one JSON document")
}

fn unreadable(key: &str, error: &str) -> Stop {
    mismatch(format!("item {key} was recorded in a form that today's type does not read: {error}"))
}
