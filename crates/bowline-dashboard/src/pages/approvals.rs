//! `GET /approvals`: questions to people, each with the form that answers it.
//!
//! The form is `POST /approvals`, which the guard takes from this page only. What does not fit comes back with all that
//! was typed, and what is wrong beside each field; what was decided leads back to the list, so that loading it again
//! sends nothing.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    Extension, Form,
    extract::{Query, State, rejection::FormRejection},
    response::{IntoResponse, Redirect, Response},
};
use bowline_model::{
    RunId,
    approval::{Decision, FieldKind, NamedField, QUESTION_CHARS_MAX, Question, WHY_CHARS_MAX},
};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    REFERRER,
    frame::{Again, Follow, Frame, Stamp},
    links::Links,
    render,
};
use crate::{
    admin::{Asked, Desk, Refusal},
    approvals::{APPROVALS_MAX, ApprovalList, ApprovalView},
    commands,
    wording::{age, clean, clean_lines, cut, span_between},
};

/// How much of a name a card shows, in characters.
const NAME_CHARS_MAX: usize = 200;
/// A text field that takes more gets several lines.
const ONE_LINE_CHARS_MAX: usize = 200;
/// With what the names of a question's own fields begin in the form: `by` of the form is not `by` of the question.
const FIELD_PREFIX: &str = "field.";

/// What was just decided, if something was.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ApprovalsQuery {
    decided: Option<i64>,
    #[serde(default)]
    approved: bool,
}

pub(super) async fn page(
    State(desk): State<Desk>,
    Extension(links): Extension<Links>,
    query: Asked<ApprovalsQuery>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let list = ApprovalList::read(&*desk.store, APPROVALS_MAX).await?;
    let mut page = ApprovalsPage::of(links, &list, None, desk.clock.now());
    page.decided = query.decided.map(|run| {
        let run = RunId(run);
        (run, page.frame.links.run(run), if query.approved { "approved" } else { "rejected" })
    });
    let html = render(&page)?;
    let has_form = !page.cards.is_empty();
    Ok(if has_form { ([REFERRER], html).into_response() } else { html.into_response() })
}

