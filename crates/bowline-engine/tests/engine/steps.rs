//! What one run does with its steps.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bowline_engine::{Context, Workflow};
use bowline_model::{DeadReason, EntryKind, Error, Result, RetryPolicy, RunState};
use futures_util::FutureExt;
use serde_json::Value;

use crate::{
    node::Host,
    remote::{Remote, Reply},
};

#[test]
fn records_each_outcome_and_the_output_in_order() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Done(5)]);
    let flow = Workflow::new("flow", move |cx: Context, input: u64| {
        let remote = remote.clone();
        async move {
            let a = cx.step("a", remote.post("/a")).await?;
            let doubled = cx.step("double", async || Ok(a * 2)).await?;
            Ok(doubled + input)
        }
    });
    let _node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "7")[0];
    _node.engine.poke();
    host.wait_for(run, RunState::Completed);
    assert_eq!(host.kinds(run), [EntryKind::StepDone, EntryKind::StepDone, EntryKind::Completed]);
    let journal = host.journal(run);
    assert_eq!(journal[2].payload.as_ref().unwrap().decode::<u64>().unwrap(), 17);
    assert_eq!(journal[0].meta.output_type.as_deref(), Some("u64"));
    assert_eq!(journal[0].meta.fingerprint.as_ref().unwrap().to_string(), "POST crm /a");
}

#[test]
fn a_best_effort_failure_is_recorded_and_the_run_goes_on() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/age", [Reply::Refused]);
    let sent = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move {
            let age = cx.step("age", remote.post("/age")).best_effort().await;
            cx.step("save", remote.post("/save")).await?;
            Ok(age)
        }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Completed);
    assert_eq!(host.kinds(run), [EntryKind::StepRefused, EntryKind::StepDone, EntryKind::Completed]);
    assert_eq!(sent.keys("/age").len(), 1);
}

#[test]
fn an_error_of_the_workflow_is_a_dead_letter_that_names_its_step() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Refused]);
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move { cx.step("create contact", remote.post("/a")).await }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    let run = host.wait_for(run, RunState::DeadLettered);
    assert_eq!(run.dead_reason, Some(DeadReason::Failed));
    assert_eq!(run.summary.as_deref(), Some("step \"create contact\": no such customer"));
    let journal = host.journal(run.id);
    assert_eq!(journal.last().unwrap().meta.caused_by, Some(journal[0].key.clone()));
}

#[test]
fn a_panic_is_a_dead_letter_and_harms_no_other_run() {
    let host = Host::new();
    let flow = Workflow::new("flow", |cx: Context, boom: bool| async move {
        assert!(!boom, "no such luck");
        cx.step("fine", async || Ok(1)).await
    });
    let node = host.start(vec![flow]);
    let (bad, good) = (host.accept(&["flow"], "true")[0], host.accept(&["flow"], "false")[0]);
    node.engine.poke();
    host.wait_for(good, RunState::Completed);
    let bad = host.wait_for(bad, RunState::DeadLettered);
    assert_eq!(bad.dead_reason, Some(DeadReason::Panicked));
    assert_eq!(bad.summary.as_deref(), Some("the workflow panicked: no such luck"));
}

#[test]
fn an_event_that_does_not_fit_is_malformed_and_says_where() {
    #[derive(serde::Deserialize)]
    struct Order {
        lines: Vec<Line>,
    }
    #[derive(serde::Deserialize)]
    struct Line {
        price: u32,
    }
    let host = Host::new();
    let flow = Workflow::new("flow", |_: Context, order: Order| async move {
        Ok(order.lines.iter().map(|line| line.price).sum::<u32>())
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], r#"{"lines":[{"price":1},{"price":"2"}]}"#)[0];
    node.engine.poke();
    let run = host.wait_for(run, RunState::DeadLettered);
    assert_eq!(run.dead_reason, Some(DeadReason::Malformed));
    let summary = run.summary.unwrap();
    assert!(summary.contains("at `lines[1].price`: invalid type: string, expected u32"), "{summary}");
}

#[test]
fn a_run_of_an_unknown_workflow_is_shown_and_not_kept_waiting() {
    let host = Host::new();
    let node = host.start(vec![]);
    let run = host.accept(&["gone"], "null")[0];
    node.engine.poke();
    let run = host.wait_for(run, RunState::DeadLettered);
    assert_eq!(run.dead_reason, Some(DeadReason::UnknownWorkflow));
}

#[test]
fn a_step_outside_its_run_or_inside_another_is_told_so() {
    let host = Host::new();
    let spawned = Workflow::new("spawned", |cx: Context, _: Value| async move {
        let task = tokio::spawn(async move { cx.step("lost", async || Ok(1)).await });
        task.await?
    });
    let nested = Workflow::new("nested", |cx: Context, _: Value| async move {
        let inner = &cx;
        cx.step("outer", async || inner.step("inner", async || Ok(1)).await).await
    });
    let node = host.start(vec![spawned, nested]);
    let runs = host.accept(&["spawned", "nested"], "null");
    node.engine.poke();
    let summaries: Vec<_> =
        runs.iter().map(|run| host.wait_for(*run, RunState::DeadLettered).summary.unwrap()).collect();
    assert!(summaries[0].starts_with("step \"lost\" was awaited outside its run"), "{}", summaries[0]);
    assert!(
        summaries[1].contains("step \"inner\" is inside the closure of step \"outer\""),
        "{}",
        summaries[1]
    );
}

#[test]
fn a_result_that_cannot_be_read_back_fails_when_it_is_made_and_not_at_the_next_crash() {
    let host = Host::new();
    let flow =
        Workflow::new(
            "flow",
            |cx: Context, _: Value| async move { cx.step("rate", async || Ok(f64::NAN)).await },
        );
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    let summary = host.wait_for(run, RunState::DeadLettered).summary.unwrap();
    assert!(summary.contains("its result cannot be read back from JSON as f64"), "{summary}");
}

#[test]
fn an_attempt_that_takes_too_long_is_unknown_and_tried_again_under_its_key() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::Gate, Reply::Done(3)]);
    let sent = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move { cx.step("a", remote.post("/a")).attempt_timeout(Duration::from_secs(2)).await }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the first attempt", sent.next_arrival());
    host.clock.advance(Duration::from_millis(2100));
    host.wait_for(run, RunState::Waiting);
    host.clock.advance(Duration::from_secs(1));
    host.wait_for(run, RunState::Completed);
    let keys = sent.keys("/a");
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
    let note = &host.journal(run)[0];
    assert_eq!(note.kind, EntryKind::AttemptFailed);
    assert!(note.meta.unknown_since.is_some(), "what the first attempt did is not known");
}

