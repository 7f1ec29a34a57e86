//! New runs are handed out without a read of the disk, and never as anything but what is there.

use bowline_model::{EventId, NewEvent, RunId};
use bowline_store::{Accepted, Batch, Failure, SqliteStore, Store, StoreErrorKind};
use jiff::Timestamp;

use super::{ask, open, place};
use crate::bench::{done, event, run_of};

async fn accept(store: &SqliteStore, event: NewEvent) -> RunId {
    match store.accept(Batch { events: vec![event], ..Batch::default() }).await.unwrap().remove(0) {
        Accepted::New { runs, .. } => runs[0],
        Accepted::Duplicate { .. } => panic!("it is new"),
    }
}

/// Removes the event past the store, so that a read of it finds nothing.
fn remove_event(path: &std::path::Path, run: RunId) {
    ask(path, &format!("DELETE FROM event_1 WHERE run_first = {run} RETURNING id"));
}

async fn is_read_from_disk(store: &SqliteStore, run: RunId) -> bool {
    match store.histories(&[run]).await.unwrap().remove(0) {
        Ok(_) => false,
        Err(error) => error.kind() == StoreErrorKind::NotFound,
    }
}

#[tokio::test]
async fn hands_a_new_run_out_once_without_reading_the_disk() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = accept(&store, event("1", vec![run_of("a")])).await;
    remove_event(&path, run);
    assert!(!is_read_from_disk(&store, run).await);
    assert!(is_read_from_disk(&store, run).await);
}

#[tokio::test]
async fn keeps_no_large_events_nor_runs_for_later_nor_runs_with_a_journal() {
    let (_folder, path) = place();
    let store = open(&path);
    let mut later = run_of("a");
    later.due = Some(Timestamp::MAX);
    let mut inherits = run_of("a");
    inherits.journal = vec![done(1, "x")];
    let large = NewEvent { body: vec![b' '; 100_000].into(), ..event("1", vec![run_of("a")]) };
    for event in [large, event("2", vec![later]), event("3", vec![inherits])] {
        let run = accept(&store, event).await;
        remove_event(&path, run);
        assert!(is_read_from_disk(&store, run).await);
    }
}

#[tokio::test]
async fn keeps_the_last_events_only() {
    let (_folder, path) = place();
    let store = open(&path);
    let new = |key: usize| NewEvent {
        body: vec![b' '; 60_000].into(),
        ..event(&key.to_string(), vec![run_of("a")])
    };
    let first = accept(&store, new(0)).await;
    let events = (1..=300).map(new).collect();
    store.accept(Batch { events, ..Batch::default() }).await.unwrap();
    for run in [first, RunId(301)] {
        remove_event(&path, run);
    }
    assert!(is_read_from_disk(&store, first).await);
    assert!(!is_read_from_disk(&store, RunId(301)).await);
}

#[tokio::test]
async fn hands_out_nothing_that_did_not_commit() {
    let (_folder, path) = place();
    let store = open(&path);
    store.fail_next(Failure::CommitLost).await.unwrap();
    let batch = Batch { events: vec![event("lost", vec![run_of("a")])], ..Batch::default() };
    store.accept(batch).await.unwrap_err();
    assert_eq!(
        store.histories(&[RunId(1)]).await.unwrap()[0].as_ref().unwrap_err().kind(),
        StoreErrorKind::NotFound
    );
}

#[tokio::test]
async fn hands_out_what_committed_without_an_answer() {
    let (_folder, path) = place();
    let store = open(&path);
    store.fail_next(Failure::CommitUnanswered).await.unwrap();
    let run = accept(&store, event("1", vec![run_of("a")])).await;
    remove_event(&path, run);
    assert!(!is_read_from_disk(&store, run).await);
}

#[tokio::test]
async fn hands_out_an_event_exactly_as_the_disk_has_it() {
    let (_folder, path) = place();
    let store = open(&path);
    // Its time is beyond what the file can hold.
    let new = NewEvent { received_at: Timestamp::MAX, ..event("1", vec![run_of("a")]) };
    let run = accept(&store, new).await;
    let history = store.histories(&[run]).await.unwrap().remove(0).unwrap();
    assert_eq!(Some(history.event), store.event(EventId(1)).await.unwrap());
}
