//! Events come in.

use bowline_model::{
    EntryKind, Epoch, Event, EventId, KeySeed, NewEvent, NewRun, Payload, Run, RunId, RunState,
    event::DEDUPE_KEY_BYTES_MAX,
};
use bowline_store::{Accepted, Batch, CursorMove, StoreErrorKind};

use crate::bench::{Bench, at, done, entry, event, run_of};

pub(crate) async fn gives_back_an_event_and_its_runs_as_they_came(bench: &mut Bench) {
    let first = NewRun {
        key: Some("customer 7".to_owned()),
        priority: -3,
        parent: Some(RunId(77)),
        replay_of: Some(RunId(66)),
        due: Some(at(90)),
        ..run_of("a")
    };
    let sent = event("evt_1", vec![first, run_of("b")]);
    let NewEvent { source, provider, kind, dedupe_key, received_at, headers, body, input_pointer, .. } =
        sent.clone();
    let (id, runs) = bench.accept("evt_1", sent.runs).await;
    let expected =
        Event { id, source, provider, kind, dedupe_key, received_at, headers, body, input_pointer };
    assert_eq!(bench.store().event(id).await.unwrap(), Some(expected));
    let expected = Run {
        id: runs[0],
        event: id,
        workflow: "a".into(),
        key: Some("customer 7".to_owned()),
        priority: -3,
        parent: Some(RunId(77)),
        replay_of: Some(RunId(66)),
        build: "1.0.0-abc".into(),
        state: RunState::Queued,
        due: Some(at(90)),
        owner: None,
        epoch: Epoch(0),
        key_seed: KeySeed(u128::MAX - 7),
        crashes: 0,
        crashes_alone: 0,
        journal_len: 0,
        created_at: at(0),
        claimed_at: None,
        unsure_since: None,
        changed_at: at(0),
        dead_reason: None,
        summary: None,
    };
    assert_eq!(bench.run(runs[0]).await, expected);
    assert_eq!(bench.run(runs[1]).await.workflow, "b".into());
}

pub(crate) async fn answers_a_redelivery_with_the_first_event_and_starts_nothing(bench: &mut Bench) {
    let (id, runs) = bench.accept("evt_1", vec![run_of("a"), run_of("b")]).await;
    bench.accept("evt_2", vec![run_of("a")]).await;
    let again = bench.try_accept(event("evt_1", vec![run_of("a"), run_of("b"), run_of("c")])).await.unwrap();
    assert_eq!(again, Accepted::Duplicate { event: id, runs });
    assert_eq!(bench.claim("a", at(1)).await.len(), 2);
    assert_eq!(bench.claim("c", at(1)).await.len(), 0);
}

pub(crate) async fn answers_a_duplicate_within_one_batch(bench: &mut Bench) {
    let events = vec![event("evt_1", vec![run_of("a")]), event("evt_1", vec![run_of("a")])];
    let answers = bench.store().accept(Batch { events, ..Batch::default() }).await.unwrap();
    let (id, runs) = (EventId(1), vec![RunId(1)]);
    let first = Accepted::New { event: id, runs: runs.clone() };
    assert_eq!(answers, [first, Accepted::Duplicate { event: id, runs }]);
}

pub(crate) async fn keeps_equal_keys_of_different_sources_apart(bench: &mut Bench) {
    bench.accept("evt_1", vec![run_of("a")]).await;
    let other = NewEvent { source: "/webhooks/shopify".to_owned(), ..event("evt_1", vec![run_of("a")]) };
    assert!(matches!(bench.try_accept(other).await.unwrap(), Accepted::New { .. }));
}

pub(crate) async fn takes_a_key_again_after_its_time(bench: &mut Bench) {
    let first = NewEvent { dedupe_until: at(100), ..event("evt_1", vec![run_of("a")]) };
    bench.try_accept(first.clone()).await.unwrap();
    let in_time = NewEvent { received_at: at(99), ..first.clone() };
    assert!(matches!(bench.try_accept(in_time).await.unwrap(), Accepted::Duplicate { .. }));
    let late = NewEvent { received_at: at(100), dedupe_until: at(200), ..first.clone() };
    let Accepted::New { event: second, .. } = bench.try_accept(late).await.unwrap() else {
        panic!("the key's time is over");
    };
    let later = NewEvent { received_at: at(101), ..first };
    assert!(
        matches!(bench.try_accept(later).await.unwrap(), Accepted::Duplicate { event, .. } if event == second)
    );
}

pub(crate) async fn accepts_an_event_without_runs(bench: &mut Bench) {
    let (id, runs) = bench.accept("evt_1", vec![]).await;
    assert!(runs.is_empty());
    let again = bench.try_accept(event("evt_1", vec![])).await.unwrap();
    assert_eq!(again, Accepted::Duplicate { event: id, runs: vec![] });
}

