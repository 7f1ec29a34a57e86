//! Messages: kept before their wait, taken once, and no reason to run in circles.

use std::time::Duration;

use bowline_engine::{Context, EngineOptions, Workflow};
use bowline_model::{
    Payload, RunId, RunState,
    approval::{Decision, Question},
};
use bowline_store::{Address, MailboxFilter, Post, Posted, Store};
use serde_json::Value;

use crate::node::{Host, until};

const HOUR: Duration = Duration::from_secs(3600);

fn post(host: &Host, run: RunId, name: &str, body: &str) -> Posted {
    let post = Post {
        to: Address::Mailbox { run, name: format!("signal:{name}") },
        id: None,
        body: Payload::from_stored(body.to_owned()),
        now: host.clock.time(),
    };
    host.block_on("the post", host.store.post(post)).unwrap()
}

/// Sleeps, then waits.
fn sleeps_first() -> Workflow {
    Workflow::new("flow", |cx: Context, _: Value| async move {
        cx.sleep(HOUR).await;
        let first: u64 = cx.signal("paid").await?;
        let second: Option<u64> = cx.signal("paid").timeout(HOUR).await?;
        Ok((first, second))
    })
}

#[test]
fn a_signal_that_nobody_waits_for_yet_is_kept_and_wakes_nobody_again_and_again() {
    for resting_max in [0, 100] {
        let host = Host::new();
        let options = EngineOptions { resting_max, ..Default::default() };
        let node = host.start_as("build-1", vec![sleeps_first()], options);
        let run = host.accept(&["flow"], "null")[0];
        node.engine.poke();
        host.wait_for(run, RunState::Waiting);
        assert!(matches!(post(&host, run, "paid", "7"), Posted::Kept { .. }));
        host.let_another_pass(&node);
        host.wait_for(run, RunState::Waiting);
        let looked = host.run(run).epoch;
        for _ in 0..5 {
            host.let_another_pass(&node);
        }
        assert_eq!(host.run(run).epoch, looked, "it saw the message, and rests");
        host.clock.advance(HOUR);
        node.engine.poke();
        host.wait(run, "waiting for the second", |run| {
            run.state == RunState::Waiting && run.due.is_some() && run.epoch > looked
        });
        host.clock.advance(HOUR);
        node.engine.poke();
        host.wait_for(run, RunState::Completed);
        assert_eq!(host.output(run), serde_json::json!([7, null]));
        assert!(matches!(post(&host, run, "paid", "8"), Posted::Ended { .. }));
    }
}

#[test]
fn a_signal_wakes_a_run_at_once_and_a_late_one_is_refused() {
    let host = Host::new();
    let flow = Workflow::new("flow", |cx: Context, _: Value| async move {
        let paid: Option<u64> = cx.signal("paid").timeout(HOUR).await?;
        cx.sleep(HOUR).await;
        Ok(paid)
    });
    let node = host.start(vec![flow]);
    let [in_time, late] = [(); 2].map(|()| host.accept(&["flow"], "null")[0]);
    node.engine.poke();
    for run in [in_time, late] {
        host.wait_for(run, RunState::Waiting);
    }
    let before = host.run(in_time).epoch;
    assert!(matches!(post(&host, in_time, "paid", "\"no number\""), Posted::Kept { .. }));
    assert!(matches!(post(&host, in_time, "paid", "1"), Posted::Kept { .. }));
    host.wait(in_time, "sleeping", |run| run.epoch > before && run.state == RunState::Waiting);
    host.clock.advance(HOUR);
    node.engine.poke();
    host.wait(late, "sleeping", |run| run.epoch > before && run.state == RunState::Waiting);
    assert!(matches!(post(&host, late, "paid", "2"), Posted::Closed { .. }));
    until(|| {
        host.clock.advance(HOUR);
        node.engine.poke();
        [in_time, late].iter().all(|run| host.run(*run).state == RunState::Completed)
    });
    assert_eq!(host.output(in_time), serde_json::json!(1));
    assert_eq!(host.output(late), Value::Null);
}

/// Asks a person in two items whose keys and names read alike, put together.
fn asks_alike() -> Workflow {
    Workflow::new("flow", |cx: Context, _: Value| async move {
        let list = vec![("x\"y", "z"), ("x", "y\"z")];
        let ask = async |cx: Context, (key, name): (&str, &str)| {
            let decision = cx.approval(name, Question::new(key)).await?;
            let told = (key.len() as u64 * 10) + u64::from(decision.approved);
            cx.state("told").add(told as i64).await.map(drop)
        };
        cx.for_each("list", list, 2, ask).keyed(|(key, _)| *key).await?;
        cx.state("told").get::<i64>().await
    })
}

