//! Loops: limit, recovery, dead items, compaction, pages that change.

mod kills;
mod retried;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bowline_engine::{
    Context, EngineOptions, Workflow,
    loops::{DeadItems, Summary},
};
use bowline_model::{
    Attempt, DeadReason, Effect, EntryKind, Listing, Repeat, RetryPolicy, RunId, RunState, Shape, Verdict,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    node::{Host, Node, until},
    remote::{Remote, Reply},
};

/// How a test's loop is.
#[derive(Clone, Copy)]
struct Look {
    count: u64,
    limit: usize,
    policy: DeadItems,
}

impl Look {
    fn of(count: u64) -> Self {
        Self { count, limit: 4, policy: DeadItems::Stop }
    }
}

/// A loop over a keyed list, two calls for each item, and a call at the end.
fn looping(remote: &Arc<Remote>, look: Look) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move {
            let list: Vec<u64> = (0..look.count).collect();
            let summary = cx
                .for_each("sync", list, look.limit, async |cx, item| {
                    let seen = cx.step("read", remote.post(&format!("/read/{item}"))).await?;
                    let call = remote.post(&format!("/patch/{item}")).body(&seen.to_string());
                    cx.step("patch", call).retry(RetryPolicy::never()).await?;
                    Ok(())
                })
                .keyed(|item| item + 100)
                .on_dead(look.policy)
                .await?;
            cx.step("report", remote.post("/report")).await?;
            Ok(summary)
        }
    })
}

fn started(host: &Host, node: &Node) -> RunId {
    let run = host.accept(&["flow"], "null")[0];
    node.engine.poke();
    run
}

fn summary(host: &Host, run: RunId) -> Summary {
    serde_json::from_value(host.output(run)).unwrap()
}

#[test]
fn each_item_runs_once_and_leaves_no_entries() {
    let (host, remote) = (Host::new(), Remote::new());
    let node = host.start(vec![looping(&remote, Look::of(50))]);
    let run = started(&host, &node);
    host.wait_for(run, RunState::Completed);
    let summary = summary(&host, run);
    assert_eq!((summary.done, summary.dead, summary.again), (50, 0, 0));
    let keys: BTreeSet<_> = (0..50).flat_map(|item| remote.keys(&format!("/patch/{item}"))).collect();
    assert_eq!(keys.len(), 50, "each under a key of its own");
    assert_eq!(host.kinds(run), [EntryKind::Looped, EntryKind::StepDone, EntryKind::Completed]);
}

#[test]
fn so_many_items_are_under_way_as_the_limit_says_and_no_more() {
    let (host, remote) = (Host::new(), Remote::new());
    for item in 0..9 {
        remote.script(&format!("/read/{item}"), [Reply::Gate]);
    }
    let node = host.start(vec![looping(&remote, Look::of(9))]);
    let run = started(&host, &node);
    let first: BTreeSet<_> = (0..4).map(|_| host.block_on("an arrival", remote.next_arrival())).collect();
    assert_eq!(first, (0..4).map(|item| format!("/read/{item}")).collect());
    host.let_another_pass(&node);
    assert!(remote.keys("/read/4").is_empty(), "begun although four are under way");
    remote.gate.add_permits(9);
    host.wait_for(run, RunState::Completed);
}

/// Kills the process while items are under way, again and again, with another limit each time.
#[test]
fn a_run_that_is_killed_goes_on_at_its_items_under_the_same_keys_whatever_the_limit() {
    let (host, remote) = (Host::new(), Remote::new());
    for (item, lives) in [(3, 1), (9, 2), (14, 3), (21, 4)] {
        remote.script(&format!("/patch/{item}"), std::iter::repeat_n(Reply::Gate, lives));
    }
    let look = |limit| Look { limit, ..Look::of(30) };
    let mut node = host.start_as("build-0", vec![looping(&remote, look(16))], EngineOptions::default());
    let run = started(&host, &node);
    for (life, limit) in [3, 8, 1, 16].into_iter().enumerate() {
        until(|| remote.keys("/patch/21").len() > life);
        host.wait(run, "further than at its last crash", |run| run.crashes == 0 && run.journal_len > 30);
        node.kill();
        let build = format!("build-{}", life + 1);
        node = host.start_as(&build, vec![looping(&remote, look(limit))], EngineOptions::default());
    }
    remote.gate.add_permits(20);
    let ended = host.end(run);
    assert_eq!(ended.state, RunState::Completed, "{ended:?}");
    assert_eq!(summary(&host, run).done, 30);
    for item in 0..30 {
        for path in [format!("/read/{item}"), format!("/patch/{item}")] {
            let keys: BTreeSet<_> = remote.keys(&path).into_iter().collect();
            assert_eq!(keys.len(), 1, "{path} was sent under {keys:?}");
        }
    }
    drop(node);
}

