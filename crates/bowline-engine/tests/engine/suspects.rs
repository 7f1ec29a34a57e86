//! Finding 3: a poison run behind a slow innocent is never alone at a crash: the process dies for ever (rule 9).

use std::{sync::Arc, time::Duration};

use bowline_engine::{Context, Workflow};

use bowline_model::{DeadReason, RunState};

use crate::{
    node::{Host, until},
    remote::{Remote, Reply},
};

fn flow(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, path: String| {
        let remote = remote.clone();
        async move { cx.step("call", remote.post(&path)).attempt_timeout(Duration::from_secs(60)).await }
    })
}

#[test]
fn a_poison_run_is_found_behind_a_slow_innocent() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/slow", std::iter::repeat_n(Reply::Gate, 20));
    remote.script("/poison", std::iter::repeat_n(Reply::Gate, 20));
    let slow = host.accept(&["flow"], "\"/slow\"")[0];
    let poison = host.accept(&["flow"], "\"/poison\"")[0];
    for _death in 0..8 {
        let node = host.start(vec![flow(&remote)]);
        until(|| {
            // The slow one takes as long as an attempt may.
            host.clock.advance(Duration::from_secs(1));
            let came = remote.arrived.lock().unwrap().try_recv();
            came.is_ok_and(|path| path == "/poison") || host.run(poison).state == RunState::DeadLettered
        });
        // What the poison run does to the process as soon as it runs.
        node.kill();
        while remote.arrived.lock().unwrap().try_recv().is_ok() {}
    }
    let (slow, poison) = (host.run(slow), host.run(poison));
    assert_eq!(poison.dead_reason, Some(DeadReason::Poison), "slow {}/{}", slow.crashes_alone, slow.crashes);
    assert_ne!(slow.state, RunState::DeadLettered);
}
