//! Takes live secret values out of text that is about to be kept or shown.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_model::Secret;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a secret's place.
const MASK: &str = "[secret]";

/// A shorter value is not looked for in errors: it would match by chance everywhere, and protects nothing.
const SECRET_BYTES_MIN: usize = 4;

/// A shorter value is not looked for in answers: what a workflow asked for must not change by chance.
const SECRET_IN_ANSWER_BYTES_MIN: usize = 12;

/// The live secrets of one Api, in every form in which a remote could echo them. Longest first, so that a secret
/// that is a part of another does not leave the rest of it behind.
#[derive(Clone, Default)]
pub(crate) struct Scrub {
    needles: Vec<Needle>,
}

#[derive(Clone)]
struct Needle(Secret);

impl Needle {
    fn text(&self) -> &str {
        self.0.expose()
    }
}

impl Scrub {
    /// Adds a secret: as it is, URL-encoded, in base64, and as JSON writes it.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() < SECRET_BYTES_MIN {
            return;
        }
        let json = serde_json::Value::from(secret).to_string();
        let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let forms = [
            secret.to_owned(),
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
            form,
            BASE64_STANDARD.encode(secret),
            json.trim_matches('"').to_owned(),
        ];
        for form in forms {
            if !self.needles.iter().any(|needle| needle.text() == form) {
                self.needles.push(Needle(Secret::new(form)));
            }
        }
        self.needles.sort_by_key(|needle| std::cmp::Reverse(needle.text().len()));
    }

    /// The text without secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        self.replace(text, SECRET_BYTES_MIN).unwrap_or_else(|| text.to_owned())
    }

    /// An answer without secrets; `None` if there are none in it, as nearly always.
    pub(crate) fn answer(&self, text: &str) -> Option<String> {
        self.replace(text, SECRET_IN_ANSWER_BYTES_MIN)
    }

    fn replace(&self, text: &str, bytes_min: usize) -> Option<String> {
        let mut clean: Option<String> = None;
        for needle in self.needles.iter().map(Needle::text).filter(|needle| needle.len() >= bytes_min) {
            let current = clean.as_deref().unwrap_or(text);
            if current.contains(needle) {
                clean = Some(current.replace(needle, MASK));
            }
        }
        clean
    }
}

impl fmt::Debug for Scrub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrub({} forms of secrets)", self.needles.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrub(secrets: &[&str]) -> Scrub {
        let mut scrub = Scrub::default();
        secrets.iter().for_each(|secret| scrub.add(secret));
        scrub
    }

    #[test]
    fn finds_a_secret_in_every_form_a_remote_may_echo() {
        let secret = "sk live/51+\"ä";
        let scrub = scrub(&[secret]);
        for form in
            ["sk live/51+\"ä", "sk%20live%2F51%2B%22%C3%A4", "sk+live%2F51%2B%22%C3%A4", "sk live/51+\\\"ä"]
        {
            assert_eq!(scrub.text(&format!("a {form} b")), "a [secret] b");
        }
        assert_eq!(scrub.text(&BASE64_STANDARD.encode(secret)), "[secret]");
    }

    #[test]
    fn leaves_no_rest_of_a_longer_secret() {
        assert_eq!(scrub(&["abcdef", "abcdefghij"]).text("abcdefghij abcdef"), "[secret] [secret]");
    }

    #[test]
    fn does_not_touch_answers_for_short_values() {
        let scrub = scrub(&["test"]);
        assert_eq!(scrub.answer("a test account"), None);
        assert_eq!(scrub.text("a test account"), "a [secret] account");
    }
}
