use std::sync::Arc;

use bowline_model::{CallFailure, Certainty};

use super::*;
use crate::{read::Json, scrub::Scrub};

/// What a verdict says, in one word.
fn word<T>(verdict: &Verdict<T>) -> (&'static str, Option<&Failure>) {
    match verdict {
        Verdict::Done(_) => ("done", None),
        Verdict::RetryAfter(failure) => ("later", Some(failure)),
        Verdict::Wait { .. } => ("wait", None),
        Verdict::Refused(failure) => ("no", Some(failure)),
        Verdict::Unknown(failure) if failure.retryable => ("unknown", Some(failure)),
        Verdict::Unknown(failure) => ("unknown for good", Some(failure)),
    }
}

struct Case<'a> {
    method: Method,
    attempt: u32,
    keyed: bool,
    headers: &'a [(&'static str, &'a str)],
    body: &'a str,
}

const POST: Case<'static> = Case { method: Method::POST, attempt: 1, keyed: true, headers: &[], body: "" };

fn asked<'a>(case: &'a Case<'_>) -> Asked<'a> {
    Asked {
        api: "crm",
        method: &case.method,
        path: "/contacts".into(),
        host: "crm.example".into(),
        keyed: case.keyed,
        attempt: case.attempt,
        timeout: Duration::from_millis(2500),
        credentials: Some("CRM_API_KEY".into()),
        scrub: Arc::default(),
        now: Timestamp::UNIX_EPOCH,
    }
}

/// Certainty and verdict agree.
fn agreed(verdict: Verdict<serde_json::Value>) -> Verdict<serde_json::Value> {
    if let (word, Some(failure)) = word(&verdict) {
        let refused = matches!(word, "later" | "no");
        assert_eq!(
            failure.certainty == Certainty::Refused,
            refused,
            "certainty and verdict agree: {failure:?}"
        );
        assert_eq!(failure.retryable, matches!(word, "later" | "unknown"), "{failure:?}");
        assert_eq!(failure.call.as_ref().map(|call| call.api.as_str()), Some("crm"));
    }
    verdict
}

fn unanswered(observed: Observed) -> Verdict<serde_json::Value> {
    agreed(judge_unanswered(&asked(&POST), &observed).map(|never| match never {}))
}

fn answered(case: &Case<'_>, status: u16, end: BodyEnd) -> Verdict<serde_json::Value> {
    let headers =
        case.headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let body = Bytes::from(case.body.to_owned());
    let url = "https://crm.example/contacts".parse().unwrap();
    agreed(judge(&asked(case), &Answer { status, headers, body, end, url }, &Json, |answer| {
        Json.good(answer, &Scrub::default())
    }))
}

