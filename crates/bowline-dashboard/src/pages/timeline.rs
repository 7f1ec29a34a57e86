//! A timeline's items, as lines of a page.

use bowline_model::EntryKind;
use jiff::{SignedDuration, Timestamp};

use super::{
    bar::{Bar, Scale},
    frame::{Stamp, Tone},
    links::Links,
    refused::{Piece, pieces},
};
use crate::{
    view::{
        EndKind, EndView, FailedAttempt, FailureView, ForkHere, Item, NoteView, RunView, StepKind, StepState,
        StepView,
    },
    wording::{self, clean, clean_lines, offset, size, span_millis},
};

/// How much of a name or a call one line shows, in characters.
const NAME_CHARS_MAX: usize = 600;
/// How far a document is indented per level, and how deep at most: deeper ones would run out of the page.
const INDENT: &str = "  ";
const INDENT_LEVELS_MAX: usize = 12;

/// One item.
pub(super) struct Line {
    pub(super) at: Stamp,
    pub(super) mark: &'static str,
    pub(super) tone: Tone,
    pub(super) name: Vec<Piece>,
    /// The page of the run that the name speaks of.
    pub(super) goes_to: Option<String>,
    /// How it stands, in a word or three.
    pub(super) said: &'static str,
    pub(super) call: String,
    /// `118 ms`, `34 B`
    pub(super) facts: Vec<String>,
    pub(super) text: Option<Vec<Piece>>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) next: Option<Stamp>,
    pub(super) bar: Option<Bar>,
    pub(super) documents: Vec<Document>,
    pub(super) is_forgotten: bool,
    /// Where the run can be forked from here, or why not where that is new.
    pub(super) fork: Option<Fork>,
    /// A recorded value: less than a step.
    pub(super) is_minor: bool,
}

/// Whether the run can be forked from a line.
pub(super) enum Fork {
    /// The page that does it.
    From(String),
    /// It cannot be, for that reason; said once for lines in a row.
    Not(Vec<Piece>),
}

/// One attempt of a step that took more than one, or failed.
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) at: Option<Stamp>,
    pub(super) mark: &'static str,
    pub(super) tone: Tone,
    pub(super) text: String,
    pub(super) documents: Vec<Document>,
}

/// What a step yielded or a remote answered, behind a line that opens it.
pub(super) struct Document {
    pub(super) title: &'static str,
    pub(super) size: String,
    pub(super) text: String,
}

impl Document {
    pub(super) fn of(title: &'static str, text: &str, bytes: usize) -> Self {
        let text = if text.starts_with(['{', '[']) { indented(text) } else { text.to_owned() };
        Self { title, size: size(bytes), text: clean_lines(&text) }
    }
}

/// The lines, and how long the time is that their bars show.
pub(super) fn lines(view: &RunView, links: &Links, now: Timestamp) -> (Vec<Line>, Option<String>) {
    let end_ms = view.timeline.iter().map(last_ms).max().unwrap_or(0);
    let now_ms = now.as_millisecond() - view.run.created_at.as_millisecond();
    let end_ms = if view.run.state.is_open() { end_ms.max(now_ms) } else { end_ms };
    let scale = Scale::of(view, end_ms);
    let mut lines: Vec<_> = view.timeline.iter().map(|item| Line::of(item, view, links, scale)).collect();
    let mut said = None;
    for (line, item) in lines.iter_mut().zip(&view.timeline) {
        if let Item::Step(step) = item
            && step.kind != StepKind::Value
        {
            line.fork = fork(step, view, links, &mut said);
        }
    }
    let has_bars = lines.iter().any(|line| line.bar.is_some());
    let scale = scale.filter(|_| has_bars).map(|scale| span_millis(0, scale.end_ms));
    (lines, scale)
}

/// What a line says of a fork from it. `said` is the reason that the last line gave.
fn fork(step: &StepView, view: &RunView, links: &Links, said: &mut Option<String>) -> Option<Fork> {
    match step.fork.as_ref()? {
        ForkHere::Possible => {
            *said = None;
            Some(Fork::From(links.fork_from(view.run.id, &step.name)))
        }
        ForkHere::Impossible(why) if said.as_ref() == Some(why) => None,
        ForkHere::Impossible(why) => {
            *said = Some(why.clone());
            Some(Fork::Not(pieces(why)))
        }
    }
}

