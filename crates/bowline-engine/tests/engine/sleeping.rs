//! Waits that ended, and what came after them was recorded too: a later process is given them again.

use std::{sync::Arc, time::Duration};

use bowline_engine::{Context, EngineOptions, Workflow};
use bowline_model::RunState;
use serde_json::Value;

use crate::{
    node::Host,
    remote::{Remote, Reply},
};

/// Sleeps a minute, calls, and sleeps an hour.
fn sleeper(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move {
            cx.sleep(Duration::from_secs(60)).await;
            cx.step("call", remote.post("/call")).await?;
            cx.sleep(Duration::from_secs(3600)).await;
            cx.step("last", remote.post("/last")).await
        }
    })
}

#[test]
fn a_sleep_that_ended_is_not_slept_again() {
    for kept in [0, 100] {
        let (host, remote) = (Host::new(), Remote::new());
        remote.script("/last", [Reply::RetryAfter(Duration::from_secs(60))]);
        let options = || EngineOptions { resting_max: kept, ..Default::default() };
        let node = host.start_as("build-1", vec![sleeper(&remote)], options());
        let run = host.accept(&["flow"], "null")[0];
        node.engine.poke();
        host.wait_for(run, RunState::Waiting);
        let hour = host.clock.time() + Duration::from_secs(3660);
        host.clock.advance(Duration::from_secs(60));
        host.wait(run, "in its second sleep", |run| run.state == RunState::Waiting && run.due >= Some(hour));
        node.kill();
        let _node = host.start_as("build-1", vec![sleeper(&remote)], options());
        host.clock.advance(Duration::from_secs(3600));
        host.wait(run, "between attempts", |run| run.state == RunState::Waiting && run.due > Some(hour));
        host.clock.advance(Duration::from_secs(61));
        assert_eq!(host.end(run).state, RunState::Completed, "{:?}", host.run(run));
        assert_eq!((remote.keys("/call").len(), remote.keys("/last").len()), (1, 2));
    }
}
