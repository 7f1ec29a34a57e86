//! Messages and children: what is told, what is lost, and what is left.

use std::sync::Arc;

use bowline_model::{Epoch, NewEvent, NewRun, NodeId, Payload, RunId};
use bowline_store::{
    Address, Also, Batch, Claim, Failure, MailboxKind, NewMailbox, NewStart, Post, Posted, RunWrite,
    SqliteStore, Store, Transition,
};
use futures_util::FutureExt;

use super::{ask, open, place};
use crate::bench::{at, done, event, run_of};

fn post(run: RunId) -> Post {
    let to = Address::Mailbox { run, name: "signal:go".to_owned() };
    Post { to, id: Some("1".to_owned()), body: Payload::encode("x").unwrap(), now: at(1) }
}

async fn running(store: &SqliteStore) -> RunId {
    store.start_node(at(0)).await.unwrap();
    store.accept(Batch { events: vec![event("1", vec![run_of("a")])], ..Batch::default() }).await.unwrap();
    let workflows = vec![("a".into(), 1)];
    let claim = Claim { node: NodeId(1), now: at(1), total_max: 1, workflows, others_max: 0, crashes_min: 0 };
    store.claim(claim).await.unwrap()[0].id
}

fn start(parent: RunId, key: &str, tells: Option<&str>) -> NewStart {
    let run = NewRun { parent: Some(parent), ..run_of("child") };
    let event = NewEvent { source: "child".to_owned(), ..event(key, vec![run]) };
    NewStart { event, tells: tells.map(str::to_owned), earlier: None, continues: false }
}

#[tokio::test]
async fn says_nothing_of_a_message_whose_commit_was_lost() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store).await;
    let mut told = store.mailed();
    assert!((&mut told).now_or_never().is_none());
    store.fail_next(Failure::CommitLost).await.unwrap();
    store.post(post(run)).await.unwrap_err();
    assert!((&mut told).now_or_never().is_none(), "it is not there");
    assert!(store.mail(run).await.unwrap().is_empty());
    store.fail_next(Failure::CommitUnanswered).await.unwrap();
    assert!(matches!(store.post(post(run)).await.unwrap(), Posted::Kept { .. }));
    let patience = std::time::Duration::from_secs(20);
    assert_eq!(tokio::time::timeout(patience, told).await.expect("it is told").unwrap(), [run]);
    assert_eq!(store.post(post(run)).await.unwrap(), Posted::Duplicate { run });
    assert_eq!(store.mail(run).await.unwrap().len(), 1);
}

#[tokio::test]
async fn starts_a_child_once_whatever_becomes_of_the_commit() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store).await;
    let mut write = RunWrite::new(run, Epoch(1), at(2), vec![done(1, "x")], None);
    write.also.starts = vec![start(run, "1", Some("child:1"))];
    store.fail_next(Failure::CommitLost).await.unwrap();
    store.write(write.clone()).await.unwrap_err();
    store.fail_next(Failure::CommitUnanswered).await.unwrap();
    let written = store.write(write.clone()).await.unwrap();
    assert_eq!(store.write(write).await.unwrap(), written);
    drop(store);
    assert_eq!(ask(&path, "SELECT count(*) FROM run WHERE parent = 1"), 1);
    assert_eq!(ask(&path, "SELECT count(*) FROM child"), 1);
}

