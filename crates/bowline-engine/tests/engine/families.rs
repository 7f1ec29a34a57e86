//! Cancelling a run that waits for others.

use std::{sync::Arc, time::Duration};

use bowline_engine::{Cancel, CancelledFamily, Context, EngineOptions, Startable, Workflow};
use bowline_model::{Entry, EntryKey, EntryKind, EntryMeta, RunId, RunState, Seq, WorkflowName};
use bowline_store::{Operation, Store};
use serde_json::Value;

use crate::{
    node::{Host, Node, until},
    remote::Remote,
};

const HOUR: Duration = Duration::from_secs(3600);
const WHY: &str = "the order was withdrawn";

/// A workflow by its name.
struct Named(WorkflowName);

impl Startable for Named {
    type Input = ();
    type Output = u64;

    fn workflow_name(&self) -> &WorkflowName {
        &self.0
    }
}

fn named(name: &str) -> Named {
    Named(WorkflowName::from(name))
}

/// `top` waits for `middle`, which waits for `low`, which sleeps and calls; `top` also starts `alone` on its own.
fn flows(remote: &Arc<Remote>) -> Vec<Workflow> {
    let sleeper = |name: &str| {
        let (remote, path) = (remote.clone(), format!("/{name}"));
        Workflow::new(name, move |cx: Context, (): ()| {
            let (remote, path) = (remote.clone(), path.clone());
            async move {
                cx.sleep(HOUR).await;
                cx.step("call", remote.post(&path)).await
            }
        })
    };
    let top = Workflow::new("top", |cx: Context, _: Value| async move {
        cx.start(&named("alone"), &())?;
        cx.child(&named("middle"), &()).await
    });
    let middle =
        Workflow::new("middle", |cx: Context, (): ()| async move { cx.child(&named("low"), &()).await });
    vec![top, middle, sleeper("low"), sleeper("alone")]
}

/// All of them wait: top, middle, low, and the one on its own.
#[track_caller]
fn waiting(host: &Host, node: &Node) -> [RunId; 4] {
    let top = host.accept(&["top"], "null")[0];
    node.engine.poke();
    host.wait_for(top, RunState::Waiting);
    let started = host.started_by(top);
    let (one, two) = (host.run(started[0]), host.run(started[1]));
    let (middle, alone) = if one.workflow.as_str() == "middle" { (one, two) } else { (two, one) };
    host.wait_for(middle.id, RunState::Waiting);
    let low = host.started_by(middle.id)[0];
    host.wait_for(low, RunState::Waiting);
    host.wait_for(alone.id, RunState::Waiting);
    [top, middle.id, low, alone.id]
}

#[track_caller]
fn check_cancelled(host: &Host, [top, middle, low, alone]: [RunId; 4]) {
    for (run, why) in [
        (top, WHY.to_owned()),
        (middle, format!("its parent, run {top}, was cancelled: {WHY}")),
        (low, format!("its parent, run {middle}, was cancelled: {WHY}")),
    ] {
        let found = host.run(run);
        assert_eq!((found.state, found.summary), (RunState::Cancelled, Some(why)));
    }
    assert!(host.run(alone).state.is_open(), "it is on its own");
}

#[test]
fn a_cancel_reaches_the_children_that_the_run_waits_for_and_theirs() {
    let (host, remote) = (Host::new(), Remote::new());
    let node = host.start(flows(&remote));
    let runs = waiting(&host, &node);
    let done = host.block_on("the cancel", node.engine.cancel_family(runs[0], WHY)).unwrap();
    assert_eq!(done, CancelledFamily { run: Cancel::Cancelled, children: 2, went_on: None });
    check_cancelled(&host, runs);
    host.clock.advance(HOUR * 2);
    node.engine.poke();
    host.wait_for(runs[3], RunState::Completed);
    assert_eq!((remote.keys("/low").len(), remote.keys("/alone").len()), (0, 1));
    let again = host.block_on("the cancel", node.engine.cancel_family(runs[0], WHY)).unwrap();
    assert_eq!(
        again,
        CancelledFamily { run: Cancel::Ended(RunState::Cancelled), children: 0, went_on: None }
    );
}

