//! `POST /callbacks/{token}`: one message to a run that waits for it, from whoever was given the address.
//!
//! What comes in: a token that nobody can guess, and JSON, a form, or nothing. What goes out: 202, once the message is on
//! disk. What must never happen here: a token in a log line, an answer before the commit, a second message.
//!
//! | Answer | When |
//! |---|---|
//! | 202 `accepted` | the message is on disk, and its run gets it |
//! | 200 `duplicate` | the same `Idempotency-Key` came before |
//! | 400, 413, 415 | no JSON; larger than 1 MiB; another content type, or compressed |
//! | 404 | no run ever gave that address, or its run has ended |
//! | 405 | another method: a link that somebody only looks at answers nothing |
//! | 408, 429, 503 | as for [webhooks](crate::Door) |
//! | 409 | it was answered before |
//! | 410 | nobody waits any more: the wait timed out |

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bowline_model::Payload;
use bowline_store::{Address, Post, Posted, mail::POST_ID_BYTES_MAX};
use bytes::Bytes;
use serde::{Serialize, de::IgnoredAny};
use sha2::{Digest, Sha256};

use crate::{
    Rejection, body,
    desk::{Desk, check_encoding, is_of_type},
    form,
    problem::Refusal,
};

/// Where callbacks are, as the router has it: also what is said of a request in the log.
pub(crate) const PATH: &str = "/callbacks/{token}";
/// What no route of an app begins with.
pub(crate) const BELOW: &str = "/callbacks/";
/// Largest message.
const BODY_BYTES_MAX: usize = bowline_store::mail::MESSAGE_BYTES_MAX;
/// No token is that long: what is longer is not looked up.
const TOKEN_BYTES_MAX: usize = 128;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What a caller is told.
#[derive(Serialize)]
struct Receipt {
    status: &'static str,
}

impl Desk {
    /// One message on one screen.
    pub(crate) async fn call_back(&self, parts: &Parts, body: &mut Body) -> Result<Response, Refusal> {
        let _guest = self.gate.admit_to(PATH, parts, self.clock.monotonic())?;
        if parts.method != Method::POST {
            return Err(Refusal::Method("POST"));
        }
        let is_form = check_type(&parts.headers)?;
        check_encoding(parts)?;
        let id = id_of(&parts.headers)?;
        let token = parts.uri.path().rsplit('/').next().unwrap_or_default();
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::NoSuchCallback);
        }
        // Only the digest is looked up: how long that takes tells nothing of the tokens there are.
        let to = Address::Token(Sha256::digest(token.as_bytes()).into());
        let body::Held { bytes, share } = body::read(body, BODY_BYTES_MAX, &self.bodies).await?;
        let body = if is_form { form::to_json(&bytes).map_err(Refusal::Rejected)? } else { bytes };
        let turn = self.gate.turn().await?;
        let post = Post { to, id, body: message(body)?, now: self.clock.now() };
        let posted = self.store.post(post).await.map_err(Refusal::Store)?;
        drop((share, turn));
        match posted {
            Posted::Kept { run, .. } => {
                tracing::info!(route = PATH, run = run.0, "accepted");
                Ok((StatusCode::ACCEPTED, Json(Receipt { status: "accepted" })).into_response())
            }
            Posted::Duplicate { .. } => Ok(Json(Receipt { status: "duplicate" }).into_response()),
            Posted::Answered { .. } => Err(Refusal::AnsweredBefore),
            Posted::Closed { .. } | Posted::Ended { .. } => Err(Refusal::NoLongerAwaited),
            Posted::NoSuchRun | Posted::NoSuchMailbox => Err(Refusal::NoSuchCallback),
            Posted::TooMany { .. } => Err(Refusal::Overloaded),
        }
    }
}

/// Whether the body is a form. Nothing at all is taken for JSON: many systems that call back say no type.
fn check_type(headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (None, _) => Ok(false),
        (Some(one), None) if is_of_type(one, FORM) => Ok(true),
        (Some(one), None) if is_of_type(one, JSON) => Ok(false),
        (Some(_), _) => Err(Refusal::MediaType { expected: &[JSON, FORM] }),
    }
}

fn id_of(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(id) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let id = id.to_str().ok().filter(|id| (1..=POST_ID_BYTES_MAX).contains(&id.len()));
    let wrong =
        || Refusal::Rejected(Rejection::unroutable("the Idempotency-Key is empty, too long, or not ASCII"));
    id.map(|id| Some(id.to_owned())).ok_or_else(wrong)
}

/// The body as the run gets it. Nothing is `null`.
fn message(body: Bytes) -> Result<Payload, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Payload::from_stored("null"));
    }
    match serde_json::from_slice::<IgnoredAny>(&body) {
        Ok(_) => Ok(Payload::from_stored(body)),
        // Its words name a place and what stands there, and no value.
        Err(error) => Err(Refusal::Rejected(Rejection::unroutable(format!("the body is no JSON: {error}")))),
    }
}
