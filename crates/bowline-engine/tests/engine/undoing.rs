//! A run is undone: on a cancel, on a discard, when it fails. Nothing of it goes forward then, whatever crashes.

use std::{fmt, sync::Arc, time::Duration};

use bowline_engine::{Cancel, Context, EngineOptions, Fit, Rehearsal, Workflow, Workflows};
use bowline_model::{
    BuildId, Clock, DeadReason, Effect, EntryKind, Error, Family, FlowRule, Gather, Payload, Recall,
    Recalled, Result, RetryPolicy, Reversible, Ruled, Run, RunFlow, RunId, RunState, Unruled,
};
use bowline_store::Store;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, value::RawValue};

use crate::{
    node::{ClockHandle, Host, Node, until},
    remote::{Post, Remote, Reply},
};

impl Reversible for Post {
    fn as_data(&self) -> Result<Payload> {
        let call = Effect::shape(self).fingerprint.expect("a call has one");
        Ok(Payload::encode(&call.path).expect("a text has a JSON form"))
    }
}

/// Finds the remote again.
pub(crate) struct Again(pub(crate) Arc<Remote>);

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Again")
    }
}

impl Recall for Again {
    fn effect(&self, data: &Payload) -> Result<Box<dyn Recalled>> {
        let path: String = data.decode().map_err(Error::permanent)?;
        Ok(Box::new(self.0.post(&path)))
    }
}

/// Three steps that can be undone.
fn three(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move {
            for (path, undo) in [("/a", "/undo-a"), ("/b", "/undo-b"), ("/c", "/undo-c")] {
                cx.step("make", remote.post(path)).key(path).undo(|_| remote.post(undo)).await?;
            }
            Ok(())
        }
    })
}

fn start(host: &Host, remote: &Arc<Remote>, flow: Workflow) -> Node {
    let recall: Arc<dyn Recall> = Arc::new(Again(remote.clone()));
    host.start_as("build-1", vec![flow], EngineOptions { recall: Some(recall), ..EngineOptions::default() })
}

fn accept(host: &Host) -> RunId {
    host.accept(&["flow"], "null")[0]
}

fn cancel(host: &Host, node: &Node, run: RunId) -> Cancel {
    host.block_on("the cancel", node.engine.cancel(run, "not wanted")).unwrap()
}

/// Waits for the run's end, and that it was cancelled.
#[track_caller]
fn undone(host: &Host, run: RunId) -> Run {
    let run = host.end(run);
    assert_eq!(run.state, RunState::Cancelled, "{:?}", run.summary);
    run
}

fn sent(remote: &Remote) -> [usize; 6] {
    ["/a", "/b", "/c", "/undo-a", "/undo-b", "/undo-c"].map(|path| remote.keys(path).len())
}

/// What was done is undone, and each of it under one key.
#[track_caller]
fn nothing_is_left(remote: &Remote) {
    for (path, undo) in [("/a", "/undo-a"), ("/b", "/undo-b"), ("/c", "/undo-c")] {
        let (mut done, mut undone) = (remote.keys(path), remote.keys(undo));
        done.dedup();
        undone.dedup();
        assert_eq!((done.len() <= 1, done.len()), (true, undone.len()), "{path}: {:?}", sent(remote));
    }
}

#[test]
fn a_cancel_settles_the_call_in_flight_and_undoes_the_newest_first() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/b", [Reply::Gate]);
    let node = start(&host, &remote, three(&remote));
    let run = accept(&host);
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/b"));
    assert_eq!(cancel(&host, &node, run), Cancel::Undoing);
    assert_eq!(undone(&host, run).summary.as_deref(), Some("not wanted"));
    assert_eq!(sent(&remote), [1, 2, 0, 1, 1, 0], "b was sent again, under its key; c never");
    nothing_is_left(&remote);
    let undos = host.journal(run).into_iter().filter(|entry| entry.key.family == Family::Undo);
    let undos: Vec<_> =
        undos.filter(|entry| entry.kind == EntryKind::StepDone).map(|entry| entry.key.to_string()).collect();
    assert_eq!(undos, ["\"make\"[/b]", "\"make\"[/a]"]);
}

