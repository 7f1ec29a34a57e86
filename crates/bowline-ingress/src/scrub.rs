//! Which headers are kept with an event: none that could let anyone in.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Names and values that are kept of one event, in bytes; what comes after them is left out.
pub const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// A name with one of these in it is left out.
const NAME_PARTS: [&str; 16] = [
    "auth",
    "token",
    "secret",
    "signature",
    "hmac",
    "cookie",
    "passw",
    "credential",
    "session",
    "jwt",
    "csrf",
    "xsrf",
    "api-key",
    "apikey",
    "api_key",
    "cert",
];

/// A name that ends so is left out, but for the harmless ones.
const NAME_ENDS: [&str; 4] = ["-key", "_key", "-sig", "-sign"];
const HARMLESS: [&str; 3] = ["idempotency-key", "x-idempotency-key", "sec-websocket-key"];

/// A value that begins so is left out, whatever its name: schemes of RFC 9110 § 11.
const VALUE_STARTS: [&str; 4] = ["bearer ", "basic ", "digest ", "negotiate "];

/// The headers to keep: names in lower case, values that are text, in the order they came.
///
/// Left out are `credentials`, and whatever else is or may be one: signatures, tokens, cookies, keys, sessions,
/// certificates.
///
/// ```
/// use axum::http::{HeaderMap, HeaderValue};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("User-Agent", HeaderValue::from_static("Stripe/1.0"));
/// headers.insert("Stripe-Signature", HeaderValue::from_static("t=1,v1=00"));
/// headers.insert("X-Client", HeaderValue::from_static("a key, known to the route as one"));
/// let kept = bowline_ingress::scrub::scrub(&headers, &["x-client".parse()?]);
/// assert_eq!(kept, [("user-agent".into(), "Stripe/1.0".into())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn scrub(headers: &HeaderMap, credentials: &[HeaderName]) -> Vec<(String, String)> {
    let mut bytes = 0;
    headers
        .iter()
        .filter(|(name, value)| !credentials.contains(name) && !is_credential(name, value))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .take_while(|(name, value)| {
            bytes += name.len() + value.len();
            bytes <= HEADERS_BYTES_MAX
        })
        .collect()
}

fn is_credential(name: &HeaderName, value: &HeaderValue) -> bool {
    // A HeaderName is in lower case already.
    let name = name.as_str();
    value.is_sensitive()
        || NAME_PARTS.iter().any(|part| name.contains(part))
        || (NAME_ENDS.iter().any(|end| name.ends_with(end)) && !HARMLESS.contains(&name))
        || VALUE_STARTS.iter().any(|start| starts_with(value.as_bytes(), start.as_bytes()))
}

fn starts_with(value: &[u8], start: &[u8]) -> bool {
    value.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(pairs: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::try_from(*name).unwrap();
            headers.append(name, HeaderValue::from_static(value));
        }
        scrub(&headers, &[]).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn keeps_no_credential() {
        for name in [
            "Stripe-Signature",
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "X-Api-Key",
            "X-ApiKey",
            "X-Gitlab-Token",
            "X-Hub-Signature-256",
            "X-Shopify-Hmac-SHA256",
            "X-Auth",
            "X-Session-Id",
            "X-CSRF",
            "X-Amz-Security-Token",
            "X-Access-Key",
            "X-Forwarded-Client-Cert",
            "Paypal-Transmission-Sig",
            "Ocp-Apim-Subscription-Key",
            "X-Password",
            "X-Webhook-Secret",
        ] {
            assert_eq!(kept(&[(name, "x")]), Vec::<String>::new(), "{name}");
        }
        assert!(kept(&[("x-custom", "Bearer abc"), ("x-other", "bAsIc abc")]).is_empty());
    }

    #[test]
    fn keeps_what_helps_in_lower_case() {
        let names =
            ["user-agent", "content-type", "x-request-id", "x-github-delivery", "idempotency-key", "via"];
        assert_eq!(kept(&names.map(|name| (name, "x"))), names);
        assert_eq!(kept(&[("X-Forwarded-For", "192.0.2.1")]), ["x-forwarded-for"]);
    }

    #[test]
    fn keeps_a_bounded_number_of_bytes() {
        let long: &'static str = Box::leak("x".repeat(HEADERS_BYTES_MAX / 2).into_boxed_str());
        assert_eq!(kept(&[("x-a", long), ("x-b", long), ("x-c", "y")]), ["x-a"]);
    }
}
