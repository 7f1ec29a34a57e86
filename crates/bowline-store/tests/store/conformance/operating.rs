//! An operator decides about runs that nobody drives.

use bowline_model::{EntryKind, Run, RunId, RunState};
use bowline_store::{Operation, StoreErrorKind, Transition};

use crate::bench::{Bench, at, done, entry};

pub(crate) async fn retries_a_dead_letter_with_its_journal_kept(bench: &mut Bench) {
    let dead = bench.dead("1", at(1)).await;
    let note = entry(2, EntryKind::OperatorRetry, "", None);
    let retry = bench.operation(&dead, RunState::Queued, vec![note.clone()], at(9));
    bench.store().operate(retry).await.unwrap();
    let expected = Run {
        state: RunState::Queued,
        journal_len: 2,
        changed_at: at(9),
        dead_reason: None,
        summary: None,
        unsure_since: None,
        ..dead.clone()
    };
    assert_eq!(bench.run(dead.id).await, expected);
    assert_eq!(bench.store().journal(dead.id).await.unwrap(), [done(1, "1"), note]);
    assert_eq!(bench.claim_one("dying", at(10)).await.id, dead.id);
}

pub(crate) async fn discards_a_dead_letter(bench: &mut Bench) {
    let dead = bench.dead("1", at(1)).await;
    let note = entry(2, EntryKind::Cancelled, "", None);
    bench.store().operate(bench.operation(&dead, RunState::Cancelled, vec![note], at(9))).await.unwrap();
    let found = bench.run(dead.id).await;
    assert_eq!((found.state, found.journal_len, found.changed_at), (RunState::Cancelled, 2, at(9)));
    assert_eq!(bench.store().journal(dead.id).await.unwrap().len(), 2);
}

pub(crate) async fn cancels_a_waiting_run(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    bench.write(&run, vec![], Some(Transition::Wait { due: Some(at(5)), seen: None }), at(2)).await.unwrap();
    let waiting = bench.run(run.id).await;
    bench.store().operate(bench.operation(&waiting, RunState::Cancelled, vec![], at(3))).await.unwrap();
    let found = bench.run(run.id).await;
    assert_eq!((found.state, found.due), (RunState::Cancelled, None));
    assert!(bench.claim("a", at(100)).await.is_empty());
    assert_eq!(bench.store().next_due(at(0)).await.unwrap(), None);
}

pub(crate) async fn keeps_why_a_run_was_cancelled(bench: &mut Bench) {
    let why = |seq: i64| {
        let mut entry = entry(seq, EntryKind::Cancelled, "", None);
        entry.meta.note = Some(format!("{}é", "x".repeat(499)));
        entry
    };
    let cut = Some("x".repeat(499));
    bench.queue("1", "a").await;
    let queued = bench.queue("2", "b").await;
    let run = bench.claim_one("a", at(1)).await;
    bench.write(&run, vec![why(1)], Some(Transition::Cancel), at(2)).await.unwrap();
    assert_eq!(bench.run(run.id).await.summary, cut);
    let operation = bench.operation(&bench.run(queued).await, RunState::Cancelled, vec![why(1)], at(3));
    bench.store().operate(operation).await.unwrap();
    assert_eq!(bench.run(queued).await.summary, cut);
    // What a dead letter died of says more than who closed it.
    let dead = bench.dead("3", at(1)).await;
    bench.store().operate(bench.operation(&dead, RunState::Cancelled, vec![why(2)], at(9))).await.unwrap();
    assert_eq!(bench.run(dead.id).await.summary, dead.summary);
}

pub(crate) async fn opens_an_ended_run_again(bench: &mut Bench) {
    let ended = bench.ended("1", at(1)).await;
    let run = bench.run(ended).await;
    bench.store().operate(bench.operation(&run, RunState::Queued, vec![done(2, "y")], at(9))).await.unwrap();
    assert_eq!(bench.claim_one("ending", at(10)).await.id, ended);
    assert_eq!(bench.store().journal(ended).await.unwrap(), [done(1, "1"), done(2, "y")]);
    let counts = bench.store().counts(at(10)).await.unwrap();
    assert_eq!(counts.by_state, [(RunState::Running, 1)]);
}

pub(crate) async fn refuses_a_run_in_another_state(bench: &mut Bench) {
    let dead = bench.dead("1", at(1)).await;
    let ended = bench.ended("2", at(1)).await;
    let ended = bench.run(ended).await;
    for run in [&dead, &ended] {
        let wrong =
            Operation { expect: RunState::Waiting, ..bench.operation(run, RunState::Queued, vec![], at(9)) };
        assert_eq!(bench.store().operate(wrong).await.unwrap_err().kind(), StoreErrorKind::Conflict);
        assert_eq!(bench.run(run.id).await, *run);
    }
    let retry = bench.operation(&dead, RunState::Queued, vec![], at(9));
    bench.store().operate(retry.clone()).await.unwrap();
    let twice = bench.store().operate(retry).await.unwrap_err();
    assert_eq!(twice.kind(), StoreErrorKind::Conflict);
}

pub(crate) async fn refuses_a_journal_that_has_grown(bench: &mut Bench) {
    let dead = bench.dead("1", at(1)).await;
    let right = bench.operation(&dead, RunState::Queued, vec![done(2, "y")], at(9));
    let wrong = Operation { expect_journal_len: 0, ..right.clone() };
    assert_eq!(bench.store().operate(wrong).await.unwrap_err().kind(), StoreErrorKind::Conflict);
    let gap = Operation { entries: vec![done(3, "y")], ..right.clone() };
    assert_eq!(bench.store().operate(gap).await.unwrap_err().kind(), StoreErrorKind::Conflict);
    assert_eq!(bench.run(dead.id).await, dead);
    bench.store().operate(right).await.unwrap();
}

pub(crate) async fn says_that_a_run_is_not_there(bench: &mut Bench) {
    let dead = bench.dead("1", at(1)).await;
    let missing = Operation { run: RunId(99), ..bench.operation(&dead, RunState::Queued, vec![], at(9)) };
    assert_eq!(bench.store().operate(missing).await.unwrap_err().kind(), StoreErrorKind::NotFound);
}

pub(crate) async fn never_makes_a_run_running(bench: &mut Bench) {
    let dead = bench.dead("1", at(1)).await;
    let refused = bench.store().operate(bench.operation(&dead, RunState::Running, vec![], at(9))).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Conflict);
}
