//! Limits of sizes, entries and times.

use std::{sync::Arc, time::Duration};

use bowline_engine::{Context, Workflow};
use bowline_model::{DeadReason, RetryPolicy, Run, RunState};
use serde_json::Value;

use crate::{
    node::Host,
    remote::{Remote, Reply},
};

/// Most entries of a journal.
const ENTRIES_MAX: usize = 100_000;

/// Runs that to its end.
#[track_caller]
fn end_of(flow: Workflow) -> Run {
    let host = Host::new();
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.end(run)
}

#[test]
fn an_oversized_result_fails_by_name_and_is_not_silently_replaced() {
    let host = Host::new();
    let flow = Workflow::new("flow", |cx: Context, _: Value| async move {
        cx.step("export", async || Ok("x".repeat(17 << 20))).await.map(|text| text.len())
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    let run = host.wait_for(run, RunState::DeadLettered);
    let summary = run.summary.unwrap();
    assert!(
        summary.starts_with("step \"export\": it was done, but not recorded: its result has 17825794 bytes"),
        "{summary}"
    );
}

#[test]
fn an_oversized_output_is_a_dead_letter_that_names_the_output() {
    let run = end_of(Workflow::new("flow", |_: Context, _: Value| async move { Ok("x".repeat(17 << 20)) }));
    assert_eq!(run.dead_reason, Some(DeadReason::Limit));
    let summary = run.summary.unwrap();
    assert!(
        summary
            .starts_with("the workflow's output has 17825794 bytes (limit 16777216); return what is needed"),
        "{summary}"
    );
}

#[test]
fn what_could_not_be_recorded_any_more_is_not_sent_and_a_retry_does_not_send_it_either() {
    let (host, remote) = (Host::new(), Remote::new());
    let calls = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            for _ in 0..ENTRIES_MAX {
                cx.random();
            }
            cx.step("charge", remote.post("/charge")).await
        }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    assert_eq!(host.wait_for(run, RunState::DeadLettered).dead_reason, Some(DeadReason::Limit));
    host.retry(&node, run);
    assert_eq!(host.end(run).dead_reason, Some(DeadReason::Limit));
    assert_eq!(remote.keys("/charge").len(), 0);
}

#[test]
fn a_run_of_ten_thousand_steps_side_by_side_is_not_searched_for_each_of_them() {
    const STEPS: u64 = 10_000;
    let flow = |remote: &Arc<Remote>| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                let steps = (0..STEPS).map(|id| cx.step("item", async || Ok(1u64)).key(id).into_future());
                futures_util::future::try_join_all(steps).await?;
                cx.step("last", remote.post("/last")).await
            }
        })
    };
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/last", [Reply::Gate]);
    let node = host.start(vec![flow(&remote)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the last call", remote.arrival_at("/last"));
    node.kill();
    // The harness's patience ends long before a search for each would.
    let _node = host.start(vec![flow(&remote)]);
    host.wait_for(run, RunState::Completed);
    assert_eq!(host.journal(run).len() as u64, STEPS + 3, "each once, what was in flight, the last, the end");
}

#[test]
fn a_policy_that_never_gives_up_tries_again() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::RetryAfter(Duration::from_secs(1))]);
    let calls = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let call = calls.post("/a");
        async move { cx.step("a", call).retry(RetryPolicy::default().give_up_after(Duration::MAX)).await }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    host.clock.advance(Duration::from_secs(10));
    host.wait_for(run, RunState::Completed);
    assert_eq!(remote.keys("/a").len(), 2);
}

#[test]
fn an_attempt_and_a_step_may_be_given_all_time() {
    let flow = Workflow::new("flow", |cx: Context, _: Value| async move {
        cx.step("a", async || Ok(1)).attempt_timeout(Duration::MAX).await?;
        cx.step("b", async || Ok(1)).timeout(Duration::MAX).await
    });
    let run = end_of(flow);
    assert_eq!(run.state, RunState::Completed, "{:?}", run.summary);
}
