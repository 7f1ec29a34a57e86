//! Live secrets, taken out of what a program wrote before it is recorded.

use std::{cmp::Reverse, fmt};

use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_model::Secret;
use memchr::memmem;

const MASK: &[u8] = b"[secret]";
/// A shorter value is not looked for in errors: it would match by chance everywhere, and protects nothing.
pub(crate) const IN_ERRORS_BYTES_MIN: usize = 4;
/// A shorter value is not looked for in results: what a workflow asked for must not change by chance.
pub(crate) const IN_RESULTS_BYTES_MIN: usize = 8;

/// The secrets a program was given, in the forms in which it may print them. Longest first, so that a secret that is a part
/// of another does not leave the rest of it behind.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<Secret>);

impl Secrets {
    /// Adds a secret: as it is, as JSON writes it, and in base64.
    pub(crate) fn add(&mut self, secret: &str) {
        let json = serde_json::Value::from(secret).to_string();
        let forms = [secret.to_owned(), json[1..json.len() - 1].to_owned(), BASE64_STANDARD.encode(secret)];
        for form in forms {
            if form.len() >= IN_ERRORS_BYTES_MIN && !self.0.iter().any(|known| known.expose() == form) {
                self.0.push(Secret::new(form));
            }
        }
        self.0.sort_by_key(|form| Reverse(form.expose().len()));
    }

    /// The bytes without secrets of at least that length.
    pub(crate) fn taken_out(&self, mut bytes: Vec<u8>, secret_bytes_min: usize) -> Vec<u8> {
        for form in self.0.iter().map(Secret::expose).filter(|form| form.len() >= secret_bytes_min) {
            let places: Vec<usize> = memmem::find_iter(&bytes, form).collect();
            if places.is_empty() {
                continue;
            }
            let mut clean = Vec::with_capacity(bytes.len());
            let mut copied = 0;
            for place in places {
                clean.extend_from_slice(&bytes[copied..place]);
                clean.extend_from_slice(MASK);
                copied = place + form.len();
            }
            clean.extend_from_slice(&bytes[copied..]);
            bytes = clean;
        }
        bytes
    }

    /// The text without secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        let clean = self.taken_out(text.as_bytes().to_vec(), IN_ERRORS_BYTES_MIN);
        String::from_utf8_lossy(&clean).into_owned()
    }

    /// How long the longest of them is: what begins before a cut may end so much after it.
    pub(crate) fn longest_bytes(&self) -> usize {
        self.0.first().map_or(0, |form| form.expose().len())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} forms)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_the_forms_a_program_prints() {
        let mut secrets = Secrets::default();
        secrets.add("sk\"live/51");
        secrets.add("sk\"live/51-longer");
        for form in
            ["sk\"live/51", "sk\\\"live/51", "sk\"live/51-longer", &BASE64_STANDARD.encode("sk\"live/51")]
        {
            assert_eq!(secrets.text(&format!("a {form} b {form}")), "a [secret] b [secret]");
        }
        assert_eq!(secrets.text("nothing"), "nothing");
        secrets.add("abc");
        assert_eq!(secrets.text("abc"), "abc", "too short to be one");
        secrets.add("abcde");
        assert_eq!(secrets.taken_out(b"abcde".to_vec(), IN_RESULTS_BYTES_MIN), b"abcde");
    }
}
