//! Waiting for a run's end.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use bowline_model::{DeadReason, Run, RunId, RunState};
use bowline_store::{Store, StoreError, StoreErrorKind, Transition};
use futures_util::{FutureExt, future::join_all};

use crate::bench::{Bench, at, done};

type Waiting = Pin<Box<dyn Future<Output = Result<Run, StoreError>> + Send>>;

/// Somebody who waits, and has begun to: the run was looked up, and found open.
async fn waiter(bench: &Bench, run: RunId) -> Waiting {
    let store: Arc<dyn Store> = bench.shared();
    let mut waiting: Waiting = async move { store.ended(run).await }.boxed();
    for _ in 0..3 {
        assert!(is_pending(&mut waiting), "{run} is open");
        // Meanwhile its own look-up is answered, as these are.
        bench.store().probe(at(0)).await.unwrap();
        bench.store().run(run).await.unwrap();
    }
    waiting
}

/// What a waiter is told, which is soon.
async fn told(waiting: impl Future<Output = Result<Run, StoreError>>) -> Result<Run, StoreError> {
    const PATIENCE: Duration = Duration::from_secs(120);
    tokio::time::timeout(PATIENCE, waiting).await.expect("the end is told")
}

fn is_pending(waiting: &mut Waiting) -> bool {
    waiting.now_or_never().is_none()
}

fn dead() -> Transition {
    Transition::DeadLetter { reason: DeadReason::Failed, summary: "no".to_owned() }
}

pub(crate) async fn tells_of_every_kind_of_end_with_the_ended_run(bench: &mut Bench) {
    let ends = [
        (Transition::Complete, RunState::Completed),
        (Transition::Cancel, RunState::Cancelled),
        (dead(), RunState::DeadLettered),
    ];
    for (number, (end, state)) in ends.into_iter().enumerate() {
        bench.queue(&number.to_string(), "a").await;
        let run = bench.claim_one("a", at(1)).await;
        let waiting = waiter(bench, run.id).await;
        bench.write(&run, vec![done(1, "x")], Some(end), at(2)).await.unwrap();
        let ended = told(waiting).await.unwrap();
        assert_eq!((ended.id, ended.state, ended.journal_len), (run.id, state, 1));
        assert_eq!(ended, bench.run(run.id).await, "what is told is on disk");
    }
}

pub(crate) async fn tells_at_once_of_a_run_that_ended_before(bench: &mut Bench) {
    let ended = bench.ended("1", at(1)).await;
    let dead = bench.dead("2", at(1)).await;
    for run in [ended, dead.id] {
        assert_eq!(bench.store().ended(run).await.unwrap(), bench.run(run).await);
    }
}

pub(crate) async fn tells_of_no_end_while_a_run_goes_on(bench: &mut Bench) {
    let id = bench.queue("1", "a").await;
    let mut waiting = waiter(bench, id).await;
    let goes_on = [
        None,
        Some(Transition::Wait { due: Some(at(3)), seen: None }),
        Some(Transition::Release),
        Some(Transition::Complete),
    ];
    for (seq, transition) in (1..).zip(goes_on) {
        let run = match bench.claim("a", at(9)).await.pop() {
            Some(run) => run,
            None => bench.run(id).await,
        };
        assert!(is_pending(&mut waiting), "before entry {seq}");
        bench.write(&run, vec![done(seq, "x")], transition, at(2)).await.unwrap();
    }
    assert_eq!(told(waiting).await.unwrap().state, RunState::Completed);
}

pub(crate) async fn tells_all_who_wait_for_a_run_and_nobody_else(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    bench.queue("2", "b").await;
    let other = bench.claim_one("b", at(1)).await;
    let mut waiting = vec![];
    for _ in 0..20 {
        waiting.push(waiter(bench, run.id).await);
    }
    let mut others = waiter(bench, other.id).await;
    bench.write(&run, vec![], Some(Transition::Complete), at(2)).await.unwrap();
    for told in join_all(waiting.into_iter().map(told)).await {
        assert_eq!(told.unwrap().state, RunState::Completed);
    }
    assert!(is_pending(&mut others));
    bench.write(&other, vec![], Some(Transition::Cancel), at(3)).await.unwrap();
    assert_eq!(told(others).await.unwrap().id, other.id);
}

pub(crate) async fn tells_the_rest_when_some_who_waited_left(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    let (gone, stays, late) =
        (waiter(bench, run.id).await, waiter(bench, run.id).await, waiter(bench, run.id).await);
    drop(gone);
    let new = waiter(bench, run.id).await;
    drop(late);
    bench.write(&run, vec![], Some(Transition::Complete), at(2)).await.unwrap();
    assert_eq!(told(stays).await.unwrap().id, run.id);
    assert_eq!(told(new).await.unwrap().id, run.id);
}

pub(crate) async fn waits_for_a_retried_dead_letter_again(bench: &mut Bench) {
    let run = bench.dead("1", at(1)).await;
    assert_eq!(bench.store().ended(run.id).await.unwrap().state, RunState::DeadLettered);
    let retry = bench.operation(&run, RunState::Queued, vec![], at(2));
    bench.store().operate(retry).await.unwrap();
    let waiting = waiter(bench, run.id).await;
    let run = bench.claim_one("dying", at(3)).await;
    bench.write(&run, vec![], Some(Transition::Complete), at(4)).await.unwrap();
    assert_eq!(told(waiting).await.unwrap().state, RunState::Completed);
}

pub(crate) async fn tells_of_a_waiting_run_that_an_operator_cancels(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    bench.write(&run, vec![], Some(Transition::Wait { due: None, seen: None }), at(2)).await.unwrap();
    let waiting = waiter(bench, run.id).await;
    let run = bench.run(run.id).await;
    bench.store().operate(bench.operation(&run, RunState::Cancelled, vec![], at(3))).await.unwrap();
    assert_eq!(told(waiting).await.unwrap().state, RunState::Cancelled);
}

/// Whoever wrote the end may have lost the answer, and write it again.
pub(crate) async fn tells_of_the_end_of_a_write_that_was_answered_late(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    let waiting = waiter(bench, run.id).await;
    for _ in 0..2 {
        bench.write(&run, vec![done(1, "x")], Some(Transition::Complete), at(2)).await.unwrap();
    }
    assert_eq!(told(waiting).await.unwrap().state, RunState::Completed);
}

pub(crate) async fn knows_no_end_of_a_run_that_is_not_there(bench: &mut Bench) {
    let refused = bench.store().ended(RunId(99)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::NotFound);
}

pub(crate) async fn keeps_nobody_waiting_who_waits_at_a_close(bench: &mut Bench) {
    let run = bench.queue("1", "a").await;
    let waiting = waiter(bench, run).await;
    bench.store().close().await.unwrap();
    assert_eq!(told(waiting).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    let later = bench.store().ended(run).await;
    assert_eq!(later.unwrap_err().kind(), StoreErrorKind::Unavailable);
}
