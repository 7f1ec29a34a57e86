//! What differs between the undisturbed execution and one with a crash.

use std::fmt::Debug;

use bowline_model::{DeadReason, Fingerprint};

use super::{
    diff::diff,
    effects::{Content, Effect, KeyReused, Kind},
    execution::{Execution, RunEnd},
    finding::{Cause, Finding},
    same::Stands,
};
use crate::test_app::What;

/// All that differs, the world first.
pub(super) fn compare<T: PartialEq + Debug>(ours: &Execution<T>, theirs: &Execution<T>) -> Vec<Finding> {
    let stands = stands(ours, theirs);
    let mut findings: Vec<Finding> = theirs.reused.iter().map(key_reused).collect();
    findings.extend(compare_effects(ours, theirs, &stands));
    findings.extend(compare_runs(ours, theirs, &stands));
    let is_cut_off = findings.iter().any(Finding::cuts_off) || theirs.result.is_err();
    if is_cut_off {
        // A run or a scenario that stops half way leaves undone what comes later.
        findings.retain(|finding| !finding.is_left_undone());
    }
    // What the scenario saw follows from what went wrong before.
    if findings.is_empty() {
        findings.extend(compare_results(ours, theirs, &stands));
    }
    findings
}

/// Keys that were used for two requests, without a crash.
pub(super) fn keys_reused<T>(execution: &Execution<T>) -> Vec<Finding> {
    execution.reused.iter().map(two_calls).collect()
}

/// After a crash: one call that says something else, or two calls.
fn key_reused(reused: &KeyReused) -> Finding {
    let (first, then) = (reused.first.target(), reused.then.target());
    if first != then {
        return two_calls(reused);
    }
    let title = format!("{first} was sent twice under one key, and asked for something else");
    Finding::new(Cause::Body, title).detail(diff(&reused.first.pretty(), &reused.then.pretty()))
}

fn two_calls(reused: &KeyReused) -> Finding {
    let KeyReused { key, first, then } = reused;
    let title = format!("two different calls share the key {key}: {} and {}", first.target(), then.target());
    Finding::new(Cause::OneKey, title).detail(diff(&first.pretty(), &then.pretty()))
}

/// Steps that were asked for where none can be.
pub(super) fn misplaced<T>(execution: &Execution<T>) -> Vec<Finding> {
    /// How the engine tells it.
    const TOLD: [&str; 3] =
        ["is inside the closure of step", "was awaited outside its run", "was called outside the run"];
    let is_told = |run: &&RunEnd| {
        let summary = run.summary.as_deref().unwrap_or_default();
        let told = TOLD.iter().any(|told| summary.contains(told) || run.timeline.contains(told));
        told || run.reason == Some(DeadReason::Mismatch)
    };
    let runs = execution.runs.iter().filter(is_told);
    runs.map(|run| {
        let title = format!("a run of {} asked for a step where none can be", run.workflow);
        let title = match run.reason {
            Some(DeadReason::Mismatch) => format!("a run of {} does not fit its own journal", run.workflow),
            Some(_) | None => title,
        };
        let summary = run.summary.as_ref().map(|summary| format!("{summary}\n")).unwrap_or_default();
        Finding::new(Cause::Misplaced, title).detail(format!("{summary}{}", run.timeline))
    })
    .collect()
}

/// What was asked or done outside every step, as far as that shows without a crash.
pub(super) fn outside_steps<T>(execution: &Execution<T>) -> Vec<Finding> {
    // A closure's calls are not recorded one by one, an attempt under way is not recorded yet, and a loop's ended items
    // are recorded no more.
    if execution.has_closures()
        || execution.has_loops()
        || execution.runs.iter().any(|run| run.state.is_open())
    {
        return vec![];
    }
    let known = |content: &Content| {
        execution.recorded().chain(execution.dropped()).any(|call| is_call(content, call))
    };
    let outside = execution.effects.iter().filter(|effect| !known(&effect.content));
    outside
        .map(|effect| {
            let title = format!("{} was called outside the steps", effect.content.target());
            Finding::new(Cause::OutsideSteps, title).detail(format!("{}\n", effect.content))
        })
        .collect()
}

