//! Each line against the same line of `tracing_subscriber`'s own JSON form, which users' tools know.

use std::sync::{Arc, Mutex};

use bowline_model::Secret;
use serde_json::{Value, json};
use tracing_subscriber::{fmt, layer::SubscriberExt};

use super::*;

/// Where a test's lines go.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn raw(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines as values, without their times.
    fn read(&self) -> Vec<Value> {
        let read = |line: &str| {
            let mut value: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let time = value.as_object_mut().unwrap().remove("timestamp").unwrap();
            let time = time.as_str().unwrap();
            assert!(time.len() == 27 && time.parse::<Timestamp>().is_ok(), "{time}");
            value
        };
        self.raw().lines().map(read).collect()
    }
}

/// Lines of ours, and of `tracing_subscriber`'s own.
fn both(log: impl FnOnce()) -> (Lines, Lines) {
    let (ours, theirs) = (Lines::default(), Lines::default());
    let known = fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(theirs.clone());
    let subscriber = tracing_subscriber::registry().with(JsonLines::new(ours.clone())).with(known);
    tracing::subscriber::with_default(subscriber, log);
    (ours, theirs)
}

#[track_caller]
fn same(log: impl FnOnce()) -> Vec<Value> {
    let (ours, theirs) = both(log);
    let lines = ours.read();
    assert_eq!(lines, theirs.read());
    lines
}

#[test]
fn an_event_is_a_line_with_its_fields_beside_the_message() {
    let lines = same(|| {
        tracing::info!("stopped");
        tracing::warn!(runs = 3_u64, left = -2_i64, share = 0.5_f64, whole = 1.0_f64, ok = true, "half way");
        tracing::error!(error = %"no such contact", list = ?[1, 2], text = "a", "failed");
        tracing::debug!(only = "fields");
    });
    assert_eq!(
        lines[1],
        json!({
            "level": "WARN", "message": "half way", "target": "bowline::logs::json::tests",
            "runs": 3, "left": -2, "share": 0.5, "whole": 1.0, "ok": true,
        })
    );
    assert_eq!(lines[2]["list"], "[1, 2]");
    assert!(lines[0].get("spans").is_none());
}

#[test]
fn spans_come_outermost_first_with_their_fields_and_names() {
    let lines = same(|| {
        let run = tracing::info_span!("run", run = %17, workflow = "stripe-to-crm").entered();
        tracing::info_span!("step", step = "create \"contact\"", attempt = 1)
            .in_scope(|| tracing::info!("sent"));
        tracing::info!("run completed");
        drop(run);
        tracing::info_span!("engine").in_scope(|| tracing::info!("idle"));
        tracing::info!("outside");
    });
    assert_eq!(
        lines[0]["spans"],
        json!([
            {"run": "17", "workflow": "stripe-to-crm", "name": "run"},
            {"step": "create \"contact\"", "attempt": 1, "name": "step"}
        ])
    );
    assert_eq!(lines[2]["spans"], json!([{"name": "engine"}]));
}

#[test]
fn a_span_that_has_no_parent_stands_alone() {
    let lines = same(|| {
        let _engine = tracing::info_span!("engine").entered();
        tracing::info_span!(parent: None, "run", run = 17).in_scope(|| tracing::info!("begun"));
    });
    assert_eq!(lines[0]["spans"], json!([{"run": 17, "name": "run"}]));
}

#[test]
fn an_event_with_a_parent_of_its_own_shows_that_one() {
    let (ours, _) = both(|| {
        let run = tracing::info_span!("run", run = 17);
        let _engine = tracing::info_span!("engine").entered();
        tracing::info!(parent: &run, "begun");
    });
    assert_eq!(ours.read()[0]["spans"], json!([{"run": 17, "name": "run"}]));
}

#[test]
fn fields_recorded_later_are_added_and_replace_earlier_ones() {
    let lines = same(|| {
        let span = tracing::info_span!("call", state = "sent", status = tracing::field::Empty);
        let _in = span.enter();
        tracing::info!("one");
        span.record("status", 201);
        tracing::info!("two");
        span.record("state", "do\"ne");
        tracing::info!("three");
        let empty = tracing::info_span!("empty", late = tracing::field::Empty);
        empty.record("late", true);
        empty.in_scope(|| tracing::info!("four"));
    });
    assert_eq!(lines[0]["spans"], json!([{"state": "sent", "name": "call"}]));
    assert_eq!(lines[2]["spans"], json!([{"state": "do\"ne", "status": 201, "name": "call"}]));
    assert_eq!(lines[3]["spans"][1], json!({"late": true, "name": "empty"}));
}

