//! The store fails, for a while or for good.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bowline_engine::{Context, Workflow};
use bowline_model::{DeadReason, EntryKind, RunState};
use bowline_store::StoreErrorKind;

use crate::{
    node::{Host, Node, until},
    remote::{Remote, Reply},
};

/// A workflow of one call to the path that is its input.
fn one_call(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, path: String| {
        let remote = remote.clone();
        async move { cx.step("call", remote.post(&path)).attempt_timeout(Duration::from_secs(60)).await }
    })
}

#[test]
fn a_store_that_fails_for_a_while_delays_runs_and_loses_nothing() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Gate]);
    let node = host.start(vec![one_call(&remote)]);
    let run = host.accept(&["flow"], "\"/a\"")[0];
    node.engine.poke();
    host.block_on("the call", remote.next_arrival());
    host.store.broken.store(true, Ordering::SeqCst);
    remote.gate.add_permits(1);
    until(|| {
        host.clock.advance(Duration::from_millis(200));
        host.store.refusals.load(Ordering::SeqCst) > 3
    });
    assert_eq!(host.run(run).state, RunState::Running);
    host.store.broken.store(false, Ordering::SeqCst);
    until(|| {
        host.clock.advance(Duration::from_secs(1));
        host.run(run).state != RunState::Running
    });
    host.wait_for(run, RunState::Completed);
    assert_eq!(remote.keys("/a").len(), 1);
}

/// A call is done, and the store refuses its outcome for good.
#[track_caller]
fn refused_for_good() -> (Host, Arc<Remote>, Node, bowline_model::Run) {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::Gate]);
    let node = host.start(vec![one_call(&remote)]);
    let run = host.accept(&["flow"], "\"/charge\"")[0];
    node.engine.poke();
    host.block_on("the charge", remote.arrival_at("/charge"));
    *host.store.refuse_write.lock().unwrap() = Some(StoreErrorKind::Limit);
    remote.gate.add_permits(1);
    let run = host.end(run);
    (host, remote, node, run)
}

#[test]
fn what_can_never_be_written_is_a_dead_letter_and_is_not_done_again() {
    let (host, remote, node, run) = refused_for_good();
    assert_eq!(run.dead_reason, Some(DeadReason::Limit));
    let summary = run.summary.as_deref().unwrap();
    assert_eq!(summary, "what the run did could not be recorded: the test refused the write");
    assert_eq!(host.kinds(run.id), [EntryKind::DeadLettered]);
    host.let_another_pass(&node);
    assert_eq!(remote.keys("/charge").len(), 1);
    host.retry(&node, run.id);
    host.wait_for(run.id, RunState::Completed);
    let keys = remote.keys("/charge");
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]), "by the operator's will, under the same key");
}

#[test]
fn what_was_never_written_is_not_sent_again_once_the_remote_may_have_forgotten_it() {
    let (host, remote, node, run) = refused_for_good();
    host.clock.advance(Duration::from_secs(72 * 3600));
    host.retry(&node, run.id);
    assert_eq!(host.end(run.id).dead_reason, Some(DeadReason::Stale));
    assert_eq!(remote.keys("/charge").len(), 1);
}

#[test]
fn a_store_that_does_not_say_what_is_due_is_not_asked_without_end() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/slow", [Reply::RetryAfter(Duration::from_secs(60))]);
    let run = host.accept(&["flow"], "\"/slow\"")[0];
    let node = host.start(vec![one_call(&remote)]);
    host.wait_for(run, RunState::Waiting);
    host.store.due_unknown.store(true, Ordering::SeqCst);
    let before = host.store.due_asked.load(Ordering::SeqCst);
    host.clock.advance(Duration::from_secs(120));
    host.wait_for(run, RunState::Completed);
    for _ in 0..10 {
        host.let_another_pass(&node);
    }
    let asked = host.store.due_asked.load(Ordering::SeqCst) - before;
    assert!(asked <= 2, "asked {asked} times while the clock stood still");
}