/// What may differ: what the runs recorded, and where the mock systems are.
fn stands<T>(ours: &Execution<T>, theirs: &Execution<T>) -> Stands {
    let mut stands = Stands::default();
    for (our_run, their_run) in ours.runs.iter().zip(&theirs.runs) {
        stands.learn(&our_run.journal, &their_run.journal);
    }
    for (name, url) in &theirs.addresses {
        if let Some((_, our_url)) = ours.addresses.iter().find(|(known, _)| known == name) {
            stands.add(url, our_url);
        }
    }
    stands
}

fn compare_effects<T>(ours: &Execution<T>, theirs: &Execution<T>, stands: &Stands) -> Vec<Finding> {
    let is_dropped = |content: &Content| {
        let mut dropped = ours.dropped().chain(theirs.dropped());
        dropped.any(|call| is_call(content, call))
    };
    let recorded =
        |content: &Content| ours.recorded().chain(theirs.recorded()).any(|call| is_call(content, call));
    let known_to = |effects: &[Effect], effect: &Effect| {
        effects.iter().any(|other| {
            other.content.same(&effect.content, stands) || effect.content.same(&other.content, stands)
        })
    };
    let known = |effect: &Effect| known_to(&ours.effects, effect);
    let (safe, mut missing): (Vec<_>, Vec<_>) =
        ours.effects.iter().partition(|effect| effect.kind == Kind::Safe);
    let mut extra: Vec<&Effect> = vec![];
    for effect in &theirs.effects {
        let exact = missing.iter().position(|ours| ours.content == effect.content);
        let alike = || missing.iter().position(|ours| ours.content.same(&effect.content, stands));
        match exact.or_else(alike) {
            Some(_) if effect.kind == Kind::Safe => {}
            Some(found) => {
                missing.remove(found);
            }
            None => extra.push(effect),
        }
    }
    missing.extend(safe.into_iter().filter(|effect| !known_to(&theirs.effects, effect)));
    let mut repeated: Vec<&Content> = vec![];
    extra.retain(|effect| match effect.kind {
        Kind::Safe => !known(effect),
        // Nobody can tell it from its repetition, and a step's attempt that was under way may be repeated once.
        Kind::Bare if recorded(&effect.content) || is_harmless_in_closure(&effect.content, theirs) => {
            let is_same = |other: &Content| other.same(&effect.content, stands);
            let usually = ours.effects.iter().filter(|ours| is_same(&ours.content)).count();
            let until_now = repeated.iter().filter(|other| **other == &effect.content).count();
            repeated.push(&effect.content);
            until_now >= usually
        }
        Kind::Bare | Kind::Keyed(_) => true,
    });
    extra.retain(|effect| !is_dropped(&effect.content));
    missing.retain(|effect| !is_dropped(&effect.content));
    let cause = |content: &Content| match recorded(content) {
        true if is_same_step(content, ours, theirs) => Cause::OwnKey,
        true => Cause::UnstableStep,
        false => Cause::OutsideSteps,
    };
    tell(&missing, &extra, &known, &recorded, &cause, ours, stands)
}

fn tell<T>(
    missing: &[&Effect],
    extra: &[&Effect],
    known: &impl Fn(&Effect) -> bool,
    recorded: &impl Fn(&Content) -> bool,
    cause_again: &impl Fn(&Content) -> Cause,
    ours: &Execution<T>,
    stands: &Stands,
) -> Vec<Finding> {
    let mut findings = vec![];
    let mut left: Vec<&Effect> = missing.to_vec();
    for effect in extra {
        let content = &effect.content;
        if known(effect) {
            let usually = ours.effects.iter().filter(|ours| ours.content.same(content, stands)).count();
            let under = match effect.kind {
                Kind::Keyed(_) => "once more, under another idempotency key",
                Kind::Bare | Kind::Safe => "once more, without an idempotency key",
            };
            let times = if usually == 1 { "once".to_owned() } else { format!("{usually} times") };
            findings.push(
                Finding::new(cause_again(content), format!("{} was sent {under}", content.target()))
                    .detail(format!("{content}\nis sent {times} without the crash\n")),
            );
            continue;
        }
        let twin = left.iter().position(|missing| missing.content.target() == content.target());
        let cause = if recorded(content) { Cause::OtherPath } else { Cause::OutsideSteps };
        findings.push(match twin {
            Some(twin) => {
                let twin = left.remove(twin);
                Finding::new(Cause::Body, format!("{} was sent with something else in it", content.target()))
                    .detail(diff(&twin.content.pretty(), &content.pretty()))
            }
            None => {
                Finding::new(cause, format!("{} was sent, and is not without the crash", content.target()))
                    .detail(format!("{content}\n"))
            }
        });
    }
    findings.extend(left.into_iter().map(|effect| {
        let title = format!("{} was not sent, and is without the crash", effect.content.target());
        Finding::new(Cause::OtherPath, title).detail(format!("{}\n", effect.content)).left_undone()
    }));
    findings
}

