//! Steps that are not sent again blindly: who knows what became of an attempt is asked first.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use bowline_dashboard::commands::Outcome;
use bowline_engine::{Context, Workflow};
use bowline_model::{DeadReason, EntryKind, Error, RunId, RunState};
use serde_json::{Value, json};

use crate::{
    node::Host,
    remote::{Remote, Reply},
};

/// One call that is sent at most once.
fn once(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move { cx.step("charge", remote.post("/charge")).at_most_once().await }
    })
}

/// What asking finds, in this order; then nothing.
type Finds = Arc<std::sync::Mutex<Vec<Result<Option<u64>, &'static str>>>>;

/// One call, with somebody to ask.
fn asking(remote: &Arc<Remote>, finds: &Finds, asked: &Arc<AtomicUsize>) -> Workflow {
    let (remote, finds, asked) = (remote.clone(), finds.clone(), asked.clone());
    Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, finds, asked) = (remote.clone(), finds.clone(), asked.clone());
        async move {
            let find = |_key: String| {
                asked.fetch_add(1, Ordering::SeqCst);
                let mut finds = finds.lock().unwrap();
                let found = if finds.is_empty() { Ok(None) } else { finds.remove(0) };
                async move { found.map_err(Error::retryable) }
            };
            cx.step("charge", remote.post("/charge")).recheck(find).await
        }
    })
}

fn dies_while_charging(host: &Host, remote: &Arc<Remote>, flow: Workflow) {
    remote.script("/charge", [Reply::Gate]);
    let node = host.start(vec![flow]);
    host.block_on("the charge", remote.arrival_at("/charge"));
    node.kill();
}

fn charges(remote: &Remote) -> usize {
    remote.keys("/charge").len()
}

fn accept(host: &Host) -> RunId {
    host.accept(&["flow"], "null")[0]
}

#[test]
fn at_most_once_is_not_sent_again_after_a_crash_until_a_person_says_what_became_of_it() {
    let (host, remote) = (Host::new(), Remote::new());
    let run = accept(&host);
    dies_while_charging(&host, &remote, once(&remote));
    assert_eq!(host.kinds(run), [EntryKind::Started], "on disk before it was sent");
    let node = host.start(vec![once(&remote)]);
    let parked = host.end(run);
    assert_eq!((parked.dead_reason, charges(&remote)), (Some(DeadReason::Stale), 1));
    assert!(parked.summary.unwrap().starts_with("step \"charge\": it is sent at most once"));
    host.settle(&node, run, "charge", &Outcome::Done(json!(17)));
    host.wait_for(run, RunState::Completed);
    assert_eq!((host.output(run), charges(&remote)), (json!(17), 1));
}

#[test]
fn at_most_once_parks_on_a_lost_answer_and_a_retry_is_the_word_to_send_it_again() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::Unknown]);
    let run = accept(&host);
    let node = host.start(vec![once(&remote)]);
    assert_eq!(host.end(run).dead_reason, Some(DeadReason::Stale));
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    assert_eq!(charges(&remote), 2, "once for each word of a person");
}

#[test]
fn consent_to_send_again_covers_one_attempt() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::Unknown, Reply::Unknown]);
    let run = accept(&host);
    let node = host.start(vec![once(&remote)]);
    host.end(run);
    host.retry(&node, run);
    host.wait(run, "parked again", |run| run.state == RunState::DeadLettered && run.epoch.0 > 1);
    assert_eq!(charges(&remote), 2);
}

#[test]
fn what_a_person_said_of_an_item_that_has_ended_stops_no_later_life() {
    let (host, remote) = (Host::new(), Remote::new());
    let flow = |remote: &Arc<Remote>| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                let charge = async |cx: Context, _| {
                    cx.step("charge", remote.post("/charge")).at_most_once().await?;
                    cx.step("mail", remote.post("/mail")).await.map(drop)
                };
                let summary = cx.for_each("charges", vec![1, 2], 1, charge).await?;
                Ok(summary.done)
            }
        })
    };
    remote.script("/charge", [Reply::Unknown]);
    let run = accept(&host);
    let node = host.start(vec![flow(&remote)]);
    assert_eq!(host.end(run).dead_reason, Some(DeadReason::Stale));
    remote.script("/mail", [Reply::Done(1), Reply::Gate]);
    host.settle(&node, run, "charges/0/charge", &Outcome::Done(json!(17)));
    host.block_on("the first mail", remote.arrival_at("/mail"));
    host.block_on("the second", remote.arrival_at("/mail"));
    node.kill();
    let _node = host.start(vec![flow(&remote)]);
    host.wait_for(run, RunState::Completed);
    assert_eq!((host.output(run), charges(&remote)), (json!(2), 2));
}

#[test]
fn a_refusal_is_tried_again_although_it_is_sent_at_most_once() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge", [Reply::RetryAfter(Duration::from_secs(5))]);
    let run = accept(&host);
    let node = host.start(vec![once(&remote)]);
    host.wait_for(run, RunState::Waiting);
    node.kill();
    host.clock.advance(Duration::from_secs(60));
    let _node = host.start(vec![once(&remote)]);
    host.wait_for(run, RunState::Completed);
    assert_eq!(charges(&remote), 2);
}

#[test]
fn a_step_that_never_began_is_not_taken_for_sent_after_a_crash() {
    let (host, remote) = (Host::new(), Remote::new());
    let flow = |remote: &Arc<Remote>| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                let gate = cx.step("gate", remote.post("/gate"));
                let charge = async {
                    cx.step("first", remote.post("/first")).await?;
                    cx.step("charge", remote.post("/charge")).at_most_once().await
                };
                let (_, charged) = tokio::join!(gate.into_future(), charge);
                charged
            }
        })
    };
    remote.script("/first", [Reply::Gate]);
    let run = accept(&host);
    let node = host.start(vec![flow(&remote)]);
    host.block_on("the call", remote.arrival_at("/first"));
    node.kill();
    remote.script("/first", []);
    let _node = host.start(vec![flow(&remote)]);
    host.wait_for(run, RunState::Completed);
    assert_eq!(charges(&remote), 1);
}

#[test]
fn what_is_found_after_a_crash_is_the_outcome() {
    let (host, remote, finds) = (Host::new(), Remote::new(), Finds::default());
    let asked = Arc::default();
    let run = accept(&host);
    dies_while_charging(&host, &remote, asking(&remote, &finds, &asked));
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nothing was in doubt");
    *finds.lock().unwrap() = vec![Err("the remote is down"), Ok(Some(42))];
    let _node = host.start(vec![asking(&remote, &finds, &asked)]);
    host.wait_for(run, RunState::Waiting);
    host.clock.advance(Duration::from_secs(60));
    host.wait_for(run, RunState::Completed);
    assert_eq!((host.output(run), charges(&remote)), (json!(42), 1));
    assert_eq!(asked.load(Ordering::SeqCst), 2, "its own failure is tried again");
}

#[test]
fn a_lost_answer_is_asked_about_before_it_is_sent_again() {
    let (host, remote, finds) = (Host::new(), Remote::new(), Finds::default());
    let asked = Arc::default();
    remote.script("/charge", [Reply::Unknown]);
    let run = accept(&host);
    let _node = host.start(vec![asking(&remote, &finds, &asked)]);
    host.wait_for(run, RunState::Waiting);
    host.clock.advance(Duration::from_secs(60));
    host.wait_for(run, RunState::Completed);
    let keys = remote.keys("/charge");
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]), "it had not happened: sent, under the same key");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
