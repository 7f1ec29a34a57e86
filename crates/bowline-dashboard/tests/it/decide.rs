use bowline_dashboard::commands::{Keys, Moment, Operator, Outcome, discard, fork, replay, retry, settle};
use bowline_model::{
    BuildId, DeadReason, EntryKey, EntryKind, EventId, Family, KeySeed, RunId, RunState, Seq,
    generation::Generations,
};

use crate::journal::{START, build, journal, key, run};

fn kim() -> Operator {
    Operator { who: Some("kim".to_owned()), why: Some("the CRM is back".to_owned()) }
}

fn moment() -> Moment {
    Moment { now: START, build: build() }
}

/// The entries that a retry of a dead letter with that journal forgets.
#[track_caller]
fn check_forgets(reason: DeadReason, text: &str, expect: &[i64]) {
    let journal = journal(text);
    let run = run(RunState::DeadLettered, Some(reason), &journal);
    let operation = retry::decide(&run, &journal, &kim(), &moment()).unwrap();
    let [entry] = &operation.entries[..] else { panic!("one entry: {operation:?}") };
    let forgets: Vec<i64> = entry.meta.forgets.iter().map(|seq| seq.0).collect();
    assert_eq!(forgets, expect, "{text}");
}

#[test]
fn a_retry_forgets_the_failure_that_ended_the_run_and_no_success() {
    check_forgets(DeadReason::Failed, "done a\n refused b\n dead b", &[2]);
    check_forgets(DeadReason::Failed, "unknown b\n done c\n value now\n dead b", &[1]);
}

#[test]
fn a_failure_that_the_code_handled_before_stays_handled() {
    check_forgets(DeadReason::Failed, "refused guess\n refused create\n dead create", &[2]);
    check_forgets(DeadReason::Failed, "refused guess\n done list\n refused create\n dead create", &[3]);
}

#[test]
fn failures_after_the_one_that_ended_the_run_are_forgotten_too() {
    check_forgets(
        DeadReason::Failed,
        "refused create\n done log\n unknown alert\n failed alert\n dead create",
        &[1, 3],
    );
}

#[test]
fn equal_names_are_told_apart_by_scope_and_position() {
    check_forgets(DeadReason::Failed, "refused sync\n refused sync#2\n dead sync#2", &[2]);
    check_forgets(DeadReason::Failed, "refused 1/sync\n refused 2/sync[x]\n dead 2/sync[x]", &[2]);
}

#[test]
fn an_error_that_came_from_no_step_forgets_the_failures_at_the_end() {
    check_forgets(DeadReason::Failed, "refused a\n done b\n refused c\n unknown d\n dead", &[3, 4]);
    check_forgets(DeadReason::Failed, "done b\n refused c\n value now\n dead", &[2]);
    check_forgets(DeadReason::Failed, "refused a\n done b\n dead", &[]);
    check_forgets(DeadReason::Panicked, "refused a\n dead", &[1]);
}

#[test]
fn a_second_retry_looks_only_at_what_still_counts() {
    check_forgets(DeadReason::Failed, "refused b\n dead b\n retry 1\n refused b\n dead b", &[4]);
    check_forgets(DeadReason::Failed, "refused a\n dead a\n retry 1\n done a\n refused b\n dead b", &[5]);
    check_forgets(DeadReason::Failed, "refused a\n dead\n retry 1\n dead", &[]);
}

#[test]
fn the_last_dead_letter_names_the_cause() {
    check_forgets(DeadReason::Failed, "refused a\n dead a\n retry\n refused b\n dead b", &[4]);
}

#[test]
fn a_run_that_was_parked_for_no_error_of_its_code_forgets_nothing() {
    for reason in [
        DeadReason::Malformed,
        DeadReason::Mismatch,
        DeadReason::Poison,
        DeadReason::Stale,
        DeadReason::Limit,
        DeadReason::UnknownWorkflow,
    ] {
        check_forgets(reason, "done a\n refused handled\n started b\n dead", &[]);
        check_forgets(reason, "dead", &[]);
    }
    check_forgets(DeadReason::Limit, "done a\n refused b\n dead b", &[2]);
}

#[test]
fn a_retry_is_a_note_and_a_queued_run_under_compare_and_set() {
    let journal = journal("refused b\n dead b");
    let run = run(RunState::DeadLettered, Some(DeadReason::Failed), &journal);
    let operation = retry::decide(&run, &journal, &kim(), &moment()).unwrap();
    assert_eq!((operation.run, operation.expect, operation.to), (run.id, run.state, RunState::Queued));
    assert_eq!((operation.expect_journal_len, operation.now), (2, START));
    let entry = &operation.entries[0];
    assert_eq!((entry.seq, entry.kind, &entry.key), (Seq(3), EntryKind::OperatorRetry, &EntryKey::run()));
    assert_eq!(entry.meta.note.as_deref(), Some("retried by kim: the CRM is back"));
}

