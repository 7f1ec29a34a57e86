//! Which runs begin: unique ones, paused, debounced, in batches, at a pace.

use std::time::Duration;

use bowline_model::{Gather, NewRun, Rate, Run, RunFlow, RunId, RunState, flow::BATCH_BYTES_MAX};
use bowline_store::{Accepted, Claim, Paused, RunFilter, Transition};

use crate::bench::{Bench, at, event, ids, run_of};

fn ruled(flow: RunFlow) -> NewRun {
    NewRun { flow, ..run_of("w") }
}

fn unique(key: &str) -> NewRun {
    ruled(RunFlow { unique: Some(key.to_owned()), ..RunFlow::default() })
}

fn debounced(key: &str, quiet: u64, at_most: Option<u64>) -> NewRun {
    let (quiet, at_most) = (Duration::from_secs(quiet), at_most.map(Duration::from_secs));
    ruled(RunFlow {
        gather: Some(Gather::Debounce { key: key.to_owned(), quiet, at_most }),
        ..RunFlow::default()
    })
}

fn batched(key: &str, events_max: u32, wait: u64) -> NewRun {
    let wait = Duration::from_secs(wait);
    ruled(RunFlow {
        gather: Some(Gather::Batch { key: key.to_owned(), events_max, wait }),
        ..RunFlow::default()
    })
}

fn paced(bucket: &str, every: Duration) -> NewRun {
    ruled(RunFlow { rate: Some(Rate { bucket: bucket.to_owned(), every }), ..RunFlow::default() })
}

async fn accept_at(bench: &Bench, name: &str, run: NewRun, seconds: i64) -> RunId {
    let mut event = event(name, vec![run]);
    event.received_at = at(seconds);
    match bench.try_accept(event).await.unwrap() {
        Accepted::New { runs, .. } | Accepted::Duplicate { runs, .. } => runs[0],
    }
}

async fn summary(bench: &Bench, run: RunId) -> String {
    bench.run(run).await.summary.unwrap_or_default()
}

async fn end(bench: &Bench, run: &Run, end: Transition, now: i64) {
    bench.write(run, vec![], Some(end), at(now)).await.unwrap();
}

fn dead() -> Transition {
    Transition::DeadLetter { reason: bowline_model::DeadReason::Failed, summary: "no".to_owned() }
}

pub(crate) async fn an_event_of_an_open_unique_key_leaves_a_run_that_names_the_open_one(bench: &mut Bench) {
    let open = accept_at(bench, "1", unique("a"), 0).await;
    let (late, other) =
        (accept_at(bench, "2", unique("a"), 1).await, accept_at(bench, "3", unique("b"), 1).await);
    assert_eq!(bench.state(late).await, RunState::Cancelled);
    assert_eq!(summary(bench, late).await, format!("unique: run {open} is open"));
    assert_eq!(bench.store().journal(late).await.unwrap().len(), 1, "its timeline says so");
    assert_eq!(bench.store().ended(late).await.unwrap().state, RunState::Cancelled);
    let claimed = bench.claim("w", at(2)).await;
    assert_eq!(ids(&claimed), [open, other]);
    end(bench, &claimed[0], Transition::Wait { due: Some(at(50)), seen: None }, 3).await;
    assert_eq!(bench.state(accept_at(bench, "4", unique("a"), 4).await).await, RunState::Cancelled);
    end(bench, &bench.claim_one("w", at(50)).await, Transition::Complete, 51).await;
    assert_eq!(bench.state(accept_at(bench, "5", unique("a"), 52).await).await, RunState::Queued);
    let counts = bench.store().counts(at(60)).await.unwrap();
    let cancelled = counts.by_state.iter().find(|(state, _)| *state == RunState::Cancelled);
    assert_eq!(cancelled, Some(&(RunState::Cancelled, 2)));
}

pub(crate) async fn a_dead_letter_of_a_unique_key_lets_others_run_and_is_not_retried_beside_them(
    bench: &mut Bench,
) {
    let first = accept_at(bench, "1", unique("a"), 0).await;
    end(bench, &bench.claim_one("w", at(1)).await, dead(), 2).await;
    let second = accept_at(bench, "2", unique("a"), 3).await;
    let retry = || async {
        let operation = bench.operation(&bench.run(first).await, RunState::Queued, vec![], at(5));
        bench.store().operate(operation).await
    };
    let refused = retry().await.unwrap_err();
    assert!(
        refused.to_string().contains(&format!("the unique key of run {second}, which is open")),
        "{refused}"
    );
    end(bench, &bench.claim_one("w", at(6)).await, Transition::Complete, 7).await;
    retry().await.unwrap();
    assert_eq!(bench.claim_one("w", at(8)).await.id, first);
}

