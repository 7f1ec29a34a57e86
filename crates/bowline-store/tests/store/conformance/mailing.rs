//! Messages to runs.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Barrier},
    time::Duration,
};

use bowline_model::{Entry, EntryKind, MessageId, Payload, Run, RunId, RunState};
use bowline_store::{
    Address, Also, MailboxFilter, MailboxKind, MailboxState, Message, NewMailbox, Post, Posted, RunWrite,
    StoreErrorKind, Transition,
    mail::{MESSAGE_BYTES_MAX, MESSAGES_MAX, POST_ID_BYTES_MAX, POST_IDS_KEPT_MAX, UNREAD_BYTES_MAX},
};
use futures_util::{FutureExt, future::join_all};
use jiff::Timestamp;
use tokio::runtime::Handle;

use crate::bench::{Bench, at, done, entry, run_of};

const GO: &str = "signal:go";
const HOOK: &str = "callback:hook";
const TOKEN: [u8; 32] = [7; 32];

pub(super) fn text(text: &str) -> Payload {
    Payload::encode(text).unwrap()
}

pub(super) fn mailbox(name: &str, kind: MailboxKind) -> NewMailbox {
    NewMailbox { name: name.to_owned(), kind, token: None, until: None, about: None }
}

fn hook() -> NewMailbox {
    NewMailbox { token: Some(TOKEN), until: Some(at(60)), ..mailbox(HOOK, MailboxKind::Callback) }
}

fn to(run: RunId, name: &str) -> Address {
    Address::Mailbox { run, name: name.to_owned() }
}

fn letter(to: Address, body: &str, now: Timestamp) -> Post {
    Post { to, id: None, body: text(body), now }
}

async fn post(bench: &Bench, to: Address, body: &str, now: Timestamp) -> Posted {
    bench.store().post(letter(to, body, now)).await.unwrap()
}

pub(super) async fn kept(bench: &Bench, run: RunId, name: &str, body: &str, now: Timestamp) -> MessageId {
    match post(bench, to(run, name), body, now).await {
        Posted::Kept { run: found, message } if found == run => message,
        other => panic!("it is kept: {other:?}"),
    }
}

/// The entry that delivers a message.
pub(super) fn delivered(seq: i64, body: &str) -> Entry {
    entry(seq, EntryKind::Message, "go", Some(text(body)))
}

pub(super) fn wait(seen: Option<MessageId>) -> Option<Transition> {
    Some(Transition::Wait { due: None, seen })
}

fn consuming(ids: &[MessageId]) -> Also {
    Also { consumes: ids.to_vec(), ..Also::default() }
}

fn closing(name: &str) -> Also {
    Also { closes: vec![name.to_owned()], ..Also::default() }
}

pub(super) fn opening(new: NewMailbox) -> Also {
    Also { opens: vec![new], ..Also::default() }
}

/// A run under way.
pub(super) async fn running(bench: &Bench, key: &str) -> Run {
    bench.queue(key, "mail").await;
    bench.claim_one("mail", at(1)).await
}

/// A run that waits for a message in that mailbox.
async fn waiting(bench: &Bench, key: &str, new: NewMailbox) -> Run {
    let run = running(bench, key).await;
    bench.write_with(&run, vec![], wait(None), opening(new), at(2)).await.unwrap();
    run
}

pub(super) async fn mail(bench: &Bench, run: RunId) -> Vec<Message> {
    bench.store().mail(run).await.unwrap()
}

async fn unread(bench: &Bench, run: RunId) -> Vec<MessageId> {
    mail(bench, run).await.into_iter().map(|message| message.id).collect()
}

async fn history_mail(bench: &Bench, run: RunId) -> Vec<Message> {
    bench.store().histories(&[run]).await.unwrap().remove(0).unwrap().mail
}

pub(crate) async fn keeps_a_signal_that_comes_before_its_wait(bench: &mut Bench) {
    let run = bench.queue("1", "mail").await;
    let first = kept(bench, run, GO, "first", at(1)).await;
    let second = kept(bench, run, "signal:other", "second", at(2)).await;
    assert!(first < second);
    let expect = [
        Message { id: first, mailbox: GO.to_owned(), at: at(1), body: text("first") },
        Message { id: second, mailbox: "signal:other".to_owned(), at: at(2), body: text("second") },
    ];
    assert_eq!(mail(bench, run).await, expect);
    let claimed = bench.claim_one("mail", at(3)).await;
    assert_eq!(history_mail(bench, run).await, expect, "also of a run that was accepted a moment ago");
    bench.crash_and_restart(at(4)).await;
    assert_eq!(history_mail(bench, run).await, expect);
    let claimed = bench.claim_one("mail", at(claimed.epoch.0 + 4)).await;
    let write = bench.write_with(&claimed, vec![delivered(1, "first")], None, consuming(&[first]), at(6));
    write.await.unwrap();
    assert_eq!(unread(bench, run).await, [second]);
}

