//! Runs that runs start.

use bowline_model::{
    DeadReason, Entry, EntryKey, EntryKind, EntryMeta, NewEvent, NewRun, Run, RunId, RunState,
};
use bowline_store::{
    Accepted, Address, Also, MailboxFilter, MailboxKind, NewStart, Post, Posted, RunFilter, StoreErrorKind,
    Transition, mail::CANCEL_MAILBOX,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::mailing::{delivered, kept, mail, mailbox, opening, running, soon, text, wait};
use crate::bench::{Bench, at, done, entry, event, ids, run_of};

const BOX: &str = "child:score";

fn started(parent: &Run, key: &str) -> NewEvent {
    let run = NewRun { parent: Some(parent.id), ..run_of("child") };
    NewEvent { source: "child".to_owned(), dedupe_until: at(0), received_at: at(2), ..event(key, vec![run]) }
}

/// A child whose end the parent waits for.
fn child(parent: &Run, key: &str) -> NewStart {
    NewStart { event: started(parent, key), tells: Some(BOX.to_owned()), earlier: None, continues: false }
}

fn detached(parent: &Run, key: &str) -> NewStart {
    NewStart { tells: None, ..child(parent, key) }
}

fn starting(start: NewStart) -> Also {
    Also { starts: vec![start], ..Also::default() }
}

/// A parent under way, and its child under way.
async fn family(bench: &Bench, key: &str) -> (Run, Run) {
    let parent = running(bench, key).await;
    bench.write_with(&parent, vec![], None, starting(child(&parent, "1")), at(2)).await.unwrap();
    (parent, bench.claim_one("child", at(2)).await)
}

fn output(value: &str) -> Vec<Entry> {
    vec![entry(1, EntryKind::Completed, "", Some(text(value)))]
}

async fn complete(bench: &Bench, run: &Run, value: &str, now: Timestamp) {
    bench.write(run, output(value), Some(Transition::Complete), now).await.unwrap();
}

fn dead() -> Transition {
    Transition::DeadLetter { reason: DeadReason::Failed, summary: "the CRM said \"no\"".to_owned() }
}

async fn told(bench: &Bench, parent: RunId) -> Vec<Value> {
    let mail = mail(bench, parent).await;
    assert!(mail.iter().all(|message| message.mailbox == BOX));
    mail.iter().map(|message| message.body.decode().unwrap()).collect()
}

fn completed(run: RunId, output: &str) -> Value {
    json!({"run": run, "state": "completed", "output": output})
}

pub(crate) async fn starts_a_child_in_its_parents_write(bench: &mut Bench) {
    let parent = running(bench, "1").await;
    let also = Also { starts: vec![child(&parent, "a"), detached(&parent, "b")], ..Also::default() };
    let written = bench.write_with(&parent, vec![done(1, "x")], None, also, at(2)).await.unwrap();
    let claimed = bench.claim("child", at(3)).await;
    assert_eq!((ids(&claimed), claimed.len()), (written.started, 2));
    assert!(claimed.iter().all(|run| run.parent == Some(parent.id)));
    let history = bench.store().histories(&[claimed[0].id]).await.unwrap().remove(0).unwrap();
    assert_eq!((history.event.source.as_str(), history.event.dedupe_key.as_str()), ("child", "a"));
    assert_eq!(history.event.body, started(&parent, "a").body);
    assert!(history.journal.is_empty() && history.mail.is_empty());
    let opened = bench.store().mailboxes(MailboxFilter::default()).await.unwrap();
    assert_eq!((opened.len(), opened[0].kind, opened[0].run), (1, MailboxKind::Child, parent.id));
}

pub(crate) async fn starts_nothing_with_a_write_that_is_refused(bench: &mut Bench) {
    let parent = running(bench, "1").await;
    bench
        .write_with(&parent, vec![], None, opening(mailbox("signal:go", MailboxKind::Signal)), at(2))
        .await
        .unwrap();
    kept(bench, parent.id, "signal:go", "x", at(2)).await;
    let also = Also { closes: vec!["signal:go".to_owned()], ..starting(child(&parent, "a")) };
    let refused = bench.write_with(&parent, vec![done(1, "x")], None, also, at(3)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Overtaken);
    let stale = Run { epoch: bowline_model::Epoch(9), ..parent.clone() };
    let refused =
        bench.write_with(&stale, vec![done(1, "x")], None, starting(child(&parent, "a")), at(3)).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Stale);
    assert!(bench.claim("child", at(4)).await.is_empty());
}

