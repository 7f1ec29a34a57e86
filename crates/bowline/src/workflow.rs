//! A workflow as an app declares it: a name and a method.

use std::{any::TypeId, fmt, marker::PhantomData, sync::Arc};

use bowline_engine::{Asynchronous, Context, Fallible, Input, Output};
use bowline_model::WorkflowName;

type Bind<S> = dyn Fn(Arc<S>) -> bowline_engine::Workflow + Send + Sync;

/// A workflow of an app whose systems are `S`: it takes an `I` and yields an `O`. Made by [`workflow`].
pub struct Workflow<S, I, O> {
    declared: Declared<S>,
    types: PhantomData<fn(I) -> O>,
}

impl<S, I, O> Clone for Workflow<S, I, O> {
    fn clone(&self) -> Self {
        Self { declared: self.declared.clone(), types: PhantomData }
    }
}

/// A workflow as the app keeps it, whatever it takes and yields.
pub(crate) struct Declared<S> {
    name: WorkflowName,
    concurrency_max: Option<usize>,
    code: TypeId,
    bind: Arc<Bind<S>>,
}

impl<S> Clone for Declared<S> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            concurrency_max: self.concurrency_max,
            code: self.code,
            bind: self.bind.clone(),
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
        code: TypeId::of::<F>(),
        bind: Arc::new(bind),
    };
    Workflow { declared, types: PhantomData }
}

impl<S, I, O> Workflow<S, I, O> {
    /// At most this many runs of it at a time; the others wait on disk, the older first. Without it only the
    /// engine's own limit counts.
    pub fn concurrency(mut self, runs_max: usize) -> Self {
        self.declared.concurrency_max = Some(runs_max);
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

impl<S> Declared<S> {
    pub(crate) fn name(&self) -> &WorkflowName {
        &self.name
    }

    /// Whether both run the same function.
    pub(crate) fn has_code_of(&self, other: &Self) -> bool {
        self.code == other.code
    }

    /// Whether both are clones of one declaration.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bind, &other.bind) && self.concurrency_max == other.concurrency_max
    }

    pub(crate) fn bind(&self, systems: Arc<S>) -> bowline_engine::Workflow {
        let workflow = (self.bind)(systems);
        match self.concurrency_max {
            Some(runs_max) => workflow.concurrency(runs_max),
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
