//! `GET /runs/{id}`: one run in time, and what can be done about it.

use askama::Template;
use axum::{
    Extension,
    extract::{Path, Query, State, rejection::PathRejection},
};
use bowline_model::{DeadReason, Event, RunId, RunState};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Page,
    approvals::ApprovalNotice,
    frame::{Again, Badge, Follow, Frame, Stamp},
    links::{Links, Origin, Place, RunPlace},
    refused::{Piece, pieces},
    render,
    standing::{Loop, Paused, Undo, Wait},
    timeline::{Document, Fork, Line},
};
use crate::{
    admin::{Asked, Desk, Refusal},
    approvals::ApprovalList,
    view::{EventHead, Item, PAYLOAD_BYTES_MAX, Payloads, RunRow, RunView},
    wording::{Sides, clean, cut, meaning, remedy, size, span_between, span_millis},
};

/// How many of the things that a run waits for are listed.
const WAITS_SHOWN_MAX: usize = 8;
/// How much of a child's summary is shown, in characters.
const SUMMARY_CHARS_MAX: usize = 160;

/// The query of a run's page.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RunQuery {
    #[serde(default)]
    payloads: bool,
    #[serde(default)]
    follow: bool,
}

pub(super) async fn page(
    State(desk): State<Desk>,
    Extension(links): Extension<Links>,
    id: Result<Path<String>, PathRejection>,
    query: Asked<RunQuery>,
) -> Page {
    let Path(id) = id.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let Query(query) = query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let place = RunPlace { payloads: query.payloads, follow: query.follow };
    let payloads = if place.payloads { Payloads::Shown } else { Payloads::Hidden };
    let run = desk.run(&id).await?;
    let (view, event) = RunView::read(&*desk.store, &run, payloads).await?;
    let asks = ApprovalList::of_run(&*desk.store, run.id).await?;
    let now = desk.clock.now();
    let mut page = RunPage::of(links, place, &view, event.as_ref(), now);
    page.asks = asks.approvals.iter().map(|view| ApprovalNotice::of(view, now)).collect();
    render(&page)
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    id: RunId,
    badge: Badge,
    workflow: String,
    workflow_href: String,
    /// `after 2.34 s`, `for 3 min 05 s`
    duration: String,
    event_number: i64,
    event: Option<EventFacts>,
    accepted: Stamp,
    build: String,
    crashes: u32,
    again: Option<Origin>,
    parent: Option<(RunId, String)>,
    dead: Option<Dead>,
    /// Questions to people that it waits with.
    asks: Vec<ApprovalNotice>,
    /// What comes next, if the run is open.
    next: Option<Next>,
    /// The runs that it started.
    children: Vec<Child>,
    more_children: bool,
    loops: Vec<Loop>,
    undo: Option<Undo>,
    paused: Option<Paused>,
    /// Where its workflow is paused, if it is open and that is not so.
    pause_href: Option<String>,
    lines: Vec<Line>,
    left_out: usize,
    /// The length of the run's time, if there are bars.
    scale: Option<String>,
    /// The same page with payloads, or without.
    payloads: bool,
    payloads_href: String,
    body: Option<Document>,
    json_href: String,
    event_json_href: String,
}

struct EventFacts {
    kind: String,
    dedupe_key: String,
    source: String,
    provider: String,
    /// Unless the run was accepted with it: a replay comes later.
    received: Option<Stamp>,
    size: String,
}

/// Why a run is a dead letter, and what can be done.
struct Dead {
    reason: &'static str,
    meaning: &'static str,
    remedy: &'static str,
    summary: Option<Vec<Piece>>,
    /// Of a mismatch, in the summary's place: what the journal has, and what the code asks for.
    sides: Option<BothSides>,
    /// It can be forked from one of its steps.
    can_fork: bool,
    /// Steps of which somebody may say what became of them.
    unknown: Vec<String>,
    /// Dead items that a retry runs again.
    items: u64,
}

/// The two sides of a mismatch.
struct BothSides {
    journal: Vec<Piece>,
    /// The build that began the run.
    journal_build: String,
    code: Vec<Piece>,
    /// The build that met it.
    code_build: Option<String>,
    remedy: Option<Vec<Piece>>,
}

/// What comes next in a run that is open.
struct Next {
    text: &'static str,
    /// The one thing that it waits for.
    wait: Option<Wait>,
    /// What it waits for, if that is more than one thing, and how many more there are.
    waits: Vec<Wait>,
    more_waits: usize,
    due: Option<(Stamp, String)>,
}

impl RunPage {
    fn of(links: Links, place: RunPlace, view: &RunView, event: Option<&Event>, now: Timestamp) -> Self {
        let run = &view.run;
        let (lines, scale) = super::timeline::lines(view, &links, now);
        let link = |of: Option<RunId>| of.map(|of| (of, links.run(of)));
        let workflow = Some(run.workflow.as_str().to_owned());
        let api = format!("/api/runs/{}", run.id);
        Self {
            id: run.id,
            badge: run.state.into(),
            workflow: clean(run.workflow.as_str()),
            workflow_href: links.list(&Place { workflow, ..Place::default() }),
            duration: duration(view, now),
            event_number: run.event.0,
            event: view.event.as_ref().map(|event| EventFacts::of(event, run)),
            accepted: Stamp::full(run.created_at),
            build: clean(run.build.as_str()),
            crashes: run.crashes,
            again: Origin::of(run, &links),
            parent: link(run.parent),
            dead: run
                .dead_reason
                .filter(|_| run.state == RunState::DeadLettered)
                .map(|reason| Dead::of(reason, view)),
            asks: vec![],
            next: next(view, &links, now),
            children: view.children.iter().map(|child| Child::of(child, &links)).collect(),
            more_children: view.more_children,
            loops: view.loops.iter().map(|looped| Loop::of(looped, now)).collect(),
            undo: view.undo.as_ref().map(|undo| Undo::of(undo, view)),
            paused: view.paused.as_ref().map(|paused| Paused::of(paused, &links, now)),
            pause_href: (run.state.is_open() && view.paused.is_none())
                .then(|| links.pause_of(run.workflow.as_str())),
            lines,
            left_out: view.left_out,
            scale,
            payloads: place.payloads,
            payloads_href: links.run_at(run.id, RunPlace { payloads: !place.payloads, ..place }),
            body: event.filter(|_| place.payloads).map(body),
            json_href: links.api(&api),
            event_json_href: links.api(&format!("{api}/event")),
            frame: frame(links, place, run, now),
        }
    }
}