pub(crate) async fn wakes_a_run_that_waits_for_a_message(bench: &mut Bench) {
    for (number, due) in [None, Some(at(1000))].into_iter().enumerate() {
        let run = running(bench, &number.to_string()).await;
        let rest = Some(Transition::Wait { due, seen: None });
        let open = opening(mailbox(GO, MailboxKind::Signal));
        bench.write_with(&run, vec![], rest, open, at(2)).await.unwrap();
        assert!(bench.claim("mail", at(3)).await.is_empty());
        let message = kept(bench, run.id, GO, "now", at(4)).await;
        assert_eq!(bench.state(run.id).await, RunState::Waiting);
        assert_eq!(bench.store().counts(at(9)).await.unwrap().oldest_claimable, Some(at(4)));
        let woken = bench.claim_one("mail", at(4)).await;
        assert_eq!((woken.id, woken.epoch.0), (run.id, run.epoch.0 + 1));
        assert_eq!(history_mail(bench, run.id).await[0].id, message);
        bench.write(&woken, vec![], Some(Transition::Complete), at(5)).await.unwrap();
    }
}

pub(crate) async fn a_run_does_not_rest_over_a_message_that_it_has_not_seen(bench: &mut Bench) {
    let run = running(bench, "1").await;
    let seen = kept(bench, run.id, GO, "seen", at(2)).await;
    let unseen = kept(bench, run.id, GO, "unseen", at(2)).await;
    bench.write(&run, vec![], wait(Some(seen)), at(3)).await.unwrap();
    let run = bench.claim_one("mail", at(3)).await;
    bench.write(&run, vec![], wait(None), at(4)).await.unwrap();
    let run = bench.claim_one("mail", at(4)).await;
    bench.write(&run, vec![], wait(Some(unseen)), at(5)).await.unwrap();
    assert!(bench.claim("mail", at(1000)).await.is_empty(), "it waits for another");
    kept(bench, run.id, GO, "another", at(6)).await;
    let run = bench.claim_one("mail", at(6)).await;
    // What the write itself reads holds nothing up.
    let all = unread(bench, run.id).await;
    let entries = vec![delivered(1, "a"), delivered(2, "b"), delivered(3, "c")];
    bench.write_with(&run, entries, wait(None), consuming(&all), at(7)).await.unwrap();
    assert!(bench.claim("mail", at(1000)).await.is_empty());
}

pub(crate) async fn a_message_that_was_first_overtakes_the_timeout(bench: &mut Bench) {
    for (number, new) in [mailbox(GO, MailboxKind::Signal), hook()].into_iter().enumerate() {
        let name = new.name.clone();
        let run = waiting(bench, &number.to_string(), new).await;
        let message = kept(bench, run.id, &name, "in time", at(59)).await;
        let run = bench.claim_one("mail", at(60)).await;
        let timed_out = entry(1, EntryKind::Timer, "timeout", None);
        let write = bench.write_with(&run, vec![timed_out], None, closing(&name), at(60)).await;
        assert_eq!(write.unwrap_err().kind(), StoreErrorKind::Overtaken);
        assert_eq!(bench.run(run.id).await.journal_len, 0, "nothing of the write happened");
        let both = Also { consumes: vec![message], ..closing(&name) };
        bench.write_with(&run, vec![delivered(1, "in time")], None, both, at(61)).await.unwrap();
        bench.write(&run, vec![], Some(Transition::Complete), at(62)).await.unwrap();
    }
}

pub(crate) async fn a_timeout_that_was_first_tells_a_late_message_so(bench: &mut Bench) {
    for (number, new) in [mailbox(GO, MailboxKind::Signal), hook()].into_iter().enumerate() {
        let name = new.name.clone();
        let run = waiting(bench, &number.to_string(), new).await;
        kept(bench, run.id, "signal:wakes it", "", at(60)).await;
        let run = bench.claim_one("mail", at(60)).await;
        let timed_out = entry(1, EntryKind::Timer, "timeout", None);
        bench.write_with(&run, vec![timed_out], None, closing(&name), at(60)).await.unwrap();
        let late = post(bench, to(run.id, &name), "late", at(61)).await;
        assert_eq!(late, Posted::Closed { run: run.id });
        assert_eq!(mail(bench, run.id).await.len(), 1);
        bench.write(&run, vec![], Some(Transition::Complete), at(62)).await.unwrap();
    }
}

