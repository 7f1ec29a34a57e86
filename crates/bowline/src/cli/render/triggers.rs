//! Schedules, polls and inboxes, one a line, and under it what goes wrong.

use bowline_dashboard::{
    triggers::{TriggerList, TriggerView},
    wording::{age, clean, cut, span_between},
};
use jiff::Timestamp;

use super::{
    columns::{Column, columns},
    paint::{Paint, Tone},
};

/// How much of a name and of a problem is shown, in characters.
const NAME_CHARS_MAX: usize = 40;
const PROBLEM_CHARS_MAX: usize = 300;

/// Every trigger, those that fail first.
pub fn triggers(list: &TriggerList, now: Timestamp, paint: Paint) -> String {
    let rows: Vec<_> = list.triggers.iter().map(|trigger| row(trigger, now)).collect();
    let layout = [Column::Left, Column::Left, Column::Left, Column::Left, Column::Left, Column::Right];
    let lines = columns(&rows, &layout, "", paint);
    let mut text = String::new();
    for (line, trigger) in lines.lines().zip(&list.triggers) {
        text.push_str(&format!("{line}\n"));
        if let Some(problem) = &trigger.last_error {
            let problem = cut(&clean(problem), PROBLEM_CHARS_MAX);
            text.push_str(&format!("    {}\n", paint.tone(&problem, Tone::Bad)));
        }
    }
    if list.left_out > 0 {
        text.push_str(&format!("{} more are not shown\n", list.left_out));
    }
    text
}

fn row(trigger: &TriggerView, now: Timestamp) -> Vec<(String, Tone)> {
    let (mark, tone) = match trigger.failures_in_a_row {
        0 => ("✓", Tone::Good),
        1.. => ("✗", Tone::Bad),
    };
    let last = trigger.last.map_or("not yet".to_owned(), |at| format!("last {}", age(at, now)));
    let next = match trigger.next {
        Some(at) if at > now => format!("next in {}", span_between(now, at)),
        Some(_) => "next now".to_owned(),
        None if trigger.has_stopped => "stopped".to_owned(),
        None => String::new(),
    };
    let started = match trigger.skipped {
        0 => format!("{} started", trigger.started),
        skipped => format!("{} started, {skipped} skipped", trigger.started),
    };
    vec![
        (mark.to_owned(), tone),
        (clean(&trigger.kind), Tone::Dim),
        (cut(&clean(&trigger.name), NAME_CHARS_MAX), Tone::Strong),
        (last, Tone::Plain),
        (next, Tone::Plain),
        (started, Tone::Dim),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(name: &str, failures: u32) -> TriggerView {
        TriggerView {
            kind: "poll".to_owned(),
            name: name.to_owned(),
            next: Some("2026-01-01T00:05:00Z".parse().unwrap()),
            last: Some("2025-12-31T23:59:30Z".parse().unwrap()),
            started: 17,
            skipped: 0,
            failures_in_a_row: failures,
            last_error: (failures > 0).then(|| "shop: 500".to_owned()),
            needs_person: false,
            has_stopped: false,
        }
    }

    #[test]
    fn each_is_a_line_and_what_fails_says_why_under_it() {
        let list = TriggerList { triggers: vec![trigger("new orders", 2), trigger("stock", 0)], left_out: 0 };
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let text = triggers(&list, now, Paint::Plain);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[0].starts_with("✗  poll  new orders  last 30") && lines[0].ends_with("17 started"),
            "{text}"
        );
        assert_eq!(lines[1], "    shop: 500");
        assert!(lines[2].starts_with("✓  poll  stock"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
