//! What can be asked.

use bowline_model::{
    Entry, EntryKind, EntryMeta, Event, EventId, NewEvent, NewRun, Payload, RunId, RunState,
};
use bowline_store::{Accepted, Batch, RunFilter, StoreErrorKind, Transition};

use crate::bench::{Bench, at, done, entry, event, ids, run_of};

pub(crate) async fn knows_nothing_of_what_is_not_there(bench: &mut Bench) {
    let store = bench.store();
    assert_eq!(store.run(RunId(1)).await.unwrap(), None);
    assert_eq!(store.event(EventId(1)).await.unwrap(), None);
    assert_eq!(store.journal(RunId(1)).await.unwrap(), []);
    assert_eq!(store.cursor("none").await.unwrap(), None);
    assert_eq!(store.runs(RunFilter::default()).await.unwrap(), []);
    let counts = store.counts(at(1)).await.unwrap();
    assert_eq!((counts.by_state, counts.oldest_claimable), (vec![], None));
    assert!(bench.claim("none", at(1)).await.is_empty());
}

pub(crate) async fn reads_histories_in_the_order_asked(bench: &mut Bench) {
    bench.queue("1", "a").await;
    bench.queue("2", "a").await;
    let ended = bench.ended("3", at(1)).await;
    let runs = bench.claim("a", at(1)).await;
    bench.write(&runs[0], vec![done(1, "x"), done(2, "y")], None, at(2)).await.unwrap();
    let asked = [runs[1].id, ended, runs[0].id, runs[1].id];
    let histories = bench.store().histories(&asked).await.unwrap();
    let found: Vec<_> =
        histories.into_iter().map(|h| h.unwrap()).map(|h| (h.event.dedupe_key, h.journal)).collect();
    let nothing = ("2".to_owned(), vec![]);
    let two = ("1".to_owned(), vec![done(1, "x"), done(2, "y")]);
    assert_eq!(found, [nothing.clone(), ("3".to_owned(), vec![done(1, "3")]), two, nothing]);
}

pub(crate) async fn reads_the_other_histories_when_one_is_missing(bench: &mut Bench) {
    let run = bench.queue("1", "a").await;
    let histories = bench.store().histories(&[RunId(99), run]).await.unwrap();
    assert_eq!(histories[0].as_ref().unwrap_err().kind(), StoreErrorKind::NotFound);
    let Event { dedupe_key, .. } = &histories[1].as_ref().unwrap().event;
    assert_eq!(dedupe_key, "1");
}

pub(crate) async fn reads_a_new_runs_history_as_often_as_asked(bench: &mut Bench) {
    let new = NewEvent {
        headers: vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "\"2\"".to_owned())],
        ..event("1", vec![run_of("a"), run_of("b")])
    };
    let Accepted::New { event, runs } = bench.try_accept(new).await.unwrap() else { panic!("it is new") };
    let stored = bench.store().event(event).await.unwrap().unwrap();
    assert_eq!(stored.headers.len(), 2);
    for _ in 0..2 {
        for history in bench.store().histories(&runs).await.unwrap() {
            let history = history.unwrap();
            assert_eq!((&history.event, history.journal.len()), (&stored, 0));
        }
    }
}

pub(crate) async fn reads_what_was_written_before_the_history_was_first_read(bench: &mut Bench) {
    let written = bench.queue("1", "a").await;
    let ended = bench.queue("2", "a").await;
    let operated = bench.queue("3", "b").await;
    for run in bench.claim("a", at(1)).await {
        let transition = (run.id == ended).then_some(Transition::Complete);
        bench.write(&run, vec![done(1, "x")], transition, at(2)).await.unwrap();
    }
    let queued = bench.run(operated).await;
    let operation = bench.operation(&queued, RunState::Queued, vec![done(1, "x")], at(2));
    bench.store().operate(operation).await.unwrap();
    for history in bench.store().histories(&[written, ended, operated]).await.unwrap() {
        assert_eq!(history.unwrap().journal, [done(1, "x")]);
    }
}

pub(crate) async fn lists_runs_newest_first_page_by_page(bench: &mut Bench) {
    for key in 0..25 {
        if key % 3 == 0 {
            bench.ended(&key.to_string(), at(1)).await;
        } else {
            bench.queue(&key.to_string(), "a").await;
        }
    }
    let mut listed = vec![];
    let mut before = None;
    for page in [10, 10, 5, 0] {
        let filter = RunFilter { before, limit: 10, ..RunFilter::default() };
        let runs = bench.store().runs(filter).await.unwrap();
        assert_eq!(runs.len(), page);
        before = runs.last().map(|run| run.id).or(before);
        listed.extend(ids(&runs));
    }
    assert_eq!(listed, (1..=25).rev().map(RunId).collect::<Vec<_>>());
    assert_eq!(bench.store().runs(RunFilter::default()).await.unwrap().len(), 25);
    let huge = RunFilter { limit: usize::MAX, ..RunFilter::default() };
    assert_eq!(bench.store().runs(huge).await.unwrap().len(), 25);
}