#[test]
fn a_crash_while_it_is_undone_goes_on_with_that() {
    for stopped_at in ["/b", "/undo-b", "/undo-a"] {
        let (host, remote) = (Host::new(), Remote::new());
        remote.script("/c", [Reply::Gate]);
        let node = start(&host, &remote, three(&remote));
        let run = accept(&host);
        node.engine.poke();
        host.block_on("the call", remote.arrival_at("/c"));
        remote.script(stopped_at, [Reply::Gate]);
        if stopped_at == "/b" {
            // While what is unknown is settled.
            remote.script("/c", [Reply::Gate]);
        }
        assert_eq!(cancel(&host, &node, run), Cancel::Undoing);
        host.block_on("the call", remote.arrival_at(if stopped_at == "/b" { "/c" } else { stopped_at }));
        node.kill();
        for path in ["/b", "/c", stopped_at] {
            remote.script(path, []);
        }
        let _node = start(&host, &remote, three(&remote));
        undone(&host, run);
        nothing_is_left(&remote);
        assert_eq!(host.kinds(run).iter().filter(|kind| **kind == EntryKind::Undoing).count(), 1);
    }
}

#[test]
fn an_undo_that_is_refused_needs_a_person_and_a_retry_goes_on_with_it() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/c", [Reply::Gate]);
    remote.script("/undo-b", [Reply::Refused]);
    let node = start(&host, &remote, three(&remote));
    let run = accept(&host);
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/c"));
    cancel(&host, &node, run);
    assert_eq!(host.end(run).dead_reason, Some(DeadReason::Undo));
    assert_eq!(remote.keys("/undo-a").len(), 0, "the older waits for it");
    host.retry(&node, run);
    host.wait_for(run, RunState::Cancelled);
    assert_eq!(remote.keys("/undo-b").len(), 2);
    assert_eq!(remote.keys("/undo-a").len(), 1);
    assert_eq!(remote.keys("/undo-c").len(), 1);
}

#[test]
fn a_run_that_fails_is_undone_where_its_workflow_says_so() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/c", [Reply::Refused]);
    let node = start(&host, &remote, three(&remote).undo_on_failure());
    let run = accept(&host);
    node.engine.poke();
    let summary = undone(&host, run).summary.unwrap();
    assert!(summary.starts_with("failed, and undone: "), "{summary}");
    assert_eq!(sent(&remote), [1, 1, 1, 1, 1, 0]);
}

#[test]
fn what_waits_on_disk_is_undone_without_a_process_and_by_the_next_one() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/b", [Reply::RetryAfter(std::time::Duration::from_secs(600))]);
    let node = start(&host, &remote, three(&remote));
    let run = accept(&host);
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    node.kill();
    let family = host.cancel_at_rest(run, "not wanted");
    assert_eq!(family.run, Cancel::Undoing);
    let _node = start(&host, &remote, three(&remote));
    undone(&host, run);
    assert_eq!(sent(&remote), [1, 1, 0, 1, 0, 0]);
}

#[test]
fn what_nobody_can_find_out_is_named_and_settled_by_hand() {
    let (host, remote) = (Host::new(), Remote::new());
    let flow = |remote: &Arc<Remote>| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                cx.step("a", remote.post("/a")).undo(|_| remote.post("/undo-a")).await?;
                cx.step("b", remote.post("/b")).at_most_once().undo(|_| remote.post("/undo-b")).await
            }
        })
    };
    remote.script("/b", [Reply::Gate]);
    let node = start(&host, &remote, flow(&remote));
    let run = accept(&host);
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/b"));
    cancel(&host, &node, run);
    let parked = host.end(run);
    assert_eq!(parked.dead_reason, Some(DeadReason::Undo));
    assert!(parked.summary.unwrap().contains("step \"b\""));
    assert_eq!(sent(&remote), [1, 1, 0, 0, 0, 0], "nothing is undone before that is known");
    host.settle(&node, run, "b", &bowline_dashboard::commands::Outcome::Done(serde_json::json!(7)));
    host.wait_for(run, RunState::Cancelled);
    assert_eq!(sent(&remote), [1, 1, 0, 1, 1, 0], "what a person says was done is undone too");
}