fn status(case: &Case<'_>, status: u16) -> &'static str {
    word(&answered(case, status, BodyEnd::Complete)).0
}

fn message(verdict: &Verdict<serde_json::Value>) -> String {
    word(verdict).1.expect("a failure").to_string()
}

#[test]
fn every_status_has_its_verdict() {
    let json = Case { body: "{}", ..POST };
    for (codes, expected) in [
        (&[200, 201, 202, 207, 299][..], "done"),
        (&[408, 425, 429, 503, 529], "later"),
        (&[500, 502, 504, 507, 520, 522, 524, 599, 600, 999], "unknown"),
        (&[300, 301, 302, 303, 304, 307, 308], "no"),
        (
            &[
                400, 401, 402, 403, 404, 405, 406, 409, 410, 411, 412, 413, 415, 418, 422, 423, 424, 428,
                431, 451,
            ],
            "no",
        ),
        (&[100, 101, 501, 505], "no"),
    ] {
        for code in codes {
            assert_eq!(status(&json, *code), expected, "{code}");
        }
    }
}

#[test]
fn a_conflict_is_a_no_unless_an_earlier_attempt_may_be_behind_it() {
    let told = "{\"error\":\"Idempotent request in progress\"}";
    assert_eq!(status(&POST, 409), "no");
    assert_eq!(status(&Case { body: told, ..POST }, 409), "unknown");
    assert_eq!(status(&Case { headers: &[("retry-after", "1")], ..POST }, 409), "unknown");
    assert_eq!(status(&Case { body: told, keyed: false, ..POST }, 409), "no");
    assert_eq!(status(&Case { attempt: 2, ..POST }, 409), "unknown for good");
    assert_eq!(
        status(&Case { attempt: 2, method: Method::PUT, keyed: false, ..POST }, 412),
        "unknown for good"
    );
    assert_eq!(status(&Case { attempt: 2, method: Method::GET, keyed: false, ..POST }, 409), "no");
    for gone in [404, 410] {
        let delete = |attempt| Case { method: Method::DELETE, keyed: false, attempt, ..POST };
        assert_eq!(status(&delete(1), gone), "no");
        assert_eq!(status(&delete(2), gone), "unknown for good");
    }
}

#[test]
fn the_vendors_word_on_retries_wins() {
    for name in ["x-should-retry", "stripe-should-retry"] {
        let (yes, no) = ([(name, "true")], [(name, "False")]);
        for (code, plain, told_yes, told_no) in [
            (400, "no", "later", "no"),
            (409, "no", "later", "no"),
            (429, "later", "later", "no"),
            (500, "unknown", "unknown", "unknown for good"),
            (503, "later", "later", "no"),
        ] {
            assert_eq!(status(&POST, code), plain);
            assert_eq!(status(&Case { headers: &yes, ..POST }, code), told_yes, "{code} {name}");
            assert_eq!(status(&Case { headers: &no, ..POST }, code), told_no, "{code} {name}");
        }
        assert_eq!(status(&Case { headers: &[(name, "maybe")], ..POST }, 400), "no");
        assert_eq!(status(&Case { headers: &no, body: "{}", ..POST }, 200), "done");
    }
}

#[test]
fn a_forbidden_that_is_a_rate_limit_is_waited_for() {
    let limited: [&[(&str, &str)]; 2] = [&[("retry-after", "7")], &[("x-ratelimit-remaining", "0")]];
    for headers in limited {
        assert_eq!(status(&Case { headers, ..POST }, 403), "later");
    }
    assert_eq!(status(&Case { headers: &[("x-ratelimit-remaining", "12")], ..POST }, 403), "no");
}

#[test]
fn the_wait_a_remote_asks_for_reaches_the_schedule() {
    let asks = |name, value, code| {
        let verdict = answered(&Case { headers: &[(name, value)], ..POST }, code, BodyEnd::Complete);
        word(&verdict).1.expect("a failure").retry_after.map(|wait| wait.as_secs())
    };
    for code in [408, 409, 425, 429, 500, 502, 503, 504] {
        assert_eq!(asks("retry-after", "7", code), Some(7), "{code}");
    }
    assert_eq!(asks("x-ratelimit-reset", "9", 429), Some(9));
    assert_eq!(asks("x-ratelimit-reset", "9", 503), None);
    assert_eq!(asks("retry-after", "7", 400), None);
}

#[test]
fn what_nobody_answered_is_unknown_and_what_never_left_is_not() {
    let causes = || vec!["invalid peer certificate: Expired".to_owned()];
    let not_reached = unanswered(Observed::NotReached { causes: causes() });
    assert_eq!(word(&not_reached).0, "later");
    assert_eq!(
        message(&not_reached),
        "POST crm /contacts: no connection to crm.example: its certificate is not accepted: \
         invalid peer certificate: Expired"
    );
    assert_eq!(word(&unanswered(Observed::Lost { causes: causes() })).0, "unknown");
    let timed_out = unanswered(Observed::TimedOut);
    assert_eq!(word(&timed_out).0, "unknown");
    assert_eq!(message(&timed_out), "POST crm /contacts: no answer within 2.5 s");
}

#[test]
fn a_good_answer_that_cannot_be_used_did_happen() {
    for (body, headers, part) in [
        (
            "<!DOCTYPE html><title>Login</title>",
            &[][..],
            "is HTML where JSON was expected (\"<!DOCTYPE html>",
        ),
        ("sorry", &[("content-type", "text/html")], "is HTML where JSON was expected (\"sorry\")"),
        ("<?xml version=\"1.0\"?>", &[], "is XML or HTML"),
        ("\u{1f}", &[("content-encoding", "gzip")], "is encoded as gzip, which was not asked for"),
        ("{\"a\":", &[], "does not fit its type"),
    ] {
        let verdict = answered(&Case { body, headers, ..POST }, 200, BodyEnd::Complete);
        assert_eq!(word(&verdict).0, "unknown for good", "{body}");
        let told = message(&verdict);
        assert!(
            told.starts_with("POST crm /contacts answered 200, but its body ") && told.contains(part),
            "{told}"
        );
    }
    for (end, expected) in [
        (BodyEnd::TooLarge { bytes_max: 9 }, "unknown for good"),
        (BodyEnd::Broken { causes: vec![] }, "unknown"),
        (BodyEnd::TimedOut, "unknown"),
    ] {
        assert_eq!(word(&answered(&POST, 200, end.clone())).0, expected);
        // A refusal needs no body to be one.
        assert_eq!(word(&answered(&POST, 400, end)).0, "no");
    }
}

#[test]
fn a_failure_says_what_a_person_needs() {
    let case = Case { headers: &[("x-request-id", "req_7")], body: "{\"error\":\"bad key\"}", ..POST };
    let verdict = answered(&case, 401, BodyEnd::Complete);
    let told = message(&verdict);
    assert_eq!(
        told,
        "POST crm /contacts answered 401, saying \"bad key\": check the credential (CRM_API_KEY) and what it may do"
    );
    let call = word(&verdict).1.unwrap().call.clone().unwrap();
    assert_eq!(
        *call,
        CallFailure {
            api: "crm".into(),
            method: "POST".into(),
            path: "/contacts".into(),
            status: Some(401),
            detail: None,
            request_id: Some("req_7".into()),
            body: Some("{\"error\":\"bad key\"}".into()),
            code: None,
            attempt: 1,
        }
    );
    let long = "ü".repeat(BODY_EXCERPT_BYTES_MAX);
    let verdict = answered(&Case { body: &long, ..POST }, 400, BodyEnd::Complete);
    let kept = word(&verdict).1.unwrap().call.as_ref().unwrap().body.clone().unwrap();
    assert_eq!(kept.len(), BODY_EXCERPT_BYTES_MAX);
}

#[test]
fn a_redirect_is_told_by_its_host() {
    for (location, part) in [
        ("https://login.example/x?token=1", "a redirect to https://login.example, which is not followed"),
        ("http://crm.example/contacts", "a redirect to http://crm.example,"),
        ("https://crm.example:8443/", "a redirect to https://crm.example:8443,"),
        ("/v2/contacts", "a redirect on crm.example, which only GET and HEAD follow"),
        ("http://[", "a redirect that does not say where to"),
    ] {
        let verdict = answered(&Case { headers: &[("location", location)], ..POST }, 302, BodyEnd::Complete);
        let told = message(&verdict);
        assert!(told.contains(part) && !told.contains("token=1"), "{told}");
    }
}
