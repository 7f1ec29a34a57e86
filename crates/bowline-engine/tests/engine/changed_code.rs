//! Runs under way meet another build.

use std::{sync::Arc, time::Duration};

use bowline_engine::{Context, Startable, Workflow};
use bowline_model::{DeadReason, Payload, Result, RunId, RunState, WorkflowName, approval::Question};
use bowline_store::{Address, MailboxFilter, Post, Posted, Store};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    node::{Host, Node},
    remote::{Remote, Reply},
};

/// A run whose first step is recorded and whose second waits an hour; then another build meets it.
#[track_caller]
fn meets<Fut>(
    new: impl Fn(Context, Arc<Remote>) -> Fut + Clone + Send + Sync + 'static,
) -> (Host, Arc<Remote>, bowline_model::Run)
where
    Fut: Future<Output = Result<u64>> + Send + 'static,
{
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/2", [Reply::RetryAfter(Duration::from_secs(3600))]);
    let calls = remote.clone();
    let old = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = calls.clone();
        async move {
            let one = cx.step("sync", remote.post("/1")).await?;
            Ok(one + cx.step("sync", remote.post("/2")).await?)
        }
    });
    let node = host.start_as("build-1", vec![old], Default::default());
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    node.kill();
    let calls = remote.clone();
    let changed = Workflow::new("flow", move |cx: Context, _: Value| new(cx, calls.clone()));
    let node = host.start_as("build-2", vec![changed], Default::default());
    host.clock.advance(Duration::from_secs(4000));
    let run = host.end(run);
    drop(node);
    (host, remote, run)
}

#[track_caller]
fn parked(run: &bowline_model::Run, with: &str) {
    assert_eq!(run.dead_reason, Some(DeadReason::Mismatch), "{run:?}");
    let summary = run.summary.as_deref().unwrap();
    assert!(summary.contains(with), "{summary}");
}

#[test]
fn a_loop_in_another_order_is_parked_with_both_sides() {
    let (_, remote, run) = meets(async |cx, remote| {
        let two = cx.step("sync", remote.post("/2")).await?;
        Ok(two + cx.step("sync", remote.post("/1")).await?)
    });
    parked(
        &run,
        "step \"sync\" recorded POST crm /1, the code now asks POST crm /2: the loop's order or the code changed; add \
         .key(id) to steps in a loop",
    );
    assert_eq!(remote.keys("/2").len(), 1);
}

#[test]
fn another_body_under_the_same_key_is_never_sent() {
    let (_, remote, run) = meets(async |cx, remote| {
        let one = cx.step("sync", remote.post("/1")).await?;
        Ok(one + cx.step("sync", remote.post("/2").body("beef")).await?)
    });
    parked(&run, "step \"sync\"#2 was attempted as POST crm /2, the code now asks POST crm /2 (body beef)");
    assert_eq!(remote.keys("/2").len(), 1);
}

#[test]
fn a_removed_step_is_parked_and_the_hint_names_was() {
    let (_, _, run) = meets(async |cx, remote| cx.step("other", remote.post("/3")).await);
    parked(
        &run,
        "step \"sync\" (POST crm /1) is recorded as entry 1, and the code now asks for step \"other\"",
    );
    parked(&run, ".was(\"old name\")");
}

#[test]
fn a_renamed_step_keeps_its_outcome_and_its_key() {
    let (_, remote, run) = meets(async |cx, remote| {
        let one = cx.step("push", remote.post("/1")).was("sync").await?;
        Ok(one + cx.step("push", remote.post("/2")).was("sync").await?)
    });
    assert_eq!(run.state, RunState::Completed, "{run:?}");
    assert_eq!(remote.keys("/1").len(), 1);
    let keys = remote.keys("/2");
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
}

#[test]
fn a_type_that_no_longer_reads_what_is_recorded_is_parked() {
    let (_, _, run) = meets(async |cx, _| {
        cx.step("sync", async || Ok("text".to_owned())).await?;
        Ok(1)
    });
    parked(&run, "step \"sync\" recorded POST crm /1, the code now runs a closure there");
}

