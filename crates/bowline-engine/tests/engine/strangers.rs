//! Findings 4: a stranger inside a combinator that wraps wakers is invisible (rule 3), and others with strangers.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bowline_engine::{Context, Workflow};
use bowline_model::{BoxFuture, Result, RunState};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::Semaphore;

use crate::{
    node::Host,
    remote::{Remote, Reply},
};

fn flow(remote: &Arc<Remote>, gate: &Arc<Semaphore>) -> Workflow {
    let (remote, gate) = (remote.clone(), gate.clone());
    Workflow::new("flow", move |cx: Context, _: serde_json::Value| {
        let (remote, gate) = (remote.clone(), gate.clone());
        async move {
            let mut items: FuturesUnordered<BoxFuture<'_, Result<u64>>> = FuturesUnordered::new();
            items.push(Box::pin(async { cx.step("a", remote.post("/a")).await }));
            items.push(Box::pin(async {
                gate.acquire().await.unwrap().forget(); // a limiter shared by runs; a tokio sleep; spawn_blocking
                cx.step("b", remote.post("/b")).await
            }));
            while let Some(item) = items.next().await {
                item?;
            }
            Ok(())
        }
    })
}

/// 4a. The item behind the limiter waits for the other item's retry: an hour instead of no time.
#[test]
fn a_stranger_among_unordered_items_is_not_put_to_rest() {
    let (host, remote, gate) = (Host::new(), Remote::new(), Arc::new(Semaphore::new(0)));
    remote.script("/a", [Reply::RetryAfter(Duration::from_secs(3600))]);
    let node = host.start(vec![flow(&remote, &gate)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait(run, "noted", |run| run.journal_len == 1);
    std::thread::sleep(Duration::from_millis(100));
    gate.add_permits(1);
    while host.block_on("b, at once", remote.next_arrival()) != "/b" {}
}

/// 4b. Recovery parks the run as not deterministic although nothing is wrong with it.
#[test]
fn a_stranger_among_unordered_items_is_no_mismatch() {
    let (host, remote, gate) = (Host::new(), Remote::new(), Arc::new(Semaphore::new(1)));
    remote.script("/a", [Reply::Gate, Reply::Gate]);
    let node = host.start(vec![flow(&remote, &gate)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait(run, "b recorded", |run| run.journal_len == 1);
    node.kill();
    let _node = host.start(vec![flow(&remote, &gate)]);
    host.wait(run, "going on", |run| run.state == RunState::DeadLettered || run.epoch.0 == 2);
    std::thread::sleep(Duration::from_millis(300));
    let now = host.run(run);
    assert_ne!(now.state, RunState::DeadLettered, "{:?}", now.summary);
}

/// 4c. Recovery with a stranger and a left-over entry: Running for ever, silently, and a shutdown takes all its grace.
#[test]
fn a_mismatch_beside_a_cancellation_token_is_parked_some_day() {
    let (host, remote) = (Host::new(), Remote::new());
    let flow = |name: &'static str, remote: &Arc<Remote>| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: serde_json::Value| {
            let remote = remote.clone();
            async move {
                let cancelled = tokio::sync::Notify::new();
                tokio::select! {
                    biased;
                    () = cancelled.notified() => Ok(0),
                    done = async { cx.step(name, remote.post("/one")).await?; cx.step("two", remote.post("/two")).await } => done,
                }
            }
        })
    };
    remote.script("/two", [Reply::Gate]);
    let node = host.start(vec![flow("one", &remote)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    while host.block_on("two", remote.next_arrival()) != "/two" {}
    node.kill();
    let _node = host.start_as("build-2", vec![flow("uno", &remote)], Default::default());
    for _ in 0..200 {
        host.clock.advance(Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(
        host.run(run).state,
        RunState::DeadLettered,
        "after 3 h it is still that, and nothing tells why"
    );
}

/// 4d. Code that wakes itself takes the worker thread for itself.
#[test]
fn code_that_wakes_itself_lets_others_run() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/gate", [Reply::Gate]);
    let calls = remote.clone();
    let busy = Workflow::new("busy", move |cx: Context, _: serde_json::Value| {
        let remote = calls.clone();
        async move {
            let mut call = cx.step("call", remote.post("/gate")).into_future();
            std::future::poll_fn(move |cx| {
                let polled = call.as_mut().poll(cx);
                cx.waker().wake_by_ref();
                polled
            })
            .await
        }
    });
    let quick = Workflow::new("quick", |cx: Context, _: serde_json::Value| async move {
        cx.step("x", async || Ok(1)).await
    });
    let node = host.start(vec![busy, quick]);
    host.accept(&["busy"], "null");
    node.engine.poke();
    host.block_on("the call", remote.next_arrival());
    let run = host.accept(&["quick"], "null")[0];
    node.engine.poke();
    let state = Mutex::new(RunState::Queued);
    for _ in 0..300 {
        *state.lock().unwrap() = host.run(run).state;
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(*state.lock().unwrap(), RunState::Completed, "on one worker thread, after 3 s");
    std::mem::forget(node);
}
