//! Where in a run's time a step was: a strip from the run's beginning to its end, or to now.

use crate::view::{RunView, StepKind, StepState, StepView};

use super::frame::Tone;

/// The strip's length, in its own units.
const UNITS: i64 = 1000;
/// What is shorter is drawn so long, to be seen at all.
const UNITS_MIN: i64 = 5;

/// A step's strip.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) segments: Vec<Segment>,
}

/// An attempt, or the wait before the next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) from: i64,
    pub(super) length: i64,
    pub(super) tone: Tone,
    pub(super) is_wait: bool,
}

/// A run's time, in milliseconds after it was accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) end_ms: i64,
    created_ms: i64,
}

impl Scale {
    /// From a run's beginning to `end_ms`; `None` if that is no time at all.
    pub(super) fn of(view: &RunView, end_ms: i64) -> Option<Self> {
        (end_ms > 0).then(|| Self { end_ms, created_ms: view.run.created_at.as_millisecond() })
    }

    fn segment(self, from_ms: i64, to_ms: i64, tone: Tone, is_wait: bool) -> Segment {
        let unit = |ms: i64| ms.clamp(0, self.end_ms) * UNITS / self.end_ms;
        let from = unit(from_ms).min(UNITS - UNITS_MIN);
        let length = (unit(to_ms) - from).max(if is_wait { 0 } else { UNITS_MIN });
        Segment { from, length, tone, is_wait }
    }
}

impl Bar {
    /// The step's attempts and the waits between them; `None` for what takes no time that anybody asks about.
    pub(super) fn of(step: &StepView, scale: Scale) -> Option<Self> {
        if step.kind == StepKind::Value {
            return None;
        }
        let mut segments = vec![];
        let mut from = Some(step.began_ms);
        for failed in &step.failed {
            let began = from.unwrap_or(failed.at_ms).min(failed.at_ms);
            segments.push(scale.segment(began, failed.at_ms, Tone::Bad, false));
            let next = failed.next_at.map(|next| next.as_millisecond() - scale.created_ms);
            let stop = step.ended_ms.unwrap_or(scale.end_ms);
            let until = next.unwrap_or(failed.at_ms).min(stop);
            segments.push(scale.segment(failed.at_ms, until, Tone::Wait, true));
            from = next.filter(|next| *next < stop);
        }
        if let Some(ended) = step.ended_ms {
            segments.push(scale.segment(from.unwrap_or(ended), ended, tone(step.state), false));
        }
        Some(Self { segments })
    }
}

fn tone(state: StepState) -> Tone {
    match state {
        StepState::Done => Tone::Good,
        StepState::Refused => Tone::Bad,
        StepState::Unknown | StepState::Retrying | StepState::Began | StepState::Waiting => Tone::Wait,
        StepState::Dropped => Tone::Dim,
    }
}
