//! Bodies of the type `application/x-www-form-urlencoded`, read strictly.
//!
//! Source: <https://url.spec.whatwg.org/#urlencoded-parsing>, which never refuses anything: a `%` that begins no escape
//! stands for itself there, and what is not UTF-8 becomes `U+FFFD`. Where a field decides what happens, two readers must
//! not see two texts: both are refused here.

use percent_encoding::percent_decode;

use crate::Error;

/// The media type of forms.
pub const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";
/// Most fields of one form. Senders of webhooks send fewer than 100.
pub const FIELDS_MAX: usize = 1000;

const FORM: &str = "name=value&name=value, percent-encoded UTF-8";

/// The fields in their order, names and values decoded.
///
/// ```
/// let fields = bowline_signature::form::fields(b"From=%2B15550100&Body=Hello+there")?;
/// assert_eq!(fields, [("From".into(), "+15550100".into()), ("Body".into(), "Hello there".into())]);
/// # Ok::<(), bowline_signature::Error>(())
/// ```
///
/// # Errors
/// [`Error::BodyMalformed`], which quotes nothing of the body.
pub fn fields(body: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let mut fields = vec![];
    for field in body.split(|byte| *byte == b'&').filter(|field| !field.is_empty()) {
        if fields.len() == FIELDS_MAX {
            return Err(malformed("has more than 1000 fields"));
        }
        let equals = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
        let (name, value) = (&field[..equals], field.get(equals + 1..).unwrap_or_default());
        fields.push((decode(name)?, decode(value)?));
    }
    Ok(fields)
}

/// Whether that is the media type of forms, whatever its parameters are.
pub(crate) fn is_form(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(MEDIA_TYPE.as_bytes())
}

fn decode(text: &[u8]) -> Result<String, Error> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let mut escapes = spaced.split(|byte| *byte == b'%');
    escapes.next();
    let is_escape =
        |rest: &[u8]| rest.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    if !escapes.all(is_escape) {
        return Err(malformed("has a % that is not followed by two hex digits"));
    }
    let decoded: Vec<u8> = percent_decode(&spaced).collect();
    String::from_utf8(decoded).map_err(|_| malformed("has a field that is not UTF-8"))
}

fn malformed(problem: &'static str) -> Error {
    Error::BodyMalformed { problem, form: FORM }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Vec<(String, String)> {
        fields(body.as_bytes()).unwrap()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn fields_are_decoded_in_their_order() {
        assert_eq!(
            read("b=2&a=%C3%A9+%26%3d&b=1&c&=d&&e=f=g"),
            pairs(&[("b", "2"), ("a", "é &="), ("b", "1"), ("c", ""), ("", "d"), ("e", "f=g")])
        );
        assert_eq!(read(""), []);
        assert_eq!(read("&&"), []);
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        for (body, problem) in [
            (&b"a=100%"[..], "two hex digits"),
            (b"a=%1", "two hex digits"),
            (b"%g1=1", "two hex digits"),
            (b"a=%%41", "two hex digits"),
            (b"a=%+41", "two hex digits"),
            (b"a=%ff", "not UTF-8"),
            (b"\xc3=1", "not UTF-8"),
        ] {
            let refused = fields(body).unwrap_err().to_string();
            assert!(refused.contains(problem), "{}: {refused}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn the_number_of_fields_has_a_limit() {
        assert_eq!(read(&"a=1&".repeat(FIELDS_MAX)).len(), FIELDS_MAX);
        assert!(fields("a=1&".repeat(FIELDS_MAX + 1).as_bytes()).is_err());
    }

    #[test]
    fn forms_are_known_by_their_type_whatever_its_parameters() {
        for (content_type, expected) in [
            ("application/x-www-form-urlencoded", true),
            ("Application/X-WWW-Form-Urlencoded ; charset=UTF-8", true),
            ("application/json", false),
            ("application/x-www-form-urlencoded2", false),
            ("", false),
        ] {
            assert_eq!(is_form(content_type.as_bytes()), expected, "{content_type}");
        }
    }
}
