//! What an operator's retry of dead items begins, and when.

use super::*;

/// How many items are at work, and how many there ever were at once.
#[derive(Default)]
struct AtWork {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Working<'a>(&'a AtWork);

impl AtWork {
    fn begin(&self) -> Working<'_> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Working(self)
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Where the items of a loop come from.
#[derive(Clone, Copy)]
enum Over {
    List,
    Pages,
}

const ITEMS: u64 = 200;
const LIMIT: usize = 4;

fn counted(remote: &Arc<Remote>, at_work: &Arc<AtWork>, over: Over) -> Workflow {
    let (remote, at_work) = (remote.clone(), at_work.clone());
    Workflow::new("flow", move |cx: Context, _: Value| {
        let (remote, at_work) = (remote.clone(), at_work.clone());
        async move {
            let item = async |cx: Context, item: u64| {
                let _working = at_work.begin();
                cx.step("read", remote.post(&format!("/read/{item}"))).await?;
                let call = remote.post(&format!("/patch/{item}"));
                cx.step("patch", call).retry(RetryPolicy::never()).await.map(drop)
            };
            match over {
                Over::List => {
                    let items: Vec<u64> = (0..ITEMS).collect();
                    cx.for_each("sync", items, LIMIT, item).on_dead(DeadItems::Skip).await
                }
                Over::Pages => {
                    let pages = Listed::of(0..ITEMS, 20);
                    let looped = cx.for_each("sync", pages, LIMIT, item).keyed(|item| *item);
                    looped.on_dead(DeadItems::Skip).await
                }
            }
        }
    })
}

/// Three of four items die; the retry is killed once in the middle.
fn a_retry_of_many(over: Over) {
    let (host, remote, at_work) = (Host::new(), Remote::new(), Arc::<AtWork>::default());
    let dies = |item: &u64| !item.is_multiple_of(4);
    for item in (0..ITEMS).filter(dies) {
        let replies = [Reply::Refused].into_iter().chain(std::iter::repeat_n(Reply::Gate, 3));
        remote.script(&format!("/patch/{item}"), replies);
    }
    let mut node = host.start(vec![counted(&remote, &at_work, over)]);
    let run = started(&host, &node);
    let dead = host.wait_for(run, RunState::DeadLettered);
    assert!(dead.summary.unwrap().starts_with("150 of 200 items"));

    let before = remote.sent().len();
    host.retry(&node, run);
    remote.gate.add_permits(60);
    until(|| remote.sent().len() >= before + 60 + LIMIT);
    host.let_another_pass(&node);
    assert_eq!(remote.sent().len(), before + 60 + LIMIT, "begun although {LIMIT} are under way");
    let paths: Vec<String> = remote.sent().split_off(before).into_iter().map(|(path, _)| path).collect();
    let in_order: Vec<String> = (0..ITEMS).filter(dies).map(|item| format!("/patch/{item}")).collect();
    for (at, path) in paths.iter().enumerate() {
        let place = in_order.iter().position(|other| other == path).unwrap();
        assert!(place.abs_diff(at) <= 2 * LIMIT, "{path} is begun as number {at}");
    }
    node.kill();
    node = host.start(vec![counted(&remote, &at_work, over)]);
    remote.gate.add_permits(ITEMS as usize);
    host.wait_for(run, RunState::Completed);
    assert_eq!((summary(&host, run).done, summary(&host, run).dead), (ITEMS, 0));
    assert!(at_work.most() <= LIMIT, "{} at work at once", at_work.most());
    for item in 0..ITEMS {
        let keys: BTreeSet<_> = remote.keys(&format!("/patch/{item}")).into_iter().collect();
        assert_eq!(keys.len(), if dies(&item) { 2 } else { 1 }, "{item}: a refusal was taken back");
        assert_eq!(remote.keys(&format!("/read/{item}")).len(), 1, "{item}: what was recorded stays");
    }
    drop(node);
}

#[test]
fn a_retry_of_many_dead_items_keeps_to_the_limit_and_their_order_over_a_kill() {
    a_retry_of_many(Over::List);
}

#[test]
fn a_retry_of_many_dead_items_of_pages_that_are_gone_keeps_to_the_limit() {
    a_retry_of_many(Over::Pages);
}

/// Items of two loops, one in the other; each outer item fails while two inner ones are under way.
fn nested(remote: &Arc<Remote>, inner_limit: usize) -> Workflow {
    let remote = remote.clone();
    Workflow::new("flow", move |cx: Context, _: Value| {
        let remote = remote.clone();
        async move {
            let patch = async |cx: Context, item: String| {
                cx.step("read", remote.post(&format!("/read/{item}"))).await?;
                cx.step("patch", remote.post(&format!("/patch/{item}"))).await.map(drop)
            };
            let outer = async |cx: Context, outer: u64| {
                let items: Vec<_> = (0..2).map(|inner| format!("{outer}-{inner}")).collect();
                let fails = async {
                    cx.step("hold", remote.post(&format!("/hold/{outer}"))).await?;
                    cx.step("fail", remote.post(&format!("/fail/{outer}"))).await
                };
                tokio::try_join!(cx.for_each("inner", items, inner_limit, patch), fails).map(drop)
            };
            cx.for_each("outer", vec![0, 1], 1, outer).on_dead(DeadItems::Skip).await
        }
    })
}

#[test]
fn what_was_under_way_in_a_loop_inside_an_item_that_runs_again_later_is_found_whatever_the_limit() {
    let (host, remote) = (Host::new(), Remote::new());
    for outer in 0..2 {
        remote.script(&format!("/hold/{outer}"), [Reply::Gate]);
        remote.script(&format!("/fail/{outer}"), [Reply::Refused]);
        (0..2).for_each(|inner| remote.script(&format!("/patch/{outer}-{inner}"), [Reply::Gate]));
    }
    let node = host.start(vec![nested(&remote, 2)]);
    let run = started(&host, &node);
    for outer in 0..2 {
        until(|| (0..2).all(|inner| !remote.keys(&format!("/patch/{outer}-{inner}")).is_empty()));
        remote.gate.add_permits(1);
    }
    host.wait_for(run, RunState::DeadLettered);
    node.kill();
    let node = host.start(vec![nested(&remote, 1)]);
    host.retry(&node, run);
    host.wait_for(run, RunState::Completed);
    assert_eq!((summary(&host, run).done, summary(&host, run).dead), (2, 0));
    drop(node);
}