#[test]
fn the_same_key_twice_is_told() {
    let (_, _, run) = meets(async |cx, remote| {
        cx.step("sync", remote.post("/1")).await?;
        cx.step("item", remote.post("/3")).key(17).await?;
        cx.step("item", remote.post("/3")).key(17).await
    });
    parked(&run, "step \"item\"[17] was asked for twice: a `.key` must be unique within its name");
}

#[test]
fn a_build_that_branches_on_the_wall_clock_is_told_that_it_is_not_deterministic() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/2", [Reply::RetryAfter(Duration::from_secs(3600))]);
    let flow = |remote: &Arc<Remote>, clock: Arc<crate::node::StillClock>| {
        let remote = remote.clone();
        let first = clock.time();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let (remote, late) = (remote.clone(), clock.time() > first + Duration::from_secs(600));
            async move {
                if !late {
                    cx.step("early", remote.post("/1")).await?;
                }
                cx.step("then", remote.post("/2")).await
            }
        })
    };
    let options = bowline_engine::EngineOptions { resting_max: 0, ..Default::default() };
    let node = host.start_as("build-1", vec![flow(&remote, host.clock.clone())], options);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    host.clock.advance(Duration::from_secs(4000));
    let run = host.wait_for(run, RunState::DeadLettered);
    parked(&run, "this build recorded it, so the code is not deterministic");
}

#[test]
fn a_renamed_step_parks_a_run_that_an_operator_once_retried_too() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/check", [Reply::Refused]);
    remote.script("/mail", [Reply::Gate]);
    let flow = |charge: &'static str| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                cx.step("check", remote.post("/check")).await?;
                cx.step(charge, remote.post("/charge")).await?;
                cx.step("mail", remote.post("/mail")).await
            }
        })
    };
    let node = host.start(vec![flow("charge")]);
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::DeadLettered);
    host.retry(&node, run);
    host.block_on("the mail", remote.arrival_at("/mail"));
    node.kill();
    let _node = host.start_as("build-2", vec![flow("charge customer")], Default::default());
    parked(&host.end(run), "step \"charge\" (POST crm /charge) is recorded as entry");
    assert_eq!(remote.keys("/charge").len(), 1, "it is not charged a second time under another name");
}

/// The code of a build, before and after a tax came.
fn taxed(remote: &Arc<Remote>, code: impl Fn(&Context) -> bool + Clone + Send + Sync + 'static) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, code) = (remote.clone(), code.clone());
        async move {
            let is_taxed = code(&cx);
            cx.step("one", remote.post("/1")).await?;
            cx.step("two", remote.post(if is_taxed { "/taxed" } else { "/2" })).await?;
            Ok(is_taxed)
        }
    })
}

fn asks(cx: &Context) -> bool {
    cx.changed("2026-11 new tax")
}

#[test]
fn a_run_under_way_keeps_the_old_path_and_one_that_begins_later_takes_the_new_one() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/2", [Reply::RetryAfter(Duration::from_secs(3600))]);
    let node = host.start_as("build-1", vec![taxed(&remote, |_| false)], Default::default());
    let old = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(old, RunState::Waiting);
    node.kill();
    let _node = host.start_as("build-2", vec![taxed(&remote, asks)], Default::default());
    let new = host.accept(&["flow"], "null")[0];
    _node.engine.poke();
    assert_eq!(host.end(new).state, RunState::Completed);
    host.clock.advance(Duration::from_secs(4000));
    assert_eq!(host.end(old).state, RunState::Completed, "{:?}", host.run(old));
    assert_eq!((host.output(old), host.output(new)), (false.into(), true.into()));
    assert_eq!((remote.keys("/2").len(), remote.keys("/taxed").len()), (2, 1));
}

#[test]
fn a_first_call_of_the_old_code_that_was_in_flight_is_a_run_under_way() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/1", [Reply::Gate]);
    let node = host.start_as("build-1", vec![taxed(&remote, |_| false)], Default::default());
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.block_on("the call", remote.arrival_at("/1"));
    node.kill();
    assert!(host.journal(run).is_empty(), "a first attempt leaves nothing behind");
    let _node = host.start_as("build-2", vec![taxed(&remote, asks)], Default::default());
    assert_eq!(host.end(run).state, RunState::Completed);
    assert_eq!(host.output(run), Value::Bool(false));
}

