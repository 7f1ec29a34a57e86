//! Microsoft Graph's change notifications and lifecycle notifications: `{"value":[{"clientState":"…",…}]}`.
//!
//! Nothing is signed. Every item repeats the `clientState` that was given when the subscription was made, which only
//! Microsoft Graph and this receiver know.
//! Source: <https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks> and
//! <https://learn.microsoft.com/en-us/graph/change-notifications-lifecycle-events>.
//!
//! - It is a password that travels with every notification: take it over TLS only, and keep it out of what is kept.
//! - There is no timestamp. Items have an id, but not always.
//! - The tokens and the encryption of notifications with resource data are not looked at.

use std::borrow::Cow;

use http::HeaderName;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::{BadKey, CannotSign, Error, Request, Scheme, Signed, SigningSecret, Unsigned, body};

/// Longest `clientState`, as Microsoft Graph allows
/// (<https://learn.microsoft.com/en-us/graph/api/resources/subscription>).
pub const CLIENT_STATE_CHARACTERS_MAX: usize = 128;
/// Most items of one body.
pub const ITEMS_MAX: usize = 10_000;

const BODY_FORM: &str = r#"{"value":[{"clientState":"…",…}]}"#;

/// Verifies what Microsoft Graph sends, and sends as Microsoft Graph would.
///
/// ```
/// use bowline_signature::{Graph, Request, Scheme, SigningSecret};
/// use http::HeaderMap;
/// use jiff::Timestamp;
///
/// let graph = Graph::new(SigningSecret::new("a secret of ours")?)?;
/// let now = Timestamp::from_second(1_700_000_000)?;
/// let judge = |body: &[u8]| graph.verify(&Request::post(&HeaderMap::new(), body), now);
/// assert_eq!(judge(br#"{"value":[{"clientState":"a secret of ours","changeType":"created"}]}"#), Ok(()));
/// assert!(judge(br#"{"value":[{"clientState":"a guess","changeType":"created"}]}"#).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Graph {
    /// Never empty; the first one is sent.
    states: Vec<SigningSecret>,
}

impl Graph {
    /// With the `clientState` of the subscriptions.
    ///
    /// # Errors
    /// [`BadKey`] if it is longer than Microsoft Graph allows, or not text.
    pub fn new(client_state: SigningSecret) -> Result<Self, BadKey> {
        Ok(Self { states: vec![checked(client_state)?] })
    }

    /// Also accepts this one: for the time in which subscriptions with one replace those with another.
    ///
    /// # Errors
    /// [`BadKey`], as for [`new`](Self::new).
    pub fn also_accept(mut self, client_state: SigningSecret) -> Result<Self, BadKey> {
        self.states.push(checked(client_state)?);
        Ok(self)
    }

    /// Digests are compared, which are equally long: neither what is in a state nor how long it is shows in the time.
    fn knows(&self, state: &str) -> Choice {
        let state = Sha256::digest(state);
        self.states.iter().fold(Choice::from(0), |known, accepted| {
            known | Sha256::digest(accepted.expose()).as_slice().ct_eq(state.as_slice())
        })
    }
}

impl Scheme for Graph {
    fn verify(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Error> {
        let body: Body<'_> = body::object(request.body, BODY_FORM)?;
        if body.value.is_empty() || body.value.len() > ITEMS_MAX {
            return Err(malformed("has no items, or more than a genuine one"));
        }
        // All of them are looked at, whichever is wrong.
        let mut known = Choice::from(1);
        for item in &body.value {
            let item: Item<'_> = body::part(item, BODY_FORM)?;
            known &= self.knows(&item.client_state);
        }
        if known.into() { Ok(()) } else { Err(Error::Mismatch { secrets: self.states.len() }) }
    }

    fn sign(&self, unsigned: &Unsigned<'_>, _now: Timestamp) -> Result<Signed, CannotSign> {
        let mut body = body::unsigned(unsigned.body, "a JSON object with value")?;
        let items = body.get_mut("value").and_then(Value::as_array_mut);
        let items = items.ok_or_else(|| CannotSign::new("the body has no array value"))?;
        let state = String::from_utf8_lossy(self.states[0].expose());
        for item in items {
            let item = item.as_object_mut().ok_or_else(|| CannotSign::new("an item is not an object"))?;
            item.insert("clientState".into(), state.as_ref().into());
        }
        Ok(Signed { headers: vec![], body: body::written(&body) })
    }

    fn headers(&self) -> Vec<HeaderName> {
        vec![]
    }
}

fn checked(state: SigningSecret) -> Result<SigningSecret, BadKey> {
    let text =
        std::str::from_utf8(state.expose()).map_err(|_| BadKey::new("the clientState is not UTF-8"))?;
    if text.chars().count() > CLIENT_STATE_CHARACTERS_MAX {
        let problem = format!("the clientState is longer than {CLIENT_STATE_CHARACTERS_MAX} characters");
        return Err(BadKey::new(format!(
            "{problem}, which Microsoft Graph does not take; use a shorter one"
        )));
    }
    Ok(state)
}

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow)]
    value: Vec<&'b RawValue>,
}

#[derive(Deserialize)]
struct Item<'b> {
    #[serde(borrow, rename = "clientState")]
    client_state: Cow<'b, str>,
}

fn malformed(problem: &'static str) -> Error {
    Error::BodyMalformed { problem, form: BODY_FORM }
}
