//! The one place that sends: one HTTP attempt, observed.

use std::{error::Error as _, pin::Pin};

use bowline_model::BoxFuture;
use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Method,
    header::{HeaderMap, LOCATION},
};
use url::Url;

use crate::verdict::{Answer, BodyEnd, Observed};

/// Most redirects that one attempt follows.
pub(crate) const REDIRECTS_MAX: usize = 5;

/// A request, ready to go: credentials and key are on it.
pub(crate) struct Ready {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

/// Sends the request and reads its answer, until `deadline` ends.
///
/// What a remote refused unprocessed is sent again at once, on another connection: a stream that HTTP/2 says it did not
/// touch (RFC 9113 §8.7), a pooled connection that was closed before the first byte.
///
/// Redirects are followed within the origin only, for GET and HEAD: there they repeat nothing and carry credentials
/// to nobody else.
pub(crate) async fn exchange(
    client: &Client,
    mut request: Ready,
    bytes_max: usize,
    mut deadline: BoxFuture<'static, ()>,
) -> Observed {
    let mut redirects = 0;
    loop {
        let response = tokio::select! {
            biased;
            response = send(client, &request) => response,
            () = &mut deadline => return Observed::TimedOut,
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => return lost(&error.without_url()),
        };
        if let Some(next) = redirect(&request, &response).filter(|_| redirects < REDIRECTS_MAX) {
            request.url = next;
            redirects += 1;
            continue;
        }
        let answer = read(response, request.url, bytes_max, deadline.as_mut()).await;
        return Observed::Answered(Box::new(answer));
    }
}

fn send(client: &Client, request: &Ready) -> impl Future<Output = reqwest::Result<reqwest::Response>> {
    let builder =
        client.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
    match &request.body {
        Some(body) => builder.body(body.clone()).send(),
        None => builder.send(),
    }
}

/// Where the answer leads, if it is a redirect to follow. The credentials in the query are not repeated by remotes, so
/// a redirect keeps the query that the remote gave.
fn redirect(request: &Ready, response: &reqwest::Response) -> Option<Url> {
    let follows = matches!(request.method, Method::GET | Method::HEAD)
        && matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let next = request.url.join(location).ok()?;
    (follows && next.origin() == request.url.origin()).then_some(next)
}

async fn read(
    mut response: reqwest::Response,
    url: Url,
    bytes_max: usize,
    mut deadline: Pin<&mut (dyn Future<Output = ()> + Send)>,
) -> Answer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = BytesMut::new();
    let end = loop {
        let chunk = tokio::select! {
            biased;
            chunk = response.chunk() => chunk,
            () = &mut deadline => break BodyEnd::TimedOut,
        };
        match chunk {
            Ok(Some(chunk)) if body.len() + chunk.len() > bytes_max => {
                body.extend_from_slice(&chunk[..bytes_max - body.len()]);
                break BodyEnd::TooLarge { bytes_max };
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break BodyEnd::Complete,
            Err(error) => break BodyEnd::Broken { causes: causes(&error.without_url()) },
        }
    };
    Answer { status, headers, body: body.freeze(), end, url }
}

fn lost(error: &reqwest::Error) -> Observed {
    let causes = causes(error);
    // A builder error never left this process; it cannot come from checked parts, but would be no reason to repeat.
    if error.is_connect() || error.is_builder() {
        Observed::NotReached { causes }
    } else {
        Observed::Lost { causes }
    }
}

/// The errors beneath reqwest's own, whose text says nothing that the message does not.
fn causes(error: &reqwest::Error) -> Vec<String> {
    const CAUSES_MAX: usize = 8;
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
