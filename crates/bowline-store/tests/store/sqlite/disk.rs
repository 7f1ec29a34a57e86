//! The disk fills up, and empties again.

use std::sync::Arc;

use bowline_model::{Epoch, NodeId, RunState};
use bowline_store::{
    Accepted, Batch, Claim, Failure, RunWrite, SqliteOptions, SqliteStore, Store, StoreErrorKind, Transition,
};
use futures_util::future::join_all;

use super::{open, options, place};
use crate::bench::{TestClock, at, done, event, run_of};

fn large(key: &str) -> Batch {
    let mut event = event(key, vec![run_of("a")]);
    event.body = vec![b'x'; 20_000].into();
    Batch { events: vec![event], ..Batch::default() }
}

#[tokio::test]
async fn loses_nothing_on_a_full_disk_and_goes_on_when_there_is_room() {
    let (_folder, path) = place();
    let store = open(&path);
    store.fail_next(Failure::PagesMax(200)).await.unwrap();
    let answers = join_all((0..100).map(|key| store.accept(large(&key.to_string())))).await;
    let (stored, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(stored.len() > 10 && refused.len() > 10, "{} of 100 had room", stored.len());
    for answer in refused {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
        assert!(error.is_retryable() && error.retry_after().is_some());
    }
    for answer in &stored {
        let Accepted::New { event, .. } = answer.as_ref().unwrap()[0] else { panic!("new") };
        assert_eq!(store.event(event).await.unwrap().unwrap().body.len(), 20_000);
    }
    let queued = store.counts(at(1)).await.unwrap().by_state;
    assert_eq!(queued, [(RunState::Queued, stored.len() as u64)]);
    store.fail_next(Failure::PagesMax(1_000_000)).await.unwrap();
    for key in 0..100 {
        store.accept(large(&key.to_string())).await.unwrap();
    }
    assert_eq!(store.counts(at(1)).await.unwrap().by_state, [(RunState::Queued, 100)]);
}

#[tokio::test]
async fn small_writes_succeed_beside_one_that_has_no_room() {
    let (_folder, path) = place();
    let store = open(&path);
    store.accept(large("0")).await.unwrap();
    store.fail_next(Failure::PagesMax(60)).await.unwrap();
    let mut huge = large("1");
    huge.events[0].body = vec![b'x'; 2_000_000].into();
    let (huge, small) = tokio::join!(store.accept(huge), store.probe(at(1)));
    assert_eq!(huge.unwrap_err().kind(), StoreErrorKind::Full);
    small.unwrap();
}

#[tokio::test]
async fn refuses_new_events_before_progress_has_no_room() {
    let (_folder, path) = place();
    let clock = Arc::new(TestClock::default());
    let store = SqliteStore::open(&path, options(), Arc::<TestClock>::clone(&clock)).unwrap();
    store.accept(large("0")).await.unwrap();
    drop(store);
    // More than any disk has.
    let all = SqliteOptions { disk_free_bytes_min: u64::MAX, ..options() };
    let store = SqliteStore::open(&path, all, clock).unwrap();
    let refused = store.accept(large("1")).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Full);
    assert!(refused.to_string().contains("free disk space"), "{refused}");
    let workflows = vec![("a".into(), 1)];
    let claim = Claim { node: NodeId(1), now: at(1), total_max: 1, workflows, others_max: 0, crashes_min: 0 };
    let run = store.claim(claim).await.unwrap().remove(0);
    let entries = vec![done(1, "x")];
    let transition = Some(Transition::Complete);
    let write = RunWrite::new(run.id, Epoch(1), at(1), entries, transition);
    assert_eq!(store.write(write).await.unwrap().state, RunState::Completed);
}
