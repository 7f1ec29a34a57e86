//! What can be wrong with a body.

use serde_json::{Value, json};

use crate::rng::Rng;

type Spoil = fn(&mut Rng, &Value) -> Vec<u8>;

const WAYS: [(&str, Spoil); 12] = [
    ("JSON cut off", |rng, body| {
        let text = body.to_string();
        text.as_bytes()[..rng.below(text.len())].to_vec()
    }),
    ("JSON and more", |rng, body| {
        let more = [&b" x"[..], b"{}", b"\0", b",", b"]", b"}", b"\xef\xbb\xbf"];
        [body.to_string().as_bytes(), rng.pick(&more)].concat()
    }),
    ("JSON not UTF-8", |rng, body| {
        let mut text = body.to_string().into_bytes();
        text.insert(rng.below(text.len()), 0x80 | rng.next() as u8);
        text
    }),
    ("bytes", |rng, _| {
        let count = rng.below(300);
        rng.bytes(count)
    }),
    ("nothing", |rng, _| rng.pick(&[&b""[..], b" ", b"\r\n", b"\0"]).to_vec()),
    ("nested", |rng, _| {
        let depth = 1 + rng.below(20_000);
        let (open, close) = if rng.one_in(2) { ("[", "]") } else { ("{\"a\":", "}") };
        let inner = if rng.one_in(2) { "1".to_owned() + &close.repeat(depth) } else { String::new() };
        (open.repeat(depth) + &inner).into_bytes()
    }),
    ("another type", |rng, _| value(rng).to_string().into_bytes()),
    ("member lost", |rng, body| {
        let mut body = body.clone();
        change(rng, &mut body, |_, object, name| {
            object.remove(name);
        });
        body.to_string().into_bytes()
    }),
    ("member of another type", |rng, body| {
        let mut body = body.clone();
        change(rng, &mut body, |rng, object, name| {
            object.insert(name.to_owned(), value(rng));
        });
        body.to_string().into_bytes()
    }),
    ("member twice", |rng, body| {
        let mut names: Vec<String> = vec!["a".into()];
        names.extend(body.as_object().into_iter().flatten().map(|(name, _)| name.clone()));
        let name = &names[rng.below(names.len())];
        let text = body.to_string();
        format!("{},{}:{}}}", text.trim_end_matches('}'), json!(name), value(rng)).into_bytes()
    }),
    ("odd numbers and texts", |rng, body| {
        let odd = [
            "1e999",
            "-0",
            "0123",
            "+1",
            ".5",
            "NaN",
            "1E+",
            "\"\\ud800\"",
            "\"\\u0000\"",
            "'a'",
            "\"\t\"",
            "tru",
        ];
        let text = body.to_string();
        let known = ["2000", "\"Ada\"", "true", "null", "-0.0015"];
        text.replacen(rng.pick(&known), rng.pick(&odd), 1).into_bytes()
    }),
    ("too large", |rng, body| {
        let text = body.to_string();
        let pad = 64 * 1024 - text.len() + rng.below(200);
        (text + &" ".repeat(pad)).into_bytes()
    }),
];

/// The body with one thing wrong, and what that is.
pub(crate) fn spoilt(rng: &mut Rng, body: &Value) -> (&'static str, Vec<u8>) {
    let (what, spoil) = WAYS[rng.below(WAYS.len())];
    (what, spoil(rng, body))
}

/// Any JSON.
fn value(rng: &mut Rng) -> Value {
    match rng.below(9) {
        0 => Value::Null,
        1 => json!(rng.one_in(2)),
        2 => json!(rng.next()),
        3 => json!(""),
        4 => json!("x".repeat(rng.below(2000))),
        5 => json!("tab\tnul\0 escape\u{1b}[31m \u{202e} \u{1f5a4}"),
        6 => json!([value(rng)]),
        7 => json!({"id": value(rng), "type": value(rng), "email": value(rng)}),
        _ => json!({}),
    }
}

/// Changes a member of some object of the body.
fn change(
    rng: &mut Rng,
    body: &mut Value,
    how: impl FnOnce(&mut Rng, &mut serde_json::Map<String, Value>, &str),
) {
    let Value::Object(object) = body else { return };
    let names: Vec<String> = object.keys().cloned().collect();
    if names.is_empty() {
        return;
    }
    let name = &names[rng.below(names.len())];
    let inner = object.get_mut(name).filter(|inner| inner.is_object());
    match inner {
        Some(inner) if rng.one_in(2) => {
            let mut names: Vec<String> =
                inner.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
            if let (Some(name), Some(object)) = (names.pop(), inner.as_object_mut()) {
                how(rng, object, &name);
            }
        }
        Some(_) | None => how(rng, object, name),
    }
}