/// Messages and a timeout, from threads of their own, again and again.
pub(crate) async fn of_messages_and_a_timeout_one_wins(bench: &mut Bench) {
    const POSTS: usize = 4;
    for round in 0..60u8 {
        let run = running(bench, &round.to_string()).await;
        let token = [round; 32];
        let hook = NewMailbox { token: Some(token), ..hook() };
        bench.write_with(&run, vec![], None, opening(hook), at(2)).await.unwrap();
        let start = Arc::new(Barrier::new(POSTS + 1));
        let (handle, store, ready) = (Handle::current(), bench.shared(), Arc::clone(&start));
        let timed_out = vec![entry(1, EntryKind::Timer, "timeout", None)];
        let write =
            RunWrite { also: closing(HOOK), ..RunWrite::new(run.id, run.epoch, at(3), timed_out, None) };
        let closing = tokio::task::spawn_blocking(move || {
            ready.wait();
            handle.block_on(store.write(write))
        });
        let posting = (0..POSTS).map(|_| {
            let (handle, store, ready) = (Handle::current(), bench.shared(), Arc::clone(&start));
            tokio::task::spawn_blocking(move || {
                ready.wait();
                handle.block_on(store.post(letter(Address::Token(token), "x", at(3)))).unwrap()
            })
        });
        let (posted, closed) = (join_all(posting).await, closing.await.unwrap());
        let posted: Vec<_> = posted.into_iter().map(Result::unwrap).collect();
        let kept = posted.iter().filter(|posted| matches!(posted, Posted::Kept { .. })).count();
        let refusal = match &closed {
            Ok(_) => Posted::Closed { run: run.id },
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Overtaken);
                Posted::Answered { run: run.id }
            }
        };
        assert_eq!((kept, mail(bench, run.id).await.len()), (usize::from(closed.is_err()), kept));
        assert_eq!(posted.iter().filter(|posted| **posted == refusal).count(), POSTS - kept, "{posted:?}");
        bench
            .write(&run, vec![], Some(Transition::Cancel), at(4))
            .await
            .unwrap_or_else(|_| panic!("{round}"));
    }
}

pub(crate) async fn tells_a_message_why_it_is_not_kept(bench: &mut Bench) {
    let nobody = post(bench, to(RunId(99), GO), "x", at(1)).await;
    assert_eq!(nobody, Posted::NoSuchRun);
    let unknown = post(bench, Address::Token([9; 32]), "x", at(1)).await;
    assert_eq!(unknown, Posted::NoSuchMailbox);
    let run = waiting(bench, "1", mailbox("approval:a", MailboxKind::Approval)).await;
    assert_eq!(post(bench, to(run.id, HOOK), "x", at(3)).await, Posted::NoSuchMailbox);
    kept(bench, run.id, "approval:a", "yes", at(3)).await;
    assert_eq!(post(bench, to(run.id, "approval:a"), "no", at(4)).await, Posted::Answered { run: run.id });
    let run = bench.claim_one("mail", at(4)).await;
    let yes = unread(bench, run.id).await;
    bench.write_with(&run, vec![delivered(1, "yes")], None, consuming(&yes), at(5)).await.unwrap();
    assert_eq!(post(bench, to(run.id, "approval:a"), "no", at(6)).await, Posted::Answered { run: run.id });
    bench.write(&run, vec![], Some(Transition::Complete), at(7)).await.unwrap();
    let state = RunState::Completed;
    assert_eq!(
        post(bench, to(run.id, "approval:a"), "no", at(8)).await,
        Posted::Ended { run: run.id, state }
    );
    assert_eq!(post(bench, to(run.id, GO), "x", at(8)).await, Posted::Ended { run: run.id, state });
}

