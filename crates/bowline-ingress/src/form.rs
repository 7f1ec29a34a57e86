//! Forms that providers send, as the JSON that is kept of them.

use axum::http::header::CONTENT_TYPE;
use bowline_signature::form;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{RawRequest, Rejection};

/// Whether the request says that its body is a form.
pub(crate) fn is_form(request: &RawRequest<'_>) -> bool {
    let value = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(form::MEDIA_TYPE)
}

/// A form (`application/x-www-form-urlencoded`) as a JSON object of its fields: texts, and an array of texts where a
/// field comes several times. Of at most [`form::FIELDS_MAX`] fields.
///
/// # Errors
/// [`Rejection::Unroutable`] if two readers could read it in two ways (see [`form`]), or if it has too many fields. The
/// reason quotes nothing of it.
pub fn to_json(body: &[u8]) -> Result<Bytes, Rejection> {
    let fields = form::fields(body).map_err(|error| Rejection::unroutable(error.to_string()))?;
    let mut object = Map::new();
    for (name, value) in fields {
        match object.get_mut(&name) {
            None => drop(object.insert(name, Value::String(value))),
            Some(Value::Array(values)) => values.push(Value::String(value)),
            Some(first) => *first = Value::Array(vec![first.take(), Value::String(value)]),
        }
    }
    Ok(Value::Object(object).to_string().into())
}

/// The form that [`to_json`] makes this object of; numbers and truths as texts. `None` if it is no object of such fields.
pub(crate) fn from_json(body: &[u8]) -> Option<Bytes> {
    let Ok(Value::Object(object)) = serde_json::from_slice(body) else { return None };
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in object {
        let values = match value {
            Value::Array(values) => values,
            one => vec![one],
        };
        for value in values {
            form.append_pair(&name, &text(value)?);
        }
    }
    Some(form.finish().into())
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &str) -> Value {
        serde_json::from_slice(&to_json(body.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_form_is_an_object_of_texts_and_of_arrays_where_a_field_repeats() {
        assert_eq!(
            read("a=1&b=x+y&a=2&c=%C3%A9&a=3&d="),
            json!({"a": ["1", "2", "3"], "b": "x y", "c": "é", "d": ""})
        );
        assert_eq!(read(""), json!({}));
        let refused = to_json(b"secret=%zz").unwrap_err().to_string();
        assert!(refused.contains("two hex digits") && !refused.contains("zz"), "{refused}");
    }

    #[test]
    fn what_is_made_a_form_is_the_same_again() {
        for object in [json!({"a": ["1", "2"], "b": "x y&=%é"}), json!({})] {
            let form = from_json(object.to_string().as_bytes()).unwrap();
            assert_eq!(read(std::str::from_utf8(&form).unwrap()), object);
        }
        assert_eq!(from_json(br#"{"n":1,"t":true}"#).unwrap(), "n=1&t=true");
        for other in ["[]", "1", r#"{"a":{}}"#, r#"{"a":null}"#, "{"] {
            assert_eq!(from_json(other.as_bytes()), None, "{other}");
        }
    }
}
