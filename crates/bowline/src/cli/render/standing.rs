//! How a run stands beside its timeline: its loops with their dead items, how far it is undone, whether its workflow is
//! paused.

use bowline_dashboard::{
    RunView,
    commands::PausedWorkflow,
    view::{LoopView, Steps},
    wording::{Sides, clean, cut, held, moment, number, span_between, undo_title},
};
use bowline_model::RunState;
use jiff::Timestamp;

use super::paint::{Paint, Tone};

/// How much of a name, a key or a reason a line shows, in characters.
const TEXT_CHARS_MAX: usize = 100;
/// Most dead items of one loop that are named.
const DEAD_SHOWN_MAX: usize = 20;

fn short(text: &str) -> String {
    cut(&clean(text), TEXT_CHARS_MAX)
}

/// The loops that are under way, or left dead items.
pub(super) fn loops(view: &RunView, paint: Paint) -> String {
    let is_news = |looped: &&LoopView| !looped.ended || looped.dead > 0;
    let mut text: String =
        view.loops.iter().filter(is_news).map(|looped| loop_lines(looped, paint)).collect();
    if view.dead_items() > 0 && view.run.state.is_open() {
        let id = view.run.id;
        let hint =
            format!("  when the run has come to its end, `retry {id}` runs just the dead items again\n");
        text.push_str(&paint.tone(&hint, Tone::Dim));
    }
    text
}

fn loop_lines(looped: &LoopView, paint: Paint) -> String {
    let name = paint.tone(&format!("loop {}", short(&looped.name)), Tone::Strong);
    let mut text = format!("  {name}  {}\n", looped.words());
    for dead in looped.dead_items.iter().take(DEAD_SHOWN_MAX) {
        let step = dead.step.as_deref().map(|step| format!(" at {}", short(step))).unwrap_or_default();
        let mark = paint.tone("✗", Tone::Bad);
        let (item, why, at) = (short(&dead.item), short(&dead.why), moment(dead.at));
        text.push_str(&format!("      {mark} {item}{step}  {}  {why}\n", paint.tone(&at, Tone::Dim)));
    }
    let named = looped.dead_items.len().min(DEAD_SHOWN_MAX) as u64;
    if looped.dead > named {
        text.push_str(&format!("      and {} more\n", number(looped.dead - named)));
    }
    text
}

/// What is undone, and what is left.
pub(super) fn undo(view: &RunView, paint: Paint) -> String {
    let Some(undo) = &view.undo else { return String::new() };
    let title = paint.tone(&undo_title(view.run.state).to_lowercase(), Tone::Strong);
    let mut text = format!("  {title}\n");
    let lists = [
        ("undone", &undo.undone),
        ("left to undo", &undo.left),
        ("stays done, as no undo was given for it", &undo.kept),
    ];
    for (what, steps) in lists.into_iter().filter(|(_, steps)| steps.count() > 0) {
        text.push_str(&format!("      {what}: {}\n", names(steps)));
    }
    text
}

fn names(steps: &Steps) -> String {
    let mut names: Vec<_> = steps.names.iter().take(DEAD_SHOWN_MAX).map(|step| short(step)).collect();
    let more = steps.count() - names.len();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

/// Which workflow is paused since when, by whom, and what that holds.
pub(super) fn paused(paused: &PausedWorkflow, now: Timestamp, paint: Paint) -> String {
    let workflow = clean(paused.workflow.as_str());
    let why = paused.why.as_deref().unwrap_or("paused");
    let since = span_between(paused.since, now);
    let line = format!("‖ {workflow}: {}, {since} ago; {}", clean(why), held(paused));
    paint.tone(&line, Tone::Wait) + "\n"
}

/// That the run's own workflow is paused.
pub(super) fn own_pause(view: &RunView, paint: Paint) -> String {
    let Some(paused) = &view.paused else { return String::new() };
    let (workflow, why) = (clean(paused.workflow.as_str()), paused.why.as_deref().unwrap_or("paused"));
    let line = format!(
        "  ‖ its workflow is {}, since {}; `resume {workflow}` lets its runs go on\n",
        clean(why),
        moment(paused.since)
    );
    paint.tone(&line, Tone::Wait)
}

/// What a retry of the run does.
pub(super) fn retry_words(view: &RunView) -> String {
    match (view.run.state, view.dead_items()) {
        (RunState::DeadLettered, 1) => "runs just its dead item again and lets it go on".to_owned(),
        (RunState::DeadLettered, items @ 2..) => {
            format!("runs just its {} dead items again and lets it go on", number(items))
        }
        (_, _) => "lets it go on".to_owned(),
    }
}

/// What the journal has, what the code asks for, and what makes them fit: a line each.
pub(super) fn sides(sides: &Sides) -> impl Iterator<Item = String> {
    let lines = [
        Some(format!("the journal has:  {}", clean(&sides.journal))),
        Some(format!("the code now:     {}", clean(&sides.code))),
        sides.remedy.as_deref().map(clean),
    ];
    lines.into_iter().flatten()
}

/// That the run can be forked from one of its steps, if it can: a line.
pub(super) fn fork_words(view: &RunView) -> Option<String> {
    let id = view.run.id;
    view.can_fork().then(|| {
        format!("\n`fork {id} --from STEP` begins a new run at a step, with what is recorded before it")
    })
}
