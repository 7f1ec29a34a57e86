//! `GET /workflows`: the app's workflows, and which are paused.

use askama::Template;
use axum::{
    Extension,
    extract::{Query, State},
};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Page,
    frame::{Again, Badge, Follow, Frame, Stamp, Tone},
    links::{Links, Place},
    pause::NAME_CHARS_MAX,
    render,
    standing::Paused,
};
use crate::{
    admin::{Asked, Desk, Refusal},
    commands::pause::Standing,
    wording::{clean, cut},
};

/// Which workflow was just paused or resumed, if one was.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WorkflowsQuery {
    told: Option<String>,
}

pub(super) async fn page(
    State(desk): State<Desk>,
    Extension(links): Extension<Links>,
    query: Asked<WorkflowsQuery>,
) -> Page {
    let Query(WorkflowsQuery { told }) =
        query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let workflows = desk.commands().workflows().await?;
    render(&WorkflowsPage::of(links, &workflows, told.as_deref(), desk.clock.now()))
}

#[derive(Template)]
#[template(path = "workflows.html")]
struct WorkflowsPage {
    frame: Frame,
    /// The one that was just paused or resumed, and how it stands now.
    told: Option<(String, &'static str)>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    runs_href: String,
    pause_href: String,
    badge: Badge,
    paused: Option<Paused>,
}

impl WorkflowsPage {
    fn of(links: Links, workflows: &[Standing], told: Option<&str>, now: Timestamp) -> Self {
        let again = Again { made: Stamp::second(now), refresh: links.workflows(), follow: Follow::Ended };
        let told = workflows.iter().find(|standing| told == Some(standing.workflow.as_str()));
        let told = told.map(|standing| {
            let how = if standing.paused.is_some() { "is paused" } else { "goes on" };
            (shown(standing), how)
        });
        Self {
            rows: workflows.iter().map(|standing| Row::of(standing, &links, now)).collect(),
            told,
            frame: Frame { links, title: "Workflows".to_owned(), again: Some(again) },
        }
    }
}

fn shown(standing: &Standing) -> String {
    cut(&clean(standing.workflow.as_str()), NAME_CHARS_MAX)
}

impl Row {
    fn of(standing: &Standing, links: &Links, now: Timestamp) -> Self {
        let workflow = Some(standing.workflow.as_str().to_owned());
        Self {
            name: shown(standing),
            runs_href: links.list(&Place { workflow, ..Place::default() }),
            pause_href: links.pause_of(standing.workflow.as_str()),
            badge: match &standing.paused {
                Some(_) => Badge { word: "paused", mark: "‖", tone: Tone::Wait },
                None => Badge { word: "goes on", mark: "▸", tone: Tone::Good },
            },
            paused: standing.paused.as_ref().map(|paused| Paused::of(paused, links, now)),
        }
    }
}