#[test]
fn a_call_in_flight_of_a_build_that_was_rolled_back_to_is_a_run_under_way() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/1", [Reply::Gate]);
    // Accepted by build-1, as every run of these tests.
    let run = host.accept(&["flow"], "null")[0];
    let node = host.start_as("build-0", vec![taxed(&remote, |_| false)], Default::default());
    host.block_on("the call", remote.arrival_at("/1"));
    node.kill();
    let _node = host.start_as("build-1", vec![taxed(&remote, asks)], Default::default());
    assert_eq!(host.end(run).state, RunState::Completed);
    assert_eq!(host.output(run), Value::Bool(false), "{:?}", host.kinds(run));
}

#[test]
fn a_change_is_answered_once_for_the_whole_run_and_in_every_later_build() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/2", [Reply::RetryAfter(Duration::from_secs(3600))]);
    let flow = |remote: &Arc<Remote>| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                let first = cx.changed("tax");
                let (inside, _) = cx
                    .all((async { Ok(cx.changed("tax")) }, async { cx.step("two", remote.post("/2")).await }))
                    .await?;
                Ok([first, inside, cx.changed("tax")])
            }
        })
    };
    let node = host.start_as("build-1", vec![flow(&remote)], Default::default());
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    node.kill();
    let _node = host.start_as("build-2", vec![flow(&remote)], Default::default());
    host.clock.advance(Duration::from_secs(4000));
    host.wait_for(run, RunState::Completed);
    assert_eq!(host.output(run), serde_json::json!([true, true, true]));
    let answers = host.kinds(run).into_iter().filter(|kind| *kind == bowline_model::EntryKind::Changed);
    assert_eq!(answers.count(), 1);
}

#[test]
fn a_line_that_asks_for_a_change_can_be_removed() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/taxed", [Reply::RetryAfter(Duration::from_secs(3600))]);
    let node = host.start_as("build-1", vec![taxed(&remote, asks)], Default::default());
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    node.kill();
    let _node = host.start_as("build-2", vec![taxed(&remote, |_| true)], Default::default());
    host.clock.advance(Duration::from_secs(4000));
    assert_eq!(host.end(run).state, RunState::Completed, "{:?}", host.run(run));
    assert_eq!(remote.keys("/taxed").len(), 2);
}

