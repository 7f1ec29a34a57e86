//! Whether what is kept still holds: how the remote is asked (RFC 9110 §13.1), and what its "yes" changes
//! (RFC 9111 §4.3.4).

use reqwest::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, TRANSFER_ENCODING,
};

use crate::{attempt::Head, verdict::Answer};

/// A longer one is not sent back: a request has to fit where remotes read its head.
const VALIDATOR_BYTES_MAX: usize = 1024;

/// What a validator of an answer is sent back as.
const CONDITIONS: [(HeaderName, HeaderName); 2] = [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)];

/// About the one message or about the bytes that came with it, which stay those of the kept answer.
const OF_ONE_MESSAGE: [HeaderName; 7] = [
    CONNECTION,
    TRANSFER_ENCODING,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
];

/// The headers that ask whether an answer with those headers still holds; empty if nobody could say.
pub(crate) fn conditions(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, &HeaderValue)> {
    CONDITIONS.into_iter().filter_map(|(validator, condition)| {
        let value = headers.get(validator)?;
        (1..=VALIDATOR_BYTES_MAX).contains(&value.len()).then_some((condition, value))
    })
}

/// The kept answer, with what a 304 says anew; `None` if that is about another answer.
pub(crate) fn confirmed(kept: &Answer, head: &Head) -> Option<Answer> {
    let same_place = kept.url == head.url;
    let same_tag = match (kept.headers.get(ETAG), head.headers.get(ETAG)) {
        (Some(kept), Some(now)) => opaque(kept) == opaque(now),
        (Some(_) | None, None) | (None, Some(_)) => true,
    };
    (same_place && same_tag)
        .then(|| Answer { headers: updated(&kept.headers, &head.headers), ..kept.clone() })
}

/// A tag without its mark of weakness: the same bytes are not needed, the same meaning is (RFC 9110 §8.8.3.2).
fn opaque(tag: &HeaderValue) -> &[u8] {
    let tag = tag.as_bytes();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The headers of an answer after a 304 with others.
fn updated(kept: &HeaderMap, now: &HeaderMap) -> HeaderMap {
    let mut headers = kept.clone();
    // It was the age of what came then.
    headers.remove(AGE);
    for name in now.keys().filter(|name| !OF_ONE_MESSAGE.contains(name)) {
        headers.remove(name);
        now.get_all(name).iter().for_each(|value| {
            headers.append(name.clone(), value.clone());
        });
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn asks(lines: &[(&'static str, &str)]) -> Vec<(String, String)> {
        let headers = headers(lines);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        conditions(&headers).map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    #[test]
    fn both_validators_are_sent_as_they_came() {
        let date = "Sun, 22 Nov 2026 10:00:00 GMT";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            asks(&[("etag", "W/\"7\""), ("last-modified", date)]),
            [pair("if-none-match", "W/\"7\""), pair("if-modified-since", date)]
        );
        assert_eq!(asks(&[("etag", "no-quotes")]), [pair("if-none-match", "no-quotes")]);
        assert_eq!(asks(&[("etag", ""), ("x-etag", "\"7\"")]), []);
        assert_eq!(asks(&[("etag", &"x".repeat(1025))]), [], "a request would not carry it");
    }

    #[test]
    fn a_304_changes_what_it_says_and_nothing_about_the_bytes() {
        let kept = headers(&[
            ("x", "1"),
            ("x", "2"),
            ("y", "1"),
            ("age", "60"),
            ("content-length", "9"),
            ("content-encoding", "gzip"),
        ]);
        let now = headers(&[
            ("x", "3"),
            ("x", "4"),
            ("z", "1"),
            ("content-length", "0"),
            ("content-encoding", "identity"),
            ("connection", "close"),
        ]);
        let expected = headers(&[
            ("x", "3"),
            ("x", "4"),
            ("y", "1"),
            ("z", "1"),
            ("content-length", "9"),
            ("content-encoding", "gzip"),
        ]);
        assert_eq!(updated(&kept, &now), expected);
    }
}