pub(crate) async fn refuses_a_start_that_is_none(bench: &mut Bench) {
    let parent = running(bench, "1").await;
    let other = Run { id: RunId(99), ..parent.clone() };
    let mut two = child(&parent, "a");
    two.event.runs.push(run_of("child"));
    let long = child(&parent, &"x".repeat(513));
    let goes_on = NewStart { continues: true, ..detached(&parent, "a") };
    let conflict = StoreErrorKind::Conflict;
    for (start, kind) in
        [(child(&other, "a"), conflict), (two, conflict), (long, StoreErrorKind::Limit), (goes_on, conflict)]
    {
        let refused = bench.write_with(&parent, vec![done(1, "x")], None, starting(start), at(2)).await;
        assert_eq!(refused.unwrap_err().kind(), kind);
    }
    assert!(bench.claim("child", at(3)).await.is_empty());
}

pub(crate) async fn starts_a_child_once_however_often_its_parent_writes_it(bench: &mut Bench) {
    let parent = running(bench, "1").await;
    let also = || Also { starts: vec![child(&parent, "a"), detached(&parent, "b")], ..Also::default() };
    let first = bench.write_with(&parent, vec![done(1, "x")], None, also(), at(2)).await.unwrap();
    let again = bench.write_with(&parent, vec![done(1, "x")], None, also(), at(2)).await.unwrap();
    assert_eq!(first, again);
    // Long after its event would be forgotten, from another process, by another write.
    bench.crash_and_restart(at(100)).await;
    bench.tidy(at(-1), at(100)).await;
    let parent = bench.claim_one("mail", at(101)).await;
    let third = bench.write_with(&parent, vec![done(2, "y")], None, also(), at(102)).await.unwrap();
    assert_eq!(first.started, third.started);
    let other = running(bench, "2").await;
    let others = bench.write_with(&other, vec![], None, starting(child(&other, "a")), at(103)).await.unwrap();
    assert!(!first.started.contains(&others.started[0]), "another parent's");
    assert_eq!(bench.claim("child", at(104)).await.len(), 3);
}

pub(crate) async fn answers_a_repeated_end_with_what_it_started(bench: &mut Bench) {
    let parent = running(bench, "1").await;
    let end = Some(Transition::Complete);
    let also = || Also { starts: vec![detached(&parent, "a"), detached(&parent, "b")], ..Also::default() };
    let first = bench.write_with(&parent, output("x"), end.clone(), also(), at(2)).await.unwrap();
    let again = bench.write_with(&parent, output("x"), end, also(), at(2)).await.unwrap();
    assert_eq!((first.state, first.started.len()), (RunState::Completed, 2));
    assert_eq!(first, again);
    assert_eq!(bench.claim("child", at(3)).await.len(), 2);
}

pub(crate) async fn tells_a_parent_that_waits(bench: &mut Bench) {
    let (parent, child) = family(bench, "1").await;
    bench.write(&parent, vec![], wait(None), at(3)).await.unwrap();
    assert!(bench.claim("mail", at(3)).await.is_empty());
    complete(bench, &child, "42", at(4)).await;
    let parent = bench.claim_one("mail", at(4)).await;
    assert_eq!(told(bench, parent.id).await, [completed(child.id, "42")]);
    let message = mail(bench, parent.id).await[0].id;
    let read = Also { consumes: vec![message], ..Also::default() };
    bench.write_with(&parent, vec![delivered(1, "42")], None, read, at(5)).await.unwrap();
    assert!(mail(bench, parent.id).await.is_empty());
    assert!(bench.store().mailboxes(MailboxFilter::default()).await.unwrap().is_empty(), "it is done with");
}

