//! A second start on the same store: what was recovered.

use std::collections::BTreeMap;

use bowline_dashboard::view::RunRow;
use jiff::Timestamp;

use crate::{
    Result,
    screen::{Tone, heading, paint, say, say_as, span},
    story::Stage,
};

/// Tells how the last process ended, what is on disk, and what goes on now.
pub(crate) async fn tell(stage: &mut Stage, began: Timestamp, killed: Option<String>) -> Result {
    let runs = stage.admin.runs().await?.runs;
    heading(match &killed {
        Some(process) => format!("Process {process} was killed. What it had on disk is all here:"),
        None => "The last process was stopped cleanly. What it had on disk is all here:".to_owned(),
    });
    let mut by_state: BTreeMap<_, usize> = BTreeMap::new();
    for run in &runs {
        *by_state.entry(run.state).or_default() += 1;
    }
    let states: Vec<_> = by_state.iter().map(|(state, runs)| format!("{runs} {state}")).collect();
    say(format!("   {} runs: {}", runs.len(), states.join(", ")));
    let mut recovered: Vec<_> = runs.iter().filter(|run| was_open(run, began)).collect();
    recovered.sort_by_key(|run| run.id);
    for run in recovered {
        let view = stage.admin.run(run.id).await?;
        let event = view.event.as_ref().map_or("", |event| event.dedupe_key.as_str());
        heading(format!("Recovered: run {} of {event}. What its journal has is not done again.", run.id));
        stage.teller.tell(&view);
        if let Some(due) = run.due.filter(|_| run.state.is_open()) {
            let left = span(due.as_millisecond() - began.as_millisecond());
            say_as(&format!("run {}", run.id), paint(Tone::Wait, format!("goes on in {left}")));
        }
    }
    // The rest is history: only what comes now is news.
    for run in runs.iter().filter(|run| !was_open(run, began)) {
        let view = stage.admin.run(run.id).await?;
        stage.teller.skip(&view);
    }
    Ok(())
}

/// Whether it was under way when the last process ended.
fn was_open(run: &RunRow, began: Timestamp) -> bool {
    run.created_at < began && (run.state.is_open() || run.changed_at >= began)
}
