//! Runs are taken by a node.

use bowline_model::{Epoch, NewRun, RunId, RunState};
use bowline_store::{Claim, Transition};

use crate::bench::{Bench, at, done, ids, run_of};

pub(crate) async fn claims_higher_priority_first_then_older(bench: &mut Bench) {
    for (key, workflow, priority) in
        [("1", "a", 0), ("2", "b", 5), ("3", "a", -1), ("4", "a", 5), ("5", "b", 0), ("6", "a", 0)]
    {
        bench.accept(key, vec![NewRun { priority, ..run_of(workflow) }]).await;
    }
    let both = vec![("a".into(), 10), ("b".into(), 10)];
    let claim = Claim { workflows: both, total_max: 5, ..bench.claim_of("a", at(1)) };
    assert_eq!(ids(&bench.store().claim(claim).await.unwrap()), [2, 4, 1, 5, 6].map(RunId));
    assert_eq!(ids(&bench.claim("a", at(1)).await), [RunId(3)]);
}

pub(crate) async fn claims_within_each_workflows_limit(bench: &mut Bench) {
    for key in ["1", "2", "3", "4"] {
        bench.accept(key, vec![run_of("a"), run_of("b"), run_of("full")]).await;
    }
    let workflows = vec![("a".into(), 3), ("b".into(), 1), ("full".into(), 0), ("unheard of".into(), 9)];
    let claim = Claim { workflows, ..bench.claim_of("a", at(1)) };
    assert_eq!(ids(&bench.store().claim(claim).await.unwrap()), [1, 2, 4, 7].map(RunId));
}

pub(crate) async fn claims_within_the_total(bench: &mut Bench) {
    bench.accept("1", vec![run_of("a"), run_of("b"), run_of("c")]).await;
    let all = Claim {
        workflows: vec![("a".into(), 5), ("b".into(), 5)],
        others_max: 5,
        ..bench.claim_of("a", at(1))
    };
    assert!(bench.store().claim(Claim { total_max: 0, ..all.clone() }).await.unwrap().is_empty());
    let two = bench.store().claim(Claim { total_max: 2, ..all.clone() }).await.unwrap();
    assert_eq!(ids(&two), [1, 2].map(RunId));
    assert_eq!(bench.store().claim(all).await.unwrap().len(), 1);
}

pub(crate) async fn claims_other_workflows_only_as_asked(bench: &mut Bench) {
    bench.accept("1", vec![run_of("gone"), run_of("a"), run_of("gone too"), run_of("gone")]).await;
    let claim = bench.claim_of("a", at(1));
    assert_eq!(ids(&bench.store().claim(claim.clone()).await.unwrap()), [RunId(2)]);
    let two = bench.store().claim(Claim { others_max: 2, ..claim.clone() }).await.unwrap();
    assert_eq!(ids(&two), [1, 3].map(RunId));
    let full = Claim { workflows: vec![("gone".into(), 0)], others_max: 9, ..claim };
    assert!(bench.store().claim(full).await.unwrap().is_empty(), "a workflow that is named is no other");
}

pub(crate) async fn claims_a_run_once(bench: &mut Bench) {
    bench.queue("1", "a").await;
    assert_eq!(bench.claim("a", at(1)).await.len(), 1);
    assert!(bench.claim("a", at(2)).await.is_empty());
}

pub(crate) async fn raises_the_epoch_at_every_claim(bench: &mut Bench) {
    bench.queue("1", "a").await;
    for epoch in 1..4 {
        let run = bench.claim_one("a", at(epoch)).await;
        assert_eq!((run.epoch, run.owner, run.state), (Epoch(epoch), Some(bench.node), RunState::Running));
        assert_eq!((run.claimed_at, run.changed_at), (Some(at(epoch)), at(epoch)));
        assert_eq!(bench.run(run.id).await, run);
        bench.write(&run, vec![], Some(Transition::Release), at(epoch)).await.unwrap();
    }
}

pub(crate) async fn remembers_since_when_effects_are_unsure(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    assert_eq!(run.unsure_since, Some(at(1)));
    bench.write(&run, vec![], Some(Transition::Wait { due: Some(at(5)), seen: None }), at(2)).await.unwrap();
    assert_eq!(bench.run(run.id).await.unsure_since, None);
    let run = bench.claim_one("a", at(5)).await;
    assert_eq!(run.unsure_since, Some(at(5)));
    bench.write(&run, vec![], Some(Transition::Release), at(6)).await.unwrap();
    assert_eq!(bench.run(run.id).await.unsure_since, None);
}

