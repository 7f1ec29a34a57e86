//! How runs look on a screen: aligned columns, marks that read without colour, nothing that a remote could use to
//! paint over the terminal.
//!
//! What comes in: views. What goes out: text, with ANSI colours if asked; whoever writes it to something that is no
//! terminal strips them (`anstream` does).

mod approvals;
mod columns;
mod paint;
mod reports;
mod standing;
mod text;
mod timeline;
mod triggers;

use bowline_dashboard::{
    commands::PausedWorkflow,
    view::{RunList, RunRow},
    wording::{clean, cut, fork_of, span_between},
};
use bowline_model::RunState;
use jiff::Timestamp;

pub use self::{
    approvals::approvals,
    paint::Paint,
    reports::{
        bulk_cancelled, bulk_retried, cancelled, checked, discarded, error, fitted, forked, pausing, receipt,
        replayed, retried, settled, told,
    },
    text::excerpt,
    timeline::timeline,
    triggers::triggers,
};
use self::{
    columns::{Column, columns},
    paint::Tone,
};

/// How much of a run's summary a list shows, in characters: at least, at most where the width of the screen is not known, and
/// at most.
const NOTE_CHARS_MIN: usize = 30;
const NOTE_CHARS_USUAL: usize = 100;
const NOTE_CHARS_MAX: usize = 200;

/// A list of runs, on a screen that is so many characters wide, if that is known.
pub fn runs(list: &RunList, now: Timestamp, screen_chars: Option<usize>, paint: Paint) -> String {
    let header = ["RUN", "STATE", "WORKFLOW", "EVENT", "AGE"].map(|title| (title.to_owned(), Tone::Dim));
    let rows = list.runs.iter().map(|run| {
        vec![
            (run.id.to_string(), Tone::Plain),
            (run.state.to_string(), tone(run.state)),
            (clean(run.workflow.as_str()), Tone::Plain),
            (run.event.to_string(), Tone::Plain),
            (span_between(run.created_at, now), Tone::Plain),
        ]
    });
    let mut rows: Vec<_> = std::iter::once(header.to_vec()).chain(rows).collect();
    let before = columns::width_of(&rows);
    let note_chars = screen_chars.map_or(NOTE_CHARS_USUAL, |screen| {
        // What is cut ends in one more.
        screen.saturating_sub(before + 1).clamp(NOTE_CHARS_MIN, NOTE_CHARS_MAX)
    });
    for (row, run) in rows.iter_mut().skip(1).zip(&list.runs) {
        row.push((cut(&note(run, now), note_chars), Tone::Plain));
    }
    let layout = [Column::Right, Column::Left, Column::Left, Column::Right, Column::Right, Column::Left];
    let mut text = paused(&list.paused, now, paint);
    text.push_str(&columns(&rows, &layout, "", paint));
    if let Some(next) = list.next {
        text.push_str(&paint.tone(&format!("older runs: --before {next}"), Tone::Dim));
        text.push('\n');
    }
    text
}

/// Workflows that are paused.
pub fn paused(paused: &[PausedWorkflow], now: Timestamp, paint: Paint) -> String {
    paused.iter().map(|paused| standing::paused(paused, now, paint)).collect()
}

fn note(run: &RunRow, now: Timestamp) -> String {
    let mut notes = vec![];
    if let Some(replayed) = run.replay_of {
        notes.push(format!("replay of run {replayed}"));
    }
    notes.extend(run.fork_of.as_ref().map(fork_of));
    if let Some(due) = run.due.filter(|_| run.state.is_open()) {
        notes.push(if due <= now { "due".to_owned() } else { format!("due in {}", span_between(now, due)) });
    }
    if run.crashes > 0 && run.state.is_open() {
        notes.push(format!("crashes: {}", run.crashes));
    }
    match (run.dead_reason, &run.summary) {
        (Some(reason), Some(summary)) => notes.push(format!("{reason}: {}", clean(summary))),
        (Some(reason), None) => notes.push(reason.to_string()),
        (None, Some(summary)) => notes.push(clean(summary)),
        (None, None) => {}
    }
    notes.join("; ")
}

fn tone(state: RunState) -> Tone {
    match state {
        RunState::Queued => Tone::Plain,
        RunState::Running | RunState::Waiting => Tone::Wait,
        RunState::Completed => Tone::Good,
        RunState::Cancelled => Tone::Dim,
        RunState::DeadLettered => Tone::Bad,
    }
}

#[cfg(test)]
mod tests;
