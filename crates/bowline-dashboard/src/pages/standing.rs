//! What a run's page says beside its timeline: its loops, its waits, how far it is undone, whether its workflow is paused.

use bowline_model::RunId;
use jiff::Timestamp;

use super::{frame::Stamp, links::Links};
use crate::{
    commands::PausedWorkflow,
    view::{LoopView, RunView, StepState, StepView, Steps, UndoView},
    wording::{age, clean, cut, held, moment, number, span_between, undo_title, wait_ends, waits_for},
};

/// How much of a name, a key or a reason a line shows, in characters.
const TEXT_CHARS_MAX: usize = 300;
/// Most dead items of one loop that the page names.
const DEAD_SHOWN_MAX: usize = 20;
/// Most steps that the page names as undone, or as left.
const STEPS_SHOWN_MAX: usize = 12;

fn short(text: &str) -> String {
    cut(&clean(text), TEXT_CHARS_MAX)
}

/// A loop.
pub(super) struct Loop {
    pub(super) name: String,
    pub(super) is_over: bool,
    pub(super) words: String,
    /// Of a thousand, how many are done and dead, where the sum is known.
    pub(super) bar: Option<(u64, u64)>,
    pub(super) dead: Vec<Dead>,
    pub(super) more_dead: Option<String>,
}

/// A dead item.
pub(super) struct Dead {
    pub(super) item: String,
    pub(super) step: Option<String>,
    pub(super) why: String,
    pub(super) at: Stamp,
    pub(super) age: String,
}

impl Loop {
    pub(super) fn of(view: &LoopView, now: Timestamp) -> Self {
        let dead = view.dead_items.iter().take(DEAD_SHOWN_MAX).map(|dead| Dead {
            item: short(&dead.item),
            step: dead.step.as_deref().map(short),
            why: short(&dead.why),
            at: Stamp::full(dead.at),
            age: age(dead.at, now),
        });
        let dead: Vec<_> = dead.collect();
        let more = view.dead.saturating_sub(dead.len() as u64);
        Self {
            name: short(&view.name),
            is_over: view.ended,
            words: view.words(),
            bar: view.total.filter(|total| *total > 0).map(|total| {
                let share = |count: u64| (u128::from(count) * 1000 / u128::from(total)).min(1000) as u64;
                (share(view.done), share(view.dead))
            }),
            dead,
            more_dead: (more > 0).then(|| format!("and {} more", number(more))),
        }
    }
}

/// One of the things that a run waits for.
pub(super) struct Wait {
    /// The item or branch that it waits in.
    pub(super) inside: Option<String>,
    pub(super) what: String,
    pub(super) child: Option<(RunId, String)>,
    pub(super) ends: String,
    /// How long that is from now.
    pub(super) left: Option<String>,
}

impl Wait {
    pub(super) fn of(step: &StepView, links: &Links, now: Timestamp) -> Self {
        let inside = step.name.rsplit_once('/').map(|(scope, _)| short(scope));
        Self {
            // The name of what is tried again says where it is.
            inside: inside.filter(|_| step.state != StepState::Retrying),
            what: short(&waits_for(step)),
            child: step.child.map(|run| (run, links.run(run))),
            ends: wait_ends(step),
            left: step.next_at.filter(|at| *at > now).map(|at| format!("in {}", span_between(now, at))),
        }
    }
}

/// A run that is undone, or was.
pub(super) struct Undo {
    pub(super) title: &'static str,
    pub(super) why: String,
    pub(super) lists: Vec<List>,
}

/// Steps of one sort.
pub(super) struct List {
    pub(super) title: String,
    pub(super) steps: Vec<String>,
    pub(super) more: usize,
}

impl List {
    fn of(title: &str, steps: &Steps) -> Option<Self> {
        let names: Vec<_> = steps.names.iter().take(STEPS_SHOWN_MAX).map(|step| short(step)).collect();
        let more = steps.count() - names.len();
        let title = format!("{title}: {}", number(steps.count() as u64));
        (!names.is_empty()).then_some(Self { title, steps: names, more })
    }
}

impl Undo {
    pub(super) fn of(undo: &UndoView, view: &RunView) -> Self {
        let lists = [
            List::of("Undone", &undo.undone),
            List::of("Left to undo", &undo.left),
            List::of("Stays done, as no undo was given for it", &undo.kept),
        ];
        Self {
            title: undo_title(view.run.state),
            why: short(&undo.why),
            lists: lists.into_iter().flatten().collect(),
        }
    }
}

/// A workflow that is paused.
pub(super) struct Paused {
    pub(super) workflow: String,
    pub(super) why: Option<String>,
    pub(super) since: Stamp,
    pub(super) age: String,
    pub(super) held: String,
    /// Where it is resumed.
    pub(super) resume_href: String,
}

impl Paused {
    pub(super) fn of(paused: &PausedWorkflow, links: &Links, now: Timestamp) -> Self {
        Self {
            workflow: short(paused.workflow.as_str()),
            why: paused.why.as_deref().map(short),
            since: Stamp::said(paused.since, moment(paused.since)),
            age: age(paused.since, now),
            held: held(paused),
            resume_href: links.pause_of(paused.workflow.as_str()),
        }
    }
}
