//! An operator's retry.

use std::sync::Arc;

use bowline_dashboard::commands::Outcome;
use bowline_engine::{Context, Workflow};
use bowline_model::{DeadReason, EntryKind, RetryPolicy, RunState};
use serde_json::{Value, json};

use crate::{
    node::Host,
    remote::{Remote, Reply},
};

fn three_calls(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move {
            cx.step("age", remote.post("/age")).best_effort().await;
            cx.step("save", remote.post("/save")).await?;
            cx.step("mail", remote.post("/mail")).retry(RetryPolicy::never()).await
        }
    })
}

#[test]
fn a_retry_keeps_successes_and_handled_failures_and_sends_only_what_failed() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/age", [Reply::Refused]);
    remote.script("/mail", [Reply::Refused]);
    let node = host.start(vec![three_calls(&remote)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::DeadLettered);
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    assert_eq!((remote.keys("/age").len(), remote.keys("/save").len()), (1, 1));
    let mails = remote.keys("/mail");
    assert_eq!(mails.len(), 2);
    assert_ne!(mails[0], mails[1], "after a definite refusal the key is of a new generation");
    let kinds = host.kinds(run);
    assert_eq!(kinds[4..], [EntryKind::OperatorRetry, EntryKind::StepDone, EntryKind::Completed]);
}

#[test]
fn an_unknown_outcome_is_tried_again_under_the_same_key() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/mail", [Reply::Unknown]);
    let node = host.start(vec![three_calls(&remote)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::DeadLettered);
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    let mails = remote.keys("/mail");
    assert_eq!((mails.len(), &mails[0]), (2, &mails[1]));
}

#[test]
fn a_malformed_event_runs_after_a_deploy_that_takes_it() {
    let host = Host::new();
    let old = Workflow::new("flow", |_: Context, n: u32| async move { Ok(n) });
    let node = host.start(vec![old]);
    let run = host.accept(&["flow"], "\"12\"")[0];
    node.engine.poke();
    host.wait_for(run, RunState::DeadLettered);
    node.stop();
    let new = Workflow::new("flow", |_: Context, text: String| async move { Ok(text) });
    let node = host.start_as("build-2", vec![new], Default::default());
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
}

/// Dead of the unknown outcome of `mail`.
fn dead_of_mail(host: &Host, remote: &Arc<Remote>) -> (crate::node::Node, bowline_model::RunId) {
    remote.script("/mail", [Reply::Unknown]);
    let node = host.start(vec![three_calls(remote)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::DeadLettered);
    (node, run)
}

#[test]
fn an_outcome_that_was_settled_as_done_is_delivered_and_nothing_is_sent() {
    let (host, remote) = (Host::new(), Remote::new());
    let (node, run) = dead_of_mail(&host, &remote);
    host.settle(&node, run, "mail", &Outcome::Done(json!(42)));
    host.wait_for(run, RunState::Completed);
    assert_eq!(remote.keys("/mail").len(), 1);
    assert_eq!(host.output(run), json!(42));
    let kinds = host.kinds(run);
    assert_eq!(kinds[kinds.len() - 2..], [EntryKind::Settled, EntryKind::Completed]);
}

#[test]
fn a_settled_outcome_outlives_a_crash_of_the_run_that_goes_on_from_it() {
    let (host, remote) = (Host::new(), Remote::new());
    let (node, run) = dead_of_mail(&host, &remote);
    node.kill();
    host.settle_on_disk(run, "mail", &Outcome::Done(json!(42)));
    for _ in 0..2 {
        host.start(vec![three_calls(&remote)]).kill();
    }
    let node = host.start(vec![three_calls(&remote)]);
    node.engine.poke();
    host.wait_for(run, RunState::Completed);
    assert_eq!((remote.keys("/mail").len(), host.output(run)), (1, json!(42)));
}

#[test]
fn what_was_settled_as_not_done_is_sent_under_a_new_key() {
    let (host, remote) = (Host::new(), Remote::new());
    let (node, run) = dead_of_mail(&host, &remote);
    host.settle(&node, run, "mail", &Outcome::NotDone);
    host.wait_for(run, RunState::Completed);
    let mails = remote.keys("/mail");
    assert_eq!(mails.len(), 2);
    assert_ne!(mails[0], mails[1]);
}

#[test]
fn a_settled_value_of_another_type_parks_the_run_and_can_be_settled_again() {
    let (host, remote) = (Host::new(), Remote::new());
    let (node, run) = dead_of_mail(&host, &remote);
    host.settle(&node, run, "mail", &Outcome::Done(json!("by hand")));
    host.wait_for(run, RunState::DeadLettered);
    let parked = host.run(run);
    assert_eq!(parked.dead_reason, Some(DeadReason::Mismatch));
    let summary = parked.summary.unwrap();
    assert!(summary.contains("step \"mail\" was settled with a value that its type"), "{summary}");
    assert!(summary.contains("settle it again"), "{summary}");
    host.settle(&node, run, "mail", &Outcome::Done(json!(42)));
    host.wait_for(run, RunState::Completed);
    assert_eq!((remote.keys("/mail").len(), host.output(run)), (1, json!(42)));
}
