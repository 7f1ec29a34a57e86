//! `GET /fork`: what a fork of a run would take and do again; its form, `POST /fork`, does it.
//!
//! The guard takes the form from this page only. What was done leads to the new run, so that loading it again forks nothing.

use askama::Template;
use axum::{
    Extension, Form,
    extract::{Query, State, rejection::FormRejection},
    response::{IntoResponse, Redirect, Response},
};
use bowline_model::{RunId, approval::WHY_CHARS_MAX};
use serde::Deserialize;

use super::{REFERRER, frame::Frame, links::Links, render};
use crate::{
    admin::{Asked, Desk, Refusal},
    commands::{Operator, Repeat, fork::Preview},
    wording::{clean, cut, number},
};

/// How much of a step's name the page shows, in characters.
const NAME_CHARS_MAX: usize = 200;
/// Most effects that the page names.
const REPEATS_SHOWN_MAX: usize = 50;

/// Which run, and from which step.
#[derive(Debug, Deserialize)]
pub(super) struct ForkQuery {
    run: i64,
    from: String,
}

pub(super) async fn page(
    State(desk): State<Desk>,
    Extension(links): Extension<Links>,
    query: Asked<ForkQuery>,
) -> Result<Response, Refusal> {
    let Query(ForkQuery { run, from }) =
        query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let preview = desk.commands().preview_fork(RunId(run), &from).await?;
    let page = ForkPage::of(links, &preview, from);
    Ok(([REFERRER], render(&page)?).into_response())
}

/// The form as it was filled in.
#[derive(Debug, Deserialize)]
pub(super) struct Typed {
    run: i64,
    from: String,
    #[serde(default)]
    who: String,
    #[serde(default)]
    why: String,
}

pub(super) async fn fork(
    State(desk): State<Desk>,
    Extension(links): Extension<Links>,
    form: Result<Form<Typed>, FormRejection>,
) -> Result<Response, Refusal> {
    let Form(Typed { run, from, who, why }) =
        form.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let operator = Operator { who: Some(who), why: Some(why) };
    let forked = desk.commands().fork(RunId(run), &from, &operator).await?;
    Ok(Redirect::to(&links.run(forked.new_run)).into_response())
}

#[derive(Template)]
#[template(path = "fork.html")]
struct ForkPage {
    frame: Frame,
    run: RunId,
    run_href: String,
    workflow: String,
    /// The step: what the form sends, and what is shown of it.
    from: String,
    title: String,
    taken: String,
    repeats: Vec<RepeatLine>,
    more_repeats: usize,
    why_chars_max: usize,
}

/// An effect that the new run may repeat.
struct RepeatLine {
    step: String,
    call: Option<String>,
    happened: bool,
}

impl RepeatLine {
    fn of(repeat: &Repeat) -> Self {
        Self {
            step: cut(&clean(&repeat.step), NAME_CHARS_MAX),
            call: repeat.call.as_deref().map(|call| cut(&clean(call), NAME_CHARS_MAX)),
            happened: repeat.happened,
        }
    }
}

impl ForkPage {
    fn of(links: Links, preview: &Preview, from: String) -> Self {
        let shown = cut(&clean(from.trim()), NAME_CHARS_MAX);
        let title = format!("Fork run {} from {shown}", preview.run);
        let taken = match preview.taken {
            0 => "Nothing is recorded before it".to_owned(),
            1 => "The new run takes the 1 record before it: that is not done or computed again".to_owned(),
            taken => format!(
                "The new run takes the {} records before it: nothing of these is done or computed again",
                number(taken as u64)
            ),
        };
        Self {
            run: preview.run,
            run_href: links.run(preview.run),
            workflow: clean(preview.workflow.as_str()),
            from,
            title: shown,
            taken,
            repeats: preview.repeats.iter().take(REPEATS_SHOWN_MAX).map(RepeatLine::of).collect(),
            more_repeats: preview.repeats.len().saturating_sub(REPEATS_SHOWN_MAX),
            why_chars_max: WHY_CHARS_MAX,
            frame: Frame { links, title, again: None },
        }
    }
}
