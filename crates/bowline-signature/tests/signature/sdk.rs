//! What senders' own libraries say: they judge what ours signs, and ours what they sign. Here: those that look at the URL,
//! the body's type or the time, or that answer; in `tests/peers/sdk.py` and `tests/peers/sdk.mjs`.

use std::{process::Command, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bowline_signature::{Request, Scheme, Signed, Unsigned, form};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    gauntlet::JSON,
    judges::{Judge, talk},
};

pub(crate) const URL: &str = "https://hooks.example.com/webhooks/in?tenant=7";
const OTHER_URL: &str = "https://hooks.example.com/webhooks/other?tenant=7";
/// Room for the time between this program and the library.
const MARGIN: Duration = Duration::from_secs(60);

/// A sender's library, and the scheme that is to agree with it.
pub(crate) struct Sdk {
    pub(crate) judge: Judge,
    /// As the peer's program knows it.
    pub(crate) name: &'static str,
    pub(crate) make: fn(&str) -> Box<dyn Scheme>,
    pub(crate) secrets: [&'static str; 2],
    pub(crate) content_type: &'static str,
    /// Genuine ones.
    pub(crate) bodies: &'static [&'static str],
    pub(crate) tampered_body: &'static str,
    pub(crate) past: Option<Duration>,
    pub(crate) future: Option<Duration>,
    pub(crate) signs_url: bool,
}

/// One request, and what is to be said of it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) secret: &'static str,
    pub(crate) url: String,
    pub(crate) content_type: &'static str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) now: Timestamp,
    pub(crate) accepted: bool,
}

/// What the library answers to a row.
pub(crate) struct Said {
    pub(crate) accepted: bool,
    pub(crate) signed: Option<HeaderMap>,
    pub(crate) answer: Value,
}

impl Sdk {
    /// A program that has the library; else the reason for which the test is skipped.
    pub(crate) fn find(&self) -> Result<Command, String> {
        self.judge.program("sdk", &[self.name])
    }

    /// A request that our scheme signed then, as it will be judged at `now`.
    pub(crate) fn row(&self, name: &str, body: &str, signed_at: Timestamp, now: Timestamp) -> Row {
        let secret = self.secrets[0];
        let unsigned = Unsigned {
            method: "POST",
            url: Some(URL),
            id: "evt_1",
            content_type: self.content_type,
            body: body.as_bytes(),
        };
        let Signed { headers, body } = (self.make)(secret).sign(&unsigned, signed_at).unwrap();
        let headers: HeaderMap = headers.into_iter().collect();
        let (name, url, content_type) = (format!("{}: {name}", self.name), URL.to_owned(), self.content_type);
        Row { name, secret, url, content_type, headers, body, now, accepted: true }
    }

    /// Every way in which a request can be whole or spoilt.
    fn table(&self, now: Timestamp) -> Vec<Row> {
        let whole = |name: &str| self.row(name, self.bodies[0], now, now);
        let refused = |row: Row| Row { accepted: false, ..row };
        let mut rows: Vec<Row> =
            self.bodies.iter().map(|body| self.row(&format!("whole, {body}"), body, now, now)).collect();
        let tampered = self.tampered_body.as_bytes().to_vec();
        rows.push(refused(Row { body: tampered, ..whole("tampered body") }));
        rows.push(refused(Row { secret: self.secrets[1], ..whole("wrong secret") }));
        rows.push(refused(Row { headers: HeaderMap::new(), ..whole("without its headers") }));
        let other = Row { url: OTHER_URL.to_owned(), ..whole("sent elsewhere") };
        rows.push(Row { accepted: !self.signs_url, ..other });
        let first = (self.make)(self.secrets[0]).headers().remove(0);
        let mut spoilt = whole("signature of another body");
        let stranger = self.row("", self.tampered_body, now, now);
        spoilt.headers.insert(&first, stranger.headers[&first].clone());
        rows.push(refused(spoilt));
        if let Some(past) = self.past {
            rows.push(refused(self.row("stale", self.bodies[0], now - past - MARGIN, now)));
        }
        let ahead = now + self.future.unwrap_or_default() + MARGIN;
        rows.push(Row {
            accepted: self.future.is_none(),
            ..self.row("of the future", self.bodies[0], ahead, now)
        });
        rows
    }
}

/// Our scheme and the library say the same of what ours signs, whole and spoilt; and what the library signs is genuine
/// to ours.
#[expect(clippy::disallowed_methods, reason = "the libraries judge by the machine's clock")]
pub(crate) fn agrees(sdk: &Sdk, peer: Command, more: impl FnOnce(Timestamp) -> Vec<Row>) -> Vec<Said> {
    let now = Timestamp::now();
    let mut rows = sdk.table(now);
    rows.extend(more(now));
    let said = ask(peer, &rows);
    assert_eq!(said.len(), rows.len());
    for (row, said) in rows.iter().zip(&said) {
        assert_eq!(row.accepted, judge(sdk, row), "ours, {}", row.name);
        assert_eq!(row.accepted, said.accepted, "the library, {}", row.name);
        if let Some(headers) = &said.signed {
            let theirs = Row { headers: headers.clone(), ..row.clone() };
            assert!(judge(sdk, &theirs), "signed by the library, {}", row.name);
        }
    }
    said
}

fn judge(sdk: &Sdk, row: &Row) -> bool {
    let mut headers = row.headers.clone();
    headers.insert("content-type", HeaderValue::from_static(row.content_type));
    let request = Request { method: "POST", url: Some(&row.url), headers: &headers, body: &row.body };
    (sdk.make)(row.secret).verify(&request, row.now).is_ok()
}

/// One process answers all rows, one a line.
pub(crate) fn ask(peer: Command, rows: &[Row]) -> Vec<Said> {
    let lines: String = rows.iter().map(|row| format!("{}\n", line(row))).collect();
    talk(peer, &lines).iter().map(|line| said(&serde_json::from_str(line).unwrap())).collect()
}

fn line(row: &Row) -> Value {
    let text = |value: &HeaderValue| json!(value.to_str().unwrap());
    let headers: Map<_, _> =
        row.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    json!({
        "secret": row.secret, "url": row.url, "headers": headers, "type": row.content_type,
        "body": STANDARD.encode(&row.body), "now": row.now.as_second(),
    })
}

fn said(line: &Value) -> Said {
    let header = |(name, value): (&String, &Value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value.as_str().unwrap()).unwrap())
    };
    let signed = line["signed"].as_object().map(|headers| headers.iter().map(header).collect());
    Said { accepted: line["said"] == "accepted", signed, answer: line["answer"].clone() }
}

/// Finds the library, or skips the test by name.
macro_rules! agree {
    ($name:literal, $sdk:expr) => {
        $crate::sdk::agree!($name, $sdk, |_now| vec![])
    };
    ($name:literal, $sdk:expr, $more:expr) => {
        match $sdk.find() {
            Ok(peer) => $crate::sdk::agrees($sdk, peer, $more),
            Err(reason) => $crate::skip!($name, reason),
        }
    };
}
pub(crate) use agree;

pub(crate) const FORM: &str = form::MEDIA_TYPE;
pub(crate) const JSON_BODIES: &[&str] =
    &[r#"{"id":"evt_1","name":"Zoë"}"#, r#"{"many":["a","b"],"emoji":"🪢"}"#];
pub(crate) const TAMPERED_JSON: &str = r#"{"id":"evt_2","name":"Zoë"}"#;
pub(crate) const JSON_TYPE: &str = JSON;
