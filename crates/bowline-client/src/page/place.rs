//! Places in a JSON document, found and set without reading the rest of it.
//!
//! What is not asked for stays as it is written: numbers keep their digits, and nothing is built for it.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

/// Names of an object that are told when the one that was asked for is not there.
const NAMES_TOLD_MAX: usize = 12;

/// The fields of one object.
#[derive(Deserialize)]
struct Fields<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, &'a RawValue>);

/// What is at a path: `paging.next.after`, or `/paging/next/after` (RFC 6901). Where an object does not have the next
/// name, the whole rest is tried as one: `@odata.nextLink` is found. `""` is the document itself.
///
/// # Errors
/// Says what is there instead.
pub(crate) fn find<'a>(document: &'a RawValue, path: &str) -> Result<&'a RawValue, String> {
    let mut value = document;
    let names = names(path);
    let mut rest: &[Cow<'_, str>] = &names;
    while let Some((name, deeper)) = rest.split_first() {
        let within = || names[..names.len() - rest.len()].join(".");
        let mut fields = match serde_json::from_str::<Fields<'_>>(value.get()) {
            Ok(Fields(fields)) => fields,
            Err(_) => return Err(format!("has {} where {path:?} needs an object", what(value, &within()))),
        };
        if let Some(found) = fields.remove(name.as_ref()) {
            (value, rest) = (found, deeper);
        } else if let Some(found) = fields.remove(rest.join(".").as_str()) {
            return Ok(found);
        } else {
            return Err(format!("has nothing at {path:?}: {}", there(&fields, &within())));
        }
    }
    Ok(value)
}

/// The value at a path as text: a string, or a number; `None` for what stands for nothing: absent, `null`, `""`,
/// `false`.
///
/// # Errors
/// Says what is there instead.
pub(crate) fn text(document: &RawValue, path: &str) -> Result<Option<String>, String> {
    let Ok(value) = find(document, path) else { return Ok(None) };
    match value.get().as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(value.get()).expect("was read as JSON");
            Ok(Some(text).filter(|text| !text.is_empty()))
        }
        Some(b'n' | b'f') => Ok(None),
        Some(b'-' | b'0'..=b'9') => Ok(Some(value.get().to_owned())),
        _ => Err(format!("has {}, where a text or a number was expected", what(value, path))),
    }
}

/// The whole number at a path.
///
/// # Errors
/// Says what is there instead.
pub(crate) fn count(document: &RawValue, path: &str) -> Result<u64, String> {
    let value = find(document, path)?;
    let number = value.get().trim_matches('"').parse();
    number.map_err(|_| format!("has {}, where a whole number was expected", what(value, path)))
}

/// Whether what is at a path says yes: `true`; a text or number that is not empty, `"false"` or zero.
///
/// # Errors
/// Says what is there instead.
pub(crate) fn flag(document: &RawValue, path: &str) -> Result<bool, String> {
    let value = find(document, path)?;
    match value.get() {
        "true" => Ok(true),
        "false" | "null" | "0" | "\"\"" | "\"false\"" => Ok(false),
        text if text.starts_with(['{', '[']) => {
            Err(format!("has {}, where true or false was expected", what(value, path)))
        }
        _ => Ok(true),
    }
}

/// The elements of the array at a path; `null` is an empty one.
///
/// # Errors
/// Says what is there instead.
pub(crate) fn array<'a>(document: &'a RawValue, path: &str) -> Result<Vec<&'a RawValue>, String> {
    let value = find(document, path)?;
    if value.get() == "null" {
        return Ok(vec![]);
    }
    serde_json::from_str(value.get())
        .map_err(|_| format!("has {}, where the array of items was expected", what(value, path)))
}

/// The document with a text at that path; objects on the way are made where there are none.
///
/// # Errors
/// Says what stands in the way.
pub(crate) fn set(document: &RawValue, path: &str, text: &str) -> Result<Box<RawValue>, String> {
    set_at(document, &names(path), text)
        .map_err(|at| format!("the cursor goes into the body at {path:?}, but {at} is no object"))
}

fn set_at(value: &RawValue, names: &[Cow<'_, str>], text: &str) -> Result<Box<RawValue>, String> {
    let Some((name, deeper)) = names.split_first() else {
        return Ok(to_raw_value(text).expect("text is JSON"));
    };
    let at = || format!("what holds {name:?}");
    let json = if value.get() == "null" { "{}" } else { value.get() };
    let Fields(mut fields) = serde_json::from_str(json).map_err(|_| at())?;
    let inner = match fields.get(name.as_ref()) {
        Some(inner) => set_at(inner, deeper, text)?,
        None => set_at(RawValue::NULL, deeper, text)?,
    };
    fields.insert(name.clone(), &inner);
    to_raw_value(&fields).map_err(|_| at())
}

/// The names of a path, outermost first.
fn names(path: &str) -> Vec<Cow<'_, str>> {
    match path.strip_prefix('/') {
        Some(pointer) => {
            pointer.split('/').map(|name| name.replace("~1", "/").replace("~0", "~").into()).collect()
        }
        None if path.is_empty() => vec![],
        None => path.split('.').map(Cow::Borrowed).collect(),
    }
}