fn last_ms(item: &Item) -> i64 {
    match item {
        Item::Step(step) => {
            let failed = step.failed.last().map_or(step.began_ms, |failed| failed.at_ms);
            step.ended_ms.unwrap_or(failed)
        }
        Item::Note(note) => note.at_ms,
        Item::End(end) => end.at_ms,
    }
}

/// A place in the run's time.
fn stamp(view: &RunView, at_ms: i64) -> Stamp {
    Stamp::said(moment(view, at_ms), offset(at_ms))
}

fn moment(view: &RunView, at_ms: i64) -> Timestamp {
    // Milliseconds between two moments fit into one; an absurd sum is shown as the beginning.
    view.run.created_at.checked_add(SignedDuration::from_millis(at_ms)).unwrap_or(view.run.created_at)
}

fn name(text: &str) -> Vec<Piece> {
    vec![Piece { text: wording::cut(&clean(text), NAME_CHARS_MAX), is_code: false }]
}

impl Line {
    fn of(item: &Item, view: &RunView, links: &Links, scale: Option<Scale>) -> Self {
        match item {
            Item::Step(step) => Self::step(step, view, scale),
            Item::Note(note) => Self::note(note, view),
            Item::End(end) => Self::end(end, view, links),
        }
    }

    fn free(at: Stamp, mark: &'static str, tone: Tone, name: Vec<Piece>) -> Self {
        Self {
            at,
            mark,
            tone,
            name,
            goes_to: None,
            said: "",
            call: String::new(),
            facts: vec![],
            text: None,
            attempts: vec![],
            next: None,
            bar: None,
            documents: vec![],
            is_forgotten: false,
            fork: None,
            is_minor: false,
        }
    }

    fn step(step: &StepView, view: &RunView, scale: Option<Scale>) -> Self {
        let is_minor = step.kind == StepKind::Value;
        let is_waiting = step.state == StepState::Waiting && view.run.state.is_open();
        let took = step
            .ended_ms
            .map(|ended| span_millis(step.began_ms, ended))
            .filter(|_| !is_minor && step.kind != StepKind::Loop);
        let what = step.call.as_deref().unwrap_or(wording::kind(step.kind));
        let undoable = step.undoable.then(|| "can be undone".to_owned());
        let tone = if step.forgotten { Tone::Dim } else { tone(step.state) };
        Self {
            said: said(step),
            call: wording::cut(&clean(what), NAME_CHARS_MAX),
            facts: took.into_iter().chain(step.output_bytes.map(size)).chain(undoable).collect(),
            attempts: attempts(step, view),
            text: is_waiting.then(|| name(&wording::wait(step))),
            next: step.next_at.filter(|_| !is_waiting).map(Stamp::full),
            bar: scale.and_then(|scale| Bar::of(step, scale)),
            documents: document("Value", step.output.as_deref(), step.output_bytes),
            is_forgotten: step.forgotten,
            is_minor,
            ..Self::free(stamp(view, step.began_ms), wording::mark(step.state), tone, name(&step.name))
        }
    }

    fn note(note: &NoteView, view: &RunView) -> Self {
        let mark = if note.kind == EntryKind::OperatorRetry { "↻" } else { "·" };
        Self::free(stamp(view, note.at_ms), mark, Tone::Plain, name(&note.text))
    }

    fn end(end: &EndView, view: &RunView, links: &Links) -> Self {
        let (mark, tone) = match end.kind {
            EndKind::Completed => ("✓", Tone::Good),
            EndKind::DeadLettered => ("✗", Tone::Bad),
            EndKind::Continued => ("●", Tone::Plain),
            EndKind::Cancelled => ("–", Tone::Dim),
        };
        let step = end.caused_by.as_ref().map(|step| format!("step {}: ", clean(step)));
        let text = end.text.as_ref().map(|text| format!("{}{text}", step.unwrap_or_default()));
        Self {
            goes_to: end.went_on.map(|latest| links.run(latest)),
            facts: end.output_bytes.map(size).into_iter().collect(),
            text: text.as_deref().map(pieces),
            documents: document("The run's output", end.output.as_deref(), end.output_bytes),
            ..Self::free(stamp(view, end.at_ms), mark, tone, name(&wording::end(end)))
        }
    }
}

fn document(title: &'static str, text: Option<&str>, bytes: Option<usize>) -> Vec<Document> {
    text.map(|text| Document::of(title, text, bytes.unwrap_or(text.len()))).into_iter().collect()
}