pub(crate) async fn takes_one_message_at_a_one_time_address(bench: &mut Bench) {
    let run = waiting(bench, "1", hook()).await;
    let posts = (0..20).map(|_| post(bench, Address::Token(TOKEN), "0", at(3)));
    let posted = join_all(posts).await;
    let kept = posted.iter().filter(|posted| matches!(posted, Posted::Kept { .. })).count();
    let late = posted.iter().filter(|posted| **posted == Posted::Answered { run: run.id }).count();
    assert_eq!((kept, late), (1, 19));
    assert_eq!(mail(bench, run.id).await.len(), 1);
    let run = bench.claim_one("mail", at(4)).await;
    let first = unread(bench, run.id).await;
    bench.write_with(&run, vec![delivered(1, "0")], None, consuming(&first), at(5)).await.unwrap();
    // A crash before the code went on opens it again: it stays answered.
    bench.write_with(&run, vec![], None, opening(hook()), at(6)).await.unwrap();
    let again = post(bench, Address::Token(TOKEN), "again", at(7)).await;
    assert_eq!(again, Posted::Answered { run: run.id });
    bench.write(&run, vec![], Some(Transition::Complete), at(8)).await.unwrap();
    let state = RunState::Completed;
    let late = post(bench, Address::Token(TOKEN), "late", at(9)).await;
    assert_eq!(late, Posted::Ended { run: run.id, state });
}

pub(crate) async fn finds_an_address_by_all_of_its_token(bench: &mut Bench) {
    let alike = [0, 15, 31].map(|place| {
        let mut token = TOKEN;
        token[place] ^= 1;
        token
    });
    let run = waiting(bench, "1", hook()).await;
    for token in alike {
        assert_eq!(post(bench, Address::Token(token), "a guess", at(3)).await, Posted::NoSuchMailbox);
    }
    assert!(mail(bench, run.id).await.is_empty());
    for (number, token) in alike.into_iter().enumerate() {
        let other =
            waiting(bench, &format!("other {number}"), NewMailbox { token: Some(token), ..hook() }).await;
        let posted = post(bench, Address::Token(token), "its own", at(4)).await;
        assert!(matches!(posted, Posted::Kept { run, .. } if run == other.id), "{posted:?}");
        bench
            .write(&bench.claim_one("mail", at(5)).await, vec![], Some(Transition::Cancel), at(5))
            .await
            .unwrap();
    }
    assert!(mail(bench, run.id).await.is_empty(), "and nothing of theirs came here");
}

pub(crate) async fn ends_a_wait_in_a_mailbox_that_stays_open(bench: &mut Bench) {
    let run = running(bench, "1").await;
    bench.write_with(&run, vec![], None, opening(mailbox(GO, MailboxKind::Signal)), at(2)).await.unwrap();
    let expect = || Also { expects_none: vec![GO.to_owned()], ..Also::default() };
    let timed_out = |seq| vec![entry(seq, EntryKind::Timer, "timeout", None)];
    bench.write_with(&run, timed_out(1), None, expect(), at(3)).await.unwrap();
    kept(bench, run.id, GO, "for another wait", at(4)).await;
    let overtaken = bench.write_with(&run, timed_out(2), None, expect(), at(5)).await.unwrap_err();
    assert_eq!(overtaken.kind(), StoreErrorKind::Overtaken);
}

pub(crate) async fn a_wait_that_is_given_up_takes_its_messages_with_it(bench: &mut Bench) {
    let run = running(bench, "1").await;
    bench.write_with(&run, vec![], None, opening(hook()), at(2)).await.unwrap();
    let stays = kept(bench, run.id, GO, "x", at(3)).await;
    kept(bench, run.id, HOOK, "x", at(3)).await;
    let abandon = Also { abandons: vec![HOOK.to_owned(), "signal:other".to_owned()], ..Also::default() };
    bench.write_with(&run, vec![], None, abandon, at(4)).await.unwrap();
    assert_eq!(unread(bench, run.id).await, [stays]);
    let late = post(bench, Address::Token(TOKEN), "y", at(5)).await;
    assert_eq!(late, Posted::Answered { run: run.id });
}

pub(crate) async fn an_address_that_is_made_and_given_up_at_once_is_closed(bench: &mut Bench) {
    let run = running(bench, "1").await;
    let signal = mailbox(GO, MailboxKind::Signal);
    let abandons = vec![HOOK.to_owned(), GO.to_owned()];
    let both = Also { abandons, opens: vec![hook(), signal], ..Also::default() };
    bench.write_with(&run, vec![], None, both, at(2)).await.unwrap();
    assert_eq!(post(bench, Address::Token(TOKEN), "x", at(3)).await, Posted::Closed { run: run.id });
    kept(bench, run.id, GO, "for the next wait", at(3)).await;
}

