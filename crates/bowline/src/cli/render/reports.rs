//! What commands did, in a line or two.

use bowline_dashboard::{
    commands::{
        BulkCancelled, BulkRetried, Cancelled, Discarded, Forked, Keys, Pausing, Repeat, Replayed, Retried,
        Settled, Told, ToldStatus,
    },
    wording::{Sides, clean},
};

use super::{
    columns::{Column, columns},
    paint::{Paint, Tone},
    standing,
};
use crate::cli::{Checked, Error, journals::Fitted, send::Receipt};

/// What a retry did.
pub fn retried(report: &Retried, paint: Paint) -> String {
    let again = match &report.forgotten[..] {
        [] => "it goes on where it stopped".to_owned(),
        steps => format!("tries again: {}", names(steps)),
    };
    let kept = match report.kept {
        0 => "there is no outcome to keep".to_owned(),
        1 => "1 recorded outcome is kept".to_owned(),
        kept => format!("{kept} recorded outcomes are kept"),
    };
    format!("{} run {} is queued; {again}; {kept}\n", paint.tone("↻", Tone::Strong), report.run)
}

/// What a bulk retry did.
pub fn bulk_retried(report: &BulkRetried, paint: Paint) -> String {
    let mut text = match report.retried.len() {
        0 if report.failed.is_empty() => "there are no dead letters\n".to_owned(),
        1 => format!("{} 1 run is queued: {}\n", paint.tone("↻", Tone::Strong), report.retried[0]),
        runs => format!("{} {runs} runs are queued\n", paint.tone("↻", Tone::Strong)),
    };
    for failed in &report.failed {
        let mark = paint.tone("✗", Tone::Bad);
        text.push_str(&format!("{mark} run {}: {}\n", failed.run, clean(&failed.error)));
    }
    if report.more {
        text.push_str("there are more: say it again\n");
    }
    text
}

/// What a replay did, and what it will repeat.
pub fn replayed(report: &Replayed, paint: Paint) -> String {
    let mark = paint.tone("↻", Tone::Strong);
    let mut text =
        format!("{mark} run {} is queued: it runs the event of run {} again\n", report.new_run, report.run);
    if report.repeats.is_empty() {
        text.push_str("  nothing of the old run will happen twice\n");
        return text;
    }
    text.push_str(match report.keys {
        Keys::New => "  under new idempotency keys; if the code still asks for it, this happens again:\n",
        Keys::Same => "  under the same idempotency keys; remotes that no longer know them repeat this:\n",
    });
    text.push_str(&repeats(&report.repeats, paint));
    text
}

/// What a fork did, and what it will repeat.
pub fn forked(report: &Forked, paint: Paint) -> String {
    let mark = paint.tone("↻", Tone::Strong);
    let taken = match report.taken {
        0 => "nothing is recorded before it".to_owned(),
        1 => "1 record is taken".to_owned(),
        taken => format!("{taken} records are taken"),
    };
    let (new_run, run, from) = (report.new_run, report.run, clean(&report.from));
    let mut text = format!("{mark} run {new_run} is queued: it goes on from {from} of run {run}; {taken}\n");
    if report.repeats.is_empty() {
        text.push_str("  nothing of the old run will happen twice\n");
        return text;
    }
    text.push_str("  under new idempotency keys; if the code still asks for it, this happens again:\n");
    text.push_str(&repeats(&report.repeats, paint));
    text
}

fn repeats(repeats: &[Repeat], paint: Paint) -> String {
    let rows = repeats.iter().map(|repeat| {
        let said = if repeat.happened { "" } else { "may have happened" };
        vec![
            (clean(&repeat.step), Tone::Plain),
            (clean(repeat.call.as_deref().unwrap_or("code of your own")), Tone::Dim),
            (said.to_owned(), Tone::Wait),
        ]
    });
    let rows: Vec<_> = rows.collect();
    columns(&rows, &[Column::Left, Column::Left, Column::Left], "    ", paint)
}

/// What a discard did.
pub fn discarded(report: &Discarded, paint: Paint) -> String {
    let (mark, run, note) = (paint.tone("–", Tone::Dim), report.run, clean(&report.note));
    match report.undoing {
        true => {
            format!("{mark} run {run} is undone, then closed: {note}; `show {run}` tells how far it is\n")
        }
        false => format!("{mark} run {run} is closed: {note}\n"),
    }
}

/// What a pause or a resumption did.
pub fn pausing(report: &Pausing, paint: Paint) -> String {
    let workflow = clean(report.workflow.as_str());
    let (mark, did) = match (report.is_paused, report.was_so) {
        (true, false) => ("‖", "is paused: events are accepted, and no run of it begins or goes on"),
        (true, true) => ("‖", "was paused already, and stays so"),
        (false, false) => ("▶", "goes on"),
        (false, true) => ("▶", "was not paused"),
    };
    format!("{} {workflow} {did}\n", paint.tone(mark, Tone::Dim))
}

/// What a cancel did.
pub fn cancelled(report: &Cancelled, paint: Paint) -> String {
    let mark = paint.tone("–", Tone::Dim);
    let (run, note, children) = (report.run, clean(&report.note), with_children(report.children));
    match report.undoing {
        true => {
            format!("{mark} run {run} is undone, then {note}{children}; `show {run}` tells how far it is\n")
        }
        false => format!("{mark} run {run} is {note}{children}\n"),
    }
}

