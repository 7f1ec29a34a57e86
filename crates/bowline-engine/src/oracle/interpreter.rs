//! What runs a random program: an ordinary workflow, that tells the world what it observes.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use bowline_model::{BoxFuture, Error, Family, Result, RetryPolicy, WorkflowName};
use bowline_store::{Ask, StateAsk, StateOp};
use futures_util::{
    future::{join_all, try_join_all},
    stream::{FuturesUnordered, StreamExt},
};

use super::{
    program::{Doubt, LoopNode, LoopShape, Node, Over, Program, StepNode},
    remote::{SimCall, SimListing, What},
    world::{Observed, World},
};
use crate::{Context, Startable};

/// A workflow that runs in the world: it ends when and how chance wills.
struct SimWorkflow(WorkflowName);

impl Startable for SimWorkflow {
    type Input = u64;
    type Output = u64;

    fn workflow_name(&self) -> &WorkflowName {
        &self.0
    }
}

/// The store's answer to a count.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Counted {
    pub(super) value: u64,
}

impl Program {
    /// Runs the program as a workflow's code.
    pub(super) fn run(self: Arc<Self>, cx: Context, world: Arc<World>) -> BoxFuture<'static, Result<u64>> {
        Box::pin(async move { Interpreter { cx: &cx, world: &world }.run(&self.root).await })
    }
}

struct Interpreter<'a> {
    cx: &'a Context,
    world: &'a Arc<World>,
}