pub(crate) async fn claims_waiting_runs_when_due(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    bench.write(&run, vec![], Some(Transition::Wait { due: Some(at(60)), seen: None }), at(2)).await.unwrap();
    let waiting = bench.run(run.id).await;
    assert_eq!((waiting.state, waiting.due, waiting.changed_at), (RunState::Waiting, Some(at(60)), at(2)));
    assert!(bench.claim("a", at(59)).await.is_empty());
    let again = bench.claim_one("a", at(60)).await;
    assert_eq!((again.id, again.due), (run.id, None));
    bench.write(&again, vec![], Some(Transition::Wait { due: None, seen: None }), at(61)).await.unwrap();
    assert!(bench.claim("a", at(1_000_000)).await.is_empty(), "without a time it waits for a message");
}

pub(crate) async fn claims_new_runs_not_before_they_are_due(bench: &mut Bench) {
    bench.accept("1", vec![NewRun { due: Some(at(60)), ..run_of("a") }]).await;
    assert!(bench.claim("a", at(59)).await.is_empty());
    assert_eq!(bench.claim("a", at(60)).await.len(), 1);
}

pub(crate) async fn claims_an_older_due_run_before_a_younger_queued_one(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let old = bench.claim_one("a", at(1)).await;
    bench.write(&old, vec![], Some(Transition::Wait { due: Some(at(60)), seen: None }), at(2)).await.unwrap();
    let young = bench.queue("2", "a").await;
    assert_eq!(ids(&bench.claim("a", at(60)).await), [old.id, young]);
}

pub(crate) async fn says_when_the_next_run_is_due(bench: &mut Bench) {
    assert_eq!(bench.store().next_due(at(0)).await.unwrap(), None);
    bench
        .accept("1", vec![NewRun { due: Some(at(90)), ..run_of("later") }, run_of("a"), run_of("now")])
        .await;
    assert_eq!(bench.store().next_due(at(0)).await.unwrap(), Some(at(90)));
    let run = bench.claim_one("a", at(1)).await;
    bench.write(&run, vec![], Some(Transition::Wait { due: Some(at(60)), seen: None }), at(2)).await.unwrap();
    assert_eq!(bench.store().next_due(at(2)).await.unwrap(), Some(at(60)));
    assert_eq!(bench.store().next_due(at(60)).await.unwrap(), Some(at(90)));
    assert_eq!(bench.store().next_due(at(90)).await.unwrap(), None);
}

pub(crate) async fn claims_suspects_alone_least_first(bench: &mut Bench) {
    // Run 1 crashes alone, then with 2 and 3.
    bench.queue("1", "a").await;
    bench.claim("a", at(1)).await;
    bench.crash_and_restart(at(2)).await;
    bench.accept("2", vec![run_of("a"), run_of("b")]).await;
    let both = Claim { others_max: 9, ..bench.claim_of("a", at(3)) };
    assert_eq!(bench.store().claim(both.clone()).await.unwrap().len(), 3);
    bench.crash_and_restart(at(4)).await;
    bench.queue("3", "a").await;
    let suspects = Claim { node: bench.node, crashes_min: 1, ..both };
    let next = Claim { total_max: 1, ..suspects.clone() };
    assert_eq!(ids(&bench.store().claim(Claim { others_max: 0, ..next.clone() }).await.unwrap()), [RunId(2)]);
    assert_eq!(ids(&bench.store().claim(next.clone()).await.unwrap()), [RunId(3)]);
    assert!(bench.store().claim(Claim { crashes_min: 3, ..next.clone() }).await.unwrap().is_empty());
    assert_eq!(ids(&bench.store().claim(Claim { crashes_min: 2, ..next }).await.unwrap()), [RunId(1)]);
    assert!(bench.store().claim(suspects).await.unwrap().is_empty(), "the fresh run is no suspect");
    assert_eq!(bench.claim("a", at(5)).await.len(), 1);
}

pub(crate) async fn shares_out_claims_among_concurrent_callers(bench: &mut Bench) {
    for key in 0..40 {
        bench.queue(&key.to_string(), "a").await;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = bench.shared();
        let claim = Claim { total_max: 5, ..bench.claim_of("a", at(1)) };
        tasks.spawn(async move { store.claim(claim).await.unwrap() });
    }
    let mut claimed: Vec<_> = tasks.join_all().await.iter().flatten().map(|run| run.id).collect();
    claimed.sort();
    assert_eq!(claimed, (1..=40).map(RunId).collect::<Vec<_>>());
    let run = bench.run(RunId(7)).await;
    bench.write(&run, vec![done(1, "x")], Some(Transition::Complete), at(2)).await.unwrap();
}
