//! Events as they are accepted, each with one run.

use std::time::Duration;

use bowline_model::{Clock, KeySeed, NewEvent, NewRun, RunId, SystemClock, WorkflowName};
use jiff::Timestamp;

use crate::journal::build;

/// An event of that kind with that body, which starts one run of that workflow.
pub(crate) fn event(workflow: &str, kind: &str, body: &str, now: Timestamp) -> NewEvent {
    let run = NewRun {
        workflow: WorkflowName::from(workflow),
        key: None,
        priority: 0,
        parent: None,
        replay_of: None,
        build: build(),
        key_seed: KeySeed(u128::from(SystemClock.random())),
        due: None,
        flow: Default::default(),
        journal: vec![],
    };
    NewEvent {
        source: "/webhooks/stripe".to_owned(),
        provider: "stripe".to_owned(),
        kind: kind.to_owned(),
        dedupe_key: format!("evt_{}", SystemClock.random()),
        dedupe_until: now + Duration::from_secs(3600),
        received_at: now,
        headers: vec![],
        body: body.to_owned().into(),
        input_pointer: String::new(),
        runs: vec![run],
    }
}

/// The same, started by that run.
pub(crate) fn of_run(parent: RunId, mut event: NewEvent) -> NewEvent {
    event.source = "child".to_owned();
    event.runs.iter_mut().for_each(|run| run.parent = Some(parent));
    event
}
