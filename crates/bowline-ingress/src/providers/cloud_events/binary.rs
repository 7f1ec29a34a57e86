//! The binary form: attributes in headers, data as the body. Made into the JSON form, so that all events are kept alike.
//!
//! <https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode>

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::json;
use crate::{RawRequest, Rejection};

const PREFIX: &str = "ce-";
/// Most attributes of one event, extensions included.
const ATTRIBUTES_MAX: usize = 64;

#[derive(Serialize)]
struct Event<'a> {
    #[serde(flatten)]
    attributes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// The event in the JSON form.
pub(super) fn to_json(request: &RawRequest<'_>, media_type: &str) -> Result<Bytes, Rejection> {
    let mut attributes = attributes(request)?;
    if attributes.is_empty() {
        return Err(Rejection::unroutable(
            "there are no ce- headers, and the content type is no CloudEvents one; send application/cloudevents+json, \
             or the attributes as headers",
        ));
    }
    if !media_type.is_empty() {
        attributes.insert("datacontenttype".to_owned(), media_type.to_owned());
    }
    let mut event = Event { attributes, data: None, data_base64: None };
    match request.body.as_ref() {
        [] => {}
        // Without a type it is JSON, says the specification.
        body if media_type.is_empty() || is_json(media_type) => {
            json::check(body)?;
            let data = serde_json::from_slice(body);
            event.data = Some(Data::Json(data.map_err(|_| Rejection::unroutable("the data is not JSON"))?));
        }
        body => match std::str::from_utf8(body) {
            Ok(text) if is_text(media_type) => event.data = Some(Data::Text(text)),
            Ok(_) | Err(_) => event.data_base64 = Some(STANDARD.encode(body)),
        },
    }
    Ok(serde_json::to_vec(&event).expect("texts encode as JSON").into())
}

fn attributes(request: &RawRequest<'_>) -> Result<BTreeMap<String, String>, Rejection> {
    let mut attributes = BTreeMap::new();
    for (name, value) in request.headers {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        // Names of attributes are letters and digits; `data` is none.
        let is_name = attribute.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !is_name || attribute.is_empty() || attribute == "data" {
            return Err(Rejection::unroutable(format!("{name} is no attribute of an event")));
        }
        let value = percent_encoding::percent_decode(value.as_bytes()).decode_utf8();
        let value = value.map_err(|_| Rejection::unroutable(format!("{name} is not UTF-8")))?;
        if attributes.insert(attribute.to_owned(), value.into_owned()).is_some() {
            return Err(Rejection::unroutable(format!("{name} header came twice; send it once")));
        }
    }
    if attributes.len() > ATTRIBUTES_MAX {
        let count = attributes.len();
        return Err(Rejection::unroutable(format!(
            "the event has {count} attributes (limit {ATTRIBUTES_MAX})"
        )));
    }
    Ok(attributes)
}

fn is_json(media_type: &str) -> bool {
    let media_type = media_type.to_ascii_lowercase();
    media_type.ends_with("/json") || media_type.ends_with("+json")
}

fn is_text(media_type: &str) -> bool {
    let media_type = media_type.to_ascii_lowercase();
    media_type.starts_with("text/") || media_type.ends_with("/xml") || media_type.ends_with("+xml")
}