pub(crate) async fn a_message_that_nobody_could_read_leaves_room_for_another(bench: &mut Bench) {
    let run = waiting(bench, "1", hook()).await;
    let bad = kept(bench, run.id, HOOK, "{", at(3)).await;
    let run = bench.claim_one("mail", at(3)).await;
    let back = |id| Also { returns: vec![id], ..Also::default() };
    bench.write_with(&run, vec![], None, back(bad), at(4)).await.unwrap();
    assert!(mail(bench, run.id).await.is_empty());
    let good = kept(bench, run.id, HOOK, "{}", at(5)).await;
    assert_eq!(unread(bench, run.id).await, [good]);
    let gone = bench.write_with(&run, vec![], None, back(bad), at(6)).await.unwrap_err();
    assert_eq!(gone.kind(), StoreErrorKind::Conflict);
}

pub(crate) async fn opens_a_closed_signal_with_its_next_wait(bench: &mut Bench) {
    let run = running(bench, "1").await;
    let open = || opening(mailbox(GO, MailboxKind::Signal));
    bench.write_with(&run, vec![], None, open(), at(2)).await.unwrap();
    bench.write_with(&run, vec![], None, closing(GO), at(3)).await.unwrap();
    assert_eq!(post(bench, to(run.id, GO), "x", at(4)).await, Posted::Closed { run: run.id });
    bench.write_with(&run, vec![], None, open(), at(5)).await.unwrap();
    let first = kept(bench, run.id, GO, "first", at(6)).await;
    kept(bench, run.id, GO, "second", at(6)).await;
    bench.write_with(&run, vec![delivered(1, "first")], None, consuming(&[first]), at(7)).await.unwrap();
    let second = unread(bench, run.id).await;
    // The timeout of one wait and the next wait, in one write.
    let next = Also { consumes: second, opens: open().opens, ..closing(GO) };
    bench.write_with(&run, vec![delivered(2, "second")], None, next, at(8)).await.unwrap();
    kept(bench, run.id, GO, "third", at(9)).await;
}

pub(crate) async fn keeps_a_message_once_under_its_senders_id(bench: &mut Bench) {
    let run = running(bench, "1").await;
    let with_id =
        |name: &str, id: &str| Post { id: Some(id.to_owned()), ..letter(to(run.id, name), "x", at(2)) };
    let send = async |name: &str, id: &str| bench.store().post(with_id(name, id)).await.unwrap();
    let Posted::Kept { message, .. } = send(GO, "1").await else { panic!("it is new") };
    assert_eq!(send(GO, "1").await, Posted::Duplicate { run: run.id });
    assert!(matches!(send("signal:other", "1").await, Posted::Kept { .. }), "another mailbox");
    bench.write_with(&run, vec![delivered(1, "x")], None, consuming(&[message]), at(3)).await.unwrap();
    assert_eq!(send(GO, "1").await, Posted::Duplicate { run: run.id }, "it was read");
    for number in 0..POST_IDS_KEPT_MAX {
        let Posted::Kept { message, .. } = send(GO, &format!("later {number}")).await else { panic!("new") };
        let seq = i64::try_from(number).unwrap() + 2;
        bench.write_with(&run, vec![delivered(seq, "x")], None, consuming(&[message]), at(4)).await.unwrap();
    }
    assert!(matches!(send(GO, "1").await, Posted::Kept { .. }), "ids are not kept for ever");
    assert_eq!(send(GO, "later 1").await, Posted::Duplicate { run: run.id });
}

pub(crate) async fn refuses_messages_past_the_limits(bench: &mut Bench) {
    let run = running(bench, "1").await;
    let refused = async |post: Post| bench.store().post(post).await.unwrap_err().kind();
    let large = Post { body: text(&"x".repeat(MESSAGE_BYTES_MAX)), ..letter(to(run.id, GO), "", at(2)) };
    assert_eq!(refused(large).await, StoreErrorKind::Limit);
    let id = Some("x".repeat(POST_ID_BYTES_MAX + 1));
    assert_eq!(refused(Post { id, ..letter(to(run.id, GO), "", at(2)) }).await, StoreErrorKind::Limit);
    let long = to(run.id, &format!("{GO}{}", "x".repeat(5000)));
    assert_eq!(refused(letter(long, "", at(2))).await, StoreErrorKind::Limit);
    let largest = text(&"x".repeat(MESSAGE_BYTES_MAX - 2));
    let posted = bench.store().post(Post { body: largest, ..letter(to(run.id, GO), "", at(2)) }).await;
    assert!(matches!(posted, Ok(Posted::Kept { .. })), "{posted:?}");
    let more = join_all((1..MESSAGES_MAX).map(|_| post(bench, to(run.id, GO), "x", at(2)))).await;
    assert!(more.iter().all(|posted| matches!(posted, Posted::Kept { .. })));
    let many = post(bench, to(run.id, GO), "x", at(3)).await;
    assert_eq!(many, Posted::TooMany { limit: MESSAGES_MAX });
    let first = unread(bench, run.id).await[0];
    bench.write_with(&run, vec![delivered(1, "x")], None, consuming(&[first]), at(4)).await.unwrap();
    kept(bench, run.id, GO, "there is room", at(5)).await;
}

