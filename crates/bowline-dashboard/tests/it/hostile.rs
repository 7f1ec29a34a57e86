//! Runs whose every text was chosen by somebody who means harm, or does not care.

use std::time::Duration;

use bowline_model::{CallFailure, Clock, DeadReason, Failure, Payload, RunId, SystemClock};
use bowline_store::Transition;

use crate::{journal::journal, server::Server};

/// Markup that would run, in every place where one could get out of.
pub(crate) const SCRIPT: &str =
    r#"</p></script><script>alert('x')</script>"'><img src=x onerror="alert(1)">{{7*7}}"#;
/// Text that reads backwards, hides, and colours a terminal.
pub(crate) const PAINT: &str = "\u{202e}tnemyap\u{2066}\u{200b}\u{1b}[2J\u{0}";

/// One word that fits on no screen.
fn long(letter: &str) -> String {
    letter.repeat(512)
}

/// A dead letter, hostile from its workflow's name to the remote's answer.
pub(crate) async fn dead(server: &Server) -> RunId {
    let workflow = format!("{SCRIPT}{PAINT}{}", "w".repeat(512 - SCRIPT.len() - PAINT.len()));
    let kind = format!("{SCRIPT}{PAINT}{}", long("k"));
    let body = format!("{{\"html\":{:?},\"word\":\"{}\"}}", SCRIPT, long("b"));
    let run = server.accept_event(&workflow, &kind, &body).await;
    let name = format!("{}{}", SCRIPT.replace([':', '/', '['], "."), long("s"));
    let path = long("/p");
    let text = format!(
        "value now\n done paid: POST crm {path}\n failed {name}: POST crm /x\n refused {name}: POST crm /x\n dead {name}"
    );
    let mut entries = journal(&text);
    let call = CallFailure {
        api: SCRIPT.to_owned(),
        method: "POST".to_owned(),
        path: long("/a"),
        status: Some(503),
        request_id: Some(format!("{SCRIPT}{}", long("r"))),
        body: Some(format!("{SCRIPT}{PAINT}{}", long("y"))),
        code: Some(format!("{SCRIPT}{PAINT}{}", long("c"))),
        ..CallFailure::default()
    };
    let failure = Failure::refused(format!("{SCRIPT}{PAINT}{}", long("m"))).call(call);
    for entry in &mut entries {
        if entry.meta.failure.is_some() {
            entry.meta.failure = Some(failure.clone());
        }
        if entry.payload.is_some() {
            entry.payload = Some(Payload::encode(&[SCRIPT, PAINT, &long("v")]).unwrap());
        }
    }
    let summary = format!("`{SCRIPT}` {PAINT}{}", "z".repeat(300));
    server.end(run, &workflow, entries, Transition::DeadLetter { reason: DeadReason::Stale, summary }).await;
    run
}

/// A run that waits for its next attempt.
pub(crate) async fn waiting(server: &Server) -> RunId {
    let run = server.accept("w").await;
    let due = Some(SystemClock.now() + Duration::from_secs(3600));
    let entries = journal("done list\n failed create: POST crm /contacts");
    server.end(run, "w", entries, Transition::Wait { due, seen: None }).await;
    run
}
