//! One run in time: each step where it began, its attempts beneath it, and the end.

use bowline_dashboard::{
    RunView,
    view::{EndKind, EndView, FailedAttempt, FailureView, Item, NoteView, StepKind, StepState, StepView},
    wording::{self, Sides, clean, cut, meaning, moment, offset, remedy, size, span_millis},
};
use bowline_model::{DeadReason, EntryKind, RunState};

use super::{
    columns::{Cell, Column, columns},
    paint::{Paint, Tone},
    standing, tone,
};

const NAME_CHARS_MAX: usize = 48;
const CALL_CHARS_MAX: usize = 60;

/// A run's head, its timeline, and what can be done about it.
pub fn timeline(view: &RunView, paint: Paint) -> String {
    let mut text = head(view, paint);
    text.push('\n');
    if view.left_out > 0 {
        let left_out = format!("  {} older entries are left out\n", view.left_out);
        text.push_str(&paint.tone(&left_out, Tone::Dim));
    }
    text.push_str(&body(view, paint));
    text.push_str(&standing::loops(view, paint));
    text.push_str(&standing::undo(view, paint));
    text.push_str(&children(view, paint));
    text.push_str(&standing::own_pause(view, paint));
    if let Some(tail) = tail(view) {
        text.push_str(&format!("{}\n", paint.tone(&tail, Tone::Dim)));
    }
    text
}

fn head(view: &RunView, paint: Paint) -> String {
    let run = &view.run;
    let took = match view.timeline.last() {
        Some(Item::End(end)) if !run.state.is_open() => format!(" after {}", span_millis(0, end.at_ms)),
        _ => String::new(),
    };
    let mut text = format!(
        "{}  {}  {}{took}\n",
        paint.tone(&format!("run {}", run.id), Tone::Strong),
        clean(run.workflow.as_str()),
        paint.tone(run.state.as_str(), tone(run.state)),
    );
    let mut line = |line: String| text.push_str(&format!("{}\n", paint.tone(&line, Tone::Dim)));
    match &view.event {
        Some(event) => line(format!(
            "event {}  {} {}  from {}, {}",
            event.id,
            clean(&event.kind),
            clean(&event.dedupe_key),
            clean(&event.source),
            size(event.body_bytes)
        )),
        None => line(format!("event {} is no longer stored", run.event)),
    }
    if let Some(old) = run.replay_of {
        line(format!("replay of run {old}"));
    }
    if let Some(fork) = &run.fork_of {
        line(wording::fork_of(fork));
    }
    if let Some(parent) = run.parent {
        line(format!("started by run {parent}"));
    }
    line(format!("accepted {}", moment(run.created_at)));
    text
}

/// The runs that it started.
fn children(view: &RunView, paint: Paint) -> String {
    let mut text = String::new();
    for child in &view.children {
        let state = paint.tone(child.state.as_str(), tone(child.state));
        text.push_str(&format!("  started run {}  {}  {state}", child.id, clean(child.workflow.as_str())));
        if let Some(summary) = &child.summary {
            text.push_str(&format!("  {}", cut(&clean(summary), CALL_CHARS_MAX)));
        }
        text.push('\n');
    }
    if view.more_children {
        text.push_str("  and older ones\n");
    }
    text
}

/// The items: lines of one table with the steps, between them free lines with attempts and notes.
fn body(view: &RunView, paint: Paint) -> String {
    let (mut rows, mut beneath) = (vec![], vec![]);
    for item in &view.timeline {
        let (row, lines) = match item {
            Item::Step(step) => (step_row(step), step_lines(view, step)),
            Item::Note(note) => (note_row(note), vec![]),
            Item::End(end) => (end_row(end), end_lines(end)),
        };
        rows.push(row);
        beneath.push(lines);
    }
    let layout =
        [Column::Right, Column::Left, Column::Left, Column::Left, Column::Right, Column::Right, Column::Left];
    let (notes, rows): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.note, row.cells)).unzip();
    let table = columns(&rows, &layout, "  ", paint);
    let mut text = String::new();
    for ((line, note), lines) in table.lines().zip(notes).zip(beneath) {
        text.push_str(line);
        if let Some((note, tone)) = note {
            text.push_str(&paint.tone(&note, tone));
        }
        text.push('\n');
        for (line, tone) in lines {
            text.push_str(&format!("      {}\n", paint.tone(&line, tone)));
        }
    }
    text
}

