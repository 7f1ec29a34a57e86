//! `GET /triggers`: schedules, polls and inboxes, when each acts next and what goes wrong.

use askama::Template;
use axum::{Extension, extract::State};
use jiff::Timestamp;

use super::{
    Page,
    frame::{Again, Badge, Follow, Frame, Stamp, Tone},
    links::Links,
    render,
};
use crate::{
    admin::Desk,
    triggers::{TriggerList, TriggerView},
    wording::{age, clean, cut, span_between},
};

/// How much of a name, and of what is wrong, a row shows, in characters.
const NAME_CHARS_MAX: usize = 120;
const PROBLEM_CHARS_MAX: usize = 600;

pub(super) async fn page(State(desk): State<Desk>, Extension(links): Extension<Links>) -> Page {
    let list = TriggerList::of(&desk.triggers);
    render(&TriggersPage::of(links, &list, desk.clock.now()))
}

#[derive(Template)]
#[template(path = "triggers.html")]
struct TriggersPage {
    frame: Frame,
    rows: Vec<Row>,
    left_out: usize,
}

struct Row {
    kind: String,
    name: String,
    badge: Badge,
    last: Option<Moment>,
    next: Option<Moment>,
    started: u64,
    skipped: u64,
    problem: Option<String>,
}

struct Moment {
    stamp: Stamp,
    /// `3 m ago`, `in 12 s`.
    relative: String,
}

impl TriggersPage {
    fn of(links: Links, list: &TriggerList, now: Timestamp) -> Self {
        let again = Again { made: Stamp::second(now), refresh: links.triggers(), follow: Follow::Ended };
        Self {
            frame: Frame { links, title: "Triggers".to_owned(), again: Some(again) },
            rows: list.triggers.iter().map(|trigger| Row::of(trigger, now)).collect(),
            left_out: list.left_out,
        }
    }
}

/// A trigger that a person should look at, above the runs.
pub(super) struct TriggerNotice {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) trouble: String,
}

impl TriggerNotice {
    pub(super) fn of(trigger: &TriggerView) -> Self {
        let trouble = if trigger.has_stopped {
            "it has stopped".to_owned()
        } else {
            format!("{} failures in a row", trigger.failures_in_a_row)
        };
        let name = cut(&clean(&trigger.name), NAME_CHARS_MAX);
        Self { kind: clean(&trigger.kind), name, trouble }
    }
}

impl Row {
    fn of(trigger: &TriggerView, now: Timestamp) -> Self {
        let next = trigger.next.map(|at| Moment {
            stamp: Stamp::second(at),
            relative: if at > now { format!("in {}", span_between(now, at)) } else { "now".to_owned() },
        });
        Self {
            kind: clean(&trigger.kind),
            name: cut(&clean(&trigger.name), NAME_CHARS_MAX),
            badge: badge(trigger),
            last: trigger.last.map(|at| Moment { stamp: Stamp::second(at), relative: age(at, now) }),
            next,
            started: trigger.started,
            skipped: trigger.skipped,
            problem: trigger.last_error.as_ref().map(|problem| cut(&clean(problem), PROBLEM_CHARS_MAX)),
        }
    }
}

fn badge(trigger: &TriggerView) -> Badge {
    let (word, mark, tone) = match (trigger.failures_in_a_row, trigger.last, trigger.next) {
        _ if trigger.has_stopped => ("stopped", "✗", Tone::Bad),
        (1.., _, _) => ("failing", "✗", Tone::Bad),
        (0, Some(_), _) => ("well", "✓", Tone::Good),
        (0, None, Some(_)) => ("waiting", "…", Tone::Plain),
        (0, None, None) => ("idle", "–", Tone::Dim),
    };
    Badge { word, mark, tone }
}
