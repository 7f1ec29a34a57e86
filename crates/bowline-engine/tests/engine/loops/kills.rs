//! Loops whose process is killed: dead items, keys that come twice, pages that are half done.

use bowline_engine::Cancel;
use bowline_model::Recall;

use super::*;
use crate::undoing::Again;

/// Ends when an item's dead letter is on disk.
fn dead_on_disk(host: &Host, run: RunId, items: usize) {
    until(|| host.kinds(run).iter().filter(|kind| **kind == EntryKind::ItemDead).count() == items);
}

/// How many items of the run's loop are done, as its note on disk says.
fn noted_done(host: &Host, run: RunId) -> u64 {
    let journal = host.journal(run);
    let note = journal.iter().rev().find(|entry| entry.kind == EntryKind::Items);
    let note = note.and_then(|note| note.payload.as_ref()).map(|note| note.decode::<Value>().unwrap());
    note.map_or(0, |note| note["done"].as_u64().unwrap())
}

#[test]
fn dead_items_stay_dead_over_a_kill_and_count_against_the_limit() {
    for is_paged in [false, true] {
        let (host, remote) = (Host::new(), Remote::new());
        for item in [2, 7, 9] {
            remote.script(&format!("/patch/{item}"), [Reply::Refused]);
        }
        remote.script("/patch/8", [Reply::Gate, Reply::Gate]);
        let policy = DeadItems::UpTo(2);
        let flow = || match is_paged {
            true => paged(&remote, &Listed::of(0..20, 10), 1, policy),
            false => looping(&remote, Look { policy, limit: 1, ..Look::of(20) }),
        };
        let node = host.start(vec![flow()]);
        let run = started(&host, &node);
        host.block_on("eight", remote.arrival_at("/patch/8"));
        node.kill();
        let node = host.start(vec![flow()]);
        remote.gate.add_permits(2);
        let dead = host.wait_for(run, RunState::DeadLettered);
        assert!(dead.summary.as_ref().unwrap().contains("past the limit of 2 dead items"), "{dead:?}");
        for item in [2, 7, 9] {
            assert_eq!(remote.keys(&format!("/patch/{item}")).len(), 1, "{item} ran again");
        }
        assert!(remote.keys("/patch/10").is_empty());
        host.retry(&node, run);
        host.wait_for(run, RunState::Completed);
        assert_eq!((summary(&host, run).done, summary(&host, run).dead), (20, 0));
        for item in 0..20 {
            let times = if [2, 7, 8, 9].contains(&item) { 2 } else { 1 };
            assert_eq!(remote.keys(&format!("/patch/{item}")).len(), times, "{item}");
        }
        drop(node);
    }
}

#[test]
fn a_loop_that_stops_begins_nothing_after_a_kill_either_and_fails_with_the_first_error() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/patch/0", [Reply::Refused]);
    for item in 1..4 {
        remote.script(&format!("/patch/{item}"), [Reply::Gate, Reply::Gate]);
    }
    let node = host.start(vec![looping(&remote, Look::of(20))]);
    let run = started(&host, &node);
    dead_on_disk(&host, run, 1);
    node.kill();
    let node = host.start(vec![looping(&remote, Look::of(20))]);
    remote.gate.add_permits(6);
    let dead = host.wait_for(run, RunState::DeadLettered);
    assert_eq!(dead.summary.as_deref(), Some("step /sync/100\"patch\": no such customer"));
    // As far as anybody knows, a fourth one was under way beside those three.
    for item in 5..20 {
        assert!(remote.keys(&format!("/read/{item}")).is_empty(), "{item} was begun");
    }
    drop(node);
}

#[test]
fn a_key_that_comes_again_while_its_item_is_there_is_left_out_before_and_after_a_kill() {
    let (host, remote) = (Host::new(), Remote::new());
    // 2 twice on its own page and once on the next one, 1 once more there.
    let listed = Listed::of([1, 2, 2, 3, 2, 4, 1, 5, 6, 7, 8, 9], 6);
    remote.script("/patch/2", [Reply::Gate, Reply::Gate]);
    remote.script("/patch/9", [Reply::Gate, Reply::Gate]);
    let node = host.start(vec![paged(&remote, &listed, 4, DeadItems::Stop)]);
    let run = started(&host, &node);
    host.block_on("nine", remote.arrival_at("/patch/9"));
    assert_eq!(remote.keys("/patch/2").len(), 1);
    node.kill();
    let node = host.start(vec![paged(&remote, &listed, 4, DeadItems::Stop)]);
    remote.gate.add_permits(4);
    host.wait_for(run, RunState::Completed);
    assert_eq!((summary(&host, run).done, summary(&host, run).again), (9, 3));
    for item in 1..10 {
        let keys: BTreeSet<_> = remote.keys(&format!("/patch/{item}")).into_iter().collect();
        assert_eq!(keys.len(), 1, "{item}");
    }
    drop(node);
}