/// A line of the table, and text after it that takes no part in the alignment.
struct Row {
    cells: Vec<Cell>,
    note: Option<Cell>,
}

fn step_row(step: &StepView) -> Row {
    let (mark, state_tone) = mark(step.state);
    let all = |tone| if step.forgotten { Tone::Dim } else { tone };
    let took = step.ended_ms.map(|ended| span_millis(step.began_ms, ended));
    let said = match (step.forgotten, step.state) {
        (true, _) => "forgotten by a retry",
        (false, StepState::Unknown) => "may have happened",
        (false, StepState::Dropped) => "no longer waited for",
        (false, StepState::Began) => "begun",
        (false, StepState::Done) if step.undoable => "can be undone",
        (false, StepState::Done | StepState::Refused | StepState::Retrying | StepState::Waiting) => "",
    };
    let cells = vec![
        (offset(step.began_ms), Tone::Dim),
        (mark.to_owned(), all(state_tone)),
        (cut(&clean(&step.name), NAME_CHARS_MAX), all(Tone::Plain)),
        (cut(&clean(&what(step)), CALL_CHARS_MAX), Tone::Dim),
        // A recorded value takes no time that anybody asks about, and when a loop began is gone with its first notes.
        (
            took.filter(|_| !matches!(step.kind, StepKind::Value | StepKind::Loop)).unwrap_or_default(),
            Tone::Dim,
        ),
        (step.output_bytes.map(size).unwrap_or_default(), Tone::Dim),
        (said.to_owned(), all(if step.state == StepState::Done { Tone::Dim } else { Tone::Wait })),
    ];
    Row { cells, note: None }
}

fn what(step: &StepView) -> String {
    step.call.clone().unwrap_or_else(|| wording::kind(step.kind).to_owned())
}

fn mark(state: StepState) -> (&'static str, Tone) {
    let tone = match state {
        StepState::Done => Tone::Good,
        StepState::Refused => Tone::Bad,
        StepState::Unknown | StepState::Retrying | StepState::Waiting | StepState::Began => Tone::Wait,
        StepState::Dropped => Tone::Dim,
    };
    (wording::mark(state), tone)
}

/// The attempts of a step that took more than one, or failed; then what it yielded, if asked for.
fn step_lines(view: &RunView, step: &StepView) -> Vec<Cell> {
    let mut lines = vec![];
    for failed in &step.failed {
        lines.push((attempt_line(view, step, failed), Tone::Bad));
        lines.extend(failed.failure.as_ref().and_then(answer_line));
    }
    let last = step.attempts.max(1);
    if let Some(failure) = &step.failure {
        let number = if step.failed.is_empty() { String::new() } else { format!("attempt {last}  ") };
        let (mark, tone) = mark(step.state);
        lines.push((format!("{mark} {number}{}", wording::failure(step, failure)), tone));
        lines.extend(answer_line(failure));
    } else if let (false, Some(ended)) = (step.failed.is_empty(), step.ended_ms) {
        let (mark, tone) = mark(step.state);
        lines.push((format!("{mark} attempt {last}  {}", offset(ended)), tone));
    }
    if step.state == StepState::Waiting && view.run.state.is_open() {
        lines.push((format!("… {}", wording::wait(step)), Tone::Wait));
    } else if let Some(due) = step.next_at {
        lines.push((format!("… next at {}", moment(due)), Tone::Wait));
    }
    lines.extend(step.output.as_ref().map(|output| (format!("= {}", clean(output)), Tone::Dim)));
    lines
}