/// A run that waits for something in build-1 and meets code that does not: how it is told.
#[track_caller]
fn misses<Fut>(code: impl Fn(Context) -> Fut + Clone + Send + Sync + 'static) -> String
where
    Fut: Future<Output = Result<u64>> + Send + 'static,
{
    let host = Host::new();
    let old = Workflow::new("flow", move |cx: Context, _: Value| {
        let code = code.clone();
        async move {
            code(cx.clone()).await?;
            cx.sleep(Duration::from_secs(86_400)).await;
            Ok(())
        }
    });
    let node = host.start_as("build-1", vec![old], Default::default());
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    let end = host.clock.time() + Duration::from_secs(3600);
    host.clock.advance(Duration::from_secs(20));
    host.wait(run, "asleep for a day", |run| run.state == RunState::Waiting && run.due > Some(end));
    node.kill();
    let new = Workflow::new("flow", |_: Context, _: Value| async { Ok(()) });
    let _node = host.start_as("build-2", vec![new], Default::default());
    host.clock.advance(Duration::from_secs(90_000));
    let run = host.end(run);
    assert_eq!(run.dead_reason, Some(DeadReason::Mismatch), "{run:?}");
    run.summary.unwrap()
}

#[test]
fn what_is_missed_is_called_by_what_it_is() {
    let slept = misses(async |cx| {
        cx.sleep(Duration::from_secs(10)).await;
        Ok(1)
    });
    assert!(
        slept.starts_with("timer \"sleep\" is recorded as entry 2, and the code now ends without it"),
        "{slept}"
    );
    assert!(slept.contains("cx.changed("), "{slept}");
    let waited = misses(async |cx| {
        let _paid: Option<u64> = cx.signal("paid").timeout(Duration::from_secs(10)).await?;
        Ok(1)
    });
    assert!(waited.starts_with("wait \"paid\" is recorded as entry"), "{waited}");
}

/// A run of an old build that has ended is forked under a new one, which asks for the change there.
#[test]
fn a_fork_takes_the_new_path_from_its_step_on_and_keeps_it() {
    let flow = |remote: &Arc<Remote>, asks_first: bool| {
        let remote = remote.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                let first = asks_first && asks(&cx);
                cx.step("one", remote.post("/1")).await?;
                let is_taxed = if asks_first { first } else { asks(&cx) };
                cx.step("two", remote.post(if is_taxed { "/taxed" } else { "/2" })).await?;
                Ok(is_taxed)
            }
        })
    };
    for asks_first in [false, true] {
        let (host, remote) = (Host::new(), Remote::new());
        let node = host.start_as("build-1", vec![taxed(&remote, |_| false)], Default::default());
        let old = host.accept(&["flow"], "null")[0];
        node.engine.poke();
        host.end(old);
        node.kill();
        host.clock.advance(Duration::from_secs(60));
        remote.script("/taxed", [Reply::RetryAfter(Duration::from_secs(3600))]);
        let fork = host.fork(old, "two", "build-2");
        let node = host.start_as("build-2", vec![flow(&remote, asks_first)], Default::default());
        if asks_first {
            assert_eq!(host.end(fork).state, RunState::Completed);
            assert_eq!(host.output(fork), Value::Bool(false), "it was asked where the old path is recorded");
            continue;
        }
        host.wait_for(fork, RunState::Waiting);
        node.kill();
        // A later build keeps what was answered.
        let _node = host.start_as("build-3", vec![flow(&remote, asks_first)], Default::default());
        host.clock.advance(Duration::from_secs(4000));
        assert_eq!(host.end(fork).state, RunState::Completed, "{:?}", host.run(fork));
        assert_eq!(host.output(fork), Value::Bool(true));
        assert_eq!((remote.keys("/1").len(), remote.keys("/taxed").len()), (1, 2));
    }
}

/// A run of build-1 that waits, and its next build.
struct Renamed {
    host: Host,
    run: RunId,
    _node: Node,
}

/// A run begins in one build and meets the next one while it waits.
fn renamed(workflows: Vec<Workflow>, later: Vec<Workflow>) -> Renamed {
    let host = Host::new();
    let node = host.start_as("build-1", workflows, Default::default());
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    host.wait_for(run, RunState::Waiting);
    node.kill();
    let _node = host.start_as("build-2", later, Default::default());
    Renamed { host, run, _node }
}

impl Renamed {
    fn post(&self, to: Address, body: &str) {
        let post =
            Post { to, id: None, body: Payload::from_stored(body.to_owned()), now: self.host.clock.time() };
        let posted = self.host.block_on("the post", self.host.store.post(post)).unwrap();
        assert!(matches!(posted, Posted::Kept { .. }), "{posted:?}");
    }

    fn signal(&self, name: &str, body: &str) {
        self.post(Address::Mailbox { run: self.run, name: format!("signal:{name}") }, body);
    }

    fn output(&self) -> Value {
        assert_eq!(self.host.end(self.run).state, RunState::Completed, "{:?}", self.host.run(self.run));
        self.host.output(self.run)
    }
}

#[test]
fn a_renamed_signal_is_heard_under_either_name_and_in_order() {
    let flow = |new: bool| {
        Workflow::new("flow", move |cx: Context, _: Value| async move {
            let signal = || match new {
                true => cx.signal::<u64>("paid").was("payment"),
                false => cx.signal::<u64>("payment"),
            };
            let (first, second) = (signal().await?, signal().await?);
            let third = signal().timeout(Duration::from_secs(3600)).await?;
            Ok((first, second, third))
        })
    };
    let met = renamed(vec![flow(false)], vec![flow(true)]);
    met.signal("payment", "1");
    met.signal("paid", "2");
    met.signal("payment", "3");
    assert_eq!(met.output(), serde_json::json!([1, 2, 3]));
}