#[test]
fn what_was_under_way_at_a_kill_goes_on_at_once_though_the_limit_has_sunk() {
    let (host, remote) = (Host::new(), Remote::new());
    for item in 0..4 {
        remote.script(&format!("/read/{item}"), [Reply::Gate, Reply::Gate]);
    }
    let node = host.start(vec![looping(&remote, Look::of(9))]);
    let run = started(&host, &node);
    until(|| (0..4).all(|item| remote.keys(&format!("/read/{item}")).len() == 1));
    node.kill();
    let node = host.start(vec![looping(&remote, Look { limit: 1, ..Look::of(9) })]);
    until(|| (0..4).all(|item| remote.keys(&format!("/read/{item}")).len() == 2));
    host.let_another_pass(&node);
    assert!(remote.keys("/read/4").is_empty(), "what is new keeps to the limit of today");
    let in_flight = host.kinds(run).iter().filter(|kind| **kind == EntryKind::InFlight).count();
    assert_eq!(in_flight, 4, "each is known to have been sent");
    remote.gate.add_permits(8);
    host.wait_for(run, RunState::Completed);
    assert_eq!(summary(&host, run).done, 9);
    drop(node);
}

/// The kill comes before the loop's note that counts it.
#[test]
fn an_item_that_died_a_moment_before_a_kill_does_not_run_again() {
    for is_paged in [false, true] {
        let (host, remote) = (Host::new(), Remote::new());
        remote.script("/patch/0", [Reply::Refused]);
        for item in 1..4 {
            remote.script(&format!("/patch/{item}"), [Reply::Gate, Reply::Gate]);
        }
        // So that only those four have begun when it dies.
        remote.script("/patch/4", [Reply::Gate, Reply::Gate]);
        let flow = || match is_paged {
            true => paged(&remote, &Listed::of(0..20, 10), 4, DeadItems::Skip),
            false => looping(&remote, Look { policy: DeadItems::Skip, ..Look::of(20) }),
        };
        let node = host.start(vec![flow()]);
        let run = started(&host, &node);
        dead_on_disk(&host, run, 1);
        until(|| !remote.keys("/patch/4").is_empty());
        node.kill();
        let node = host.start(vec![flow()]);
        remote.gate.add_permits(8);
        let dead = host.wait_for(run, RunState::DeadLettered);
        assert!(dead.summary.unwrap().starts_with("1 of 20 items"));
        assert_eq!(remote.keys("/patch/0").len(), 1, "it ran again");
        host.retry(&node, run);
        host.wait_for(run, RunState::Completed);
        assert_eq!((summary(&host, run).done, summary(&host, run).dead), (20, 0));
        assert_eq!(remote.keys("/patch/0").len(), 2);
        drop(node);
    }
}

/// Each page has one item that does not end: the page and what of it has ended stay known, whatever happens to others. When
/// the last of those four begins, all others have ended.
#[test]
fn what_has_ended_of_pages_that_are_open_does_not_run_again_after_a_kill() {
    let (host, remote) = (Host::new(), Remote::new());
    let listed = Listed::of(0..40, 10);
    for item in [3, 14, 25, 39] {
        remote.script(&format!("/patch/{item}"), std::iter::repeat_n(Reply::Gate, 2));
    }
    let flow = || paged(&remote, &listed, 4, DeadItems::Stop);
    let node = host.start(vec![flow()]);
    let run = started(&host, &node);
    host.block_on("the last", remote.arrival_at("/patch/39"));
    node.kill();
    let node = host.start(vec![flow()]);
    remote.gate.add_permits(8);
    host.wait_for(run, RunState::Completed);
    assert_eq!(summary(&host, run).done, 40);
    assert_eq!(listed.reads.load(Ordering::SeqCst), 4);
    for item in 0..40 {
        let times = remote.keys(&format!("/patch/{item}")).len();
        assert!(if [3, 14, 25, 39].contains(&item) { times == 2 } else { times == 1 }, "{item}: {times}");
    }
    drop(node);
}

