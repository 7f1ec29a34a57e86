//! A node dies, another starts.

use bowline_model::{EntryKind, RunId, RunState};
use bowline_store::{Batch, CursorMove, RunFilter, StoreErrorKind, Transition};

use crate::bench::{Bench, at, done, entry, event, ids, run_of};

pub(crate) async fn finds_everything_after_a_restart(bench: &mut Bench) {
    let cursor = CursorMove { name: "poll".to_owned(), from: None, to: "page 1".to_owned() };
    bench.store().accept(Batch { cursor: Some(cursor), ..Batch::default() }).await.unwrap();
    bench.ended("1", at(1)).await;
    bench.dead("2", at(1)).await;
    let (id, _) = bench.accept("3", vec![run_of("a")]).await;
    let before = bench.store().runs(RunFilter::default()).await.unwrap();
    let sent = bench.store().event(id).await.unwrap();
    let counts = bench.store().counts(at(9)).await.unwrap();
    assert!(bench.crash_and_restart(at(9)).await.is_empty());
    assert_eq!(bench.store().runs(RunFilter::default()).await.unwrap(), before);
    assert_eq!(bench.store().event(id).await.unwrap(), sent);
    assert_eq!(bench.store().counts(at(9)).await.unwrap(), counts);
    assert_eq!(bench.store().journal(RunId(1)).await.unwrap(), [done(1, "1")]);
    assert_eq!(bench.store().cursor("poll").await.unwrap().as_deref(), Some("page 1"));
    let again = bench.try_accept(event("3", vec![run_of("a")])).await.unwrap();
    assert!(matches!(again, bowline_store::Accepted::Duplicate { event, .. } if event == id));
}

pub(crate) async fn queues_what_was_running_at_a_crash_and_counts_it(bench: &mut Bench) {
    for key in ["1", "2", "3"] {
        bench.queue(key, "a").await;
    }
    let runs = bench.claim("a", at(1)).await;
    bench.write(&runs[2], vec![], Some(Transition::Complete), at(2)).await.unwrap();
    bench.queue("4", "a").await;
    assert_eq!(bench.crash_and_restart(at(9)).await, [1, 2].map(RunId));
    let run = bench.run(RunId(1)).await;
    assert_eq!((run.state, run.crashes, run.crashes_alone), (RunState::Queued, 1, 0));
    assert_eq!((run.changed_at, run.epoch), (at(9), runs[0].epoch));
    let again = bench.claim("a", at(10)).await;
    assert_eq!(ids(&again), [1, 2, 4].map(RunId));
    assert_eq!(again.iter().map(|run| run.epoch.0).collect::<Vec<_>>(), [2, 2, 1]);
}

pub(crate) async fn counts_a_crash_as_alone_only_for_a_run_that_was(bench: &mut Bench) {
    bench.queue("1", "a").await;
    for crash in 1..=2 {
        bench.claim_one("a", at(crash)).await;
        assert_eq!(bench.crash_and_restart(at(crash)).await, [RunId(1)]);
        let run = bench.run(RunId(1)).await;
        assert_eq!((i64::from(run.crashes), i64::from(run.crashes_alone)), (crash, crash));
    }
    bench.queue("2", "a").await;
    bench.claim("a", at(5)).await;
    bench.crash_and_restart(at(5)).await;
    let run = bench.run(RunId(1)).await;
    assert_eq!((run.crashes, run.crashes_alone), (3, 2));
    let run = bench.run(RunId(2)).await;
    assert_eq!((run.crashes, run.crashes_alone), (1, 0));
}

pub(crate) async fn forgets_crashes_when_a_run_gets_on(bench: &mut Bench) {
    for (number, kind) in [EntryKind::StepDone, EntryKind::AttemptFailed].into_iter().enumerate() {
        for (place, end) in [None, Some(Transition::Wait { due: None, seen: None })].into_iter().enumerate() {
            let run = bench.queue(&format!("{number} {place}"), "a").await;
            bench.claim_one("a", at(1)).await;
            bench.crash_and_restart(at(2)).await;
            let held = bench.claim_one("a", at(3)).await;
            assert_eq!((held.crashes, held.crashes_alone), (1, 1));
            bench.write(&held, vec![entry(1, kind, "step", None)], end, at(4)).await.unwrap();
            let found = bench.run(run).await;
            assert_eq!((found.crashes, found.crashes_alone), (0, 0));
            if found.state == RunState::Running {
                bench.write(&held, vec![], Some(Transition::Cancel), at(5)).await.unwrap();
            }
        }
    }
}

pub(crate) async fn keeps_crashes_when_a_run_only_notes_a_start(bench: &mut Bench) {
    bench.queue("1", "a").await;
    bench.claim_one("a", at(1)).await;
    bench.crash_and_restart(at(2)).await;
    let run = bench.claim_one("a", at(3)).await;
    bench.write(&run, vec![entry(1, EntryKind::Started, "step", None)], None, at(4)).await.unwrap();
    bench.write(&run, vec![], Some(Transition::Release), at(4)).await.unwrap();
    let found = bench.run(run.id).await;
    assert_eq!((found.crashes, found.crashes_alone), (1, 1));
}

pub(crate) async fn keeps_waiting_runs_waiting(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    bench.write(&run, vec![], Some(Transition::Wait { due: Some(at(60)), seen: None }), at(2)).await.unwrap();
    let before = bench.run(run.id).await;
    assert!(bench.crash_and_restart(at(9)).await.is_empty());
    assert_eq!(bench.run(run.id).await, before);
    assert_eq!(bench.claim("a", at(60)).await.len(), 1);
}

pub(crate) async fn refuses_the_dead_nodes_writes(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let old = bench.claim_one("a", at(1)).await;
    bench.crash_and_restart(at(2)).await;
    let refused =
        bench.write(&old, vec![done(1, "late")], Some(Transition::Complete), at(3)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Stale);
    let new = bench.claim_one("a", at(4)).await;
    let refused =
        bench.write(&old, vec![done(1, "late")], Some(Transition::Complete), at(5)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Stale);
    bench.write(&new, vec![done(1, "mine")], Some(Transition::Complete), at(6)).await.unwrap();
}

pub(crate) async fn keeps_unsure_effects_through_crashes(bench: &mut Bench) {
    bench.queue("1", "a").await;
    bench.claim_one("a", at(1)).await;
    bench.crash_and_restart(at(2)).await;
    assert_eq!(bench.run(RunId(1)).await.unsure_since, Some(at(1)));
    let run = bench.claim_one("a", at(3)).await;
    assert_eq!((run.unsure_since, run.claimed_at), (Some(at(1)), Some(at(3))));
}

pub(crate) async fn gives_every_node_its_own_id(bench: &mut Bench) {
    let mut nodes = vec![bench.node];
    for restart in 0..3 {
        bench.crash_and_restart(at(restart)).await;
        assert!(!nodes.contains(&bench.node));
        nodes.push(bench.node);
    }
}
