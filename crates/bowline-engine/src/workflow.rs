//! Workflows as the engine knows them: a name, limits, and code that starts with an event's input.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bowline_model::{
    Error, Event, Failure, FlowRule, FlowRules, Payload, Unruled, WorkflowName, event::InputError,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::{
    Context,
    action::{Asynchronous, Fallible},
    child::CONTINUES,
    machine::Code,
};

/// What a workflow can be started with: every owned type that can be read from JSON.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the input of a workflow: it is no owned type that can be read from JSON",
    label = "the input of this workflow cannot be read from an event",
    note = "an input is read from the event's JSON, again after a crash, and belongs to the run: derive it, as in \
            `#[derive(Deserialize)] struct Payment {{ .. }}`, and take it by value"
)]
pub trait Input: DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned + Send + 'static> Input for T {}

/// What a workflow can yield: every type that can be written as JSON.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the output of a workflow",
    label = "what this workflow yields cannot be recorded",
    note = "an output is recorded as JSON: derive it, as in `#[derive(Serialize)] struct Summary {{ .. }}`; a workflow \
            that yields nothing returns `Result<()>`"
)]
pub trait Output: Serialize + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + 'static> Output for T {}

type Start = dyn Fn(Context, &RawValue) -> std::result::Result<Code, Failure> + Send + Sync;

/// A workflow, ready to run.
#[derive(Clone)]
pub struct Workflow {
    name: WorkflowName,
    concurrency_max: Option<usize>,
    undo_on_failure: bool,
    time_max: Option<Duration>,
    rule: Option<Arc<dyn FlowRule>>,
    start: Arc<Start>,
}

impl Workflow {
    /// A workflow of that name. `code` is called with each run's context and input.
    ///
    /// Input and output are JSON; an input that does not fit `I` makes the run a dead letter, as malformed.
    pub fn new<I, O, Fut>(
        name: impl Into<Arc<str>>,
        code: impl Fn(Context, I) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        I: Input,
        O: Output,
        Fut: Asynchronous<Yields: Fallible<Value = O>> + Send + 'static,
    {
        let start = move |cx, input: &RawValue| {
            let input: I = read(input).map_err(|error| malformed::<I>(&error))?;
            let output = code(cx, input);
            let code: Code = Box::pin(async move {
                Payload::encode(&output.await.into_result()?).map_err(|error| {
                    Error::permanent(format!("the output cannot be recorded as JSON: {error}"))
                })
            });
            Ok(code)
        };
        Self {
            name: WorkflowName::new(name),
            concurrency_max: None,
            undo_on_failure: false,
            time_max: None,
            rule: None,
            start: Arc::new(start),
        }
    }

    /// At most this many runs of it at a time on this node.
    pub fn concurrency(mut self, runs_max: usize) -> Self {
        self.concurrency_max = Some(runs_max.max(1));
        self
    }

    /// Undoes a run that fails, instead of leaving it as it is: see [`Step::undo`](crate::Step::undo). It ends as cancelled,
    /// with what it failed with as its reason. A run that cannot be judged (changed code, a stale key, a limit) is not
    /// undone: a person looks first.
    ///
    /// # Durability
    /// That it is undone is on disk before anything is: after a crash it goes on with that, and never forward.
    pub fn undo_on_failure(mut self) -> Self {
        self.undo_on_failure = true;
        self
    }

    /// Gives each run that long, counted from when it was accepted, or from the last operator's retry. Past it the run becomes
    /// a dead letter, whatever it waits for; it is undone first where the workflow [says so](Self::undo_on_failure).
    pub fn deadline(mut self, longest: Duration) -> Self {
        self.time_max = Some(longest);
        self
    }

    pub(crate) fn undoes_failures(&self) -> bool {
        self.undo_on_failure
    }

    pub(crate) fn time_max(&self) -> Option<Duration> {
        self.time_max
    }

    /// The rules by which its runs begin. They are asked when an event is accepted: give [`Workflows::flow_rules`] to
    /// whatever accepts.
    pub fn flow(mut self, rule: Arc<dyn FlowRule>) -> Self {
        self.rule = Some(rule);
        self
    }

    /// Its name.
    pub fn name(&self) -> &WorkflowName {
        &self.name
    }

    pub(crate) fn concurrency_max(&self) -> Option<usize> {
        self.concurrency_max
    }

    /// Whether time lets its runs begin.
    pub(crate) fn is_timed(&self) -> bool {
        self.rule.as_ref().is_some_and(|rule| rule.is_timed())
    }

    /// Whether its input is an array of its events' inputs.
    pub(crate) fn takes_batches(&self) -> bool {
        self.rule.as_ref().is_some_and(|rule| rule.takes_batches())
    }

    /// A run's input: its event's, or those of all events of its batch, as an array.
    pub(crate) fn input<'e>(
        &self,
        event: &'e Event,
        batch: &[Event],
    ) -> std::result::Result<Cow<'e, RawValue>, InputError> {
        if !self.takes_batches() || event.source == CONTINUES {
            return event.input_text().map(Cow::Borrowed);
        }
        let events = if batch.is_empty() { std::slice::from_ref(event) } else { batch };
        let inputs = events.iter().map(|event| event.input_text().map(RawValue::get));
        let array = format!("[{}]", inputs.collect::<std::result::Result<Vec<_>, _>>()?.join(","));
        Ok(Cow::Owned(RawValue::from_string(array).expect("texts of JSON make an array")))
    }

    /// Why a run with that input has none of the keys that it should have, if the input itself is sound.
    pub(crate) fn flow_failure(&self, input: &RawValue) -> Option<Failure> {
        match self.rule.as_ref()?.judge(input) {
            Err(Unruled::Failed(message)) => Some(Failure::refused(message).permanent()),
            // Its start tells what does not fit.
            Ok(_) | Err(Unruled::Malformed) => None,
        }
    }

    pub(crate) fn start(&self, cx: Context, input: &RawValue) -> std::result::Result<Code, Failure> {
        (self.start)(cx, input)
    }
}

