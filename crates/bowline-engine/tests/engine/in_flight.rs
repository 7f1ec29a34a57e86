//! What may have been sent at a crash, and how long it may be sent again under its key.

use std::{sync::Arc, time::Duration};

use bowline_engine::{Context, Workflow};
use bowline_model::{DeadReason, EntryKind, Run, RunId, RunState};
use serde_json::Value;

use crate::{
    node::Host,
    remote::{Remote, Reply},
};

/// Longer than the remote remembers a key.
const WEEKEND: Duration = Duration::from_secs(72 * 3600);

/// A workflow of that one call.
fn charge(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move { cx.step("charge", remote.post("/charge")).await }
    })
}

/// A workflow of two calls side by side.
fn both(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move {
            let (a, b) = (cx.step("a", remote.post("/a")), cx.step("b", remote.post("/b")));
            tokio::try_join!(a.into_future(), b.into_future())
        }
    })
}

/// A process dies while the charge is in flight.
#[track_caller]
fn dies_while_charging(host: &Host, remote: &Arc<Remote>, flow: Workflow) {
    remote.script("/charge", [Reply::Gate]);
    let node = host.start(vec![flow]);
    host.block_on("the charge", remote.arrival_at("/charge"));
    node.kill();
}

/// Waits for the run's end: it is parked, and the charge went out that often.
#[track_caller]
fn parked(host: &Host, remote: &Remote, run: RunId, charges: usize) -> Run {
    let run = host.end(run);
    assert_eq!(run.dead_reason, Some(DeadReason::Stale), "sent {} times", remote.keys("/charge").len());
    assert_eq!(remote.keys("/charge").len(), charges);
    run
}

#[test]
fn an_unknown_effect_older_than_its_keys_lifetime_is_parked_until_an_operator_decides() {
    let (host, remote) = (Host::new(), Remote::new());
    let run = host.accept(&["flow"], "null")[0];
    dies_while_charging(&host, &remote, charge(&remote));
    host.clock.advance(Duration::from_secs(30 * 3600));
    let node = host.start(vec![charge(&remote)]);
    let summary = parked(&host, &remote, run, 1).summary.unwrap();
    assert!(summary.starts_with("step \"charge\": its call (POST crm /charge) was sent at"), "{summary}");
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    let keys = remote.keys("/charge");
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]), "by the operator's will, under the same key");
}

#[test]
fn an_unknown_attempt_that_waited_through_a_long_outage_is_parked_too() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::Unknown]);
    let run = host.accept(&["flow"], "null")[0];
    let node = host.start(vec![charge(&remote)]);
    host.wait_for(run, RunState::Waiting);
    assert_eq!(host.kinds(run), [EntryKind::AttemptFailed]);
    node.kill();
    host.clock.advance(Duration::from_secs(25 * 3600));
    let _node = host.start(vec![charge(&remote)]);
    parked(&host, &remote, run, 1);
}

#[test]
fn a_poison_run_retried_after_the_weekend_does_not_charge_again_blindly() {
    let (host, remote) = (Host::new(), Remote::new());
    let run = host.accept(&["flow"], "null")[0];
    dies_while_charging(&host, &remote, charge(&remote));
    dies_while_charging(&host, &remote, charge(&remote));
    let node = host.start(vec![charge(&remote)]);
    assert_eq!(host.end(run).dead_reason, Some(DeadReason::Poison));
    host.clock.advance(WEEKEND);
    host.retry(&node, run);
    parked(&host, &remote, run, 2);
}

#[test]
fn a_workflow_deployed_again_after_the_weekend_does_not_charge_again_blindly() {
    let (host, remote) = (Host::new(), Remote::new());
    let run = host.accept(&["flow"], "null")[0];
    dies_while_charging(&host, &remote, charge(&remote));
    let node = host.start(vec![]);
    assert_eq!(host.end(run).dead_reason, Some(DeadReason::UnknownWorkflow));
    node.stop();
    host.clock.advance(WEEKEND);
    let node = host.start(vec![charge(&remote)]);
    host.retry(&node, run);
    parked(&host, &remote, run, 1);
}

#[test]
fn a_foreign_await_before_the_step_does_not_hide_that_it_was_in_flight() {
    let (host, remote) = (Host::new(), Remote::new());
    let flow = || {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                tokio::task::yield_now().await;
                cx.step("charge", remote.post("/charge")).await
            }
        })
    };
    let run = host.accept(&["flow"], "null")[0];
    dies_while_charging(&host, &remote, flow());
    host.clock.advance(WEEKEND);
    let _node = host.start(vec![flow()]);
    parked(&host, &remote, run, 1);
}

#[test]
fn a_shutdown_during_recovery_does_not_hide_what_was_in_flight() {
    let (host, remote) = (Host::new(), Remote::new());
    let run = host.accept(&["flow"], "null")[0];
    dies_while_charging(&host, &remote, charge(&remote));
    host.store.after_claim.arm();
    let node = host.start(vec![charge(&remote)]);
    host.block_on("the claim", host.store.after_claim.holds());
    let stop = node.begin_stop();
    host.store.after_claim.release();
    stop.end();
    assert_eq!((host.run(run).state, remote.keys("/charge").len()), (RunState::Queued, 1));
    host.clock.advance(WEEKEND);
    let _node = host.start(vec![charge(&remote)]);
    parked(&host, &remote, run, 1);
}