pub(crate) async fn keeps_no_more_bytes_of_a_runs_messages_than_fit_into_memory(bench: &mut Bench) {
    let (run, other) = (running(bench, "1").await, running(bench, "2").await);
    let largest = "x".repeat(MESSAGE_BYTES_MAX - 2);
    for _ in 0..UNREAD_BYTES_MAX / MESSAGE_BYTES_MAX {
        kept(bench, run.id, GO, &largest, at(2)).await;
    }
    assert_eq!(post(bench, to(run.id, GO), "", at(3)).await, Posted::TooMany { limit: MESSAGES_MAX });
    kept(bench, other.id, GO, &largest, at(3)).await;
    let first = unread(bench, run.id).await[0];
    bench.write_with(&run, vec![delivered(1, "x")], None, consuming(&[first]), at(4)).await.unwrap();
    kept(bench, run.id, GO, &largest, at(5)).await;
}

pub(crate) async fn reads_a_message_once(bench: &mut Bench) {
    let run = running(bench, "1").await;
    let other = running(bench, "2").await;
    let message = kept(bench, run.id, GO, "x", at(2)).await;
    let elsewhere = kept(bench, other.id, GO, "x", at(2)).await;
    let write = |also: Also| bench.write_with(&run, vec![delivered(1, "x")], None, also, at(3));
    let refused = write(consuming(&[message, elsewhere])).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Conflict, "it is another run's");
    assert_eq!(unread(bench, run.id).await, [message], "nothing of the write happened");
    for _ in 0..2 {
        assert_eq!(write(consuming(&[message])).await.unwrap().state, RunState::Running);
    }
    assert_eq!(bench.run(run.id).await.journal_len, 1);
    let again = bench.write_with(&run, vec![delivered(2, "x")], None, consuming(&[message]), at(4)).await;
    assert_eq!(again.unwrap_err().kind(), StoreErrorKind::Conflict);
    let late = kept(bench, run.id, GO, "y", at(5)).await;
    let ended = Transition::Complete;
    for _ in 0..2 {
        let entries = vec![delivered(2, "y")];
        let write = bench.write_with(&run, entries, Some(ended.clone()), consuming(&[late]), at(6));
        assert_eq!(write.await.unwrap().state, RunState::Completed);
    }
}

type Hint = Pin<Box<dyn Future<Output = Vec<RunId>> + Send>>;

fn hint(bench: &Bench) -> Hint {
    let store = bench.shared();
    async move { store.mailed().await.unwrap() }.boxed()
}

pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    const PATIENCE: Duration = Duration::from_secs(120);
    tokio::time::timeout(PATIENCE, what).await.expect("it is told")
}

