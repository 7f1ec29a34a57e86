//! Which calls are equal, and what each wants of the answers that are kept.

use reqwest::{
    Method,
    header::{CACHE_CONTROL, HeaderMap, PRAGMA},
};
use sha2::{Digest, Sha256};
use url::Url;

use super::terms::items;
use crate::{Api, attempt::Ready, call::Request, settings::Settings};

/// A path of the remote, as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place([u8; 32]);

impl Place {
    pub(crate) fn of(url: &Url) -> Self {
        Self(Sha256::digest(url.path()).into())
    }
}

/// What makes two requests equal, as a hash: URL with query, the call's own headers, and the keys that can change while
/// the program runs. The headers are more than `Vary` asks for, as not all remotes say it that answer by a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) place: Place,
    whole: [u8; 32],
}

/// What a call has to do with the answers that are kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// One of them will do.
    Any(Key),
    /// It asks the remote, and what it gets is for the others, too.
    New(Key),
    /// It changes what they are about.
    Change(Place),
    /// Nothing.
    None,
}

impl Wish {
    pub(crate) fn of(api: &Api, request: &Request, ready: &Ready) -> Self {
        match request.method {
            Method::GET if request.body.is_none() => Self::to_read(api, &request.headers, &ready.url),
            // RFC 9110 §9.2.1: these change nothing.
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE => Self::None,
            _ if request.reads => Self::None,
            _ => Self::Change(Place::of(&ready.url)),
        }
    }

    fn to_read(api: &Api, headers: &HeaderMap, url: &Url) -> Self {
        // A part of an answer, or none if the caller has it already, is for that caller alone.
        let partial = headers.keys().any(|name| name == "range" || name.as_str().starts_with("if-"));
        let told = |what: &str| items(headers, &CACHE_CONTROL).any(|directive| directive == what);
        if partial || told("no-store") {
            return Self::None;
        }
        let new = told("no-cache") || told("max-age=0") || items(headers, &PRAGMA).any(|it| it == "no-cache");
        let connections = api.settings().connections(api.account_name());
        let key = key(api.settings(), connections, headers, url);
        if new { Self::New(key) } else { Self::Any(key) }
    }
}

pub(super) fn key(settings: &Settings, connections: u64, headers: &HeaderMap, url: &Url) -> Key {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    };
    add(url.as_str().as_bytes());
    add(&connections.to_le_bytes());
    settings.watched.iter().for_each(|secret| add(secret.current().expose().as_bytes()));
    let own = headers.iter().filter(|(name, _)| ![CACHE_CONTROL, PRAGMA].contains(name));
    let mut own: Vec<_> = own.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    own.sort_unstable();
    for (name, value) in own {
        add(name.as_bytes());
        add(value);
    }
    Key { place: Place::of(url), whole: hash.finalize().into() }
}