/// Whether the same steps asked for it in both executions.
fn is_same_step<T>(content: &Content, ours: &Execution<T>, theirs: &Execution<T>) -> bool {
    let steps = |execution: &Execution<T>| -> Vec<String> {
        let entries = execution.runs.iter().flat_map(|run| &run.journal);
        let asking = entries
            .filter(|entry| entry.meta.fingerprint.as_ref().is_some_and(|call| is_call(content, call)));
        asking.map(|entry| entry.key.to_string()).collect()
    };
    let (ours, theirs) = (steps(ours), steps(theirs));
    ours.iter().all(|step| theirs.contains(step)) && theirs.iter().all(|step| ours.contains(step))
}

/// Whether a closure may have been under way when the process died, whose call the remote takes for the same again. Only
/// after the closure was recorded it cannot have been: a process goes on for a moment while its death is being arranged.
fn is_harmless_in_closure<T>(content: &Content, theirs: &Execution<T>) -> bool {
    let Some(died) = &theirs.died else { return false };
    let recorded: &[String] = match &died.what {
        What::Recorded { steps, .. } if !died.is_before() => steps,
        What::Recorded { .. }
        | What::Accepted
        | What::Claimed
        | What::Noted(_)
        | What::Operated
        | What::Posted
        | What::Credential => &[],
    };
    let mut closures = theirs.closures().into_iter();
    matches!(content.method.as_str(), "PUT" | "DELETE") && closures.any(|step| !recorded.contains(&step))
}

/// Whether a request is that recorded call. A call's path is below the Api's base; that of a secret URL is not recorded.
fn is_call(content: &Content, call: &Fingerprint) -> bool {
    content.api == call.api
        && content.method == call.method
        && content.path.ends_with(call.path.trim_end_matches('/'))
}

fn compare_runs<T>(ours: &Execution<T>, theirs: &Execution<T>, stands: &Stands) -> Vec<Finding> {
    let (our_runs, their_runs) = (&ours.runs, &theirs.runs);
    if our_runs.len() != their_runs.len() {
        let is_sent_again = theirs.died.as_ref().is_some_and(|moment| moment.what == What::Accepted);
        let is_more = their_runs.len() > our_runs.len();
        let cause = if is_more && is_sent_again { Cause::Undeduped } else { Cause::OtherPath };
        let title = format!("{} instead of {} were started", runs_text(their_runs.len()), our_runs.len());
        let timelines: Vec<&str> = their_runs.iter().map(|run| run.timeline.as_str()).collect();
        let finding = Finding::new(cause, title).detail(timelines.join("\n"));
        return vec![if is_more { finding } else { finding.left_undone() }];
    }
    let runs = our_runs.iter().zip(their_runs).enumerate();
    runs.filter_map(|(index, (ours, theirs))| compare_run(index + 1, ours, theirs, stands)).collect()
}

fn runs_text(count: usize) -> String {
    format!("{count} run{}", if count == 1 { "" } else { "s" })
}

