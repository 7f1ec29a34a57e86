//! Deaths of the process.

use std::{sync::Arc, time::Duration};

use bowline_engine::{Context, Workflow};
use bowline_model::{DeadReason, RunState};
use serde_json::Value;

use crate::{
    node::{Host, until},
    remote::{Remote, Reply},
};

fn two_calls(remote: &Arc<Remote>) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, name: String| {
        let remote = remote.clone();
        async move {
            let charge = cx.step("charge", remote.post(&format!("/charge/{name}")));
            charge.attempt_timeout(Duration::from_secs(60)).await?;
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
    host.block_on("the mail", remote.arrival_at("/mail/jane"));
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
    host.block_on("the mail", remote.arrival_at("/mail/jane"));
    assert_eq!(host.run(run).crashes, 0, "the charge is on disk: that was progress");
    node.kill();
}

#[test]
fn a_poison_run_is_found_behind_a_slow_innocent() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/charge/slow", vec![Reply::Gate; 4]);
    remote.script("/charge/poison", vec![Reply::Gate; 4]);
    let slow = host.accept(&["flow"], "\"slow\"")[0];
    let poison = host.accept(&["flow"], "\"poison\"")[0];
    for _ in 0..2 {
        let node = host.start(vec![two_calls(&remote)]);
        host.block_on("both charges", remote.next_arrival());
        host.block_on("both charges", remote.next_arrival());
        node.kill();
    }
    let node = host.start(vec![two_calls(&remote)]);
    host.block_on("the slow one", remote.arrival_at("/charge/slow"));
    for _ in 0..65 {
        // As long as its attempt may take, and less than it may be alone.
        host.clock.advance(Duration::from_secs(1));
        let (poison, slow) = (host.run(poison).state, host.run(slow).state);
        assert!(
            poison == RunState::Queued || slow != RunState::Running,
            "the poison is not let in beside it"
        );
    }
    host.wait_for(slow, RunState::Waiting);
    host.block_on("the poison alone", remote.arrival_at("/charge/poison"));
    node.kill();
    let node = host.start(vec![two_calls(&remote)]);
    host.block_on("the poison alone again", remote.arrival_at("/charge/poison"));
    node.kill();
    let _node = host.start(vec![two_calls(&remote)]);
    assert_eq!(host.end(poison).dead_reason, Some(DeadReason::Poison));
    host.clock.advance(Duration::from_secs(10));
    host.block_on("the slow one, tried again", remote.arrival_at("/charge/slow"));
    remote.gate.add_permits(1);
    host.wait_for(slow, RunState::Completed);
}

#[test]
fn a_suspect_that_takes_very_long_keeps_the_others_out_for_a_while_and_not_for_ever() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/export", vec![Reply::Gate; 3]);
    let long = Duration::from_secs(20 * 24 * 3600);
    let flow = || {
        let remote = remote.clone();
        Workflow::new("export", move |cx: Context, _: Value| {
            let call = remote.post("/export");
            async move { cx.step("export", call).attempt_timeout(long).await }
        })
    };
    let run = host.accept(&["export"], "null")[0];
    // It is not alone: else it would be poison.
    let other = host.accept(&["export"], "null")[0];
    for _ in 0..2 {
        let node = host.start(vec![flow()]);
        host.block_on("both exports", remote.next_arrival());
        host.block_on("both exports", remote.next_arrival());
        remote.script("/export", vec![Reply::Gate; 3]);
        node.kill();
    }
    let fresh = host.accept(&["flow"], "\"fresh\"")[0];
    let _node = host.start(vec![flow(), two_calls(&remote)]);
    host.block_on("the first suspect alone", remote.arrival_at("/export"));
    assert_eq!((host.run(other).state, host.run(fresh).state), (RunState::Queued, RunState::Queued));
    until(|| {
        host.clock.advance(Duration::from_secs(1));
        host.run(fresh).state == RunState::Completed
    });
    assert_eq!(host.run(run).state, RunState::Running);
}