#[test]
fn whatever_a_text_holds_it_stays_one_line_of_json() {
    let mut evil: String = (0..=0x2100_u32).filter_map(char::from_u32).collect();
    evil.push_str("\u{2028}\u{2029}\u{1f980}\\\"\"}\n{\"level\":\"INFO\"");
    let (ours, _) = both(|| {
        let _in = tracing::info_span!("in", text = %evil, debug = ?evil).entered();
        tracing::info!(text = evil.as_str(), shown = %evil, debug = ?evil, "{evil}");
    });
    assert_eq!(ours.raw().lines().count(), 1);
    let line = &ours.read()[0];
    assert_eq!(line["message"], evil.as_str());
    assert_eq!((&line["text"], &line["shown"]), (&json!(evil), &json!(evil)));
    assert_eq!(line["debug"], format!("{evil:?}"));
    assert_eq!(line["spans"][0]["text"], evil.as_str());
}

#[test]
fn odd_values_are_as_they_were() {
    same(|| {
        tracing::info!(
            nan = f64::NAN,
            endless = f64::INFINITY,
            tiny = 1e-300,
            large = 1e300,
            negative = -0.0,
            most = u64::MAX,
            least = i64::MIN,
            wide = u128::MAX,
            "numbers"
        );
        tracing::info!(r#type = "keyword", "names");
        tracing::info!({ "name with \"quotes\"" = 1 }, "names");
        let error: Box<dyn std::error::Error> = "broken".into();
        tracing::error!(error = &*error, "an error as a value");
        tracing::info!(some = Some(1), none = None::<u64>, "options");
    });
}

#[test]
fn a_record_of_the_log_crate_has_the_target_of_who_wrote_it() {
    let (ours, _) = both(|| {
        tracing::warn!(
            target: "log",
            { log.target = "rustls::conn", log.module_path = "rustls", log.line = 7_u64 },
            "a certificate is odd"
        );
    });
    assert_eq!(
        ours.read(),
        [json!({"level": "WARN", "message": "a certificate is odd", "target": "rustls::conn"})]
    );
}

#[test]
fn a_secret_is_shown_as_one() {
    let (ours, _) = both(|| {
        let key = Secret::new("sk_live_51");
        let _in = tracing::info_span!("call", key = %key, again = ?key).entered();
        tracing::info!(key = %key, again = ?Some(&key), "sent");
    });
    assert!(!ours.raw().contains("sk_live"), "{}", ours.raw());
    assert_eq!(ours.read()[0]["key"], "[secret]");
}

#[test]
fn a_value_that_fails_or_panics_while_it_is_shown_spoils_no_line() {
    struct Broken;
    impl std::fmt::Debug for Broken {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("half")?;
            Err(std::fmt::Error)
        }
    }
    struct Panics;
    impl std::fmt::Debug for Panics {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("half")?;
            panic!("shown")
        }
    }
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(JsonLines::new(lines.clone()));
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(value = ?Broken, "broken");
        std::panic::catch_unwind(|| tracing::info!(value = ?Panics, "never")).unwrap_err();
        tracing::info!("after");
    });
    let read = lines.read();
    let messages: Vec<_> = read.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["broken", "after"]);
    assert_eq!(read[0]["value"], "half");
}

#[test]
fn times_have_microseconds_and_a_second_is_written_once() {
    let mut line = Line::default();
    for (nanos, shown) in [
        (1_795_341_600_000_001_999, "2026-11-22T10:00:00.000001Z"),
        (1_795_341_600_999_999_999, "2026-11-22T10:00:00.999999Z"),
        (1_795_341_601_000_000_000, "2026-11-22T10:00:01.000000Z"),
        (-1000, "1969-12-31T23:59:59.999999Z"),
        (0, "1970-01-01T00:00:00.000000Z"),
    ] {
        line.begin(Timestamp::from_nanosecond(nanos).unwrap(), "INFO");
        let json = String::from_utf8(line.json.clone()).unwrap();
        assert_eq!(json, format!("{{\"timestamp\":\"{shown}\",\"level\":\"INFO\","));
    }
}
