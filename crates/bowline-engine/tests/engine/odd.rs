//! Findings 5-8: barrier, limits of durations, panics.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bowline_engine::{Context, Workflow};
use bowline_model::{Attempt, Effect, EntryKind, Failure, Repeat, RetryPolicy, RunState, Shape, Verdict};
use futures_util::FutureExt;
use serde_json::Value;

use crate::{
    node::Host,
    remote::{Remote, Reply},
};

/// 5a. A step told to start but not polled then starts its effect later, before what the code saw meanwhile is on disk (rule 4).
#[test]
fn a_step_polled_late_starts_behind_the_barrier_too() {
    let host = Host::new();
    let remote = Remote::new();
    let store = host.store.clone();
    let seen = Arc::new(Mutex::new(None));
    let (calls, told) = (remote.clone(), seen.clone());
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, store, seen) = (calls.clone(), store.clone(), told.clone());
        async move {
            let late = cx.step("late", async || {
                // What is on disk when the effect begins.
                let on_disk = bowline_store::Store::journal(&*store, cx.run_id()).await.unwrap().len();
                *seen.lock().unwrap() = Some(on_disk);
                Ok(1)
            });
            let mut late = late.into_future();
            assert!(futures_util::poll!(&mut late).is_pending());
            cx.step("first", remote.post("/first")).await?;
            late.await
        }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Completed);
    assert_eq!(host.kinds(run)[0], EntryKind::StepDone);
    assert_eq!(
        *seen.lock().unwrap(),
        Some(1),
        "the outcome that the code has seen is on disk before the next effect"
    );
}

/// 5b. ... and after a shutdown began ("from here on no effect may start").
#[test]
fn a_step_polled_late_starts_nothing_after_the_shutdown_began() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/first", [Reply::Gate]);
    let calls = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            let mut late = cx.step("late", remote.post("/late")).into_future();
            assert!(futures_util::poll!(&mut late).is_pending());
            cx.step("first", remote.post("/first")).await?;
            late.await
        }
    });
    let node = host.start(vec![flow]);
    host.accept(&["flow"], "null");
    node.engine.poke();
    host.block_on("the first", remote.next_arrival());
    let engine = node.engine.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| node.stop());
        crate::node::until(|| engine.progress().stopping);
        remote.gate.add_permits(1);
    });
    assert_eq!(remote.keys("/late").len(), 0);
}

/// 6a. "For ever" means never again.
#[test]
fn a_policy_that_never_gives_up_tries_again() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::RetryAfter(Duration::from_secs(1))]);
    let calls = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            cx.step("a", remote.post("/a")).retry(RetryPolicy::default().give_up_after(Duration::MAX)).await
        }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    let after = host.wait(run, "tried", |run| run.journal_len > 0);
    assert_eq!(after.state, RunState::Waiting, "{:?}", after.summary);
}

/// 6b. `.attempt_timeout(Duration::MAX)` panics.
#[test]
fn an_attempt_may_be_given_all_time() {
    let (host, remote) = (Host::new(), Remote::new());
    let calls = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move { cx.step("a", remote.post("/a")).attempt_timeout(Duration::MAX).await }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    let end = host.wait(run, "ended", |run| !run.state.is_open());
    assert_eq!(end.state, RunState::Completed, "{:?}", end.summary);
}

/// 7. A caught panic of a step leaves the rest of that poll "inside" the step: `cx.now()` is not recorded, a step refused.
#[test]
fn a_caught_panic_leaves_no_trace() {
    let host = Host::new();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| async move {
        let boom = cx.step("boom", async || -> bowline_model::Result<u64> { panic!("boom") });
        let _ = std::panic::AssertUnwindSafe(boom.into_future()).catch_unwind().await;
        cx.random();
        cx.step("next", async || Ok(1)).await
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    let end = host.wait(run, "ended", |run| !run.state.is_open());
    assert_eq!(end.state, RunState::Completed, "{:?}", end.summary);
    assert!(host.kinds(run).contains(&EntryKind::Value));
}

struct Later(Arc<Mutex<u64>>);
impl Effect for Later {
    type Output = u64;
    fn shape(&self) -> Shape {
        Shape { fingerprint: None, repeat: Repeat::Safe }
    }
    async fn attempt(&self, _: Attempt) -> Verdict<u64> {
        *self.0.lock().unwrap() += 1;
        Verdict::Wait { wait: Duration::ZERO, why: "soon".into() }
    }
}

/// 8. A wait of no time is asked for again without end, in one poll of the task: shutdown cannot interrupt it.
#[test]
fn a_wait_of_no_time_does_not_spin() {
    let host = Host::new();
    let count = Arc::new(Mutex::new(0));
    let counted = count.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let later = Later(counted.clone());
        async move { cx.step("a", later).await }
    });
    let node = host.start(vec![flow]);
    host.accept(&["flow"], "null");
    node.engine.poke();
    std::thread::sleep(Duration::from_secs(1));
    let asked = *count.lock().unwrap();
    std::mem::forget(node);
    assert!(asked < 1000, "asked {asked} times in a second in which the clock stood still");
}

/// 14. At the journal's limit the effect leaves first and is refused a record after: each operator's retry sends it again.
#[test]
fn what_cannot_be_recorded_any_more_is_not_sent() {
    let (host, remote) = (Host::new(), Remote::new());
    let calls = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            for _ in 0..100_000 {
                cx.random();
            }
            cx.step("charge", remote.post("/charge")).await
        }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::DeadLettered);
    host.retry(&node, run);
    let dead =
        host.wait(run, "dead again", |run| run.state == RunState::DeadLettered && run.journal_len > 100_002);
    assert_eq!(remote.keys("/charge").len(), 0, "{:?}", dead.summary);
}

#[allow(dead_code)]
fn unused(_: Failure) {}
