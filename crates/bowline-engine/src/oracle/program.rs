//! Random programs: what a workflow's author could write with steps, `best_effort`, joins, selects, loops, drawn values,
//! sleeps, signals, children, counters, `all` and `race`; and their interpreter, an ordinary workflow.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use bowline_model::{BoxFuture, Family, Result, RetryPolicy, WorkflowName};
use bowline_store::{Ask, StateAsk, StateOp};
use futures_util::{
    future::{join_all, try_join_all},
    stream::{FuturesUnordered, StreamExt},
};
use rand::{RngExt, rngs::StdRng};

use super::world::{Observed, SimCall, World};
use crate::{Context, Startable};

/// A program.
#[derive(Debug)]
pub(super) struct Program {
    root: Node,
}

#[derive(Debug)]
enum Node {
    Step(StepNode),
    /// A failure becomes a value: the code goes on.
    BestEffort(StepNode),
    Now,
    Random,
    Seq(Vec<Node>),
    /// Waits for all; the first error counts.
    Join(Vec<Node>),
    /// Drops the others at the first error.
    TryJoin(Vec<Node>),
    /// Takes results as they come.
    Unordered(Vec<Node>),
    /// The first to end wins, the others are dropped. Polled in this order.
    Select(Vec<Node>),
    /// The same, polled in another order in every poll: branches are steps of distinct names.
    RandomSelect(Vec<StepNode>),
    /// Steps of one name, told apart by a key.
    Loop {
        name: String,
        keys: Vec<u32>,
        at_once: bool,
    },
    /// Which way depends on what was observed before.
    Branch(Box<Node>, Box<Node>),
    Sleep {
        secs: u64,
    },
    /// A signal of a name that others may wait for too.
    Signal {
        name: &'static str,
        timeout_secs: Option<u64>,
    },
    Child {
        name: String,
    },
    /// Adds one to a counter of the store.
    Count {
        key: &'static str,
    },
    /// Branches with scopes of their own; waits for all.
    All(Vec<Node>),
    /// The same; the first to end wins.
    Race(Vec<Node>),
}

#[derive(Debug)]
struct StepNode {
    name: String,
    attempts_max: u32,
    timeout_secs: Option<u64>,
}

/// Few, so that several waits are for one of them.
const SIGNALS: [&str; 2] = ["paid", "packed"];

struct Generator<'r> {
    rng: &'r mut StdRng,
    names: u32,
}

impl Program {
    pub(super) fn random(rng: &mut StdRng) -> Self {
        let mut generator = Generator { rng, names: 0 };
        let parts = generator.rng.random_range(1..4);
        Self { root: Node::Seq((0..parts).map(|_| generator.node(3)).collect()) }
    }

    /// Runs the program as a workflow's code.
    pub(super) fn run(self: Arc<Self>, cx: Context, world: Arc<World>) -> BoxFuture<'static, Result<u64>> {
        Box::pin(async move { Interpreter { cx: &cx, world: &world }.run(&self.root).await })
    }
}

impl Generator<'_> {
    fn node(&mut self, depth: u32) -> Node {
        let kinds = if depth == 0 { 8 } else { 21 };
        match self.rng.random_range(0..kinds) {
            4 => Node::Sleep { secs: self.rng.random_range(1..90) },
            5 => Node::Signal {
                name: SIGNALS[self.rng.random_range(0..SIGNALS.len())],
                timeout_secs: self.rng.random::<bool>().then(|| self.rng.random_range(1..90)),
            },
            6 => Node::Child { name: ["ship", "bill"][self.rng.random_range(0..2)].into() },
            7 => Node::Count { key: ["n", "m"][self.rng.random_range(0..2)] },
            8 | 9 => Node::All(self.nodes(depth)),
            10 => Node::Race(self.nodes(depth)),
            // Something slow, and the patience of who waits for it.
            18 | 19 => Node::Race(vec![
                Node::Step(self.unique_step()),
                Node::Signal { name: SIGNALS[0], timeout_secs: Some(self.rng.random_range(1..20)) },
            ]),
            0 | 1 => Node::Step(self.step()),
            2 => Node::BestEffort(self.step()),
            3 => {
                if self.rng.random() {
                    Node::Now
                } else {
                    Node::Random
                }
            }
            11 => Node::Seq(self.nodes(depth)),
            12 => Node::Join(self.nodes(depth)),
            13 => Node::TryJoin(self.nodes(depth)),
            14 => Node::Unordered(self.nodes(depth)),
            15 => Node::Select(self.nodes(depth)),
            16 => Node::RandomSelect((0..3).map(|_| self.unique_step()).collect()),
            17 => {
                let keys = (0..self.rng.random_range(1..4)).collect();
                Node::Loop { name: self.unique_name(), keys, at_once: self.rng.random() }
            }
            _ => Node::Branch(Box::new(self.node(depth - 1)), Box::new(self.node(depth - 1))),
        }
    }

    fn nodes(&mut self, depth: u32) -> Vec<Node> {
        (0..self.rng.random_range(1..4)).map(|_| self.node(depth - 1)).collect()
    }

    /// Often a name that other steps have too: told apart by their order.
    fn step(&mut self) -> StepNode {
        let name = match self.rng.random_range(0..5) {
            0..3 => ["a", "b"][self.rng.random_range(0..2)].to_owned(),
            _ => self.unique_name(),
        };
        StepNode { name, ..self.unique_step() }
    }

    fn unique_step(&mut self) -> StepNode {
        StepNode {
            name: self.unique_name(),
            attempts_max: self.rng.random_range(1..4),
            timeout_secs: (self.rng.random_range(0..8) == 0).then_some(20),
        }
    }

    fn unique_name(&mut self) -> String {
        self.names += 1;
        format!("u{}", self.names)
    }
}

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
            Node::Loop { name, keys, at_once } => Box::pin(self.items(name, keys, *at_once)),
            Node::Branch(even, odd) => Box::pin(async move {
                let way = self.drawn("random", self.cx.random());
                self.run(if way.is_multiple_of(2) { even } else { odd }).await
            }),
            Node::Sleep { secs } => Box::pin(async move {
                self.cx.sleep(Duration::from_secs(*secs)).await;
                self.world.observe(Observed::Slept);
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
        }
    }

    async fn items(&'a self, name: &'a str, keys: &'a [u32], at_once: bool) -> Result<u64> {
        let step = |key: &u32| {
            let key = *key;
            async move {
                let step = StepNode { name: name.to_owned(), attempts_max: 2, timeout_secs: None };
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
                self.world.observe(Observed::TimedOut);
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
        self.world.observe(match &result {
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
        let mut made = self.cx.step(&step.name, SimCall::new(self.world.clone(), &step.name)).retry(policy);
        if let Some(secs) = step.timeout_secs {
            made = made.timeout(Duration::from_secs(secs));
        }
        if let Some(key) = key {
            made = made.key(key);
        }
        self.seen(made.await)
    }

    fn drawn(&self, what: &str, value: u64) -> u64 {
        self.world.observe(Observed::Drawn(what.to_owned(), value));
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