#[test]
fn a_note_is_cut_between_characters() {
    let operator = Operator { who: Some("é".repeat(1000)), why: None };
    let run = run(RunState::DeadLettered, None, &[]);
    let operation = discard::decide(&run, &operator, &moment()).unwrap();
    let note = operation.entries[0].meta.note.clone().unwrap();
    assert!((498..=500).contains(&note.len()), "{}", note.len());
}

#[test]
fn only_a_dead_letter_is_retried_or_discarded_and_the_hint_says_what_to_use() {
    for (state, expect) in [
        (RunState::Queued, "run 7 is queued, not a dead letter | it goes on by itself"),
        (RunState::Running, "run 7 is running, not a dead letter | it goes on by itself"),
        (RunState::Waiting, "run 7 is waiting, not a dead letter | it goes on by itself"),
        (RunState::Completed, "run 7 is completed, not a dead letter | it has ended; `replay 7`"),
        (RunState::Cancelled, "run 7 is cancelled, not a dead letter | it has ended; `replay 7`"),
    ] {
        let run = run(state, None, &[]);
        let retry = retry::decide(&run, &[], &kim(), &moment()).unwrap_err();
        let discard = discard::decide(&run, &kim(), &moment()).unwrap_err();
        for error in [retry, discard] {
            let said = format!("{error} | {}", error.hint().unwrap());
            assert!(said.starts_with(expect), "{said}");
        }
    }
}

#[test]
fn a_discard_ends_the_run_and_says_who_and_why() {
    let journal = journal("refused b\n dead b");
    let run = run(RunState::DeadLettered, Some(DeadReason::Failed), &journal);
    let operation = discard::decide(&run, &kim(), &moment()).unwrap();
    assert_eq!((operation.expect, operation.to), (RunState::DeadLettered, RunState::Cancelled));
    assert_eq!(operation.expect_journal_len, 2);
    let entry = &operation.entries[0];
    assert_eq!((entry.seq, entry.kind), (Seq(3), EntryKind::Cancelled));
    assert_eq!(entry.meta.note.as_deref(), Some("discarded by kim: the CRM is back"));
}

fn decide_replay(state: RunState, text: &str, keys: Keys) -> replay::Decision {
    let journal = journal(text);
    let run = run(state, None, &journal);
    replay::decide(&run, &journal, keys, KeySeed(99), &Moment { now: START, build: BuildId::from("2") })
        .unwrap()
}

#[test]
fn a_replay_is_a_run_like_the_old_one_under_new_keys() {
    let decision = decide_replay(RunState::Completed, "completed", Keys::New);
    assert_eq!((decision.event, decision.run.replay_of), (EventId(5), Some(RunId(7))));
    assert_eq!((decision.run.key_seed, decision.run.priority), (KeySeed(99), 3));
    assert_eq!((decision.run.workflow.as_str(), decision.run.build.as_str()), ("stripe-to-crm", "2"));
}

#[test]
fn a_replay_with_the_same_keys_copies_the_seed() {
    let run = decide_replay(RunState::DeadLettered, "dead", Keys::Same).run;
    assert_eq!((run.key_seed, run.journal), (KeySeed(77), vec![]));
}

#[test]
fn a_replay_with_the_same_keys_inherits_the_generations_that_retries_made() {
    let text = "refused b\n dead b\n retry 1\n done b\n completed";
    let run = decide_replay(RunState::Completed, text, Keys::Same).run;
    let [entry] = &run.journal[..] else { panic!("one entry: {run:?}") };
    assert_eq!((entry.seq, entry.kind), (Seq(1), EntryKind::Inherited));
    let generations = Generations::read(&run.journal);
    assert_eq!(generations.get(&key("b")).generation, 1);
    assert_eq!(decide_replay(RunState::Completed, text, Keys::New).run.journal, vec![]);
}

#[test]
fn a_replay_names_what_will_happen_again() {
    let journal = "done guess: GET agify /\n done create: POST crm /contacts\n unknown mail: POST mail /send
        refused bill: POST pay /charges\n value now\n done hash\n dead bill\n retry 4\n done bill: POST pay /charges
        completed";
    let repeats = decide_replay(RunState::Completed, journal, Keys::New).repeats;
    let lines: Vec<_> = repeats.iter().map(|r| (r.step.as_str(), r.call.as_deref(), r.happened)).collect();
    assert_eq!(
        lines,
        [
            ("create", Some("POST crm /contacts"), true),
            ("mail", Some("POST mail /send"), false),
            ("hash", None, true),
            ("bill", Some("POST pay /charges"), true),
        ]
    );
}

