//! Nothing leaves before what the code saw is on disk.

use std::sync::{Arc, Mutex};

use bowline_engine::{Context, Workflow};
use bowline_model::{EntryKind, Error, RunState};
use bowline_store::Store;
use serde_json::Value;

use crate::{node::Host, remote::Remote};

#[test]
fn no_attempt_leaves_while_the_outcome_before_it_is_unwritten() {
    let (host, remote) = (Host::new(), Remote::new());
    let calls = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            let number = cx.step("first", remote.post("/first")).await?;
            Ok(number + cx.step("next", remote.post("/next")).await?)
        }
    });
    let node = host.start(vec![flow]);
    host.store.before_write.arm();
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the write", host.store.before_write.holds());
    host.let_another_pass(&node);
    assert_eq!((remote.keys("/first").len(), remote.keys("/next").len()), (1, 0));
    host.store.before_write.release();
    host.wait_for(run, RunState::Completed);
    assert_eq!(remote.keys("/next").len(), 1);
}

#[test]
fn a_step_that_the_code_comes_back_to_late_starts_behind_the_barrier_too() {
    let (host, remote) = (Host::new(), Remote::new());
    let on_disk = Arc::new(Mutex::new(None));
    let (calls, store, told) = (remote.clone(), host.store.clone(), on_disk.clone());
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, store, told) = (calls.clone(), store.clone(), told.clone());
        async move {
            let late = cx.step("late", async || {
                let journal =
                    store.journal(cx.run_id()).await.map_err(|error| Error::permanent(error.to_string()))?;
                *told.lock().unwrap() = Some(journal.len());
                Ok(1)
            });
            let mut late = late.into_future();
            assert!(futures_util::poll!(&mut late).is_pending());
            cx.step("first", remote.post("/first")).await?;
            late.await
        }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Completed);
    assert_eq!(host.kinds(run)[0], EntryKind::StepDone);
    assert_eq!(*on_disk.lock().unwrap(), Some(1), "what the code had seen when the late step began");
}
