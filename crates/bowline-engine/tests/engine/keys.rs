//! Findings 1: an effect in flight at a crash is sent again after its key's lifetime (rule 7).

use std::{sync::Arc, time::Duration};

use bowline_engine::{Context, Workflow};
use bowline_model::{DeadReason, RunState};

use crate::{
    node::Host,
    remote::{Remote, Reply},
};

const DAYS: Duration = Duration::from_secs(72 * 3600);

fn charge(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: serde_json::Value| {
        let remote = remote.clone();
        async move { cx.step("charge", remote.post("/charge")).await }
    })
}

/// 1a. A dead letter that the dispatcher makes (poison) says nothing of the effect in flight; the operator's retry clears `unsure_since`.
#[test]
fn poison_retried_after_the_weekend_does_not_charge_again_blindly() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::Gate, Reply::Gate]);
    let run = host.accept(&["flow"], "null")[0];
    for _ in 0..2 {
        let node = host.start(vec![charge(&remote)]);
        host.block_on("the charge", remote.next_arrival());
        node.kill();
    }
    let node = host.start(vec![charge(&remote)]);
    assert_eq!(host.wait_for(run, RunState::DeadLettered).dead_reason, Some(DeadReason::Poison));
    host.clock.advance(DAYS);
    host.retry(&node, run);
    let end = host.wait(run, "ended", |run| {
        run.state == RunState::Completed || run.dead_reason == Some(DeadReason::Stale)
    });
    assert_eq!(end.dead_reason, Some(DeadReason::Stale), "sent {} times", remote.keys("/charge").len());
}

/// 1b. The same with a build that lost the workflow.
#[test]
fn an_unknown_workflow_deployed_again_after_the_weekend_does_not_charge_again_blindly() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::Gate]);
    let run = host.accept(&["flow"], "null")[0];
    let node = host.start(vec![charge(&remote)]);
    host.block_on("the charge", remote.next_arrival());
    node.kill();
    let node = host.start(vec![]);
    assert_eq!(host.wait_for(run, RunState::DeadLettered).dead_reason, Some(DeadReason::UnknownWorkflow));
    node.stop();
    host.clock.advance(DAYS);
    let node = host.start(vec![charge(&remote)]);
    host.retry(&node, run);
    let end = host.wait(run, "ended", |run| {
        run.state == RunState::Completed || run.dead_reason == Some(DeadReason::Stale)
    });
    assert_eq!(end.dead_reason, Some(DeadReason::Stale), "sent {} times", remote.keys("/charge").len());
}

/// 1c. Anything awaited before the step that is not a step (tokio::fs, spawn_blocking, a lock, here: a yield).
#[test]
fn a_foreign_await_before_the_step_does_not_hide_that_it_was_in_flight() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::Gate]);
    let flow = |remote: &Arc<Remote>| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: serde_json::Value| {
            let remote = remote.clone();
            async move {
                tokio::task::yield_now().await;
                cx.step("charge", remote.post("/charge")).await
            }
        })
    };
    let run = host.accept(&["flow"], "null")[0];
    let node = host.start(vec![flow(&remote)]);
    host.block_on("the charge", remote.next_arrival());
    node.kill();
    host.clock.advance(DAYS);
    let _node = host.start(vec![flow(&remote)]);
    let end = host
        .wait(run, "ended", |run| run.state == RunState::Completed || run.state == RunState::DeadLettered);
    assert_eq!(end.dead_reason, Some(DeadReason::Stale), "sent {} times", remote.keys("/charge").len());
}

/// 1d. An operator's consent is for now, not for ever.
#[test]
fn consent_does_not_cover_a_later_crash() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::Gate, Reply::Gate]);
    let run = host.accept(&["flow"], "null")[0];
    let node = host.start(vec![charge(&remote)]);
    host.block_on("the charge", remote.next_arrival());
    node.kill();
    host.clock.advance(DAYS);
    let node = host.start(vec![charge(&remote)]);
    assert_eq!(host.wait_for(run, RunState::DeadLettered).dead_reason, Some(DeadReason::Stale));
    host.retry(&node, run);
    host.block_on("the charge, by the operator's will", remote.next_arrival());
    node.kill();
    host.clock.advance(DAYS);
    let _node = host.start(vec![charge(&remote)]);
    let end = host
        .wait(run, "ended", |run| run.state == RunState::Completed || run.state == RunState::DeadLettered);
    assert_eq!(end.dead_reason, Some(DeadReason::Stale), "sent {} times", remote.keys("/charge").len());
}

/// 1e. An attempt that the code did not poll for hours is older than the last recorded outcome minus its timeout.
#[test]
fn an_attempt_left_unpolled_is_as_old_as_it_is() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::Gate]);
    remote.script("/slow", [Reply::RetryAfter(Duration::from_secs(18 * 3600))]);
    remote.script("/last", [Reply::Gate]);
    let flow = |remote: &Arc<Remote>| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: serde_json::Value| {
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
    let node = host.start(vec![flow(&remote)]);
    while host.block_on("slow", remote.next_arrival()) != "/slow" {}
    host.wait(run, "noted", |run| run.journal_len >= 2);
    host.clock.advance(Duration::from_secs(20 * 3600));
    while host.block_on("last", remote.next_arrival()) != "/last" {}
    node.kill();
    host.clock.advance(Duration::from_secs(20 * 3600));
    let _node = host.start(vec![flow(&remote)]);
    let end = host
        .wait(run, "ended", |run| run.state == RunState::Completed || run.state == RunState::DeadLettered);
    assert_eq!(
        end.dead_reason,
        Some(DeadReason::Stale),
        "40 h after it was sent: {} times",
        remote.keys("/charge").len()
    );
}

/// 1f. Two calls in flight at the crash: consent for the one that was shown does not cover the other one.
#[test]
fn consent_covers_what_was_shown_and_nothing_else() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Gate]);
    remote.script("/b", [Reply::Gate]);
    let run = host.accept(&["flow"], "null")[0];
    let node = host.start(vec![both(&remote)]);
    host.block_on("a", remote.next_arrival());
    host.block_on("b", remote.next_arrival());
    node.kill();
    host.clock.advance(DAYS);
    let node = host.start(vec![both(&remote)]);
    let dead = host.wait_for(run, RunState::DeadLettered);
    assert!(dead.summary.unwrap().starts_with("step \"a\""), "b is not mentioned");
    host.retry(&node, run);
    host.wait(run, "ended", |run| {
        run.journal_len > 2 && (run.state == RunState::DeadLettered || run.state == RunState::Completed)
    });
    assert_eq!(remote.keys("/b").len(), 1, "nobody was asked about b");
}

/// 1g. ... and what is parked sends nothing.
#[test]
fn nothing_is_sent_in_the_round_that_parks() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Unknown]);
    remote.script("/b", [Reply::Unknown]);
    let node = host.start(vec![both(&remote)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    node.kill();
    host.clock.advance(DAYS);
    let node = host.start(vec![both(&remote)]);
    host.wait_for(run, RunState::DeadLettered);
    host.retry(&node, run);
    host.wait(run, "dead again", |run| run.journal_len > 4 && run.state == RunState::DeadLettered);
    assert_eq!(
        (remote.keys("/a").len(), remote.keys("/b").len()),
        (1, 1),
        "the run was parked before anything may leave"
    );
}

fn both(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: serde_json::Value| {
        let remote = remote.clone();
        async move {
            tokio::try_join!(
                cx.step("a", remote.post("/a")).into_future(),
                cx.step("b", remote.post("/b")).into_future()
            )
        }
    })
}