/// Three steps side by side, of which the first to end counts; then a signal that nobody sends.
fn first_of_three(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move {
            let step = async |(path, undo)| {
                cx.step("make", remote.post(path)).key(path).undo(|_| remote.post(undo)).await
            };
            let all = [("/a", "/undo-a"), ("/b", "/undo-b"), ("/c", "/undo-c")].map(step);
            all.into_iter().collect::<FuturesUnordered<_>>().next().await;
            let never = [cx.signal::<u64>("never").into_future()];
            never.into_iter().collect::<FuturesUnordered<_>>().next().await;
            Ok(())
        }
    })
}

#[test]
fn what_is_found_out_while_it_is_undone_need_not_be_asked_for_after_a_crash() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Gate]);
    remote.script("/b", [Reply::Gate]);
    remote.script("/c", [Reply::Gate, Reply::Gate]);
    let node = start(&host, &remote, first_of_three(&remote));
    let run = accept(&host);
    node.engine.poke();
    host.block_on("the calls", async {
        for _ in 0..3 {
            remote.next_arrival().await;
        }
    });
    cancel(&host, &node, run);
    until(|| host.kinds(run).into_iter().filter(|kind| *kind == EntryKind::StepDone).count() == 2);
    node.kill();
    let _node = start(&host, &remote, first_of_three(&remote));
    // At once: no clock goes on.
    let parked = host.end(run);
    assert_eq!(parked.dead_reason, Some(DeadReason::Undo));
    assert!(parked.summary.unwrap().contains("[/c]"), "nobody knows of it: the code let it go");
}

#[test]
fn what_a_person_says_was_done_is_named_where_the_code_does_not_say_how_to_undo_it() {
    let (host, remote) = (Host::new(), Remote::new());
    let flow = |remote: &Arc<Remote>, comes_to_it: bool| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                cx.step("a", remote.post("/a")).undo(|_| remote.post("/undo-a")).await?;
                if comes_to_it {
                    cx.step("b", remote.post("/b")).at_most_once().undo(|_| remote.post("/undo-b")).await?;
                }
                cx.signal::<u64>("never").await
            }
        })
    };
    remote.script("/b", [Reply::Unknown]);
    let node = start(&host, &remote, flow(&remote, true));
    let run = accept(&host);
    node.engine.poke();
    assert_eq!(host.end(run).dead_reason, Some(DeadReason::Stale));
    node.kill();
    // Another build, that knows nothing of the step: the run is parked, and discarded with undo.
    let node = start(&host, &remote, flow(&remote, false));
    host.settle(&node, run, "b", &bowline_dashboard::commands::Outcome::Done(serde_json::json!(7)));
    host.wait(run, "parked", |run| run.dead_reason == Some(DeadReason::Mismatch));
    host.discard_undone(&node, run);
    host.wait(run, "named", |run| run.dead_reason == Some(DeadReason::Undo));
    assert!(host.run(run).summary.unwrap().contains("step \"b\""));
    assert_eq!(sent(&remote), [1, 1, 0, 0, 0, 0], "nothing is undone before a person has looked");
    host.settle(&node, run, "b", &bowline_dashboard::commands::Outcome::NotDone);
    host.wait_for(run, RunState::Cancelled);
    assert_eq!(sent(&remote), [1, 1, 0, 1, 0, 0]);
}

