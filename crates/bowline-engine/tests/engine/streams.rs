//! Loops over streams: chunks, crashes, streams that change or break off.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context as Polled, Poll},
};

use bowline_engine::{
    Context, Workflow,
    loops::{DeadItems, Summary, stream, stream_from},
};
use bowline_model::{DeadReason, EntryKind, Error, Result, RetryPolicy, RunId, RunState};
use futures_util::Stream;
use serde_json::Value;

use crate::{
    node::{Host, Node, until},
    remote::{Remote, Reply},
};

/// Items that can be read from any place, a few at a time, and can change.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    items: Vec<Found>,
    /// How many arrive together.
    burst: usize,
    /// At which places it was opened.
    opened: Vec<u64>,
    /// How many items were handed out.
    read: usize,
}

#[derive(Clone, Copy)]
enum Found {
    Item(u64),
    /// The connection breaks, once.
    Breaks,
    Unreadable,
}

impl Tape {
    fn of(items: impl IntoIterator<Item = u64>) -> Self {
        let items = items.into_iter().map(Found::Item).collect();
        Self(Arc::new(Mutex::new(Inner { items, burst: 7, ..Inner::default() })))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Found>)) {
        change(&mut self.0.lock().unwrap().items);
    }

    fn opened(&self) -> Vec<u64> {
        self.0.lock().unwrap().opened.clone()
    }

    fn open(&self, at: u64) -> Playing {
        self.0.lock().unwrap().opened.push(at);
        Playing { tape: self.clone(), at: at as usize, since_pause: 0 }
    }
}

/// Pauses after each burst, as a connection does.
struct Playing {
    tape: Tape,
    at: usize,
    since_pause: usize,
}

impl Stream for Playing {
    type Item = Result<u64>;

    fn poll_next(mut self: Pin<&mut Self>, polled: &mut Polled<'_>) -> Poll<Option<Result<u64>>> {
        let tape = self.tape.clone();
        let mut inner = tape.0.lock().unwrap();
        if self.since_pause == inner.burst {
            self.since_pause = 0;
            polled.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.since_pause += 1;
        let at = self.at;
        match inner.items.get(at).copied() {
            None => Poll::Ready(None),
            Some(Found::Item(item)) => {
                inner.read += 1;
                self.at += 1;
                Poll::Ready(Some(Ok(item)))
            }
            Some(Found::Breaks) => {
                inner.items.remove(at);
                Poll::Ready(Some(Err(Error::retryable("the connection broke"))))
            }
            Some(Found::Unreadable) => Poll::Ready(Some(Err(Error::permanent("line 31 is no number")))),
        }
    }
}

/// One call for each item of a stream that can begin anywhere.
fn played(remote: &Arc<Remote>, tape: &Tape, policy: DeadItems) -> Workflow {
    let (remote, tape) = (remote.clone(), tape.clone());
    Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, tape) = (remote.clone(), tape.clone());
        async move {
            let items = stream_from(async |place| Ok(tape.open(place)));
            cx.for_each("sync", items, 4, async |cx, item| {
                let call = remote.post(&format!("/patch/{item}"));
                cx.step("patch", call).retry(RetryPolicy::never()).await.map(drop)
            })
            .keyed(|item| *item)
            .on_dead(policy)
            .await
        }
    })
}

