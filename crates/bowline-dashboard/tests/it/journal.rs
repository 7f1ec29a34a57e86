//! Journals as text, one entry a line: `done create contact: POST crm /contacts`, `dead create contact`, `retry 2 3`.

use std::time::Duration;

use bowline_model::{
    BuildId, CallFailure, DeadReason, Entry, EntryKey, EntryKind, EntryMeta, Epoch, EventId, Failure, Family,
    Fingerprint, KeySeed, Payload, Position, Run, RunId, RunState, ScopePath, Seq, WorkflowName,
};
use jiff::Timestamp;
use serde_json::json;

/// When all runs here were accepted: 2026-11-22 10:00:00 UTC.
pub(crate) const START: Timestamp = Timestamp::constant(1_795_341_600, 0);

/// One entry a line, each 100 ms after the one before.
pub(crate) fn journal(text: &str) -> Vec<Entry> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.zip(1..).map(|(line, seq)| entry(line, seq)).collect()
}

fn entry(line: &str, seq: i64) -> Entry {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (name, call) = rest.split_once(": ").unwrap_or((rest, ""));
    if let Some(entry) = beside(word, rest, seq) {
        return entry;
    }
    let kind = kind(word);
    let mut meta = EntryMeta { fingerprint: fingerprint(call), ..EntryMeta::default() };
    let mut step = key(name);
    if kind == EntryKind::Settled {
        return settled(rest, seq);
    }
    let mut payload = None;
    match kind {
        EntryKind::StepDone | EntryKind::Value => payload = Some(Payload::encode("fine").unwrap()),
        EntryKind::StepRefused | EntryKind::StepUnknown => meta.failure = Some(failure(kind)),
        EntryKind::AttemptFailed => {
            meta.failure = Some(failure(kind));
            meta.next_at = Some(at(seq) + Duration::from_millis(500));
        }
        EntryKind::DeadLettered => {
            meta.failure = Some(Failure::refused("it ended badly"));
            meta.caused_by = (!name.is_empty()).then(|| key(name));
            step = EntryKey::run();
        }
        EntryKind::OperatorRetry => {
            meta.forgets = rest.split_whitespace().map(|seq| Seq(seq.parse().unwrap())).collect();
            step = EntryKey::run();
        }
        EntryKind::InFlight => meta.unknown_since = Some(at(seq)),
        EntryKind::Awaited => {
            step.family = Family::Message;
            meta.note = Some(format!("waits for {name}"));
        }
        _ => {}
    }
    if word == "mismatch" {
        meta = EntryMeta { note: Some(parted_text().to_owned()), ..EntryMeta::default() };
    }
    if word == "stale" {
        meta.note = Some(DeadReason::Stale.as_str().to_owned());
    }
    if kind.is_delivered() && kind != EntryKind::Value || kind == EntryKind::AttemptFailed {
        meta.attempts = 1;
        meta.first_sent = Some(at(seq) - Duration::from_millis(80));
    }
    Entry { seq: Seq(seq), kind, key: step, at: at(seq), build: build(), meta, payload }
}

/// What the engine says of a step that the code calls otherwise than the journal has it.
pub(crate) fn parted_text() -> &'static str {
    "step \"create\" recorded POST crm /contacts, the code now asks POST crm /people: the loop's order or the code changed; \
     add .key(id) to steps in a loop"
}

/// What is no step: loops, undos, and waits as the engine notes them.
///
/// `items sync 40 1 120 8` (done, dead, sum or `-`, limit), `itemdead sync/C-3 patch`, `looped sync 118 2`; `undoable flight`,
/// `undoing`, `undone flight`, `notundone flight`; `signal paid`, `sleeps nap`, `child pay`, `callback scanned`, `approval refund` (of kim).
fn beside(word: &str, rest: &str, seq: i64) -> Option<Entry> {
    let (first, others) = rest.split_once(' ').unwrap_or((rest, ""));
    let numbers: Vec<Option<u64>> = others.split(' ').map(|number| number.parse().ok()).collect();
    let of = |family| EntryKey { family, ..key(first) };
    let awaited = |family, note: &str| {
        let until = if family == Family::Child { None } else { Some(at(seq) + Duration::from_secs(3600)) };
        let meta = EntryMeta { note: Some(note.to_owned()), next_at: until, ..EntryMeta::default() };
        (EntryKind::Awaited, of(family), meta, None)
    };
    let noted = |note: &str| EntryMeta { note: Some(note.to_owned()), ..EntryMeta::default() };
    let (kind, key, meta, payload) = match word {
        "items" => {
            let (total, next) = (numbers[2], numbers[2].is_none().then(|| json!({ "page": 12 })));
            let pages = [json!({ "page": 3, "ended": { "upto": 0 } })];
            let note = json!({
                "done": numbers[0], "dead": numbers[1], "total": total, "limit": numbers[3], "pages": pages, "next": next,
            });
            (EntryKind::Items, of(Family::Branch), EntryMeta::default(), Some(note))
        }
        "looped" => {
            let summary = json!({ "done": numbers[0], "dead": numbers[1] });
            (EntryKind::Looped, of(Family::Branch), EntryMeta::default(), Some(summary))
        }
        "itemdead" => {
            let (looped, item) = first.split_once('/').unwrap();
            let scope = ScopePath::root().child(looped).child(item);
            let failure = Some(Failure::refused(format!("crm answered 422 to {item}")));
            let caused_by =
                (!others.is_empty()).then(|| EntryKey { scope: scope.clone(), ..self::key(others) });
            let meta = EntryMeta { failure, caused_by, ..EntryMeta::default() };
            let key = EntryKey { family: Family::Branch, scope, ..self::key(looped) };
            (EntryKind::ItemDead, key, meta, Some(json!({ "item": item })))
        }
        "undoable" => (EntryKind::Undo, of(Family::Undo), EntryMeta::default(), Some(json!({}))),
        "undone" => (EntryKind::StepDone, of(Family::Undo), EntryMeta::default(), Some(json!(null))),
        "notundone" => {
            let failure = Some(Failure::refused("crm answered 409 Conflict"));
            let meta = EntryMeta { failure, ..EntryMeta::default() };
            (EntryKind::StepRefused, of(Family::Undo), meta, None)
        }
        "undoing" => (EntryKind::Undoing, EntryKey::run(), noted("cancelled by kim"), None),
        "signal" => awaited(Family::Message, &format!("waits for signal {first}, at most 3600 s")),
        "callback" => awaited(Family::Message, &format!("waits for callback {first}, at most 3600 s")),
        "approval" => awaited(Family::Message, &format!("waits for approval {first} by kim, at most 3600 s")),
        "child" => awaited(Family::Child, &format!("waits for child {first} (input 0011223344556677)")),
        "sleeps" => awaited(Family::Timer, "sleeps 3600 s"),
        _ => return None,
    };
    let payload = payload.map(|payload| Payload::encode(&payload).unwrap());
    Some(Entry { seq: Seq(seq), kind, key, at: at(seq), build: build(), meta, payload })
}