/// A reader that is slow: the kill comes while the next page is under way.
#[test]
fn a_page_that_was_under_way_at_a_kill_is_read_again_and_no_item_is_missed() {
    let (host, remote) = (Host::new(), Remote::new());
    let listed = Listed::of(0..12, 4);
    listed.gated.store(true, Ordering::SeqCst);
    let node = host.start(vec![paged(&remote, &listed, 4, DeadItems::Stop)]);
    let run = started(&host, &node);
    for page in 1..=3 {
        until(|| listed.reads.load(Ordering::SeqCst) == page);
        if page < 3 {
            listed.gate.add_permits(1);
        }
    }
    until(|| noted_done(&host, run) == 8);
    node.kill();
    let node = host.start(vec![paged(&remote, &listed, 4, DeadItems::Stop)]);
    listed.gate.add_permits(9);
    host.wait_for(run, RunState::Completed);
    assert_eq!(summary(&host, run).done, 12);
    assert!((0..12).all(|item| remote.keys(&format!("/patch/{item}")).len() == 1));
    drop(node);
}

/// 1 ends, and what it recorded goes, while 10 is under way.
#[test]
fn an_item_that_ends_takes_nothing_along_of_one_whose_key_begins_alike() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/patch/10", [Reply::Gate, Reply::Gate]);
    let called = remote.clone();
    let flow = move || {
        let remote = called.clone();
        Workflow::new("flow", move |cx: Context, _: Value| {
            let remote = remote.clone();
            async move {
                let patch = async |cx: Context, item: u64| {
                    cx.step("read", remote.post(&format!("/read/{item}"))).await?;
                    cx.step("patch", remote.post(&format!("/patch/{item}"))).await.map(drop)
                };
                cx.for_each("sync", vec![10, 1, 2, 3, 4], 2, patch).keyed(|item| *item).await
            }
        })
    };
    let node = host.start(vec![flow()]);
    let run = started(&host, &node);
    until(|| noted_done(&host, run) == 4);
    node.kill();
    let node = host.start(vec![flow()]);
    remote.gate.add_permits(2);
    host.wait_for(run, RunState::Completed);
    assert_eq!((summary(&host, run).done, remote.keys("/read/10").len()), (5, 1));
    drop(node);
}

/// Lists of which the second life gives another one.
fn listing(remote: &Arc<Remote>, list: &[u64], keyed: bool) -> Workflow {
    let (remote, list) = (remote.clone(), list.to_vec());
    Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, list) = (remote.clone(), list.clone());
        async move {
            let patch = async |cx: Context, item: u64| {
                cx.step("patch", remote.post(&format!("/patch/{item}"))).await.map(drop)
            };
            let all = cx.for_each("sync", list, 1, patch);
            if keyed { all.keyed(|item| *item).await } else { all.await }
        }
    })
}

#[test]
fn a_list_that_has_other_items_after_a_kill_parks_the_run() {
    let other: [(&[u64], bool); 3] = [(&[1, 2, 3, 4], false), (&[1, 2, 4], true), (&[1, 2, 3, 4], true)];
    for (list, keyed) in other {
        let (host, remote) = (Host::new(), Remote::new());
        remote.script("/patch/2", [Reply::Gate, Reply::Gate]);
        let node = host.start(vec![listing(&remote, &[1, 2, 3], keyed)]);
        let run = started(&host, &node);
        host.block_on("two", remote.arrival_at("/patch/2"));
        node.kill();
        let node = host.start(vec![listing(&remote, list, keyed)]);
        remote.gate.add_permits(2);
        let dead = host.wait_for(run, RunState::DeadLettered);
        assert_eq!(dead.dead_reason, Some(DeadReason::Mismatch), "{dead:?}");
        assert!(dead.summary.unwrap().contains("loop \"sync\" had 3 items when it was recorded"), "{list:?}");
        assert!(remote.keys("/patch/4").is_empty());
        drop(node);
    }
}

