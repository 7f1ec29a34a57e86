//! Deaths of the process.

use std::{sync::Arc, time::Duration};

use bowline_engine::{Context, Workflow};
use bowline_model::{DeadReason, EntryKind, RunState};
use serde_json::Value;

use crate::{
    node::Host,
    remote::{Remote, Reply},
};

fn two_calls(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, name: String| {
        let remote = remote.clone();
        async move {
            cx.step("charge", remote.post(&format!("/charge/{name}"))).await?;
            cx.step("mail", remote.post(&format!("/mail/{name}"))).await
        }
    })
}

#[test]
fn charges_once_when_killed_after_the_charge() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/mail/jane", [Reply::Gate]);
    let node = host.start(vec![two_calls(&remote)]);
    let run = host.accept(&["flow"], "\"jane\"")[0];
    node.engine.poke();
    while host.block_on("the mail", remote.next_arrival()) != "/mail/jane" {}
    node.kill();
    let _node = host.start(vec![two_calls(&remote)]);
    host.wait_for(run, RunState::Completed);
    assert_eq!(remote.keys("/charge/jane").len(), 1);
    let mails = remote.keys("/mail/jane");
    assert_eq!((mails.len(), &mails[0]), (2, &mails[1]), "in flight at the crash: sent again, under its key");
}

#[test]
fn a_run_alone_at_two_deaths_is_poison() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge/jane", [Reply::Gate, Reply::Gate, Reply::Gate]);
    let run = host.accept(&["flow"], "\"jane\"")[0];
    for _ in 0..2 {
        let node = host.start(vec![two_calls(&remote)]);
        host.block_on("the charge", remote.next_arrival());
        node.kill();
    }
    let node = host.start(vec![two_calls(&remote)]);
    let dead = host.wait_for(run, RunState::DeadLettered);
    assert_eq!(dead.dead_reason, Some(DeadReason::Poison));
    assert_eq!(remote.keys("/charge/jane").len(), 2, "it is not run a third time");
    host.retry(&node, run);
    host.block_on("the charge", remote.next_arrival());
    remote.gate.add_permits(1);
    host.wait_for(run, RunState::Completed);
}

#[test]
fn suspects_run_alone_so_that_the_innocent_are_not_blamed() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge/jane", [Reply::Gate, Reply::Gate, Reply::Gate]);
    remote.script("/charge/joe", [Reply::Gate, Reply::Gate, Reply::Gate]);
    let jane = host.accept(&["flow"], "\"jane\"")[0];
    let joe = host.accept(&["flow"], "\"joe\"")[0];
    for _ in 0..2 {
        let node = host.start(vec![two_calls(&remote)]);
        host.block_on("both charges", remote.next_arrival());
        host.block_on("both charges", remote.next_arrival());
        node.kill();
    }
    assert_eq!((host.run(jane).state, host.run(joe).state), (RunState::Running, RunState::Running));
    let fresh = host.accept(&["flow"], "\"fresh\"")[0];
    let node = host.start(vec![two_calls(&remote)]);
    assert_eq!(host.block_on("jane alone", remote.next_arrival()), "/charge/jane");
    assert_eq!((host.run(joe).state, host.run(fresh).state), (RunState::Queued, RunState::Queued));
    assert_eq!((host.run(joe).crashes, host.run(joe).crashes_alone), (2, 0));
    remote.gate.add_permits(2);
    for run in [jane, joe, fresh] {
        host.wait_for(run, RunState::Completed);
    }
    drop(node);
}

#[test]
fn progress_clears_a_runs_name() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge/jane", [Reply::Gate]);
    remote.script("/mail/jane", [Reply::Gate]);
    let run = host.accept(&["flow"], "\"jane\"")[0];
    let node = host.start(vec![two_calls(&remote)]);
    host.block_on("the charge", remote.next_arrival());
    node.kill();
    let node = host.start(vec![two_calls(&remote)]);
    while host.block_on("the mail", remote.next_arrival()) != "/mail/jane" {}
    assert_eq!(host.run(run).crashes, 0, "the charge is on disk: that was progress");
    node.kill();
}

#[test]
fn an_unknown_effect_older_than_its_keys_lifetime_is_parked_until_an_operator_decides() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge/jane", [Reply::Gate]);
    let run = host.accept(&["flow"], "\"jane\"")[0];
    let node = host.start(vec![two_calls(&remote)]);
    host.block_on("the charge", remote.next_arrival());
    node.kill();
    host.clock.advance(Duration::from_secs(30 * 3600));
    let node = host.start(vec![two_calls(&remote)]);
    let dead = host.wait_for(run, RunState::DeadLettered);
    assert_eq!(dead.dead_reason, Some(DeadReason::Stale));
    let summary = dead.summary.unwrap();
    assert!(
        summary.starts_with("step \"charge\": its call (POST crm /charge/jane) was sent at"),
        "{summary}"
    );
    assert_eq!(remote.keys("/charge/jane").len(), 1);
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    let keys = remote.keys("/charge/jane");
    assert_eq!(
        (keys.len(), &keys[0]),
        (2, &keys[1]),
        "sent again by the operator's will, under the same key"
    );
}

#[test]
fn an_unknown_attempt_that_waited_through_a_long_outage_is_parked_too() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge/jane", [Reply::Unknown]);
    let run = host.accept(&["flow"], "\"jane\"")[0];
    let node = host.start(vec![two_calls(&remote)]);
    host.wait_for(run, RunState::Waiting);
    assert_eq!(host.kinds(run), [EntryKind::AttemptFailed]);
    node.kill();
    host.clock.advance(Duration::from_secs(25 * 3600));
    let _node = host.start(vec![two_calls(&remote)]);
    assert_eq!(host.wait_for(run, RunState::DeadLettered).dead_reason, Some(DeadReason::Stale));
    assert_eq!(remote.keys("/charge/jane").len(), 1);
}

#[test]
fn a_sibling_dropped_by_the_first_error_is_noted_and_keeps_its_key() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/left", [Reply::Gate]);
    remote.script("/right", [Reply::Refused]);
    let calls = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            let left = async { cx.step("left", remote.post("/left")).await };
            let right = async { cx.step("right", remote.post("/right")).await };
            tokio::try_join!(left, right)
        }
    });
    let node = host.start(vec![flow]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::DeadLettered);
    assert_eq!(host.kinds(run), [EntryKind::StepRefused, EntryKind::Dropped, EntryKind::DeadLettered]);
    assert!(host.journal(run)[1].meta.unknown_since.is_some());
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    let (left, right) = (remote.keys("/left"), remote.keys("/right"));
    assert_eq!(left[0], left[1], "it may have happened: the same key");
    assert_ne!(right[0], right[1], "a definite no: a new generation");
}
