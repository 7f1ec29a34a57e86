//! Questions to people, on a terminal.

use bowline_dashboard::{
    approvals::{ApprovalList, ApprovalView},
    wording::{age, clean, moment},
};
use bowline_model::approval::{Field, FieldKind, NamedField};
use jiff::Timestamp;

use super::paint::{Paint, Tone};

/// Each with what it asks, and what can be said.
pub fn approvals(list: &ApprovalList, now: Timestamp, paint: Paint) -> String {
    let mut text =
        list.approvals.iter().map(|view| approval(view, now, paint)).collect::<Vec<_>>().join("\n");
    if list.more {
        text.push_str("there are more: they come when these are answered\n");
    }
    text
}

fn approval(view: &ApprovalView, now: Timestamp, paint: Paint) -> String {
    let mut head = format!("{} run {}", paint.tone("…", Tone::Wait), view.run);
    head.push_str(&format!("  {}  {}", clean(view.workflow.as_str()), clean(&view.name)));
    head.push_str(&paint.tone(&format!("  for {}", age(view.since, now)), Tone::Dim));
    if let Some(until) = view.until {
        head.push_str(&paint.tone(&format!(", until {}", moment(until)), Tone::Dim));
    }
    let Some(question) = &view.question else {
        return format!("{head}\n  this build cannot read what it asks\n");
    };
    let mut text = format!("{head}\n  {}\n", paint.tone(&clean(&question.question), Tone::Strong));
    if let Some(approver) = &question.approver {
        text.push_str(&format!("  asked of {}\n", clean(approver)));
    }
    for NamedField { name, field } in &question.fields {
        let needed = if field.required { ", needed" } else { "" };
        text.push_str(&format!("  --set {}=…  {} ({}{needed})\n", name, clean(&field.label), takes(field)));
    }
    let said =
        format!("`approve {0} --name {1:?}` or `reject {0} --name {1:?}`", view.run, clean(&view.name));
    text.push_str(&format!("  {}\n", paint.tone(&said, Tone::Dim)));
    text
}

fn takes(field: &Field) -> String {
    match &field.kind {
        FieldKind::Text { chars_max } => format!("text, at most {chars_max} characters"),
        FieldKind::Number { min: Some(min), max: Some(max) } => format!("number from {min} to {max}"),
        FieldKind::Number { min: Some(min), max: None } => format!("number, at least {min}"),
        FieldKind::Number { min: None, max: Some(max) } => format!("number, at most {max}"),
        FieldKind::Number { min: None, max: None } => "number".to_owned(),
        FieldKind::Choice { options } => {
            format!("one of: {}", options.iter().map(|option| clean(option)).collect::<Vec<_>>().join(", "))
        }
        FieldKind::Checkbox => "yes or no".to_owned(),
    }
}