#[test]
fn a_run_that_has_not_ended_is_not_replayed_beside_itself() {
    for state in [RunState::Queued, RunState::Running, RunState::Waiting] {
        let error =
            replay::decide(&run(state, None, &[]), &[], Keys::New, KeySeed(1), &moment()).unwrap_err();
        assert_eq!(error.to_string(), format!("run 7 is {state}: it has not ended yet"));
    }
}

fn settled(
    reason: DeadReason,
    text: &str,
    step: &str,
    outcome: &Outcome,
) -> Result<bowline_model::Entry, String> {
    let journal = journal(text);
    let run = run(RunState::DeadLettered, Some(reason), &journal);
    let operation = settle::decide(&run, &journal, step, outcome, &kim(), &moment());
    let mut operation =
        operation.map_err(|error| format!("{error} | {}", error.hint().unwrap_or_default()))?;
    assert_eq!((operation.expect, operation.to), (RunState::DeadLettered, RunState::Queued));
    Ok(operation.entries.pop().unwrap())
}

fn done() -> Outcome {
    Outcome::Done(serde_json::json!({"id": 17}))
}

#[test]
fn an_unknown_outcome_is_settled_in_one_entry_that_takes_the_failure_back() {
    let text = "done a\n unknown create: POST crm /contacts\n refused alert\n dead create";
    let entry = settled(DeadReason::Failed, text, "create", &done()).unwrap();
    assert_eq!((entry.kind, &entry.key, entry.seq), (EntryKind::Settled, &key("create"), Seq(5)));
    assert_eq!(entry.meta.forgets, [Seq(2), Seq(3)]);
    assert_eq!(entry.payload.unwrap().as_bytes().as_ref(), br#"{"id":17}"#);
    assert_eq!(entry.meta.fingerprint.unwrap().path, "/contacts", "compared with what the code asks");
    assert_eq!(entry.meta.note.as_deref(), Some("settled as done by kim: the CRM is back"));
    let not = settled(DeadReason::Failed, text, "create", &Outcome::NotDone).unwrap();
    assert_eq!((not.payload, not.meta.forgets.len()), (None, 2));
}

#[test]
fn what_was_begun_and_has_no_outcome_can_be_settled_too() {
    for text in ["done a\n started create\n dead create", "inflight create\n dead create"] {
        let entry = settled(DeadReason::Stale, text, "create", &done()).unwrap();
        assert_eq!((&entry.key, entry.meta.forgets.len()), (&key("create"), 0), "{text}");
    }
    let scoped = settled(
        DeadReason::Stale,
        "started items/7/sync[x]\n dead items/7/sync[x]",
        "items/7/sync[x]",
        &done(),
    );
    assert_eq!(scoped.unwrap().key, key("items/7/sync[x]"));
}

#[test]
fn what_the_code_went_on_without_and_stopped_at_later_can_be_settled() {
    let text = "started charge\n unknown mail\n dropped charge\n dead mail\n retry 2\n stale charge";
    let mut journal = journal(text);
    journal[2].meta.unknown_since = Some(journal[2].at);
    let run = run(RunState::DeadLettered, Some(DeadReason::Stale), &journal);
    let operation = settle::decide(&run, &journal, "charge", &done(), &kim(), &moment()).unwrap();
    assert_eq!(operation.entries[0].key, key("charge"));
}

#[test]
fn what_is_known_or_was_never_sent_is_not_settled() {
    for (text, step, expect) in [
        ("done a\n unknown b\n dead b", "a", "run 7: what became of the step \"a\" is known"),
        (
            "refused b\n dead b",
            "b",
            "is known, or nothing of it was sent | nothing of it is unknown; `retry 7`",
        ),
        ("unknown guess\n done a\n refused b\n dead b", "guess", "is known"),
        ("unknown b\n dropped b\n refused c\n dead c", "b", "is known"),
        ("unknown b\n dead b", "c", "run 7 has no step \"c\" | unknown is what became of \"b\""),
    ] {
        let said = settled(DeadReason::Failed, text, step, &done()).unwrap_err();
        assert!(said.contains(expect), "{said}");
    }
    let run = run(RunState::Waiting, None, &[]);
    let said = settle::decide(&run, &[], "a", &done(), &kim(), &moment()).unwrap_err();
    assert_eq!(said.to_string(), "run 7 is waiting, not a dead letter");
}

#[test]
fn what_a_remote_will_not_undo_is_settled_by_who_undid_it() {
    let text = "done hotel\n undoable hotel\n undoing\n notundone hotel\n dead";
    let undone = Outcome::Done(serde_json::json!(null));
    let entry = settled(DeadReason::Undo, text, "undo of hotel", &undone).unwrap();
    assert_eq!((entry.key.family, entry.key.name.as_str()), (Family::Undo, "hotel"));
    let known = text.replace("notundone", "undone");
    assert!(settled(DeadReason::Undo, &known, "undo of hotel", &undone).unwrap_err().contains("is known"));
}

#[test]
fn a_settlement_can_be_replaced_until_the_code_goes_on_from_it() {
    let first = "unknown b\n dead b\n settled b 1 1";
    let entry = settled(DeadReason::Mismatch, &format!("{first}\n dead b"), "b", &done()).unwrap();
    assert_eq!(entry.meta.forgets, [Seq(3)]);
    let said = settled(DeadReason::Failed, &format!("{first}\n done c\n refused d\n dead d"), "b", &done());
    assert!(said.unwrap_err().contains("is known"));
}

#[test]
fn what_was_settled_as_not_done_goes_under_a_new_key_and_consents_to_nothing_else() {
    let read = |text: &str| Generations::read(&journal(text));
    let begun = "inflight a\n inflight b\n stale a\n";
    let not_done = read(&format!("{begun} settled a"));
    assert_eq!((not_done.get(&key("a")).generation, not_done.get(&key("a")).unknown_since), (1, None));
    assert!(not_done.get(&key("b")).unknown_since.is_some());
    let done = read(&format!("{begun} settled b 1"));
    assert_eq!((done.get(&key("b")).generation, done.get(&key("b")).unknown_since), (0, None));
    let stale = done.get(&key("a"));
    assert!(stale.unknown_since.is_some() && !stale.consented, "nobody looked at it");
}

#[test]
fn a_replay_repeats_what_was_settled_as_done_and_not_what_was_settled_as_not_done() {
    let text = "unknown a\n dead a\n settled a 1\n unknown b\n dead b\n settled b\n dead b";
    let journal = journal(text);
    let run = run(RunState::DeadLettered, Some(DeadReason::Failed), &journal);
    let decision = replay::decide(&run, &journal, Keys::New, KeySeed(1), &moment()).unwrap();
    let repeats: Vec<_> =
        decision.repeats.iter().map(|repeat| (repeat.step.as_str(), repeat.happened)).collect();
    assert_eq!(repeats, [("a", true)]);
}

#[test]
fn a_settled_value_has_a_limit() {
    let text = "unknown a\n dead a";
    let of = |bytes: usize| Outcome::Done(serde_json::Value::String("x".repeat(bytes - 2)));
    assert!(settled(DeadReason::Failed, text, "a", &of(settle::VALUE_BYTES_MAX)).is_ok());
    let said = settled(DeadReason::Failed, text, "a", &of(settle::VALUE_BYTES_MAX + 1)).unwrap_err();
    assert!(said.contains("the value has 1048577 bytes; a settled one has at most 1048576"), "{said}");
}

#[test]
fn a_fork_takes_what_counts_before_the_step_under_new_keys_and_names_the_rest() {
    let text = "done a\n refused b\n dead b\n retry 2\n done b\n done c: POST crm /c\n done read: GET crm /r";
    let journal = journal(text);
    let run = run(RunState::Completed, None, &journal);
    let forked = |from: &str| fork::decide(&run, &journal, from, KeySeed(99), "why".to_owned(), &moment());
    let decision = forked("c").unwrap();
    assert_eq!((decision.run.key_seed, decision.run.replay_of), (KeySeed(99), Some(run.id)));
    let kinds: Vec<_> = decision.run.journal.iter().map(|entry| entry.kind).collect();
    assert_eq!(
        kinds,
        [
            EntryKind::Inherited,
            EntryKind::StepDone,
            EntryKind::StepRefused,
            EntryKind::OperatorRetry,
            EntryKind::StepDone
        ]
    );
    assert_eq!(decision.run.journal[3].meta.forgets, [Seq(3)], "the refusal has another place");
    let repeats: Vec<_> = decision.repeats.iter().map(|repeat| repeat.step.as_str()).collect();
    assert_eq!(repeats, ["c"], "reading again changes nothing");
    let said = forked("d").unwrap_err();
    assert_eq!(said.to_string(), "run 7 recorded nothing of a step \"d\"");
}

#[test]
fn a_fork_takes_outcomes_and_none_of_the_old_runs_attempts() {
    let journal = journal("failed a\n inflight a\n done a\n failed read: GET crm /r\n done c\n completed");
    let run = run(RunState::Completed, None, &journal);
    let decision = fork::decide(&run, &journal, "c", KeySeed(99), "why".to_owned(), &moment()).unwrap();
    let kinds: Vec<_> = decision.run.journal.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Inherited, EntryKind::StepDone], "how often it tries is its own");
}