/// A value, for people: what it is, never what it holds.
fn what(value: &RawValue, place: &str) -> String {
    let kind = match value.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    };
    if place.is_empty() { format!("{kind} at the top") } else { format!("{kind} at {place:?}") }
}

fn there(fields: &BTreeMap<Cow<'_, str>, &RawValue>, within: &str) -> String {
    let place = if within.is_empty() { "there" } else { within };
    let names: Vec<&str> = fields.keys().take(NAMES_TOLD_MAX).map(AsRef::as_ref).collect();
    match (names.is_empty(), fields.len() > NAMES_TOLD_MAX) {
        (true, _) => format!("{place} is an empty object"),
        (false, false) => format!("{place} is {}", names.join(", ")),
        (false, true) => format!("{place} is {}, …", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    const BODY: &str = r#"{"data":{"items":[1,{"a":2}],"none":null,"last":12345678901234567890123},
        "@odata.nextLink":"https://a.example","a/b":{"c.d":true},"more":false,"total":"7"}"#;

    #[test]
    fn finds_what_a_path_leads_to_as_it_is_written() {
        let body = json(BODY);
        for (path, found) in [
            ("data.last", "12345678901234567890123"),
            ("/data/none", "null"),
            ("@odata.nextLink", "\"https://a.example\""),
            ("/a~1b/c.d", "true"),
            ("a/b.c.d", "true"),
        ] {
            assert_eq!(find(&body, path).unwrap().get(), found, "{path}");
        }
        assert_eq!(find(&body, "").unwrap().get(), BODY);
        assert_eq!(array(&json("[1, 2]"), "").unwrap().len(), 2);
        assert_eq!(array(&body, "data.none").unwrap().len(), 0);
    }

    #[test]
    fn says_what_is_there_instead() {
        let body = json(BODY);
        for (path, told) in [
            ("results", "has nothing at \"results\": there is @odata.nextLink, a/b, data, more, total"),
            ("data.results", "has nothing at \"data.results\": data is items, last, none"),
            ("data.items.x", "has an array at \"data.items\" where \"data.items.x\" needs an object"),
            ("data", "has an object at \"data\", where the array of items was expected"),
        ] {
            assert_eq!(array(&body, path).unwrap_err(), told, "{path}");
        }
        assert_eq!(array(&json("{}"), "x").unwrap_err(), "has nothing at \"x\": there is an empty object");
        assert!(array(&json("7"), "x").unwrap_err().contains("a number at the top"));
    }

    #[test]
    fn a_cursor_is_a_text_a_number_or_nothing() {
        let body = json(r#"{"a":"x","b":17,"c":null,"d":"","e":false,"f":{},"g":true}"#);
        for (path, cursor) in
            [("a", Some("x")), ("b", Some("17")), ("c", None), ("d", None), ("e", None), ("x.y", None)]
        {
            assert_eq!(text(&body, path).unwrap().as_deref(), cursor, "{path}");
        }
        assert!(text(&body, "f").unwrap_err().contains("an object at \"f\""));
        assert!(text(&body, "g").is_err());
        assert_eq!((flag(&body, "g"), flag(&body, "e"), flag(&body, "c")), (Ok(true), Ok(false), Ok(false)));
        assert!(flag(&body, "x").is_err() && flag(&body, "f").is_err());
        assert_eq!((count(&json(BODY), "total"), count(&body, "b")), (Ok(7), Ok(17)));
        assert!(count(&body, "a").is_err());
    }

    #[test]
    fn sets_a_text_and_leaves_the_rest_as_it_was_written() {
        for (document, path, result) in [
            (
                r#"{"limit":1.50,"big":123456789012345678901}"#,
                "after",
                r#"{"after":"c\"1","big":123456789012345678901,"limit":1.50}"#,
            ),
            (r#"{"a":{"b":1}}"#, "a.after", r#"{"a":{"after":"c\"1","b":1}}"#),
            (r#"{}"#, "/a/b", r#"{"a":{"b":"c\"1"}}"#),
            (r#"{"after":null}"#, "after", r#"{"after":"c\"1"}"#),
        ] {
            assert_eq!(set(&json(document), path, "c\"1").unwrap().get(), result, "{document}");
        }
        assert!(set(&json("[]"), "after", "x").unwrap_err().contains("is no object"));
        assert!(set(&json(r#"{"a":1}"#), "a.b", "x").unwrap_err().contains("what holds \"b\""));
    }
}