#[test]
fn a_run_past_its_deadline_is_undone() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/b", [Reply::RetryAfter(std::time::Duration::from_secs(7200))]);
    let hour = std::time::Duration::from_secs(3600);
    let node = start(&host, &remote, three(&remote).deadline(hour).undo_on_failure());
    let run = accept(&host);
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    assert_eq!(host.run(run).due, Some(host.run(run).created_at + hour), "it wakes at its deadline");
    host.clock.advance(hour);
    assert!(undone(&host, run).summary.unwrap().starts_with("deadline, and undone: "));
    assert_eq!(sent(&remote), [1, 1, 0, 1, 0, 0]);
}

#[test]
fn a_run_past_its_deadline_is_a_dead_letter_and_a_retry_gives_it_as_long_again() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/b", [Reply::RetryAfter(std::time::Duration::from_secs(7200))]);
    let hour = std::time::Duration::from_secs(3600);
    let node = start(&host, &remote, three(&remote).deadline(hour));
    let run = accept(&host);
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    host.clock.advance(hour);
    assert_eq!(host.end(run).dead_reason, Some(DeadReason::Deadline));
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    assert_eq!(sent(&remote), [1, 2, 1, 0, 0, 0]);
}

#[test]
fn a_workflow_cancels_another_run_which_is_undone() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/b", [Reply::RetryAfter(std::time::Duration::from_secs(600))]);
    let node = start(&host, &remote, three(&remote));
    let run = accept(&host);
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    node.kill();
    let canceller = Workflow::new("canceller", move |cx: Context, run: i64| async move {
        cx.cancel_run(RunId(run), "replaced").await
    });
    let recall: Arc<dyn Recall> = Arc::new(Again(remote.clone()));
    let options = EngineOptions { recall: Some(recall), ..EngineOptions::default() };
    let by = host.accept(&["canceller"], &run.0.to_string())[0];
    let _node = host.start_as("build-1", vec![three(&remote), canceller], options);
    host.wait_for(by, RunState::Completed);
    assert_eq!(undone(&host, run).summary.as_deref(), Some("replaced"));
    assert_eq!(sent(&remote), [1, 1, 0, 1, 0, 0]);
}

#[test]
fn a_dead_letter_is_discarded_with_undo() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/c", [Reply::Refused]);
    let node = start(&host, &remote, three(&remote));
    let run = accept(&host);
    node.engine.poke();
    assert_eq!(host.end(run).dead_reason, Some(DeadReason::Failed));
    host.discard_undone(&node, run);
    undone(&host, run);
    assert_eq!(sent(&remote), [1, 1, 1, 1, 1, 0]);
}

#[test]
fn a_step_that_stays_unknown_after_waits_is_named() {
    let (host, remote) = (Host::new(), Remote::new());
    let wait = std::time::Duration::from_secs(5);
    remote.script("/b", [Reply::Gate, Reply::RetryAfter(wait), Reply::Refused]);
    let node = start(&host, &remote, three(&remote));
    let run = accept(&host);
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/b"));
    cancel(&host, &node, run);
    host.wait_for(run, RunState::Waiting);
    host.clock.advance(wait * 2);
    let parked = host.end(run);
    assert_eq!(parked.dead_reason, Some(DeadReason::Undo), "a no says nothing of the one before");
    assert_eq!(sent(&remote), [1, 3, 0, 0, 0, 0]);
}