/// What a bulk cancel did.
pub fn bulk_cancelled(report: &BulkCancelled, paint: Paint) -> String {
    let (mark, children) = (paint.tone("–", Tone::Dim), with_children(report.children));
    let mut text = match report.cancelled.len() {
        0 if report.failed.is_empty() => "there are no such open runs\n".to_owned(),
        1 => format!("{mark} 1 run is cancelled: {}{children}\n", report.cancelled[0]),
        runs => format!("{mark} {runs} runs are cancelled{children}\n"),
    };
    for failed in &report.failed {
        let mark = paint.tone("✗", Tone::Bad);
        text.push_str(&format!("{mark} run {}: {}\n", failed.run, clean(&failed.error)));
    }
    if report.more {
        text.push_str("there are more: say it again\n");
    }
    text
}

fn with_children(children: u64) -> String {
    match children {
        0 => String::new(),
        1 => "; and 1 child with it".to_owned(),
        children => format!("; and {children} children with it"),
    }
}

/// What a settlement did.
pub fn settled(report: &Settled, paint: Paint) -> String {
    let (mark, step) = (paint.tone("↻", Tone::Strong), clean(&report.step));
    let again = match &report.forgotten[..] {
        [] => String::new(),
        steps => format!("; tries again: {}", names(steps)),
    };
    format!("{mark} run {} is queued; {step} is {}{again}\n", report.run, clean(&report.note))
}

/// What became of a message.
pub fn told(report: &Told, what: &str, paint: Paint) -> String {
    let to = clean(&report.to);
    match report.status {
        ToldStatus::Kept => format!("{} run {} has {what} {to}\n", paint.tone("✓", Tone::Good), report.run),
        ToldStatus::Duplicate => {
            let mark = paint.tone("…", Tone::Wait);
            format!("{mark} run {} had {what} {to} before; this one was not kept\n", report.run)
        }
    }
}

/// What the app answered to an event.
pub fn receipt(receipt: &Receipt, paint: Paint) -> String {
    let tone = if receipt.status == "accepted" { Tone::Good } else { Tone::Wait };
    let mut text = paint.tone(&clean(&receipt.status), tone);
    if let Some(event) = &receipt.event {
        text.push_str(&format!("  event {}", clean(event)));
    }
    for run in &receipt.runs {
        text.push_str(&format!("  run {run}"));
    }
    text.push('\n');
    if let Some(run) = receipt.runs.first() {
        text.push_str(&format!("{}\n", paint.tone(&format!("`show {run}` tells how it goes"), Tone::Dim)));
    }
    text
}

/// What is set, missing or wrong.
pub fn checked(checked: &[Checked], paint: Paint) -> String {
    let rows = checked.iter().map(|checked| {
        let (mark, tone, what) = match &checked.outcome {
            Ok(value) => ("✓", Tone::Good, value),
            Err(problem) => ("✗", Tone::Bad, problem),
        };
        vec![(mark.to_owned(), tone), (clean(&checked.name), Tone::Plain), (clean(what), Tone::Plain)]
    });
    let rows: Vec<_> = rows.collect();
    columns(&rows, &[Column::Left, Column::Left, Column::Left], "", paint)
}

/// Which runs under way fit a build, and which would not.
pub fn fitted(fitted: &Fitted, paint: Paint) -> String {
    if fitted.workflows.is_empty() {
        return "no run is under way\n".to_owned();
    }
    let header =
        ["WORKFLOW", "FIT", "DO NOT", "ONLY A START TELLS"].map(|title| (title.to_owned(), Tone::Dim));
    let rows = fitted.workflows.iter().map(|(workflow, tally)| {
        let tone = if tally.misfit > 0 { Tone::Bad } else { Tone::Dim };
        vec![
            (clean(workflow.as_str()), Tone::Plain),
            (tally.fit.to_string(), Tone::Plain),
            (tally.misfit.to_string(), tone),
            (tally.unsure.to_string(), Tone::Dim),
        ]
    });
    let rows: Vec<_> = std::iter::once(header.to_vec()).chain(rows).collect();
    let layout = [Column::Left, Column::Right, Column::Right, Column::Right];
    let mut text = columns(&rows, &layout, "", paint);
    for misfit in &fitted.misfits {
        let mark = paint.tone("✗", Tone::Bad);
        let head = format!("{mark} run {} ({})", misfit.run, clean(misfit.workflow.as_str()));
        match Sides::of(&misfit.why) {
            Some(of) => {
                let lines = standing::sides(&of).map(|line| format!("    {line}\n"));
                text.push_str(&format!("{head}\n{}", lines.collect::<String>()));
            }
            None => text.push_str(&format!("{head}: {}\n", clean(&misfit.why))),
        }
    }
    let more = fitted.misfits() - fitted.misfits.len();
    if more > 0 {
        text.push_str(&format!("and {more} more\n"));
    }
    text
}

/// Why a command failed. Its own line breaks are kept: a list of what is missing.
pub fn error(error: &Error, paint: Paint) -> String {
    let lines: Vec<_> = error.to_string().lines().map(clean).collect();
    let mut text = format!("{} {}\n", paint.tone("error:", Tone::Bad), lines.join("\n"));
    if let Some(hint) = error.hint_text() {
        text.push_str(&format!(" {} {}\n", paint.tone("hint:", Tone::Wait), clean(hint)));
    }
    text
}

fn names(steps: &[String]) -> String {
    steps.iter().map(|step| clean(step)).collect::<Vec<_>>().join(", ")
}