pub(crate) async fn lists_runs_by_state_and_workflow(bench: &mut Bench) {
    let queued = bench.queue("1", "a").await;
    let completed = bench.ended("2", at(1)).await;
    let dead = bench.dead("3", at(1)).await.id;
    bench.queue("4", "w").await;
    let waiting = bench.claim_one("w", at(1)).await;
    bench.write(&waiting, vec![], Some(Transition::Wait { due: None, seen: None }), at(2)).await.unwrap();
    bench.queue("5", "r").await;
    let running = bench.claim_one("r", at(1)).await.id;
    let other = bench.dead("6", at(1)).await;
    bench.store().operate(bench.operation(&other, RunState::Cancelled, vec![], at(3))).await.unwrap();
    let by = async |states: &[RunState], workflow: Option<&str>| {
        let (states, workflow) = (states.to_vec(), workflow.map(Into::into));
        let filter = RunFilter { states, workflow, ..RunFilter::default() };
        ids(&bench.store().runs(filter).await.unwrap())
    };
    for (state, run) in [
        (RunState::Queued, queued),
        (RunState::Running, running),
        (RunState::Waiting, waiting.id),
        (RunState::Completed, completed),
        (RunState::Cancelled, other.id),
        (RunState::DeadLettered, dead),
    ] {
        assert_eq!(by(&[state], None).await, [run]);
    }
    assert_eq!(
        by(&[RunState::Queued, RunState::Completed, RunState::DeadLettered], None).await,
        [dead, completed, queued]
    );
    assert_eq!(by(&RunState::ALL, None).await.len(), 6);
    assert_eq!(by(&[], Some("dying")).await, [other.id, dead]);
    assert_eq!(by(&[RunState::DeadLettered], Some("dying")).await, [dead]);
    assert_eq!(by(&[RunState::DeadLettered], Some("a")).await, []);
    assert_eq!(by(&[], Some("never heard of")).await, []);
}

pub(crate) async fn lists_the_runs_of_an_event(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let (id, _) = bench.accept("2", vec![run_of("a"), run_of("b")]).await;
    bench.queue("3", "a").await;
    let replay = NewRun { replay_of: Some(RunId(2)), ..run_of("a") };
    bench.store().accept(Batch { replays: vec![(id, replay)], ..Batch::default() }).await.unwrap();
    let run = bench.claim_one("b", at(1)).await;
    bench.write(&run, vec![], Some(Transition::Complete), at(2)).await.unwrap();
    let all = RunFilter { event: Some(id), ..RunFilter::default() };
    let by = async |filter: RunFilter| ids(&bench.store().runs(filter).await.unwrap());
    assert_eq!(by(all.clone()).await, [5, 3, 2].map(RunId));
    assert_eq!(by(RunFilter { limit: 1, ..all.clone() }).await, [RunId(5)]);
    assert_eq!(by(RunFilter { before: Some(RunId(5)), ..all.clone() }).await, [3, 2].map(RunId));
    assert_eq!(by(RunFilter { states: vec![RunState::Completed], ..all.clone() }).await, [RunId(3)]);
    assert_eq!(by(RunFilter { workflow: Some("a".into()), ..all }).await, [5, 2].map(RunId));
}

pub(crate) async fn yields_what_a_run_completed_with_and_nothing_before(bench: &mut Bench) {
    let output = async |bench: &Bench, run| bench.store().output(run).await.unwrap();
    let completed =
        |seq, value: &str| entry(seq, EntryKind::Completed, "", Some(Payload::encode(value).unwrap()));
    assert_eq!(output(bench, RunId(1)).await, None);
    let id = bench.queue("1", "a").await;
    let neighbour = bench.queue("2", "a").await;
    let [run, other] = &bench.claim("a", at(1)).await[..] else { panic!("both are claimable") };
    assert_eq!(output(bench, id).await, None);
    bench.write(run, vec![done(1, "a step's")], None, at(2)).await.unwrap();
    assert_eq!(output(bench, id).await, None);
    bench.write(run, vec![completed(2, "first")], Some(Transition::Complete), at(3)).await.unwrap();
    bench.write(other, vec![completed(1, "another's")], Some(Transition::Complete), at(3)).await.unwrap();
    assert_eq!(output(bench, id).await, Some(Payload::encode("first").unwrap()));
    assert_eq!(output(bench, neighbour).await, Some(Payload::encode("another's").unwrap()));

    // Opened again, it has yielded nothing until it is completed again.
    let ended = bench.run(id).await;
    bench.store().operate(bench.operation(&ended, RunState::Queued, vec![], at(4))).await.unwrap();
    assert_eq!(output(bench, id).await, None);
    let run = bench.claim_one("a", at(5)).await;
    let entries = vec![done(3, "a step's"), completed(4, "second"), done(5, "a note's")];
    bench.write(&run, entries, Some(Transition::Complete), at(6)).await.unwrap();
    assert_eq!(output(bench, id).await, Some(Payload::encode("second").unwrap()));
    let dead = bench.dead("3", at(7)).await;
    assert_eq!(output(bench, dead.id).await, None);
}

