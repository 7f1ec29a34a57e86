//! Random programs: what a workflow's author could write with steps, undos, `best_effort`, joins, selects, drawn values,
//! sleeps, signals, children, counters, `all`, `race` and loops over lists and pages.

use std::collections::BTreeMap;

use rand::{RngExt, rngs::StdRng};

use crate::loops::DeadItems;

/// A program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) root: Node,
    /// Whether the run is undone when it fails.
    pub(super) undo_on_failure: bool,
    /// Whether keyed lists come in another order in every life.
    pub(super) shuffles: bool,
    /// Its loops, by their names.
    pub(super) loops: BTreeMap<String, LoopShape>,
}

/// What is known of a loop before it runs.
#[derive(Debug, Clone)]
pub(super) struct LoopShape {
    pub(super) limit: usize,
    pub(super) policy: DeadItems,
    pub(super) over: Over,
}

/// What a loop goes over.
#[derive(Debug, Clone)]
pub(super) enum Over {
    /// Items that their places tell apart.
    Places(usize),
    /// Items that are keys. Some come twice.
    Keys(Vec<u64>),
    /// Pages of a remote that lists what it has in that moment.
    Pages,
}

#[derive(Debug)]
pub(super) enum Node {
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
    Keyed {
        name: String,
        keys: Vec<u32>,
        at_once: bool,
        reversible: bool,
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
    /// Fails one time in three.
    Unlucky,
    ForEach(LoopNode),
}

#[derive(Debug)]
pub(super) struct StepNode {
    pub(super) name: String,
    pub(super) attempts_max: u32,
    pub(super) timeout_secs: Option<u64>,
    /// Whether something undoes it.
    pub(super) reversible: bool,
    pub(super) doubt: Doubt,
}

/// What a step says of an attempt whose outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The remote knows its key: it is sent again.
    Repeat,
    /// The remote knows no keys, and can be asked.
    Recheck,
    /// The remote knows no keys, and a person is asked.
    Once,
}

#[derive(Debug)]
pub(super) struct LoopNode {
    /// No other loop has it.
    pub(super) name: String,
    pub(super) shape: LoopShape,
    pub(super) body: Box<Node>,
}

/// Few, so that several waits are for one of them.
const SIGNALS: [&str; 2] = ["paid", "packed"];

/// What the names of loops begin with, and those of nothing else.
pub(super) const LOOP: &str = "loop";

struct Generator<'r> {
    rng: &'r mut StdRng,
    names: u32,
    /// Draws what steps say of doubt, where they say anything.
    doubts: Option<StdRng>,
    loops: BTreeMap<String, LoopShape>,
}

impl Program {
    /// With `doubts` the remote of some steps knows no keys.
    pub(super) fn random(rng: &mut StdRng, doubts: Option<StdRng>) -> Self {
        let shuffles = rng.random_range(0..4) == 0;
        let mut generator = Generator { rng, names: 0, doubts, loops: BTreeMap::new() };
        let parts = generator.rng.random_range(1..4);
        let root = Node::Seq((0..parts).map(|_| generator.node(3)).collect());
        let undo_on_failure = generator.rng.random_range(0..3) == 0;
        Self { root, undo_on_failure, shuffles, loops: generator.loops }
    }
}

impl Generator<'_> {
    fn node(&mut self, depth: u32) -> Node {
        let kinds = if depth == 0 { 9 } else { 25 };
        match self.rng.random_range(0..kinds) {
            4 => Node::Sleep { secs: self.rng.random_range(1..90) },
            5 => Node::Signal {
                name: SIGNALS[self.rng.random_range(0..SIGNALS.len())],
                timeout_secs: self.rng.random::<bool>().then(|| self.rng.random_range(1..90)),
            },
            6 => Node::Child { name: ["ship", "bill"][self.rng.random_range(0..2)].into() },
            7 => Node::Count { key: ["n", "m"][self.rng.random_range(0..2)] },
            8 => match self.rng.random_range(0..3) {
                0 => Node::Unlucky,
                _ => Node::Step(self.step()),
            },
            9 => Node::All(self.nodes(depth)),
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
                let (name, at_once) = (self.unique_name(), self.rng.random());
                Node::Keyed { name, keys, at_once, reversible: self.rng.random() }
            }
            20..24 => Node::ForEach(self.for_each(depth)),
            _ => Node::Branch(Box::new(self.node(depth - 1)), Box::new(self.node(depth - 1))),
        }
    }

    fn for_each(&mut self, depth: u32) -> LoopNode {
        self.names += 1;
        let name = format!("{LOOP}{}", self.names);
        let over = match self.rng.random_range(0..3) {
            0 => Over::Places(self.rng.random_range(0..6)),
            1 => {
                let items = self.rng.random_range(0..7);
                Over::Keys((0..items).map(|_| self.rng.random_range(0..12)).collect())
            }
            _ => Over::Pages,
        };
        let policy = match self.rng.random_range(0..4) {
            0 => DeadItems::Stop,
            1 => DeadItems::UpTo(self.rng.random_range(0..3)),
            _ => DeadItems::Skip,
        };
        let shape = LoopShape { limit: self.rng.random_range(1..4), policy, over };
        self.loops.insert(name.clone(), shape.clone());
        let body = Box::new(Node::Seq(self.nodes(depth.min(2))));
        LoopNode { name, shape, body }
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
            reversible: self.rng.random_range(0..3) == 0,
            doubt: match self.doubts.as_mut().map_or(0, |rng| rng.random_range(0..5)) {
                1 | 2 => Doubt::Recheck,
                3 => Doubt::Once,
                _ => Doubt::Repeat,
            },
        }
    }

    fn unique_name(&mut self) -> String {
        self.names += 1;
        format!("u{}", self.names)
    }
}
