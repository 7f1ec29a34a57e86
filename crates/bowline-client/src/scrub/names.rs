//! Values that are secret by the name before them, in whatever text a remote answers: JSON, forms, URLs, XML, headers.
//!
//! The text is a part of an answer, cut off anywhere, and may be none of these: so it is looked through for names that
//! are followed by a value, and not parsed. What is masked by mistake is a word of an error; what is missed may be a
//! password.

use crate::Api;

use super::MASK;

/// Names that mean a secret wherever they are part of a field's name: `client_secret`, `X-Api-Key`, `newPassword`.
const WORDS: [&str; 17] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "authorization",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "credential",
    "cookie",
    "session",
    "signature",
    "jwt",
    "otp",
];
/// Words beside such a one that make it mean something else: a place in a list, a count, a sort.
const HARMLESS: [&str; 12] = [
    "next",
    "page",
    "cursor",
    "continuation",
    "tokens",
    "type",
    "expires",
    "count",
    "limit",
    "uri",
    "url",
    "endpoint",
];

/// Ends of names that are places in a list, in one word: Google's `nextSyncToken`, OData's `$skiptoken`, `$deltatoken`.
/// Masked where an answer repeats them, they would be lost.
const PLACES: [&str; 3] = ["synctoken", "skiptoken", "deltatoken"];

/// Longest name.
const NAME_BYTES_MAX: usize = 100;

/// The names of what is never shown: those that always are, and what the user adds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    own: Vec<String>,
}

/// `X-Api-Key`, `api_key` and `apiKey` are one name.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// `nextPageToken` and `token-type` have such words in them; `security_token` has no `uri`.
fn is_harmless(name: &str) -> bool {
    let mut word = String::new();
    let mut was_lower = false;
    for c in name.chars().chain(['_']) {
        if !c.is_alphanumeric() || was_lower && c.is_uppercase() {
            if HARMLESS.contains(&word.as_str()) {
                return true;
            }
            word.clear();
        }
        was_lower = c.is_lowercase();
        word.extend(c.to_lowercase().filter(|c| c.is_alphanumeric()));
    }
    false
}

impl Names {
    pub(crate) fn add(&mut self, name: &str) {
        self.own.push(plain(name));
    }

    /// Whether the value of that field, parameter or header is secret.
    pub(crate) fn hides(&self, written: &str) -> bool {
        if written.len() > NAME_BYTES_MAX {
            return false;
        }
        let name = plain(written);
        let is_place = || is_harmless(written) || PLACES.iter().any(|end| name.ends_with(end));
        self.own.contains(&name) || WORDS.iter().any(|word| name.contains(word)) && !is_place()
    }

    /// The text with such values masked; `None` if there are none.
    pub(crate) fn mask(&self, text: &str) -> Option<String> {
        let mut clean = String::new();
        let mut copied = 0;
        let mut at = 0;
        while let Some(name) = next_name(text, at) {
            at = name.end;
            if let Some(value) = value_after(text, &name).filter(|value| value.start < value.end)
                && self.hides(&text[name.start..name.end])
            {
                clean.push_str(&text[copied..value.start]);
                clean.push_str(if value.is_bare_json { "\"[secret]\"" } else { MASK });
                copied = value.end;
                at = value.end;
            }
        }
        (copied > 0).then(|| clean + &text[copied..])
    }
}

struct Name {
    start: usize,
    end: usize,
}

struct Value {
    start: usize,
    end: usize,
    is_bare_json: bool,
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || byte >= 0x80
}

fn next_name(text: &str, from: usize) -> Option<Name> {
    let bytes = text.as_bytes();
    let start = from + bytes[from..].iter().position(|byte| is_of_name(*byte))?;
    let end = bytes[start..]
        .iter()
        .position(|byte| !is_of_name(*byte))
        .map_or(bytes.len(), |length| start + length);
    Some(Name { start, end })
}

