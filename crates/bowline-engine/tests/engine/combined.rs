//! Loops, races and children, put together with each other, with an operator's retries and with kills.

use std::{sync::Arc, time::Duration};

use bowline_engine::{Context, Startable, Workflow, loops::DeadItems};
use bowline_model::{Result, RunId, RunState, WorkflowName};
use futures_util::{
    StreamExt,
    future::{select, try_join},
    stream::FuturesUnordered,
};
use serde_json::Value;

use crate::{
    node::{Host, Node, until},
    remote::{Remote, Reply},
};

fn flow<Fut>(
    remote: &Arc<Remote>,
    code: impl Fn(Context, Arc<Remote>) -> Fut + Send + Sync + 'static,
) -> Workflow
where
    Fut: Future<Output = Result<u64>> + Send + 'static,
{
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| code(cx, remote.clone()))
}

fn started(host: &Host, node: &Node) -> RunId {
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    run
}

#[test]
fn a_loop_goes_on_after_its_notes_inside_a_combinator_that_polls_only_who_was_woken() {
    let (host, remote) = (Host::new(), Remote::new());
    let node = host.start(vec![flow(&remote, |cx, remote| async move {
        let patch = async |cx: Context, item: u64| {
            cx.step("patch", remote.post(&format!("/patch/{item}"))).await.map(drop)
        };
        let looped =
            async { cx.for_each("sync", Vec::from_iter(0..6), 1, patch).await.map(|summary| summary.done) };
        let mut all = FuturesUnordered::new();
        all.push(looped);
        all.next().await.expect("one is in it")
    })]);
    let run = started(&host, &node);
    host.wait_for(run, RunState::Completed);
    assert_eq!(host.output(run), 6);
}

#[test]
fn a_race_may_have_another_winner_after_an_operators_retry() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/quick", [Reply::Refused, Reply::Gate]);
    let node = host.start(vec![flow(&remote, |cx, remote| async move {
        let quick = async { cx.step("quick", remote.post("/quick")).await };
        let patience = async {
            cx.sleep(Duration::from_secs(5)).await;
            Ok(7)
        };
        cx.race((quick, patience)).await.output
    })]);
    let run = started(&host, &node);
    host.wait_for(run, RunState::DeadLettered);
    host.retry(&node, run);
    until(|| remote.keys("/quick").len() == 2);
    host.clock.advance(Duration::from_secs(6));
    host.wait_for(run, RunState::Completed);
    assert_eq!(host.output(run), 7);
}

/// What an item without effects has recorded goes when its loop notes it; that note and the end of the item around the
/// loop are one commit.
#[test]
fn a_retry_finds_what_is_left_of_a_loop_inside_a_dead_item_and_nothing_else() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/patch/1", [Reply::Refused]);
    let node = host.start(vec![flow(&remote, |cx, remote| async move {
        let outer = async |cx: Context, _: u64| {
            let inner = async |cx: Context, item: u64| match item {
                0 => {
                    cx.random();
                    Ok(())
                }
                _ => cx.step("patch", remote.post("/patch/1")).await.map(drop),
            };
            cx.for_each("inner", vec![0, 1], 2, inner).on_dead(DeadItems::Skip).await.map(drop)
        };
        cx.for_each("outer", vec![0], 1, outer).on_dead(DeadItems::Skip).await.map(|summary| summary.done)
    })]);
    let run = started(&host, &node);
    host.wait_for(run, RunState::DeadLettered);
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    assert_eq!((host.output(run), remote.keys("/patch/1").len()), (1.into(), 2));
}

#[test]
fn what_was_under_way_at_a_kill_comes_to_its_end_though_its_loop_has_stopped() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/patch/0", [Reply::Refused]);
    remote.script("/patch/1", [Reply::Gate]);
    let looping = |remote: &Arc<Remote>| {
        flow(remote, |cx, remote| async move {
            let patch = async |cx: Context, item: u64| {
                cx.step("patch", remote.post(&format!("/patch/{item}"))).await.map(drop)
            };
            cx.for_each("sync", Vec::from_iter(0..9), 2, patch).await.map(|summary| summary.done)
        })
    };
    let node = host.start(vec![looping(&remote)]);
    let run = started(&host, &node);
    until(|| remote.keys("/patch/1").len() == 1);
    host.wait(run, "told of the dead item", |run| run.journal_len > 2);
    node.kill();
    let _node = host.start(vec![looping(&remote)]);
    host.wait_for(run, RunState::DeadLettered);
    let keys = remote.keys("/patch/1");
    assert_eq!(keys.len(), 2, "it may have happened");
    assert_eq!(keys[0], keys[1]);
    assert!(remote.keys("/patch/2").is_empty());
}

#[test]
fn the_end_of_an_empty_loop_comes_in_its_turn_live_and_on_recovery() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/last", [Reply::Gate]);
    let racing = |remote: &Arc<Remote>| {
        flow(remote, |cx, remote| async move {
            let empty =
                Box::pin(async { cx.for_each("sync", vec![0; 0], 1, async |_, _| Ok(())).await.map(drop) });
            let other = Box::pin(async { cx.step("call", remote.post("/never")).await.map(drop) });
            select(empty, other).await;
            cx.step("call", remote.post("/after")).await?;
            cx.step("call", remote.post("/last")).await
        })
    };
    let node = host.start(vec![racing(&remote)]);
    let run = started(&host, &node);
    until(|| remote.keys("/last").len() == 1);
    node.kill();
    let _node = host.start(vec![racing(&remote)]);
    host.wait_for(run, RunState::Completed);
    assert_eq!([remote.keys("/never").len(), remote.keys("/after").len()], [0, 1]);
}

struct Kid(WorkflowName);

impl Startable for Kid {
    type Input = u64;
    type Output = u64;

    fn workflow_name(&self) -> &WorkflowName {
        &self.0
    }
}

/// Before its end and after: what the run went on without is waited for again.
#[test]
fn a_child_that_a_failed_run_had_dropped_is_waited_for_again_by_its_retry() {
    for ends_before in [true, false] {
        let (host, remote) = (Host::new(), Remote::new());
        remote.script("/call", [Reply::Refused]);
        remote.script("/kid", [Reply::Gate]);
        let kids = remote.clone();
        let kid = Workflow::new("kid", move |cx: Context, _: u64| {
            let kids = kids.clone();
            async move { cx.step("call", kids.post("/kid")).await.map(|_| 7_u64) }
        });
        let family = flow(&remote, |cx, remote| async move {
            let child = async { cx.child(&Kid("kid".into()), &1).await };
            let call = async { cx.step("call", remote.post("/call")).await };
            Ok(try_join(child, call).await?.0)
        });
        let node = host.start(vec![family, kid]);
        let run = started(&host, &node);
        host.wait_for(run, RunState::DeadLettered);
        let kid = host.started_by(run)[0];
        if ends_before {
            remote.gate.add_permits(1);
            host.wait_for(kid, RunState::Completed);
        }
        host.retry(&node, run);
        until(|| remote.keys("/call").len() == 2);
        remote.gate.add_permits(1);
        host.wait_for(run, RunState::Completed);
        assert_eq!((host.output(run), host.started_by(run).len()), (7.into(), 1));
    }
}
