//! When the engine says that nothing goes on, nothing does: what it shows then is final until a test moves something.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bowline_engine::{Context, Engine, EngineOptions, Workflow};
use bowline_model::{RunId, RunState};
use serde_json::Value;

use crate::{
    node::{Host, Node, until},
    remote::{Remote, Reply},
};

/// A step of its own on both sides of a call to `/<name of the input>`.
fn three_steps(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, path: String| {
        let remote = remote.clone();
        async move {
            cx.step("before", async || Ok(1)).await?;
            cx.step("call", remote.post(&path)).attempt_timeout(Duration::from_secs(3600)).await?;
            cx.step("after", async || Ok(1)).await
        }
    })
}

/// The busy and the attempts.
fn look(engine: &Engine) -> (usize, usize) {
    let progress = engine.progress();
    (progress.busy, progress.attempts)
}

/// Accepts a run, and waits until nothing goes on: were who is poked not busy at once, that would be too early.
#[track_caller]
fn run_until_quiet(host: &Host, node: &Node, path: &str) -> RunId {
    let run = host.accept(&["flow"], &format!("\"/{path}\""))[0];
    node.engine.poke();
    quiet(node);
    run
}

#[track_caller]
fn quiet(node: &Node) {
    until(|| node.engine.progress().busy == 0);
}

#[test]
fn a_quiet_engine_has_done_all_that_could_be_done() {
    let (host, remote) = (Host::new(), Remote::new());
    let node = host.start(vec![three_steps(&remote)]);
    for _ in 0..300 {
        let run = run_until_quiet(&host, &node, "now");
        assert_eq!(host.run(run).state, RunState::Completed);
        assert_eq!(look(&node.engine), (0, 0));
    }
}

#[test]
fn a_quiet_engine_waits_for_the_time_and_a_moved_time_makes_it_busy() {
    let (host, remote) = (Host::new(), Remote::new());
    let node = host.start(vec![three_steps(&remote)]);
    for _ in 0..100 {
        remote.script("/later", [Reply::RetryAfter(Duration::from_secs(60))]);
        let run = run_until_quiet(&host, &node, "later");
        assert_eq!(host.run(run).state, RunState::Waiting);
        assert_eq!(look(&node.engine), (0, 0));
        host.clock.advance(Duration::from_secs(600));
        quiet(&node);
        assert_eq!(host.run(run).state, RunState::Completed);
    }
}

#[test]
fn a_run_that_is_evicted_rests_as_quietly() {
    let (host, remote) = (Host::new(), Remote::new());
    let options = EngineOptions { resting_max: 0, slots: 1, ..Default::default() };
    let node = host.start_as("build-1", vec![three_steps(&remote)], options);
    remote.script("/later", [Reply::RetryAfter(Duration::from_secs(60))]);
    let run = run_until_quiet(&host, &node, "later");
    assert_eq!(host.run(run).state, RunState::Waiting);
    host.clock.advance(Duration::from_secs(600));
    quiet(&node);
    assert_eq!(host.run(run).state, RunState::Completed);
}

#[test]
fn attempts_under_way_are_counted_and_their_answer_makes_the_engine_busy() {
    let (host, remote) = (Host::new(), Remote::new());
    let node = host.start(vec![three_steps(&remote)]);
    for _ in 0..100 {
        remote.script("/slow", [Reply::Gate, Reply::Gate]);
        let runs = [run_until_quiet(&host, &node, "slow"), run_until_quiet(&host, &node, "slow")];
        assert_eq!(look(&node.engine), (0, 2));
        remote.gate.add_permits(1);
        // Whoever was woken is busy, and stays so until its attempt is ended and what followed is written.
        quiet(&node);
        assert_eq!(look(&node.engine), (0, 1));
        remote.gate.add_permits(1);
        quiet(&node);
        assert_eq!(look(&node.engine), (0, 0));
        assert_eq!(runs.map(|run| host.run(run).state), [RunState::Completed; 2]);
    }
}

#[test]
fn who_writes_to_the_store_is_busy() {
    let (host, remote) = (Host::new(), Remote::new());
    let node = host.start(vec![three_steps(&remote)]);
    for hold in [&host.store.before_claim, &host.store.after_claim, &host.store.before_write] {
        quiet(&node);
        hold.arm();
        let run = host.accept(&["flow"], "\"/now\"")[0];
        node.engine.poke();
        host.block_on("the hold", hold.holds());
        assert!(node.engine.progress().busy > 0);
        hold.release();
        quiet(&node);
        assert_eq!(host.run(run).state, RunState::Completed);
    }
}

#[test]
fn who_waits_to_try_the_store_again_waits_for_the_time() {
    let (host, remote) = (Host::new(), Remote::new());
    let node = host.start(vec![three_steps(&remote)]);
    quiet(&node);
    host.store.before_write.arm();
    let run = host.accept(&["flow"], "\"/now\"")[0];
    node.engine.poke();
    host.block_on("the write", host.store.before_write.holds());
    host.store.broken.store(true, Ordering::SeqCst);
    host.store.before_write.release();
    quiet(&node);
    assert_eq!(host.run(run).state, RunState::Running);
    host.store.broken.store(false, Ordering::SeqCst);
    host.clock.advance(Duration::from_secs(60));
    quiet(&node);
    assert_eq!(host.run(run).state, RunState::Completed);
}

#[test]
fn a_dead_engine_is_quiet() {
    let (host, remote) = (Host::new(), Remote::new());
    let node = host.start(vec![three_steps(&remote)]);
    remote.script("/slow", [Reply::Gate]);
    run_until_quiet(&host, &node, "slow");
    let engine = node.engine.clone();
    node.kill();
    assert_eq!(look(&engine), (0, 0), "what was dropped counts no more");
}

#[test]
fn a_workflow_that_waits_for_something_else_is_not_seen_until_it_is_woken() {
    let (host, (tell, told)) = (Host::new(), tokio::sync::watch::channel(false));
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let mut told = told.clone();
        async move {
            let _ = told.wait_for(|told| *told).await;
            cx.step("after", async || Ok(1)).await
        }
    });
    let node = host.start(vec![flow]);
    let run = run_until_quiet(&host, &node, "stranger");
    assert_eq!(host.run(run).state, RunState::Running);
    tell.send_replace(true);
    quiet(&node);
    assert_eq!(host.run(run).state, RunState::Completed);
}
