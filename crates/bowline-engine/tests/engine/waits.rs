//! Waits, slots, and in what order runs go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bowline_engine::{Context, EngineOptions, Workflow};
use bowline_model::{Attempt, Effect, Repeat, RunState, Shape, Verdict};
use serde_json::Value;

use crate::{
    node::{Host, until},
    remote::{Remote, Reply},
};

/// A workflow of one call to `/<name of the input>`; counts how often its code began.
fn one_call(remote: &Arc<Remote>) -> (Workflow, Arc<AtomicU32>) {
    let (remote, starts) = (remote.clone(), Arc::new(AtomicU32::new(0)));
    let counted = starts.clone();
    let flow = Workflow::new("flow", move |cx: Context, path: String| {
        counted.fetch_add(1, Ordering::SeqCst);
        let remote = remote.clone();
        async move { cx.step("call", remote.post(&path)).attempt_timeout(Duration::from_secs(60)).await }
    });
    (flow, starts)
}

#[test]
fn a_retry_wait_holds_no_slot_and_resumes_the_kept_code() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/slow", [Reply::RetryAfter(Duration::from_secs(3600))]);
    let (flow, starts) = one_call(&remote);
    let node = host.start_as("build-1", vec![flow], EngineOptions { slots: 1, ..Default::default() });
    let slow = host.accept(&["flow"], "\"/slow\"")[0];
    node.engine.poke();
    let waiting = host.wait_for(slow, RunState::Waiting);
    assert!(waiting.due.unwrap() >= host.clock.time() + Duration::from_secs(3600));
    let quick = host.accept(&["flow"], "\"/quick\"")[0];
    node.engine.poke();
    host.wait_for(quick, RunState::Completed);
    until(|| node.engine.progress().slots_free == 1);
    host.clock.advance(Duration::from_secs(4000));
    host.wait_for(slow, RunState::Completed);
    assert_eq!(starts.load(Ordering::SeqCst), 2, "one start a run: the waiting one was kept");
    let keys = remote.keys("/slow");
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn a_wait_outlives_the_process() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/slow", [Reply::RetryAfter(Duration::from_secs(3600))]);
    let node = host.start(vec![one_call(&remote).0]);
    let slow = host.accept(&["flow"], "\"/slow\"")[0];
    node.engine.poke();
    host.wait_for(slow, RunState::Waiting);
    node.kill();
    let node = host.start(vec![one_call(&remote).0]);
    host.clock.advance(Duration::from_secs(1800));
    assert_eq!(host.run(slow).state, RunState::Waiting);
    assert_eq!(remote.keys("/slow").len(), 1, "a restart does not make it try earlier");
    host.clock.advance(Duration::from_secs(2200));
    host.wait_for(slow, RunState::Completed);
    drop(node);
}

#[test]
fn the_older_run_goes_first_and_a_workflows_limit_stops_no_other() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/first", [Reply::Gate]);
    let (limited, _) = one_call(&remote);
    let other =
        Workflow::new("other", |cx: Context, _: Value| async move { cx.step("b", async || Ok(1)).await });
    let first = host.accept(&["flow"], "\"/first\"")[0];
    let second = host.accept(&["flow"], "\"/second\"")[0];
    let third = host.accept(&["flow"], "\"/third\"")[0];
    let node = host.start(vec![limited.concurrency(1), other]);
    assert_eq!(host.block_on("the first", remote.next_arrival()), "/first");
    let free = host.accept(&["other"], "null")[0];
    node.engine.poke();
    host.wait_for(free, RunState::Completed);
    assert_eq!(host.run(second).state, RunState::Queued);
    remote.gate.add_permits(1);
    for (path, run) in [("/second", second), ("/third", third)] {
        assert_eq!(host.block_on(path, remote.next_arrival()), path);
        host.wait_for(run, RunState::Completed);
    }
    host.wait_for(first, RunState::Completed);
}

#[test]
fn a_slot_freed_while_a_claim_is_on_its_way_is_noticed() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/first", [Reply::Gate]);
    let first = host.accept(&["flow"], "\"/first\"")[0];
    let node = host.start(vec![one_call(&remote).0.concurrency(1)]);
    host.block_on("the first", remote.arrival_at("/first"));
    host.store.before_claim.arm();
    let second = host.accept(&["flow"], "\"/second\"")[0];
    node.engine.poke();
    host.block_on("the claim", host.store.before_claim.holds());
    remote.gate.add_permits(1);
    host.wait_for(first, RunState::Completed);
    until(|| node.engine.progress().slots_free == node.engine.progress().slots);
    host.store.before_claim.release();
    host.wait_for(second, RunState::Completed);
}

/// An effect that is not ready yet, and says that it need not be waited for.
struct NotYet(Arc<AtomicU32>);

impl Effect for NotYet {
    type Output = u64;

    fn shape(&self) -> Shape {
        Shape { fingerprint: None, repeat: Repeat::Safe }
    }

    async fn attempt(&self, _: Attempt) -> Verdict<u64> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Verdict::Wait { wait: Duration::ZERO, why: "not yet".into() }
    }
}

#[test]
fn a_wait_of_no_time_is_a_wait_and_does_not_spin() {
    let (host, asked) = (Host::new(), Arc::new(AtomicU32::new(0)));
    let counted = asked.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let effect = NotYet(counted.clone());
        async move { cx.step("call", effect).await }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    host.let_another_pass(&node);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "time stands still");
    until(|| {
        host.clock.advance(Duration::from_secs(1));
        asked.load(Ordering::SeqCst) > 1
    });
}