pub(super) async fn decide(
    State(desk): State<Desk>,
    Extension(links): Extension<Links>,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Refusal> {
    let Form(fields) = form.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let typed = Typed::of(fields)?;
    let list = ApprovalList::read(&*desk.store, APPROVALS_MAX).await?;
    let question =
        list.approvals.iter().find(|view| typed.is_of(view)).and_then(|view| view.question.clone());
    let decision = typed.decision(question.as_ref());
    match desk.commands().decide(typed.run, Some(&typed.name), decision).await {
        Ok(told) => Ok(Redirect::to(&links.decided(told.run, typed.approved)).into_response()),
        // The form as it was filled in, if the question is still there.
        Err(error) if question.is_some() && error.kind() == commands::ErrorKind::Invalid => {
            let page = ApprovalsPage::of(links, &list, Some((&typed, &error)), desk.clock.now());
            let html = render(&page)?;
            Ok((Refusal::from(error).status(), [REFERRER], html).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// A form as it was filled in.
struct Typed {
    run: RunId,
    name: String,
    approved: bool,
    by: String,
    why: String,
    fields: BTreeMap<String, String>,
}

impl Typed {
    fn of(form: Vec<(String, String)>) -> Result<Self, Refusal> {
        let mut fields: BTreeMap<String, String> = form.into_iter().collect();
        let mut take = |name: &str| fields.remove(name).unwrap_or_default();
        let (run, name, decision) = (take("run"), take("approval"), take("decision"));
        let (by, why) = (take("by"), take("why"));
        let run = run.parse().map_err(|_| Refusal::bad_request("the form names no run"))?;
        let approved = match decision.as_str() {
            "approve" => true,
            "reject" => false,
            _ => {
                return Err(Refusal::bad_request(
                    "the form says neither yes nor no: press one of its buttons",
                ));
            }
        };
        let own = |(name, text): (String, String)| Some((name.strip_prefix(FIELD_PREFIX)?.to_owned(), text));
        Ok(Self { run, name, approved, by, why, fields: fields.into_iter().filter_map(own).collect() })
    }

    fn is_of(&self, view: &ApprovalView) -> bool {
        view.run == self.run && view.name == self.name
    }

    fn decision(&self, question: Option<&Question>) -> Decision {
        let said = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let values = question.map(|question| question.read(self.fields.clone())).unwrap_or_default();
        Decision { approved: self.approved, by: said(&self.by), values, why: said(&self.why) }
    }
}

#[derive(Template)]
#[template(path = "approvals.html")]
struct ApprovalsPage {
    frame: Frame,
    /// The run that was just answered, and how.
    decided: Option<(RunId, String, &'static str)>,
    cards: Vec<Card>,
    more: bool,
}

/// One question.
struct Card {
    run: RunId,
    run_href: String,
    workflow: String,
    /// The approval's name: what the form sends, and what is shown of it.
    name: String,
    title: String,
    /// Begins the ids of its fields.
    id: String,
    question: Option<String>,
    approver: Option<String>,
    since: Stamp,
    age: String,
    /// When its time is over, and how soon that is.
    until: Option<(Stamp, String)>,
    inputs: Vec<Input>,
    by: String,
    why: String,
    why_chars_max: usize,
    /// What is wrong that belongs to no field.
    problems: Vec<String>,
    has_problems: bool,
}

struct Input {
    name: String,
    id: String,
    label: String,
    required: bool,
    is_checked: bool,
    value: String,
    kind: InputKind,
    problem: Option<String>,
}

enum InputKind {
    Line { chars_max: usize },
    Text { chars_max: usize },
    Number { min: Option<f64>, max: Option<f64> },
    Choice { options: Vec<(String, bool)> },
    Checkbox,
}

impl ApprovalsPage {
    fn of(
        links: Links,
        list: &ApprovalList,
        wrong: Option<(&Typed, &commands::Error)>,
        now: Timestamp,
    ) -> Self {
        let cards = list.approvals.iter().zip(1..).map(|(view, nth)| {
            let wrong = wrong.filter(|(typed, _)| typed.is_of(view));
            Card::of(view, nth, &links, wrong, now)
        });
        let cards: Vec<_> = cards.collect();
        let again = Again { made: Stamp::second(now), refresh: links.approvals(), follow: Follow::Ended };
        let title =
            if cards.is_empty() { "Approvals".to_owned() } else { format!("Approvals ({})", cards.len()) };
        Self { frame: Frame { links, title, again: Some(again) }, decided: None, cards, more: list.more }
    }
}

impl Card {
    fn of(
        view: &ApprovalView,
        nth: usize,
        links: &Links,
        wrong: Option<(&Typed, &commands::Error)>,
        now: Timestamp,
    ) -> Self {
        let id = format!("a{nth}");
        let typed = wrong.map(|(typed, _)| typed);
        let problem_of = |field: &str| {
            let (_, error) = wrong?;
            error.wrong().iter().find(|wrong| wrong.field == field).map(|wrong| wrong.message.clone())
        };
        let question = view.question.as_ref();
        let fields = question.map(|question| question.fields.as_slice()).unwrap_or_default();
        let inputs: Vec<_> =
            fields.iter().map(|field| Input::of(field, &id, typed, problem_of(&field.name))).collect();
        let problems = ["by", "why"].map(|name| problem_of(name).map(|problem| format!("{name}: {problem}")));
        let until = view.until.map(|until| {
            let left = match until <= now {
                true => "its time is over".to_owned(),
                false => format!("{} left", span_between(now, until)),
            };
            (Stamp::second(until), left)
        });
        Self {
            run: view.run,
            run_href: links.run(view.run),
            workflow: cut(&clean(view.workflow.as_str()), NAME_CHARS_MAX),
            name: view.name.clone(),
            title: cut(&clean(&view.name), NAME_CHARS_MAX),
            question: question.map(|question| cut(&clean_lines(&question.question), QUESTION_CHARS_MAX)),
            approver: question
                .and_then(|question| question.approver.as_deref())
                .map(|approver| cut(&clean(approver), NAME_CHARS_MAX)),
            since: Stamp::second(view.since),
            age: age(view.since, now),
            until,
            inputs,
            by: typed.map(|typed| typed.by.clone()).unwrap_or_default(),
            why: typed.map(|typed| typed.why.clone()).unwrap_or_default(),
            why_chars_max: WHY_CHARS_MAX,
            problems: problems.into_iter().flatten().collect(),
            has_problems: wrong.is_some(),
            id,
        }
    }
}

impl Input {
    fn of(field: &NamedField, card: &str, typed: Option<&Typed>, problem: Option<String>) -> Self {
        let value = typed.and_then(|typed| typed.fields.get(&field.name)).cloned().unwrap_or_default();
        let kind = match &field.field.kind {
            FieldKind::Text { chars_max } if *chars_max <= ONE_LINE_CHARS_MAX => {
                InputKind::Line { chars_max: *chars_max }
            }
            FieldKind::Text { chars_max } => InputKind::Text { chars_max: *chars_max },
            FieldKind::Number { min, max } => InputKind::Number { min: *min, max: *max },
            FieldKind::Choice { options } => InputKind::Choice {
                options: options.iter().map(|option| (option.clone(), *option == value)).collect(),
            },
            FieldKind::Checkbox => InputKind::Checkbox,
        };
        let label = Some(field.field.label.trim()).filter(|label| !label.is_empty()).unwrap_or(&field.name);
        Self {
            name: format!("{FIELD_PREFIX}{}", field.name),
            id: format!("{card}-{}", field.name),
            label: clean(label),
            required: field.field.required,
            is_checked: matches!(kind, InputKind::Checkbox) && value == "on",
            value,
            kind,
            problem,
        }
    }
}

/// An open approval, above the runs.
pub(super) struct ApprovalNotice {
    pub(super) run: RunId,
    pub(super) question: String,
    pub(super) approver: Option<String>,
    pub(super) age: String,
}

impl ApprovalNotice {
    pub(super) fn of(view: &ApprovalView, now: Timestamp) -> Self {
        let question = view.question.as_ref();
        let asked = question.map_or(view.name.as_str(), |question| question.question.as_str());
        let approver = question.and_then(|question| question.approver.as_deref());
        Self {
            run: view.run,
            question: cut(&clean(asked), NAME_CHARS_MAX),
            approver: approver.map(|approver| cut(&clean(approver), NAME_CHARS_MAX)),
            age: age(view.since, now),
        }
    }
}
