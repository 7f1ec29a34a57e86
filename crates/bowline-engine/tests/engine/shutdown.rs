//! The process is told to stop.

use std::{sync::Arc, time::Duration};

use bowline_engine::{Context, Workflow};
use bowline_model::{EntryKind, RunState};
use serde_json::Value;

use crate::{
    node::{Host, until},
    remote::{Remote, Reply},
};

/// What an attempt may take: longer than any grace.
const LONG: Duration = Duration::from_secs(20 * 24 * 3600);

/// A workflow of one call to the path that is its input.
fn one_call(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, path: String| {
        let remote = remote.clone();
        async move { cx.step("call", remote.post(&path)).attempt_timeout(LONG).await }
    })
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
    let stop = node.begin_stop();
    remote.gate.add_permits(1);
    stop.end();
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
    let node = host.start(vec![one_call(&remote)]);
    let run = host.accept(&["flow"], "\"/a\"")[0];
    node.engine.poke();
    host.block_on("the call", remote.next_arrival());
    let stop = node.begin_stop();
    // Past the grace, whenever the shutdown began to count it, and before the attempt's own time is over.
    until(|| {
        host.clock.advance(Duration::from_secs(1));
        host.run(run).state != RunState::Running
    });
    stop.end();
    let journal = host.journal(run);
    assert_eq!(host.run(run).state, RunState::Queued);
    assert_eq!(journal[0].kind, EntryKind::AttemptFailed);
    let failure = journal[0].meta.failure.as_ref().unwrap().to_string();
    assert!(failure.starts_with("the process stopped while this attempt was under way"), "{failure}");
    let _node = host.start(vec![one_call(&remote)]);
    host.wait_for(run, RunState::Completed);
    let keys = remote.keys("/a");
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
}

#[test]
fn the_grace_ends_for_a_run_whose_write_was_held_up_too() {
    let (host, remote) = (Host::new(), Remote::new());
    for path in ["/a", "/b", "/other"] {
        remote.script(path, [Reply::Gate]);
    }
    let calls = remote.clone();
    let two = Workflow::new("two", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            let a = cx.step("a", remote.post("/a")).attempt_timeout(LONG);
            let b = cx.step("b", remote.post("/b")).attempt_timeout(LONG);
            tokio::try_join!(a.into_future(), b.into_future())
        }
    });
    let node = host.start(vec![two, one_call(&remote)]);
    let run = host.accept(&["two"], "null")[0];
    node.engine.poke();
    host.block_on("both calls", remote.arrival_at("/b"));
    let other = host.accept(&["flow"], "\"/other\"")[0];
    node.engine.poke();
    host.block_on("the other call", remote.arrival_at("/other"));
    host.store.before_write.arm();
    remote.gate.add_permits(1);
    host.block_on("the write of a", host.store.before_write.holds());
    let stop = node.begin_stop();
    // The other run shows that the grace is over.
    until(|| {
        host.clock.advance(Duration::from_secs(1));
        host.run(other).state == RunState::Queued
    });
    host.store.before_write.release();
    stop.end();
    assert_eq!(
        host.kinds(run),
        [EntryKind::StepDone, EntryKind::AttemptFailed],
        "b is noted, not waited for"
    );
    assert_eq!(host.run(run).state, RunState::Queued);
}

#[test]
fn a_step_that_the_code_comes_back_to_late_starts_nothing_once_the_shutdown_began() {
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
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the first", remote.arrival_at("/first"));
    let stop = node.begin_stop();
    remote.gate.add_permits(1);
    stop.end();
    assert_eq!(remote.keys("/late").len(), 0);
    assert_eq!(host.kinds(run), [EntryKind::StepDone]);
}
