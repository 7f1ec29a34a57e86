//! How runs read: the same words, times and sizes on a page and on a terminal.
//!
//! What comes in: views, and text that others wrote. What goes out: text of one line that cannot reorder, hide or
//! control what stands around it. What must never be here: markup or colours; a page escapes, a terminal paints.

mod sides;

use std::time::Duration;

use bowline_model::{AlertKind, DeadReason, RunState};
use jiff::Timestamp;

use crate::commands::{PausedWorkflow, pause::OpenRuns};
use crate::view::{
    EndKind, EndView, FailedAttempt, FailureView, ForkOf, RunView, StepKind, StepState, StepView,
};

pub use self::sides::Sides;

/// How much of a step's name stands beside a run, in characters.
pub(crate) const STEP_CHARS_MAX: usize = 120;

/// One line without control characters: foreign text cannot move the cursor, colour the screen, or add lines.
///
/// ```
/// use bowline_dashboard::wording::clean;
///
/// assert_eq!(clean("paid\r\nin \u{202e}full"), "paid  in \u{fffd}full");
/// ```
pub fn clean(text: &str) -> String {
    text.chars().map(|char| if char == '\n' { ' ' } else { tame(char) }).collect()
}

/// The same, with its line breaks kept: for documents that stand in a place of their own.
pub fn clean_lines(text: &str) -> String {
    text.chars().map(|char| if char == '\n' { '\n' } else { tame(char) }).collect()
}

fn tame(char: char) -> char {
    match char {
        '\r' | '\t' => ' ',
        char if char.is_control() || is_invisible(char) => '\u{fffd}',
        char => char,
    }
}

/// Characters that reorder or hide the text around them.
fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The first `chars_max` characters, with `…` if there are more.
pub fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `80 ms`, `1.24 s`, `2 min 05 s`, `3 h 12 min`, `4 d 03 h`
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..60 => {
            // Whole hundredths, rounded down: never "60.00 s".
            format!("{seconds}.{:02} s", span.subsec_millis() / 10)
        }
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// The time from one moment to another; nothing if it runs backwards.
pub fn span_between(from: Timestamp, to: Timestamp) -> String {
    span(Duration::try_from(to.duration_since(from)).unwrap_or_default())
}

/// The time from one millisecond of a run to another.
pub fn span_millis(from: i64, to: i64) -> String {
    span(Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0)))
}

/// An age at a glance: `now`, `12 s`, `5 min`, `3 h`, `4 d`.
pub fn age(from: Timestamp, to: Timestamp) -> String {
    match Duration::try_from(to.duration_since(from)).unwrap_or_default().as_secs() {
        0 => "now".to_owned(),
        seconds @ 1..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A place in a run's time: `+0.020 s`, `+2 min 05 s`.
pub fn offset(millis: i64) -> String {
    let sign = if millis < 0 { '-' } else { '+' };
    let millis = millis.unsigned_abs();
    if millis < 60_000 {
        format!("{sign}{}.{:03} s", millis / 1000, millis % 1000)
    } else {
        format!("{sign}{}", span(Duration::from_millis(millis)))
    }
}

/// `2026-11-22 10:00:00.123 UTC`
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

/// `82 B`, `2.1 kB`, `3.4 MB`
pub fn size(bytes: usize) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{}.{} kB", bytes / 1000, bytes % 1000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// `1,234,567`
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a run waits for with that step, as the end of a sentence that begins with the run: `sleeps until …`, `waits for
/// the signal "paid", until … at the latest`.
pub fn wait(step: &StepView) -> String {
    let child = step.child.map(|run| format!(", run {run}")).unwrap_or_default();
    format!("{}{child}{}", waits_for(step), wait_ends(step))
}

/// The beginning of [`wait`]: what is waited for.
pub fn waits_for(step: &StepView) -> String {
    match (step.state, &step.awaits) {
        (StepState::Retrying, _) => format!("tries {} again", clean(&step.name)),
        (_, Some(awaits)) => clean(awaits),
        (_, None) => "waits".to_owned(),
    }
}

/// The rest of [`wait`]: until when, if that is known.
pub fn wait_ends(step: &StepView) -> String {
    match step.next_at {
        None => String::new(),
        Some(at) if step.state == StepState::Retrying => format!(" at {}", moment(at)),
        Some(until) if step.kind == StepKind::Timer => format!(" until {}", moment(until)),
        Some(until) => format!(", until {} at the latest", moment(until)),
    }
}

/// Of which run another one is a fork, and from where: `fork of run 3 from charge`.
pub fn fork_of(fork: &ForkOf) -> String {
    format!("fork of run {} from {}", fork.run, cut(&clean(&fork.from), STEP_CHARS_MAX))
}

/// How a run stands that is undone, in a title.
pub fn undo_title(state: RunState) -> &'static str {
    match state {
        RunState::Queued | RunState::Running | RunState::Waiting => "What it did is being undone",
        RunState::DeadLettered => "What it did is undone in part",
        RunState::Completed | RunState::Cancelled => "What it did was undone",
    }
}

/// How many runs a paused workflow holds: `12 runs wait`.
pub fn held(paused: &PausedWorkflow) -> String {
    match (paused.held, paused.more_held) {
        (0, _) => "no run of it waits".to_owned(),
        (1, false) => "1 run waits".to_owned(),
        (runs, false) => format!("{} runs wait", number(runs as u64)),
        (runs, true) => format!("more than {} runs wait", number(runs as u64)),
    }
}

/// How many runs a workflow has that have not ended: `12 runs are open`.
pub fn open_runs(open: OpenRuns) -> String {
    match (open.runs, open.more) {
        (0, _) => "no run is open".to_owned(),
        (1, false) => "1 run is open".to_owned(),
        (runs, false) => format!("{} runs are open", number(runs as u64)),
        (runs, true) => format!("more than {} runs are open", number(runs as u64)),
    }
}

/// What a step is, where it is not an ordinary one; else nothing.
pub fn kind(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Step => "",
        StepKind::Value => "recorded value",
        StepKind::Timer => "timer",
        StepKind::Message => "message",
        StepKind::Child => "child run",
        StepKind::Race => "race",
        StepKind::Loop => "loop",
        StepKind::State => "state",
        StepKind::Changed => "change of the code",
        StepKind::Transaction => "transaction",
    }
}

