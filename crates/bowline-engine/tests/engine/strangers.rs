//! Code that waits for what the engine does not know: a limiter, a task, a token.

use std::{sync::Arc, time::Duration};

use bowline_engine::{Context, Workflow};
use bowline_model::{BoxFuture, DeadReason, Result, RunState};
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    node::{Host, until},
    remote::{Remote, Reply},
};

/// A limiter that the code shares with others, and who waits for it.
struct Limiter {
    permits: Semaphore,
    waits: Semaphore,
}

impl Limiter {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self { permits: Semaphore::new(permits), waits: Semaphore::new(0) })
    }

    async fn pass(&self) {
        self.waits.add_permits(1);
        self.permits.acquire().await.expect("never closed").forget();
    }

    /// Ends when somebody has come to wait.
    async fn is_waited_for(&self) {
        self.waits.acquire().await.expect("never closed").forget();
    }
}

/// Two calls in a combinator that gives each its own waker; the second one waits for the limiter first.
fn unordered(remote: &Arc<Remote>, limiter: &Arc<Limiter>) -> Workflow {
    let (remote, limiter) = (remote.clone(), limiter.clone());
    Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, limiter) = (remote.clone(), limiter.clone());
        async move {
            let mut items: FuturesUnordered<BoxFuture<'_, Result<u64>>> = FuturesUnordered::new();
            items.push(Box::pin(async { cx.step("a", remote.post("/a")).await }));
            items.push(Box::pin(async {
                limiter.pass().await;
                cx.step("b", remote.post("/b")).await
            }));
            while let Some(item) = items.next().await {
                item?;
            }
            Ok(())
        }
    })
}

#[test]
fn a_branch_behind_a_limiter_does_not_wait_for_anothers_retry() {
    let (host, remote, limiter) = (Host::new(), Remote::new(), Limiter::new(0));
    remote.script("/a", [Reply::RetryAfter(Duration::from_secs(3600))]);
    let node = host.start(vec![unordered(&remote, &limiter)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait(run, "noted", |run| run.journal_len == 1);
    host.let_another_pass(&node);
    limiter.permits.add_permits(1);
    host.block_on("b, at once", remote.arrival_at("/b"));
}

#[test]
fn recovery_waits_for_a_limiter_and_does_not_call_it_a_mismatch() {
    let (host, remote, limiter) = (Host::new(), Remote::new(), Limiter::new(1));
    remote.script("/a", [Reply::Gate, Reply::Gate]);
    let node = host.start(vec![unordered(&remote, &limiter)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait(run, "recorded", |run| run.journal_len == 1);
    host.block_on("the first to wait", limiter.is_waited_for());
    node.kill();
    let node = host.start(vec![unordered(&remote, &limiter)]);
    host.block_on("recovery to wait", limiter.is_waited_for());
    host.let_another_pass(&node);
    assert_eq!(host.run(run).state, RunState::Running);
    limiter.permits.add_permits(1);
    remote.gate.add_permits(1);
    host.wait_for(run, RunState::Completed);
    assert_eq!(remote.keys("/b").len(), 1);
}

#[test]
fn a_mismatch_beside_a_token_that_never_comes_is_told_after_a_while() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/two", [Reply::Gate]);
    let flow = |name: &'static str| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                let cancelled = tokio::sync::Notify::new();
                let calls = async {
                    cx.step(name, remote.post("/one")).await?;
                    cx.step("two", remote.post("/two")).await
                };
                tokio::select! {
                    biased;
                    () = cancelled.notified() => Ok(0),
                    done = calls => done,
                }
            }
        })
    };
    let node = host.start(vec![flow("one")]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the second call", remote.arrival_at("/two"));
    node.kill();
    let _node = host.start_as("build-2", vec![flow("uno")], Default::default());
    until(|| {
        host.clock.advance(Duration::from_secs(60));
        !host.run(run).state.is_open()
    });
    assert_eq!(host.run(run).dead_reason, Some(DeadReason::Mismatch));
}

#[test]
fn code_that_wakes_itself_without_end_lets_others_run() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/busy", [Reply::Gate]);
    let calls = remote.clone();
    let busy = Workflow::new("busy", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            let mut call = cx.step("call", remote.post("/busy")).into_future();
            std::future::poll_fn(move |cx| {
                let polled = call.as_mut().poll(cx);
                cx.waker().wake_by_ref();
                polled
            })
            .await
        }
    });
    let node = host.start(vec![busy]);
    let run = host.accept(&["busy"], "null")[0];
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/busy"));
    host.let_another_pass(&node);
    remote.gate.add_permits(1);
    host.wait_for(run, RunState::Completed);
}
