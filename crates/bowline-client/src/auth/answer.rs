//! What a token endpoint said, read purely (RFC 6749 §5, and the habits of those that answer 200 to a no).

use std::time::Duration;

use bowline_model::Secret;
use serde::Deserialize;
use serde_json::Value;

/// A longer token is none: it would fit neither into a header nor into the store.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// A longer life is not believed; the token is used until it is refused.
const LIFETIME_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How much of a provider's words is told.
const WORDS_CHARS_MAX: usize = 300;

/// Tokens as they were given.
pub(crate) struct Granted {
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
    /// `None`: nobody said.
    pub(crate) lifetime: Option<Duration>,
}

/// A no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) kind: Denial,
    /// In the provider's own words, which may repeat what it was sent.
    pub(crate) what: String,
}

/// What a no means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// This code, refresh token or assertion is not taken (any more).
    Grant,
    /// Not now.
    Temporary,
    /// The client or what it asks for is not right, and stays so until somebody changes it.
    Permanent,
}

#[derive(Deserialize)]
struct Wire {
    access_token: Option<String>,
    refresh_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<Value>,
    error: Option<Value>,
    error_description: Option<Value>,
}

/// Reads a 2xx. `Err(None)`: it is no answer of a token endpoint.
pub(crate) fn read(body: &[u8]) -> Result<Granted, Option<Denied>> {
    let wire: Wire = serde_json::from_slice(body).map_err(|_| None)?;
    let Some(access) = wire.access_token.as_deref().filter(|token| !token.is_empty()) else {
        return Err(denied(&wire));
    };
    if access.len() > TOKEN_BYTES_MAX || access.contains(|c: char| c.is_ascii_control()) {
        return Err(Some(permanent("gave a token that no header can carry")));
    }
    let kind = wire.token_type.as_deref().unwrap_or("Bearer").to_ascii_lowercase();
    // Some call a bearer token by a name of their own ("bot", "user"); these two need a proof that is not made here.
    if matches!(kind.as_str(), "dpop" | "mac") {
        return Err(Some(permanent(&format!("gave a token of type {kind}; only Bearer is spoken here"))));
    }
    let refresh = wire.refresh_token.filter(|token| !token.is_empty() && token.len() <= TOKEN_BYTES_MAX);
    Ok(Granted {
        access: Secret::new(access),
        refresh: refresh.map(Secret::new),
        lifetime: wire.expires_in.as_ref().and_then(lifetime),
    })
}

/// Reads the body of a refusal; `None` if it does not say an OAuth error.
pub(crate) fn read_refusal(body: &str) -> Option<Denied> {
    denied(&serde_json::from_str(body).ok()?)
}

fn denied(wire: &Wire) -> Option<Denied> {
    let code = wire.error.as_ref()?.as_str()?;
    let kind = match code {
        // The last two are GitHub's and Slack's.
        "invalid_grant" | "bad_refresh_token" | "invalid_refresh_token" => Denial::Grant,
        "temporarily_unavailable" | "server_error" | "slow_down" => Denial::Temporary,
        _ => Denial::Permanent,
    };
    let words = wire.error_description.as_ref().and_then(Value::as_str);
    let what = words.map_or_else(|| code.to_owned(), |words| format!("{code} ({words})"));
    Some(Denied { kind, what })
}

fn permanent(what: &str) -> Denied {
    Denied { kind: Denial::Permanent, what: what.to_owned() }
}

/// A provider's words on one line. Secrets are taken out before: half a secret is none to who looks for it.
pub(crate) fn shown(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_CHARS_MAX).collect()
}

/// Seconds, as a number or as text.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    let lifetime = Duration::try_from_secs_f64(seconds).ok()?;
    (!lifetime.is_zero() && lifetime <= LIFETIME_MAX).then_some(lifetime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(body: &str) -> (String, Option<String>, Option<u64>) {
        let Ok(granted) = read(body.as_bytes()) else { panic!("denied: {body}") };
        let refresh = granted.refresh.map(|token| token.expose().to_owned());
        (granted.access.expose().to_owned(), refresh, granted.lifetime.map(|life| life.as_secs()))
    }

    #[test]
    fn tokens_are_read_in_the_forms_providers_use() {
        let all =
            r#"{"access_token":"a","token_type":"bearer","expires_in":3600,"refresh_token":"r","scope":"x"}"#;
        assert_eq!(granted(all), ("a".into(), Some("r".into()), Some(3600)));
        let text = r#"{"access_token":"a","expires_in":"1800","refresh_token":""}"#;
        assert_eq!(granted(text), ("a".into(), None, Some(1800)));
        for life in ["0", "-1", "null", "\"soon\"", "1e300", "[]"] {
            let body = format!(r#"{{"access_token":"a","token_type":"bot","expires_in":{life}}}"#);
            assert_eq!(granted(&body), ("a".into(), None, None), "{life}");
        }
    }

    #[test]
    fn a_no_is_a_no_under_any_status() {
        let no = |body: &str| match read(body.as_bytes()) {
            Err(Some(denied)) => denied,
            Err(None) | Ok(_) => panic!("no denial: {body}"),
        };
        let expired = no(r#"{"error":"invalid_grant","error_description":"Token\nexpired"}"#);
        assert_eq!((expired.kind, expired.what.as_str()), (Denial::Grant, "invalid_grant (Token\nexpired)"));
        assert_eq!(no(r#"{"ok":false,"error":"invalid_refresh_token"}"#).kind, Denial::Grant);
        assert_eq!(no(r#"{"error":"temporarily_unavailable"}"#).kind, Denial::Temporary);
        assert_eq!(no(r#"{"error":"invalid_client"}"#).kind, Denial::Permanent);
        assert_eq!(no(r#"{"access_token":"a","token_type":"DPoP"}"#).kind, Denial::Permanent);
        assert_eq!(no(r#"{"access_token":"a\r\nb"}"#).kind, Denial::Permanent);
    }

    #[test]
    fn words_are_told_on_one_short_line() {
        assert_eq!(shown("Token\r\nexpired"), "Token  expired");
        assert_eq!(shown(&"ä".repeat(1000)), "ä".repeat(300));
    }

    #[test]
    fn what_is_no_answer_of_a_token_endpoint_says_nothing() {
        for body in ["", "<html>", "[]", "{}", r#"{"error":{"code":1}}"#, r#"{"access_token":7}"#] {
            assert!(matches!(read(body.as_bytes()), Err(None)), "{body}");
            assert_eq!(read_refusal(body), None, "{body}");
        }
    }
}
