//! The pages of a loop: which is read when, and which of its items are left.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    task::{Context as Polled, Poll},
};

use bowline_model::{Payload, Result};
use serde_json::value::RawValue;

use super::{Going, Queued, raw};
use crate::{
    board::Scoped,
    loops::{
        progress::{Ended, OpenPage},
        source::PageRead,
    },
};

/// A page that was read.
#[derive(Default)]
pub(super) struct Page {
    pub(super) cursor: Option<Payload>,
    pub(super) keys: HashSet<String>,
    pub(super) ended: Ended,
    /// How many of its items have not ended.
    pub(super) left: usize,
}

/// A page that is to be read.
pub(super) struct ToRead {
    pub(super) page: u64,
    /// Whether nobody has read it before, as far as the notes say.
    pub(super) is_next: bool,
    pub(super) cursor: Option<Payload>,
    pub(super) ended: Ended,
}

impl ToRead {
    pub(super) fn next(page: u64, cursor: Option<Payload>) -> Self {
        Self { page, is_next: true, cursor, ended: Ended::default() }
    }

    pub(super) fn open(&self) -> OpenPage {
        OpenPage { page: self.page, cursor: self.cursor.as_ref().map(raw), ended: self.ended.clone() }
    }
}

pub(super) type Reading<'a, T> = (ToRead, Scoped<'a, Result<PageRead<T>>>);

impl<'a, T: Send + 'a> Going<'a, T> {
    pub(super) fn take_pages(&mut self, is_new: bool) {
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

    /// Whether a page is recorded whose items are not found again yet.
    pub(super) fn finds_pages(&self) -> bool {
        let reading = self.reading.as_ref().map(|(to_read, _)| to_read);
        let mut unread = reading.into_iter().chain(&self.again).chain(&self.next);
        unread.any(|to_read| self.board().has_page(&self.begun.scope, to_read.page))
    }

    /// Reads a page when no item is left to begin, or when it is recorded.
    pub(super) fn read_next(&mut self) -> bool {
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

    pub(super) fn poll_reading(&mut self, polled: &mut Polled<'_>) -> bool {
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

    pub(super) fn take_page(&mut self, to_read: ToRead, read: PageRead<T>) {
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

    pub(super) fn mark(&mut self, page: u64, place: usize) {
        let Some(page) = self.open.get_mut(&page) else { return };
        page.ended.add(place);
        page.left -= 1;
    }
}
