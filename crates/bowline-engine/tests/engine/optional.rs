//! Finding 2: after one operator's retry, changed code is never noticed again (promise 7, rule 1).

use std::sync::Arc;

use bowline_engine::{Context, Workflow};
use bowline_model::{DeadReason, RunState};

use crate::{
    node::Host,
    remote::{Remote, Reply},
};

fn flow(remote: &Arc<Remote>, name: &'static str) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: serde_json::Value| {
        let remote = remote.clone();
        async move {
            cx.step("check", remote.post("/check")).await?;
            cx.step(name, remote.post("/charge")).await?;
            cx.step("mail", remote.post("/mail")).await
        }
    })
}

#[test]
fn a_renamed_step_parks_a_run_that_was_once_retried_too() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/check", [Reply::Refused]);
    remote.script("/mail", [Reply::Gate]);
    let node = host.start(vec![flow(&remote, "charge")]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::DeadLettered);
    host.retry(&node, run);
    while host.block_on("the mail", remote.next_arrival()) != "/mail" {}
    node.kill();
    let _node = host.start_as("build-2", vec![flow(&remote, "charge customer")], Default::default());
    let end = host
        .wait(run, "ended", |run| run.state == RunState::Completed || run.state == RunState::DeadLettered);
    assert_eq!(
        remote.keys("/charge").len(),
        1,
        "charged twice, under two keys: {:?}",
        remote.keys("/charge")
    );
    assert_eq!(end.dead_reason, Some(DeadReason::Mismatch));
}
