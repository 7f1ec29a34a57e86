//! Discards with undo, settlements of what an undo must know, cancels of families: what is done, and what is said.

use bowline_dashboard::commands::Outcome;
use bowline_model::{BuildId, Payload};
use bowline_store::{Also, NewStart};

use super::*;
use crate::cli::render::{self, Paint};

/// How a run that was claimed goes.
enum Goes {
    /// It is a dead letter for that reason.
    Dead(DeadReason),
    Waits,
}

/// A run with that journal, which starts these.
async fn run(store: &dyn Store, journal: Vec<Entry>, goes: Goes, starts: &[&str]) -> RunId {
    store.accept(Batch { events: vec![event("/x", None)], ..Batch::default() }).await.unwrap();
    go(store, journal, goes, starts).await
}

/// The oldest run that can be claimed goes so.
async fn go(store: &dyn Store, journal: Vec<Entry>, goes: Goes, starts: &[&str]) -> RunId {
    let now = SystemClock.now();
    let node = store.start_node(now).await.unwrap().node;
    let workflows = vec![(WorkflowName::from("w"), 1)];
    let claim = Claim { node, now, total_max: 1, workflows, others_max: 0, crashes_min: 0 };
    let run = store.claim(claim).await.unwrap().pop().unwrap();
    let transition = match goes {
        Goes::Dead(reason) => Transition::DeadLetter { reason, summary: "it ended badly".to_owned() },
        Goes::Waits => Transition::Wait { due: None, seen: None },
    };
    let start = |(nth, source): (usize, &&str)| NewStart {
        event: event(source, Some(run.id)),
        tells: (*source == "child").then(|| format!("child:{nth}")),
        earlier: None,
        continues: false,
    };
    let also = Also { starts: starts.iter().enumerate().map(start).collect(), ..Also::default() };
    let write = RunWrite::new(run.id, run.epoch, now, journal, Some(transition));
    store.write(RunWrite { also, ..write }).await.unwrap();
    run.id
}

fn event(source: &str, parent: Option<RunId>) -> NewEvent {
    let now = SystemClock.now();
    NewEvent {
        source: source.to_owned(),
        provider: "test".to_owned(),
        kind: "test".to_owned(),
        dedupe_key: format!("{:x}", SystemClock.random()),
        dedupe_until: now + Duration::from_secs(60),
        received_at: now,
        headers: vec![],
        body: "{}".into(),
        input_pointer: String::new(),
        runs: vec![NewRun { parent, ..new_run() }],
    }
}

fn entry(seq: i64, kind: EntryKind, step: &str, meta: EntryMeta) -> Entry {
    let position = Position::Nth(1);
    let key = EntryKey { family: Family::Step, scope: ScopePath::root(), name: step.to_owned(), position };
    let key = if step.is_empty() { EntryKey::run() } else { key };
    let payload = (kind == EntryKind::StepDone).then(|| Payload::from_stored("7"));
    Entry { seq: Seq(seq), kind, key, at: SystemClock.now(), build: BuildId::from("1"), meta, payload }
}

fn kim() -> Operator {
    Operator { who: Some("kim".to_owned()), why: None }
}

/// A charge whose answer was lost and that the code gave up, in a run that is undone.
fn given_up() -> Vec<Entry> {
    let now = Some(SystemClock.now());
    let lost = EntryMeta { unknown_since: now, reversible: true, attempts: 1, ..EntryMeta::default() };
    let why = EntryMeta { note: Some("cancelled by kim".to_owned()), ..EntryMeta::default() };
    vec![
        entry(1, EntryKind::Dropped, "charge", lost),
        entry(2, EntryKind::Undoing, "", why),
        entry(3, EntryKind::DeadLettered, "", EntryMeta::default()),
    ]
}

/// A store with such runs, and the way to it while no server holds it.
async fn at_rest(fill: impl AsyncFnOnce(&dyn Store)) -> (TempDir, Control) {
    let folder = tempfile::tempdir().unwrap();
    let context = context(&folder);
    let store = open(&context.store);
    fill(&store).await;
    store.close().await.unwrap();
    let control = Control::open(&context).await.unwrap();
    assert!(control.is_local());
    (folder, control)
}

#[tokio::test]
async fn a_discard_with_undo_says_that_it_goes_on_and_how_far_it_is() {
    let done = || vec![entry(1, EntryKind::StepDone, "flight", EntryMeta::default())];
    let (_folder, control) = at_rest(async |store| {
        run(store, done(), Goes::Dead(DeadReason::Failed), &[]).await;
    })
    .await;
    let discarded = control.discard_undone(RunId(1), &kim()).await.unwrap();
    assert_eq!(
        render::discarded(&discarded, Paint::Plain),
        "– run 1 is undone, then closed: discarded by kim; `show 1` tells how far it is\n"
    );
    let view = control.show(RunId(1), Payloads::Hidden).await.unwrap();
    assert_eq!(view.run.state, RunState::Queued);
    let shown = render::timeline(&view, Paint::Plain);
    assert!(shown.contains("what it did is being undone"), "{shown}");
    assert!(shown.contains("stays done, as no undo was given for it: flight"), "{shown}");
    let again = control.discard_undone(RunId(1), &kim()).await.unwrap_err();
    assert_eq!(again.to_string(), "run 1 is queued, not a dead letter");
    control.close().await.unwrap();
}

