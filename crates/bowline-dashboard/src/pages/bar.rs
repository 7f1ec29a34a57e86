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
        if step.state == StepState::Waiting {
            segments.push(scale.segment(step.began_ms, scale.end_ms, Tone::Wait, true));
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

#[cfg(test)]
mod tests {
    use bowline_model::{RunId, RunState};
    use serde_json::json;

    use super::*;

    /// A step as the API writes it, in a run that was accepted at second 0.
    #[track_caller]
    fn check(step: serde_json::Value, end_ms: i64, expect: &[(i64, i64, &str)]) {
        let mut whole = json!({ "seq": 1, "name": "sync", "kind": "step", "attempts": 1 });
        whole.as_object_mut().expect("an object").extend(step.as_object().expect("an object").clone());
        let step: StepView = serde_json::from_value(whole).expect("it fits");
        let bar = Scale::of(&view(), end_ms).and_then(|scale| Bar::of(&step, scale));
        let segments = bar.map(|bar| bar.segments).unwrap_or_default();
        let word = |segment: &Segment| if segment.is_wait { "between" } else { segment.tone.class() };
        let segments: Vec<_> = segments.iter().map(|of| (of.from, of.length, word(of))).collect();
        assert_eq!(segments, expect);
    }

    fn view() -> RunView {
        let run = json!({
            "id": RunId(1), "workflow": "w", "state": RunState::Running, "event": 1, "build": "1",
            "created_at": "2026-11-22T10:00:00Z", "changed_at": "2026-11-22T10:00:00Z",
        });
        serde_json::from_value(json!({ "run": run, "timeline": [] })).expect("it fits")
    }

    #[test]
    fn attempts_and_the_waits_between_them_fill_the_step() {
        let failed = json!([{ "number": 1, "at_ms": 200, "next_at": "2026-11-22T10:00:00.700Z" }]);
        check(
            json!({ "state": "done", "began_ms": 100, "ended_ms": 800, "failed": failed }),
            1000,
            &[(100, 100, "bad"), (200, 500, "between"), (700, 100, "good")],
        );
    }

    #[test]
    fn a_wait_that_is_not_over_ends_with_the_run_s_time_so_far() {
        let failed = json!([{ "number": 1, "at_ms": 10, "next_at": "2026-11-22T11:00:00Z" }]);
        check(
            json!({ "state": "retrying", "began_ms": 0, "failed": failed }),
            1000,
            &[(0, 10, "bad"), (10, 990, "between")],
        );
    }

    #[test]
    fn what_is_waited_for_still_fills_the_rest() {
        check(json!({ "state": "waiting", "began_ms": 250 }), 1000, &[(250, 750, "between")]);
    }

    #[test]
    fn what_is_short_is_seen_and_what_is_outside_stays_inside() {
        check(json!({ "state": "refused", "began_ms": 3, "ended_ms": 3 }), 1_000_000, &[(0, 5, "bad")]);
        check(json!({ "state": "done", "began_ms": 1000, "ended_ms": 1000 }), 1000, &[(995, 5, "good")]);
        check(json!({ "state": "done", "began_ms": -50, "ended_ms": 5000 }), 1000, &[(0, 1000, "good")]);
    }

    #[test]
    fn a_value_and_a_run_of_no_time_have_no_bar() {
        check(json!({ "state": "done", "kind": "value", "began_ms": 1, "ended_ms": 1 }), 1000, &[]);
        check(json!({ "state": "done", "began_ms": 0, "ended_ms": 0 }), 0, &[]);
    }
}