pub(crate) async fn tells_of_runs_with_new_messages_after_the_commit(bench: &mut Bench) {
    let (one, two) = (running(bench, "1").await, running(bench, "2").await);
    let mut asked = hint(bench);
    assert!((&mut asked).now_or_never().is_none(), "there are none");
    drop(asked);
    for (run, body) in [(&two, "a"), (&one, "b"), (&two, "c")] {
        kept(bench, run.id, GO, body, at(2)).await;
    }
    assert_eq!(soon(hint(bench)).await, [one.id, two.id], "each once");
    assert!(hint(bench).now_or_never().is_none());
    let seen = unread(bench, one.id).await.pop();
    bench.write(&one, vec![], wait(seen), at(3)).await.unwrap();
    assert!(hint(bench).now_or_never().is_none(), "it has seen all");
    bench.write(&two, vec![], wait(None), at(3)).await.unwrap();
    assert_eq!(soon(hint(bench)).await, [two.id], "it can be claimed");
    let asked = hint(bench);
    assert_eq!(post(bench, to(RunId(99), GO), "x", at(4)).await, Posted::NoSuchRun);
    bench.store().close().await.unwrap();
    drop(asked);
    assert_eq!(bench.store().mailed().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

/// The driver of a run knows of messages only what the store says; posts come at any moment of its rounds.
pub(crate) async fn loses_no_wake_up_between_messages_and_rests(bench: &mut Bench) {
    const SENDERS: usize = 4;
    const EACH: usize = 60;
    let run = bench.queue("1", "mail").await;
    let senders = (0..SENDERS).map(|sender| {
        let (handle, store) = (Handle::current(), bench.shared());
        tokio::task::spawn_blocking(move || {
            for number in 0..EACH {
                let body = format!("{sender} {number}");
                let posted = handle.block_on(store.post(letter(to(run, GO), &body, at(2)))).unwrap();
                assert!(matches!(posted, Posted::Kept { .. }), "{posted:?}");
            }
        })
    });
    let sending = join_all(senders);
    let driving = async {
        let (mut seq, mut rests) = (0, 0);
        while seq < SENDERS * EACH {
            let Some(run) = bench.claim("mail", at(3)).await.pop() else {
                bench.store().mailed().await.unwrap();
                continue;
            };
            let all = unread(bench, run.id).await;
            let first = i64::try_from(seq).unwrap() + 1;
            let entries: Vec<_> = (first..).zip(&all).map(|(seq, _)| delivered(seq, "x")).collect();
            seq += all.len();
            let seen = all.last().copied();
            bench.write_with(&run, entries, wait(seen), consuming(&all), at(4)).await.unwrap();
            rests += 1;
        }
        rests
    };
    let (sent, rests) = soon(futures_util::future::join(sending, driving)).await;
    sent.into_iter().for_each(Result::unwrap);
    assert!(rests > 1, "it went to rest among them");
    assert!(mail(bench, run).await.is_empty());
}

pub(crate) async fn lists_mailboxes_those_opened_last_first(bench: &mut Bench) {
    let about = Some(text("Refund 900 EUR?"));
    let asks = NewMailbox {
        about: about.clone(),
        until: Some(at(60)),
        ..mailbox("approval:a", MailboxKind::Approval)
    };
    let one = waiting(bench, "1", asks).await;
    let two = running(bench, "2").await;
    let opens = vec![mailbox(GO, MailboxKind::Signal), mailbox("approval:b", MailboxKind::Approval), hook()];
    bench.write_with(&two, vec![], None, Also { opens, ..Also::default() }, at(3)).await.unwrap();
    bench.write_with(&two, vec![], None, closing(HOOK), at(4)).await.unwrap();
    let list = async |filter: MailboxFilter| bench.store().mailboxes(filter).await.unwrap();
    let names = async |filter: MailboxFilter| -> Vec<String> {
        list(filter).await.into_iter().map(|mailbox| mailbox.name).collect()
    };
    let approvals = MailboxFilter { kind: Some(MailboxKind::Approval), ..MailboxFilter::default() };
    assert_eq!(names(approvals.clone()).await, ["approval:b", "approval:a"]);
    assert_eq!(names(MailboxFilter { limit: 1, ..approvals.clone() }).await, ["approval:b"]);
    let first = &list(MailboxFilter { run: Some(one.id), ..MailboxFilter::default() }).await[0];
    let (kind, state) = (MailboxKind::Approval, MailboxState::Open);
    assert_eq!((first.run, first.kind, first.state), (one.id, kind, state));
    assert_eq!((first.opened_at, first.until, &first.about), (at(2), Some(at(60)), &about));
    kept(bench, one.id, "approval:a", "yes", at(5)).await;
    let open = MailboxFilter { state: Some(MailboxState::Open), ..approvals };
    assert_eq!(names(open).await, ["approval:b"]);
    let of_two = MailboxFilter { run: Some(two.id), ..MailboxFilter::default() };
    assert_eq!(names(of_two.clone()).await, [HOOK, "approval:b", GO]);
    let closed = MailboxFilter { state: Some(MailboxState::Closed), ..of_two };
    assert_eq!(names(closed).await, [HOOK]);
    assert_eq!(list(MailboxFilter::default()).await.len(), 4);
}

pub(crate) async fn clears_the_mail_of_a_run_that_ends(bench: &mut Bench) {
    for (number, by_hand) in [false, true].into_iter().enumerate() {
        let run = waiting(bench, &number.to_string(), hook()).await;
        kept(bench, run.id, GO, "x", at(3)).await;
        if by_hand {
            let row = bench.run(run.id).await;
            bench.store().operate(bench.operation(&row, RunState::Cancelled, vec![], at(4))).await.unwrap();
        } else {
            let run = bench.claim_one("mail", at(3)).await;
            bench.write(&run, vec![done(1, "x")], Some(Transition::Complete), at(4)).await.unwrap();
        }
        let of_run = MailboxFilter { run: Some(run.id), ..MailboxFilter::default() };
        let left = bench.store().mailboxes(of_run).await.unwrap();
        assert!(left.iter().all(|left| left.name == HOOK && left.state == MailboxState::Closed), "{left:?}");
        assert!(mail(bench, run.id).await.is_empty());
        let late = post(bench, Address::Token(TOKEN), "late", at(5)).await;
        assert!(matches!(late, Posted::Ended { .. }), "{late:?}: as long as the run is known");
    }
    bench.tidy(at(90), at(100)).await;
    assert_eq!(post(bench, Address::Token(TOKEN), "late", at(101)).await, Posted::NoSuchMailbox);
    assert!(bench.store().mailboxes(MailboxFilter::default()).await.unwrap().is_empty());
}

pub(crate) async fn a_dead_letter_keeps_its_mail_for_when_it_goes_on(bench: &mut Bench) {
    let run = waiting(bench, "1", hook()).await;
    let message = kept(bench, run.id, GO, "x", at(3)).await;
    let run = bench.claim_one("mail", at(3)).await;
    let dead = Transition::DeadLetter { reason: bowline_model::DeadReason::Failed, summary: "no".to_owned() };
    bench.write(&run, vec![], Some(dead), at(4)).await.unwrap();
    assert_eq!(bench.state(run.id).await, RunState::DeadLettered);
    let later = kept(bench, run.id, GO, "y", at(5)).await;
    bench.crash_and_restart(at(6)).await;
    let row = bench.run(run.id).await;
    bench.store().operate(bench.operation(&row, RunState::Queued, vec![], at(7))).await.unwrap();
    assert_eq!(unread(bench, run.id).await, [message, later]);
    let callback = post(bench, Address::Token(TOKEN), "y", at(8)).await;
    assert!(matches!(callback, Posted::Kept { .. }), "its address holds: {callback:?}");
}

pub(crate) async fn a_message_to_a_run_in_a_line_moves_nobody(bench: &mut Bench) {
    let keyed = || bowline_model::NewRun { key: Some("k".to_owned()), ..run_of("mail") };
    let first = bench.accept("1", vec![keyed()]).await.1[0];
    let second = bench.accept("2", vec![keyed()]).await.1[0];
    let run = bench.claim_one("mail", at(1)).await;
    kept(bench, second, GO, "x", at(2)).await;
    assert!(bench.claim("mail", at(2)).await.is_empty(), "it is held back all the same");
    bench.write(&run, vec![], wait(None), at(3)).await.unwrap();
    kept(bench, first, GO, "x", at(4)).await;
    let woken = bench.claim_one("mail", at(4)).await;
    assert_eq!(woken.id, first);
    bench.write(&woken, vec![], Some(Transition::Complete), at(5)).await.unwrap();
    assert_eq!(bench.claim_one("mail", at(5)).await.id, second);
}

pub(crate) async fn keeps_unread_messages_and_wakes_over_a_restart(bench: &mut Bench) {
    let run = waiting(bench, "1", hook()).await;
    let message = kept(bench, run.id, HOOK, "x", at(3)).await;
    bench.crash_and_restart(at(4)).await;
    assert_eq!(bench.claim_one("mail", at(4)).await.id, run.id, "nobody was there to hear of it");
    assert_eq!(unread(bench, run.id).await, [message]);
    assert_eq!(post(bench, Address::Token(TOKEN), "y", at(5)).await, Posted::Answered { run: run.id });
}

pub(crate) async fn wakes_each_of_many_waiting_runs(bench: &mut Bench) {
    const RUNS: usize = 10_000;
    for piece in 0..RUNS / 1000 {
        let runs = (0..1000).map(|_| run_of("mail")).collect();
        bench.accept(&piece.to_string(), runs).await;
    }
    let all = bowline_store::Claim {
        total_max: RUNS,
        workflows: vec![("mail".into(), RUNS)],
        ..bench.claim_of("mail", at(1))
    };
    let runs = bench.store().claim(all.clone()).await.unwrap();
    assert_eq!(runs.len(), RUNS);
    for some in runs.chunks(1000) {
        let open = || opening(mailbox(GO, MailboxKind::Signal));
        let writes = some.iter().map(|run| bench.write_with(run, vec![], wait(None), open(), at(2)));
        join_all(writes).await.into_iter().for_each(|written| assert!(written.is_ok()));
    }
    for some in runs.chunks(1000) {
        join_all(some.iter().map(|run| kept(bench, run.id, GO, "x", at(3)))).await;
    }
    let told = soon(hint(bench)).await;
    let woken = bench.store().claim(bowline_store::Claim { now: at(4), ..all }).await.unwrap();
    assert_eq!((told.len(), woken.len()), (RUNS, RUNS));
}
