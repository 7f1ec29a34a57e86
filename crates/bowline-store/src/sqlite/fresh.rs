//! Runs that were accepted a moment ago, in memory: most are claimed at once, and need no read of what was just written.
//!
//! What comes in: events whose runs are on disk, with an empty journal. What goes out: each once, to who asks for its
//! history first. What must never happen here: a run that was written to since; the readers answer for those.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bowline_model::{Event, EventId, NewEvent, RunFlow, RunId};
use bytes::Bytes;

use super::row::{nanos, time};

/// All that is kept at a time; past it the oldest go.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A larger event is read from the disk: that costs its run little, and copying it would hold up the writer.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// What an event takes beside its texts, and one header beside its own.
const EVENT_OVERHEAD_BYTES: usize = 512;
const HEADER_OVERHEAD_BYTES: usize = 96;

/// Between the writer, which adds and removes, and who asks for histories.
#[derive(Default)]
pub(super) struct Fresh(Mutex<Kept>);

impl Fresh {
    /// For the writer, between a commit and its answers.
    pub(super) fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The events of those of the runs that are kept, in the order asked. They are kept no longer.
    pub(super) fn take(&self, runs: &[RunId]) -> Vec<Option<Event>> {
        let mut kept = self.lock();
        let found: Vec<_> = runs.iter().map(|run| kept.remove(*run)).collect();
        drop(kept);
        found.into_iter().map(|event| event.map(Arc::unwrap_or_clone)).collect()
    }

    /// Keeps nothing, now and later.
    pub(super) fn close(&self) {
        let mut kept = self.lock();
        *kept = Kept { is_closed: true, ..Kept::default() };
    }
}

/// Events by the runs that they started.
#[derive(Default)]
pub(super) struct Kept {
    /// Ids rise: the first is the oldest.
    by_run: BTreeMap<RunId, (Arc<Event>, usize)>,
    bytes: usize,
    is_closed: bool,
}

impl Kept {
    /// Keeps an event that was accepted under that id for the runs that it started.
    pub(super) fn add(&mut self, id: EventId, event: NewEvent, runs: &[RunId]) {
        let bytes = memory_bytes(&event);
        if self.is_closed || bytes > EVENT_BYTES_MAX {
            return;
        }
        // Later runs are not claimed now; those with a journal need a read for it.
        let at_once: Vec<RunId> = (event.runs.iter().zip(runs))
            .filter(|(new, _)| new.due.is_none() && new.journal.is_empty() && is_plain(&new.flow))
            .map(|(_, run)| *run)
            .collect();
        let event = Arc::new(as_stored(id, event));
        for run in at_once {
            self.by_run.insert(run, (Arc::clone(&event), bytes));
            self.bytes += bytes;
        }
        while self.bytes > KEPT_BYTES_MAX
            && let Some((_, (_, bytes))) = self.by_run.pop_first()
        {
            self.bytes -= bytes;
        }
    }

    /// Forgets a run that was written to.
    pub(super) fn remove(&mut self, run: RunId) -> Option<Arc<Event>> {
        let (event, bytes) = self.by_run.remove(&run)?;
        self.bytes -= bytes;
        Some(event)
    }
}

/// Whether a run begins as it came: alone, and with its own event.
fn is_plain(flow: &RunFlow) -> bool {
    flow.gather.is_none() && flow.unique.is_none() && flow.rate.is_none()
}

/// The event as a read of the disk gives it back.
fn as_stored(id: EventId, event: NewEvent) -> Event {
    Event {
        id,
        source: event.source,
        provider: event.provider,
        kind: event.kind,
        dedupe_key: event.dedupe_key,
        received_at: time(nanos(event.received_at)),
        headers: event.headers,
        // A body may be a small part of a large buffer, which it would keep.
        body: Bytes::copy_from_slice(&event.body),
        input_pointer: event.input_pointer,
    }
}

fn memory_bytes(event: &NewEvent) -> usize {
    let headers = event.headers.iter();
    let headers: usize = headers.map(|(name, value)| HEADER_OVERHEAD_BYTES + name.len() + value.len()).sum();
    let texts = [&event.source, &event.provider, &event.kind, &event.dedupe_key, &event.input_pointer];
    let texts: usize = texts.iter().map(|text| text.len()).sum();
    EVENT_OVERHEAD_BYTES + texts + headers + event.body.len()
}
