//! Where everything is, wherever the router is mounted.

use std::fmt::Write;

use axum::extract::{NestedPath, Request};
use bowline_model::RunId;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    view::RunRow,
    wording::{STEP_CHARS_MAX, clean, cut},
};

pub(super) const STYLE: &str = "/bowline.css";
pub(super) const ICON: &str = "/bowline.svg";

/// Links of one answer. They begin with the path under which the router is nested, if it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    base: String,
}

/// Which list of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// States, separated by commas; none: any.
    pub(super) states: Option<String>,
    pub(super) workflow: Option<String>,
    /// Only runs older than this one.
    pub(super) before: Option<RunId>,
    pub(super) follow: bool,
}

/// Which view of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RunPlace {
    pub(super) payloads: bool,
    pub(super) follow: bool,
}

/// The run that another one does again.
pub(super) struct Origin {
    pub(super) run: RunId,
    pub(super) href: String,
    /// The step from which on a fork does so; a replay does all.
    pub(super) from: Option<String>,
}

impl Origin {
    pub(super) fn of(row: &RunRow, links: &Links) -> Option<Self> {
        let fork = row.fork_of.as_ref();
        let run = fork.map(|fork| fork.run).or(row.replay_of)?;
        let from = fork.map(|fork| cut(&clean(&fork.from), STEP_CHARS_MAX));
        Some(Self { run, href: links.run(run), from })
    }
}

impl Links {
    pub(super) fn of(request: &Request) -> Self {
        let nested = request.extensions().get::<NestedPath>();
        Self { base: nested.map_or("", |nested| nested.as_str().trim_end_matches('/')).to_owned() }
    }

    pub(super) fn style(&self) -> String {
        format!("{}{STYLE}", self.base)
    }

    pub(super) fn icon(&self) -> String {
        format!("{}{ICON}", self.base)
    }

    pub(super) fn home(&self) -> String {
        // A nested router has its first page at the path itself, without a slash after it.
        if self.base.is_empty() { "/".to_owned() } else { self.base.clone() }
    }

    pub(super) fn list(&self, place: &Place) -> String {
        let before = place.before.map(|run| run.to_string());
        let follow = place.follow.then(|| "true".to_owned());
        let query = [
            ("state", place.states.clone()),
            ("workflow", place.workflow.clone()),
            ("before", before),
            ("follow", follow),
        ];
        with_query(self.home(), query)
    }

    pub(super) fn run(&self, run: RunId) -> String {
        self.run_at(run, RunPlace::default())
    }

    pub(super) fn run_at(&self, run: RunId, place: RunPlace) -> String {
        let said = |so: bool| so.then(|| "true".to_owned());
        let query = [("payloads", said(place.payloads)), ("follow", said(place.follow))];
        with_query(format!("{}/runs/{run}", self.base), query)
    }

    pub(super) fn connections(&self) -> String {
        format!("{}/connections", self.base)
    }

    pub(super) fn approvals(&self) -> String {
        format!("{}{}", self.base, crate::admin::guard::APPROVALS_FORM)
    }

    /// The approvals, with the one that was just answered.
    pub(super) fn decided(&self, run: RunId, approved: bool) -> String {
        let query = [("decided", Some(run.to_string())), ("approved", Some(approved.to_string()))];
        with_query(self.approvals(), query)
    }

    /// Where a fork is looked at, and said.
    pub(super) fn fork(&self) -> String {
        format!("{}{}", self.base, crate::admin::guard::FORK_FORM)
    }

    /// The same, of that run and step.
    pub(super) fn fork_from(&self, run: RunId, step: &str) -> String {
        with_query(self.fork(), [("run", Some(run.to_string())), ("from", Some(step.to_owned()))])
    }

    pub(super) fn workflows(&self) -> String {
        format!("{}/workflows", self.base)
    }

    /// The workflows, with the one that was just paused or resumed.
    pub(super) fn paused(&self, workflow: &str) -> String {
        with_query(self.workflows(), [("told", Some(workflow.to_owned()))])
    }

    /// Where a pause and its end are said.
    pub(super) fn pause(&self) -> String {
        format!("{}{}", self.base, crate::admin::guard::PAUSE_FORM)
    }

    /// The same, of that workflow.
    pub(super) fn pause_of(&self, workflow: &str) -> String {
        with_query(self.pause(), [("workflow", Some(workflow.to_owned()))])
    }

    pub(super) fn triggers(&self) -> String {
        format!("{}/triggers", self.base)
    }

    /// The list, with the account that was just connected.
    pub(super) fn connected(&self, api: &str, account: &str) -> String {
        let query = [("api", Some(api.to_owned())), ("account", Some(account.to_owned()))];
        with_query(self.connections(), query)
    }

    pub(super) fn connect(&self) -> String {
        format!("{}{}", self.base, crate::admin::guard::CONNECT_FORM)
    }

    /// The path under which all this is.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn api(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

fn with_query<const N: usize>(mut path: String, query: [(&str, Option<String>); N]) -> String {
    let mut mark = '?';
    for (name, value) in query.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        let value = utf8_percent_encode(&value, NON_ALPHANUMERIC);
        write!(path, "{mark}{name}={value}").expect("a string takes all that is written to it");
        mark = '&';
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_hold_whatever_a_query_means_something_by() {
        let place = Place {
            states: Some("dead,waiting".to_owned()),
            workflow: Some("a&b=\"c\" ü".to_owned()),
            before: Some(RunId(7)),
            follow: false,
        };
        assert_eq!(
            Links::default().list(&place),
            "/?state=dead%2Cwaiting&workflow=a%26b%3D%22c%22%20%C3%BC&before=7"
        );
        assert_eq!(Links::default().list(&Place::default()), "/");
    }
}
