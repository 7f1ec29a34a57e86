//! What several providers read of a JSON body, and write into one.

use axum::http::{HeaderName, HeaderValue};
use bowline_model::event::{InputError, part};
use bytes::Bytes;
use serde_json::{Map, Value, value::RawValue};
use sha2::{Digest, Sha256};

use crate::{Delivery, Named, Rejection, SignError, delivery::EVENTS_MAX};

/// The text or number that `pointer` leads to, as text; `None` if there is nothing, or `null`.
///
/// # Errors
/// [`Rejection::Unroutable`] if the body is not JSON, or has something else there. The reason quotes nothing of it.
pub(crate) fn text_at(body: &[u8], pointer: &str) -> Result<Option<String>, Rejection> {
    let found = match part(body, pointer) {
        Ok(found) => found.get(),
        Err(InputError::Missing { .. }) => return Ok(None),
        Err(InputError::NotJson(error)) => return Err(not_json(&error)),
    };
    match found.as_bytes() {
        b"null" => Ok(None),
        [b'"', ..] => serde_json::from_str(found).map(Some).map_err(|_| not_text(pointer)),
        [b'-' | b'0'..=b'9', ..] => Ok(Some(found.to_owned())),
        _an_object_an_array_or_a_truth => Err(not_text(pointer)),
    }
}

/// Whether the body is JSON, however deep.
///
/// # Errors
/// [`Rejection::Unroutable`], which quotes nothing of it.
pub(crate) fn check(body: &[u8]) -> Result<(), Rejection> {
    match part(body, "") {
        Ok(_json) => Ok(()),
        Err(InputError::NotJson(error)) => Err(not_json(&error)),
        Err(InputError::Missing { .. }) => unreachable!("the whole body is always there"),
    }
}

/// The items of the array that `pointer` leads to, each as its text in the body; an object is an array of itself.
///
/// # Errors
/// [`Rejection::Unroutable`] if the body is not JSON, or has something else there; [`Rejection::TooMany`].
pub(crate) fn items_at<'a>(body: &'a [u8], pointer: &str) -> Result<Vec<&'a RawValue>, Rejection> {
    let found = match part(body, pointer) {
        Ok(found) => found,
        Err(InputError::Missing { .. }) => {
            return Err(Rejection::unroutable(format!(
                "the body has nothing at {pointer:?}; expected an array"
            )));
        }
        Err(InputError::NotJson(error)) => return Err(not_json(&error)),
    };
    match found.get().as_bytes().first() {
        Some(b'[') => {}
        Some(b'{') => return Ok(vec![found]),
        _other => {
            return Err(Rejection::unroutable(format!("what the body has at {pointer:?} is not an array")));
        }
    }
    let items: Vec<&RawValue> = serde_json::from_str(found.get()).map_err(|error| not_json(&error))?;
    match items.len() {
        events if events > EVENTS_MAX => Err(Rejection::TooMany { events, events_max: EVENTS_MAX }),
        _few => Ok(items),
    }
}

/// The body without what the pointers lead to; as it is if nothing is there, or if it is not JSON.
pub(crate) fn without(body: &Bytes, pointers: &[&str]) -> Bytes {
    if pointers.iter().all(|pointer| part(body, pointer).is_err()) {
        return body.clone();
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return body.clone() };
    for pointer in pointers {
        let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
        if let Some(Value::Object(object)) = value.pointer_mut(parent) {
            object.remove(&name.replace("~1", "/").replace("~0", "~"));
        }
    }
    value.to_string().into()
}

fn not_text(pointer: &str) -> Rejection {
    Rejection::unroutable(format!("what the body has at {pointer} is not text"))
}

/// Says where, and quotes nothing: it must not reach a log.
fn not_json(error: &serde_json::Error) -> Rejection {
    let problem = if error.is_eof() { "it ends too early" } else { "it does not parse" };
    let (line, column) = (error.line(), error.column());
    Rejection::unroutable(format!("the body is not JSON: {problem}, at line {line} column {column}"))
}

/// Puts `value` where `pointer` leads, into objects made on the way.
pub(crate) fn put(into: &mut Value, pointer: &str, value: Value) {
    let mut place = into;
    for name in pointer.split('/').skip(1) {
        let name = name.replace("~1", "/").replace("~0", "~");
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(object) = place else { unreachable!("made one just now") };
        place = object.entry(name).or_insert(Value::Null);
    }
    *place = value;
}

/// The events with `.action` behind their types, where their bodies have one at that pointer.
pub(crate) fn with_action(mut delivery: Delivery, pointer: &str) -> Delivery {
    if let Delivery::Events(events) = &mut delivery {
        for event in events {
            // One that is no text says nothing of the type.
            if let Ok(Some(action)) = text_at(&event.body, pointer) {
                event.envelope.kind = format!("{}.{action}", event.envelope.kind);
            }
        }
    }
    delivery
}

/// The body that [`with_action`] names as that event: `body` makes it without the action.
pub(crate) fn body_with_action(
    event: &Named<'_>,
    pointer: &str,
    body: impl FnOnce(&Named<'_>) -> Value,
) -> Value {
    let (kind, action) =
        event.kind.split_once('.').map_or((event.kind, None), |(kind, action)| (kind, Some(action)));
    let mut body = body(&Named { id: event.id, kind });
    if let (Some(action), true) = (action, body.is_object()) {
        put(&mut body, pointer, action.into());
    }
    body
}

/// The id of an event that is signed by hand: the same for the same body.
pub fn id_of(body: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(body).into();
    let (first, _) = digest.split_first_chunk().expect("32 bytes are more than 16");
    uuid::Builder::from_random_bytes(*first).into_uuid().to_string()
}

/// A header as text.
pub(crate) fn header(
    provider: &'static str,
    name: &str,
    value: impl AsRef<[u8]>,
) -> Result<(HeaderName, HeaderValue), SignError> {
    let parsed = HeaderName::try_from(name);
    let name = parsed.map_err(|_| SignError::new(provider, format!("{name:?} is no header's name")))?;
    let mut value = HeaderValue::from_bytes(value.as_ref())
        .map_err(|_| SignError::new(provider, format!("what belongs into {name} is no header's value")))?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_texts_or_numbers() {
        let body = br#"{"a": "x\u00e9", "b": [17, -1.5], "n": null, "t": true, "o": {}}"#;
        assert_eq!(text_at(body, "/a").unwrap().as_deref(), Some("xé"));
        assert_eq!(text_at(body, "/b/0").unwrap().as_deref(), Some("17"));
        assert_eq!(text_at(body, "/b/1").unwrap().as_deref(), Some("-1.5"));
        assert_eq!((text_at(body, "/n").unwrap(), text_at(body, "/x/y").unwrap()), (None, None));
        for other in ["/t", "/o", "/b", ""] {
            assert!(text_at(body, other).unwrap_err().to_string().contains("is not text"), "{other}");
        }
        assert!(text_at(b"{", "/a").unwrap_err().to_string().contains("ends too early"));
        assert!(text_at(br#""\ud800""#, "").unwrap_err().to_string().contains("is not text"));
    }

    #[test]
    fn what_is_put_is_found() {
        let mut body = Value::Null;
        put(&mut body, "/data/a~1b", json!(1));
        put(&mut body, "/id", json!("x"));
        assert_eq!(body, json!({"data": {"a/b": 1}, "id": "x"}));
        put(&mut body, "", json!(2));
        assert_eq!(body, json!(2));
    }
}