/// What stands after a name as its value, if anything does.
fn value_after(text: &str, name: &Name) -> Option<Value> {
    let bytes = text.as_bytes();
    let before = &text[..name.start];
    let rest = &text[name.end..];
    // `<password>`, `<ns:password kind="x">`.
    let is_prefix = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let tag = before.strip_suffix(':').map_or(before, |before| before.trim_end_matches(is_prefix));
    if tag.ends_with('<') {
        let start = name.end + rest.find(['>', '<'])? + 1;
        let is_empty = bytes[start - 1] == b'<' || text[..start - 1].ends_with('/');
        let end = text[start..].find("</").map_or(text.len(), |length| start + length);
        return (!is_empty).then_some(Value { start, end, is_bare_json: false });
    }
    // A quote of the same sort on both sides, or none; escaped, where JSON is in JSON.
    let quoted =
        ["\\\"", "\"", "'"].into_iter().find(|quote| rest.starts_with(quote) && before.ends_with(quote));
    let after_quote = &rest[quoted.map_or(0, str::len)..];
    let spaces = after_quote.trim_start_matches([' ', '\t', '\n', '\r']);
    let assigned = spaces.strip_prefix([':', '='])?;
    let is_colon = spaces.starts_with(':');
    let value = assigned.trim_start_matches([' ', '\t', '\n', '\r']);
    let start = text.len() - value.len();
    if let Some(quote) = ["\\\"", "\"", "'"].into_iter().find(|quote| value.starts_with(quote)) {
        let start = start + quote.len();
        return Some(Value { start, end: start + string_length(&text[start..], quote), is_bare_json: false });
    }
    match (is_colon, quoted) {
        (true, Some(_)) => Some(Value { start, end: start + json_length(value), is_bare_json: true }),
        // A header in a line of its own; in the middle of a sentence a colon says nothing.
        (true, None) if before.is_empty() || before.ends_with('\n') => {
            let end = value.find(['\n', '\r']).map_or(text.len(), |length| start + length);
            Some(Value { start, end, is_bare_json: false })
        }
        (true, None) => None,
        (false, _) => {
            let ends = |c: char| c.is_whitespace() || "&\"'<>;,)}]".contains(c);
            let end = value.find(ends).map_or(text.len(), |length| start + length);
            Some(Value { start, end, is_bare_json: false })
        }
    }
}

/// The length of a string that ends with that quote, or with the text.
fn string_length(text: &str, quote: &str) -> usize {
    let mut from = 0;
    while let Some(found) = text[from..].find(quote) {
        let at = from + found;
        let escapes = text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        if quote.starts_with('\\') || escapes.is_multiple_of(2) {
            return at;
        }
        from = at + quote.len();
    }
    text.len()
}

/// The length of a JSON value that is no string: to its last bracket, or to what ends a number.
fn json_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at += 1 + string_length(&text[at + 1..], "\""),
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return if depth == 1 { at + 1 } else { at },
            b'}' | b']' => depth -= 1,
            b',' | b'\n' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// What is never shown.
