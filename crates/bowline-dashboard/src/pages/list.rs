//! `GET /`: runs, newest first.

use std::time::Duration;

use askama::Template;
use axum::{
    Extension,
    extract::{Query, State},
};
use bowline_model::{EventId, RunId, RunState};
use bowline_store::Counts;
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Page,
    approvals::ApprovalNotice,
    connections::AlertLine,
    frame::{Again, Badge, Follow, Frame, Stamp},
    links::{Links, Origin, Place},
    render,
    standing::Paused,
    triggers::TriggerNotice,
};
use crate::{
    admin::{Asked, Desk, Refusal, request::RunsQuery},
    alerts::ApiAlert,
    approvals::ApprovalList,
    commands::PausedWorkflow,
    triggers::TriggerList,
    view::{RunList, RunRow},
    wording::{age, clean, cut, number, span_between},
};

/// Runs on a page.
const PAGE_RUNS: usize = 50;
/// How much of a dead letter's summary a row shows, in characters.
const SUMMARY_CHARS_MAX: usize = 160;
/// How much of a workflow's name a row shows, in characters.
const NAME_CHARS_MAX: usize = 120;
/// How many alerts of Apis, and how many triggers, are shown above the runs, and for how long after they were last raised.
const ALERTS_SHOWN_MAX: usize = 3;
const ALERT_SHOWN_FOR: Duration = Duration::from_hours(1);

/// The query of the list. What is empty is as if absent: a form sends its empty fields too.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ListQuery {
    #[serde(default)]
    state: String,
    #[serde(default)]
    workflow: String,
    before: Option<i64>,
    #[serde(default)]
    follow: bool,
}

pub(super) async fn page(
    State(desk): State<Desk>,
    Extension(links): Extension<Links>,
    query: Asked<ListQuery>,
) -> Page {
    let Query(query) = query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let place = query.place();
    // One more than the page shows tells whether there is another page.
    let asked = RunsQuery {
        state: place.states.clone(),
        workflow: place.workflow.clone(),
        limit: Some(PAGE_RUNS + 1),
        before: query.before,
    };
    let filter = asked.filter().map_err(Refusal::bad_request)?;
    let states = filter.states.clone();
    let now = desk.clock.now();
    let counts = desk.store.counts(now).await?;
    let mut runs = desk.store.runs(filter).await?;
    let more = runs.len() > PAGE_RUNS;
    runs.truncate(PAGE_RUNS);
    let paused = PausedWorkflow::all(&*desk.store).await?;
    let list = RunList::read(&*desk.store, &runs, if more { PAGE_RUNS } else { usize::MAX }).await?;
    let list = list.with_paused(paused);
    let alerts = desk.connections.alerts();
    let triggers = TriggerList::of(&desk.triggers);
    let page = ListPage::of(links, &place, &states, &counts, &list, now);
    let approvals = ApprovalList::read(&*desk.store, ALERTS_SHOWN_MAX).await?;
    render(&page.with_alerts(&alerts, now).with_triggers(&triggers).with_approvals(&approvals, now))
}

impl ListQuery {
    fn place(&self) -> Place {
        let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Place {
            states: said(&self.state),
            workflow: said(&self.workflow),
            before: self.before.map(RunId),
            follow: self.follow,
        }
    }
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    /// Apis that need a person, and how many more there are.
    alerts: Vec<AlertLine>,
    more_alerts: usize,
    /// Questions to people, and whether there are more.
    approvals: Vec<ApprovalNotice>,
    more_approvals: bool,
    /// Triggers that need a person, and how many more there are.
    triggers: Vec<TriggerNotice>,
    more_triggers: usize,
    paused: Vec<Paused>,
    /// Where the workflow whose runs these are is paused, if it is not.
    pause_href: Option<String>,
    /// All runs, then each state: numbers that lead to their runs.
    tiles: Vec<Tile>,
    /// What the filter's form keeps, and begins with.
    states: String,
    workflow: String,
    /// Names to choose from: those on this page.
    workflows: Vec<String>,
    /// The list of all workflows, if this is not it.
    any_workflow: Option<String>,
    rows: Vec<Row>,
    /// What there is none of, if there are no rows.
    none: String,
    /// No run was ever stored, or none is any more.
    empty: bool,
    newest: Option<String>,
    older: Option<String>,
}

struct Tile {
    href: String,
    badge: Option<Badge>,
    count: String,
    is_here: bool,
}

struct Row {
    id: RunId,
    href: String,
    badge: Badge,
    workflow: String,
    workflow_href: String,
    event: EventId,
    accepted: Stamp,
    age: String,
    why: Option<String>,
    again: Option<Origin>,
    notes: Vec<String>,
}

impl ListPage {
    fn of(
        links: Links,
        place: &Place,
        states: &[RunState],
        counts: &Counts,
        list: &RunList,
        now: Timestamp,
    ) -> Self {
        let top = Place { before: None, ..place.clone() };
        let total: u64 = counts.by_state.iter().map(|(_, count)| count).sum();
        let older = list.next.map(|next| links.list(&Place { before: Some(next), ..top.clone() }));
        let mut workflows: Vec<_> =
            list.runs.iter().filter_map(|run| as_typed(run.workflow.as_str())).collect();
        workflows.sort_unstable();
        workflows.dedup();
        let is_paused =
            |workflow: &&str| list.paused.iter().any(|paused| paused.workflow.as_str() == *workflow);
        let pausable = place.workflow.as_deref().filter(|workflow| !is_paused(workflow));
        Self {
            tiles: tiles(&links, &top, states, counts, total),
            states: place.states.clone().unwrap_or_default(),
            workflow: place.workflow.as_deref().and_then(as_typed).unwrap_or_default(),
            workflows,
            any_workflow: place
                .workflow
                .as_ref()
                .map(|_| links.list(&Place { workflow: None, ..top.clone() })),
            rows: list.runs.iter().map(|run| Row::of(run, &links, &top, now)).collect(),
            none: none(states, place),
            empty: total == 0,
            newest: place.before.map(|_| links.list(&top)),
            older,
            alerts: vec![],
            more_alerts: 0,
            approvals: vec![],
            more_approvals: false,
            triggers: vec![],
            more_triggers: 0,
            paused: list.paused.iter().map(|paused| Paused::of(paused, &links, now)).collect(),
            pause_href: pausable.map(|workflow| links.pause_of(workflow)),
            frame: frame(links, place, counts, now),
        }
    }