pub(crate) async fn tells_forks_from_replays(bench: &mut Bench) {
    let old = bench.ended("1", at(1)).await;
    let event = bench.run(old).await.event;
    let step = done(1, "charge").key;
    let note = |forked_from| {
        let meta = EntryMeta { forked_from, ..EntryMeta::default() };
        Entry { meta, ..entry(1, EntryKind::Inherited, "", Some(Payload::encode("[]").unwrap())) }
    };
    let again = |journal| NewRun { replay_of: Some(old), journal, ..run_of("a") };
    let mut runs = vec![];
    for journal in [vec![note(Some(step.clone())), done(2, "x")], vec![note(None)], vec![]] {
        let batch = Batch { replays: vec![(event, again(journal))], ..Batch::default() };
        let [Accepted::New { runs: new, .. }] = &bench.store().accept(batch).await.unwrap()[..] else {
            panic!("a replay is new");
        };
        runs.extend(new);
    }
    let asked: Vec<RunId> = [RunId(99), old].into_iter().chain(runs.clone()).collect();
    assert_eq!(bench.store().forks(asked.clone()).await.unwrap(), [(runs[0], step.clone())]);
    // An ended fork is one still.
    for run in &bench.claim("a", at(3)).await {
        bench.write(run, vec![], Some(Transition::Complete), at(4)).await.unwrap();
    }
    assert_eq!(bench.store().forks(asked).await.unwrap(), [(runs[0], step)]);
}

pub(crate) async fn counts_runs_by_state(bench: &mut Bench) {
    let count = async |bench: &Bench| bench.store().counts(at(1)).await.unwrap().by_state;
    for key in ["1", "2", "3"] {
        bench.queue(key, "a").await;
    }
    bench.try_accept(event("1", vec![run_of("a")])).await.unwrap();
    assert_eq!(count(bench).await, [(RunState::Queued, 3)]);
    let runs = bench.claim("a", at(1)).await;
    bench
        .write(&runs[0], vec![], Some(Transition::Wait { due: Some(at(9)), seen: None }), at(2))
        .await
        .unwrap();
    bench.write(&runs[1], vec![], Some(Transition::Complete), at(2)).await.unwrap();
    bench.dead("4", at(2)).await;
    let now = [
        (RunState::Running, 1),
        (RunState::Waiting, 1),
        (RunState::Completed, 1),
        (RunState::DeadLettered, 1),
    ];
    assert_eq!(count(bench).await, now);
    bench.claim("a", at(9)).await;
    assert_eq!(count(bench).await[0], (RunState::Running, 2));
}

pub(crate) async fn says_since_when_the_oldest_run_waits_for_a_claim(bench: &mut Bench) {
    let oldest = async |bench: &Bench, now| bench.store().counts(at(now)).await.unwrap().oldest_claimable;
    bench.accept("1", vec![NewRun { due: Some(at(50)), ..run_of("later") }]).await;
    assert_eq!(oldest(bench, 49).await, None);
    assert_eq!(oldest(bench, 60).await, Some(at(50)));
    bench.queue("2", "a").await;
    assert_eq!(oldest(bench, 60).await, Some(at(0)));
    let run = bench.claim_one("a", at(1)).await;
    assert_eq!(oldest(bench, 49).await, None);
    bench.write(&run, vec![], Some(Transition::Release), at(7)).await.unwrap();
    bench.accept("3", vec![NewRun { priority: 9, ..run_of("b") }]).await;
    let urgent = bench.claim_one("b", at(8)).await;
    bench.write(&urgent, vec![], Some(Transition::Release), at(9)).await.unwrap();
    assert_eq!(oldest(bench, 60).await, Some(at(7)));
}

pub(crate) async fn probes(bench: &mut Bench) {
    bench.store().probe(at(1)).await.unwrap();
    bench.store().probe(at(2)).await.unwrap();
}

pub(crate) async fn refuses_calls_after_it_was_closed(bench: &mut Bench) {
    bench.queue("1", "a").await;
    bench.store().close().await.unwrap();
    let refused = bench.try_accept(event("2", vec![])).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    assert_eq!(bench.store().run(RunId(1)).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    bench.store().close().await.unwrap();
}