/// The page of the first one is open, and was read in an earlier life.
#[test]
fn a_key_that_comes_again_after_a_kill_is_left_out_while_the_page_of_the_first_one_is_open() {
    let (host, remote) = (Host::new(), Remote::new());
    let listed = Listed::of([1, 2, 3, 4, 1, 5, 6, 7], 4);
    listed.gated.store(true, Ordering::SeqCst);
    listed.gate.add_permits(1);
    remote.script("/patch/2", [Reply::Gate, Reply::Gate]);
    let node = host.start(vec![paged(&remote, &listed, 2, DeadItems::Stop)]);
    let run = started(&host, &node);
    until(|| noted_done(&host, run) == 2 && listed.reads.load(Ordering::SeqCst) == 2);
    node.kill();
    let node = host.start(vec![paged(&remote, &listed, 2, DeadItems::Stop)]);
    listed.gate.add_permits(2);
    until(|| !remote.keys("/patch/7").is_empty());
    remote.gate.add_permits(2);
    host.wait_for(run, RunState::Completed);
    assert_eq!((summary(&host, run).done, summary(&host, run).again), (7, 1));
    assert_eq!(remote.keys("/patch/1").len(), 1);
    drop(node);
}

#[test]
fn an_item_that_now_ends_without_what_it_recorded_parks_the_run() {
    let (host, remote) = (Host::new(), Remote::new());
    remote.script("/patch/0", [Reply::Gate, Reply::Gate]);
    let node = host.start(vec![looping(&remote, Look { limit: 1, ..Look::of(3) })]);
    let run = started(&host, &node);
    host.block_on("the patch", remote.arrival_at("/patch/0"));
    node.kill();
    let idle = Workflow::new("flow", |cx: Context, _: Value| async move {
        cx.for_each("sync", vec![0_u64, 1, 2], 1, async |_, _| Ok(())).keyed(|item| item + 100).await
    });
    let node = host.start_as("build-2", vec![idle], EngineOptions::default());
    let dead = host.wait_for(run, RunState::DeadLettered);
    assert_eq!(dead.dead_reason, Some(DeadReason::Mismatch), "{dead:?}");
    assert!(dead.summary.unwrap().contains("/sync/100"));
    drop(node);
}

/// A keyed list, each item one call that can be undone.
fn reversible(remote: &Arc<Remote>, reversed: bool) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move {
            let mut list: Vec<u64> = (0..10).collect();
            if reversed {
                list.reverse();
            }
            let make = async |cx: Context, item: u64| {
                let make = cx.step("make", remote.post(&format!("/make/{item}")));
                make.undo(|_| remote.post(&format!("/undo/{item}"))).await.map(drop)
            };
            cx.for_each("sync", list, 2, make).keyed(|item| *item).await
        }
    })
}

/// No entry tells of a first attempt that was under way at a kill: which items were begun is known all the same.
#[test]
fn what_was_under_way_at_a_kill_is_undone_though_the_list_comes_in_another_order() {
    let (host, remote) = (Host::new(), Remote::new());
    for item in [4, 5] {
        remote.script(&format!("/make/{item}"), [Reply::Gate, Reply::Gate]);
    }
    let start = |reversed| {
        let recall: Arc<dyn Recall> = Arc::new(Again(remote.clone()));
        let options = EngineOptions { recall: Some(recall), ..EngineOptions::default() };
        host.start_as("build-1", vec![reversible(&remote, reversed)], options)
    };
    let node = start(false);
    let run = started(&host, &node);
    until(|| remote.sent().len() == 4 + 2);
    node.kill();
    let node = start(true);
    until(|| remote.sent().len() == 6 + 2);
    let again: BTreeSet<_> = remote.sent().split_off(6).into_iter().map(|(path, _)| path).collect();
    assert_eq!(again, ["/make/4", "/make/5"].map(String::from).into());
    assert_eq!(host.block_on("the cancel", node.engine.cancel(run, "not wanted")).unwrap(), Cancel::Undoing);
    assert_eq!(host.end(run).state, RunState::Cancelled);
    for item in 0..10 {
        let [made, undone] = ["make", "undo"].map(|what| remote.keys(&format!("/{what}/{item}")).len());
        assert_eq!(usize::from(made > 0), undone, "{item} was made {made} times");
    }
}
