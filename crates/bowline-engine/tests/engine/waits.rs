//! Waits, slots, order and shutdown.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bowline_engine::{Context, EngineOptions, Workflow};
use bowline_model::{EntryKind, RunState};
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
    let limited =
        host.accept(&["flow"], "\"/first\"").into_iter().map(|run| (run, limited.clone())).next().unwrap();
    let (first, flow) = limited;
    let second = host.accept(&["flow"], "\"/second\"")[0];
    let third = host.accept(&["flow"], "\"/third\"")[0];
    let node = host.start(vec![flow.concurrency(1), other]);
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
fn a_shutdown_records_what_is_under_way_starts_nothing_new_and_gives_the_run_back() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Gate]);
    let flow = |remote: &Arc<Remote>| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                cx.step("a", remote.post("/a")).await?;
                cx.step("b", remote.post("/b")).await
            }
        })
    };
    let node = host.start(vec![flow(&remote)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the first call", remote.next_arrival());
    let (engine, gate) = (node.engine.clone(), remote.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| node.stop());
        until(|| engine.progress().stopping);
        gate.gate.add_permits(1);
    });
    let given_back = host.run(run);
    assert_eq!((given_back.state, given_back.crashes), (RunState::Queued, 0));
    assert_eq!(host.kinds(run), [EntryKind::StepDone]);
    assert!(remote.keys("/b").is_empty(), "nothing new was started");
    let _node = host.start(vec![flow(&remote)]);
    host.wait_for(run, RunState::Completed);
    assert_eq!((remote.keys("/a").len(), remote.keys("/b").len()), (1, 1));
}

#[test]
fn what_outlasts_the_shutdowns_grace_is_noted_and_sent_again_under_its_key() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Gate]);
    let node = host.start(vec![one_call(&remote).0]);
    let run = host.accept(&["flow"], "\"/a\"")[0];
    node.engine.poke();
    host.block_on("the call", remote.next_arrival());
    let engine = node.engine.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| node.stop());
        until(|| engine.progress().stopping);
        // Past the grace, whenever the shutdown began to count it, and before the attempt's own time is over.
        until(|| {
            host.clock.advance(Duration::from_millis(5));
            host.run(run).state != RunState::Running
        });
    });
    let journal = host.journal(run);
    assert_eq!(host.run(run).state, RunState::Queued);
    assert_eq!(journal[0].kind, EntryKind::AttemptFailed);
    let _node = host.start(vec![one_call(&remote).0]);
    host.wait_for(run, RunState::Completed);
    let keys = remote.keys("/a");
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
}

#[test]
fn a_store_that_fails_for_a_while_delays_runs_and_loses_nothing() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Gate]);
    let node = host.start(vec![one_call(&remote).0]);
    let run = host.accept(&["flow"], "\"/a\"")[0];
    node.engine.poke();
    host.block_on("the call", remote.next_arrival());
    *host.store.broken.lock().unwrap() = true;
    remote.gate.add_permits(1);
    for _ in 0..50 {
        host.clock.advance(Duration::from_millis(200));
        std::thread::yield_now();
    }
    assert_eq!(host.run(run).state, RunState::Running);
    *host.store.broken.lock().unwrap() = false;
    until(|| {
        host.clock.advance(Duration::from_secs(1));
        host.run(run).state != RunState::Running
    });
    host.wait_for(run, RunState::Completed);
    assert_eq!(remote.keys("/a").len(), 1);
}