#[test]
fn approvals_of_odd_keys_are_answered_each_by_its_own_decision() {
    let host = Host::new();
    let node = host.start(vec![asks_alike()]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    let filter = MailboxFilter { run: Some(run), ..MailboxFilter::default() };
    let asked = host.block_on("the list", host.store.mailboxes(filter)).unwrap();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for mailbox in asked {
        let question: Question = mailbox.about.as_ref().unwrap().decode().unwrap();
        let approved = question.question == "x";
        let decision = if approved { Decision::approved() } else { Decision::rejected("no") };
        let post = Post {
            to: Address::Mailbox { run, name: mailbox.name },
            id: None,
            body: Payload::encode(&decision).unwrap(),
            now: host.clock.time(),
        };
        assert!(matches!(host.block_on("the post", host.store.post(post)).unwrap(), Posted::Kept { .. }));
    }
    host.wait_for(run, RunState::Completed);
    assert_eq!(host.output(run), serde_json::json!(30 + 10 + 1), "the yes was to the question of item x");
}

/// Whoever is told that a signal was kept is heard, and whoever is told that the wait is over is not: at the very instant of the
/// timeout too, a nanosecond before it and after it, with the post before the engine looks, after it, or at the same time.
#[test]
fn a_signal_at_the_instant_of_the_timeout_is_kept_and_heard_or_refused() {
    let flow = || {
        Workflow::new("flow", |cx: Context, _: Value| async move {
            let paid: Option<u64> = cx.signal("paid").timeout(HOUR).await?;
            // It stays open: what is said after the timeout is told apart from what is said after the end.
            cx.sleep(HOUR * 100).await;
            Ok(paid)
        })
    };
    let (mut heard, mut refused) = (0, 0);
    for seed in 0..48_u32 {
        let host = Host::new();
        let options =
            EngineOptions { resting_max: if seed % 2 == 0 { 0 } else { 100 }, ..Default::default() };
        let node = host.start_as("build-1", vec![flow()], options.clone());
        let run = host.accept(&["flow"], "null")[0];
        node.engine.poke();
        let due = host.wait_for(run, RunState::Waiting).due.unwrap();
        let nanosecond = Duration::from_nanos(1);
        let until_due = Duration::try_from(due.duration_since(host.clock.time())).unwrap();
        host.clock.advance([until_due - nanosecond, until_due, until_due + nanosecond][seed as usize % 3]);
        let (node, posted) = match seed / 3 % 4 {
            // The engine is not poked before.
            0 => (node, post(&host, run, "paid", "7")),
            1 => {
                node.engine.poke();
                (node, post(&host, run, "paid", "7"))
            }
            // After the engine has looked, for as long as another run takes.
            2 => {
                host.let_another_pass(&node);
                (node, post(&host, run, "paid", "7"))
            }
            // While the process is dead.
            _ => {
                node.kill();
                let posted = post(&host, run, "paid", "7");
                (host.start_as("build-1", vec![flow()], options), posted)
            }
        };
        host.clock.advance(HOUR * 200);
        until(|| {
            host.clock.advance(HOUR);
            node.engine.poke();
            host.run(run).state == RunState::Completed
        });
        match posted {
            Posted::Kept { .. } => {
                heard += 1;
                assert_eq!(host.output(run), serde_json::json!(7), "seed {seed}");
            }
            Posted::Closed { .. } => {
                refused += 1;
                assert_eq!(host.output(run), Value::Null, "seed {seed}");
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(heard > 0 && refused > 0, "both happen: {heard} heard, {refused} refused");
}

#[test]
fn a_wait_that_is_let_go_closes_no_name_that_another_waits_for() {
    let host = Host::new();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| async move {
        let none: Option<u64> = cx.signal("paid").timeout(HOUR).await?;
        assert!(none.is_none(), "its name is closed then");
        let either = async {
            let paid = async { cx.signal::<u64>("paid").await };
            cx.race((paid, async { cx.signal::<u64>("go").await })).await.output
        };
        let (paid, _) = cx.all((async { cx.signal::<u64>("paid").await }, either)).await?;
        Ok(paid)
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    assert!(matches!(post(&host, run, "go", "1"), Posted::Kept { .. }));
    host.let_another_pass(&node);
    let before = host.wait_for(run, RunState::Waiting).epoch;
    host.clock.advance(HOUR);
    node.engine.poke();
    host.wait(run, "waiting again", |run| run.epoch > before && run.state == RunState::Waiting);
    assert!(matches!(post(&host, run, "paid", "7"), Posted::Kept { .. }));
    host.wait_for(run, RunState::Completed);
    assert_eq!(host.output(run), serde_json::json!(7));
}
