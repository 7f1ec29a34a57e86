//! What the program around an app says to its runs: signals, decisions, cancels.

use bowline_dashboard::{
    Operator,
    commands::{self, Cancelled, Told},
};
use bowline_model::{RunId, approval::Decision};
use serde::Serialize;

use crate::OpenApp;

/// Why something that was said to a run was not taken; nothing was written.
pub type TellError = commands::Error;

impl<S: Send + Sync + 'static> OpenApp<S> {
    /// Sends a signal to an open run: the wait for that name that it is in, or its next one, gets the value.
    ///
    /// ```no_run
    /// # async fn told(app: bowline::OpenApp<()>, run: bowline::RunId) -> Result<(), bowline::TellError> {
    /// app.signal(run, "paid", &serde_json::json!({"amount": 900})).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Durability
    /// On `Ok` it is on disk. After a crash before that it may be, or not: [`signal_once`](Self::signal_once) can be said
    /// again.
    ///
    /// # Errors
    /// If there is no such run, it has ended or no longer waits for that, or has too many messages that it has not read;
    /// if the value has no JSON form or more than 1 MiB; if the store does not answer.
    pub async fn signal(&self, run: RunId, name: &str, value: &impl Serialize) -> Result<Told, TellError> {
        self.say(run, name, None, value).await
    }

    /// As [`signal`](Self::signal), with an id: of those with the same one the first is kept.
    ///
    /// # Durability
    /// As [`signal`](Self::signal); after a lost answer say it again under the same id.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub async fn signal_once(
        &self,
        run: RunId,
        name: &str,
        id: impl Into<String>,
        value: &impl Serialize,
    ) -> Result<Told, TellError> {
        self.say(run, name, Some(id.into()), value).await
    }

    async fn say(
        &self,
        run: RunId,
        name: &str,
        id: Option<String>,
        value: &impl Serialize,
    ) -> Result<Told, TellError> {
        let body = serde_json::to_vec(value).map_err(|error| TellError::no_json(&error))?;
        self.commands().signal(run, name, id, body).await
    }

    /// Answers an approval for which a run waits: the one of that name, or the only one.
    ///
    /// # Durability
    /// On `Ok` the decision is on disk, and there is no other one.
    ///
    /// # Errors
    /// If the run waits for no such approval, it was answered or timed out, or the decision does not fit the question.
    pub async fn decide(
        &self,
        run: RunId,
        approval: Option<&str>,
        decision: Decision,
    ) -> Result<Told, TellError> {
        self.commands().decide(run, approval, decision).await
    }

    /// Ends an open run and the children that it waits for; `why` becomes its summary.
    ///
    /// # Durability
    /// On `Ok` they are cancelled on disk. Works again after a crash in between.
    ///
    /// # Errors
    /// If the run is not there or has ended, or cannot be cancelled now.
    pub async fn cancel(&self, run: RunId, why: impl Into<String>) -> Result<Cancelled, TellError> {
        let operator = Operator { who: Some("the program".to_owned()), why: Some(why.into()) };
        self.commands().cancel(run, &operator).await
    }
}