#[test]
fn what_has_ended_is_noted_when_as_many_items_have_ended_as_the_limit() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/patch/39", [Reply::Gate]);
    let node = host.start(vec![looping(&remote, Look::of(40))]);
    let run = started(&host, &node);
    host.block_on("the last", remote.arrival_at("/patch/39"));
    host.let_another_pass(&node);
    let journal = host.journal(run);
    let notes: Vec<_> = journal.iter().filter(|entry| entry.kind == EntryKind::Items).collect();
    assert_eq!(notes.len(), 1, "a note replaces the one before");
    let note: Value = notes[0].payload.as_ref().unwrap().decode().unwrap();
    assert_eq!((&note["done"], &note["total"]), (&json!(36), &json!(40)));
    assert!(journal.len() <= 8, "{journal:#?}");
    remote.gate.add_permits(1);
    host.wait_for(run, RunState::Completed);
}

#[test]
fn by_default_an_item_that_fails_stops_the_loop_and_a_retry_goes_on_there() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/patch/5", [Reply::Refused]);
    let node = host.start(vec![looping(&remote, Look::of(20))]);
    let run = started(&host, &node);
    let dead = host.wait_for(run, RunState::DeadLettered);
    assert_eq!(dead.dead_reason, Some(DeadReason::Failed));
    assert_eq!(dead.summary.as_deref(), Some("step /sync/105\"patch\": no such customer"));
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    assert_eq!(summary(&host, run).done, 20);
    for item in 0..20 {
        let times = if item == 5 { 2 } else { 1 };
        assert_eq!(remote.keys(&format!("/patch/{item}")).len(), times, "{item}");
        assert_eq!(remote.keys(&format!("/read/{item}")).len(), 1, "{item}");
    }
    let keys = remote.keys("/patch/5");
    assert_ne!(keys[0], keys[1], "a definite refusal was taken back");
}

#[test]
fn dead_items_are_left_for_a_person_and_a_retry_runs_only_them() {
    let (host, remote) = (Host::new(), Remote::new());
    for item in [2, 7, 19] {
        remote.script(&format!("/patch/{item}"), [Reply::Refused]);
    }
    remote.script("/patch/7", [Reply::Refused, Reply::Refused]);
    let look = Look { policy: DeadItems::Skip, ..Look::of(20) };
    let node = host.start(vec![looping(&remote, look)]);
    let run = started(&host, &node);
    let dead = host.wait_for(run, RunState::DeadLettered);
    assert_eq!(dead.dead_reason, Some(DeadReason::Items));
    let why = "3 of 20 items of loop \"sync\" failed: item 102: no such customer";
    assert_eq!(dead.summary.as_deref(), Some(why));
    assert_eq!(host.kinds(run).iter().filter(|kind| **kind == EntryKind::ItemDead).count(), 3);
    host.retry(&node, run);
    let dead = host
        .wait(run, "dead again", |run| run.state == RunState::DeadLettered && run.summary != dead.summary);
    assert!(dead.summary.unwrap().starts_with("1 of 20 items"));
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    let summary = summary(&host, run);
    assert_eq!((summary.done, summary.dead), (20, 0));
    assert_eq!(remote.keys("/report").len(), 1, "what came after the loop stays recorded");
    let sent: Vec<_> = (0..20).map(|item| remote.keys(&format!("/patch/{item}")).len()).collect();
    assert_eq!(sent.iter().sum::<usize>(), 20 + 2 + 1 + 1, "{sent:?}");
    assert!((0..20).all(|item| remote.keys(&format!("/read/{item}")).len() == 1));
}