fn frame(links: Links, place: RunPlace, run: &RunRow, now: Timestamp) -> Frame {
    let other = links.run_at(run.id, RunPlace { follow: !place.follow, ..place });
    let follow = match (run.state.is_open(), place.follow) {
        (false, _) => Follow::Ended,
        (true, true) => Follow::On { stop: other },
        (true, false) => Follow::Off { start: other },
    };
    let again = Again { made: Stamp::second(now), refresh: links.run_at(run.id, place), follow };
    let title = format!("Run {}, {}: {}", run.id, run.state, clean(run.workflow.as_str()));
    Frame { links, title, again: Some(again) }
}

fn duration(view: &RunView, now: Timestamp) -> String {
    let run = &view.run;
    match view.timeline.last() {
        _ if run.state.is_open() => format!("for {}", span_between(run.created_at, now)),
        Some(Item::End(end)) => format!("after {}", span_millis(0, end.at_ms)),
        _ => format!("after {}", span_between(run.created_at, run.changed_at)),
    }
}

fn next(view: &RunView, links: &Links, now: Timestamp) -> Option<Next> {
    let run = &view.run;
    let steps = view.waiting();
    let mut waits: Vec<_> = steps.iter().map(|step| Wait::of(step, links, now)).collect();
    let is_one = run.state == RunState::Waiting && waits.len() == 1;
    let wait = if is_one { waits.pop() } else { None };
    let text = match run.state {
        RunState::Queued => "It is in line.",
        RunState::Running => "It is running.",
        RunState::Waiting if is_one => "It",
        RunState::Waiting if waits.is_empty() => "It waits.",
        RunState::Waiting => "It waits for several things.",
        RunState::Completed | RunState::Cancelled | RunState::DeadLettered => return None,
    };
    let more_waits = waits.len().saturating_sub(WAITS_SHOWN_MAX);
    waits.truncate(WAITS_SHOWN_MAX);
    // Where it waits for one thing until a time, that is said with it.
    let is_said = wait.as_ref().is_some_and(|wait| !wait.ends.is_empty());
    let due = run.due.filter(|_| !is_said).map(|due| {
        let left = if due <= now { "now".to_owned() } else { format!("in {}", span_between(now, due)) };
        (Stamp::full(due), left)
    });
    Some(Next { text, wait, waits, more_waits, due })
}

/// A run that this one started.
struct Child {
    id: RunId,
    href: String,
    workflow: String,
    badge: Badge,
    why: Option<String>,
}

impl Child {
    fn of(run: &RunRow, links: &Links) -> Self {
        Self {
            id: run.id,
            href: links.run(run.id),
            workflow: clean(run.workflow.as_str()),
            badge: run.state.into(),
            why: run.summary.as_deref().map(|summary| cut(&clean(summary), SUMMARY_CHARS_MAX)),
        }
    }
}

fn body(event: &Event) -> Document {
    let shown = &event.body[..event.body.len().min(PAYLOAD_BYTES_MAX)];
    let mut text = String::from_utf8_lossy(shown).into_owned();
    if shown.len() < event.body.len() {
        text.push('…');
    }
    Document::of("The event's body", &text, event.body.len())
}

impl EventFacts {
    fn of(event: &EventHead, run: &RunRow) -> Self {
        let came_with_it = run.replay_of.is_none() && run.fork_of.is_none() && run.parent.is_none();
        Self {
            kind: clean(&event.kind),
            dedupe_key: clean(&event.dedupe_key),
            source: clean(&event.source),
            provider: clean(&event.provider),
            received: (!came_with_it).then(|| Stamp::full(event.received_at)),
            size: size(event.body_bytes),
        }
    }
}

impl Dead {
    fn of(reason: DeadReason, view: &RunView) -> Self {
        Self {
            reason: reason.as_str(),
            meaning: meaning(reason),
            remedy: remedy(reason),
            summary: view.run.summary.as_deref().map(pieces),
            sides: BothSides::of(view),
            can_fork: view.can_fork(),
            unknown: view.unknown.iter().map(|step| clean(step)).collect(),
            items: view.dead_items(),
        }
    }
}

impl BothSides {
    fn of(view: &RunView) -> Option<Self> {
        let end = view.mismatch()?;
        let sides = Sides::of(end.text.as_deref()?)?;
        Some(Self {
            journal: pieces(&sides.journal),
            journal_build: clean(view.run.build.as_str()),
            code: pieces(&sides.code),
            code_build: end.build.as_ref().map(|build| clean(build.as_str())),
            remedy: sides.remedy.as_deref().map(pieces),
        })
    }
}
