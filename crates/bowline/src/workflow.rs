//! A workflow as an app declares it: a name and a method.

use std::{any::TypeId, fmt, marker::PhantomData, sync::Arc, time::Duration};

use bowline_engine::{Asynchronous, Context, Fallible, Input, Output, Startable};
use bowline_model::{FlowRule, OnDead, WorkflowName};

use crate::flow::{Judge, Rules};

type Bind<S> = dyn Fn(Arc<S>) -> bowline_engine::Workflow + Send + Sync;

/// A workflow of an app whose systems are `S`: it takes an `I` and yields an `O`. Made by [`workflow`].
pub struct Workflow<S, I, O> {
    declared: Declared<S>,
    rules: Rules<I>,
    types: PhantomData<fn(I) -> O>,
}

impl<S, I, O> Clone for Workflow<S, I, O> {
    fn clone(&self) -> Self {
        Self { declared: self.declared.clone(), rules: self.rules.clone(), types: PhantomData }
    }
}

/// A workflow as the app keeps it, whatever it takes and yields.
pub(crate) struct Declared<S> {
    name: WorkflowName,
    concurrency_max: Option<usize>,
    undo_on_failure: bool,
    time_max: Option<Duration>,
    code: TypeId,
    bind: Arc<Bind<S>>,
    flow: Option<Flow>,
}

/// The rules by which a workflow's runs begin, whatever it takes.
#[derive(Clone)]
struct Flow {
    rule: Arc<dyn FlowRule>,
    problems: Vec<String>,
    is_about_several: bool,
}

impl<S> Clone for Declared<S> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            concurrency_max: self.concurrency_max,
            undo_on_failure: self.undo_on_failure,
            time_max: self.time_max,
            code: self.code,
            bind: self.bind.clone(),
            flow: self.flow.clone(),
        }
    }
}