fn tone(state: StepState) -> Tone {
    match state {
        StepState::Done => Tone::Good,
        StepState::Refused => Tone::Bad,
        StepState::Unknown | StepState::Retrying | StepState::Waiting => Tone::Wait,
        StepState::Began => Tone::Busy,
        StepState::Dropped => Tone::Dim,
    }
}

fn said(step: &StepView) -> &'static str {
    match (step.forgotten, step.state) {
        (true, _) => "forgotten by a retry",
        (false, StepState::Done) if step.kind == StepKind::Value => "",
        (false, StepState::Done) => "done",
        (false, StepState::Refused) => "refused",
        (false, StepState::Unknown) => "may have happened",
        (false, StepState::Retrying) if step.next_at.is_some() => "is tried again",
        (false, StepState::Retrying) => "was not tried again",
        (false, StepState::Waiting) => "waits",
        (false, StepState::Began) => "begun",
        (false, StepState::Dropped) => "no longer waited for",
    }
}

/// The attempts of a step that took more than one, or failed.
fn attempts(step: &StepView, view: &RunView) -> Vec<Attempt> {
    let mut attempts: Vec<_> = step.failed.iter().map(|failed| Attempt::failed(failed, step, view)).collect();
    let last = Attempt {
        number: step.attempts.max(1),
        at: step.ended_ms.map(|ended| stamp(view, ended)),
        mark: wording::mark(step.state),
        tone: tone(step.state),
        text: String::new(),
        documents: vec![],
    };
    if let Some(failure) = &step.failure {
        let text = wording::failure(step, failure);
        attempts.push(Attempt { text, documents: answer(failure), ..last });
    } else if !step.failed.is_empty() && step.ended_ms.is_some() {
        attempts.push(last);
    }
    attempts
}

impl Attempt {
    fn failed(failed: &FailedAttempt, step: &StepView, view: &RunView) -> Self {
        let failure = failed.failure.as_ref();
        let why = failure.map_or_else(|| "failed".to_owned(), |failure| wording::failure(step, failure));
        let next = wording::until_next(view, failed).map(|next| format!("; next after {next}"));
        Self {
            number: failed.number,
            at: Some(stamp(view, failed.at_ms)),
            mark: "✗",
            tone: Tone::Bad,
            text: format!("{why}{}", next.unwrap_or_default()),
            documents: failure.map(answer).unwrap_or_default(),
        }
    }
}

fn answer(failure: &FailureView) -> Vec<Document> {
    document("The remote's answer", failure.answer.as_deref(), None)
}

/// A JSON document with a line for each member. What is no JSON, or its cut beginning, comes out with odd lines and
/// every character that it had.
fn indented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&INDENT.repeat(depth.min(INDENT_LEVELS_MAX)));
    };
    let mut chars = json.chars().peekable();
    while let Some(char) = chars.next() {
        if in_string {
            text.push(char);
            in_string = escaped || char != '"';
            escaped = !escaped && char == '\\';
            continue;
        }
        match char {
            '{' | '[' => {
                text.push(char);
                depth += 1;
                while chars.peek().is_some_and(char::is_ascii_whitespace) {
                    chars.next();
                }
                if chars.peek().is_none_or(|next| !matches!(next, '}' | ']')) {
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !text.ends_with(['{', '[']) {
                    line(&mut text, depth);
                }
                text.push(char);
            }
            ',' => {
                text.push(char);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            '"' => {
                in_string = true;
                text.push(char);
            }
            char if char.is_ascii_whitespace() => {}
            char => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::indented;

    #[track_caller]
    fn check(json: &str, expect: &str) {
        assert_eq!(indented(json), expect);
    }

    #[test]
    fn a_document_is_laid_out_and_keeps_the_order_of_its_members() {
        check(
            r#"{"b": 1.50,"a":[1,{}, []],"t":"x, {\"y\": [\\"}"#,
            "{\n  \"b\": 1.50,\n  \"a\": [\n    1,\n    {},\n    []\n  ],\n  \"t\": \"x, {\\\"y\\\": [\\\\\"\n}",
        );
    }

    #[test]
    fn what_is_cut_or_is_no_json_is_shown_all_the_same() {
        check(r#"{"a":"b…"#, "{\n  \"a\": \"b…");
        check("]]}", "\n]\n]\n}");
        assert!(indented(&"[".repeat(4096)).len() < 4096 * 32);
    }
}
