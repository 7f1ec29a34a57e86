//! A run's owner writes its progress.

use std::time::Duration;

use bowline_model::{
    CallFailure, DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Epoch, Failure, Family, Fingerprint,
    MessageId, Payload, Position, Run, RunId, RunState, ScopePath, Seq, run::SUMMARY_BYTES_MAX,
};
use bowline_store::{Also, RunWrite, StoreErrorKind, Transition};

use crate::bench::{Bench, at, done, entry};

pub(crate) async fn appends_entries_in_order(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    let journal: Vec<_> = (1..=40).map(|seq| done(seq, &seq.to_string())).collect();
    for part in [&journal[..1], &journal[1..7], &journal[7..]] {
        let written = bench.write(&run, part.to_vec(), None, at(2)).await.unwrap();
        assert_eq!(written.state, RunState::Running);
    }
    assert_eq!(bench.store().journal(run.id).await.unwrap(), journal);
    let found = bench.run(run.id).await;
    assert_eq!((found.journal_len, found.changed_at), (40, at(1)));
}

pub(crate) async fn gives_back_every_kind_of_entry_as_it_came(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    let mut journal: Vec<Entry> = vec![];
    for (seq, kind) in (1..).zip(EntryKind::ALL) {
        journal.push(entry(seq, kind, "näme", None));
    }
    for (seq, family) in (journal.len() as i64 + 1..).zip(Family::ALL) {
        let key = EntryKey {
            family,
            scope: ScopePath::root().child("items/ü").child("17"),
            name: String::new(),
            position: Position::Key("a\0b 'quoted'".to_owned()),
        };
        let payload = Some(Payload::from_stored(vec![b' ', 0xff, 0]));
        journal.push(Entry { key, payload, meta: full_meta(), ..done(seq, "") });
    }
    journal.push(Entry { key: EntryKey::run(), ..done(journal.len() as i64 + 1, "") });
    bench.write(&run, journal.clone(), None, at(2)).await.unwrap();
    assert_eq!(bench.store().journal(run.id).await.unwrap(), journal);
}

fn full_meta() -> EntryMeta {
    let call = CallFailure {
        api: "crm".to_owned(),
        method: "POST".to_owned(),
        path: "/contacts".to_owned(),
        status: Some(503),
        request_id: Some("req_1".to_owned()),
        body: Some("busy".to_owned()),
        code: Some("overloaded".to_owned()),
        detail: Some(Box::new(serde_json::json!({"code": "Server", "reason": "busy"}))),
        attempt: 3,
    };
    EntryMeta {
        output_type: Some("Contact".to_owned()),
        attempts: 3,
        first_sent: Some(at(1)),
        unknown_since: Some(at(2)),
        fingerprint: Some(Fingerprint {
            api: "crm".to_owned(),
            method: "POST".to_owned(),
            path: "/contacts".to_owned(),
            query: "a=1".to_owned(),
            body: "0123456789abcdef".to_owned(),
        }),
        failure: Some(Failure::unknown("slow").retry_after(Some(Duration::from_secs(3))).call(call)),
        next_at: Some(at(3)),
        caused_by: Some(EntryKey::run()),
        forked_from: Some(EntryKey::run()),
        forgets: vec![Seq(1), Seq(9)],
        note: Some("by hand".to_owned()),
        reversible: true,
        message: Some(MessageId(7)),
    }
}

pub(crate) async fn refuses_a_late_acknowledgement_of_an_older_owner(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let old = bench.claim_one("a", at(1)).await;
    bench.write(&old, vec![], Some(Transition::Release), at(2)).await.unwrap();
    let new = bench.claim_one("a", at(3)).await;
    for transition in [None, Some(Transition::Complete), Some(Transition::Wait { due: None, seen: None })] {
        let refused = bench.write(&old, vec![done(1, "late")], transition, at(4)).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Stale);
    }
    assert_eq!(bench.run(new.id).await, new);
    bench.write(&new, vec![done(1, "mine")], Some(Transition::Complete), at(5)).await.unwrap();
    assert_eq!(bench.store().journal(new.id).await.unwrap(), [done(1, "mine")]);
}

pub(crate) async fn refuses_a_write_to_a_run_that_ended(bench: &mut Bench) {
    for (key, end) in [("1", Transition::Complete), ("2", Transition::Cancel), ("3", dead("no"))] {
        bench.queue(key, "a").await;
        let run = bench.claim_one("a", at(1)).await;
        bench.write(&run, vec![done(1, "x")], Some(end), at(2)).await.unwrap();
        let refused = bench.write(&run, vec![done(2, "late")], None, at(3)).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Stale);
        assert_eq!(bench.store().journal(run.id).await.unwrap().len(), 1);
    }
}