/// A step's mark: reads without colour.
pub fn mark(state: StepState) -> &'static str {
    match state {
        StepState::Done => "✓",
        StepState::Refused => "✗",
        StepState::Unknown => "?",
        StepState::Retrying | StepState::Waiting => "…",
        StepState::Began => "▸",
        StepState::Dropped => "–",
    }
}

/// Why something failed, without repeating the step's call, which stands beside it.
pub fn failure(step: &StepView, failure: &FailureView) -> String {
    let call = step.call.as_deref().unwrap_or_default();
    let rest = failure.message.strip_prefix(call).filter(|_| !call.is_empty());
    let rest = rest.and_then(|rest| rest.strip_prefix(": ").or_else(|| rest.strip_prefix(' ')));
    let message = rest.unwrap_or(&failure.message);
    let request = failure.request_id.as_deref().map(|id| format!(" (request {})", clean(id)));
    format!("{}{}", clean(message), request.unwrap_or_default())
}

/// How long after a failed attempt the next one was due, if another followed.
pub fn until_next(view: &RunView, failed: &FailedAttempt) -> Option<String> {
    let failed_at = view.run.created_at.as_millisecond() + failed.at_ms;
    failed.next_at.map(|next| span_millis(failed_at, next.as_millisecond()))
}

/// An end in words: `completed`, `dead letter (failed)`.
pub fn end(end: &EndView) -> String {
    match (end.kind, end.reason) {
        (EndKind::Completed, _) => "completed".to_owned(),
        (EndKind::DeadLettered, Some(reason)) => format!("dead letter ({reason})"),
        (EndKind::DeadLettered, None) => "dead letter".to_owned(),
        (EndKind::Continued, _) => match end.went_on {
            Some(latest) => format!("went on as run {latest}"),
            None => "went on as another run".to_owned(),
        },
        (EndKind::Cancelled, _) => "cancelled".to_owned(),
    }
}

/// What sort of trouble an Api or a trigger has, as the end of a sentence that begins with its name.
///
/// # An Api's name before it
/// ```
/// use bowline_dashboard::wording::trouble;
/// use bowline_model::AlertKind;
///
/// assert_eq!(format!("crm: {}", trouble(AlertKind::ConsentNeeded)), "crm: it needs consent");
/// ```
pub fn trouble(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Unauthorized => "its credential is refused (401)",
        AlertKind::Forbidden => "its credential may not do what was asked (403)",
        AlertKind::ConsentNeeded => "it needs consent",
        AlertKind::BreakerOpen => "it keeps failing, and is left alone for a while",
        AlertKind::TriggerFailing => "it fails again and again",
    }
}

/// The same for the kind's name, as [`ApiAlert`](crate::alerts::ApiAlert) keeps it.
pub(crate) fn trouble_of(kind: &str) -> &'static str {
    let kinds = [
        AlertKind::Unauthorized,
        AlertKind::Forbidden,
        AlertKind::ConsentNeeded,
        AlertKind::BreakerOpen,
        AlertKind::TriggerFailing,
    ];
    kinds.into_iter().find(|known| known.as_str() == kind).map_or("it has trouble", trouble)
}

/// What a reason for a dead letter means, in a sentence.
pub fn meaning(reason: DeadReason) -> &'static str {
    match reason {
        DeadReason::Failed => "The workflow returned an error.",
        DeadReason::Malformed => "The event does not fit the type that the workflow takes.",
        DeadReason::Mismatch => "The code no longer fits what the journal recorded.",
        DeadReason::Panicked => "The workflow's code panicked.",
        DeadReason::Poison => "It was the only run under way when the process died, twice.",
        DeadReason::Stale => {
            "A call may have happened, and the remote may have forgotten its idempotency key since then."
        }
        DeadReason::Limit => "It passed a limit.",
        DeadReason::UnknownWorkflow => "This build has no workflow of that name.",
        DeadReason::Items => "Items of a loop failed for good.",
        DeadReason::Undo => "A step could not be undone.",
        DeadReason::Deadline => "It took longer than the workflow allows.",
    }
}