/// `settled create contact 1 2`: as done, its value 1, and entry 2 forgotten; without numbers: as not done
fn settled(rest: &str, seq: i64) -> Entry {
    let mut words: Vec<&str> = rest.split_whitespace().collect();
    let first_number = words.iter().position(|word| word.parse::<i64>().is_ok()).unwrap_or(words.len());
    let numbers: Vec<i64> = words.split_off(first_number).iter().map(|word| word.parse().unwrap()).collect();
    let payload = numbers.first().map(|value| Payload::encode(value).unwrap());
    let forgets = numbers.iter().skip(1).map(|seq| Seq(*seq)).collect();
    let meta = EntryMeta { forgets, ..EntryMeta::default() };
    let key = key(&words.join(" "));
    Entry { seq: Seq(seq), kind: EntryKind::Settled, key, at: at(seq), build: build(), meta, payload }
}

fn kind(word: &str) -> EntryKind {
    match word {
        "done" => EntryKind::StepDone,
        "refused" => EntryKind::StepRefused,
        "unknown" => EntryKind::StepUnknown,
        "value" => EntryKind::Value,
        "failed" => EntryKind::AttemptFailed,
        "started" => EntryKind::Started,
        "dropped" => EntryKind::Dropped,
        "retry" => EntryKind::OperatorRetry,
        "awaited" => EntryKind::Awaited,
        "inflight" => EntryKind::InFlight,
        "settled" => EntryKind::Settled,
        "dead" | "stale" | "mismatch" => EntryKind::DeadLettered,
        "completed" => EntryKind::Completed,
        "cancelled" => EntryKind::Cancelled,
        "continued" => EntryKind::Continued,
        other => panic!("no kind is written {other:?}"),
    }
}

/// `sync`, `sync#2`, `items/7/sync[17]`
pub(crate) fn key(text: &str) -> EntryKey {
    let (scope, name) = text.rsplit_once('/').unwrap_or(("", text));
    let (name, position) = if let Some((name, key)) = name.split_once('[') {
        (name, Position::Key(key.trim_end_matches(']').to_owned()))
    } else if let Some((name, nth)) = name.split_once('#') {
        (name, Position::Nth(nth.parse().unwrap()))
    } else {
        (name, Position::Nth(1))
    };
    EntryKey { family: Family::Step, scope: scope_path(scope), name: name.to_owned(), position }
}

/// `items/7`
fn scope_path(text: &str) -> ScopePath {
    text.split('/').filter(|name| !name.is_empty()).fold(ScopePath::root(), |scope, name| scope.child(name))
}

fn fingerprint(call: &str) -> Option<Fingerprint> {
    let mut words = call.split_whitespace();
    Some(Fingerprint {
        method: words.next()?.to_owned(),
        api: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        query: String::new(),
        body: "00112233aabbccdd".to_owned(),
    })
}

fn failure(kind: EntryKind) -> Failure {
    let call = CallFailure {
        api: "crm".to_owned(),
        method: "POST".to_owned(),
        path: "/contacts".to_owned(),
        status: Some(503),
        request_id: Some("req_7".to_owned()),
        body: Some("jane@example.com is busy".to_owned()),
        ..CallFailure::default()
    };
    match kind {
        EntryKind::StepUnknown => Failure::unknown("crm did not answer within 10 s").call(call),
        _ => Failure::refused("crm answered 503 Service Unavailable").call(call),
    }
}

fn at(seq: i64) -> Timestamp {
    START + Duration::from_millis(100) * u32::try_from(seq).unwrap()
}

pub(crate) fn build() -> BuildId {
    BuildId::from("1.0.0+abc")
}

pub(crate) fn run(state: RunState, reason: Option<DeadReason>, journal: &[Entry]) -> Run {
    Run {
        id: RunId(7),
        event: EventId(5),
        workflow: WorkflowName::from("stripe-to-crm"),
        key: None,
        priority: 3,
        parent: None,
        replay_of: None,
        build: build(),
        state,
        due: None,
        owner: None,
        epoch: Epoch(4),
        key_seed: KeySeed(77),
        crashes: 0,
        crashes_alone: 0,
        journal_len: i64::try_from(journal.len()).unwrap(),
        created_at: START,
        claimed_at: None,
        unsure_since: None,
        changed_at: START,
        dead_reason: reason,
        summary: None,
    }
}