/// An input as a workflow's start reads it; `None` if it does not fit.
pub fn read_input<I: Input>(text: &RawValue) -> Option<I> {
    read(text).ok()
}

/// Straight from the text if that succeeds. A tree forgives more (a name that comes twice), and its errors name the
/// place in the document: it has the last word.
fn read<I: DeserializeOwned>(
    text: &RawValue,
) -> std::result::Result<I, serde_path_to_error::Error<serde_json::Error>> {
    if let Ok(input) = serde_json::from_str(text.get()) {
        return Ok(input);
    }
    let tree: Value = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text.get()))?;
    serde_path_to_error::deserialize(tree)
}

fn malformed<I>(error: &serde_path_to_error::Error<serde_json::Error>) -> Failure {
    let message = format!(
        "the event does not fit {}: at `{}`: {}; let the type accept it, deploy, and retry the run",
        std::any::type_name::<I>(),
        error.path(),
        without_value(&error.inner().to_string())
    );
    Failure::refused(message).permanent()
}

/// serde's message quotes the value that did not fit. It is somebody's data: logs and lists say what it is, not what is
/// in it; the event itself has it.
pub(crate) fn without_value(message: &str) -> String {
    for kind in ["invalid type: ", "invalid value: "] {
        let Some((found, expected)) =
            message.strip_prefix(kind).and_then(|rest| rest.rsplit_once(", expected "))
        else {
            continue;
        };
        let what = found.split(['"', '`']).next().unwrap_or_default().trim();
        return format!("{kind}{what}, expected {expected}");
    }
    match message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected ")) {
        Some((_, expected)) => format!("unknown variant, expected {expected}"),
        None => message.to_owned(),
    }
}

impl fmt::Debug for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All workflows of an app, by name.
#[derive(Debug, Clone, Default)]
pub struct Workflows {
    by_name: BTreeMap<WorkflowName, Workflow>,
}

impl Workflows {
    /// Adds a workflow. One of the same name replaces it: the caller checks that both are the same.
    pub fn insert(&mut self, workflow: Workflow) {
        self.by_name.insert(workflow.name.clone(), workflow);
    }

    /// The workflow of that name.
    pub fn get(&self, name: &WorkflowName) -> Option<&Workflow> {
        self.by_name.get(name)
    }

    /// Their names, and the rules by which their runs begin.
    pub fn flow_rules(&self) -> FlowRules {
        self.iter().map(|workflow| (workflow.name.clone(), workflow.rule.clone())).collect()
    }

    /// Whether time lets runs of some workflow begin.
    pub(crate) fn any_timed(&self) -> bool {
        self.iter().any(Workflow::is_timed)
    }

    /// All workflows, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Workflow> {
        self.by_name.values()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Payment {
        amount: u64,
    }

    fn of(text: &str) -> std::result::Result<Payment, String> {
        let text = RawValue::from_string(text.to_owned()).unwrap();
        read(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_straight_or_by_tree_as_forgivingly() {
        assert_eq!(of(r#"{"amount": 1, "other": null}"#), Ok(Payment { amount: 1 }));
        assert_eq!(of(r#"{"amount": 1, "amount": 2}"#), Ok(Payment { amount: 2 }));
    }

    #[test]
    fn says_what_did_not_fit_and_not_the_value() {
        for (message, shown) in [
            (
                "invalid type: string \"jenny@private.example\", expected u64",
                "invalid type: string, expected u64",
            ),
            ("invalid type: integer `5`, expected a string", "invalid type: integer, expected a string"),
            ("invalid type: null, expected a map at line 1", "invalid type: null, expected a map at line 1"),
            ("unknown variant `x`, expected `a` or `b`", "unknown variant, expected `a` or `b`"),
            ("missing field `id`", "missing field `id`"),
        ] {
            assert_eq!(without_value(message), shown);
        }
    }

    #[test]
    fn says_where_an_input_does_not_fit() {
        assert!(of(r#"{"amount": "1"}"#).unwrap_err().starts_with("amount: "));
    }
}
