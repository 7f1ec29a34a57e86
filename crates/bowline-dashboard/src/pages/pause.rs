//! `GET /pause`: what a pause of a workflow would hold, or its resumption let go on; its form, `POST /pause`, does it.
//!
//! The guard takes the form from this page only. What was done leads to the workflows, so that loading it again does nothing.

use askama::Template;
use axum::{
    Extension, Form,
    extract::{Query, State, rejection::FormRejection},
    response::{IntoResponse, Redirect, Response},
};
use bowline_model::{WorkflowName, approval::WHY_CHARS_MAX};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    REFERRER,
    frame::Frame,
    links::{Links, Place},
    render,
    standing::Paused,
};
use crate::{
    admin::{Asked, Desk, Refusal},
    commands::{
        Operator,
        pause::{OpenRuns, Standing},
    },
    wording::{clean, cut, open_runs},
};

/// How much of a workflow's name the page shows, in characters.
pub(super) const NAME_CHARS_MAX: usize = 200;

/// Which workflow.
#[derive(Debug, Deserialize)]
pub(super) struct PauseQuery {
    workflow: String,
}

pub(super) async fn page(
    State(desk): State<Desk>,
    Extension(links): Extension<Links>,
    query: Asked<PauseQuery>,
) -> Result<Response, Refusal> {
    let Query(PauseQuery { workflow }) =
        query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let standing = desk.commands().workflow(WorkflowName::from(&*workflow)).await?;
    let open = desk.commands().open_runs(&standing.workflow).await?;
    let page = PausePage::of(links, &standing, open, desk.clock.now());
    Ok(([REFERRER], render(&page)?).into_response())
}

/// The form as it was filled in.
#[derive(Debug, Deserialize)]
pub(super) struct Typed {
    workflow: String,
    /// What the button says.
    command: Command,
    #[serde(default)]
    who: String,
    #[serde(default)]
    why: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Command {
    Pause,
    Resume,
}

pub(super) async fn say(
    State(desk): State<Desk>,
    Extension(links): Extension<Links>,
    form: Result<Form<Typed>, FormRejection>,
) -> Result<Response, Refusal> {
    let Form(Typed { workflow, command, who, why }) =
        form.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let operator = Operator { who: Some(who), why: Some(why) };
    let name = WorkflowName::from(&*workflow);
    match command {
        Command::Pause => desk.commands().pause(name, &operator).await?,
        Command::Resume => desk.commands().resume(name, &operator).await?,
    };
    Ok(Redirect::to(&links.paused(&workflow)).into_response())
}

#[derive(Template)]
#[template(path = "pause.html")]
struct PausePage {
    frame: Frame,
    /// The workflow: what the form sends, and what is shown of it.
    workflow: String,
    title: String,
    runs_href: String,
    /// `12 runs are open`
    open: String,
    paused: Option<Paused>,
    why_chars_max: usize,
}

impl PausePage {
    fn of(links: Links, standing: &Standing, open: OpenRuns, now: Timestamp) -> Self {
        let workflow = standing.workflow.as_str().to_owned();
        let title = cut(&clean(&workflow), NAME_CHARS_MAX);
        let verb = if standing.paused.is_some() { "Resume" } else { "Pause" };
        Self {
            runs_href: links.list(&Place { workflow: Some(workflow.clone()), ..Place::default() }),
            open: open_runs(open),
            paused: standing.paused.as_ref().map(|paused| Paused::of(paused, &links, now)),
            why_chars_max: WHY_CHARS_MAX,
            frame: Frame { links, title: format!("{verb} {title}"), again: None },
            workflow,
            title,
        }
    }
}