/// What to do before a dead letter of that reason is retried, in a sentence.
pub fn remedy(reason: DeadReason) -> &'static str {
    match reason {
        DeadReason::Failed => "Mend the cause, here or at the remote; then let it go on.",
        DeadReason::Malformed => "Deploy code that reads the event; then let it go on.",
        DeadReason::Mismatch => {
            "Deploy code that fits, then let it go on: keep the old path for runs under way (cx.changed), say what a step was \
             called (.was), or roll back to the build that recorded it. Or fork it before the step that parted."
        }
        DeadReason::Panicked => "Mend the code and deploy it; then let it go on.",
        DeadReason::Poison => "Find out what ends the process, in the log of that time; then let it go on.",
        DeadReason::Stale => {
            "Look at the remote whether it happened. Letting it go on consents to sending the call once more."
        }
        DeadReason::Limit => "Deploy code that stays within the limit; then let it go on.",
        DeadReason::UnknownWorkflow => "Deploy a build that has the workflow; then let it go on.",
        DeadReason::Items => "Mend what the items failed for; then let it go on with them.",
        DeadReason::Undo => "Look at the remote what is left to undo; then let it go on.",
        DeadReason::Deadline => "Find out what it waited for; then let it go on with a new deadline.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_read_well() {
        for (millis, expect) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (59_999, "59.99 s"),
            (60_000, "1 min 00 s"),
            (3_600_000, "1 h 00 min"),
            (90_000_000, "1 d 01 h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), expect);
        }
        for (bytes, expect) in
            [(999, "999 B"), (1000, "1.0 kB"), (999_999, "999.9 kB"), (2_340_000, "2.3 MB")]
        {
            assert_eq!(size(bytes), expect);
        }
        assert_eq!((offset(-5), offset(59_999)), ("-0.005 s".to_owned(), "+59.999 s".to_owned()));
    }

    #[test]
    fn large_numbers_are_grouped() {
        for (count, expect) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(count), expect);
        }
    }

    fn with(mut step: serde_json::Value, name: &str, value: &str) -> serde_json::Value {
        step[name] = value.into();
        step
    }

    #[test]
    fn a_wait_says_for_what_and_until_when() {
        let said = |awaits: &str, until: Option<&str>| {
            let step = serde_json::json!({
                "seq": 1, "name": "a", "kind": "message", "state": "waiting", "began_ms": 0, "attempts": 0,
                "awaits": awaits, "next_at": until,
            });
            let step = if awaits == "sleeps" { with(step, "kind", "timer") } else { step };
            wait(&serde_json::from_value(step).expect("it fits"))
        };
        let until = Some("2026-11-22T10:00:00Z");
        assert_eq!(
            said("waits for the signal \"paid\"", until),
            "waits for the signal \"paid\", until 2026-11-22 10:00:00.000 UTC at the latest"
        );
        assert_eq!(said("waits for the signal \"paid\"", None), "waits for the signal \"paid\"");
        assert_eq!(said("sleeps", until), "sleeps until 2026-11-22 10:00:00.000 UTC");
    }

    #[test]
    fn an_age_is_one_number_and_a_clock_set_back_is_now() {
        let from = Timestamp::constant(1_795_341_600, 0);
        for (seconds, expect) in
            [(-5, "now"), (0, "now"), (59, "59 s"), (119, "1 min"), (86_399, "23 h"), (200_000, "2 d")]
        {
            assert_eq!(age(from, from + jiff::SignedDuration::from_secs(seconds)), expect);
        }
    }

    #[test]
    fn foreign_text_cannot_reorder_hide_or_add_lines() {
        assert_eq!(clean("a\u{1b}[2Jb\u{202e}c\u{200b}d\ne"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d e");
        assert_eq!(clean_lines("{\n\t\"a\": \"\u{2066}\"\r\n}"), "{\n \"a\": \"\u{fffd}\" \n}");
    }

    #[test]
    fn a_failure_does_not_repeat_the_call_beside_it() {
        let step = |call: &str| -> StepView {
            let step = serde_json::json!({
                "seq": 1, "name": "a", "kind": "step", "state": "refused", "call": call, "began_ms": 0, "attempts": 1,
            });
            serde_json::from_value(step).expect("it fits")
        };
        for (call, message, expect) in [
            ("POST crm /c", "POST crm /c answered 422", "answered 422"),
            ("POST crm /c", "POST crm /c: no answer", "no answer"),
            ("POST crm /c", "POST crm /contacts answered 422", "POST crm /contacts answered 422"),
            ("", " no name", " no name"),
        ] {
            let said = serde_json::json!({ "message": message, "certainty": "refused", "retryable": false });
            let said = serde_json::from_value(said).expect("it fits");
            assert_eq!(failure(&step(call), &said), expect);
        }
    }
}