pub(crate) async fn tells_a_parent_that_runs_and_one_that_goes_to_rest(bench: &mut Bench) {
    let (parent, child) = family(bench, "1").await;
    complete(bench, &child, "42", at(4)).await;
    assert_eq!(soon(bench.store().mailed()).await.unwrap(), [parent.id]);
    assert_eq!(told(bench, parent.id).await, [completed(child.id, "42")]);
    // It did not look before its rest.
    bench.write(&parent, vec![], wait(None), at(5)).await.unwrap();
    assert_eq!(bench.claim_one("mail", at(5)).await.id, parent.id);
}

pub(crate) async fn tells_a_parent_that_is_queued_or_a_dead_letter(bench: &mut Bench) {
    let (parent, child) = family(bench, "1").await;
    bench.write(&parent, vec![], Some(Transition::Release), at(3)).await.unwrap();
    complete(bench, &child, "42", at(4)).await;
    assert_eq!(told(bench, parent.id).await.len(), 1);
    let again = bench.claim_one("mail", at(4)).await;
    bench.write(&again, vec![], Some(Transition::Cancel), at(4)).await.unwrap();
    let (parent, child) = family(bench, "2").await;
    bench.write(&parent, vec![], Some(dead()), at(5)).await.unwrap();
    complete(bench, &child, "43", at(6)).await;
    let row = bench.run(parent.id).await;
    assert_eq!(row.state, RunState::DeadLettered);
    bench.store().operate(bench.operation(&row, RunState::Queued, vec![], at(7))).await.unwrap();
    assert_eq!(told(bench, parent.id).await, [completed(child.id, "43")], "for when it is retried");
}

/// Children end, each in its moment, while their parent goes to rest and wakes.
pub(crate) async fn loses_no_childs_end_while_its_parent_goes_to_rest(bench: &mut Bench) {
    const CHILDREN: usize = 80;
    let parent = running(bench, "1").await;
    let starts = (0..CHILDREN).map(|number| NewStart {
        tells: Some(format!("child:{number}")),
        ..child(&parent, &number.to_string())
    });
    let also = Also { starts: starts.collect(), ..Also::default() };
    bench.write_with(&parent, vec![], wait(None), also, at(2)).await.unwrap();
    let children = bench.claim("child", at(2)).await;
    let handle = tokio::runtime::Handle::current();
    let store = bench.shared();
    let ending = tokio::task::spawn_blocking(move || {
        for child in children {
            let write = bowline_store::RunWrite::new(
                child.id,
                child.epoch,
                at(3),
                output("x"),
                Some(Transition::Complete),
            );
            handle.block_on(store.write(write)).unwrap();
        }
    });
    let driving = async {
        let mut read = 0;
        while read < CHILDREN {
            let Some(run) = bench.claim("mail", at(3)).await.pop() else {
                bench.store().mailed().await.unwrap();
                continue;
            };
            let all: Vec<_> = mail(bench, run.id).await.into_iter().map(|message| message.id).collect();
            let first = i64::try_from(read).unwrap() + 1;
            let entries: Vec<_> = (first..).zip(&all).map(|(seq, _)| delivered(seq, "x")).collect();
            read += all.len();
            let also = Also { consumes: all.clone(), ..Also::default() };
            bench.write_with(&run, entries, wait(all.last().copied()), also, at(4)).await.unwrap();
        }
    };
    soon(driving).await;
    ending.await.unwrap();
}

