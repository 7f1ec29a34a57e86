//! What a described call becomes on the wire: address, headers, key. Its proof comes last, in `proof`.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use reqwest::{
    Method,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT},
};
use serde_json::value::{RawValue, to_raw_value};
use url::{Url, form_urlencoded};

use crate::{
    Idempotency,
    address::{Address, secret_parts},
    attempt::Ready,
    body::Body,
    call::{BodyKind, Request, Typed},
    decode,
    multipart::Multipart,
    scrub::Scrub,
    settings::Settings,
};

/// JSON is what APIs speak; anything else is still better than a 406.
const ACCEPT_DEFAULT: HeaderValue = HeaderValue::from_static("application/json, */*;q=0.9");

/// Puts a call together.
///
/// # Errors
/// Says what is wrong with the call or its Api; nothing must be sent then.
pub(crate) fn prepare(settings: &Settings, request: &Request, key: &str) -> Result<Ready, String> {
    if !settings.problems.is_empty() {
        let named: Vec<String> =
            settings.problems.iter().map(|(name, what)| format!("{name} {what}")).collect();
        return Err(format!("the Api is not set up: {}", named.join("; ")));
    }
    if let Some(problem) = &request.problem {
        return Err(problem.clone());
    }
    let mut url = settings.url(&request.path)?;
    if request.bare_query.is_some() {
        url.set_query(request.bare_query.as_deref());
    }
    if !request.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&request.query);
    }
    let mut headers = request.headers.clone();
    headers
        .iter_mut()
        .filter(|(name, _)| settings.scrub.hides(name.as_str()))
        .for_each(|(_, value)| value.set_sensitive(true));
    headers.entry(ACCEPT).or_insert(ACCEPT_DEFAULT);
    headers.entry(ACCEPT_ENCODING).or_insert(decode::ACCEPT_ENCODING);
    headers.entry(USER_AGENT).or_insert_with(|| settings.user_agent.clone());
    let mut body = request.body.as_ref().map(|body| body.content.clone());
    if settings.key_is_sent_for(request) {
        match &settings.idempotency {
            Idempotency::Header(name) => {
                let name = HeaderName::try_from(name).expect("was checked when it was set");
                let value =
                    HeaderValue::from_str(key).map_err(|_| "the idempotency key is no header value")?;
                // The call's own key wins: it is the same on every attempt too.
                headers.entry(name).or_insert(value);
            }
            Idempotency::BodyField(field) => {
                body = Some(with_key(request.body.as_ref(), field, key)?);
            }
            Idempotency::None => {}
        }
    }
    if let Some(Body::Form(form)) = &body {
        let content_type = format!("multipart/form-data; boundary={}", form.boundary(key));
        headers.insert(CONTENT_TYPE, HeaderValue::try_from(content_type).expect("hexadecimal digits"));
        body = Some(Body::of_form(form, key));
    }
    Ok(Ready { method: request.method.clone(), url, headers, body })
}

/// The body with the key in it. The fingerprint's hash is of the body without.
fn with_key(body: Option<&Typed>, field: &str, key: &str) -> Result<Body, String> {
    let unfit = || {
        format!(
            "the idempotency key goes into the body's field {field:?}, but the body is no JSON object and no form"
        )
    };
    let Typed { content, kind } = body.ok_or_else(unfit)?;
    if let Body::Form(form) = content {
        let form = Multipart::clone(form);
        return Ok(Body::Form(Arc::new(if form.has(field) { form } else { form.text(field, key) })));
    }
    let bytes = content.bytes().ok_or_else(unfit)?;
    match kind {
        BodyKind::Json => {
            let mut fields: BTreeMap<Cow<'_, str>, &RawValue> =
                serde_json::from_slice(bytes).map_err(|_| unfit())?;
            let key = to_raw_value(key).expect("text is JSON");
            fields.entry(field.into()).or_insert(&key);
            Ok(Body::Bytes(serde_json::to_vec(&fields).expect("was JSON before").into()))
        }
        BodyKind::Form => {
            let has_own = form_urlencoded::parse(bytes).any(|(name, _)| name == field);
            let form = String::from_utf8_lossy(bytes).into_owned();
            let mut form = form_urlencoded::Serializer::new(form);
            Ok(Body::Bytes(if has_own {
                bytes.clone()
            } else {
                form.append_pair(field, key).finish().into()
            }))
        }
        BodyKind::Raw => Err(unfit()),
    }
}

/// All secrets that could come back with the answer to this call: the Api's, and those in the call's own headers.
pub(crate) fn scrub_for(settings: &Settings, request: &Request) -> Arc<Scrub> {
    let mut scrub = settings.scrub.clone();
    scrub_sent(settings, &request.headers, &mut scrub);
    let of_data = settings.web.as_ref().and_then(|_| Url::parse(&request.path).ok());
    let of_address = settings.address.iter().flat_map(Address::secrets);
    for part in of_address.chain(of_data.iter().flat_map(secret_parts)) {
        Arc::make_mut(&mut scrub).add(&part);
    }
    for (_, value) in request.query.iter().filter(|(name, _)| settings.scrub.hides(name)) {
        Arc::make_mut(&mut scrub).add(value);
    }
    scrub
}

/// Adds what is known only when the request is final: the present values of files, tokens, signatures.
pub(crate) fn scrub_sent(settings: &Settings, headers: &HeaderMap, scrub: &mut Arc<Scrub>) {
    for secret in &settings.watched {
        secret.scrub(Arc::make_mut(scrub));
    }
    let sensitive = headers.values().filter(|value| value.is_sensitive());
    for value in sensitive.filter_map(|value| value.to_str().ok()) {
        let scrub = Arc::make_mut(scrub);
        scrub.add(value);
        if let Some((_, credential)) = value.split_once(' ') {
            scrub.add(credential);
        }
    }
}

/// Whether a method needs a key to be repeatable.
pub(crate) fn needs_key(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PATCH)
}
