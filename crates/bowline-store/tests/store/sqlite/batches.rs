//! Many writes share one commit, and none harms another.

use std::{num::NonZeroUsize, sync::Arc};

use bowline_model::{Epoch, EventId, RunId, RunState};
use bowline_store::{
    Accepted, Batch, Claim, Failure, RunWrite, SqliteOptions, SqliteStore, Store, StoreErrorKind, Transition,
};
use futures_util::{FutureExt, future::join_all};
use rusqlite::Connection;

use super::{ask, open, options, place};
use crate::bench::{TestClock, at, done, event, ids, run_of};

fn batch(key: &str) -> Batch {
    Batch { events: vec![event(key, vec![run_of("a")])], ..Batch::default() }
}

fn claim(total_max: usize) -> Claim {
    let workflows = vec![("a".into(), usize::MAX)];
    Claim { node: bowline_model::NodeId(1), now: at(1), total_max, workflows, others_max: 0, crashes_min: 0 }
}

/// Holds the file's write lock: what the store is asked meanwhile waits in its queue.
fn hold_writer(path: &std::path::Path) -> Connection {
    let other = Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

#[tokio::test]
async fn commits_what_waits_together() {
    let (_folder, path) = place();
    let store = open(&path);
    let before = ask(&path, "SELECT batch FROM ledger");
    let other = hold_writer(&path);
    let mut writes: Vec<_> = (0..100).map(|key| store.accept(batch(&key.to_string()))).collect();
    // Each puts its write into the queue; none can be answered while the other program holds the file.
    for write in &mut writes {
        assert!(write.now_or_never().is_none());
    }
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    for answer in join_all(writes).await {
        assert!(matches!(answer.unwrap()[0], Accepted::New { .. }));
    }
    let commits = ask(&path, "SELECT batch FROM ledger") - before;
    assert!(commits <= 2, "the first may have gone alone: {commits}");
}

#[tokio::test]
async fn a_refused_write_does_not_harm_its_neighbours() {
    let (_folder, path) = place();
    let store = open(&path);
    store.accept(batch("0")).await.unwrap();
    let run = store.claim(claim(1)).await.unwrap().remove(0);
    let write = |epoch, seq| RunWrite::new(run.id, Epoch(epoch), at(2), vec![done(seq, "x")], None);
    let other = hold_writer(&path);
    let mut before = store.accept(batch("1"));
    let mut stale = store.write(write(9, 1));
    let mut good = store.write(write(1, 1));
    let mut conflict = store.write(write(1, 7));
    let mut after = store.accept(batch("2"));
    assert!((&mut before).now_or_never().is_none() && (&mut after).now_or_never().is_none());
    for write in [&mut stale, &mut good, &mut conflict] {
        assert!(write.now_or_never().is_none());
    }
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    let new = |id| [Accepted::New { event: EventId(id), runs: vec![RunId(id)] }];
    assert_eq!(before.await.unwrap(), new(2));
    assert_eq!(stale.await.unwrap_err().kind(), StoreErrorKind::Stale);
    assert_eq!(good.await.unwrap().state, RunState::Running);
    assert_eq!(conflict.await.unwrap_err().kind(), StoreErrorKind::Conflict);
    assert_eq!(after.await.unwrap(), new(3));
    assert_eq!(store.journal(run.id).await.unwrap(), [done(1, "x")]);
}

#[tokio::test]
async fn answers_nobody_before_the_commit() {
    let (_folder, path) = place();
    let store = open(&path);
    let other = hold_writer(&path);
    let mut write = store.accept(batch("1"));
    assert!((&mut write).now_or_never().is_none());
    assert_eq!(store.event(EventId(1)).await.unwrap(), None, "readers go on, and see nothing of it");
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    write.await.unwrap();
    assert!(store.event(EventId(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn writes_again_what_a_failed_commit_lost() {
    let (_folder, path) = place();
    let store = open(&path);
    store.accept(batch("0")).await.unwrap();
    let run = store.claim(claim(1)).await.unwrap().remove(0);
    let end = |run| RunWrite::new(run, Epoch(1), at(2), vec![done(1, "x")], Some(Transition::Complete));
    store.fail_next(Failure::CommitLost).await.unwrap();
    let other = hold_writer(&path);
    let mut writes = vec![store.accept(batch("1")), store.accept(batch("2"))];
    for write in &mut writes {
        assert!(write.now_or_never().is_none());
    }
    let mut ending = store.write(end(run.id));
    assert!((&mut ending).now_or_never().is_none());
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    let answers = join_all(writes).await;
    let failed = answers.iter().filter(|answer| answer.is_err()).count();
    assert!(failed <= 1, "only one that went alone is answered with the error");
    ending.await.unwrap();
    assert_eq!(store.run(run.id).await.unwrap().unwrap().state, RunState::Completed);
    let stored = ask(&path, "SELECT count(*) FROM event_1");
    assert_eq!(stored, 3 - i64::try_from(failed).unwrap(), "an error says that nothing was written");
    drop(store);
}

#[tokio::test]
async fn says_so_when_a_lone_commit_failed_and_goes_on() {
    let (_folder, path) = place();
    let store = open(&path);
    store.fail_next(Failure::CommitLost).await.unwrap();
    let refused = store.accept(batch("1")).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    assert!(refused.is_retryable());
    assert_eq!(store.event(EventId(1)).await.unwrap(), None);
    let again = store.accept(batch("1")).await.unwrap();
    assert_eq!(again, [Accepted::New { event: EventId(1), runs: vec![RunId(1)] }]);
}

#[tokio::test]
async fn tells_nobody_of_an_end_that_is_not_on_disk() {
    let (_folder, path) = place();
    let store = open(&path);
    store.accept(batch("1")).await.unwrap();
    let run = store.claim(claim(1)).await.unwrap().remove(0);
    let (epoch, now, transition) = (run.epoch, at(2), Some(Transition::Complete));
    let end = RunWrite::new(run.id, epoch, now, vec![], transition);
    let mut waiting = store.ended(run.id);
    assert!((&mut waiting).now_or_never().is_none());
    let other = hold_writer(&path);
    let mut ending = store.write(end);
    assert!((&mut ending).now_or_never().is_none());
    assert_eq!(store.run(run.id).await.unwrap().unwrap().state, RunState::Running, "readers go on");
    assert!((&mut waiting).now_or_never().is_none(), "it is written, and not committed");
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    ending.await.unwrap();
    assert_eq!(waiting.await.unwrap().state, RunState::Completed);
}

#[tokio::test]
async fn tells_nobody_of_an_end_whose_commit_failed() {
    let (_folder, path) = place();
    let store = open(&path);
    store.accept(batch("1")).await.unwrap();
    let run = store.claim(claim(1)).await.unwrap().remove(0);
    let (epoch, now, transition) = (run.epoch, at(2), Some(Transition::Complete));
    let end = RunWrite::new(run.id, epoch, now, vec![], transition);
    let mut waiting = store.ended(run.id);
    assert!((&mut waiting).now_or_never().is_none());
    store.fail_next(Failure::CommitLost).await.unwrap();
    store.write(end.clone()).await.unwrap_err();
    assert!((&mut waiting).now_or_never().is_none());
    store.write(end).await.unwrap();
    assert_eq!(waiting.await.unwrap().state, RunState::Completed);
}

#[tokio::test]
async fn answers_what_a_failed_commit_left_on_disk() {
    let (_folder, path) = place();
    let store = open(&path);
    store.fail_next(Failure::CommitUnanswered).await.unwrap();
    let answer = store.accept(batch("1")).await.unwrap();
    assert_eq!(answer, [Accepted::New { event: EventId(1), runs: vec![RunId(1)] }]);
    let next = store.accept(batch("2")).await.unwrap();
    assert_eq!(next, [Accepted::New { event: EventId(2), runs: vec![RunId(2)] }]);
    assert_eq!(ask(&path, "SELECT count(*) FROM event_1"), 2);
}

#[tokio::test]
async fn keeps_counts_and_ids_right_through_failures() {
    let (_folder, path) = place();
    let store = open(&path);
    for (key, failure) in (0..).zip([Failure::CommitLost, Failure::CommitUnanswered].repeat(5)) {
        store.fail_next(failure).await.unwrap();
        let _ = store.accept(batch(&key.to_string())).await;
    }
    let counted = store.counts(at(1)).await.unwrap().by_state;
    assert_eq!(counted, [(RunState::Queued, 5)]);
    let runs = store.claim(claim(100)).await.unwrap();
    assert_eq!(ids(&runs), (1..=5).map(RunId).collect::<Vec<_>>());
}

#[tokio::test]
async fn does_not_write_for_a_caller_who_left_the_queue() {
    let (_folder, path) = place();
    let store = open(&path);
    store.accept(batch("1")).await.unwrap();
    let other = hold_writer(&path);
    // One write occupies the writer, so that the claim is still in the queue when its caller leaves.
    let mut probe = store.probe(at(1));
    assert!((&mut probe).now_or_never().is_none());
    let mut left = store.claim(claim(9));
    assert!((&mut left).now_or_never().is_none());
    drop(left);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    probe.await.unwrap();
    assert_eq!(store.claim(claim(9)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn refuses_events_and_lets_progress_wait_when_the_queue_is_full() {
    let (_folder, path) = place();
    let few = SqliteOptions { queue_len_max: NonZeroUsize::new(4).unwrap(), batch_len_max: 1, ..options() };
    let store = SqliteStore::open(&path, few, Arc::new(TestClock::default())).unwrap();
    let other = hold_writer(&path);
    let mut accepts: Vec<_> = (0..20).map(|key| store.accept(batch(&key.to_string()))).collect();
    let refused: Vec<_> = accepts.iter_mut().filter_map(|accept| accept.now_or_never()).collect();
    assert!(refused.len() >= 15, "4 wait in the queue, one may be with the writer");
    for answer in refused {
        assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::Busy);
    }
    let mut probe = store.probe(at(1));
    assert!((&mut probe).now_or_never().is_none(), "it waits");
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    probe.await.unwrap();
}

#[tokio::test]
async fn bounds_the_bytes_that_wait() {
    let (_folder, path) = place();
    let small = SqliteOptions { queue_bytes_max: 100_000, ..options() };
    let store = SqliteStore::open(&path, small, Arc::new(TestClock::default())).unwrap();
    let large = |key: &str| {
        let mut batch = batch(key);
        batch.events[0].body = vec![b'x'; 60_000].into();
        batch
    };
    let other = hold_writer(&path);
    let mut first = store.accept(large("1"));
    assert!((&mut first).now_or_never().is_none());
    let second = store.accept(large("2")).now_or_never().unwrap();
    assert_eq!(second.unwrap_err().kind(), StoreErrorKind::Busy);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    first.await.unwrap();
    let mut huge = batch("3");
    huge.events[0].body = vec![b'x'; 300_000].into();
    store.accept(huge).await.unwrap();
}