impl<'a> Interpreter<'a> {
    fn run(&'a self, node: &'a Node) -> BoxFuture<'a, Result<u64>> {
        match node {
            Node::Step(step) => self.step(step, None),
            Node::BestEffort(step) => Box::pin(async move { Ok(self.step(step, None).await.unwrap_or(0)) }),
            Node::Now => Box::pin(async move { Ok(self.drawn("now", self.cx.now().as_nanosecond() as u64)) }),
            Node::Random => Box::pin(async move { Ok(self.drawn("random", self.cx.random())) }),
            Node::Seq(nodes) => Box::pin(async move {
                let mut sum = 0u64;
                for node in nodes {
                    sum = mix(sum, self.run(node).await?);
                }
                Ok(sum)
            }),
            Node::Join(nodes) => Box::pin(async move {
                let all = join_all(nodes.iter().map(|node| self.run(node))).await;
                all.into_iter().try_fold(0, |sum, one| Ok(mix(sum, one?)))
            }),
            Node::TryJoin(nodes) => Box::pin(async move {
                let all = try_join_all(nodes.iter().map(|node| self.run(node))).await?;
                Ok(all.into_iter().fold(0, mix))
            }),
            Node::Unordered(nodes) => Box::pin(async move {
                let mut ended: FuturesUnordered<_> = nodes.iter().map(|node| self.run(node)).collect();
                let mut sum = 0;
                while let Some(one) = ended.next().await {
                    sum = mix(sum, one.unwrap_or(1));
                }
                Ok(sum)
            }),
            Node::Select(nodes) => {
                Box::pin(first_of(nodes.iter().map(|node| self.run(node)).collect(), || 0))
            }
            Node::RandomSelect(steps) => {
                let branches = steps.iter().map(|step| self.step(step, None)).collect();
                Box::pin(first_of(branches, || self.world.chance() as usize))
            }
            Node::Keyed { name, keys, at_once, reversible } => {
                Box::pin(self.keyed(name, keys, *at_once, *reversible))
            }
            Node::Branch(even, odd) => Box::pin(async move {
                let way = self.drawn("random", self.cx.random());
                self.run(if way.is_multiple_of(2) { even } else { odd }).await
            }),
            Node::Sleep { secs } => Box::pin(async move {
                self.cx.sleep(Duration::from_secs(*secs)).await;
                self.observe(Observed::Slept);
                Ok(*secs)
            }),
            Node::Signal { name, timeout_secs } => Box::pin(self.signal(name, *timeout_secs)),
            Node::Child { name } => Box::pin(async move {
                let child = SimWorkflow(name.as_str().into());
                self.seen(self.cx.child(&child, &1).await)
            }),
            Node::Count { key } => Box::pin(self.count(key)),
            Node::All(nodes) => Box::pin(async move {
                let all: Vec<_> = nodes.iter().map(|node| self.run(node)).collect();
                Ok(self.cx.all(all).await?.into_iter().fold(0, mix))
            }),
            Node::Race(nodes) => Box::pin(async move {
                let branches: Vec<_> = nodes.iter().map(|node| self.run(node)).collect();
                let raced = self.cx.race(branches).await;
                self.drawn("race", raced.winner as u64);
                raced.output
            }),
            Node::Unlucky => Box::pin(async move {
                let luck = self.drawn("random", self.cx.random());
                match luck.is_multiple_of(3) {
                    true => Err(Error::permanent(format!("no luck {luck}"))),
                    false => Ok(luck),
                }
            }),
            Node::ForEach(looped) => Box::pin(self.for_each(looped)),
        }
    }

    async fn for_each(&'a self, looped: &'a LoopNode) -> Result<u64> {
        let LoopShape { limit, policy, over } = &looped.shape;
        let (cx, name) = (self.cx, looped.name.as_str());
        let summary = match over {
            Over::Places(items) => {
                let items: Vec<u64> = (0..*items as u64).collect();
                cx.for_each(name, items, *limit, |cx, _| self.item(looped, cx)).on_dead(*policy).await
            }
            Over::Keys(keys) => {
                let items = self.world.shuffled(keys);
                let going = cx.for_each(name, items, *limit, |cx, _| self.item(looped, cx));
                going.keyed(|item| *item).on_dead(*policy).await
            }
            Over::Pages => {
                let pages = SimListing(self.world.clone());
                let going = cx.for_each(name, pages, *limit, |cx, _| self.item(looped, cx));
                going.keyed(|item| *item).on_dead(*policy).await
            }
        };
        self.observe(match &summary {
            Ok(summary) => Observed::Looped(summary.done, summary.dead, summary.again),
            Err(error) => Observed::Failure(error.failure().message.clone()),
        });
        summary.map(|summary| mix(mix(summary.done, summary.dead), summary.again))
    }

    /// Begins as the loop makes it, whenever it is polled.
    fn item(&'a self, looped: &'a LoopNode, cx: Context) -> BoxFuture<'a, Result<()>> {
        let scope = cx.item().clone();
        let running = self.world.begin_item(&scope);
        Box::pin(async move {
            let _running = running;
            let inside = Interpreter { cx: &cx, world: self.world };
            let result = inside.run(&looped.body).await;
            self.world.end_item(&scope, result.is_ok());
            result.map(drop)
        })
    }

    fn observe(&self, what: Observed) {
        self.world.observe(self.cx.item(), what);
    }

    async fn keyed(&'a self, name: &'a str, keys: &'a [u32], at_once: bool, reversible: bool) -> Result<u64> {
        let step = |key: &u32| {
            let key = *key;
            async move {
                let step = StepNode {
                    name: name.to_owned(),
                    attempts_max: 2,
                    timeout_secs: None,
                    reversible,
                    doubt: Doubt::Repeat,
                };
                self.one(&step, Some(key)).await
            }
        };
        let mut sum = 0;
        if at_once {
            for one in join_all(keys.iter().map(step)).await {
                sum = mix(sum, one?);
            }
        } else {
            for key in keys {
                sum = mix(sum, step(key).await?);
            }
        }
        Ok(sum)
    }

    async fn signal(&self, name: &str, timeout_secs: Option<u64>) -> Result<u64> {
        let signal = self.cx.signal::<u64>(name);
        let Some(secs) = timeout_secs else { return self.seen(signal.await) };
        match signal.timeout(Duration::from_secs(secs)).await? {
            Some(value) => self.seen(Ok(value)),
            None => {
                self.observe(Observed::TimedOut);
                Ok(3)
            }
        }
    }

    async fn count(&self, key: &str) -> Result<u64> {
        let op = StateOp::Add { by: 1, expires_at: None };
        let ask = Ask::State(StateAsk { space: "flow".into(), key: key.into(), op });
        let answer = self.cx.ask_store::<Counted>("state", Family::State, key, ask).await;
        self.seen(answer.map(|counted| counted.value))
    }

    fn seen(&self, result: Result<u64>) -> Result<u64> {
        self.observe(match &result {
            Ok(value) => Observed::Value(*value),
            Err(error) => Observed::Failure(error.failure().message.clone()),
        });
        result
    }

    fn step(&'a self, step: &'a StepNode, key: Option<u32>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.one(step, key))
    }

    async fn one(&self, step: &StepNode, key: Option<u32>) -> Result<u64> {
        let policy = RetryPolicy::default().attempts_max(step.attempts_max);
        let what = What::Step {
            name: step.name.clone(),
            reversible: step.reversible,
            keyed: step.doubt == Doubt::Repeat,
        };
        let mut made = self.cx.step(&step.name, SimCall::new(self.world.clone(), what)).retry(policy);
        if step.reversible {
            made = made.undo(|value| SimCall::new(self.world.clone(), What::Undo(*value)));
        }
        match step.doubt {
            Doubt::Repeat => {}
            Doubt::Recheck => made = made.recheck(|key| self.world.find(key, step.reversible)),
            Doubt::Once => made = made.at_most_once(),
        }
        if let Some(secs) = step.timeout_secs {
            made = made.timeout(Duration::from_secs(secs));
        }
        if let Some(key) = key {
            made = made.key(key);
        }
        self.seen(made.await)
    }

    fn drawn(&self, what: &str, value: u64) -> u64 {
        self.observe(Observed::Drawn(what.to_owned(), value));
        value
    }
}

/// The first branch to end; the others are dropped. `start` says at which branch a poll begins.
async fn first_of(mut branches: Vec<BoxFuture<'_, Result<u64>>>, start: impl Fn() -> usize) -> Result<u64> {
    poll_fn(|cx| {
        let (from, len) = (start(), branches.len());
        for at in 0..len {
            let branch: Pin<&mut _> = branches[(from + at) % len].as_mut();
            if let Poll::Ready(result) = branch.poll(cx) {
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    })
    .await
}

/// Depends on the order, so that a swap of two outcomes shows in the output.
fn mix(sum: u64, value: u64) -> u64 {
    sum.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(value).rotate_left(17)
}