#[test]
fn a_run_that_is_undone_fits_whatever_its_code_asks_for() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/c", [Reply::RetryAfter(Duration::from_secs(60))]);
    remote.script("/undo-a", [Reply::RetryAfter(Duration::from_secs(600))]);
    let node = start(&host, &remote, three(&remote));
    let run = accept(&host);
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    assert_eq!(cancel(&host, &node, run), Cancel::Undoing);
    host.wait(run, "an undo that is tried again", |run| {
        run.state == RunState::Waiting && remote.keys("/undo-a").len() == 1
    });
    let history = || {
        let histories = host.block_on("the history", host.store.histories(&[run])).unwrap();
        histories.into_iter().next().unwrap().unwrap()
    };
    let other = Workflow::new("flow", |cx: Context, _: Value| async move {
        cx.step("something else", async || Ok(())).await
    });
    for (build, flow) in [("build-1", three(&remote)), ("build-2", other)] {
        let mut workflows = Workflows::default();
        workflows.insert(flow);
        let clock: Arc<dyn Clock> = Arc::new(ClockHandle(host.clock.clone()));
        let rehearsal = Rehearsal::new(workflows, BuildId::from(build), clock, "");
        let (row, history) = (host.run(run), history());
        let fits = host.block_on("the look", async { rehearsal.fits(&row, history) });
        assert_eq!(fits, Fit::Fits, "{build}");
    }
    host.clock.advance(Duration::from_secs(700));
    node.engine.poke();
    undone(&host, run);
}

/// Its runs take several inputs at once.
struct TakesBatches;

impl FlowRule for TakesBatches {
    fn judge(&self, _: &RawValue) -> std::result::Result<Ruled, Unruled> {
        Ok(Ruled::default())
    }

    fn takes_batches(&self) -> bool {
        true
    }
}

/// A batch of two paths, each of which it calls.
fn batched(host: &Host, remote: &Arc<Remote>) -> (Workflow, RunId) {
    let remote = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, paths: Vec<String>| {
        let remote = remote.clone();
        async move {
            for path in paths {
                cx.step("make", remote.post(&path)).key(&path).undo(|_| remote.post("/undo-a")).await?;
            }
            Ok(())
        }
    });
    let gather = Gather::Batch { key: "all".to_owned(), events_max: 2, wait: Duration::from_secs(60) };
    let rules = RunFlow { gather: Some(gather), ..RunFlow::default() };
    let runs = ["\"/a\"", "\"/b\""].map(|path| host.accept_ruled(&["flow"], path, None, &rules)[0]);
    assert_eq!(runs[0], runs[1]);
    (flow.flow(Arc::new(TakesBatches)), runs[0])
}

#[test]
fn a_batch_is_settled_and_undone_with_all_its_events() {
    for crashes in [false, true] {
        let (host, remote) = (Host::new(), Remote::new());
        let (flow, run) = batched(&host, &remote);
        remote.script("/b", [Reply::Gate, Reply::RetryAfter(Duration::from_secs(60))]);
        let mut node = start(&host, &remote, flow.clone());
        node.engine.poke();
        host.block_on("the call", remote.arrival_at("/b"));
        assert_eq!(cancel(&host, &node, run), Cancel::Undoing);
        host.wait_for(run, RunState::Waiting);
        if crashes {
            node.kill();
            node = start(&host, &remote, flow);
        }
        host.clock.advance(Duration::from_secs(70));
        node.engine.poke();
        undone(&host, run);
        assert_eq!(
            sent(&remote),
            [1, 3, 0, 2, 0, 0],
            "b was in flight: it was settled, then both were undone"
        );
    }
}

#[test]
fn a_batch_under_way_fits_its_code() {
    let (host, remote) = (Host::new(), Remote::new());
    let (flow, run) = batched(&host, &remote);
    remote.script("/b", [Reply::RetryAfter(Duration::from_secs(600))]);
    let node = start(&host, &remote, flow.clone());
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    let history = host.block_on("the history", host.store.histories(&[run])).unwrap().remove(0).unwrap();
    let mut workflows = Workflows::default();
    workflows.insert(flow);
    let clock: Arc<dyn Clock> = Arc::new(ClockHandle(host.clock.clone()));
    let rehearsal = Rehearsal::new(workflows, BuildId::from("build-2"), clock, "");
    let row = host.run(run);
    assert_eq!(host.block_on("the look", async { rehearsal.fits(&row, history) }), Fit::Fits);
}