pub(crate) async fn of_a_paused_workflow_nothing_is_claimed_and_everything_accepted(bench: &mut Bench) {
    let waiting = accept_at(bench, "1", run_of("w"), 0).await;
    end(bench, &bench.claim_one("w", at(1)).await, Transition::Wait { due: Some(at(20)), seen: None }, 2)
        .await;
    let pause = |workflow: &str| Paused {
        workflow: workflow.into(),
        since: at(3),
        why: Some("the CRM moves".to_owned()),
    };
    assert!(bench.store().pause(pause("w")).await.unwrap());
    assert!(
        !bench.store().pause(Paused { since: at(4), ..pause("w") }).await.unwrap(),
        "it is paused already"
    );
    assert!(bench.store().pause(pause("never heard of")).await.unwrap());
    let queued = accept_at(bench, "2", run_of("w"), 5).await;
    let late = accept_at(bench, "3", paced("p", Duration::from_secs(1)), 5).await;
    let other = accept_at(bench, "4", run_of("v"), 5).await;
    bench.crash_and_restart(at(6)).await;
    assert_eq!(bench.store().paused().await.unwrap(), [pause("w"), pause("never heard of")]);
    assert!(bench.claim("w", at(30)).await.is_empty());
    let all = Claim { workflows: vec![], others_max: 100, ..bench.claim_of("w", at(30)) };
    assert_eq!(ids(&bench.store().claim(all).await.unwrap()), [other]);
    assert_eq!(bench.store().counts(at(30)).await.unwrap().oldest_claimable, None, "nobody is alarmed");
    assert!(bench.store().resume("w".into()).await.unwrap());
    assert!(!bench.store().resume("w".into()).await.unwrap());
    assert_eq!(ids(&bench.claim("w", at(31)).await), [waiting, queued, late]);
}

pub(crate) async fn of_a_paused_workflow_no_suspect_of_a_crash_is_claimed_either(bench: &mut Bench) {
    let (hit, other) =
        (accept_at(bench, "1", run_of("w"), 0).await, accept_at(bench, "2", run_of("v"), 0).await);
    bench.claim_one("w", at(1)).await;
    bench.claim_one("v", at(1)).await;
    assert_eq!(bench.crash_and_restart(at(2)).await, [hit, other]);
    bench.store().pause(Paused { workflow: "w".into(), since: at(3), why: None }).await.unwrap();
    let suspects = |bench: &Bench, now| Claim { others_max: 100, crashes_min: 1, ..bench.claim_of("w", now) };
    assert_eq!(ids(&bench.store().claim(suspects(bench, at(4))).await.unwrap()), [other]);
    bench.store().resume("w".into()).await.unwrap();
    assert_eq!(ids(&bench.store().claim(suspects(bench, at(5))).await.unwrap()), [hit]);
}

pub(crate) async fn a_later_event_replaces_a_debounced_run_that_has_not_begun(bench: &mut Bench) {
    let first = accept_at(bench, "1", debounced("a", 10, None), 0).await;
    let other = accept_at(bench, "2", debounced("b", 10, None), 1).await;
    assert!(bench.claim("w", at(9)).await.is_empty());
    let waits = bench.shared();
    let told = tokio::spawn(async move { waits.ended(first).await.unwrap() });
    let second = accept_at(bench, "3", debounced("a", 10, None), 9).await;
    assert_eq!(told.await.unwrap().state, RunState::Cancelled, "who waits is told");
    assert_eq!(summary(bench, first).await, "debounced: event 3 came");
    assert_eq!(bench.store().next_due(at(9)).await.unwrap(), Some(at(11)));
    assert_eq!(bench.claim_one("w", at(18)).await.id, other);
    let begun = bench.claim_one("w", at(19)).await;
    assert_eq!(begun.id, second);
    let third = accept_at(bench, "4", debounced("a", 10, None), 20).await;
    assert_eq!(bench.state(second).await, RunState::Running, "what has begun is never replaced");
    end(bench, &begun, Transition::Release, 21).await;
    let fourth = accept_at(bench, "5", debounced("a", 10, None), 22).await;
    assert_eq!(
        (bench.state(second).await, bench.state(third).await),
        (RunState::Queued, RunState::Cancelled)
    );
    assert_eq!(ids(&bench.claim("w", at(32)).await), [second, fourth]);
}

