//! An operator's retry.

use std::sync::Arc;

use bowline_engine::{Context, Workflow};
use bowline_model::{EntryKind, RetryPolicy, RunState};
use serde_json::Value;

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