#[test]
fn one_dead_item_more_than_allowed_stops_the_loop() {
    let (host, remote) = (Host::new(), Remote::new());
    for item in [2, 7, 9] {
        remote.script(&format!("/patch/{item}"), [Reply::Refused]);
    }
    let look = Look { policy: DeadItems::UpTo(2), limit: 1, ..Look::of(20) };
    let node = host.start(vec![looping(&remote, look)]);
    let run = started(&host, &node);
    let dead = host.wait_for(run, RunState::DeadLettered);
    let why = "step /sync/109\"patch\": no such customer (past the limit of 2 dead items of loop \"sync\")";
    assert_eq!(dead.summary.as_deref(), Some(why));
    assert!(remote.keys("/read/10").is_empty());
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    assert_eq!(summary(&host, run).done, 20);
}

#[test]
fn a_run_all_of_whose_items_wait_rests_and_holds_no_slot() {
    let host = Host::new();
    let flow = Workflow::new("flow", |cx: Context, _: Value| async move {
        let summary = cx
            .for_each("wake", vec![1_u64, 2, 3, 4], 2, async |cx, hours| {
                cx.sleep(Duration::from_secs(3600 * hours)).await;
                Ok(())
            })
            .await?;
        Ok(summary)
    });
    let node = host.start(vec![flow]);
    let run = started(&host, &node);
    for _ in 0..4 {
        let waiting = host.wait_for(run, RunState::Waiting);
        let left = waiting.due.unwrap().duration_since(host.clock.time());
        host.clock.advance(Duration::try_from(left).unwrap());
        host.wait(run, "further", |run| run.due != waiting.due || run.state == RunState::Completed);
        if host.run(run).state == RunState::Completed {
            break;
        }
    }
    host.wait_for(run, RunState::Completed);
    assert_eq!(summary(&host, run).done, 4);
    drop(node);
}

#[test]
fn the_cx_of_the_run_inside_an_item_is_an_error_that_says_so() {
    let host = Host::new();
    let flow = Workflow::new("flow", |cx: Context, _: Value| async move {
        let outer = &cx;
        cx.for_each("sync", vec![1], 1, async |_, _| outer.step("a", async || Ok(1)).await.map(drop)).await
    });
    let node = host.start(vec![flow]);
    let run = started(&host, &node);
    let dead = host.wait_for(run, RunState::DeadLettered);
    assert!(
        dead.summary.as_ref().unwrap().contains("use the `cx` that the item's closure is given"),
        "{dead:?}"
    );
    drop(node);
}

/// Items of which each counts how many of them did anything: nothing is recorded of them.
#[test]
fn items_without_effects_are_noted_too_and_do_not_pile_up() {
    let (host, begun) = (Host::new(), Arc::new(AtomicUsize::new(0)));
    let counted = begun.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let begun = counted.clone();
        async move {
            let list: Vec<u32> = (0..5000).collect();
            let draw = async |cx: Context, _| {
                begun.fetch_add(1, Ordering::SeqCst);
                cx.random();
                Ok(())
            };
            cx.for_each("draw", list, 16, draw).await
        }
    });
    let node = host.start(vec![flow]);
    host.store.before_write.arm();
    let run = started(&host, &node);
    host.block_on("the first note", host.store.before_write.holds());
    assert_eq!(begun.load(Ordering::SeqCst), 16, "no more begin before those are noted");
    host.store.before_write.release();
    host.wait_for(run, RunState::Completed);
    assert_eq!(begun.load(Ordering::SeqCst), 5000);
    assert_eq!(host.kinds(run), [EntryKind::Looped, EntryKind::Completed]);
    drop(node);
}

/// A list whose order differs between two lives.
fn shuffled(remote: &Arc<Remote>, reversed: bool, keyed: bool) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move {
            let mut list: Vec<u64> = (0..10).chain(3..5).collect();
            if reversed {
                list.reverse();
            }
            let patch = async |cx: Context, item: u64| {
                cx.step("read", remote.post(&format!("/read/{item}"))).await?;
                cx.step("patch", remote.post(&format!("/patch/{item}"))).await.map(drop)
            };
            let all = cx.for_each("sync", list, 2, patch);
            if keyed { all.keyed(|item| *item).await } else { all.await }
        }
    })
}