fn attempt_line(view: &RunView, step: &StepView, failed: &FailedAttempt) -> String {
    let why = failed.failure.as_ref();
    let why = why.map_or_else(|| "failed".to_owned(), |failure| wording::failure(step, failure));
    let next = wording::until_next(view, failed).map(|next| format!("; next after {next}"));
    format!("✗ attempt {}  {}  {why}{}", failed.number, offset(failed.at_ms), next.unwrap_or_default())
}

fn answer_line(failure: &FailureView) -> Option<Cell> {
    failure.answer.as_ref().map(|answer| (format!("  answer: {}", clean(answer)), Tone::Dim))
}

fn note_row(note: &NoteView) -> Row {
    let mark = if note.kind == EntryKind::OperatorRetry { "↻" } else { "·" };
    free_row(note.at_ms, (mark.to_owned(), Tone::Strong), (clean(&note.text), Tone::Plain))
}

fn end_row(end: &EndView) -> Row {
    let (mark, tone) = match end.kind {
        EndKind::Completed => ("●", Tone::Good),
        EndKind::DeadLettered => ("✗", Tone::Bad),
        EndKind::Continued => ("●", Tone::Plain),
        EndKind::Cancelled => ("–", Tone::Dim),
    };
    let size = end.output_bytes.map(|bytes| format!("  {}", size(bytes))).unwrap_or_default();
    free_row(end.at_ms, (mark.to_owned(), tone), (format!("{}{size}", wording::end(end)), tone))
}

/// A line whose text is longer than names are: it must not widen their column.
fn free_row(at_ms: i64, mark: Cell, (text, tone): Cell) -> Row {
    Row { cells: vec![(offset(at_ms), Tone::Dim), mark], note: Some((format!("  {text}"), tone)) }
}

fn end_lines(end: &EndView) -> Vec<Cell> {
    let mut lines = vec![];
    let sides = end.text.as_deref().filter(|_| end.reason == Some(DeadReason::Mismatch)).and_then(Sides::of);
    if let Some(sides) = &sides {
        lines.extend(standing::sides(sides).map(|line| (line, Tone::Plain)));
    } else if let Some(text) = &end.text {
        let step = end.caused_by.as_ref().map(|step| format!("step {}: ", clean(step)));
        lines.push((format!("{}{}", step.unwrap_or_default(), clean(text)), Tone::Plain));
    }
    lines.extend(end.output.as_ref().map(|output| (format!("= {}", clean(output)), Tone::Dim)));
    lines
}

/// What comes next, or what can be done.
fn tail(view: &RunView) -> Option<String> {
    let id = view.run.id;
    match view.run.state {
        RunState::Queued => Some("  … queued".to_owned()),
        RunState::Running => Some("  … running".to_owned()),
        RunState::Waiting => Some(match (view.run.due, view.waits().as_slice()) {
            (_, [one]) => format!("  … {one}"),
            (Some(due), []) => format!("  … waits until {}", moment(due)),
            (None, []) => "  … waits".to_owned(),
            (due, many) => {
                let goes_on =
                    due.map(|due| format!("; goes on at {} at the latest", moment(due))).unwrap_or_default();
                format!("  … waits for {} things{goes_on}", many.len())
            }
        }),
        RunState::DeadLettered => {
            let why = view.run.dead_reason;
            let why = why.map(|reason| format!("\n{}\n{}", meaning(reason), remedy(reason)));
            let mut said = format!(
                "{}\n`retry {id}` {}, `discard {id}` closes it, `replay {id}` runs it anew",
                why.unwrap_or_default(),
                standing::retry_words(view)
            );
            for step in &view.unknown {
                said.push_str(&format!(
                    "\n`settle {id} \"{}\" --done JSON` or `--not-done` says what became of that step",
                    clean(step)
                ));
            }
            said.extend(standing::fork_words(view));
            Some(said)
        }
        RunState::Completed | RunState::Cancelled => standing::fork_words(view),
    }
}
