use bowline_dashboard::{
    Payloads, RunView,
    view::{ITEMS_MAX, Item},
};
use bowline_model::{DeadReason, RunState};

use crate::journal::{journal, run};

/// One line per item: what a reader sees of a journal.
fn lines(view: &RunView) -> Vec<String> {
    let item = |item: &Item| match item {
        Item::Step(step) => {
            let failed: String = step.failed.iter().map(|failed| format!(" ✗@{}", failed.at_ms)).collect();
            let forgotten = if step.forgotten { " forgotten" } else { "" };
            let name = &step.name;
            let (began, ended) = (step.began_ms, step.ended_ms.unwrap_or(-1));
            format!("{name} {:?} {began}..{ended}{failed}{forgotten}", step.state)
        }
        Item::Note(note) => format!("@{} {}", note.at_ms, note.text),
        Item::End(end) => format!("@{} {:?} {:?} {:?}", end.at_ms, end.kind, end.reason, end.caused_by),
    };
    view.timeline.iter().map(item).collect()
}

fn view(state: RunState, reason: Option<DeadReason>, text: &str, payloads: Payloads) -> RunView {
    let journal = journal(text);
    RunView::of(&run(state, reason, &journal), None, &journal, payloads)
}

#[track_caller]
fn check(state: RunState, reason: Option<DeadReason>, text: &str, expect: &[&str]) {
    assert_eq!(lines(&view(state, reason, text, Payloads::Hidden)), expect);
}

#[test]
fn attempts_are_shown_under_their_step() {
    check(
        RunState::Completed,
        None,
        "failed create\n done guess\n failed create\n done create\n completed",
        &["create Done 20..400 ✗@100 ✗@300", "guess Done 120..200", "@500 Completed None None"],
    );
}

#[test]
fn a_retried_dead_letter_shows_both_lives() {
    check(
        RunState::DeadLettered,
        Some(DeadReason::Failed),
        "refused create\n dead create\n retry 1\n failed create\n unknown create\n dead create",
        &[
            "create Refused 20..100 forgotten",
            "@200 DeadLettered None Some(\"create\")",
            "@300 retried by an operator",
            "create Unknown 320..500 ✗@400",
            "@600 DeadLettered Some(Failed) Some(\"create\")",
        ],
    );
}

#[test]
fn what_is_open_shows_as_open() {
    check(
        RunState::Waiting,
        None,
        "started pay\n failed sync[17]\n dropped 2/slow",
        &["pay Began 100..-1", "sync[17] Retrying 120..-1 ✗@200", "2/slow Dropped 300..300"],
    );
}

#[test]
fn nothing_is_due_any_more_in_a_dead_letter() {
    let view = view(RunState::DeadLettered, Some(DeadReason::Stale), "failed pay\n dead", Payloads::Hidden);
    let Item::Step(step) = &view.timeline[0] else { panic!("{view:?}") };
    assert_eq!(step.next_at, None);
}

#[test]
fn payloads_and_answers_are_shown_only_when_asked_for() {
    let text = "unknown create: POST crm /contacts\n done create#2\n completed";
    let hidden = serde_json::to_string(&view(RunState::Completed, None, text, Payloads::Hidden)).unwrap();
    assert!(!hidden.contains("jane@example.com") && !hidden.contains("fine"), "{hidden}");
    assert!(hidden.contains("\"output_bytes\":6") && hidden.contains("\"status\":503"), "{hidden}");
    let shown = serde_json::to_string(&view(RunState::Completed, None, text, Payloads::Shown)).unwrap();
    assert!(shown.contains("jane@example.com") && shown.contains(r#""output":"\"fine\"""#), "{shown}");
}

#[test]
fn a_view_never_tells_the_seed_of_the_keys() {
    let mut run = run(RunState::Completed, None, &[]);
    run.key_seed = bowline_model::KeySeed(0xdead_beef_dead_beef_dead_beef_dead_beef);
    let json = serde_json::to_string(&RunView::of(&run, None, &[], Payloads::Shown)).unwrap();
    assert!(!json.contains("seed") && !json.contains(&run.key_seed.0.to_string()), "{json}");
}

#[test]
fn a_view_survives_the_way_to_the_command_line() {
    let text = "failed create: POST crm /contacts\n refused create\n value now\n dead create\n retry 2";
    let view = view(RunState::Queued, None, text, Payloads::Shown);
    let json = serde_json::to_string(&view).unwrap();
    assert_eq!(serde_json::from_str::<RunView>(&json).unwrap(), view);
}

#[test]
fn a_long_journal_shows_its_end_and_says_what_is_left_out() {
    let text = "value now\n".repeat(ITEMS_MAX + 3);
    let view = view(RunState::Running, None, &text, Payloads::Hidden);
    assert_eq!((view.timeline.len(), view.left_out), (ITEMS_MAX, 3));
}
