//! Takes live secret values out of what is about to be kept or shown.

use std::{cmp::Reverse, fmt};

use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_model::Secret;
use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a secret's place.
pub(crate) const MASK: &str = "[secret]";

/// A shorter value is not looked for in errors: it would match by chance everywhere, and protects nothing.
const SECRET_BYTES_MIN: usize = 4;

/// A shorter value is not looked for in good answers: what a workflow asked for must not change by chance.
const SECRET_IN_ANSWER_BYTES_MIN: usize = 8;

/// The live secrets of one Api, in every form in which a remote could echo them. Longest first, so that a secret
/// that is a part of another does not leave the rest of it behind.
#[derive(Clone, Default)]
pub(crate) struct Scrub {
    forms: Vec<Secret>,
}

impl Scrub {
    /// Adds a secret: as it is, URL-encoded, in base64, and as JSON writes it.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() < SECRET_BYTES_MIN || self.forms.iter().any(|form| form.expose() == secret) {
            return;
        }
        let json = serde_json::Value::from(secret).to_string();
        let forms = [
            secret.to_owned(),
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
            url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
            BASE64_STANDARD.encode(secret),
            json[1..json.len() - 1].to_owned(),
        ];
        for form in forms {
            if !self.forms.iter().any(|known| known.expose() == form) {
                self.forms.push(Secret::new(form));
            }
        }
        self.forms.sort_by_key(|form| Reverse(form.expose().len()));
    }

    /// The text without secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        let clean = self.replace(text.as_bytes(), SECRET_BYTES_MIN).map(|bytes| {
            // Whole UTF-8 was replaced by whole UTF-8.
            String::from_utf8_lossy(&bytes).into_owned()
        });
        clean.unwrap_or_else(|| text.to_owned())
    }

    /// A good answer without secrets; `None` if there are none in it, as nearly always.
    pub(crate) fn answer(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.replace(body, SECRET_IN_ANSWER_BYTES_MIN)
    }

    /// How long the longest of them is: what begins before a cut may end so much after it.
    pub(crate) fn longest_bytes(&self) -> usize {
        self.forms.first().map_or(0, |form| form.expose().len())
    }

    fn replace(&self, bytes: &[u8], secret_bytes_min: usize) -> Option<Vec<u8>> {
        let mut clean: Option<Vec<u8>> = None;
        for form in self.forms.iter().map(Secret::expose).filter(|form| form.len() >= secret_bytes_min) {
            let current = clean.as_deref().unwrap_or(bytes);
            let found: Vec<usize> = memmem::find_iter(current, form).collect();
            if !found.is_empty() {
                clean = Some(masked(current, &found, form.len()));
            }
        }
        clean
    }
}

fn masked(bytes: &[u8], found: &[usize], length: usize) -> Vec<u8> {
    let mut clean = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    for at in found {
        clean.extend_from_slice(&bytes[copied..*at]);
        clean.extend_from_slice(MASK.as_bytes());
        copied = at + length;
    }
    clean.extend_from_slice(&bytes[copied..]);
    clean
}

impl fmt::Debug for Scrub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrub({} forms of secrets)", self.forms.len())
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
        assert_eq!(
            scrub.answer(b"\xff sk live/51+\"\xc3\xa4 \x00").as_deref(),
            Some(&b"\xff [secret] \x00"[..])
        );
    }

    #[test]
    fn leaves_no_rest_of_a_longer_secret() {
        assert_eq!(scrub(&["abcdef", "abcdefghij"]).text("abcdefghij abcdef"), "[secret] [secret]");
    }

    #[test]
    fn does_not_touch_answers_for_short_values() {
        let scrub = scrub(&["test", ""]);
        assert_eq!(scrub.answer(b"a test account"), None);
        assert_eq!(scrub.text("a test account"), "a [secret] account");
    }
}
