use bowline_dashboard::{
    RunView,
    commands::{BulkRetried, Discarded, Keys, Repeat, Replayed, Retried},
    view::RunList,
};
use bowline_model::RunId;
use serde_json::{Value, json};

use super::*;
use crate::cli::{Checked, Error};

#[track_caller]
fn check_text(text: &str, expect: &str) {
    assert_eq!(text, expect, "\n--- got\n{text}\n--- expected\n{expect}");
}

#[track_caller]
fn check_timeline(run: Value, timeline: Value, expect: &str) {
    let mut whole = json!({
        "id": 7, "workflow": "stripe-to-crm", "event": 5, "build": "1.0.0+abc",
        "created_at": "2026-11-22T10:00:00.123Z", "changed_at": "2026-11-22T10:00:00.123Z",
    });
    whole.as_object_mut().unwrap().extend(run.as_object().unwrap().clone());
    let event = json!({
        "id": 5, "source": "/webhooks/stripe", "provider": "stripe", "kind": "payment_intent.succeeded",
        "dedupe_key": "evt_1", "received_at": "2026-11-22T10:00:00.120Z", "body_bytes": 2134,
    });
    let view: RunView =
        serde_json::from_value(json!({ "run": whole, "event": event, "timeline": timeline })).unwrap();
    check_text(&super::timeline(&view, Paint::Plain), expect);
}

#[test]
fn a_timeline_shows_attempts_beneath_their_steps() {
    let busy = json!({
        "message": "POST crm /api/contacts: crm answered 503 Service Unavailable", "certainty": "refused", "retryable": true,
        "status": 503, "request_id": "req_7",
    });
    check_timeline(
        json!({ "state": "completed" }),
        json!([
            { "what": "step", "seq": 3, "name": "guess age", "kind": "step", "state": "done",
              "call": "GET agify /", "began_ms": 2, "ended_ms": 120, "attempts": 1, "output_bytes": 34 },
            { "what": "step", "seq": 4, "name": "now", "kind": "value", "state": "done",
              "began_ms": 121, "ended_ms": 121, "attempts": 0, "output_bytes": 26 },
            { "what": "step", "seq": 6, "name": "create contact", "kind": "step", "state": "done",
              "call": "POST crm /api/contacts", "began_ms": 122, "ended_ms": 2341, "attempts": 3,
              "output_bytes": 1834, "failed": [
                { "number": 1, "at_ms": 180, "failure": busy, "next_at": "2026-11-22T10:00:00.723Z" },
                { "number": 2, "at_ms": 800, "failure": busy, "next_at": "2026-11-22T10:00:02.123Z" },
              ] },
            { "what": "end", "seq": 7, "at_ms": 2341, "kind": "completed", "output_bytes": 1834 },
        ]),
        "\
run 7  stripe-to-crm  completed after 2.34 s
event 5  payment_intent.succeeded evt_1  from /webhooks/stripe, 2.1 kB
accepted 2026-11-22 10:00:00.123 UTC

  +0.002 s  ✓  guess age       GET agify /             118 ms    34 B
  +0.121 s  ✓  now             recorded value                    26 B
  +0.122 s  ✓  create contact  POST crm /api/contacts  2.21 s  1.8 kB
      ✗ attempt 1  +0.180 s  crm answered 503 Service Unavailable (request req_7); next after 420 ms
      ✗ attempt 2  +0.800 s  crm answered 503 Service Unavailable (request req_7); next after 1.20 s
      ✓ attempt 3  +2.341 s
  +2.341 s  ●  completed  1.8 kB
",
    );
}

