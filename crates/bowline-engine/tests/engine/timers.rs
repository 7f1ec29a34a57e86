//! Sleeps: durable, without a slot, in their order.

use std::time::Duration;

use bowline_engine::{Context, EngineOptions, Workflow};
use bowline_model::RunState;
use serde_json::Value;

use crate::node::{Host, until};

const HOUR: Duration = Duration::from_secs(3600);

fn sleeper() -> Workflow {
    Workflow::new("flow", |cx: Context, _: Value| async move {
        let begun = cx.now();
        cx.sleep(HOUR).await;
        let slept = cx.now();
        Ok(slept.duration_since(begun).as_secs())
    })
}

#[test]
fn a_sleep_holds_no_slot_and_ends_at_its_time_over_a_kill() {
    for resting_max in [0, 100] {
        let host = Host::new();
        let options = EngineOptions { resting_max, ..Default::default() };
        let node = host.start_as("build-1", vec![sleeper()], options.clone());
        let run = host.accept(&["flow"], "null")[0];
        node.engine.poke();
        let waiting = host.wait_for(run, RunState::Waiting);
        assert_eq!(waiting.due, Some(host.clock.time() + HOUR));
        until(|| node.engine.progress().slots_free == node.engine.progress().slots);
        host.clock.advance(HOUR / 2);
        node.kill();
        let node = host.start_as("build-1", vec![sleeper()], options);
        assert_eq!(host.run(run).due, waiting.due, "a restart does not begin the sleep anew");
        host.clock.advance(HOUR / 2);
        node.engine.poke();
        host.wait_for(run, RunState::Completed);
        assert_eq!(host.output(run), serde_json::json!(3600));
    }
}

#[test]
fn of_two_sleeps_the_shorter_ends_first_whichever_was_asked_first() {
    let flow = || {
        Workflow::new("flow", |cx: Context, _: Value| async move {
            let raced = cx.race((
                async {
                    cx.sleep(HOUR * 2).await;
                    "long"
                },
                async {
                    cx.sleep(HOUR).await;
                    "short"
                },
            ));
            Ok(raced.await.output)
        })
    };
    let host = Host::new();
    let node = host.start(vec![flow()]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    node.kill();
    host.clock.advance(HOUR * 3);
    let node = host.start(vec![flow()]);
    host.wait_for(run, RunState::Completed);
    assert_eq!(host.output(run), serde_json::json!("short"));
    drop(node);
}

#[test]
fn branches_have_scopes_of_their_own_and_all_waits_for_each() {
    let host = Host::new();
    let flow = Workflow::new("flow", |cx: Context, _: Value| async move {
        let branch = |n: u64| {
            let cx = &cx;
            async move {
                let first: u64 = cx.step("same", async || Ok(n)).await?;
                cx.sleep(HOUR * u32::try_from(n).unwrap()).await;
                let second: u64 = cx.step("same", async || Ok(n * 10)).await?;
                if n == 2 {
                    Err(bowline_model::Error::permanent("the second fails"))
                } else {
                    Ok(first + second)
                }
            }
        };
        let sums = cx.all(vec![branch(1), branch(3)]).await?;
        let failed = cx.all((branch(2), branch(1))).await.map(|_| ()).unwrap_err();
        Ok((sums, failed.to_string()))
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    until(|| {
        host.clock.advance(HOUR);
        node.engine.poke();
        !host.run(run).state.is_open()
    });
    host.wait_for(run, RunState::Completed);
    assert_eq!(host.output(run), serde_json::json!([[11, 33], "the second fails"]));
}

/// After a stop in which several times passed, they end in the order in which they were due.
#[test]
fn what_was_due_first_ends_first_after_a_long_stop() {
    let flow = |sleep: Duration, paid: Duration, packed: Duration| {
        Workflow::new("flow", move |cx: Context, _: Value| async move {
            let raced = cx.race((
                async {
                    cx.sleep(sleep).await;
                    "slept"
                },
                async { cx.signal::<u64>("paid").timeout(paid).await.map_or("failed", |_| "not paid") },
                async { cx.signal::<u64>("packed").timeout(packed).await.map_or("failed", |_| "not packed") },
            ));
            Ok(raced.await.output)
        })
    };
    let cases = [
        ((HOUR, HOUR * 2, HOUR * 3), "slept"),
        ((HOUR * 2, HOUR, HOUR * 3), "not paid"),
        ((HOUR * 3, HOUR * 2, HOUR), "not packed"),
        ((HOUR, HOUR, HOUR), "slept"),
    ];
    for ((sleep, paid, packed), first) in cases {
        let host = Host::new();
        let node = host.start(vec![flow(sleep, paid, packed)]);
        let run = host.accept(&["flow"], "null")[0];
        node.engine.poke();
        host.wait_for(run, RunState::Waiting);
        node.kill();
        host.clock.advance(HOUR * 4);
        let node = host.start(vec![flow(sleep, paid, packed)]);
        host.wait_for(run, RunState::Completed);
        assert_eq!(host.output(run), serde_json::json!(first));
        drop(node);
    }
}
