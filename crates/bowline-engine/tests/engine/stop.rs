//! Finding 10: a driver that writes while the shutdown's grace ends does not notice that it is over.

use std::{sync::Arc, time::Duration};

use bowline_engine::{Context, Workflow};
use bowline_model::{EntryKind, RunState};
use serde_json::Value;

use crate::{
    node::{Host, until},
    remote::{Remote, Reply},
};

#[test]
fn the_grace_ends_for_a_run_whose_write_was_held_up() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/b", [Reply::Gate]);
    remote.script("/a", [Reply::Gate]);
    let flow = |remote: &Arc<Remote>| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                let a = cx.step("a", remote.post("/a")).attempt_timeout(Duration::from_secs(36_000));
                let b = cx.step("b", remote.post("/b")).attempt_timeout(Duration::from_secs(36_000));
                tokio::try_join!(a.into_future(), b.into_future())
            }
        })
    };
    let node = host.start(vec![flow(&remote)]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("a", remote.next_arrival());
    host.block_on("b", remote.next_arrival());
    *host.store.broken.lock().unwrap() = true;
    remote.gate.add_permits(1);
    // Until the driver waits a few seconds between two tries to write.
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(20));
        host.clock.advance(Duration::from_secs(5));
    }
    let engine = node.engine.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| node.stop());
        until(|| engine.progress().stopping);
        std::thread::sleep(Duration::from_millis(20));
        *host.store.broken.lock().unwrap() = false;
        // The grace (10 s) and the pause before the next try end at once.
        host.clock.advance(Duration::from_secs(11));
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(20));
            host.clock.advance(Duration::from_millis(100));
        }
        let state = host.run(run).state;
        remote.gate.add_permits(1); // lets the test end
        let kinds = host.kinds(run);
        assert_eq!(kinds, [EntryKind::StepDone, EntryKind::AttemptFailed], "b is noted, and not waited for");
        assert_eq!(state, RunState::Queued, "given back within the grace");
    });
}