#[test]
fn a_dead_letter_tells_why_and_what_can_be_done() {
    check_timeline(
        json!({ "state": "dead", "dead_reason": "failed", "summary": "crm answered 422" }),
        json!([
            { "what": "step", "seq": 1, "name": "create contact", "kind": "step", "state": "refused",
              "call": "POST crm /api/contacts", "began_ms": 2, "ended_ms": 52, "attempts": 1,
              "failure": { "message": "crm answered 422", "certainty": "refused", "retryable": false },
              "forgotten": true },
            { "what": "end", "seq": 2, "at_ms": 52, "kind": "dead_lettered", "text": "crm answered 422",
              "caused_by": "create contact" },
            { "what": "note", "seq": 3, "at_ms": 60_000, "kind": "operator_retry",
              "text": "retried by kim: mended" },
            { "what": "step", "seq": 4, "name": "create contact", "kind": "step", "state": "unknown",
              "call": "POST crm /api/contacts", "began_ms": 60_005, "ended_ms": 70_005, "attempts": 1,
              "failure": { "message": "crm did not answer within 10 s", "certainty": "unknown",
                           "retryable": true, "answer": "{\"email\":\n\"bad\"}" } },
            { "what": "end", "seq": 5, "at_ms": 70_005, "kind": "dead_lettered", "reason": "failed",
              "text": "crm did not answer within 10 s", "caused_by": "create contact" },
        ]),
        "\
run 7  stripe-to-crm  dead after 1 min 10 s
event 5  payment_intent.succeeded evt_1  from /webhooks/stripe, 2.1 kB
accepted 2026-11-22 10:00:00.123 UTC

     +0.002 s  ✗  create contact  POST crm /api/contacts    50 ms  forgotten by a retry
      ✗ crm answered 422
     +0.052 s  ✗  dead letter
      step create contact: crm answered 422
  +1 min 00 s  ↻  retried by kim: mended
  +1 min 00 s  ?  create contact  POST crm /api/contacts  10.00 s  may have happened
      ? crm did not answer within 10 s
        answer: {\"email\": \"bad\"}
  +1 min 10 s  ✗  dead letter (failed)
      step create contact: crm did not answer within 10 s

The workflow returned an error.
Mend the cause, here or at the remote; then let it go on.
`retry 7` lets it go on, `discard 7` closes it, `replay 7` runs it anew
",
    );
}

#[test]
fn a_run_that_waits_says_until_when() {
    check_timeline(
        json!({ "state": "waiting", "due": "2026-11-22T10:10:00Z", "replay_of": 3 }),
        json!([
            { "what": "step", "seq": 1, "name": "sync[17]", "kind": "step", "state": "retrying",
              "began_ms": 0, "attempts": 1, "next_at": "2026-11-22T10:10:00Z",
              "failed": [{ "number": 1, "at_ms": 9, "next_at": "2026-11-22T10:10:00Z" }] },
        ]),
        "\
run 7  stripe-to-crm  waiting
event 5  payment_intent.succeeded evt_1  from /webhooks/stripe, 2.1 kB
replay of run 3
accepted 2026-11-22 10:00:00.123 UTC

  +0.000 s  …  sync[17]
      ✗ attempt 1  +0.009 s  failed; next after 9 min 59 s
      … next at 2026-11-22 10:10:00.000 UTC
  … tries sync[17] again at 2026-11-22 10:10:00.000 UTC
",
    );
}

#[test]
fn what_a_remote_says_cannot_paint_over_the_terminal() {
    let view = json!({ "what": "end", "seq": 1, "at_ms": 1, "kind": "dead_lettered",
                       "text": "\u{1b}[2J\u{202e}gone\r\nrun 8 is fine" });
    check_timeline(
        json!({ "state": "queued" }),
        json!([view]),
        "\
run 7  stripe-to-crm  queued
event 5  payment_intent.succeeded evt_1  from /webhooks/stripe, 2.1 kB
accepted 2026-11-22 10:00:00.123 UTC

  +0.001 s  ✗  dead letter
      \u{fffd}[2J\u{fffd}gone  run 8 is fine
  … queued
",
    );
}

fn list() -> RunList {
    let row = |id: i64, state: &str, more: Value| {
        let mut row = json!({
            "id": id, "workflow": if id == 9 { "顧客を作る" } else { "stripe-to-crm" }, "state": state,
            "event": id - 2, "build": "1", "created_at": "2026-11-22T10:00:00Z",
            "changed_at": "2026-11-22T10:00:00Z",
        });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    serde_json::from_value(json!({ "next": 7, "runs": [
        row(12, "dead", json!({ "dead_reason": "unknown_workflow", "summary": "no\nsuch workflow" })),
        row(11, "waiting", json!({ "due": "2026-11-22T11:05:30Z", "crashes": 1 })),
        row(9, "completed", json!({ "replay_of": 4 })),
        row(8, "completed", json!({ "fork_of": { "run": 4, "from": "items/7/sync[17]" } })),
        row(7, "running", json!({})),
    ] }))
    .unwrap()
}

#[test]
fn a_list_fits_the_screen_and_never_loses_all_of_its_notes() {
    let now = "2026-11-22T11:05:00Z".parse().unwrap();
    for (screen, expect) in [
        (81, "unknown workflow: no such work…"),
        (40, "unknown workflow: no such work…"),
        (200, "unknown workflow: no such workflow"),
    ] {
        let text = runs(&list(), now, Some(screen), Paint::Plain);
        let line = text.lines().nth(1).unwrap();
        assert!(line.ends_with(expect), "{screen}: {text}");
        assert!(line.chars().count() <= screen.max(81), "{screen}: {text}");
    }
}

#[test]
fn a_list_of_runs_aligns_in_every_script() {
    let now = "2026-11-22T11:05:00Z".parse().unwrap();
    check_text(
        &runs(&list(), now, None, Paint::Plain),
        "\
RUN  STATE      WORKFLOW       EVENT         AGE
 12  dead       stripe-to-crm     10  1 h 05 min  unknown workflow: no such workflow
 11  waiting    stripe-to-crm      9  1 h 05 min  due in 30.00 s; crashes: 1
  9  completed  顧客を作る         7  1 h 05 min  replay of run 4
  8  completed  stripe-to-crm      6  1 h 05 min  fork of run 4 from items/7/sync[17]
  7  running    stripe-to-crm      5  1 h 05 min
older runs: --before 7
",
    );
}

#[test]
fn colour_changes_no_letter() {
    let now = "2026-11-22T11:05:00Z".parse().unwrap();
    let colour = runs(&list(), now, None, Paint::Colour);
    assert!(colour.contains("\u{1b}[31mdead\u{1b}[0m"), "{colour:?}");
    assert_eq!(anstream::adapter::strip_str(&colour).to_string(), runs(&list(), now, None, Paint::Plain));
}

#[test]
fn reports_say_what_will_happen() {
    let mut report = Retried { run: RunId(7), forgotten: vec!["create contact".to_owned()], kept: 1 };
    check_text(
        &retried(&report, Paint::Plain),
        "↻ run 7 is queued; tries again: create contact; 1 recorded outcome is kept\n",
    );
    report = Retried { forgotten: vec![], kept: 0, ..report };
    check_text(
        &retried(&report, Paint::Plain),
        "↻ run 7 is queued; it goes on where it stopped; there is no outcome to keep\n",
    );
    let bulk = BulkRetried {
        retried: vec![RunId(3), RunId(4)],
        failed: vec![bowline_dashboard::commands::Failed { run: RunId(5), error: "disk full".to_owned() }],
        more: true,
    };
    check_text(
        &bulk_retried(&bulk, Paint::Plain),
        "↻ 2 runs are queued\n✗ run 5: disk full\nthere are more: say it again\n",
    );
    let closed = Discarded { run: RunId(7), note: "discarded by kim: a test".to_owned(), undoing: false };
    check_text(&discarded(&closed, Paint::Plain), "– run 7 is closed: discarded by kim: a test\n");
}

#[test]
fn a_replay_names_what_it_repeats() {
    let repeat = |step: &str, call: Option<&str>, happened| Repeat {
        step: step.to_owned(),
        call: call.map(str::to_owned),
        happened,
    };
    let report = Replayed {
        run: RunId(7),
        new_run: RunId(12),
        keys: Keys::New,
        repeats: vec![
            repeat("create contact", Some("POST crm /api/contacts"), true),
            repeat("mail", Some("POST mail /send"), false),
            repeat("hash", None, true),
        ],
    };
    check_text(
        &replayed(&report, Paint::Plain),
        "\
↻ run 12 is queued: it runs the event of run 7 again
  under new idempotency keys; if the code still asks for it, this happens again:
    create contact  POST crm /api/contacts
    mail            POST mail /send         may have happened
    hash            code of your own
",
    );
}

#[test]
fn an_error_is_a_fact_and_a_hint() {
    let failed = Error::new("2 settings are missing:\n  A is not set\n  B is not set\u{7}").hint("set them");
    check_text(
        &error(&failed, Paint::Plain),
        "error: 2 settings are missing:\n  A is not set\n  B is not set\u{fffd}\n hint: set them\n",
    );
}

#[test]
fn checked_settings_align() {
    let settings = [
        Checked { name: "CRM_API_KEY".to_owned(), outcome: Err("is not set: the API key of crm".to_owned()) },
        Checked { name: "CRM_BASE_URL".to_owned(), outcome: Ok("is set".to_owned()) },
    ];
    check_text(
        &checked(&settings, Paint::Plain),
        "✗  CRM_API_KEY   is not set: the API key of crm\n✓  CRM_BASE_URL  is set\n",
    );
}

#[test]
fn a_loop_its_dead_items_and_an_undo_stand_beneath_the_timeline() {
    let view = json!({
        "run": { "id": 7, "workflow": "sync", "event": 5, "build": "1", "state": "dead",
                 "created_at": "2026-11-22T10:00:00Z", "changed_at": "2026-11-22T10:00:00Z" },
        "event": null, "timeline": [],
        "loops": [
            { "name": "contacts", "ended": true, "done": 4312, "dead": 22, "dead_items": (0..21).map(|n| json!({
                "item": format!("C-{n}\u{1b}[2J"), "why": "POST crm /c answered 422", "at": "2026-11-22T10:00:00Z",
                "step": "patch",
            })).collect::<Vec<_>>() },
            { "name": "clean", "ended": true, "done": 9, "dead": 0 },
        ],
        "undo": { "why": "", "undone": { "names": ["hotel"] }, "left": { "names": ["flight"], "more": 3 },
                  "kept": { "names": [] } },
    });
    let view: RunView = serde_json::from_value(view).unwrap();
    let text = super::timeline(&view, Paint::Plain);
    let lines: Vec<&str> = text.lines().skip(4).collect();
    assert_eq!(lines[0], "  loop contacts  4,312 done, 22 dead");
    assert_eq!(
        lines[1],
        "      ✗ C-0\u{fffd}[2J at patch  2026-11-22 10:00:00.000 UTC  POST crm /c answered 422"
    );
    assert_eq!(lines[21], "      and 2 more", "{text}");
    assert_eq!(
        lines[22..],
        [
            "  what it did is undone in part",
            "      undone: hotel",
            "      left to undo: flight, and 3 more",
            "",
            "`retry 7` runs just its 22 dead items again and lets it go on, `discard 7` closes it, `replay 7` runs it anew",
        ],
        "{text}"
    );
}

#[test]
fn runs_under_way_fit_do_not_or_nobody_can_tell() {
    use crate::cli::journals::{Fitted, Misfit, Tally};
    check_text(&fitted(&Fitted::default(), Paint::Plain), "no run is under way\n");
    let misfit =
        |run| Misfit { run: RunId(run), workflow: "ship".into(), why: "step \"a\"\u{1b} is gone".into() };
    let found = Fitted {
        workflows: [
            ("bill".into(), Tally { fit: 12, misfit: 0, unsure: 3 }),
            ("ship".into(), Tally { fit: 0, misfit: 1002, unsure: 0 }),
        ]
        .into(),
        misfits: vec![misfit(9), misfit(7)],
    };
    check_text(
        &fitted(&found, Paint::Plain),
        "\
WORKFLOW  FIT  DO NOT  ONLY A START TELLS
bill       12       0                   3
ship        0    1002                   0
✗ run 9 (ship): step \"a\"\u{fffd} is gone
✗ run 7 (ship): step \"a\"\u{fffd} is gone
and 1000 more
",
    );
    let error = crate::cli::journals::misfit(1002);
    assert_eq!(
        error.to_string(),
        "1002 runs under way do not fit this build: they would become dead letters"
    );
    assert!(error.hint_text().unwrap().contains("cx.changed"), "{error:?}");
}