#[test]
fn a_renamed_approval_is_answered_where_it_was_asked() {
    let flow = |new: bool| {
        Workflow::new("flow", move |cx: Context, _: Value| async move {
            let question = Question::new("Refund?");
            let approval = match new {
                true => cx.approval("pay back", question).was("refund"),
                false => cx.approval("refund", question),
            };
            Ok(approval.await?.approved)
        })
    };
    let met = renamed(vec![flow(false)], vec![flow(true)]);
    let filter = MailboxFilter { run: Some(met.run), ..MailboxFilter::default() };
    let asked = met.host.block_on("the list", met.host.store.mailboxes(filter)).unwrap();
    let name = asked[0].name.clone();
    met.post(Address::Mailbox { run: met.run, name }, r#"{"approved":true}"#);
    assert_eq!(met.output(), Value::Bool(true));
}

/// A workflow of that name, as what a parent starts.
struct Named(WorkflowName);

impl Startable for Named {
    type Input = ();
    type Output = u64;

    fn workflow_name(&self) -> &WorkflowName {
        &self.0
    }
}

#[test]
fn a_renamed_child_is_waited_for_and_not_started_again() {
    let flow = |new: bool| {
        Workflow::new("flow", move |cx: Context, _: Value| async move {
            let (score, rate) = (Named("score".into()), Named("rate".into()));
            match new {
                true => cx.child(&rate, &()).was("score").await,
                false => cx.child(&score, &()).await,
            }
        })
    };
    let child = |name: &str, yields: u64| {
        Workflow::new(name, move |cx: Context, (): ()| async move {
            cx.sleep(Duration::from_secs(60)).await;
            Ok(yields)
        })
    };
    let later = vec![flow(true), child("score", 7), child("rate", 8)];
    let met = renamed(vec![flow(false), child("score", 7)], later);
    met.host.wait_for(met.host.started_by(met.run)[0], RunState::Waiting);
    met.host.clock.advance(Duration::from_secs(61));
    assert_eq!(met.output(), 7);
    assert_eq!(met.host.started_by(met.run).len(), 1);
}

#[test]
fn a_renamed_callback_keeps_its_address() {
    let urls = Arc::new(std::sync::Mutex::new(vec![]));
    let flow = |new: bool| {
        let urls = urls.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let urls = urls.clone();
            async move {
                let scanned = match new {
                    true => cx.callback::<u64>("checked").was("scanned"),
                    false => cx.callback::<u64>("scanned"),
                };
                urls.lock().unwrap().push(scanned.url().to_owned());
                scanned.await
            }
        })
    };
    let met = renamed(vec![flow(false)], vec![flow(true)]);
    met.host.wait(met.run, "met by the next build", |run| run.state == RunState::Waiting);
    let token = urls.lock().unwrap()[0].rsplit('/').next().unwrap().to_owned();
    met.post(Address::Token(Sha256::digest(token.as_bytes()).into()), "5");
    assert_eq!(met.output(), 5);
    let urls = urls.lock().unwrap();
    assert!(urls.len() >= 2 && urls.iter().all(|url| *url == urls[0]), "{urls:?}");
}

#[test]
fn a_hint_names_was_only_where_there_is_one() {
    let signal = misses(async |cx| {
        let _: Option<u64> = cx.signal("paid").timeout(Duration::from_secs(10)).await?;
        Ok(1)
    });
    assert!(signal.contains(".was(\"old name\")"), "{signal}");
    let race = misses(async |cx| {
        cx.race((async { cx.sleep(Duration::from_secs(10)).await }, async {
            cx.sleep(Duration::from_secs(20)).await;
        }))
        .await;
        Ok(1)
    });
    let sleep = misses(async |cx| {
        cx.sleep(Duration::from_secs(10)).await;
        Ok(1)
    });
    let detached = misses(async |cx| {
        cx.start(&Named("score".into()), &())?;
        cx.sleep(Duration::from_secs(10)).await;
        Ok(1)
    });
    for told in [race, sleep, detached] {
        assert!(told.contains("cx.changed(") && !told.contains(".was("), "{told}");
    }
}
