//! History goes when retention ends.

use bowline_model::{EventId, NewEvent, NewRun, RunId, RunState};
use bowline_store::{Accepted, Batch, RunFilter, Transition};

use crate::bench::{Bench, at, done, event, ids, run_of};

const DAY: i64 = 86_400;

pub(crate) async fn removes_old_ended_runs_with_journals_and_events(bench: &mut Bench) {
    for key in ["1", "2", "3"] {
        bench.ended(key, at(1)).await;
    }
    bench.tidy(at(30 * DAY), at(60 * DAY)).await;
    for id in 1..=3 {
        assert_eq!(bench.store().run(RunId(id)).await.unwrap(), None);
        assert_eq!(bench.store().journal(RunId(id)).await.unwrap(), []);
        assert_eq!(bench.store().event(EventId(id)).await.unwrap(), None);
    }
    assert_eq!(bench.store().runs(RunFilter::default()).await.unwrap(), []);
}

pub(crate) async fn keeps_what_ended_later(bench: &mut Bench) {
    bench.ended("1", at(1)).await;
    bench.queue("2", "slow").await;
    let slow = bench.claim_one("slow", at(1)).await;
    bench.write(&slow, vec![done(1, "x")], Some(Transition::Complete), at(20 * DAY)).await.unwrap();
    bench.tidy(at(10 * DAY), at(40 * DAY)).await;
    assert_eq!(bench.state(slow.id).await, RunState::Completed);
    assert_eq!(bench.store().journal(slow.id).await.unwrap(), [done(1, "x")]);
    assert!(bench.store().event(slow.event).await.unwrap().is_some());
    assert_eq!(bench.store().run(RunId(1)).await.unwrap(), None);
}

pub(crate) async fn keeps_open_runs_and_dead_letters_with_journals_and_events(bench: &mut Bench) {
    bench.ended("1", at(1)).await;
    let dead = bench.dead("2", at(1)).await;
    let queued = bench.queue("3", "queued").await;
    bench.queue("4", "waiting").await;
    let waiting = bench.claim_one("waiting", at(1)).await;
    bench
        .write(&waiting, vec![done(1, "x")], Some(Transition::Wait { due: None, seen: None }), at(1))
        .await
        .unwrap();
    let dead_before = bench.run(dead.id).await;
    bench.tidy(at(300 * DAY), at(400 * DAY)).await;
    assert_eq!(bench.run(dead.id).await, dead_before);
    for run in [dead.id, queued, waiting.id] {
        let event = bench.run(run).await.event;
        assert_eq!(bench.store().event(event).await.unwrap().unwrap().dedupe_key, run.to_string());
    }
    assert_eq!(bench.store().journal(waiting.id).await.unwrap(), [done(1, "x")]);
    // They go on as if nothing had happened.
    let run = bench.claim_one("queued", at(400 * DAY)).await;
    bench.write(&run, vec![done(1, "y")], Some(Transition::Complete), at(400 * DAY)).await.unwrap();
    let retry = bench.operation(&dead, RunState::Queued, vec![done(2, "z")], at(400 * DAY));
    bench.store().operate(retry).await.unwrap();
    let run = bench.claim_one("dying", at(400 * DAY)).await;
    let history = bench.store().histories(&[run.id]).await.unwrap().remove(0).unwrap();
    assert_eq!((history.event.dedupe_key.as_str(), history.journal.len()), ("2", 2));
}

pub(crate) async fn removes_what_it_kept_once_it_ended(bench: &mut Bench) {
    let dead = bench.dead("1", at(1)).await;
    bench.tidy(at(30 * DAY), at(60 * DAY)).await;
    bench.store().operate(bench.operation(&dead, RunState::Cancelled, vec![], at(61 * DAY))).await.unwrap();
    bench.tidy(at(61 * DAY), at(90 * DAY)).await;
    assert_eq!(bench.state(dead.id).await, RunState::Cancelled);
    bench.tidy(at(62 * DAY), at(92 * DAY)).await;
    assert_eq!(bench.store().run(dead.id).await.unwrap(), None);
    assert_eq!(bench.store().journal(dead.id).await.unwrap(), []);
    assert_eq!(bench.store().event(dead.event).await.unwrap(), None);
    assert_eq!(bench.store().counts(at(92 * DAY)).await.unwrap().by_state, []);
}

pub(crate) async fn keeps_an_event_that_a_later_run_replays(bench: &mut Bench) {
    let ended = bench.ended("1", at(1)).await;
    let run = bench.run(ended).await;
    bench.clock.advance(std::time::Duration::from_hours(24 * 50));
    // Something newer ends the period of the first.
    bench.tidy(at(0), at(50 * DAY)).await;
    let replay = NewRun { replay_of: Some(ended), ..run_of("again") };
    bench.store().accept(Batch { replays: vec![(run.event, replay)], ..Batch::default() }).await.unwrap();
    bench.tidy(at(30 * DAY), at(60 * DAY)).await;
    assert_eq!(bench.store().run(ended).await.unwrap(), None);
    let replay = bench.claim_one("again", at(61 * DAY)).await;
    let history = bench.store().histories(&[replay.id]).await.unwrap().remove(0).unwrap();
    assert_eq!(history.event.dedupe_key, "1");
    bench.write(&replay, vec![], Some(Transition::Complete), at(61 * DAY)).await.unwrap();
    bench.tidy(at(100 * DAY), at(130 * DAY)).await;
    assert_eq!(bench.store().run(replay.id).await.unwrap(), None);
    assert_eq!(bench.store().event(run.event).await.unwrap(), None);
}