    /// The latest of what Apis raised a short while ago.
    fn with_alerts(self, alerts: &[ApiAlert], now: Timestamp) -> Self {
        let is_recent = |alert: &&ApiAlert| now.duration_since(alert.last).unsigned_abs() < ALERT_SHOWN_FOR;
        let recent: Vec<_> = alerts.iter().filter(is_recent).collect();
        let shown = recent.iter().take(ALERTS_SHOWN_MAX).map(|alert| AlertLine::of(alert, now)).collect();
        Self { alerts: shown, more_alerts: recent.len().saturating_sub(ALERTS_SHOWN_MAX), ..self }
    }

    fn with_approvals(self, list: &ApprovalList, now: Timestamp) -> Self {
        let approvals = list.approvals.iter().map(|view| ApprovalNotice::of(view, now)).collect();
        Self { approvals, more_approvals: list.more, ..self }
    }

    fn with_triggers(self, triggers: &TriggerList) -> Self {
        let in_need = triggers.in_need();
        let shown = in_need.iter().take(ALERTS_SHOWN_MAX).map(|trigger| TriggerNotice::of(trigger)).collect();
        Self { triggers: shown, more_triggers: in_need.len().saturating_sub(ALERTS_SHOWN_MAX), ..self }
    }
}

/// The name as somebody can type it into the form. One that hides something can be chosen by its link only.
fn as_typed(name: &str) -> Option<String> {
    Some(clean(name)).filter(|shown| shown == name)
}

fn frame(links: Links, place: &Place, counts: &Counts, now: Timestamp) -> Frame {
    let dead = counts.by_state.iter().find(|(state, _)| *state == RunState::DeadLettered);
    // The number shows in a tab that nobody looks at.
    let title = dead.map_or("Runs".to_owned(), |(_, dead)| format!("Runs ({} dead)", number(*dead)));
    let other = links.list(&Place { follow: !place.follow, ..place.clone() });
    let follow = if place.follow { Follow::On { stop: other } } else { Follow::Off { start: other } };
    let again = Again { made: Stamp::second(now), refresh: links.list(place), follow };
    Frame { links, title, again: Some(again) }
}

fn tiles(links: &Links, top: &Place, states: &[RunState], counts: &Counts, total: u64) -> Vec<Tile> {
    let count = |state| counts.by_state.iter().find(|(of, _)| *of == state).map_or(0, |(_, count)| *count);
    let all = Tile {
        href: links.list(&Place { states: None, ..top.clone() }),
        badge: None,
        count: number(total),
        is_here: states.is_empty(),
    };
    let of_state = RunState::ALL.into_iter().map(|state| Tile {
        href: links.list(&Place { states: Some(state.to_string()), ..top.clone() }),
        badge: Some(state.into()),
        count: number(count(state)),
        is_here: states == [state],
    });
    std::iter::once(all).chain(of_state).collect()
}

fn none(states: &[RunState], place: &Place) -> String {
    let states: Vec<_> = states.iter().map(|state| state.as_str()).collect();
    let states = if states.is_empty() { String::new() } else { format!("{} ", states.join(" or ")) };
    let workflow = place.workflow.as_ref().map(|name| format!(" of {}", cut(&clean(name), NAME_CHARS_MAX)));
    let older = if place.before.is_some() { " older than that" } else { "" };
    format!("There are no {states}runs{}{older}.", workflow.unwrap_or_default())
}

impl Row {
    fn of(run: &RunRow, links: &Links, top: &Place, now: Timestamp) -> Self {
        let workflow = run.workflow.as_str();
        let summary = run.summary.as_ref().map(|summary| cut(&clean(summary), SUMMARY_CHARS_MAX));
        let why = match (run.dead_reason, summary) {
            (Some(reason), Some(summary)) => Some(format!("{reason}: {summary}")),
            (Some(reason), None) => Some(reason.to_string()),
            (None, summary) => summary,
        };
        Self {
            id: run.id,
            href: links.run(run.id),
            badge: run.state.into(),
            workflow: cut(&clean(workflow), NAME_CHARS_MAX),
            workflow_href: links.list(&Place { workflow: Some(workflow.to_owned()), ..top.clone() }),
            event: run.event,
            accepted: Stamp::full(run.created_at),
            age: age(run.created_at, now),
            why,
            again: Origin::of(run, links),
            notes: notes(run, now),
        }
    }
}

fn notes(run: &RunRow, now: Timestamp) -> Vec<String> {
    let mut notes = vec![];
    if let Some(due) = run.due.filter(|_| run.state.is_open()) {
        notes.push(if due <= now {
            "due".to_owned()
        } else {
            format!("goes on in {}", span_between(now, due))
        });
    }
    if run.crashes > 0 && run.state.is_open() {
        notes.push(format!("crashes: {}", run.crashes));
    }
    notes
}