impl Api {
    /// Also masks what has one of these names, in any case, with `-` and `_` or without: fields of JSON, forms and XML,
    /// parameters of queries, and headers. They are masked in errors with their excerpts, in logs and fingerprints, and
    /// left out of the headers that a [`Response`](crate::Response) keeps. The values that calls, good answers and
    /// their records hold stay as they are: a workflow asked for them.
    ///
    /// Always masked is what is called password, secret, token, authorization, api key, credential, cookie, session or
    /// signature, alone or as a part of a name; and every secret that this Api was given, wherever it is.
    ///
    /// # Names of one's own
    /// ```
    /// use bowline_client::Api;
    /// use bowline_model::Effect;
    ///
    /// let hr = Api::new("hr").base_url("https://hr.example.com").scrub_names(["ssn", "X-Internal-Id"]);
    /// let call = hr.get("/people").query("ssn", "078-05-1120");
    /// assert!(!call.shape().fingerprint.unwrap().to_string().contains("1120"));
    /// ```
    pub fn scrub_names<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.with(|settings| {
            let scrub = std::sync::Arc::make_mut(&mut settings.scrub);
            names.into_iter().for_each(|name| scrub.names.add(name.as_ref()));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let mut names = Names::default();
        names.add("ssn");
        names.add("X-Internal");
        names.mask(text).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn finds_values_by_name_in_every_form() {
        for (text, clean) in [
            (r#"{"password":"hunter2","a":1}"#, r#"{"password":"[secret]","a":1}"#),
            (r#"{"newPassword" : "hun\"ter2", "a":1}"#, r#"{"newPassword" : "[secret]", "a":1}"#),
            (r#"{"ssn":78051120}"#, r#"{"ssn":"[secret]"}"#),
            (r#"{"SSN":null,"b":2}"#, r#"{"SSN":"[secret]","b":2}"#),
            (r#"{"x_internal":{"a":"}","b":[1]},"b":2}"#, r#"{"x_internal":"[secret]","b":2}"#),
            (r#"{"access_token":"cut of"#, r#"{"access_token":"[secret]"#),
            (
                r#"{"body":"{\"client_secret\":\"s3\",\"a\":1}"}"#,
                r#"{"body":"{\"client_secret\":\"[secret]\",\"a\":1}"}"#,
            ),
            ("{'apiKey': 'abc'}", "{'apiKey': '[secret]'}"),
            (
                "grant_type=password&password=hunter2&user=jane",
                "grant_type=password&password=[secret]&user=jane",
            ),
            ("see https://a.example/?api_key=k1&x=1 for", "see https://a.example/?api_key=[secret]&x=1 for"),
            ("<u><password>hunter2</password><a>1</a></u>", "<u><password>[secret]</password><a>1</a></u>"),
            ("<w:Password Type=\"t\">hunter2</w:Password>", "<w:Password Type=\"t\">[secret]</w:Password>"),
            ("<u><ssn>07", "<u><ssn>[secret]"),
            ("<login token=\"abc\" user=\"jane\"/>", "<login token=\"[secret]\" user=\"jane\"/>"),
            ("Authorization: Bearer abc.def\nHost: a", "Authorization: [secret]\nHost: a"),
            ("POST /\nX-Internal: 17\n", "POST /\nX-Internal: [secret]\n"),
        ] {
            assert_eq!(masked(text), clean, "{text}");
        }
    }

    #[test]
    fn a_word_that_is_harmless_is_a_whole_one() {
        let names = Names::default();
        for name in
            ["x-amz-security-token", "account_token", "AccessToken", "PASSWORD", "X-API-KEY", "securityToken"]
        {
            assert!(names.hides(name), "{name}");
        }
        for name in [
            "nextPageToken",
            "x-next-page-token",
            "token_type",
            "max_tokens",
            "tokenUrl",
            "idempotency-key",
            "id",
        ] {
            assert!(!names.hides(name), "{name}");
        }
    }

    #[test]
    fn leaves_alone_what_only_looks_like_it() {
        for text in [
            r#"{"next_page_token":"abc","token_type":"bearer","total_tokens":12}"#,
            r#"{"error":"invalid token","message":"The token: it expired; log in"}"#,
            "the password is wrong",
            r#"{"continuationToken":"x","missing":"ssn","passnumber":1}"#,
            "<password/><a>1</a>",
            "",
            "\"password\"",
            "password=",
            "ä=ö {}[]\"'<>",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn takes_any_text(text in "([a-z\"'\\\\{}\\[\\]<>:=,&/ \nä]|password|ssn){0,60}") {
            let once = masked(&text);
            proptest::prop_assert!(once.len() < 1000);
        }

        #[test]
        fn no_value_of_a_json_field_is_left(value in "[a-z0-9\"\\\\/{}:,ä\n]{8,40}", name in "password|newPassword|client_secret|CLIENT-SECRET|SSN") {
            let value = format!("Q{value}Q");
            let text = serde_json::json!({"a": 1, name: value, "b": [2]}).to_string();
            let written: String = serde_json::json!(value).to_string().chars().skip(1).take(8).collect();
            proptest::prop_assert!(!masked(&text).contains(&written), "{}", text);
        }
    }
}
