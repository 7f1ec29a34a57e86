//! What a refusal says to the sender: what is wrong, and what to do about it.
//!
//! What must never be here: a store's own words (they may name files), or anything of a body.

use super::Refusal;
use crate::Rejection;

impl Refusal {
    /// What is wrong.
    pub(super) fn fact(&self) -> String {
        let fact = match self {
            Self::NoSuchRoute => "no route at this path",
            Self::NoSuchRun => "no run at this address",
            Self::NoSuchCallback => "no callback at this address",
            Self::AnsweredBefore => "this callback was answered before",
            Self::NoLongerAwaited => "nobody waits for this callback any more",
            Self::Method(allowed) => return format!("this path takes {allowed}"),
            Self::Origin => "pages of this origin may not send here",
            Self::MediaType { expected } => {
                return format!("the content type is not {}", expected.join(" or "));
            }
            Self::Encoded => "the body is compressed",
            Self::BodyTooLarge { bytes_max } => return format!("the body is larger than {bytes_max} bytes"),
            Self::BodyTooSlow { limit } => {
                return format!("the body did not arrive within {} s", limit.as_secs());
            }
            Self::BodyBroken => "the body ended too early",
            Self::Rejected(rejection) => return rejection.to_string(),
            Self::KeyReused => "this Idempotency-Key came before with another body",
            Self::Address { .. } => "this address may not send here",
            Self::TooMany { .. } => "this client sends more than it may",
            Self::Overloaded => "more comes than can be stored now",
            Self::Crowded => "too many large requests at once",
            Self::RunFailed { run, .. } => return format!("run {run} did not complete"),
            Self::RunGone(run) => return format!("run {run} ended, and its result is no longer kept"),
            Self::Unread(_) => "the run cannot be read now",
            Self::Fetch(_) => "what the signature needs cannot be fetched now",
            Self::Store(_) | Self::Lost => "the event could not be stored",
        };
        fact.to_owned()
    }

    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::NoSuchRoute => "check the URL's path",
            Self::NoSuchRun => "use the Location of the answer to the POST",
            Self::NoSuchCallback => "use the whole URL that the run gave; it works once",
            Self::AnsweredBefore => "the first answer counts; nothing was stored",
            Self::NoLongerAwaited => "its time was over, or its run has ended; nothing was stored",
            Self::Method(_) => "use an allowed method",
            Self::Origin => "the route's allow_origin says which may",
            Self::MediaType { .. } => "send one Content-Type header that says so",
            Self::Encoded => "send it without Content-Encoding",
            Self::BodyTooLarge { .. } => "raise the route's limit if it is genuine; a callback's is fixed",
            Self::BodyTooSlow { .. } | Self::BodyBroken => "send it again",
            Self::Rejected(rejection) => hint(rejection),
            Self::KeyReused => {
                "nothing was stored; use a new key for each request, and the same one only to repeat it"
            }
            Self::Address { .. } => "the route's allow_ips says which may",
            Self::TooMany { .. } | Self::Overloaded => {
                "nothing was stored; send it again after the time in Retry-After"
            }
            Self::RunFailed { .. } => {
                "the event was accepted: do not send it again under another key; whoever runs this app sees the \
                 reason, and what becomes of it is told at the Location of this answer"
            }
            Self::RunGone(_) => "an id is remembered for longer than a result; use a new one to do it again",
            Self::Unread(_) => "ask again later",
            Self::Fetch(_) => "nothing was stored; send it again later",
            Self::Crowded | Self::Store(_) | Self::Lost => "send it again later",
        }
    }
}

fn hint(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::Unauthentic { .. } => "nothing was stored; send it again with what this route asks for",
        Rejection::Fetch { .. } => "nothing was stored; send it again later",
        Rejection::TooMany { .. } => "nothing was stored; send fewer at once",
        Rejection::Unroutable { .. } => "nothing was stored; check what is sent to this path",
        Rejection::Invalid { .. } => "nothing was stored; correct the body and send it again",
    }
}