pub(crate) async fn a_debounced_run_goes_after_its_longest_wait(bench: &mut Bench) {
    for (name, seconds) in [("1", 0), ("2", 8), ("3", 16), ("4", 24)] {
        accept_at(bench, name, debounced("a", 10, Some(25)), seconds).await;
    }
    assert!(bench.claim("w", at(24)).await.is_empty());
    // Due, and held up by something else: it goes, and what comes now begins anew.
    let late = accept_at(bench, "5", debounced("a", 10, Some(25)), 26).await;
    assert_eq!(bench.claim_one("w", at(26)).await.id, RunId(4));
    assert_eq!(bench.claim_one("w", at(36)).await.id, late);
}

pub(crate) async fn events_join_a_batch_until_it_is_full_or_its_time_has_come(bench: &mut Bench) {
    let run = accept_at(bench, "1", batched("a", 3, 60), 0).await;
    let other = accept_at(bench, "2", batched("b", 3, 60), 1).await;
    assert_eq!(accept_at(bench, "3", batched("a", 3, 60), 2).await, run);
    assert_eq!(
        accept_at(bench, "3", batched("a", 3, 60), 3).await,
        run,
        "a redelivery is told the same, and counts once"
    );
    assert!(bench.claim("w", at(4)).await.is_empty());
    assert_eq!(accept_at(bench, "4", batched("a", 3, 60), 5).await, run);
    assert_eq!(bench.claim_one("w", at(5)).await.id, run, "full");
    let next = accept_at(bench, "5", batched("a", 3, 60), 6).await;
    assert_ne!(next, run);
    assert_eq!(ids(&bench.claim("w", at(66)).await), [other, next]);
    let of_late = accept_at(bench, "6", batched("a", 3, 60), 67).await;
    assert_ne!(of_late, next, "what has begun is not joined");
    let histories = bench.store().histories(&[run, other, next]).await.unwrap();
    let keys: Vec<Vec<String>> = histories
        .into_iter()
        .map(|history| history.unwrap().batch.into_iter().map(|event| event.dedupe_key).collect())
        .collect();
    assert_eq!(keys, [vec!["1", "3", "4"], vec!["2"], vec!["5"]]);
    let filter = RunFilter { event: Some(bowline_model::EventId(3)), ..RunFilter::default() };
    assert_eq!(ids(&bench.store().runs(filter).await.unwrap()), [run], "an event shows which run took it");
}

pub(crate) async fn a_batch_goes_when_its_events_have_as_many_bytes_as_it_holds(bench: &mut Bench) {
    let half = BATCH_BYTES_MAX / 2;
    let accept = async |name: &str, bytes: usize| {
        let mut event = event(name, vec![batched("a", 100, 60)]);
        event.body = vec![b'x'; bytes].into();
        match bench.try_accept(event).await.unwrap() {
            Accepted::New { runs, .. } | Accepted::Duplicate { runs, .. } => runs[0],
        }
    };
    let run = accept("1", half).await;
    assert_eq!(accept("2", half - 1).await, run);
    assert!(bench.claim("w", at(2)).await.is_empty(), "one byte is left");
    assert_eq!(accept("3", 1).await, run);
    assert_eq!(ids(&bench.claim("w", at(2)).await), [run], "it goes at once");
    let alone = accept("4", BATCH_BYTES_MAX).await;
    assert_eq!(ids(&bench.claim("w", at(3)).await), [alone], "and one as large is a batch by itself");
}

pub(crate) async fn a_batch_is_kept_with_all_its_events(bench: &mut Bench) {
    for name in ["1", "2", "3"] {
        accept_at(bench, name, batched("a", 3, 60), 0).await;
    }
    let run = bench.claim_one("w", at(1)).await;
    end(bench, &run, dead(), 2).await;
    bench.ended("another", at(3)).await;
    let far = 90 * 86_400;
    bench.clock.advance(Duration::from_secs(90 * 86_400));
    bench.ended("much later", at(far)).await;
    bench.tidy(at(far - 86_400), at(far)).await;
    let history = bench.store().histories(&[run.id]).await.unwrap().remove(0).unwrap();
    assert_eq!(history.batch.len(), 3, "a dead letter keeps its batch");
    let replay = NewRun { replay_of: Some(run.id), ..run_of("w") };
    let batch = bowline_store::Batch { replays: vec![(run.event, replay)], ..Default::default() };
    let answers = bench.store().accept(batch).await.unwrap();
    let Accepted::New { runs, .. } = &answers[0] else { panic!("a replay is new") };
    let again = bench.store().histories(runs).await.unwrap().remove(0).unwrap();
    assert_eq!(again.batch.len(), 3, "a replay is of all of it");
}

