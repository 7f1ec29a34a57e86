//! Bodies in which a signature stands: JSON, read so that nobody else reads something else.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{CannotSign, Error};

/// An object of that form. A field that is named there and comes twice is an error: whoever reads the one and whoever
/// reads the other would not agree on what was signed. Everything else is skipped without being built.
pub(crate) fn object<'b, T: Deserialize<'b>>(json: &'b [u8], form: &'static str) -> Result<T, Error> {
    // serde also reads a struct from an array, field by field.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::BodyMalformed { problem: "is not a JSON object", form });
    }
    let problem = "is not JSON of the sender's form, or has a signed field twice";
    serde_json::from_slice(json).map_err(|_| Error::BodyMalformed { problem, form })
}

/// As [`object`], of a part.
pub(crate) fn part<'b, T: Deserialize<'b>>(json: &'b RawValue, form: &'static str) -> Result<T, Error> {
    object(json.get().as_bytes(), form)
}

/// A text, or a number as it is written.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Text<'b> {
    #[serde(borrow)]
    Text(Cow<'b, str>),
    Number(i64),
}

impl Text<'_> {
    pub(crate) fn into_string(self) -> String {
        match self {
            Self::Text(text) => text.into_owned(),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// The body that is to be signed.
pub(crate) fn unsigned(body: &[u8], form: &'static str) -> Result<Value, CannotSign> {
    let parsed = serde_json::from_slice(body).ok().filter(Value::is_object);
    parsed.ok_or_else(|| CannotSign::new(format!("the body is not {form}")))
}

/// The body with its signature in it.
pub(crate) fn written(body: &Value) -> Vec<u8> {
    serde_json::to_vec(body).expect("what was JSON encodes as JSON")
}