pub(crate) async fn tells_of_every_kind_of_end(bench: &mut Bench) {
    let why = json!("the CRM said \"no\"");
    let (parent, child) = family(bench, "1").await;
    bench.write(&child, vec![], Some(dead()), at(3)).await.unwrap();
    assert!(mail(bench, parent.id).await.is_empty(), "a person decides");
    let row = bench.run(child.id).await;
    bench.store().operate(bench.operation(&row, RunState::Cancelled, vec![], at(4))).await.unwrap();
    assert_eq!(told(bench, parent.id).await, [json!({"run": child.id, "state": "cancelled", "why": why})]);

    let (parent, child) = family(bench, "6").await;
    bench.write(&child, vec![], Some(dead()), at(3)).await.unwrap();
    let row = bench.run(child.id).await;
    bench.store().operate(bench.operation(&row, RunState::Queued, vec![], at(4))).await.unwrap();
    let child = bench.claim_one("child", at(5)).await;
    complete(bench, &child, "after all", at(6)).await;
    assert_eq!(told(bench, parent.id).await, [completed(child.id, "after all")]);

    let meta = EntryMeta { note: Some("too late".to_owned()), ..EntryMeta::default() };
    let cancelled = Entry { meta, key: EntryKey::run(), ..entry(1, EntryKind::Cancelled, "", None) };
    let (parent, child) = family(bench, "2").await;
    bench.write(&child, vec![cancelled.clone()], Some(Transition::Cancel), at(3)).await.unwrap();
    assert_eq!(
        told(bench, parent.id).await,
        [json!({"run": child.id, "state": "cancelled", "why": "too late"})]
    );

    let (parent, child) = family(bench, "3").await;
    bench.write(&child, vec![], wait(None), at(3)).await.unwrap();
    let row = bench.run(child.id).await;
    bench.store().operate(bench.operation(&row, RunState::Cancelled, vec![], at(4))).await.unwrap();
    assert_eq!(told(bench, parent.id).await, [json!({"run": child.id, "state": "cancelled", "why": null})]);

    let (parent, child) = family(bench, "4").await;
    bench.write(&child, output("by the way"), wait(None), at(3)).await.unwrap();
    let row = bench.run(child.id).await;
    bench.store().operate(bench.operation(&row, RunState::Completed, vec![], at(4))).await.unwrap();
    assert_eq!(told(bench, parent.id).await, [completed(child.id, "by the way")]);

    let (parent, child) = family(bench, "5").await;
    bench.write(&child, vec![], Some(Transition::Complete), at(3)).await.unwrap();
    assert_eq!(
        told(bench, parent.id).await,
        [json!({"run": child.id, "state": "completed", "output": null})]
    );
}

pub(crate) async fn tells_of_a_repeated_end_once(bench: &mut Bench) {
    let (parent, child) = family(bench, "1").await;
    complete(bench, &child, "42", at(3)).await;
    complete(bench, &child, "42", at(3)).await;
    assert_eq!(told(bench, parent.id).await.len(), 1);
}

pub(crate) async fn tells_nobody_of_a_detached_run(bench: &mut Bench) {
    let parent = running(bench, "1").await;
    bench.write_with(&parent, vec![], None, starting(detached(&parent, "a")), at(2)).await.unwrap();
    let run = bench.claim_one("child", at(2)).await;
    complete(bench, &run, "42", at(3)).await;
    assert!(mail(bench, parent.id).await.is_empty());
}

pub(crate) async fn tells_nothing_to_a_parent_that_ended_or_waits_no_longer(bench: &mut Bench) {
    let (parent, child) = family(bench, "1").await;
    complete(bench, &parent, "x", at(3)).await;
    complete(bench, &child, "42", at(4)).await;
    assert_eq!(bench.state(child.id).await, RunState::Completed);
    assert!(mail(bench, parent.id).await.is_empty());
    let (parent, child) = family(bench, "2").await;
    let timed_out = Also { closes: vec![BOX.to_owned()], ..Also::default() };
    bench.write_with(&parent, vec![done(1, "timeout")], None, timed_out, at(3)).await.unwrap();
    complete(bench, &child, "42", at(4)).await;
    assert!(mail(bench, parent.id).await.is_empty());
    let (parent, child) = family(bench, "3").await;
    let dropped = Also { abandons: vec![BOX.to_owned()], ..Also::default() };
    bench.write_with(&parent, vec![], None, dropped, at(3)).await.unwrap();
    complete(bench, &child, "42", at(4)).await;
    assert!(mail(bench, parent.id).await.is_empty());
}

pub(crate) async fn lets_nobody_else_tell_of_a_childs_end(bench: &mut Bench) {
    let (parent, _) = family(bench, "1").await;
    let to = Address::Mailbox { run: parent.id, name: BOX.to_owned() };
    let forged = bench.store().post(Post { to, id: None, body: text("42"), now: at(3) }).await.unwrap();
    assert_eq!(forged, Posted::NoSuchMailbox);
    assert!(mail(bench, parent.id).await.is_empty());
}