#[tokio::test]
async fn a_step_that_the_code_gave_up_is_settled_where_an_undo_must_know_of_it() {
    let (_folder, control) = at_rest(async |store| {
        run(store, given_up(), Goes::Dead(DeadReason::Undo), &[]).await;
    })
    .await;
    let shown = render::timeline(&control.show(RunId(1), Payloads::Hidden).await.unwrap(), Paint::Plain);
    assert!(shown.contains("`settle 1 \"charge\" --done JSON` or `--not-done`"), "{shown}");
    let done = |step: &str| SettleRequest {
        step: step.to_owned(),
        outcome: Outcome::Done(serde_json::json!({ "id": 7 })),
        who: Some("kim".to_owned()),
        why: None,
    };
    let wrong = control.settle(RunId(1), done("refund")).await.unwrap_err();
    assert_eq!(wrong.to_string(), "run 1 has no step \"refund\"");
    assert!(wrong.hint_text().unwrap().contains("\"charge\""), "{wrong:?}");
    let settled = control.settle(RunId(1), done("charge")).await.unwrap();
    assert_eq!(
        render::settled(&settled, Paint::Plain),
        "↻ run 1 is queued; charge is settled as done by kim\n"
    );
    control.close().await.unwrap();
}

#[tokio::test]
async fn what_the_code_gave_up_is_its_history_where_nothing_is_undone() {
    let mut journal = given_up();
    journal.remove(1);
    journal[1].seq = Seq(2);
    let (_folder, control) = at_rest(async |store| {
        run(store, journal, Goes::Dead(DeadReason::Failed), &[]).await;
    })
    .await;
    let request =
        SettleRequest { step: "charge".to_owned(), outcome: Outcome::NotDone, who: None, why: None };
    let error = control.settle(RunId(1), request).await.unwrap_err();
    assert!(error.to_string().contains("is known, or nothing of it was sent"), "{error}");
    control.close().await.unwrap();
}

#[tokio::test]
async fn a_cancel_tells_of_the_children_that_ended_with_it_and_leaves_what_was_only_started() {
    let (_folder, control) = at_rest(async |store| {
        run(store, vec![], Goes::Waits, &["child", "start"]).await;
        assert_eq!(go(store, vec![], Goes::Waits, &["child"]).await, RunId(2));
    })
    .await;
    let cancelled = control.cancel(RunId(1), &kim()).await.unwrap();
    assert_eq!(
        render::cancelled(&cancelled, Paint::Plain),
        "– run 1 is cancelled by kim; and 2 children with it\n"
    );
    let runs = control.runs(&RunsQuery::default()).await.unwrap().runs;
    let states: Vec<_> = runs.iter().rev().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Cancelled, RunState::Cancelled, RunState::Queued, RunState::Cancelled]);
    let shown = render::timeline(&control.show(RunId(1), Payloads::Hidden).await.unwrap(), Paint::Plain);
    assert!(
        shown.contains("started run 2  w  cancelled  its parent, run 1, was cancelled: cancelled by kim"),
        "{shown}"
    );
    let again = control.cancel(RunId(1), &kim()).await.unwrap_err();
    assert_eq!(again.to_string(), "run 1 is cancelled, and not open any more");
    control.close().await.unwrap();
}

#[tokio::test]
async fn a_fork_says_what_it_takes_and_what_happens_again_and_a_pause_what_it_holds() {
    let sent = |seq, step: &str| {
        let call = bowline_model::Fingerprint {
            api: "crm".to_owned(),
            method: "POST".to_owned(),
            path: format!("/{step}"),
            query: String::new(),
            body: String::new(),
        };
        entry(seq, EntryKind::StepDone, step, EntryMeta { fingerprint: Some(call), ..EntryMeta::default() })
    };
    let journal = vec![sent(1, "list"), sent(2, "create")];
    let (folder, control) = at_rest(async |store| {
        run(store, journal, Goes::Dead(DeadReason::Failed), &[]).await;
    })
    .await;
    let shown = render::timeline(&control.show(RunId(1), Payloads::Hidden).await.unwrap(), Paint::Plain);
    assert!(shown.contains("`fork 1 --from STEP` begins a new run at a step"), "{shown}");
    let forked = control.fork(RunId(1), "create", &kim()).await.unwrap();
    assert_eq!(
        render::forked(&forked, Paint::Plain),
        "↻ run 2 is queued: it goes on from create of run 1; 1 record is taken\n  \
         under new idempotency keys; if the code still asks for it, this happens again:\n    \
         create  POST crm /create\n"
    );
    let missing = control.fork(RunId(1), "mail", &kim()).await.unwrap_err();
    assert_eq!(missing.to_string(), "run 1 recorded nothing of a step \"mail\"");

    control.pause(WorkflowName::from("w"), &kim()).await.unwrap();
    let runs = render::runs(
        &control.runs(&RunsQuery::default()).await.unwrap(),
        SystemClock.now(),
        None,
        Paint::Plain,
    );
    let first = runs.lines().next().unwrap();
    assert!(first.starts_with("‖ w: paused by kim, ") && first.ends_with(" ago; 1 run waits"), "{first}");
    let shown = render::timeline(&control.show(RunId(2), Payloads::Hidden).await.unwrap(), Paint::Plain);
    assert!(
        shown.contains("‖ its workflow is paused by kim, since ") && shown.contains("`resume w`"),
        "{shown}"
    );
    control.close().await.unwrap();
    // `check` reads it beside whoever holds the store.
    let context = context(&folder);
    let paused = crate::cli::pause::paused(&context.store, context.clock).await.unwrap();
    assert_eq!((paused.len(), paused[0].held), (1, 1));
}
