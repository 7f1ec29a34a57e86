//! Schedules as an app declares them: a name, when, and what runs then.

use std::{collections::BTreeSet, sync::Arc};

use bowline_engine::Engine;
use bowline_ingress::{
    Schedule,
    schedule::{CancelRun, Plan, Scheduled, name_problem},
};
use bowline_model::Variables;

use crate::workflow::Declared;

/// A schedule of an app whose systems are `S`.
pub(crate) struct DeclaredSchedule<S> {
    name: String,
    schedule: Schedule,
    workflow: Declared<S>,
}

impl<S> DeclaredSchedule<S> {
    pub(crate) fn new(name: String, schedule: Schedule, workflow: Declared<S>) -> Self {
        Self { name, schedule, workflow }
    }

    pub(crate) fn workflow(&self) -> &Declared<S> {
        &self.workflow
    }

    /// What its problems are told under.
    pub(crate) fn setting(&self) -> String {
        format!("schedule {}", self.name)
    }

    /// When it runs, and what.
    pub(crate) fn describe(&self) -> String {
        format!("runs {}: {}", self.workflow.name(), self.schedule.describe())
    }

    fn plan(&self, is_twin: bool) -> Result<Plan, Vec<String>> {
        let mut problems: Vec<String> = name_problem(&self.name).into_iter().collect();
        if is_twin {
            problems.push("is declared twice: give each its own name".to_owned());
        }
        match self.schedule.plan() {
            Ok(plan) if problems.is_empty() => Ok(plan),
            Ok(_) => Err(problems),
            Err(more) => Err(problems.into_iter().chain(more).collect()),
        }
    }
}

/// The schedules, ready to tick. What is wrong with them is recorded in `variables`.
pub(crate) fn plan<S>(declared: &[DeclaredSchedule<S>], variables: &Variables) -> Vec<Scheduled> {
    let mut names = BTreeSet::new();
    let plan = |schedule: &DeclaredSchedule<S>| {
        let is_twin = !names.insert(schedule.name.clone());
        match schedule.plan(is_twin) {
            Ok(plan) => {
                let (name, workflow) = (schedule.name.clone(), schedule.workflow.name().clone());
                Some(Scheduled { name, plan, workflow })
            }
            Err(problems) => {
                variables.problem(schedule.setting(), problems.join("; it "));
                None
            }
        }
    };
    declared.iter().filter_map(plan).collect()
}

/// How a schedule ends runs that a newer one replaces.
pub(crate) fn cancel_with(engine: Arc<Engine>) -> CancelRun {
    Arc::new(move |run, reason: String| {
        let engine = engine.clone();
        Box::pin(async move { engine.cancel(run, &reason).await.map(|_either_way_it_ended| ()) })
    })
}