/// The same over a stream that always begins at its beginning.
fn rewound(remote: &Arc<Remote>, tape: &Tape) -> Workflow {
    let (remote, tape) = (remote.clone(), tape.clone());
    Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, tape) = (remote.clone(), tape.clone());
        async move {
            cx.for_each("sync", stream(async || Ok(tape.open(0))), 4, async |cx, item| {
                cx.step("patch", remote.post(&format!("/patch/{item}"))).await.map(drop)
            })
            .keyed(|item| *item)
            .await
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

fn each_under_one_key(remote: &Remote, items: impl IntoIterator<Item = u64>) {
    for item in items {
        let keys: BTreeSet<_> = remote.keys(&format!("/patch/{item}")).into_iter().collect();
        assert_eq!(keys.len(), 1, "{item}");
    }
}

#[test]
fn a_stream_is_opened_once_and_read_no_faster_than_the_loop_works() {
    let (host, remote, tape) = (Host::new(), Remote::new(), Tape::of(0..1_000));
    remote.script("/patch/500", [Reply::Gate]);
    let node = host.start(vec![played(&remote, &tape, DeadItems::Stop)]);
    let run = started(&host, &node);
    host.block_on("the middle", remote.arrival_at("/patch/500"));
    host.let_another_pass(&node);
    let read = tape.0.lock().unwrap().read;
    assert!((500..520).contains(&read), "{read} were read ahead");
    let journal = host.journal(run);
    assert!(journal.len() < 25, "chunks and items that ended are gone: {journal:#?}");
    remote.gate.add_permits(1);
    host.wait_for(run, RunState::Completed);
    assert_eq!(summary(&host, run).done, 1_000);
    assert_eq!(tape.opened(), [0]);
    each_under_one_key(&remote, 0..1_000);
    assert_eq!(host.kinds(run), [EntryKind::Looped, EntryKind::Completed]);
    drop(node);
}

/// Kills the process three times; the stream is then found again by counting.
fn goes_on_after_kills(build: impl Fn(&Arc<Remote>, &Tape) -> Workflow) -> Vec<u64> {
    let (host, remote, tape) = (Host::new(), Remote::new(), Tape::of(0..95));
    for item in [3, 38, 93] {
        remote.script(&format!("/patch/{item}"), std::iter::repeat_n(Reply::Gate, 4));
    }
    let mut node = host.start(vec![build(&remote, &tape)]);
    let run = started(&host, &node);
    for item in [3, 38, 93] {
        until(|| !remote.keys(&format!("/patch/{item}")).is_empty());
        host.wait(run, "further than at its last crash", |run| run.crashes == 0);
        node.kill();
        remote.gate.add_permits(if item == 93 { 10 } else { 1 });
        node = host.start(vec![build(&remote, &tape)]);
    }
    host.wait_for(run, RunState::Completed);
    assert_eq!(summary(&host, run).done, 95);
    each_under_one_key(&remote, 0..95);
    drop(node);
    tape.opened()
}

#[test]
fn after_a_kill_a_stream_goes_on_at_the_item_before_its_place() {
    let opened = goes_on_after_kills(|remote, tape| played(remote, tape, DeadItems::Stop));
    assert_eq!(opened[0], 0);
    assert!(opened.len() <= 4, "{opened:?}");
    assert!(opened.is_sorted_by(|before, after| before < after), "it went back: {opened:?}");
}

#[test]
fn after_a_kill_a_stream_that_begins_at_its_beginning_is_passed_over_to_its_place() {
    let opened = goes_on_after_kills(rewound);
    assert!((2..=4).contains(&opened.len()), "{opened:?}");
}

/// Kills a run that has read 21 items of its stream, and changes that before the run goes on.
fn changed_under_way(change: impl FnOnce(&mut Vec<Found>)) -> (Host, Arc<Remote>, Tape, Node, RunId) {
    let (host, remote, tape) = (Host::new(), Remote::new(), Tape::of(0..40));
    for item in 10..14 {
        remote.script(&format!("/patch/{item}"), [Reply::Gate, Reply::Gate]);
    }
    let node = host.start(vec![played(&remote, &tape, DeadItems::Stop)]);
    let run = started(&host, &node);
    until(|| (10..14).all(|item| !remote.keys(&format!("/patch/{item}")).is_empty()));
    host.let_another_pass(&node);
    node.kill();
    tape.change(change);
    remote.gate.add_permits(8);
    let node = host.start(vec![played(&remote, &tape, DeadItems::Stop)]);
    (host, remote, tape, node, run)
}

#[test]
fn a_stream_that_changed_before_its_place_fails_the_run_and_a_retry_looks_again() {
    let (host, remote, tape, node, run) = changed_under_way(|items| {
        items.remove(2);
    });
    let dead = host.wait_for(run, RunState::DeadLettered);
    let why = dead.summary.unwrap();
    assert!(why.contains("item 21, the last that was read, was 20, and is now 21"), "{why}");
    assert_eq!(dead.dead_reason, Some(DeadReason::Failed));
    assert!(remote.keys("/patch/21").is_empty(), "nothing is guessed");
    tape.change(|items| items.insert(2, Found::Item(2)));
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    assert_eq!(summary(&host, run).done, 40);
    each_under_one_key(&remote, 0..40);
}

#[test]
fn a_stream_that_became_shorter_than_what_was_read_fails_the_run() {
    let (host, _remote, _tape, _node, run) = changed_under_way(|items| items.truncate(10));
    let dead = host.wait_for(run, RunState::DeadLettered);
    let why = dead.summary.unwrap();
    assert!(why.contains("item 21, the last that was read, was 20, and is gone"), "{why}");
}

#[test]
fn a_stream_may_change_after_its_place() {
    let (host, remote, _tape, _node, run) = changed_under_way(|items| {
        items[21..].reverse();
        items.truncate(27);
    });
    host.wait_for(run, RunState::Completed);
    let expected: BTreeSet<u64> = (0..21).chain(34..40).collect();
    each_under_one_key(&remote, expected);
}

#[test]
fn a_connection_that_breaks_is_opened_again_and_no_item_is_missed_or_comes_twice() {
    let (host, remote, tape) = (Host::new(), Remote::new(), Tape::of(0..60));
    tape.change(|items| {
        items.insert(59, Found::Breaks);
        items.insert(30, Found::Breaks);
        items.insert(0, Found::Breaks);
    });
    let node = host.start(vec![rewound(&remote, &tape)]);
    let run = started(&host, &node);
    while host.run(run).state != RunState::Completed {
        host.clock.advance(std::time::Duration::from_secs(1));
        host.let_another_pass(&node);
    }
    assert_eq!(summary(&host, run).done, 60);
    each_under_one_key(&remote, 0..60);
    assert!((0..60).all(|item| remote.keys(&format!("/patch/{item}")).len() == 1), "and once");
}

#[test]
fn an_item_that_cannot_be_read_fails_the_loop_after_those_before_it() {
    let (host, remote, tape) = (Host::new(), Remote::new(), Tape::of(0..60));
    tape.change(|items| items[30] = Found::Unreadable);
    let node = host.start(vec![played(&remote, &tape, DeadItems::Skip)]);
    let run = started(&host, &node);
    let dead = host.wait_for(run, RunState::DeadLettered);
    assert!(dead.summary.unwrap().contains("line 31 is no number"));
    each_under_one_key(&remote, 0..30);
    tape.change(|items| items[30] = Found::Item(30));
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    each_under_one_key(&remote, 0..60);
}

#[test]
fn dead_items_of_a_stream_run_again_though_the_stream_is_gone() {
    let (host, remote, tape) = (Host::new(), Remote::new(), Tape::of(0..30));
    for item in [3, 29] {
        remote.script(&format!("/patch/{item}"), [Reply::Refused]);
    }
    let node = host.start(vec![played(&remote, &tape, DeadItems::Skip)]);
    let run = started(&host, &node);
    host.wait_for(run, RunState::DeadLettered);
    tape.change(Vec::clear);
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    assert_eq!(summary(&host, run).done, 30);
    assert_eq!(tape.opened(), [0]);
}
