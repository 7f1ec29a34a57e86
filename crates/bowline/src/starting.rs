//! A run that the program itself starts.

use std::{fmt, future::IntoFuture, marker::PhantomData, sync::Arc, time::Duration};

use bowline_ingress::{Receipt, VerifiedEvent, accept};
use bowline_model::{BoxFuture, WorkflowName};
use bowline_store::{Accepted, StoreError};

use crate::{node::Node, run::RunHandle, time::days};

/// For how long a second start under the same key is recognised, unless it says otherwise.
pub const START_DEDUPE_FOR: Duration = days(30);

/// A start, described; awaiting it puts the run on disk. Made by [`OpenApp::start`](crate::OpenApp::start).
#[must_use = "a start does nothing until it is awaited"]
pub struct Start<O> {
    node: Arc<Node>,
    workflow: WorkflowName,
    body: Result<Vec<u8>, StartError>,
    key: Option<String>,
    dedupe_for: Duration,
    output: PhantomData<fn() -> O>,
}

/// Why a run was not started. Nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The app does not know the workflow.
    #[error("{}", unknown_text(.workflow, *.other))]
    Unknown {
        /// Its name.
        workflow: WorkflowName,
        /// Whether another workflow has that name.
        other: bool,
    },
    /// The input cannot be written as JSON.
    #[error("the input cannot be written as JSON: {0}")]
    Input(String),
    /// The store took nothing.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The key is empty, too long, or holds a control character.
    #[error("{0}")]
    Key(String),
    /// The runtime ended meanwhile: the run may be on disk or not.
    #[error("the runtime ended while the run was being put on disk; start it again with the same key")]
    Lost,
}

fn unknown_text(workflow: &WorkflowName, other: bool) -> String {
    match other {
        true => format!(
            "another workflow of this app is called {workflow}; start that one, or rename one of them"
        ),
        false => {
            format!("this app does not know the workflow {workflow}; add .workflow(..) where it is made")
        }
    }
}

impl<O> Start<O> {
    pub(crate) fn new(node: Arc<Node>, workflow: WorkflowName, body: Result<Vec<u8>, StartError>) -> Self {
        Self { node, workflow, body, key: None, dedupe_for: START_DEDUPE_FOR, output: PhantomData }
    }

    /// Starts the workflow once for this key: a second start yields the first one's run. For [`START_DEDUPE_FOR`]
    /// unless [`dedupe_for`](Self::dedupe_for) says otherwise. At most 512 bytes.
    pub fn dedupe(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// For how long a second start under the same key is recognised.
    pub fn dedupe_for(mut self, time: Duration) -> Self {
        self.dedupe_for = time;
        self
    }

    async fn begin(self) -> Result<RunHandle<O>, StartError> {
        let (node, workflow) = (self.node, self.workflow);
        let event = VerifiedEvent::from_program(
            format!("start/{workflow}"),
            workflow.as_str(),
            self.key,
            self.body?.into(),
            node.clock.now(),
            self.dedupe_for,
        )
        .map_err(|rejection| StartError::Key(rejection.to_string()))?;
        let store = node.store.clone();
        // In a task of its own: who stops waiting leaves no run behind that nobody drives.
        let accepting = tokio::spawn(async move {
            let (store, clock) = (&*node.store, &*node.clock);
            let accepted = accept(store, clock, &node.build, &node.rules, event, vec![workflow]).await;
            if matches!(accepted, Ok(Receipt { accepted: Accepted::New { .. }, .. })) {
                node.engine.poke();
            }
            accepted
        });
        let receipt = accepting.await.map_err(|_ended| StartError::Lost)??;
        let runs = match receipt.accepted {
            Accepted::New { runs, .. } | Accepted::Duplicate { runs, .. } => runs,
        };
        let run = *runs.first().expect("an event of the program starts one run");
        Ok(RunHandle::new(run, store))
    }
}

impl<O: 'static> IntoFuture for Start<O> {
    type Output = Result<RunHandle<O>, StartError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.begin())
    }
}

impl<O> fmt::Debug for Start<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("workflow", &self.workflow)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