pub(crate) async fn waits_for_an_earlier_child_that_is_open(bench: &mut Bench) {
    let (parent, run) = family(bench, "1").await;
    let again = NewStart {
        tells: Some("child:again".to_owned()),
        earlier: Some("1".to_owned()),
        ..child(&parent, "2")
    };
    let written =
        bench.write_with(&parent, vec![done(1, "x")], None, starting(again.clone()), at(3)).await.unwrap();
    assert_eq!(written.started, [run.id]);
    let repeated = bench.write_with(&parent, vec![done(1, "x")], None, starting(again), at(3)).await.unwrap();
    assert_eq!(repeated, written);
    complete(bench, &run, "42", at(4)).await;
    let mail = mail(bench, parent.id).await;
    assert_eq!(mail.len(), 1, "the mailbox that waits now");
    assert_eq!(
        (mail[0].mailbox.as_str(), mail[0].body.decode::<Value>().unwrap()),
        ("child:again", completed(run.id, "42"))
    );
    assert!(bench.claim("child", at(5)).await.is_empty(), "nothing was started");
}

pub(crate) async fn waits_for_an_earlier_child_that_is_a_dead_letter(bench: &mut Bench) {
    let (parent, run) = family(bench, "1").await;
    bench.write(&run, vec![], Some(dead()), at(3)).await.unwrap();
    let again = NewStart { earlier: Some("1".to_owned()), ..child(&parent, "2") };
    let written = bench.write_with(&parent, vec![], None, starting(again), at(4)).await.unwrap();
    assert_eq!(written.started, [run.id]);
    let row = bench.run(run.id).await;
    bench.store().operate(bench.operation(&row, RunState::Queued, vec![], at(5))).await.unwrap();
    complete(bench, &bench.claim_one("child", at(6)).await, "42", at(6)).await;
    assert_eq!(told(bench, parent.id).await, [completed(run.id, "42")]);
}

pub(crate) async fn takes_the_end_of_an_earlier_child_that_completed(bench: &mut Bench) {
    let (parent, run) = family(bench, "1").await;
    complete(bench, &run, "42", at(3)).await;
    let read = mail(bench, parent.id).await[0].id;
    let read = Also { consumes: vec![read], ..Also::default() };
    bench.write_with(&parent, vec![delivered(1, "42")], None, read, at(3)).await.unwrap();
    let again = NewStart { earlier: Some("1".to_owned()), ..child(&parent, "2") };
    let written = bench.write_with(&parent, vec![], wait(None), starting(again), at(4)).await.unwrap();
    assert_eq!(written.started, [run.id]);
    assert_eq!(told(bench, parent.id).await, [completed(run.id, "42")]);
    assert_eq!(bench.claim_one("mail", at(4)).await.id, parent.id, "told at once, and not slept over");
}

pub(crate) async fn starts_anew_after_an_earlier_child_that_was_cancelled(bench: &mut Bench) {
    let (parent, first) = family(bench, "1").await;
    bench.write(&first, vec![], Some(Transition::Cancel), at(3)).await.unwrap();
    let second = NewStart { earlier: Some("1".to_owned()), ..detached(&parent, "2") };
    let second = bench.write_with(&parent, vec![], None, starting(second), at(4)).await.unwrap().started[0];
    let run = bench.claim_one("child", at(4)).await;
    assert_eq!(run.id, second);
    bench.write(&run, vec![], Some(Transition::Cancel), at(5)).await.unwrap();
    let third = NewStart { earlier: Some("2".to_owned()), ..detached(&parent, "3") };
    let third = bench.write_with(&parent, vec![], None, starting(third), at(6)).await.unwrap().started[0];
    assert_eq!(bench.claim_one("child", at(6)).await.id, third);
    let unknown = NewStart { earlier: Some("never".to_owned()), ..detached(&parent, "4") };
    let fourth = bench.write_with(&parent, vec![], None, starting(unknown), at(7)).await.unwrap().started[0];
    assert_eq!(bench.claim_one("child", at(7)).await.id, fourth);
}