#[test]
fn an_operators_consent_does_not_cover_a_later_crash() {
    let (host, remote) = (Host::new(), Remote::new());
    let run = host.accept(&["flow"], "null")[0];
    dies_while_charging(&host, &remote, charge(&remote));
    host.clock.advance(WEEKEND);
    let node = host.start(vec![charge(&remote)]);
    parked(&host, &remote, run, 1);
    remote.script("/charge", [Reply::Gate]);
    host.retry(&node, run);
    host.block_on("the charge, by the operator's will", remote.arrival_at("/charge"));
    node.kill();
    host.clock.advance(WEEKEND);
    let _node = host.start(vec![charge(&remote)]);
    parked(&host, &remote, run, 2);
}

#[test]
fn an_attempt_that_the_code_left_alone_for_hours_is_as_old_as_it_is() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::Gate]);
    remote.script("/slow", [Reply::RetryAfter(Duration::from_secs(18 * 3600))]);
    remote.script("/last", [Reply::Gate]);
    let flow = || {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                let mut charge = cx.step("charge", remote.post("/charge")).into_future();
                tokio::select! {
                    biased;
                    done = &mut charge => return done,
                    other = cx.step("other", remote.post("/other")) => other?,
                };
                cx.step("slow", remote.post("/slow")).await?;
                cx.step("last", remote.post("/last")).await?;
                charge.await
            }
        })
    };
    let run = host.accept(&["flow"], "null")[0];
    let node = host.start(vec![flow()]);
    host.block_on("the slow call", remote.arrival_at("/slow"));
    host.wait(run, "noted", |run| run.journal_len >= 2);
    host.clock.advance(Duration::from_secs(20 * 3600));
    host.block_on("the last call", remote.arrival_at("/last"));
    node.kill();
    host.clock.advance(Duration::from_secs(20 * 3600));
    let _node = host.start(vec![flow()]);
    parked(&host, &remote, run, 1);
}

#[test]
fn an_operators_consent_covers_what_was_shown_and_nothing_else() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Gate]);
    remote.script("/b", [Reply::Gate]);
    let run = host.accept(&["flow"], "null")[0];
    let node = host.start(vec![both(&remote)]);
    host.block_on("both", remote.arrival_at("/b"));
    node.kill();
    host.clock.advance(WEEKEND);
    let node = host.start(vec![both(&remote)]);
    for shown in ["step \"a\"", "step \"b\""] {
        let dead = host.end(run);
        assert_eq!(dead.dead_reason, Some(DeadReason::Stale));
        assert!(dead.summary.unwrap().starts_with(shown));
        assert_eq!((remote.keys("/a").len(), remote.keys("/b").len()), (1, 1));
        host.retry(&node, run);
    }
    host.wait_for(run, RunState::Completed);
    assert_eq!((remote.keys("/a").len(), remote.keys("/b").len()), (2, 2));
}

#[test]
fn nothing_is_sent_beside_what_is_parked() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Unknown]);
    remote.script("/b", [Reply::Unknown]);
    let node = host.start(vec![both(&remote)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    node.kill();
    host.clock.advance(WEEKEND);
    let node = host.start(vec![both(&remote)]);
    host.wait_for(run, RunState::DeadLettered);
    host.retry(&node, run);
    assert_eq!(host.end(run).dead_reason, Some(DeadReason::Stale), "the other one was never shown");
    assert_eq!((remote.keys("/a").len(), remote.keys("/b").len()), (1, 1));
}

/// A workflow of one slow call, beside which a counter is raised so often.
fn counts_beside(remote: &Arc<Remote>, times: usize) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move {
            let counted = async {
                cx.step("other", remote.post("/other")).await?;
                for _ in 0..times {
                    cx.state("n").add(1).await?;
                }
                cx.step("last", remote.post("/last")).await
            };
            let charge = cx.step("charge", remote.post("/charge"));
            let timeout = Duration::from_secs(7 * 86_400);
            tokio::try_join!(charge.attempt_timeout(timeout).into_future(), counted)
        }
    })
}

#[test]
fn a_call_under_way_is_noted_once_whatever_is_decided_beside_it() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::Gate]);
    remote.script("/last", [Reply::RetryAfter(Duration::from_secs(120))]);
    let run = host.accept(&["flow"], "null")[0];
    let node = host.start(vec![counts_beside(&remote, 50)]);
    host.block_on("the last call", remote.arrival_at("/last"));
    let notes = || host.kinds(run).into_iter().filter(|kind| *kind == EntryKind::InFlight).count();
    host.wait(run, "all counted", |run| run.journal_len >= 52);
    assert_eq!(notes(), 1, "{:?}", host.kinds(run));
    node.kill();
    host.clock.advance(WEEKEND);
    let _node = host.start(vec![counts_beside(&remote, 50)]);
    parked(&host, &remote, run, 1);
}
