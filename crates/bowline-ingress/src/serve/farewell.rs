//! How a connection is closed so that its client gets to see the answer: a socket that is closed on unread bytes is
//! reset, and what the client has not read yet is lost with it (RFC 9112 §9.6).

use std::{io, time::Duration};

use axum::http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::watched::Left;
use crate::problem;

/// How long a client may go on sending after it was told that nobody listens.
const LINGER_MAX: Duration = Duration::from_secs(1);
/// How much of that is read.
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Says why, if a head came `too_slowly`; then that nothing more will be said; then reads until the client closes, too.
/// Who `is_silent` sent nothing that could be lost.
pub(super) async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    left: Left<S>,
    too_slowly: Option<Duration>,
    is_silent: bool,
) {
    let Left { mut stream, has_ended, is_being_written } = left;
    if is_silent || has_ended {
        return;
    }
    // Whatever fails here, the connection is over.
    let _ = timeout(LINGER_MAX, async {
        if let Some(limit) = too_slowly.filter(|_| !is_being_written) {
            stream.write_all(&slow_head(limit)).await?;
        }
        stream.shutdown().await?;
        let (mut buffer, mut bytes) = ([0; 4096], 0);
        while bytes <= LINGER_BYTES_MAX {
            match stream.read(&mut buffer).await? {
                0 => break,
                more => bytes += more,
            }
        }
        Ok::<(), io::Error>(())
    })
    .await;
}

/// 408, as hyper would write it.
fn slow_head(limit: Duration) -> Vec<u8> {
    let detail = format!("the request's head did not arrive within {} s", limit.as_secs());
    let body = problem::body(StatusCode::REQUEST_TIMEOUT, &detail, "send it again", vec![]);
    let head = format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}
