//! Takes secrets out of what is about to be kept or shown: live values wherever they are, and values by their names.
//!
//! | Module | Story |
//! |---|---|
//! | `names` | values that are secret by the name before them |

use std::{cmp::Reverse, fmt, ops::Range};

use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_model::Secret;
use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

mod names;

use names::Names;

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
    names: Names,
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
        let clean = self.without_secrets(text);
        self.names.mask(&clean).unwrap_or(clean)
    }

    /// A text without live secrets; what names say of values is left alone.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        let clean = self.replace(text.as_bytes(), SECRET_BYTES_MIN);
        // Whole UTF-8 was replaced by whole UTF-8.
        clean.map_or_else(|| text.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether the value of a header, a field or a parameter of that name is not for anybody's eyes.
    pub(crate) fn hides(&self, name: &str) -> bool {
        self.names.hides(name)
    }

    /// The value of a parameter as it may be recorded.
    pub(crate) fn shown<'v>(&self, name: &str, value: &'v str) -> &'v str {
        if self.hides(name) { MASK } else { value }
    }

    /// A good answer without secrets; `None` if there are none in it, as nearly always.
    pub(crate) fn answer(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.replace(body, SECRET_IN_ANSWER_BYTES_MIN)
    }

    /// How long the longest of them is: what begins before a cut may end so much after it.
    pub(crate) fn longest_bytes(&self) -> usize {
        self.forms.first().map_or(0, |form| form.expose().len())
    }

    /// One pass for each form: most answers hold none, and a pass costs less than a copy.
    fn replace(&self, bytes: &[u8], secret_bytes_min: usize) -> Option<Vec<u8>> {
        let forms = self.forms.iter().map(Secret::expose).filter(|form| form.len() >= secret_bytes_min);
        let mut found: Vec<Range<usize>> =
            forms.flat_map(|form| memmem::find_iter(bytes, form).map(|at| at..at + form.len())).collect();
        if found.is_empty() {
            return None;
        }
        found.sort_by_key(|place| place.start);
        Some(masked(bytes, &found))
    }
}

/// Masks those places, which may overlap: of two secrets that share bytes, none of either stays behind.
fn masked(bytes: &[u8], found: &[Range<usize>]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    for place in found {
        if place.start >= copied {
            clean.extend_from_slice(&bytes[copied..place.start]);
            clean.extend_from_slice(MASK.as_bytes());
        }
        copied = copied.max(place.end);
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
    fn leaves_nothing_of_two_secrets_that_share_bytes() {
        assert_eq!(
            scrub(&["abcdef", "defghi", "secret"]).text("<abcdefghi> [secret]"),
            "<[secret]> [[secret]]"
        );
    }

    #[test]
    fn values_go_by_their_names_too() {
        let clean = scrub(&["hdr-7f3a9c1e55"]).text(r#"{"key":"hdr-7f3a9c1e55","password":"other"}"#);
        assert_eq!(clean, r#"{"key":"[secret]","password":"[secret]"}"#);
    }

    proptest::proptest! {
        #[test]
        fn no_secret_survives_in_any_form(
            secrets in proptest::collection::vec("[a-zA-Z0-9+/=\"\\\\ %&<ä]{8,40}", 1..6),
            around in "[a-z {}\":,&=]{0,30}",
        ) {
            let scrub = scrub(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
            for secret in &secrets {
                let json = serde_json::json!(secret).to_string();
                let forms = [
                    secret.clone(),
                    json[1..json.len() - 1].to_owned(),
                    BASE64_STANDARD.encode(secret),
                    utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
                    url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
                ];
                for form in forms {
                    let text = format!("{around}{form}{around}{form}");
                    let clean = scrub.text(&text);
                    proptest::prop_assert!(!clean.contains(&form), "{form:?} in {clean:?}");
                    let answer = scrub.answer(text.as_bytes()).unwrap();
                    proptest::prop_assert!(memmem::find(&answer, form.as_bytes()).is_none());
                }
            }
        }
    }

    #[test]
    fn does_not_touch_answers_for_short_values() {
        let scrub = scrub(&["test", ""]);
        assert_eq!(scrub.answer(b"a test account"), None);
        assert_eq!(scrub.text("a test account"), "a [secret] account");
    }
}
