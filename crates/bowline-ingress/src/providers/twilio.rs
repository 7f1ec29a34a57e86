//! Twilio: messages, calls and their status. The public URL of this server must be known: it is signed.
//!
//! A workflow receives the form's fields, all of them texts (<https://www.twilio.com/docs/messaging/guides/webhook-request>,
//! <https://www.twilio.com/docs/voice/twiml#request-parameters>); of a JSON body all of it. Choose HTTP POST where Twilio
//! asks for the method.
//!
//! | Form | Event's type |
//! |---|---|
//! | with a `CallSid` | `call.` and its `CallStatus`: `call.ringing`, `call.completed` |
//! | with a `MessageSid` | `message.` and its `MessageStatus`, else its `SmsStatus`: `message.received`, `message.delivered` |
//! | any other, and JSON | [`callback`](KIND) |
//!
//! The answer is an empty TwiML document: with it a message is not answered and a call is hung up, while JSON would be
//! error 12300 in Twilio's log (<https://www.twilio.com/docs/api/errors/12300>). To say something, call Twilio's API
//! from the workflow; a call that is to be talked to at once needs an answer that this door does not give.
//!
//! Twilio waits 15 s, and retries once, where it cannot connect; more if the URL's `#rc=` says so. A retry has the
//! `i-twilio-idempotency-token` of the first request, by which Twilio's own servers know it again
//! (<https://github.com/twilio/twilio-agent-connect-python>); a request without one is never taken for another. The
//! header is not signed.

use std::{borrow::Cow, time::Duration};

use axum::http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use bowline_model::Secret;
use bowline_signature::{EmptySecret, Scheme, SigningSecret, form::MEDIA_TYPE as FORM};
use jiff::Timestamp;
use serde_json::Value;

use super::json;
use crate::{
    Arrived, Delivery, Envelope, Named, Provider, RawRequest, ReceiptForm, Rejection, SignError,
    SignedRequest, Unsigned, form,
};

/// For how long a redelivery is recognised: longer than the seconds for which Twilio retries.
pub const DEDUPE_FOR: Duration = Duration::from_hours(30 * 24);

/// The type of all that is neither a message nor a call.
pub const KIND: &str = "callback";

const NAME: &str = "twilio";
const TOKEN: &str = "i-twilio-idempotency-token";
const RECEIPT: ReceiptForm = ReceiptForm::Text {
    body: "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>",
    media_type: "text/xml; charset=utf-8",
};

/// Twilio, with the auth tokens of one account.
#[derive(Debug, Clone)]
pub struct Twilio {
    scheme: bowline_signature::Twilio,
}

impl Twilio {
    /// With the account's auth token, or the shared key that signs instead of it.
    ///
    /// # Errors
    /// If the token is empty.
    pub fn new(token: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: bowline_signature::Twilio::new(SigningSecret::new(token.expose())?) })
    }

    /// Also accepts what this token signed: for the time in which one token replaces another.
    ///
    /// # Errors
    /// If the token is empty.
    pub fn also_accept(self, token: &Secret) -> Result<Self, EmptySecret> {
        Ok(Self { scheme: self.scheme.also_accept(SigningSecret::new(token.expose())?) })
    }
}

impl Provider for Twilio {
    fn name(&self) -> &'static str {
        NAME
    }

    fn media_types(&self) -> &'static [&'static str] {
        &[FORM, "application/json"]
    }

    fn dedupe_for(&self) -> Duration {
        DEDUPE_FOR
    }

    fn input_pointer(&self) -> &str {
        ""
    }

    fn authenticate(&self, request: &RawRequest<'_>, now: Timestamp) -> Result<(), Rejection> {
        Ok(self.scheme.verify(&request.as_signed(), now)?)
    }

    fn delivery(&self, request: &RawRequest<'_>) -> Result<Delivery, Rejection> {
        let (body, kind) = if form::is_form(request) {
            let fields = form::to_json(request.body)?;
            let kind = kind(&fields)?;
            (fields, kind)
        } else {
            json::check(request.body)?;
            (request.body.clone(), KIND.to_owned())
        };
        let twice = |twice: crate::CameTwice| Rejection::unroutable(twice.to_string());
        let token = request.header(TOKEN).map_err(twice)?.map(std::str::from_utf8);
        let envelope = match token {
            None | Some(Ok("")) => Envelope::without_id(kind),
            Some(Ok(token)) => Envelope::new(token, kind),
            Some(Err(_)) => return Err(Rejection::unroutable(format!("{TOKEN} header is not UTF-8"))),
        };
        Ok(Delivery::Events(vec![Arrived { envelope, body, input_pointer: Cow::Borrowed("") }]))
    }

    fn receipt(&self, _request: &RawRequest<'_>) -> ReceiptForm {
        RECEIPT
    }

    fn signs_url(&self) -> bool {
        true
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        self.scheme.headers()
    }

    fn sign(&self, unsigned: &Unsigned<'_>, now: Timestamp) -> Result<SignedRequest, SignError> {
        let body = form::from_json(unsigned.body)
            .ok_or_else(|| SignError::new(NAME, "it sends forms, and this body is no object of texts"))?;
        let id = unsigned.id.map_or_else(|| json::id_of(unsigned.body), ToOwned::to_owned);
        let form = bowline_signature::Unsigned {
            method: "POST",
            url: unsigned.url,
            id: &id,
            content_type: FORM,
            body: &body,
        };
        let signed =
            self.scheme.sign(&form, now).map_err(|cannot| SignError::new(NAME, cannot.to_string()))?;
        let mut headers =
            vec![(CONTENT_TYPE, HeaderValue::from_static(FORM)), json::header(NAME, TOKEN, &id)?];
        headers.extend(signed.headers);
        Ok(SignedRequest { headers, body })
    }

    fn body(&self, event: &Named<'_>, input: &Value) -> Value {
        let mut body = input.clone();
        let (Value::Object(fields), Some((about, status))) = (&mut body, event.kind.split_once('.')) else {
            return body;
        };
        let named = match about {
            "call" => [("CallSid", event.id), ("CallStatus", status)],
            "message" => [("MessageSid", event.id), ("SmsStatus", status)],
            _other => return body,
        };
        for (name, value) in named {
            fields.entry(name).or_insert_with(|| value.into());
        }
        body
    }
}

fn kind(fields: &[u8]) -> Result<String, Rejection> {
    let has = |name: &str| matches!(json::text_at(fields, name), Ok(Some(_)));
    let status = |about: &str, names: &[&str]| -> Result<String, Rejection> {
        for name in names {
            if let Some(status) = json::text_at(fields, name)?.filter(|status| !status.is_empty()) {
                return Ok(format!("{about}.{status}"));
            }
        }
        Ok(KIND.to_owned())
    };
    if has("/CallSid") {
        status("call", &["/CallStatus"])
    } else if has("/MessageSid") {
        status("message", &["/MessageStatus", "/SmsStatus"])
    } else {
        Ok(KIND.to_owned())
    }
}