pub(crate) async fn hands_its_parent_and_its_signals_to_the_run_that_goes_on(bench: &mut Bench) {
    let (parent, run) = family(bench, "1").await;
    let signal = kept(bench, run.id, "signal:go", "x", at(3)).await;
    let start = NewStart { continues: true, ..detached(&run, "next") };
    let end = Some(Transition::Complete);
    let next = bench.write_with(&run, vec![], end, starting(start), at(4)).await.unwrap().started[0];
    assert!(mail(bench, parent.id).await.is_empty(), "the work goes on");
    let next = {
        let claimed = bench.claim_one("child", at(5)).await;
        assert_eq!(claimed.id, next);
        claimed
    };
    assert_eq!(mail(bench, next.id).await.iter().map(|message| message.id).collect::<Vec<_>>(), [signal]);
    complete(bench, &next, "42", at(6)).await;
    assert_eq!(told(bench, parent.id).await, [completed(next.id, "42")]);
}

/// The last entry of a run that is cancelled, or undone from then on.
fn ends(kind: EntryKind, why: &str) -> Entry {
    let meta = EntryMeta { note: Some(why.to_owned()), ..EntryMeta::default() };
    Entry { meta, key: EntryKey::run(), ..entry(1, kind, "", None) }
}

async fn told_to_cancel(bench: &Bench, run: RunId) -> Vec<String> {
    let mail = mail(bench, run).await;
    let told = mail.iter().filter(|message| message.mailbox == CANCEL_MAILBOX);
    told.map(|message| message.body.decode().unwrap()).collect()
}

pub(crate) async fn tells_a_family_in_the_commit_that_cancels_a_run(bench: &mut Bench) {
    for (number, kind, end) in
        [("1", EntryKind::Cancelled, Some(Transition::Cancel)), ("2", EntryKind::Undoing, None)]
    {
        let (parent, one) = family(bench, number).await;
        let start = NewStart { continues: true, ..detached(&one, "next") };
        let end_of_one = Some(Transition::Complete);
        let next = bench.write_with(&one, vec![], end_of_one, starting(start), at(3)).await.unwrap();
        let next = next.started[0];
        assert_eq!(bench.store().waited_for(parent.id).await.unwrap(), [next], "the one that goes on");
        bench.write(&parent, vec![ends(kind, "no more")], end, at(4)).await.unwrap();
        let why = format!("its parent, run {}, was cancelled: no more", parent.id);
        assert_eq!(told_to_cancel(bench, next).await, [why]);
        let claimed = bench.claim_one("child", at(5)).await;
        // It goes on as a third one at the same moment: that one is cancelled.
        let start = NewStart { continues: true, ..detached(&claimed, "third") };
        let third =
            bench.write_with(&claimed, vec![], Some(Transition::Complete), starting(start), at(6)).await;
        let third = third.unwrap().started[0];
        assert_eq!(told_to_cancel(bench, third).await.len(), 1);
        let claimed = bench.claim_one("child", at(7)).await;
        bench.write(&claimed, vec![], Some(Transition::Cancel), at(8)).await.unwrap();
        assert_eq!(bench.store().waited_for(parent.id).await.unwrap(), []);
    }
}

