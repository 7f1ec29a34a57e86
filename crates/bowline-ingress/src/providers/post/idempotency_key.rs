//! The `Idempotency-Key` header: a string of RFC 9651 § 3.3.3, `"8e03978e-40d5"`; and since most clients leave the
//! quotes out, also the bare key.

use crate::Rejection;

/// The header's name.
pub const HEADER: &str = "idempotency-key";
/// Longest key.
pub const KEY_BYTES_MAX: usize = 255;

/// The key; the same with quotes and without.
pub(super) fn parse(value: &[u8]) -> Result<String, Rejection> {
    let value = value.trim_ascii();
    let key = match value.strip_prefix(b"\"") {
        Some(rest) => quoted(rest),
        None => bare(value),
    };
    let key = key.map_err(|problem| Rejection::unroutable(format!("{HEADER} header {problem}")))?;
    match key.len() {
        0 => Err(Rejection::unroutable(format!("{HEADER} header is empty; leave it out or send a key"))),
        bytes if bytes > KEY_BYTES_MAX => Err(Rejection::unroutable(format!(
            "{HEADER} header has a key of {bytes} bytes (limit {KEY_BYTES_MAX}); use a UUID or a hash"
        ))),
        _fits => Ok(key),
    }
}

/// What stands behind the first quote.
fn quoted(rest: &[u8]) -> Result<String, &'static str> {
    let mut key = String::new();
    let mut bytes = rest.iter();
    loop {
        match bytes.next() {
            Some(b'"') if bytes.as_slice().is_empty() => return Ok(key),
            Some(b'"') => return Err("goes on after its closing quote; send one key"),
            Some(b'\\') => match bytes.next() {
                Some(escaped @ (b'"' | b'\\')) => key.push(char::from(*escaped)),
                Some(_) | None => return Err(r#"has a backslash before another character than " and \"#),
            },
            Some(byte @ b' '..=b'~') => key.push(char::from(*byte)),
            Some(_) => return Err("has control characters, or others than ASCII"),
            None => return Err("has no closing quote"),
        }
    }
}

fn bare(value: &[u8]) -> Result<String, &'static str> {
    if value.contains(&b',') {
        return Err("has a comma, which may have joined two headers; send one key, or quote it");
    }
    if !value.iter().all(u8::is_ascii_graphic) || value.contains(&b'"') {
        return Err("has spaces, quotes, or others than ASCII within its key; quote it");
    }
    Ok(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_with_quotes_and_without() {
        for same in ["8e03978e-40d5", r#""8e03978e-40d5""#, "  8e03978e-40d5 ", r#" "8e03978e-40d5" "#] {
            assert_eq!(parse(same.as_bytes()).unwrap(), "8e03978e-40d5", "{same}");
        }
        assert_eq!(parse(br#""a, \"b\" \\ c""#).unwrap(), r#"a, "b" \ c"#);
        assert_eq!(parse(&[b'k'; 255]).unwrap().len(), 255);
    }

    #[test]
    fn what_is_no_key_is_refused_with_a_reason() {
        let long = "k".repeat(256);
        for (odd, reason) in [
            ("", "is empty"),
            (r#""""#, "is empty"),
            (long.as_str(), "256 bytes (limit 255)"),
            (r#"""#, "no closing quote"),
            (r#""a"#, "no closing quote"),
            (r#""a" "b""#, "goes on"),
            (r#""a";b=1"#, "goes on"),
            (r#""a\n""#, "backslash"),
            (r#""a\"#, "backslash"),
            ("\"a\tb\"", "control characters"),
            ("\"é\"", "others than ASCII"),
            ("a, b", "comma"),
            ("a b", "quote it"),
            ("a\"b", "quote it"),
            ("é", "quote it"),
        ] {
            let refused = parse(odd.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(reason), "{odd:?}: {refused}");
        }
    }
}
