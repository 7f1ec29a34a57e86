//! One attempt of an Api that keeps answers: answered from there, confirmed by the remote, or sent as any other.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
};

use bowline_model::{Failure, Verdict};

use super::{
    Asking, Cache, Caching, Found, Kept,
    condition::{conditions, confirmed},
    key::Wish,
    terms,
};
use crate::{Api, call::Request, once::Outgoing, read::Read, report::Asked, verdict::Answer};

impl Api {
    /// Answers the call from what is kept, or sends it.
    pub(crate) async fn find_or_exchange<T>(
        &self,
        cache: &Cache,
        request: &Request,
        outgoing: &mut Outgoing<'_>,
        read: &dyn Read<T>,
    ) -> Verdict<T> {
        let key = match Wish::of(self, request, &outgoing.ready) {
            Wish::Any(key) => key,
            Wish::New(key) => {
                let (asking, old) = cache.ask(key);
                return self.ask(asking, old, outgoing, read).await;
            }
            Wish::Change(place) => {
                let mut changing = cache.change(place);
                let verdict = self.exchange(outgoing, read, |answer| changing.is_known_by(answer)).await;
                if matches!(verdict, Verdict::RetryAfter(_) | Verdict::Wait { .. } | Verdict::Refused(_)) {
                    changing.did_nothing();
                }
                return verdict;
            }
            Wish::None => return self.exchange(outgoing, read, |_| {}).await,
        };
        match cache.find(key, &*self.settings().clock, &mut outgoing.deadline).await {
            Found::Kept(kept) => {
                if let Ok(value) = read.good(&kept.answer, &outgoing.asked.scrub) {
                    tell_found(&outgoing.asked);
                    return Verdict::Done(value);
                }
                // What another call could read does not fit this one's type: it asks for itself.
                let (asking, old) = cache.ask(key);
                self.ask(asking, old, outgoing, read).await
            }
            Found::Ask(asking, old) => self.ask(asking, old, outgoing, read).await,
            Found::Later(wait) => {
                let why = format!("another's equal call ({})", self.settings().name);
                Verdict::Wait { wait, why }
            }
        }
    }

    /// Asks the remote, perhaps only whether `old` still holds, and keeps what it says. While the remote fails, `old`
    /// stands in, if it may.
    async fn ask<T>(
        &self,
        asking: Asking<'_>,
        old: Option<Arc<Kept>>,
        outgoing: &mut Outgoing<'_>,
        read: &dyn Read<T>,
    ) -> Verdict<T> {
        let clock = &self.settings().clock;
        let asked_at = clock.now();
        let (mut kept, mut forbidden) = (None, false);
        let keep = |answer: &Answer| {
            kept = asking.keep(answer, asked_at, clock.now());
            forbidden = terms::forbid_reuse(&answer.headers);
        };
        let verdict = self.exchange_or_confirm(old.as_deref(), outgoing, read, keep).await;
        let landed = match &verdict {
            Verdict::Done(_) => {
                if forbidden {
                    tell_forbidden(asking.cache, &outgoing.asked);
                }
                kept.filter(|kept| kept.terms.is_fresh(clock.now()))
            }
            Verdict::RetryAfter(failure) | Verdict::Unknown(failure) if is_outage(failure) => {
                let stands_in = |old: &Arc<Kept>| old.terms.stands_in(clock.now());
                if let Some(old) = old.filter(stands_in)
                    && let Ok(value) = read.good(&old.answer, &outgoing.asked.scrub)
                {
                    tell_stands_in(&outgoing.asked, failure);
                    asking.land(Some(old));
                    return Verdict::Done(value);
                }
                None
            }
            Verdict::RetryAfter(_) | Verdict::Unknown(_) | Verdict::Wait { .. } => None,
            // It says no where it once said something: that is over.
            Verdict::Refused(_) => {
                asking.forget();
                None
            }
        };
        // Who had to wait asked nothing yet.
        if landed.is_none() && !matches!(verdict, Verdict::Wait { .. }) {
            asking.was_in_vain(clock.monotonic());
        }
        asking.land(landed);
        verdict
    }

    /// One exchange. If `old` can be asked about and the remote confirms it, that is the answer.
    async fn exchange_or_confirm<T>(
        &self,
        old: Option<&Kept>,
        outgoing: &mut Outgoing<'_>,
        read: &dyn Read<T>,
        use_good: impl FnOnce(&Answer),
    ) -> Verdict<T> {
        let conditions: Vec<_> = old.iter().flat_map(|old| conditions(&old.answer.headers)).collect();
        let Some(old) = old.filter(|_| !conditions.is_empty()) else {
            return self.exchange(outgoing, read, use_good).await;
        };
        let mut headers = outgoing.ready.headers.clone();
        headers.extend(conditions.into_iter().map(|(name, value)| (name, value.clone())));
        let bare = mem::replace(&mut outgoing.ready.headers, headers);
        let opened = self.open(outgoing).await;
        outgoing.ready.headers = bare;
        let opened = match opened {
            Ok(opened) => opened,
            Err(verdict) => return verdict.map(|never| match never {}),
        };
        let answer = if opened.head.status != 304 {
            self.read_whole(opened, outgoing, |answer| read.cost(answer)).await
        } else if let Some(answer) = confirmed(&old.answer, &opened.head) {
            answer
        } else {
            drop(opened);
            return self.exchange(outgoing, read, use_good).await;
        };
        self.judged(outgoing, &answer, read, use_good)
    }
}

/// What RFC 5861 §4 calls an error, and what comes instead of an answer.
fn is_outage(failure: &Failure) -> bool {
    let status = failure.call.as_ref().and_then(|call| call.status);
    matches!(status, None | Some(500 | 502 | 503 | 504))
}

/// One line for an attempt that sent nothing, as it was answered before.
fn tell_found(asked: &Asked<'_>) {
    let (api, method, attempt) = (asked.api, asked.method.as_str(), asked.attempt);
    tracing::debug!(api, method, path = asked.place(), attempt, "answered from the cache");
}

fn tell_stands_in(asked: &Asked<'_>, failure: &Failure) {
    let (api, method, attempt) = (asked.api, asked.method.as_str(), asked.attempt);
    let failure = failure.message.as_str();
    tracing::warn!(api, method, path = asked.place(), attempt, failure, "an old answer stands in");
}

/// Once: the author asked for something that the remote does not allow.
fn tell_forbidden(cache: &Cache, asked: &Asked<'_>) {
    let (api, method, path) = (asked.api, asked.method.as_str(), asked.place());
    match cache.caching {
        Caching::For(_) if !cache.told_forbidden.swap(true, Ordering::Relaxed) => tracing::warn!(
            api,
            method,
            path,
            "not answered from the cache: the remote forbids it, by Cache-Control or Vary"
        ),
        Caching::For(_) | Caching::AsTold => {}
    }
}
