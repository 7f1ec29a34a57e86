//! `Retry-After` and its relatives: never longer than the bound, and whole seconds and dates mean what they say.
//!
//! Input: lines of `name: value`. No public function of the client takes headers alone, so its file is compiled into
//! this target.
#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use bowline_fuzz::{NOW_SECONDS, digits, now};
use libfuzzer_sys::fuzz_target;
use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use retry_after::{RETRY_AFTER_MAX, limit_reset, retry_after};

#[path = "../../crates/bowline-client/src/retry_after.rs"]
mod retry_after;

fuzz_target!(|data: &[u8]| {
    let headers: HeaderMap = data.split(|byte| *byte == b'\n').filter_map(header).collect();
    let wait = retry_after(&headers, now());
    for wait in [wait, limit_reset(&headers, now())].into_iter().flatten() {
        assert!(wait <= RETRY_AFTER_MAX);
    }
    let asked = headers.get(RETRY_AFTER).map(|value| value.as_bytes().trim_ascii());
    if let (Some(seconds), None) = (asked.and_then(digits), headers.get("retry-after-ms")) {
        let seconds = u64::try_from(seconds).expect("digits have no sign");
        assert_eq!(wait, Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX)));
    }

    // Two dates of the remote's clock, whatever that clock says.
    let number =
        |at: usize| data.get(at..at + 4).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("4")));
    let (theirs, ahead) = (u64::from(number(0)), u64::from(number(4) % 100_000));
    let date = |seconds| {
        let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        HeaderValue::try_from(text).expect("a date is a header's value")
    };
    let dated = HeaderMap::from_iter([(DATE, date(theirs)), (RETRY_AFTER, date(theirs + ahead))]);
    assert_eq!(retry_after(&dated, now()), Some(Duration::from_secs(ahead).min(RETRY_AFTER_MAX)));
    let undated = HeaderMap::from_iter([(RETRY_AFTER, date(theirs))]);
    let until = theirs.saturating_sub(u64::try_from(NOW_SECONDS).expect("after 1970"));
    assert_eq!(retry_after(&undated, now()), Some(Duration::from_secs(until).min(RETRY_AFTER_MAX)));
});

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
}