fn compare_run(number: usize, ours: &RunEnd, theirs: &RunEnd, stands: &Stands) -> Option<Finding> {
    let name = format!("run {number} ({})", theirs.workflow);
    if ours.workflow != theirs.workflow {
        let title = format!("{name} is of another workflow; without the crash it is of {}", ours.workflow);
        return Some(Finding::new(Cause::OtherPath, title));
    }
    if (ours.state, ours.reason) != (theirs.state, theirs.reason) {
        let end = |run: &RunEnd| match run.reason {
            Some(reason) => format!("{} ({reason})", run.state),
            None => run.state.to_string(),
        };
        let cause = match theirs.reason {
            Some(DeadReason::Mismatch) => Cause::Mismatch,
            Some(_) | None => Cause::OtherPath,
        };
        let summary = theirs.summary.as_ref().map(|summary| format!("{summary}\n")).unwrap_or_default();
        let title = format!("{name} is {}; without the crash it is {}", end(theirs), end(ours));
        let finding = Finding::new(cause, title).detail(format!("{summary}{}", theirs.timeline));
        return Some(if theirs.state.is_open() { finding.left_undone() } else { finding });
    }
    let (our_output, their_output) = (ours.output.as_ref()?, theirs.output.as_ref()?);
    if stands.same_value(our_output, their_output) {
        return None;
    }
    let pretty = |value| format!("{}\n", serde_json::to_string_pretty(value).expect("JSON can be written"));
    let title = format!("{name} returned something else");
    Some(Finding::new(Cause::OtherPath, title).detail(diff(&pretty(our_output), &pretty(their_output))))
}

fn compare_results<T: PartialEq + Debug>(
    ours: &Execution<T>,
    theirs: &Execution<T>,
    stands: &Stands,
) -> Option<Finding> {
    match (&ours.result, &theirs.result) {
        (_, Err(panic)) => {
            Some(Finding::new(Cause::Scenario, "the scenario failed".to_owned()).detail(format!("{panic}\n")))
        }
        (Ok(our_result), Ok(their_result)) => {
            let text = |result: &T| format!("{result:#?}\n");
            let (our_text, their_text) = (text(our_result), text(their_result));
            if our_result == their_result || stands.same_text(&our_text, &their_text) {
                return None;
            }
            let title = "the scenario saw something else".to_owned();
            Some(Finding::new(Cause::Scenario, title).detail(diff(&our_text, &their_text)))
        }
        (Err(_), Ok(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use bowline_model::{
        BuildId, Entry, EntryKey, EntryKind, EntryMeta, Family, Position, RunState, ScopePath, Seq,
    };
    use jiff::Timestamp;

    use super::*;
    use crate::{Match, MockSystem, crash_points::effects::effects};

    /// What a mock system was asked for by hand: one POST, under a key.
    async fn sent() -> Vec<Effect> {
        let mail = MockSystem::start();
        let post =
            reqwest::Client::new().post(format!("{}/quote", mail.url())).header("idempotency-key", "k1");
        post.body("{}").send().await.expect("it is answered");
        mail.expect(Match::any(), 1);
        effects(std::iter::once(&mail)).0
    }

    fn execution(effects: Vec<Effect>, kind: EntryKind) -> Execution<()> {
        let call = Fingerprint {
            api: "system".to_owned(),
            method: "POST".to_owned(),
            path: "/quote".to_owned(),
            query: String::new(),
            body: String::new(),
        };
        let entry = Entry {
            seq: Seq(1),
            kind,
            key: EntryKey {
                family: Family::Step,
                scope: ScopePath::root(),
                name: "ask".to_owned(),
                position: Position::Nth(1),
            },
            at: Timestamp::UNIX_EPOCH,
            build: BuildId::from("test"),
            meta: EntryMeta { fingerprint: Some(call), ..EntryMeta::default() },
            payload: None,
        };
        let run = RunEnd {
            workflow: "order".to_owned(),
            state: RunState::Completed,
            reason: None,
            summary: None,
            output: None,
            journal: vec![entry],
            timeline: String::new(),
        };
        Execution {
            result: Ok(()),
            effects,
            reused: vec![],
            runs: vec![run],
            died: None,
            moments: 0,
            addresses: vec![],
        }
    }

    #[tokio::test]
    async fn a_call_that_the_code_dropped_may_have_been_sent_or_not() {
        let effects = sent().await;
        for (kind, findings) in [(EntryKind::Dropped, 0), (EntryKind::StepDone, 1)] {
            let (with, without) = (execution(effects.clone(), kind), execution(vec![], kind));
            assert_eq!(compare(&with, &without).len(), findings, "not sent after the crash, {kind:?}");
            assert_eq!(compare(&without, &with).len(), findings, "only sent after the crash, {kind:?}");
        }
    }
}
