//! Which item begins next, in this life and in a later one.

use std::collections::HashMap;

use bowline_model::Payload;

use super::{Going, Queued, pages::Page};
use crate::{board::Stop, fit::mismatch, loops::list::Listed};

/// A dead item that an operator took back, and that was not begun again.
pub(super) struct Retried<T> {
    pub(super) key: String,
    pub(super) value: RetriedValue<T>,
}

pub(super) enum RetriedValue<T> {
    /// It is in the list.
    Listed(T),
    /// As its note has it.
    Noted(Payload),
}

impl<'a, T: Send + 'a> Going<'a, T> {
    pub(super) fn take_list(&mut self, listed: Listed<T>, again: Vec<(String, Option<Payload>)>) {
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
    pub(super) fn begin_as_noted(&mut self) {
        let noted = self.progress.begins.iter().enumerate();
        let noted: HashMap<usize, usize> = noted.map(|(nth, place)| (*place, nth)).collect();
        let turn = |queued: &Queued<T>| noted.get(&queued.at.1).copied().unwrap_or(usize::MAX);
        self.queue.make_contiguous().sort_by_key(turn);
    }

    /// Items of which something is recorded run whatever the limit: what is recorded must be asked for.
    pub(super) fn begin_recorded(&mut self) {
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

    pub(super) fn begin_items(&mut self) -> bool {
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

    /// Begins the next of the dead items that run again; says whether there was one.
    pub(super) fn begin_retried(&mut self) -> bool {
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

    pub(super) fn begin_queued(&mut self) {
        let Some(place) = self.queue.front().map(|queued| queued.at.1) else { return };
        self.note_that_it_begins(place);
        if let Some(queued) = self.queue.pop_front() {
            self.run_queued(queued);
        }
    }

    pub(super) fn may_begin(&self) -> bool {
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

    /// Before an item of a keyed list begins, a note says that it may.
    pub(super) fn note_that_it_begins(&mut self, place: usize) {
        let is_keyed_list = self.pages.is_none() && self.spec.key.is_some();
        if is_keyed_list && !self.progress.begins.contains(&place) {
            self.note(false);
        }
    }

    /// See [`Progress::begins`].
    pub(super) fn begins(&self) -> Vec<usize> {
        if self.pages.is_some() || self.spec.key.is_none() {
            return vec![];
        }
        let mut begins: Vec<_> = self.running.iter().filter_map(|running| running.at).collect();
        // As many can end before the next note as run side by side.
        let next = (self.spec.limit * 2).saturating_sub(begins.len());
        begins.extend(self.queue.iter().take(next).map(|queued| queued.at));
        begins.into_iter().map(|(_, place)| place).collect()
    }

    pub(super) fn run_queued(&mut self, queued: Queued<T>) {
        let kept = self.pages.as_ref().and_then(|pages| (pages.encode)(&queued.value).ok());
        self.run(queued.key, Some(queued.at), kept, queued.value);
    }
}

fn unreadable(key: &str, error: &str) -> Stop {
    mismatch(format!("item {key} was recorded in a form that today's type does not read: {error}"))
}
