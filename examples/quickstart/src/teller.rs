//! One run's timeline, line by line as it grows: each line is told once, and only when the journal has it.

use std::collections::{HashMap, HashSet};

use bowline_dashboard::{
    RunView,
    view::{EndKind, EndView, Item, StepState, StepView},
};
use bowline_model::{EntryKind, RunId};

use crate::screen::{Tone, offset, paint, say_as, span};

/// A line of a timeline: which item it is of, and which part of that item.
type Place = (usize, u32);
/// An item's outcome comes after its attempts.
const OUTCOME: u32 = u32::MAX;

/// What was told of which run.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    told: HashMap<RunId, HashSet<Place>>,
}

struct Line {
    place: Place,
    at_ms: i64,
    text: String,
}

impl Teller {
    /// Whether anything was told of that run.
    pub(crate) fn knows(&self, run: RunId) -> bool {
        self.told.contains_key(&run)
    }

    /// Tells what is new in that run.
    pub(crate) fn tell(&mut self, view: &RunView) {
        let run = view.run.id;
        let told = self.told.entry(run).or_default();
        for line in lines(view) {
            if told.insert(line.place) {
                let at = paint(Tone::Dim, format!("{:<9}", offset(line.at_ms)));
                say_as(&format!("run {run}"), format!("{at}  {}", line.text));
            }
        }
    }

    /// Counts everything in that run as told.
    pub(crate) fn skip(&mut self, view: &RunView) {
        self.told.entry(view.run.id).or_default().extend(lines(view).iter().map(|line| line.place));
    }
}

fn lines(view: &RunView) -> Vec<Line> {
    let mut lines = vec![];
    for (at, item) in view.timeline.iter().enumerate() {
        match item {
            Item::Step(step) => step_lines(at, view, step, &mut lines),
            Item::Note(note) => {
                let mark = if note.kind == EntryKind::OperatorRetry { "↻" } else { "·" };
                lines.push(Line { place: (at, 0), at_ms: note.at_ms, text: format!("{mark} {}", note.text) });
            }
            Item::End(end) => lines.push(end_line(at, end)),
        }
    }
    lines
}

fn step_lines(at: usize, view: &RunView, step: &StepView, lines: &mut Vec<Line>) {
    for failed in &step.failed {
        let why = failed.failure.as_ref().map_or("failed", |failure| failure.message.as_str());
        // The line with the outcome names the call.
        let why = step.call.as_deref().and_then(|call| why.strip_prefix(call)).unwrap_or(why).trim_start();
        let begins = view.run.created_at.as_millisecond() + failed.at_ms;
        let next = failed.next_at.map(|next| span(next.as_millisecond() - begins));
        let next = next.map(|next| format!("; next in {next}")).unwrap_or_default();
        let text = format!("✗ {}, attempt {}: {why}{next}", step.name, failed.number);
        lines.push(Line { place: (at, failed.number), at_ms: failed.at_ms, text: paint(Tone::Wait, text) });
    }
    if let Some(at_ms) = step.ended_ms {
        lines.push(Line { place: (at, OUTCOME), at_ms, text: outcome(step) });
    }
}

fn outcome(step: &StepView) -> String {
    let name = match step.attempts {
        0 | 1 => step.name.clone(),
        attempts => format!("{}, attempt {attempts}", step.name),
    };
    let why = step.failure.as_ref().map(|failure| format!(": {}", failure.message)).unwrap_or_default();
    match step.state {
        StepState::Done => {
            let call = paint(Tone::Dim, step.call.as_deref().unwrap_or_default());
            format!("{}  {call}", paint(Tone::Good, format!("✓ {name}")))
        }
        StepState::Refused => paint(Tone::Bad, format!("✗ {name}{why}")),
        StepState::Unknown => paint(Tone::Bad, format!("? {name}{why}")),
        StepState::Retrying | StepState::Began | StepState::Waiting | StepState::Dropped => {
            paint(Tone::Dim, format!("– {name}{why}"))
        }
    }
}

fn end_line(at: usize, end: &EndView) -> Line {
    let text = match end.kind {
        EndKind::Completed => paint(Tone::Good, "● completed"),
        EndKind::DeadLettered => paint(Tone::Bad, "● dead letter: it needs a person"),
        EndKind::Cancelled | EndKind::Continued => paint(Tone::Dim, "● ended"),
    };
    Line { place: (at, OUTCOME), at_ms: end.at_ms, text }
}
