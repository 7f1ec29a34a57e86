//! After the story: lines to try, and whatever happens next, told as it happens.

use std::{collections::HashMap, convert::Infallible, fs};

use bowline_model::{Clock, RunId, RunState, SystemClock};
use rustix::process::getpid;

use crate::{
    Result,
    admin::pause,
    place::{Place, shown},
    screen::{Tone, heading, paint, say, say_as},
    story::{ALAN, KATHERINE, Stage},
    stripe::{PATH, payment},
};

const RUN: &str = "cargo run -q -p quickstart --";

/// Stays until the process ends.
pub(crate) async fn stay(stage: &mut Stage, place: &Place) -> Result<Infallible> {
    let runs = stage.admin.runs().await?.runs;
    // Tells this start's events from those of earlier starts.
    let nth = format!("_{}", SystemClock.now().as_second());
    if !runs.iter().any(|run| run.state.is_open()) {
        let wait_s = stage.crm.wait_s();
        heading(format!("And now Alan Turing pays. The CRM asks to come back in {wait_s} s."));
        let run = stage.accepted(&ALAN, &nth).await?;
        stage.until(run, RunState::Waiting).await?;
    }
    let dead = runs.iter().find(|run| run.state == RunState::DeadLettered);
    let waits = stage.admin.runs().await?.runs.into_iter().find(|run| run.state == RunState::Waiting);
    pages(stage, waits.map(|run| run.id), dead.map(|run| run.id));
    lines_to_try(stage, place, &nth, dead.map(|run| run.id.0))?;
    follow(stage).await
}

/// Where the runs are to be seen.
fn pages(stage: &Stage, waits: Option<RunId>, dead: Option<RunId>) {
    say(format!("\n{}", paint(Tone::Strong, "Look at it, in a browser:")));
    topic("all runs");
    line(stage.admin.page());
    if let Some(run) = waits {
        topic("the run that waits, as it goes on");
        line(format!("{}?follow=true", stage.admin.page_of(run)));
    }
    if let Some(run) = dead {
        topic("the dead letter: why, and what can be done");
        line(stage.admin.page_of(run));
    }
}

fn lines_to_try(stage: &Stage, place: &Place, nth: &str, dead: Option<i64>) -> Result {
    let event = payment(&KATHERINE, nth).to_string();
    fs::write(place.payment(), &event)?;
    let file = shown(&place.payment());
    say(format!("\n{}", paint(Tone::Strong, "Try it, in another terminal:")));
    topic("pay, as Stripe does (signed now, good for 5 minutes)");
    line(format!("curl -i {} \\", stage.stripe.url()));
    line("  -H 'Content-Type: application/json' \\");
    line(format!("  -H 'Stripe-Signature: {}' \\", stage.stripe.sign(event.as_bytes())));
    line(format!("  --data-binary @{file}"));
    topic("the same, signed anew each time; the second time it is a duplicate");
    line(format!("{RUN} send {PATH} --file {file}"));
    if let Some(run) = dead {
        topic("let the dead letter go on: the CRM takes Charles now");
        line(format!("{RUN} retry {run}"));
    }
    topic("look, without a browser");
    line(format!("{RUN} runs"));
    line(format!("{RUN} show 2"));
    topic("now kill me while Alan waits, and start again");
    line(format!("kill -9 {}", getpid()));
    line("cargo run -p quickstart");
    say(format!(
        "\n   {}\n",
        paint(Tone::Dim, "What happens from here on is told as it happens. Ctrl-C stops.")
    ));
    Ok(())
}

fn topic(text: &str) {
    say(format!("\n   {}", paint(Tone::Dim, format!("# {text}"))));
}

fn line(text: impl AsRef<str>) {
    say(format!("   {}", text.as_ref()));
}

/// Tells every run that moves.
async fn follow(stage: &mut Stage) -> Result<Infallible> {
    let mut seen = HashMap::new();
    loop {
        let mut runs = stage.admin.runs().await?.runs;
        runs.reverse();
        for run in runs {
            let stands = (run.state, run.changed_at);
            if seen.insert(run.id, stands) == Some(stands) && !run.state.is_open() {
                continue;
            }
            let view = stage.admin.run(run.id).await?;
            if !stage.teller.knows(run.id) {
                let event = view.event.as_ref().map_or("", |event| event.dedupe_key.as_str());
                say_as(&format!("run {}", run.id), format!("{:<9}  accepted: {event}", ""));
            }
            stage.teller.tell(&view);
        }
        pause().await;
    }
}