pub(crate) async fn finds_the_latest_of_a_chain_also_when_the_first_is_gone(bench: &mut Bench) {
    let first = running(bench, "1").await;
    let signal = |run: RunId| Address::Mailbox { run, name: "signal:go".to_owned() };
    let posted = async |bench: &Bench, run: RunId, now: Timestamp| {
        let post = Post { to: signal(run), id: Some("once".to_owned()), body: text("x"), now };
        bench.store().post(post).await.unwrap()
    };
    let Posted::Kept { message, .. } = posted(bench, first.id, at(2)).await else { panic!("it is open") };
    let consumes = Also { consumes: vec![message], ..Also::default() };
    bench.write_with(&first, vec![done(1, "x")], None, consumes, at(2)).await.unwrap();
    let mut runs = vec![first];
    for (number, workflow) in [(3, "child"), (4, "child")] {
        let run = runs.last().unwrap().clone();
        let start = NewStart { continues: true, ..detached(&run, "next") };
        let end = Some(Transition::Complete);
        bench.write_with(&run, vec![], end, starting(start), at(number)).await.unwrap();
        runs.push(bench.claim_one(workflow, at(number)).await);
    }
    let latest = runs[2].id;
    for tidied in [false, true] {
        if tidied {
            bench.tidy(at(90), at(100)).await;
            assert!(bench.store().run(runs[0].id).await.unwrap().is_none(), "it left the store");
        }
        assert_eq!(bench.store().went_on(runs[0].id).await.unwrap(), Some(latest));
        assert_eq!(bench.store().went_on(latest).await.unwrap(), None);
        let again = posted(bench, runs[0].id, at(101)).await;
        assert_eq!(again, Posted::Duplicate { run: latest }, "it was read by the first");
        let other = Post { to: signal(runs[0].id), id: None, body: text("y"), now: at(102) };
        let kept = bench.store().post(other).await.unwrap();
        assert!(matches!(kept, Posted::Kept { run, .. } if run == latest), "{kept:?}");
    }
    bench.write(&runs[2], vec![], Some(Transition::Complete), at(103)).await.unwrap();
    let late = posted(bench, runs[0].id, at(104)).await;
    assert_eq!(late, Posted::Ended { run: latest, state: RunState::Completed });
    bench.tidy(at(900), at(1000)).await;
    assert_eq!(bench.store().went_on(runs[0].id).await.unwrap(), None, "nothing is left of it");
}

pub(crate) async fn a_dead_letter_holds_up_nobody_who_is_undone(bench: &mut Bench) {
    let (parent, run) = family(bench, "1").await;
    bench.write(&parent, vec![ends(EntryKind::Undoing, "no more")], None, at(3)).await.unwrap();
    bench.write(&parent, vec![], Some(Transition::Wait { due: None, seen: None }), at(4)).await.unwrap();
    assert!(bench.claim("mail", at(4)).await.is_empty(), "it waits for its child");
    bench.write(&run, vec![], Some(dead()), at(5)).await.unwrap();
    assert_eq!(bench.claim_one("mail", at(5)).await.id, parent.id);
    assert_eq!(bench.store().waited_for(parent.id).await.unwrap(), []);
}

pub(crate) async fn lists_the_runs_that_a_run_started(bench: &mut Bench) {
    let parent = running(bench, "1").await;
    let starts = (0..4).map(|number| detached(&parent, &number.to_string())).collect();
    let started = bench
        .write_with(&parent, vec![], None, Also { starts, ..Also::default() }, at(2))
        .await
        .unwrap()
        .started;
    running(bench, "other").await;
    let claimed = bench.claim("child", at(2)).await;
    complete(bench, &claimed[0], "x", at(3)).await;
    bench.write(&claimed[1], vec![], Some(Transition::Cancel), at(3)).await.unwrap();
    bench.write(&claimed[2], vec![], Some(dead()), at(3)).await.unwrap();
    let of_parent = RunFilter { parent: Some(parent.id), ..RunFilter::default() };
    let list = async |filter: RunFilter| ids(&bench.store().runs(filter).await.unwrap());
    let newest_first: Vec<_> = started.iter().rev().copied().collect();
    assert_eq!(list(of_parent.clone()).await, newest_first);
    let ended = vec![RunState::Completed, RunState::Cancelled];
    assert_eq!(list(RunFilter { states: ended, ..of_parent.clone() }).await, [started[1], started[0]]);
    let before = Some(started[2]);
    assert_eq!(list(RunFilter { before, limit: 1, ..of_parent.clone() }).await, [started[1]]);
    let workflow = Some("mail".into());
    assert!(list(RunFilter { workflow, ..of_parent }).await.is_empty());
}

pub(crate) async fn keeps_children_apart_from_events(bench: &mut Bench) {
    let parent = running(bench, "1").await;
    bench.write_with(&parent, vec![], None, starting(child(&parent, "a")), at(2)).await.unwrap();
    let outside = NewEvent { dedupe_until: at(9), ..started(&parent, "a") };
    assert!(matches!(bench.try_accept(outside).await.unwrap(), Accepted::New { .. }));
}