#[tokio::test]
async fn runs_that_ended_leave_no_messages_or_children_and_of_mailboxes_only_what_answers_late_callers() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store).await;
    let mailbox = NewMailbox { token: Some([7; 32]), ..NewMailbox::new("callback:1", MailboxKind::Callback) };
    let starts = vec![start(run, "1", Some("child:1")), start(run, "2", None)];
    let also = Also { opens: vec![mailbox], starts, ..Also::default() };
    let mut write = RunWrite::new(run, Epoch(1), at(2), vec![done(1, "x")], None);
    write.also = also;
    store.write(write).await.unwrap();
    let Posted::Kept { message, .. } = store.post(post(run)).await.unwrap() else { panic!("it is open") };
    store.post(Post { id: Some("2".to_owned()), ..post(run) }).await.unwrap();
    let mut write = RunWrite::new(run, Epoch(1), at(3), vec![done(2, "x")], None);
    write.also.consumes = vec![message];
    store.write(write).await.unwrap();
    assert_eq!(ask(&path, "SELECT count(*) FROM message"), 2);
    assert_eq!(ask(&path, "SELECT length(body) FROM message WHERE is_read = 1"), 0);
    assert_eq!(ask(&path, "SELECT count(*) FROM mailbox"), 2);
    assert_eq!(ask(&path, "SELECT count(*) FROM child"), 2);
    assert_eq!(ask(&path, "SELECT count(*) FROM dedupe"), 1, "only of the event from outside");
    let end = RunWrite::new(run, Epoch(1), at(4), vec![], Some(Transition::Complete));
    store.write(end).await.unwrap();
    assert_eq!(ask(&path, "SELECT count(*) FROM mailbox WHERE token IS NOT NULL AND state = 2"), 1);
    store.tidy(at(100), at(200)).await.unwrap();
    store.tidy(at(100), at(200)).await.unwrap();
    for table in ["message", "mailbox", "child"] {
        assert_eq!(ask(&path, &format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
}

#[tokio::test]
async fn a_run_that_asks_without_end_keeps_a_bounded_number_of_mailboxes() {
    let (_folder, path) = place();
    let store = open(&path);
    let run = running(&store).await;
    for piece in 0..12 {
        let names: Vec<_> = (0..1000).map(|number| format!("approval:{piece}-{number}")).collect();
        let opens = names.iter().map(|name| NewMailbox::new(name.as_str(), MailboxKind::Approval)).collect();
        for also in
            [Also { opens, ..Also::default() }, Also { closes: names[1..].to_vec(), ..Also::default() }]
        {
            let write = RunWrite { also, ..RunWrite::new(run, Epoch(1), at(2), vec![], None) };
            store.write(write).await.unwrap();
        }
    }
    assert_eq!(ask(&path, "SELECT count(*) FROM mailbox"), 10_000 + 2, "and the open ones among the oldest");
}

/// What a killed process does: runs that wait, messages and children's ends that wake them.
pub(super) async fn send_and_end(store: Arc<dyn Store>, say: impl Fn(&str) + Copy + Send + 'static) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..6 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in 0.. {
                // Of its own workflow: those that wait and are woken are left alone.
                let name = format!("{task}-{number}");
                let batch = Batch { events: vec![event(&name, vec![run_of(&name)])], ..Batch::default() };
                store.accept(batch).await.unwrap();
                let claim = |workflow: &str| Claim {
                    node: NodeId(1),
                    now: at(1),
                    total_max: 1,
                    workflows: vec![(workflow.into(), 1)],
                    others_max: 0,
                    crashes_min: 0,
                };
                let Some(run) = store.claim(claim(&name)).await.unwrap().pop() else { continue };
                let wait = Some(Transition::Wait { due: None, seen: None });
                let mut write = RunWrite::new(run.id, run.epoch, at(2), vec![done(1, "x")], wait);
                write.also.starts = vec![start(run.id, "1", Some("child:1"))];
                let started = store.write(write).await.unwrap().started;
                say(&format!("started {} {}", run.id, started[0]));
                if number % 2 == 0 {
                    store.post(post(run.id)).await.unwrap();
                    say(&format!("posted {}", run.id));
                }
                for child in store.claim(claim("child")).await.unwrap() {
                    let end = RunWrite::new(child.id, child.epoch, at(3), vec![], Some(Transition::Complete));
                    store.write(end).await.unwrap();
                    say(&format!("ended {} {}", child.parent.unwrap(), child.id));
                }
            }
        });
    }
    tasks.join_all().await;
}