/// Declares a workflow: `code` is an async method of the app's struct, or any function of its shape.
///
/// The shape is `async fn name(self: Arc<Self>, cx: Context, input: Input) -> Result<Output>`: the input can be read from JSON
/// (`Deserialize`) and the output written (`Serialize`), and what is held across an await can move between threads (`Send`).
///
/// `name` is what the journal and the operator call it: keep it across builds.
///
/// ```
/// use std::sync::Arc;
///
/// use bowline::prelude::*;
///
/// struct Greeter;
/// impl Greeter {
///     async fn greet(self: Arc<Self>, cx: Context, name: String) -> Result<String> {
///         cx.step("greet", async || Ok(format!("hello {name}"))).await
///     }
/// }
///
/// let greet = workflow("greet", Greeter::greet).concurrency(8);
/// ```
pub fn workflow<S, F, Fut, I, O>(name: &'static str, code: F) -> Workflow<S, I, O>
where
    S: Send + Sync + 'static,
    F: Fn(Arc<S>, Context, I) -> Fut + Send + Sync + 'static,
    Fut: Asynchronous<Yields: Fallible<Value = O>> + Send + 'static,
    I: Input,
    O: Output,
{
    let code = Arc::new(code);
    let bind = move |systems: Arc<S>| {
        let code = code.clone();
        bowline_engine::Workflow::new(name, move |cx, input: I| code(systems.clone(), cx, input))
    };
    let declared = Declared {
        name: WorkflowName::from(name),
        concurrency_max: None,
        undo_on_failure: false,
        time_max: None,
        code: TypeId::of::<F>(),
        bind: Arc::new(bind),
        flow: None,
    };
    Workflow { declared, rules: Rules::default(), types: PhantomData }
}

impl<S, I, O> Workflow<S, I, O> {
    /// At most this many runs of it at a time; the others wait on disk, the older first. Without it only the
    /// engine's own limit counts.
    pub fn concurrency(mut self, runs_max: usize) -> Self {
        self.declared.concurrency_max = Some(runs_max);
        self
    }

    /// Undoes a run that fails, instead of leaving it as it is: what its steps said with
    /// [`undo`](bowline_engine::Step::undo), newest first. It ends as cancelled, with what it failed with as its reason.
    ///
    /// # Durability
    /// That it is undone is on disk before anything is: after a crash it goes on with that, and never forward.
    pub fn undo_on_failure(mut self) -> Self {
        self.declared.undo_on_failure = true;
        self
    }

    /// Gives each run that long, counted from when its event was accepted, or from the last operator's retry. Past it the
    /// run becomes a dead letter, whatever it waits for; with [`undo_on_failure`](Self::undo_on_failure) it is undone.
    ///
    /// A run that waits for a slot or for its turn is looked at when it begins.
    pub fn deadline(mut self, longest: Duration) -> Self {
        self.declared.time_max = Some(longest);
        self
    }

    /// Its name.
    pub fn name(&self) -> &WorkflowName {
        &self.declared.name
    }

    pub(crate) fn declared(&self) -> &Declared<S> {
        &self.declared
    }

    pub(crate) fn into_declared(self) -> Declared<S> {
        self.declared
    }
}

impl<S, I: Input, O> Workflow<S, I, O> {
    /// Runs of one key go one at a time, first in, first out: `.key(|order: &Order| order.customer.clone())`. Runs of other
    /// keys are not held up. The key is this workflow's alone; see [`key_shared`](Self::key_shared).
    ///
    /// It is drawn from the input when the event is accepted, and must follow from the input alone. An input that does not
    /// fit the workflow's type has no key: its run becomes a dead letter, as malformed.
    ///
    /// # Durability
    /// The order is on disk with the event. A run that is retried, waits or is recovered after a crash keeps its place.
    pub fn key<K: ToString>(self, key: impl Fn(&I) -> K + Send + Sync + 'static) -> Self {
        self.ruled(|rules| rules.key(Arc::new(move |input| key(input).to_string())))
    }

    /// As [`key`](Self::key), in one line with the runs of all workflows that use the same name: two workflows that
    /// change the same account.
    pub fn key_shared<K: ToString>(
        self,
        name: &'static str,
        key: impl Fn(&I) -> K + Send + Sync + 'static,
    ) -> Self {
        self.ruled(|rules| rules.key_shared(name, Arc::new(move |input| key(input).to_string())))
    }

    /// Up to so many runs of a key at a time, begun in their order. Without it: one.
    pub fn key_concurrency(self, runs_max: u32) -> Self {
        self.ruled(|rules| rules.key_concurrency(runs_max))
    }

    /// Whether a dead letter holds back the runs of its key that came after it. They
    /// [go on](OnDead::Continue) unless this says [`Block`](OnDead::Block): then none of them begins before a person has
    /// retried or discarded it.
    ///
    /// Going on is the default because a dead letter needs a person, and people sleep: most keys are there so that no two
    /// runs work on one thing at once, which holds either way. Block where a later event builds on the earlier one.
    pub fn on_dead(self, on_dead: OnDead) -> Self {
        self.ruled(|rules| rules.on_dead(on_dead))
    }

    /// While a run of that key is open, another event with it starts nothing that runs: it leaves a cancelled run that
    /// names the open one. A completed or cancelled run holds nobody back, and neither does a dead letter: else a failure
    /// would swallow what comes after it. But while another run is open, a dead letter of its key is not retried.
    ///
    /// # Durability
    /// Decided in the transaction that accepts the event.
    pub fn unique<K: ToString>(self, key: impl Fn(&I) -> K + Send + Sync + 'static) -> Self {
        self.ruled(|rules| rules.unique(Arc::new(move |input| key(input).to_string())))
    }

    /// At most so many runs begin in any such time, spread over it: `.rate(60, minutes(1))` begins one a second. The
    /// others wait on disk, higher priority and then the older first. A run that has begun is free: its retries, waits and
    /// resumptions wait for nothing, and an operator's retry neither.
    ///
    /// # Durability
    /// The pace is kept in the store: a restart neither forgets it nor makes up for what was missed.
    pub fn rate(self, runs: u32, per: Duration) -> Self {
        self.ruled(|rules| rules.rate(runs, per, None))
    }

    /// As [`rate`](Self::rate), for the runs of each key by themselves.
    pub fn rate_by<K: ToString>(
        self,
        runs: u32,
        per: Duration,
        key: impl Fn(&I) -> K + Send + Sync + 'static,
    ) -> Self {
        self.ruled(|rules| rules.rate(runs, per, Some(Arc::new(move |input| key(input).to_string()))))
    }

    /// A run begins when no event of its key came for the `quiet` time. An event that comes earlier replaces the run that
    /// waits, which ends cancelled with a word on what replaced it: the last event's input counts. A run that has begun is
    /// never replaced.
    ///
    /// # Durability
    /// Decided in the transaction that accepts the event: the old run's end and the new run are on disk together.
    pub fn debounce<K: ToString>(
        self,
        quiet: Duration,
        key: impl Fn(&I) -> K + Send + Sync + 'static,
    ) -> Self {
        self.ruled(|rules| rules.debounce(quiet, Arc::new(move |input| key(input).to_string())))
    }

    /// A debounced run begins so long after the first event that it stands for, however many come.
    pub fn at_most(self, wait: Duration) -> Self {
        self.ruled(|rules| rules.at_most(wait))
    }

    /// Among runs that could be claimed, those of a higher priority go first; 0 is usual. Runs of one key keep their
    /// order.
    pub fn priority(self, priority: i16) -> Self {
        self.priority_by(move |_| priority)
    }

    /// As [`priority`](Self::priority), by the input.
    pub fn priority_by(self, priority: impl Fn(&I) -> i16 + Send + Sync + 'static) -> Self {
        self.ruled(|rules| rules.priority(Arc::new(priority)))
    }

    fn ruled(mut self, rule: impl FnOnce(&mut Rules<I>)) -> Self {
        rule(&mut self.rules);
        let problems = self.rules.problems();
        let is_about_several = self.rules.is_about_several();
        let judge = Judge { workflow: self.declared.name.clone(), rules: self.rules.clone() };
        self.declared.flow = Some(Flow { rule: Arc::new(judge), problems, is_about_several });
        self
    }
}

impl<S, I, O> Startable for Workflow<S, I, O> {
    type Input = I;
    type Output = O;

    fn workflow_name(&self) -> &WorkflowName {
        &self.declared.name
    }
}

impl<S, I: Input, O> Workflow<S, Vec<I>, O> {
    /// Takes several events together: a run begins when there are `events_max`, or `wait` after the first, and gets the
    /// inputs of all, in the order in which they came. Each event is stored and recognised by itself, and shows the run
    /// that took it. With a [`key`](Self::key), each key has a batch of its own. Events of together 16 MiB go at once.
    ///
    /// Say it first: what is said after it is about one event. An event whose input does not fit is in no batch: it is a
    /// dead letter by itself. Priority and pace are those of the first event.
    ///
    /// ```
    /// use bowline::prelude::*;
    ///
    /// struct Ledger;
    /// impl Ledger {
    ///     async fn book(self: Arc<Self>, cx: Context, amounts: Vec<u64>) -> Result<u64> {
    ///         let sum: u64 = amounts.iter().sum();
    ///         cx.step("book", async || Ok(sum)).await
    ///     }
    /// }
    ///
    /// let book = workflow("book", Ledger::book).batch(100, minutes(5));
    /// ```
    ///
    /// # Durability
    /// Which run takes an event is decided in the transaction that accepts it. The batch survives any crash.
    pub fn batch(self, events_max: u32, wait: Duration) -> Workflow<S, I, O> {
        let rules = Rules::batch(&self.rules, events_max, wait);
        Workflow { declared: self.declared, rules, types: PhantomData }.ruled(|_| {})
    }
}

impl<S> Declared<S> {
    /// What of its flow control does not go together.
    pub(crate) fn problems(&self) -> &[String] {
        self.flow.as_ref().map_or(&[], |flow| &flow.problems)
    }

    pub(crate) fn flow_rule(&self) -> Option<Arc<dyn FlowRule>> {
        self.flow.as_ref().map(|flow| flow.rule.clone())
    }

    /// Whether its flow control is about several runs, as a schedule's overlap is.
    pub(crate) fn orders_runs(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| flow.is_about_several)
    }

    pub(crate) fn name(&self) -> &WorkflowName {
        &self.name
    }

    /// Whether both run the same function.
    pub(crate) fn has_code_of(&self, other: &Self) -> bool {
        self.code == other.code
    }

    /// Whether both are clones of one declaration.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same_flow = match (&self.flow, &other.flow) {
            (Some(flow), Some(other)) => Arc::ptr_eq(&flow.rule, &other.rule),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        is_same_flow
            && Arc::ptr_eq(&self.bind, &other.bind)
            && self.concurrency_max == other.concurrency_max
            && (self.undo_on_failure, self.time_max) == (other.undo_on_failure, other.time_max)
    }

    pub(crate) fn bind(&self, systems: Arc<S>) -> bowline_engine::Workflow {
        let mut workflow = (self.bind)(systems);
        if let Some(runs_max) = self.concurrency_max {
            workflow = workflow.concurrency(runs_max);
        }
        if self.undo_on_failure {
            workflow = workflow.undo_on_failure();
        }
        if let Some(longest) = self.time_max {
            workflow = workflow.deadline(longest);
        }
        match &self.flow {
            Some(flow) => workflow.flow(flow.rule.clone()),
            None => workflow,
        }
    }
}

impl<S, I, O> fmt::Debug for Workflow<S, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.declared.fmt(f)
    }
}

impl<S> fmt::Debug for Declared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow").field("name", &self.name).finish_non_exhaustive()
    }
}