#[test]
fn a_family_is_cancelled_while_no_process_runs_and_also_after_a_kill() {
    let (host, remote) = (Host::new(), Remote::new());
    let node = host.start(flows(&remote));
    let runs = waiting(&host, &node);
    node.kill();
    let done = host.cancel_at_rest(runs[0], WHY);
    assert_eq!(done, CancelledFamily { run: Cancel::Cancelled, children: 2, went_on: None });
    check_cancelled(&host, runs);
}

/// What a crash in the middle of a cancel leaves: the parent alone is cancelled.
fn cancel_only(host: &Host, run: RunId) {
    let found = host.run(run);
    let entry = Entry {
        seq: Seq(found.journal_len + 1),
        kind: EntryKind::Cancelled,
        key: EntryKey::run(),
        at: host.clock.time(),
        build: found.build.clone(),
        meta: EntryMeta { note: Some(WHY.to_owned()), ..EntryMeta::default() },
        payload: None,
    };
    let operation = Operation {
        run,
        expect: found.state,
        expect_journal_len: found.journal_len,
        now: host.clock.time(),
        entries: vec![entry],
        to: RunState::Cancelled,
        ruled: None,
    };
    host.block_on("the write", host.store.operate(operation)).unwrap();
}

#[test]
fn a_child_of_a_cancelled_run_does_nothing_more_after_a_crash_between_the_two() {
    let (host, remote) = (Host::new(), Remote::new());
    let options = EngineOptions { resting_max: 0, ..EngineOptions::default() };
    let node = host.start_as("build-1", flows(&remote), options.clone());
    let [top, middle, low, alone] = waiting(&host, &node);
    node.kill();
    cancel_only(&host, middle);
    let node = host.start_as("build-1", flows(&remote), options);
    host.clock.advance(HOUR * 2);
    node.engine.poke();
    let ended = host.end(low);
    assert_eq!(ended.state, RunState::Cancelled);
    assert_eq!(ended.summary, Some(format!("its parent, run {middle}, was cancelled: {WHY}")));
    host.wait_for(alone, RunState::Completed);
    assert!(remote.keys("/low").is_empty(), "it was not asked for anything");
    let top = host.end(top);
    assert_eq!(top.state, RunState::DeadLettered, "its child was cancelled under it");
}

#[test]
fn a_cancel_that_was_cut_short_is_gone_on_with_by_the_next_node() {
    let (host, remote) = (Host::new(), Remote::new());
    let node = host.start(flows(&remote));
    let runs = waiting(&host, &node);
    node.kill();
    cancel_only(&host, runs[0]);
    let node = host.start(flows(&remote));
    host.end(runs[2]);
    check_cancelled(&host, runs);
    let again = host.block_on("the cancel", node.engine.cancel_family(runs[0], WHY)).unwrap();
    assert_eq!(
        again,
        CancelledFamily { run: Cancel::Ended(RunState::Cancelled), children: 0, went_on: None }
    );
}

/// A run with children, as many as it says, each of which sleeps for a day.
fn crowd() -> Vec<Workflow> {
    let one = Workflow::new("one", |cx: Context, (): ()| async move {
        cx.sleep(HOUR * 24).await;
        Ok(1)
    });
    let many = Workflow::new("many", |cx: Context, count: usize| async move {
        let child = async |n: usize| cx.child(&named("one"), &()).key(n).await;
        futures_util::future::try_join_all((0..count).map(child)).await
    });
    vec![one, many]
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it measures how long the machine takes")]
fn a_thousand_children_are_cancelled_with_their_parent_within_seconds() {
    let host = Host::new();
    let node = host.start(crowd());
    let run = host.accept(&["many"], "1000")[0];
    let begun = std::time::Instant::now();
    node.engine.poke();
    let children = || host.block_on("the children", host.store.waited_for(run)).unwrap();
    until(|| children().len() == 1000);
    let started_in = begun.elapsed();
    let begun = std::time::Instant::now();
    let done = host.block_on("the cancel", node.engine.cancel_family(run, WHY)).unwrap();
    let took = begun.elapsed();
    assert_eq!(done, CancelledFamily { run: Cancel::Cancelled, children: 1000, went_on: None });
    // Some three times what their start takes; were each looked for among all, it would be hundreds of times that.
    assert!(
        took < Duration::from_secs(20).max(started_in * 50),
        "started in {started_in:?}, cancelled in {took:?}"
    );
}