pub(crate) async fn refuses_a_write_to_a_run_that_never_was(bench: &mut Bench) {
    let write = RunWrite::new(RunId(99), Epoch(1), at(1), vec![done(1, "x")], None);
    assert_eq!(bench.store().write(write).await.unwrap_err().kind(), StoreErrorKind::Stale);
}

pub(crate) async fn refuses_entries_that_do_not_follow(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    bench.write(&run, vec![done(1, "x")], None, at(2)).await.unwrap();
    let mut misfits = vec![vec![done(3, "gap")], vec![done(1, "other")], vec![done(2, "y"), done(4, "gap")]];
    misfits.push(vec![done(0, "before the first")]);
    for entries in misfits {
        let refused = bench.write(&run, entries, None, at(2)).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict);
    }
    assert_eq!(bench.store().journal(run.id).await.unwrap(), [done(1, "x")]);
}

pub(crate) async fn writes_a_repeated_write_once(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    for _ in 0..3 {
        let written = bench.write(&run, vec![done(1, "x"), done(2, "y")], None, at(2)).await.unwrap();
        assert_eq!(written.state, RunState::Running);
    }
    assert_eq!(bench.run(run.id).await.journal_len, 2);
    assert_eq!(bench.store().journal(run.id).await.unwrap().len(), 2);
}

pub(crate) async fn writes_a_repeated_end_once(bench: &mut Bench) {
    let ends = [
        (Transition::Complete, RunState::Completed),
        (Transition::Cancel, RunState::Cancelled),
        (dead("no"), RunState::DeadLettered),
        (Transition::Wait { due: Some(at(1000)), seen: None }, RunState::Waiting),
        (Transition::Release, RunState::Queued),
    ];
    for (number, (end, state)) in ends.into_iter().enumerate() {
        bench.queue(&number.to_string(), "a").await;
        let run = bench.claim_one("a", at(1)).await;
        for _ in 0..3 {
            let written = bench.write(&run, vec![done(1, "x")], Some(end.clone()), at(2)).await.unwrap();
            assert_eq!(written.state, state);
        }
        assert_eq!(bench.store().journal(run.id).await.unwrap(), [done(1, "x")]);
        assert_eq!(bench.state(run.id).await, state);
    }
}

pub(crate) async fn does_not_mistake_another_write_for_a_repeated_one(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    bench.write(&run, vec![done(1, "x")], Some(Transition::Release), at(2)).await.unwrap();
    let others = [
        (vec![done(1, "y")], Transition::Release, at(2)),
        (vec![done(1, "x"), done(2, "y")], Transition::Release, at(2)),
        (vec![done(1, "x")], Transition::Complete, at(2)),
        (vec![done(1, "x")], Transition::Release, at(3)),
    ];
    for (entries, transition, now) in others {
        let refused = bench.write(&run, entries, Some(transition), now).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Stale);
    }
    bench.claim_one("a", at(4)).await;
    let refused = bench.write(&run, vec![done(1, "x")], Some(Transition::Release), at(2)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Stale, "the next owner has it");
}

pub(crate) async fn ends_a_run_in_the_commit_of_its_last_entry(bench: &mut Bench) {
    for (key, end, state) in
        [("1", Transition::Complete, RunState::Completed), ("2", Transition::Cancel, RunState::Cancelled)]
    {
        bench.queue(key, "a").await;
        let run = bench.claim_one("a", at(1)).await;
        bench.write(&run, vec![done(1, "x")], None, at(2)).await.unwrap();
        bench.write(&run, vec![done(2, "y")], Some(end), at(3)).await.unwrap();
        let expected = Run { state, journal_len: 2, changed_at: at(3), unsure_since: None, ..run.clone() };
        assert_eq!(bench.run(run.id).await, expected);
        assert_eq!(bench.store().journal(run.id).await.unwrap(), [done(1, "x"), done(2, "y")]);
        assert!(bench.claim("a", at(1_000_000)).await.is_empty());
    }
}

pub(crate) async fn keeps_why_a_run_is_a_dead_letter(bench: &mut Bench) {
    for (number, reason) in DeadReason::ALL.into_iter().enumerate() {
        bench.queue(&number.to_string(), "a").await;
        let run = bench.claim_one("a", at(1)).await;
        let summary = format!("because {reason}");
        let end = Transition::DeadLetter { reason, summary: summary.clone() };
        bench.write(&run, vec![], Some(end), at(2)).await.unwrap();
        let found = bench.run(run.id).await;
        assert_eq!((found.state, found.dead_reason), (RunState::DeadLettered, Some(reason)));
        assert_eq!(found.summary, Some(summary));
    }
    assert!(bench.claim("a", at(1_000_000)).await.is_empty());
}