#[test]
fn a_steps_timeout_spans_its_retries_and_its_last_error_is_told() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", vec![Reply::RetryAfter(Duration::from_secs(10)); 9]);
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move { cx.step("a", remote.post("/a")).timeout(Duration::from_secs(15)).await }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    host.clock.advance(Duration::from_secs(12));
    let run = host.wait_for(run, RunState::DeadLettered);
    assert_eq!(run.summary.as_deref(), Some("step \"a\": busy"));
    assert_eq!(
        host.kinds(run.id),
        [EntryKind::AttemptFailed, EntryKind::StepRefused, EntryKind::DeadLettered]
    );
}

#[test]
fn drawn_time_and_chance_are_the_same_after_a_wait_that_forgot_the_code() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/a", [Reply::RetryAfter(Duration::from_secs(60))]);
    let starts = Arc::new(AtomicU32::new(0));
    let counted = starts.clone();
    let seen = Arc::new(std::sync::Mutex::new(vec![]));
    let drawn = seen.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, drawn) = (remote.clone(), drawn.clone());
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let values = (cx.now(), cx.random(), cx.uuid());
            drawn.lock().unwrap().push(values);
            cx.step("a", remote.post("/a")).await?;
            Result::Ok(())
        }
    });
    let options = bowline_engine::EngineOptions { resting_max: 0, ..Default::default() };
    let node = host.start_as("build-1", vec![flow], options);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    host.clock.advance(Duration::from_secs(70));
    host.wait_for(run, RunState::Completed);
    assert_eq!(starts.load(Ordering::SeqCst), 2, "the code was not kept, and ran again");
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn errors_branch_the_same_way_before_and_after_they_are_recorded() {
    let host = Host::new();
    let flow = Workflow::new("flow", |cx: Context, _: Value| async move {
        let policy = RetryPolicy::never();
        let failed = cx.step("a", async || Err::<(), _>(Error::retryable("down"))).retry(policy).await;
        let error = failed.expect_err("it fails");
        Ok((error.is_retryable(), error.is_unknown(), error.to_string()))
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Completed);
    let output = host.journal(run).pop().unwrap().payload.unwrap();
    let output: (bool, bool, String) = output.decode().unwrap();
    assert_eq!(output, (true, true, "step \"a\": down".to_owned()));
}

#[test]
fn a_sibling_dropped_by_the_first_error_is_noted_and_keeps_its_key() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/left", [Reply::Gate]);
    remote.script("/right", [Reply::Refused]);
    let calls = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            let left = async { cx.step("left", remote.post("/left")).await };
            let right = async { cx.step("right", remote.post("/right")).await };
            tokio::try_join!(left, right)
        }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::DeadLettered);
    assert_eq!(host.kinds(run), [EntryKind::StepRefused, EntryKind::Dropped, EntryKind::DeadLettered]);
    assert!(host.journal(run)[1].meta.unknown_since.is_some());
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    let (left, right) = (remote.keys("/left"), remote.keys("/right"));
    assert_eq!(left[0], left[1], "it may have happened: the same key");
    assert_ne!(right[0], right[1], "a definite no: a new generation");
}

#[test]
fn a_panic_that_the_code_catches_leaves_no_trace() {
    let host = Host::new();
    let flow = Workflow::new("flow", |cx: Context, _: Value| async move {
        let boom = cx.step("boom", async || -> Result<u64> { panic!("no such luck") });
        assert!(AssertUnwindSafe(boom.into_future()).catch_unwind().await.is_err());
        cx.random();
        cx.step("next", async || Ok(1)).await
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    assert_eq!(host.end(run).state, RunState::Completed);
    let recorded: Vec<_> = host.kinds(run).into_iter().filter(|kind| kind.is_delivered()).collect();
    assert_eq!(
        recorded,
        [EntryKind::Value, EntryKind::StepDone],
        "what follows is not taken for a part of the step"
    );
}
