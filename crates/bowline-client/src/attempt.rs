//! The one place that sends: one HTTP request, observed.

use std::{error::Error as _, pin::Pin};

use bowline_model::BoxFuture;
use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Method,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap},
};
use url::Url;

use crate::{
    body::Body,
    certificate,
    decode::{Decoder, Undecodable},
    guard::Refused,
    redirect::{self, Lead, REDIRECTS_MAX},
    settings::Settings,
    verdict::{BodyEnd, Observed},
};

/// Most errors beneath one that are looked at.
const CAUSES_MAX: usize = 8;

/// A request, ready to go.
#[derive(Clone)]
pub(crate) struct Ready {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Body>,
}

/// An answer whose body is still to come.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Where it came from: the request's own URL, or where a redirect led.
    pub(crate) url: Url,
    pub(crate) body: Incoming,
}

/// Sends the request and waits for the head of its answer, until `deadline` ends.
///
/// What a remote refused unprocessed is sent again at once, on another connection: a stream that HTTP/2 says it did not
/// touch (RFC 9113 §8.7), a pooled connection that was closed before the first byte.
///
/// `prove` puts the proof on the request, anew wherever a redirect leads within the origin; what goes elsewhere carries
/// none.
///
/// # Errors
/// What was observed instead of an answer.
pub(crate) async fn send(
    client: &Client,
    settings: &Settings,
    ready: &Ready,
    mut prove: impl FnMut(&mut Ready) -> Result<(), String>,
    deadline: &mut BoxFuture<'static, ()>,
) -> Result<Head, Observed> {
    let mut bare = ready.clone();
    let mut is_home = true;
    let mut redirects = 0;
    loop {
        let mut request = bare.clone();
        if is_home {
            prove(&mut request).map_err(|what| Observed::NotSent { what })?;
        }
        let response = tokio::select! {
            biased;
            response = once(client, &request) => response,
            () = &mut *deadline => return Err(Observed::TimedOut),
        };
        let response = response.map_err(|error| lost(&error.without_url()))?;
        let lead = redirect::lead(settings, &request, response.status().as_u16(), response.headers());
        match lead {
            Lead::Home(next) | Lead::Away(next) if redirects < REDIRECTS_MAX => {
                if next.origin() != bare.url.origin() {
                    is_home = false;
                    redirect::make_stranger(&mut bare);
                }
                bare.url = next;
                redirects += 1;
                continue;
            }
            Lead::Forbidden(what) => return Err(Observed::NotSent { what }),
            Lead::Home(_) | Lead::Away(_) | Lead::Nowhere => {}
        }
        let (status, mut headers) = (response.status().as_u16(), response.headers().clone());
        let body = Incoming::new(response, &mut headers);
        return Ok(Head { status, headers, url: request.url, body });
    }
}

fn once(client: &Client, request: &Ready) -> impl Future<Output = reqwest::Result<reqwest::Response>> {
    let builder =
        client.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
    match &request.body {
        Some(body) => builder.body(body.to_send()).send(),
        None => builder.send(),
    }
}

/// A body on its way, decoded as it comes.
pub(crate) struct Incoming {
    response: reqwest::Response,
    decoder: Decoder,
    /// How it is encoded, if that is nothing that was asked for: it is passed on as it is then.
    unasked: Option<String>,
    ended: bool,
}

/// Why no more of a body came.
pub(crate) enum Broken {
    /// The connection broke; the causes, outermost first.
    Connection(Vec<String>),
    Undecodable(Undecodable),
}

impl Incoming {
    /// Takes the encoding out of the headers: what they say of the body is true of what comes out.
    fn new(response: reqwest::Response, headers: &mut HeaderMap) -> Self {
        let (decoder, unasked) = match Decoder::new(headers, u64::MAX) {
            Ok(decoder) => (decoder, None),
            Err(what) => (Decoder::plain(u64::MAX), Some(what)),
        };
        if !decoder.is_plain() {
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        Self { response, decoder, unasked, ended: false }
    }

    /// Reads no more than that, decoded.
    pub(crate) fn limit(&mut self, bytes_max: u64) {
        self.decoder.limit(bytes_max);
    }

    /// How it is encoded, if nobody asked for that; goes on after "its body".
    pub(crate) fn unasked(&self) -> Option<&str> {
        self.unasked.as_deref()
    }

    /// Whether it comes as the remote stores it.
    pub(crate) fn is_plain(&self) -> bool {
        self.decoder.is_plain() && self.unasked.is_none()
    }

    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    /// Why no more came.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            if let Some(piece) = self.decoder.piece().map_err(Broken::Undecodable)? {
                return Ok(Some(piece));
            }
            if self.ended {
                return Ok(None);
            }
            let chunk = self.response.chunk().await;
            match chunk.map_err(|error| Broken::Connection(causes(&error.without_url())))? {
                Some(chunk) => self.decoder.feed(chunk),
                None => {
                    self.ended = true;
                    self.decoder.end();
                }
            }
        }
    }

    /// All of it, up to a limit and until `deadline` ends.
    pub(crate) async fn read(
        mut self,
        bytes_max: usize,
        mut deadline: Pin<&mut (dyn Future<Output = ()> + Send)>,
    ) -> (Bytes, BodyEnd) {
        self.limit(bytes_max as u64);
        let mut body = BytesMut::new();
        let end = loop {
            let chunk = tokio::select! {
                biased;
                chunk = self.chunk() => chunk,
                () = &mut deadline => break BodyEnd::TimedOut,
            };
            match chunk {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break BodyEnd::Complete,
                Err(Broken::Undecodable(Undecodable::TooLarge { .. })) => {
                    break BodyEnd::TooLarge { bytes_max };
                }
                Err(Broken::Undecodable(what)) => break BodyEnd::Undecodable(what),
                Err(Broken::Connection(causes)) => break BodyEnd::Broken { causes },
            }
        };
        (body.freeze(), end)
    }
}

fn lost(error: &reqwest::Error) -> Observed {
    if let Some(Refused(what)) = beneath(error) {
        return Observed::NotSent { what: what.clone() };
    }
    let causes = causes(error);
    // The remote ended the handshake over our certificate. With TLS 1.3 that is seen only after the request was written,
    // which was then never read.
    if beneath(error).is_some_and(certificate::is_refusal) {
        return Observed::NotReached { causes };
    }
    // A builder error never left this process; it cannot come from checked parts, but would be no reason to repeat.
    if error.is_connect() || error.is_builder() {
        Observed::NotReached { causes }
    } else {
        Observed::Lost { causes }
    }
}

/// The error of that type beneath another.
fn beneath<E: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut source = error.source();
    for _ in 0..CAUSES_MAX {
        let cause = source?;
        // An IO error hides what it was made of from `source`.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = cause.downcast_ref().or_else(|| inner?.downcast_ref());
        if found.is_some() {
            return found;
        }
        source = cause.source();
    }
    None
}

/// The errors beneath reqwest's own, whose text says nothing that the message does not.
fn causes(error: &reqwest::Error) -> Vec<String> {
    let mut causes = vec![];
    let mut source = error.source();
    while let Some(cause) = source.filter(|_| causes.len() < CAUSES_MAX) {
        let text = cause.to_string();
        if !text.starts_with("client error (") && causes.last() != Some(&text) {
            causes.push(text);
        }
        source = cause.source();
    }
    causes
}