pub(crate) async fn moves_a_cursor_with_the_runs_or_not_at_all(bench: &mut Bench) {
    let step = |from: Option<&str>, to: &str, key: &str| Batch {
        events: vec![event(key, vec![run_of("a")])],
        cursor: Some(CursorMove {
            name: "poll".to_owned(),
            from: from.map(str::to_owned),
            to: to.to_owned(),
        }),
        ..Batch::default()
    };
    let store = bench.store();
    assert_eq!(store.cursor("poll").await.unwrap(), None);
    store.accept(step(None, "page 1", "evt_1")).await.unwrap();
    assert_eq!(store.cursor("poll").await.unwrap().as_deref(), Some("page 1"));
    for stale in [None, Some("page 0")] {
        let refused = store.accept(step(stale, "page 9", "evt_2")).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict);
    }
    assert_eq!(store.cursor("poll").await.unwrap().as_deref(), Some("page 1"));
    assert_eq!(store.event(EventId(2)).await.unwrap(), None);
    store.accept(step(Some("page 1"), "page 2", "evt_2")).await.unwrap();
    assert_eq!(store.cursor("poll").await.unwrap().as_deref(), Some("page 2"));
    assert_eq!(bench.claim("a", at(1)).await.len(), 2);
}

pub(crate) async fn starts_a_new_run_for_a_replay(bench: &mut Bench) {
    let (id, runs) = bench.accept("evt_1", vec![run_of("a")]).await;
    let replay = NewRun { replay_of: Some(runs[0]), ..run_of("a") };
    let batch = Batch { replays: vec![(id, replay.clone()), (id, replay)], ..Batch::default() };
    let answers = bench.store().accept(batch).await.unwrap();
    let new = |run| Accepted::New { event: id, runs: vec![RunId(run)] };
    assert_eq!(answers, [new(2), new(3)]);
    let run = bench.run(RunId(3)).await;
    assert_eq!((run.event, run.replay_of, run.state), (id, Some(runs[0]), RunState::Queued));
}

pub(crate) async fn writes_nothing_when_a_replayed_event_is_missing(bench: &mut Bench) {
    let batch = Batch {
        events: vec![event("evt_1", vec![run_of("a")])],
        replays: vec![(EventId(99), run_of("a"))],
        cursor: Some(CursorMove { name: "poll".to_owned(), from: None, to: "1".to_owned() }),
    };
    let refused = bench.store().accept(batch).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::NotFound);
    assert!(bench.claim("a", at(1)).await.is_empty());
    assert_eq!(bench.store().cursor("poll").await.unwrap(), None);
    bench.accept("evt_1", vec![run_of("a")]).await;
}

pub(crate) async fn begins_a_journal_with_what_a_run_inherits(bench: &mut Bench) {
    let (id, _) = bench.accept("evt_1", vec![run_of("a")]).await;
    let journal =
        vec![entry(1, EntryKind::Inherited, "", Some(Payload::from_stored(&b"[]"[..]))), done(2, "kept")];
    let fork = NewRun { journal: journal.clone(), ..run_of("fork") };
    let batch = Batch { replays: vec![(id, fork)], ..Batch::default() };
    bench.store().accept(batch).await.unwrap();
    let run = bench.claim_one("fork", at(1)).await;
    assert_eq!(run.journal_len, 2);
    assert_eq!(bench.store().journal(run.id).await.unwrap(), journal);
    bench.write(&run, vec![done(3, "new")], None, at(1)).await.unwrap();
    let gap = NewRun { journal: vec![done(2, "no first")], ..run_of("fork") };
    let refused =
        bench.store().accept(Batch { replays: vec![(id, gap)], ..Batch::default() }).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict);
}

pub(crate) async fn refuses_a_dedupe_key_that_is_too_long(bench: &mut Bench) {
    let longest = "k".repeat(DEDUPE_KEY_BYTES_MAX);
    bench.accept(&longest, vec![run_of("a")]).await;
    let refused = bench.try_accept(event(&(longest + "k"), vec![run_of("a")])).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Limit);
    assert_eq!(bench.claim("a", at(1)).await.len(), 1);
}

pub(crate) async fn keeps_bodies_that_are_not_text(bench: &mut Bench) {
    let bodies: [&[u8]; 3] = [b"", b"\xff\xfe\x00\x01 not text", b"a\0b"];
    for (key, body) in ["evt_1", "evt_2", "evt_3"].into_iter().zip(bodies) {
        let sent = NewEvent { body: body.into(), ..event(key, vec![]) };
        let Accepted::New { event, .. } = bench.try_accept(sent).await.unwrap() else {
            panic!("{key} is new")
        };
        assert_eq!(bench.store().event(event).await.unwrap().unwrap().body, body);
    }
}

pub(crate) async fn keeps_large_bodies(bench: &mut Bench) {
    let body: Vec<u8> = (0..16 * 1024 * 1024_u32).map(|i| (i % 251) as u8).collect();
    let sent = NewEvent { body: body.clone().into(), ..event("evt_1", vec![run_of("a")]) };
    bench.try_accept(sent).await.unwrap();
    bench.accept("evt_2", vec![run_of("a")]).await;
    assert!(bench.store().event(EventId(1)).await.unwrap().unwrap().body == body);
}

pub(crate) async fn accepts_one_of_many_concurrent_deliveries(bench: &mut Bench) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let store = bench.shared();
        tasks.spawn(async move {
            let batch = Batch { events: vec![event("evt_1", vec![run_of("a")])], ..Batch::default() };
            store.accept(batch).await.unwrap().remove(0)
        });
    }
    let answers = tasks.join_all().await;
    let new = Accepted::New { event: EventId(1), runs: vec![RunId(1)] };
    let duplicate = Accepted::Duplicate { event: EventId(1), runs: vec![RunId(1)] };
    assert_eq!(answers.iter().filter(|answer| **answer == new).count(), 1);
    assert_eq!(answers.iter().filter(|answer| **answer == duplicate).count(), 63);
    assert_eq!(bench.claim("a", at(1)).await.len(), 1);
}
