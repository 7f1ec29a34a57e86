//! Runs that share a key go one at a time.

use bowline_model::{Line, NewRun, OnDead, Run, RunFlow, RunId, RunState};
use bowline_store::Transition;
use jiff::Timestamp;

use crate::bench::{Bench, at, ids, run_of};

fn keyed(key: &str, due: Option<Timestamp>) -> NewRun {
    NewRun { key: Some(key.to_owned()), due, ..run_of("w") }
}

async fn queue(bench: &Bench, event: &str, key: &str) -> RunId {
    bench.accept(event, vec![keyed(key, None)]).await.1[0]
}

async fn end(bench: &Bench, run: &Run, end: Transition) {
    bench.write(run, vec![], Some(end), at(3)).await.unwrap();
}

fn dead() -> Transition {
    Transition::DeadLetter { reason: bowline_model::DeadReason::Failed, summary: "no".to_owned() }
}

pub(crate) async fn runs_of_one_key_go_one_at_a_time_the_older_first(bench: &mut Bench) {
    let mut runs = vec![];
    for event in ["1", "2", "3"] {
        runs.push(queue(bench, event, "a").await);
    }
    let (free, other) = (bench.queue("4", "w").await, queue(bench, "5", "b").await);
    assert_eq!(ids(&bench.claim("w", at(1)).await), [runs[0], free, other]);
    assert!(bench.claim("w", at(100)).await.is_empty());
    for (run, next) in [(0, 1), (1, 2)] {
        end(bench, &bench.run(runs[run]).await, Transition::Complete).await;
        assert_eq!(ids(&bench.claim("w", at(4)).await), [runs[next]]);
    }
    end(bench, &bench.run(runs[2]).await, Transition::Complete).await;
    let late = queue(bench, "6", "a").await;
    assert_eq!(bench.claim_one("w", at(5)).await.id, late, "nobody is in front any more");
}

pub(crate) async fn a_run_that_waits_keeps_its_place_in_line(bench: &mut Bench) {
    let first = queue(bench, "1", "a").await;
    let second = queue(bench, "2", "a").await;
    let run = bench.claim_one("w", at(1)).await;
    end(bench, &run, Transition::Wait { due: Some(at(50)), seen: None }).await;
    assert!(bench.claim("w", at(4)).await.is_empty());
    let run = bench.claim_one("w", at(50)).await;
    assert_eq!(run.id, first);
    end(bench, &run, Transition::Release).await;
    let run = bench.claim_one("w", at(51)).await;
    assert_eq!(run.id, first);
    end(bench, &run, Transition::Wait { due: None, seen: None }).await;
    assert!(bench.claim("w", at(1000)).await.is_empty());
    bench
        .store()
        .operate(bench.operation(&bench.run(first).await, RunState::Cancelled, vec![], at(60)))
        .await
        .unwrap();
    assert_eq!(bench.claim_one("w", at(61)).await.id, second);
}

pub(crate) async fn every_kind_of_end_lets_the_next_one_go(bench: &mut Bench) {
    let mut last = None;
    for (event, transition) in [("1", Transition::Complete), ("2", Transition::Cancel), ("3", dead())] {
        let run = queue(bench, event, "a").await;
        let behind = queue(bench, &format!("{event} behind"), "a").await;
        if let Some(last) = last.take() {
            end(bench, &bench.run(last).await, Transition::Complete).await;
        }
        let claimed = bench.claim_one("w", at(1)).await;
        assert_eq!(claimed.id, run);
        end(bench, &claimed, transition).await;
        assert_eq!(bench.claim_one("w", at(4)).await.id, behind);
        last = Some(behind);
    }
}

pub(crate) async fn a_held_run_that_is_cancelled_holds_nobody(bench: &mut Bench) {
    let mut runs = vec![];
    for event in ["1", "2", "3"] {
        runs.push(queue(bench, event, "a").await);
    }
    let held = bench.run(runs[1]).await;
    assert_eq!(held.state, RunState::Queued);
    bench.store().operate(bench.operation(&held, RunState::Cancelled, vec![], at(1))).await.unwrap();
    let first = bench.claim_one("w", at(2)).await;
    assert_eq!(first.id, runs[0], "the one in front stays there alone");
    end(bench, &first, Transition::Complete).await;
    assert_eq!(bench.claim_one("w", at(4)).await.id, runs[2]);
}

pub(crate) async fn a_dead_letter_that_is_retried_waits_for_who_is_in_front(bench: &mut Bench) {
    let first = queue(bench, "1", "a").await;
    let (second, third) = (queue(bench, "2", "a").await, queue(bench, "3", "a").await);
    end(bench, &bench.claim_one("w", at(1)).await, dead()).await;
    let running = bench.claim_one("w", at(4)).await;
    assert_eq!(running.id, second);
    bench
        .store()
        .operate(bench.operation(&bench.run(first).await, RunState::Queued, vec![], at(5)))
        .await
        .unwrap();
    assert!(bench.claim("w", at(6)).await.is_empty());
    end(bench, &running, Transition::Complete).await;
    let retried = bench.claim_one("w", at(7)).await;
    assert_eq!(retried.id, first, "the older first");
    end(bench, &retried, Transition::Complete).await;
    assert_eq!(bench.claim_one("w", at(8)).await.id, third);
}