pub(crate) async fn forgets_dedupe_keys_after_their_time(bench: &mut Bench) {
    // More than one piece of work.
    let events: Vec<_> =
        (0..2000).map(|key| NewEvent { dedupe_until: at(100), ..event(&key.to_string(), vec![]) }).collect();
    bench.store().accept(Batch { events: events.clone(), ..Batch::default() }).await.unwrap();
    bench.tidy(at(-DAY), at(99)).await;
    let again = bench.store().accept(Batch { events: events.clone(), ..Batch::default() }).await.unwrap();
    assert!(again.iter().all(|answer| matches!(answer, Accepted::Duplicate { .. })));
    bench.tidy(at(-DAY), at(100)).await;
    // Asked with an old time of receipt, so that only a forgotten key can be new.
    let again = bench.store().accept(Batch { events, ..Batch::default() }).await.unwrap();
    assert!(again.iter().all(|answer| matches!(answer, Accepted::New { .. })));
}

pub(crate) async fn answers_a_redelivery_after_its_event_was_removed(bench: &mut Bench) {
    let sent = NewEvent { dedupe_until: at(400 * DAY), ..event("1", vec![run_of("a")]) };
    bench.try_accept(sent.clone()).await.unwrap();
    let run = bench.claim_one("a", at(1)).await;
    bench.write(&run, vec![], Some(Transition::Complete), at(1)).await.unwrap();
    bench.tidy(at(30 * DAY), at(60 * DAY)).await;
    assert_eq!(bench.store().event(run.event).await.unwrap(), None);
    let again = bench.try_accept(sent).await.unwrap();
    assert_eq!(again, Accepted::Duplicate { event: run.event, runs: vec![run.id] });
}

pub(crate) async fn counts_without_what_was_removed(bench: &mut Bench) {
    for key in ["1", "2", "3"] {
        bench.ended(key, at(1)).await;
    }
    let dead = bench.dead("4", at(1)).await;
    bench.store().operate(bench.operation(&dead, RunState::Cancelled, vec![], at(2))).await.unwrap();
    bench.dead("5", at(1)).await;
    bench.tidy(at(30 * DAY), at(60 * DAY)).await;
    let counts = bench.store().counts(at(60 * DAY)).await.unwrap();
    assert_eq!(counts.by_state, [(RunState::DeadLettered, 1)]);
}

pub(crate) async fn never_gives_an_id_again(bench: &mut Bench) {
    bench.ended("1", at(1)).await;
    bench.ended("2", at(1)).await;
    bench.tidy(at(30 * DAY), at(60 * DAY)).await;
    bench.crash_and_restart(at(60 * DAY)).await;
    let (event, runs) = bench.accept("3", vec![run_of("a")]).await;
    assert_eq!((event, runs), (EventId(3), vec![RunId(3)]));
}

pub(crate) async fn lists_runs_across_periods(bench: &mut Bench) {
    for day in 0..5 {
        bench.ended(&format!("a{day}"), at(day * DAY)).await;
        bench.ended(&format!("b{day}"), at(day * DAY)).await;
        bench.clock.advance(std::time::Duration::from_hours(24));
        bench.tidy(at(-DAY), at((day + 1) * DAY)).await;
    }
    let page = |before| RunFilter { before, limit: 4, ..RunFilter::default() };
    let runs = bench.store().runs(page(None)).await.unwrap();
    assert_eq!(ids(&runs), [10, 9, 8, 7].map(RunId));
    let runs = bench.store().runs(page(Some(RunId(7)))).await.unwrap();
    assert_eq!(ids(&runs), [6, 5, 4, 3].map(RunId));
    assert_eq!(bench.store().journal(RunId(5)).await.unwrap().len(), 1);
}

pub(crate) async fn works_while_runs_go_on(bench: &mut Bench) {
    let mut open = vec![];
    for day in 0..20 {
        let now = at(day * DAY);
        for key in 0..5 {
            let sent = NewEvent { received_at: now, ..event(&format!("{day} {key}"), vec![run_of("a")]) };
            bench.try_accept(sent).await.unwrap();
        }
        for run in bench.claim("a", now).await {
            if run.id.0 % 5 == 0 {
                open.push(run);
            } else {
                bench.write(&run, vec![done(1, "x")], Some(Transition::Complete), now).await.unwrap();
            }
        }
        for run in &open {
            let len = bench.run(run.id).await.journal_len;
            bench.write(run, vec![done(len + 1, "still")], None, now).await.unwrap();
        }
        bench.clock.advance(std::time::Duration::from_hours(24));
        bench.tidy(at((day - 3) * DAY), now).await;
    }
    for (age, run) in open.iter().enumerate() {
        let journal = bench.store().journal(run.id).await.unwrap();
        assert_eq!(journal.len(), 20 - age, "run {}", run.id);
        let history = bench.store().histories(&[run.id]).await.unwrap().remove(0).unwrap();
        assert_eq!(history.event.dedupe_key, format!("{} {}", age, 4));
    }
    let listed = bench.store().runs(RunFilter { limit: 1000, ..RunFilter::default() }).await.unwrap();
    assert!(listed.len() < 20 + 6 * 4, "{} runs are left", listed.len());
    let counted: u64 =
        bench.store().counts(at(20 * DAY)).await.unwrap().by_state.iter().map(|(_, count)| count).sum();
    assert_eq!(counted, listed.len() as u64);
}