pub(crate) async fn runs_begin_at_their_pace_and_only_their_first_start_counts(bench: &mut Bench) {
    let every = Duration::from_secs(10);
    let mut runs = vec![];
    for name in ["1", "2", "3"] {
        runs.push(accept_at(bench, name, paced("p", every), 0).await);
    }
    let urgent = accept_at(bench, "4", NewRun { priority: 5, ..paced("p", every) }, 0).await;
    let other = accept_at(bench, "5", paced("q", every), 0).await;
    let first = bench.claim("w", at(0)).await;
    assert_eq!(ids(&first), [urgent, other]);
    assert_eq!(bench.store().next_due(at(0)).await.unwrap(), Some(at(10)), "the next start is a due time");
    assert!(bench.claim("w", at(9)).await.is_empty());
    bench.crash_and_restart(at(9)).await;
    let again = bench.claim("w", at(9)).await;
    assert_eq!(ids(&again), [urgent, other], "what had begun goes on at once");
    assert_eq!(bench.claim_one("w", at(10)).await.id, runs[0]);
    assert_eq!(bench.claim_one("w", at(35)).await.id, runs[1], "what was missed is not made up for");
    assert!(bench.claim("w", at(44)).await.is_empty());
    assert_eq!(bench.claim_one("w", at(45)).await.id, runs[2]);
    assert_eq!(bench.store().next_due(at(45)).await.unwrap(), None, "nobody waits");
    accept_at(bench, "6", paced("p", every), 46).await;
    assert!(bench.claim("w", at(54)).await.is_empty());
    assert_eq!(bench.claim("w", at(55)).await.len(), 1);
}

pub(crate) async fn a_quick_pace_goes_several_at_a_time(bench: &mut Bench) {
    for name in 0..200 {
        accept_at(bench, &name.to_string(), paced("p", Duration::from_millis(1)), 0).await;
    }
    assert_eq!(bench.claim("w", at(0)).await.len(), 1);
    assert_eq!(bench.claim("w", at(1)).await.len(), 100, "those of the last 100 ms, and this one");
}

pub(crate) async fn a_keyed_run_waits_for_its_turn_and_then_for_its_pace(bench: &mut Bench) {
    let keyed = |key: &str| NewRun { key: Some(key.to_owned()), ..paced("p", Duration::from_secs(10)) };
    let (first, second) =
        (accept_at(bench, "1", keyed("a"), 0).await, accept_at(bench, "2", keyed("a"), 0).await);
    let other = accept_at(bench, "3", keyed("b"), 0).await;
    let run = bench.claim_one("w", at(0)).await;
    assert_eq!(run.id, first);
    assert_eq!(bench.claim_one("w", at(10)).await.id, other);
    end(bench, &run, Transition::Complete, 11).await;
    assert!(bench.claim("w", at(19)).await.is_empty());
    assert_eq!(bench.claim_one("w", at(20)).await.id, second);
}

pub(crate) async fn a_pace_outlives_a_clock_that_is_set_back(bench: &mut Bench) {
    const YEAR: i64 = 366 * 86_400;
    let every = Duration::from_secs(10);
    // The machine woke with a clock that was a year ahead.
    accept_at(bench, "1", paced("p", every), YEAR).await;
    accept_at(bench, "2", paced("p", every), YEAR).await;
    accept_at(bench, "3", paced("q", every), YEAR).await;
    assert_eq!(bench.claim("w", at(YEAR)).await.len(), 2);
    bench.crash_and_restart(at(0)).await;
    bench.claim("w", at(0)).await;
    let next = bench.store().next_due(at(0)).await.unwrap();
    assert!(next.is_some_and(|next| next <= at(10)), "it waits until {next:?}");
    assert_eq!(bench.claim_one("w", at(10)).await.id, RunId(2), "who waited at that time");
    accept_at(bench, "4", paced("q", every), 20).await;
    assert_eq!(bench.claim("w", at(30)).await.len(), 1, "and who comes later");
}

pub(crate) async fn a_batch_outlives_a_clock_that_is_set_back(bench: &mut Bench) {
    let run = accept_at(bench, "1", batched("a", 10, 60), 366 * 86_400).await;
    assert_eq!(accept_at(bench, "2", batched("a", 10, 60), 0).await, run);
    assert!(bench.claim("w", at(59)).await.is_empty());
    assert_eq!(
        bench.claim_one("w", at(60)).await.id,
        run,
        "a minute after the next event, and not in a year"
    );
}

pub(crate) async fn a_new_rule_of_pace_holds_for_those_that_come_under_it(bench: &mut Bench) {
    accept_at(bench, "1", paced("p", Duration::from_secs(86_400)), 0).await;
    assert_eq!(bench.claim("w", at(0)).await.len(), 1);
    accept_at(bench, "2", paced("p", Duration::from_secs(10)), 1).await;
    assert_eq!(bench.claim("w", at(11)).await.len(), 1, "the slower rule of before holds it up no more");
}