pub(crate) async fn a_held_run_keeps_its_time(bench: &mut Bench) {
    queue(bench, "1", "a").await;
    let later = bench.accept("2", vec![keyed("a", Some(at(50)))]).await.1[0];
    let first = bench.claim_one("w", at(1)).await;
    assert_eq!(bench.store().next_due(at(1)).await.unwrap(), None, "it is not due before its turn");
    end(bench, &first, Transition::Complete).await;
    assert_eq!(bench.store().next_due(at(4)).await.unwrap(), Some(at(50)));
    assert!(bench.claim("w", at(49)).await.is_empty());
    assert_eq!(bench.claim_one("w", at(50)).await.id, later);
}

pub(crate) async fn a_line_survives_the_death_of_its_node(bench: &mut Bench) {
    let first = queue(bench, "1", "a").await;
    let second = queue(bench, "2", "a").await;
    bench.claim_one("w", at(1)).await;
    bench.crash_and_restart(at(2)).await;
    let again = bench.claim_one("w", at(3)).await;
    assert_eq!(again.id, first);
    end(bench, &again, Transition::Complete).await;
    assert_eq!(bench.claim_one("w", at(4)).await.id, second);
}

fn lined(key: &str, together_max: u32, on_dead: OnDead) -> NewRun {
    let flow = RunFlow { line: Line { together_max, on_dead }, ..RunFlow::default() };
    NewRun { key: Some(key.to_owned()), flow, ..run_of("w") }
}

async fn queue_lined(bench: &Bench, events: &[&str], run: &NewRun) -> Vec<RunId> {
    let mut runs = vec![];
    for event in events {
        runs.push(bench.accept(event, vec![run.clone()]).await.1[0]);
    }
    runs
}

async fn operate(bench: &Bench, run: RunId, to: RunState, now: i64) {
    bench.store().operate(bench.operation(&bench.run(run).await, to, vec![], at(now))).await.unwrap();
}

pub(crate) async fn as_many_of_a_key_as_its_rule_allows_go_together(bench: &mut Bench) {
    let runs = queue_lined(bench, &["1", "2", "3", "4", "5"], &lined("a", 2, OnDead::Continue)).await;
    let other = queue_lined(bench, &["6"], &lined("b", 2, OnDead::Continue)).await[0];
    assert_eq!(ids(&bench.claim("w", at(1)).await), [runs[0], runs[1], other]);
    end(bench, &bench.run(runs[1]).await, Transition::Wait { due: Some(at(50)), seen: None }).await;
    assert!(bench.claim("w", at(4)).await.is_empty(), "who waits is under way");
    end(bench, &bench.run(runs[0]).await, Transition::Complete).await;
    assert_eq!(ids(&bench.claim("w", at(4)).await), [runs[2]]);
    assert_eq!(ids(&bench.claim("w", at(50)).await), [runs[1]]);
    end(bench, &bench.run(runs[1]).await, Transition::Complete).await;
    end(bench, &bench.run(runs[2]).await, Transition::Cancel).await;
    assert_eq!(ids(&bench.claim("w", at(51)).await), [runs[3], runs[4]]);
}

pub(crate) async fn a_dead_letter_that_blocks_holds_back_those_behind_it(bench: &mut Bench) {
    let runs = queue_lined(bench, &["1", "2"], &lined("a", 1, OnDead::Block)).await;
    let other = queue_lined(bench, &["3"], &lined("b", 1, OnDead::Block)).await[0];
    end(bench, &bench.claim("w", at(1)).await[0], dead()).await;
    let late = queue_lined(bench, &["4"], &lined("a", 1, OnDead::Block)).await[0];
    assert!(bench.claim("w", at(4)).await.is_empty());
    end(bench, &bench.run(other).await, Transition::Complete).await;
    operate(bench, runs[0], RunState::Queued, 5).await;
    let retried = bench.claim_one("w", at(6)).await;
    assert_eq!(retried.id, runs[0], "retried, it keeps its place");
    end(bench, &retried, dead()).await;
    assert!(bench.claim("w", at(7)).await.is_empty());
    operate(bench, runs[0], RunState::Cancelled, 8).await;
    let next = bench.claim_one("w", at(9)).await;
    assert_eq!(next.id, runs[1]);
    end(bench, &next, Transition::Complete).await;
    assert_eq!(bench.claim_one("w", at(10)).await.id, late);
}

pub(crate) async fn a_dead_letter_that_is_retried_is_not_held_by_a_later_one(bench: &mut Bench) {
    let runs = queue_lined(bench, &["1", "2", "3"], &lined("a", 2, OnDead::Block)).await;
    for run in bench.claim("w", at(1)).await {
        end(bench, &run, dead()).await;
    }
    operate(bench, runs[1], RunState::Queued, 5).await;
    assert!(bench.claim("w", at(6)).await.is_empty(), "the older one holds it back");
    operate(bench, runs[0], RunState::Queued, 7).await;
    assert_eq!(ids(&bench.claim("w", at(8)).await), [runs[0], runs[1]]);
    end(bench, &bench.run(runs[0]).await, Transition::Complete).await;
    assert_eq!(bench.claim_one("w", at(9)).await.id, runs[2]);
}

pub(crate) async fn a_run_brings_its_own_rule(bench: &mut Bench) {
    let alone = queue_lined(bench, &["1", "2"], &lined("a", 1, OnDead::Block)).await;
    let free = queue_lined(bench, &["3", "4"], &lined("a", 3, OnDead::Continue)).await;
    end(bench, &bench.claim_one("w", at(1)).await, dead()).await;
    assert!(bench.claim("w", at(4)).await.is_empty(), "nobody overtakes who is held back");
    operate(bench, alone[1], RunState::Cancelled, 5).await;
    assert_eq!(ids(&bench.claim("w", at(6)).await), free);
}