#[test]
fn what_is_unknown_of_a_loops_item_that_ended_is_named_before_anything_is_undone() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/b", [Reply::Unknown]);
    remote.script("/after", [Reply::Gate]);
    let calls = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            let item = async |cx: Context, name: &str| {
                let made = cx.step("make", remote.post(&format!("/{name}"))).retry(RetryPolicy::never());
                made.undo(|_| remote.post(&format!("/undo-{name}"))).best_effort().await;
                Ok(())
            };
            cx.for_each("make", vec!["a", "b"], 1, item).keyed(|name| *name).await?;
            cx.step("after", remote.post("/after")).await
        }
    });
    let node = start(&host, &remote, flow);
    let run = accept(&host);
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/after"));
    cancel(&host, &node, run);
    let dead = host.end(run);
    assert_eq!(dead.dead_reason, Some(DeadReason::Undo));
    assert!(dead.summary.unwrap().contains("step /make/b\"make\""));
    assert_eq!(remote.keys("/undo-a").len(), 0, "a person looks first");
    host.settle(&node, run, "/make/b\"make\"", &bowline_dashboard::commands::Outcome::NotDone);
    host.wait_for(run, RunState::Cancelled);
    assert_eq!(sent(&remote), [1, 1, 0, 1, 0, 0]);
}

#[test]
fn what_a_person_said_of_an_item_of_a_loop_under_way_stands() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/b", [Reply::Unknown]);
    remote.script("/c", [Reply::Gate]);
    let calls = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            let item = async |cx: Context, name: &str| {
                let made = cx.step("make", remote.post(&format!("/{name}"))).retry(RetryPolicy::never());
                made.undo(|_| remote.post(&format!("/undo-{name}"))).best_effort().await;
                Ok(())
            };
            cx.for_each("make", vec!["a", "b", "c"], 9, item).keyed(|name| *name).await
        }
    });
    let node = start(&host, &remote, flow);
    let run = accept(&host);
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/c"));
    host.wait(run, "told of the others", |run| run.journal_len >= 3);
    cancel(&host, &node, run);
    assert_eq!(host.end(run).dead_reason, Some(DeadReason::Undo));
    host.settle(&node, run, "/make/b\"make\"", &bowline_dashboard::commands::Outcome::NotDone);
    host.wait_for(run, RunState::Cancelled);
    assert_eq!(sent(&remote), [1, 1, 2, 1, 0, 1]);
}

#[test]
fn what_is_unknown_again_after_a_person_spoke_is_named() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Refused]);
    remote.script("/b", [Reply::Unknown, Reply::Unknown]);
    remote.script("/c", [Reply::Gate]);
    let calls = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            let item = async |cx: Context, _: &str| {
                let made = cx.step("make", remote.post("/b")).retry(RetryPolicy::never());
                let made = made.undo(|_| remote.post("/undo-b")).best_effort();
                let (a, _) = tokio::join!(cx.step("a", remote.post("/a")).into_future(), made.into_future());
                a.map(drop)
            };
            cx.for_each("items", vec!["b"], 1, item).keyed(|name| *name).await?;
            cx.step("after", remote.post("/c")).await
        }
    });
    let node = start(&host, &remote, flow);
    let run = accept(&host);
    node.engine.poke();
    assert_eq!(host.end(run).dead_reason, Some(DeadReason::Failed));
    host.settle(&node, run, "/items/b\"make\"", &bowline_dashboard::commands::Outcome::NotDone);
    host.block_on("what comes after the loop", remote.arrival_at("/c"));
    assert_eq!(remote.keys("/b").len(), 2, "sent again, and lost again");
    cancel(&host, &node, run);
    let parked = host.end(run);
    assert_eq!(parked.dead_reason, Some(DeadReason::Undo), "{:?}", parked.summary);
    assert!(parked.summary.unwrap().contains("make"));
}