#[test]
fn the_order_of_a_keyed_list_does_not_matter_and_keys_that_come_twice_run_once() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/patch/6", [Reply::Gate, Reply::Gate]);
    let node = host.start(vec![shuffled(&remote, false, true)]);
    let run = started(&host, &node);
    host.block_on("six", remote.arrival_at("/patch/6"));
    node.kill();
    let node = host.start(vec![shuffled(&remote, true, true)]);
    remote.gate.add_permits(2);
    host.wait_for(run, RunState::Completed);
    let summary = summary(&host, run);
    assert_eq!((summary.done, summary.again), (10, 2));
    for item in 0..10 {
        let keys: BTreeSet<_> = remote.keys(&format!("/patch/{item}")).into_iter().collect();
        assert_eq!(keys.len(), 1, "{item}");
    }
    drop(node);
}

#[test]
fn another_order_of_a_list_without_keys_parks_the_run() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/patch/6", [Reply::Gate, Reply::Gate]);
    let node = host.start(vec![shuffled(&remote, false, false)]);
    let run = started(&host, &node);
    host.block_on("six", remote.arrival_at("/patch/6"));
    node.kill();
    let node = host.start(vec![shuffled(&remote, true, false)]);
    remote.gate.add_permits(2);
    let ended = host.end(run);
    assert_eq!(ended.dead_reason, Some(DeadReason::Mismatch), "{ended:?}");
    let why = ended.summary.unwrap();
    assert!(why.contains("/sync/6") && why.contains("POST crm /read/6") && why.contains(".key"), "{why}");
    drop(node);
}

/// A listing of a remote, in pages of `size`; its cursor is the last item of the page before. It can change.
#[derive(Clone)]
struct Listed {
    items: Arc<Mutex<Vec<u64>>>,
    reads: Arc<AtomicUsize>,
    size: usize,
    /// Whether a reader waits at the gate.
    gated: Arc<AtomicBool>,
    gate: Arc<Semaphore>,
}

struct ReadPage {
    listed: Listed,
    after: Option<usize>,
}

impl Listed {
    fn of(items: impl IntoIterator<Item = u64>, size: usize) -> Self {
        let items = Arc::new(Mutex::new(items.into_iter().collect()));
        let gate = Arc::new(Semaphore::new(0));
        Self { items, reads: Arc::default(), size, gated: Arc::default(), gate }
    }
}

impl Listing for Listed {
    type Item = u64;
    type Cursor = usize;
    type Page = ReadPage;

    fn page(&self, cursor: Option<&usize>) -> ReadPage {
        ReadPage { listed: self.clone(), after: cursor.copied() }
    }

    fn split(page: (Vec<u64>, Option<usize>)) -> (Vec<u64>, Option<usize>) {
        page
    }
}

impl Effect for ReadPage {
    type Output = (Vec<u64>, Option<usize>);

    fn shape(&self) -> Shape {
        Shape { fingerprint: None, repeat: Repeat::Safe }
    }

    async fn attempt(&self, _: Attempt) -> Verdict<Self::Output> {
        self.listed.reads.fetch_add(1, Ordering::SeqCst);
        if self.listed.gated.load(Ordering::SeqCst) {
            self.listed.gate.acquire().await.expect("never closed").forget();
        }
        let items = self.listed.items.lock().unwrap();
        let from = self.after.unwrap_or(0);
        let page: Vec<_> = items.iter().skip(from).take(self.listed.size).copied().collect();
        let next = (from + page.len() < items.len()).then_some(from + page.len());
        Verdict::Done((page, next))
    }
}

fn paged(remote: &Arc<Remote>, listed: &Listed, limit: usize, policy: DeadItems) -> Workflow {
    let (remote, listed) = (remote.clone(), listed.clone());
    Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, listed) = (remote.clone(), listed.clone());
        async move {
            cx.for_each("sync", listed, limit, async |cx, item| {
                let call = remote.post(&format!("/patch/{item}"));
                cx.step("patch", call).retry(RetryPolicy::never()).await.map(drop)
            })
            .keyed(|item| *item)
            .on_dead(policy)
            .await
        }
    })
}