pub(crate) async fn cuts_long_summaries_at_a_character(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    bench.write(&run, vec![], Some(dead(&"ü".repeat(SUMMARY_BYTES_MAX))), at(2)).await.unwrap();
    assert_eq!(bench.run(run.id).await.summary, Some("ü".repeat(SUMMARY_BYTES_MAX / 2)));
}

pub(crate) async fn gives_a_released_run_back_to_the_queue(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    bench.write(&run, vec![done(1, "x")], Some(Transition::Release), at(2)).await.unwrap();
    assert_eq!(bench.state(run.id).await, RunState::Queued);
    let again = bench.claim_one("a", at(3)).await;
    assert_eq!((again.id, again.journal_len), (run.id, 1));
    bench.write(&again, vec![done(2, "y")], Some(Transition::Complete), at(4)).await.unwrap();
}

pub(crate) async fn keeps_large_payloads(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    let large = Payload::from_stored(vec![b'7'; 16 * 1024 * 1024]);
    let entries = vec![entry(1, EntryKind::StepDone, "export", Some(large)), done(2, "small")];
    bench.write(&run, entries.clone(), Some(Transition::Complete), at(2)).await.unwrap();
    assert!(bench.store().journal(run.id).await.unwrap() == entries);
}

pub(crate) async fn checks_the_epoch_without_entries(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    let written = bench.write(&run, vec![], None, at(2)).await.unwrap();
    assert_eq!(written.state, RunState::Running);
    let other = Run { epoch: Epoch(2), ..run };
    let refused = bench.write(&other, vec![], None, at(2)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Stale);
}

fn dead(summary: &str) -> Transition {
    Transition::DeadLetter { reason: DeadReason::Failed, summary: summary.to_owned() }
}

fn compacting(seqs: &[i64]) -> Also {
    Also { compact: seqs.iter().copied().map(Seq).collect(), ..Also::default() }
}

pub(crate) async fn removes_entries_and_keeps_their_places(bench: &mut Bench) {
    bench.queue("1", "a").await;
    let run = bench.claim_one("a", at(1)).await;
    let entries = (1..=5).map(|seq| done(seq, &seq.to_string())).collect();
    bench.write(&run, entries, None, at(2)).await.unwrap();
    // With entries of the write itself, and some that are gone already.
    let entries = || vec![done(6, "6"), done(7, "7")];
    for _ in 0..2 {
        bench.write_with(&run, entries(), None, compacting(&[2, 3, 6]), at(3)).await.unwrap();
    }
    bench.write_with(&run, vec![], None, compacting(&[3, 4]), at(3)).await.unwrap();
    assert_eq!(bench.run(run.id).await.journal_len, 7);
    let rest = [done(1, "1"), done(5, "5"), done(7, "7")];
    assert_eq!(bench.store().journal(run.id).await.unwrap(), rest);
    bench.crash_and_restart(at(4)).await;
    let run = bench.claim_one("a", at(5)).await;
    let history = bench.store().histories(&[run.id]).await.unwrap().remove(0).unwrap();
    assert_eq!(history.journal, rest);
    let refused = bench.write(&run, vec![done(6, "x")], None, at(6)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict, "its place is taken");
    let end =
        || bench.write_with(&run, vec![done(8, "8")], Some(Transition::Complete), compacting(&[8, 1]), at(7));
    assert_eq!(end().await.unwrap().state, RunState::Completed);
    assert_eq!(end().await.unwrap().state, RunState::Completed, "repeated");
    assert_eq!(bench.store().journal(run.id).await.unwrap(), rest[1..]);
}

pub(crate) async fn removes_no_entries_but_the_runs_own(bench: &mut Bench) {
    bench.queue("1", "a").await;
    bench.queue("2", "a").await;
    let runs = bench.claim("a", at(1)).await;
    for run in &runs {
        bench.write(run, vec![done(1, "x")], None, at(2)).await.unwrap();
    }
    bench.write_with(&runs[0], vec![], None, compacting(&[1]), at(3)).await.unwrap();
    assert_eq!(bench.store().journal(runs[1].id).await.unwrap(), [done(1, "x")]);
    for beyond in [0, -1, 3, 1 << 24] {
        let refused =
            bench.write_with(&runs[0], vec![done(2, "y")], None, compacting(&[beyond]), at(4)).await;
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Conflict, "{beyond}");
    }
    assert_eq!(bench.store().journal(runs[1].id).await.unwrap(), [done(1, "x")]);
}