#[test]
fn pages_are_read_once_and_go_when_their_items_have_ended() {
    let (host, remote) = (Host::new(), Remote::new());
    let listed = Listed::of(0..95, 10);
    remote.script("/patch/57", [Reply::Gate, Reply::Gate]);
    remote.script("/patch/93", [Reply::Gate, Reply::Gate]);
    let node = host.start(vec![paged(&remote, &listed, 4, DeadItems::Stop)]);
    let run = started(&host, &node);
    until(|| !remote.keys("/patch/93").is_empty());
    host.let_another_pass(&node);
    let journal = host.journal(run);
    assert!(journal.len() < 20, "pages and items that ended are gone: {journal:#?}");
    node.kill();
    let node = host.start(vec![paged(&remote, &listed, 4, DeadItems::Stop)]);
    remote.gate.add_permits(2);
    host.wait_for(run, RunState::Completed);
    assert_eq!(summary(&host, run).done, 95);
    assert_eq!(listed.reads.load(Ordering::SeqCst), 10, "no page is read again");
    for item in 0..95 {
        let keys: BTreeSet<_> = remote.keys(&format!("/patch/{item}")).into_iter().collect();
        assert_eq!(keys.len(), 1, "{item}");
    }
    assert_eq!(host.kinds(run), [EntryKind::Looped, EntryKind::Completed]);
    drop(node);
}

#[test]
fn an_item_that_comes_on_a_later_page_again_is_sent_under_the_same_key() {
    let (host, remote) = (Host::new(), Remote::new());
    // 3 comes on its own page, on the next one, and long after.
    let listed = Listed::of([0, 1, 2, 3, 3, 4, 5, 3, 6, 7, 8, 9, 10, 11, 12, 3, 13], 4);
    let node = host.start(vec![paged(&remote, &listed, 1, DeadItems::Stop)]);
    let run = started(&host, &node);
    host.wait_for(run, RunState::Completed);
    let keys = remote.keys("/patch/3");
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 1, "{keys:?}");
    let summary = summary(&host, run);
    assert_eq!(summary.done + summary.again, 17);
    assert_eq!(summary.again + keys.len() as u64, 4, "the rest were left out");
    drop(node);
}

#[test]
fn dead_items_of_pages_run_again_though_their_pages_are_gone_and_the_listing_changed() {
    let (host, remote) = (Host::new(), Remote::new());
    let listed = Listed::of(0..40, 10);
    for item in [3, 4, 38] {
        remote.script(&format!("/patch/{item}"), [Reply::Refused]);
    }
    let node = host.start(vec![paged(&remote, &listed, 4, DeadItems::Skip)]);
    let run = started(&host, &node);
    host.wait_for(run, RunState::DeadLettered);
    listed.items.lock().unwrap().clear();
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    assert_eq!((summary(&host, run).done, summary(&host, run).dead), (40, 0));
    assert_eq!(listed.reads.load(Ordering::SeqCst), 4);
    assert_eq!(remote.keys("/patch/38").len(), 2);
    drop(node);
}

/// A loop in each item of a loop, whose dead items are found from outside.
#[test]
fn what_loops_inside_items_leave_makes_those_items_dead_and_a_retry_finds_them() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/2/1", [Reply::Refused]);
    let called = remote.clone();
    let flow = Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = called.clone();
        async move {
            let remote = &remote;
            cx.for_each("orders", vec![1, 2, 3], 2, async |cx, order| {
                cx.step("open", remote.post(&format!("/{order}"))).await?;
                cx.for_each("lines", vec![0, 1, 2], 2, async |cx, line| {
                    let call = remote.post(&format!("/{order}/{line}"));
                    cx.step("line", call).retry(RetryPolicy::never()).await.map(drop)
                })
                .on_dead(DeadItems::Skip)
                .await
                .map(drop)
            })
            .on_dead(DeadItems::Skip)
            .await
        }
    });
    let node = host.start(vec![flow]);
    let run = started(&host, &node);
    let dead = host.wait_for(run, RunState::DeadLettered);
    assert!(
        dead.summary.unwrap().contains("1 of 3 items of loop \"lines\" failed: item 1: no such customer")
    );
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    assert_eq!(summary(&host, run).done, 3);
    assert_eq!((remote.keys("/2/1").len(), remote.keys("/2/0").len(), remote.keys("/2").len()), (2, 1, 1));
    assert_eq!(host.kinds(run).last(), Some(&EntryKind::Completed));
}
